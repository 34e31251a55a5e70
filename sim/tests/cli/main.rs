//! The program as its users meet it: bad input, good runs, pipes and signals.
#![cfg(unix)]

mod ci;
mod colours;
mod corpus;
mod failures;
mod legal;
mod manual;
mod program;

use blocktwin::lockstep::run;
use blocktwin::scenario::{MAX_STEPS, Profile, generate, parse, print};
use program::{Ended, Place, names};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// A scenario, to be spoiled.
const GOOD: &str = "\
(
    version: 1,
    device: (
        sector_size: 512,
        block_size: 4096,
        block_count: 64,
        file_length: 262144,
        heap: 262144,
    ),
    schedule: 1,
    salt: 1,
    steps: [
        (op: Write(offset: 0, length: 262144)),
        (op: Flush),
    ],
)
";

/// Asserts that the program refuses `arguments`: one line on standard error that says all of
/// `mentions`, and nothing else, anywhere.
#[track_caller]
fn assert_refused(place: &Place, arguments: &[&str], mentions: &[&str]) {
    let before = place.names();
    let ended = place.run(arguments).with_code(2);
    assert_eq!(ended.stdout, "", "{arguments:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{arguments:?}: {}", ended.stderr);
    for mention in mentions {
        let said = ended.stderr.contains(mention);
        assert!(said, "{arguments:?} should say {mention:?}: {}", ended.stderr);
    }
    assert_eq!(place.names(), before, "{arguments:?}");
}

/// Asserts that every command that reads a scenario refuses this file.
#[track_caller]
fn assert_no_scenario(place: &Place, name: &str, reason: &str) {
    for command in ["replay", "show", "shrink"] {
        assert_refused(place, &[command, name], &["blocktwin: ", name, ": ", reason]);
    }
}

#[test]
fn the_scenario_that_the_others_spoil_passes() {
    let place = Place::new();
    place.file("good.ron", GOOD);
    place.run(&["replay", "good.ron"]).with_code(0);
}

#[test]
fn spoiled_scenarios_are_refused() {
    let spoil = |good: &str, bad: &str| GOOD.replace(good, bad).into_bytes();
    let i64_max = "block_count: 2251799813685248";
    let table: [(&str, Vec<u8>, &str); 16] = [
        ("empty.ron", Vec::new(), "the file is empty"),
        ("blank.ron", b" \n\n".to_vec(), "the file is empty"),
        ("truncated.ron", GOOD.as_bytes()[..GOOD.len() / 2].to_vec(), "line 7, column"),
        ("garbage.ron", (0..=255).cycle().take(5000).collect(), "this is not text"),
        ("zeros.ron", vec![0; 512], "line 1, column 1"),
        ("deep.ron", "[".repeat(100_000).into(), "line 1, column"),
        ("nested.ron", spoil("version: 1", &format!("version: {}", "(".repeat(9999))), "line 2"),
        ("future.ron", spoil("version: 1", "version: 2"), "line 2, column 5: version 2 is unknown"),
        ("misspelt.ron", spoil("salt", "pepper"), "line 11, column"),
        ("no_sector.ron", spoil("sector_size: 512", "sector_size: 0"), "sector"),
        ("no_block.ron", spoil("block_size: 4096", "block_size: 0"), "block size 0"),
        ("odd_block.ron", spoil("block_size: 4096", "block_size: 4097"), "not a power of two"),
        ("no_blocks.ron", spoil("block_count: 64", "block_count: 0"), "no blocks"),
        ("too_large.ron", spoil("block_count: 64", i64_max), "2251799813685248"),
        ("longer.ron", spoil("file_length: 262144", "file_length: 262145"), "262145 bytes"),
        ("heapless.ron", spoil("heap: 262144", "heap: 0"), "heap of 0 bytes"),
    ];
    let place = Place::new();
    for (name, contents, reason) in table {
        place.file(name, contents);
        assert_no_scenario(&place, name, reason);
    }
}

#[test]
fn too_many_operations_are_refused() {
    let mut scenario = generate(1, Profile::Default);
    let place = Place::new();
    let first = scenario.steps[0].clone();
    scenario.steps = vec![first; MAX_STEPS + 1];
    place.file("long.ron", print(&scenario));
    let reason = ": more than 100000 operations";
    assert_refused(&place, &["replay", "long.ron"], &["long.ron: not a scenario: line ", reason]);
}

#[test]
fn what_is_no_file_of_a_sensible_size_is_refused() {
    let place = Place::new();
    assert_no_scenario(&place, "missing.ron", "No such file");
    place.directory("directory.ron");
    assert_no_scenario(&place, "directory.ron", "is a directory");
    place.sparse_file("huge.ron", (64 << 20) + 1);
    assert_no_scenario(&place, "huge.ron", "larger than 67108864 bytes");
    assert_no_scenario(&place, "/dev/zero", "larger than 67108864 bytes");
}

#[test]
fn a_medium_has_to_be_a_directory() {
    let place = Place::new();
    place.file("file", "");
    place.file("good.ron", GOOD);
    for (medium, reason) in [("missing", "No such file"), ("file", "Not a directory")] {
        for arguments in [["run", "--seeds", "0..5"].as_slice(), &["replay", "good.ron"]] {
            let arguments = [arguments, &["--medium", medium]].concat();
            assert_refused(&place, &arguments, &[medium, reason]);
        }
    }
}

/// A file system that is almost full when it is empty.
struct SmallMount<'a>(&'a Path);

impl<'a> SmallMount<'a> {
    fn new(path: &'a Path) -> Result<Self, String> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(path);
        let output = mount.output().map_err(|error| format!("no mount: {error}"))?;
        match output.status.success() {
            true => Ok(Self(path)),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }
}

impl Drop for SmallMount<'_> {
    fn drop(&mut self) {
        // The test has said what there was to say.
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_medium_is_told_from_a_bad_device() {
    let place = Place::new();
    let path = place.directory("small");
    let _mounted = match SmallMount::new(&path) {
        Ok(mounted) => mounted,
        Err(why) => return println!("SKIPPED: cannot mount a small tmpfs: {why}"),
    };
    place.file("good.ron", GOOD);
    for arguments in [["run", "--seeds", "0..500"].as_slice(), &["replay", "good.ron"]] {
        let arguments = [arguments, &["--medium", "small"]].concat();
        assert_refused(&place, &arguments, &["small", "the medium failed", "No space left"]);
    }
    assert!(names(&path).is_empty());
}

#[test]
fn bad_usage_is_refused() {
    let table: [(&[&str], &str); 18] = [
        (&["run", "--seeds", "5..5"], "holds no seed"),
        (&["run", "--seeds", "7"], "expected A..B"),
        (&["run", "--seeds", "0.."], "needs --for"),
        (&["run", "--shard", "0/4"], "0/4"),
        (&["run", "--shard", "5/4"], "5/4"),
        (&["run", "--for", "0s"], "0s"),
        (&["run", "--for", "1e9h"], "1e9h"),
        (&["run", "--jobs", "0"], "--jobs"),
        (&["run", "--jobs", "100000"], "--jobs"),
        (&["run", "--medium", ""], "--medium"),
        (&["run", "--profile", "nonsense"], "nonsense"),
        (&["replay"], "FILE"),
        (&["shrink"], "--seed"),
        (&["shrink", "--seed", "7"], "nothing to shrink: the scenario passes"),
        (&["show", "--seed", "-1"], "-1"),
        (&["show", "it.ron", "--seed", "1"], "--seed"),
        (&["show", "it.ron", "--profile", "heavy"], "--profile"),
        (&["nonsense"], "nonsense"),
    ];
    let place = Place::new();
    for (arguments, reason) in table {
        let ended = place.run(arguments).with_code(2);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(ended.stderr.contains(reason), "{arguments:?}: {}", ended.stderr);
    }
    assert!(place.names().is_empty());
}

/// The one JSON object that a campaign prints.
#[track_caller]
fn summary(ended: &Ended) -> Value {
    let [line] = *ended.stdout.lines().collect::<Vec<_>>() else { panic!("{ended:#?}") };
    serde_json::from_str(line).expect("a JSON object")
}

#[test]
fn a_campaign_ends_with_one_json_object() {
    let place = Place::new();
    let arguments = ["run", "--seeds", "0..200", "--medium", "memory", "--format", "json"];
    let summary = summary(&place.run(&arguments).with_code(0));
    for key in ["scenarios", "ops", "crashes", "divergences"] {
        assert!(summary[key].is_u64(), "{key}: {summary:#}");
    }
    for key in ["seconds", "ops_per_second"] {
        assert!(summary[key].as_f64().is_some_and(|it| it > 0.0), "{key}: {summary:#}");
    }
    assert_eq!((&summary["scenarios"], &summary["divergences"]), (&200.into(), &0.into()));
    assert_eq!(summary["digest"].as_str().map(str::len), Some(32));
    assert!(summary["unexercised"].is_array());
    let faults = summary["faults"].as_object().expect("faults by kind");
    assert!(!faults.is_empty());
    for (kind, counts) in faults {
        assert!(counts["injected"].as_u64() >= counts["consequential"].as_u64(), "{kind}");
        assert!(counts["consequential"].is_u64(), "{kind}");
    }
    let clauses = summary["clauses"].as_object().expect("checks by clause");
    assert!(!clauses.is_empty() && clauses.values().all(Value::is_u64));
    assert!(place.names().is_empty());
}

#[test]
fn the_digest_depends_on_neither_medium_nor_jobs() {
    let place = Place::new();
    place.directory("files");
    let tmpfs = Path::new("/dev/shm").is_dir().then_some("tmpfs");
    let mut digests = Vec::new();
    for medium in ["memory", "files"].into_iter().chain(tmpfs) {
        for jobs in ["1", "2"] {
            // All of whose devices are small enough for any file system.
            let profile = ["--profile", "durability"];
            let campaign = ["run", "--seeds", "0..200", "--format", "json"];
            let where_and_how = ["--medium", medium, "--jobs", jobs];
            let arguments = [&campaign[..], &profile, &where_and_how].concat();
            let summary = summary(&place.run(&arguments).with_code(0));
            digests.push((summary["digest"].clone(), medium, jobs));
        }
    }
    for digest in &digests {
        assert_eq!(digest.0, digests[0].0, "{digests:#?}");
    }
    assert!(names(&place.path("files")).is_empty());
}

#[test]
fn what_show_prints_can_be_replayed() {
    let place = Place::new();
    let shown = place.run(&["show", "--seed", "7"]).with_code(0).stdout;
    place.file("seven.ron", &shown);
    assert_eq!(parse(&shown).ok(), Some(generate(7, Profile::Default)));
    assert_eq!(place.run(&["show", "seven.ron"]).with_code(0).stdout, shown);
    let heavy = place.run(&["show", "--seed", "7", "--profile", "heavy"]).with_code(0).stdout;
    assert_eq!(parse(&heavy).ok(), Some(generate(7, Profile::Heavy)));
    let replayed = place.run(&["replay", "--double-run", "seven.ron"]).with_code(0);
    let digest = run(&generate(7, Profile::Default)).unwrap().digest;
    assert_eq!(replayed.stdout, format!("seven.ron: passed, digest {digest}\n"));
    let traced = place.run(&["replay", "--trace", "seven.ron"]).with_code(0);
    assert!(traced.stdout.lines().count() > 20, "{}", traced.stdout);
    assert_eq!(traced.last_line(), replayed.last_line());
}

#[test]
fn a_file_is_held_to_what_it_expects() {
    let place = Place::new();
    let expecting = |verdict: &str, digest: &str| {
        let expect = format!("    expect: Some((verdict: {verdict}, digest: \"{digest}\")),\n)\n");
        GOOD.strip_suffix(")\n").expect("the end of the scenario").to_owned() + &expect
    };
    let digest = run(&parse(GOOD).unwrap()).unwrap().digest.to_string();
    place.file("right.ron", expecting("Pass", &digest));
    place.run(&["replay", "right.ron"]).with_code(0);
    for (verdict, expected) in [("Pass", "00"), ("Fail(Stale)", &digest)] {
        place.file("wrong.ron", expecting(verdict, expected));
        let ended = place.run(&["replay", "right.ron", "wrong.ron"]).with_code(1);
        assert!(ended.stdout.contains("wrong.ron: passed"), "{}", ended.stdout);
        assert!(ended.stdout.contains("; expected "), "{}", ended.stdout);
        let command = ended.last_line();
        assert!(command.ends_with(" replay --trace wrong.ron"), "{command}");
        let again = place.shell(command).with_code(1);
        assert!(again.stdout.contains("power fails"), "{}", again.stdout);
    }
}

#[test]
fn the_help_lists_the_exit_codes() {
    let help = Place::new().run(&["--help"]).with_code(0).stdout;
    let (_, codes) = help.split_once("Exit status:\n").expect("a list of exit codes");
    let codes: Vec<_> = codes.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(codes, ["0", "1", "2", "3", "130"]);
}

#[test]
fn nothing_moves_where_there_is_no_terminal() {
    let place = Place::new();
    for limit in [["--seeds", "0..50"], ["--for", "1s"]] {
        for format in ["human", "json"] {
            let arguments = [&["run", "--medium", "memory", "--format", format], &limit[..]];
            let ended = place.run(&arguments.concat()).with_code(0);
            assert_eq!(ended.stderr, "", "{arguments:?}");
            assert!(!ended.stdout.contains(['\x1b', '\r']), "{arguments:?}: {}", ended.stdout);
        }
    }
}

/// Whether a process catches SIGINT and has done some work, from what Linux knows of it.
#[cfg(target_os = "linux")]
fn is_busy(id: u32) -> bool {
    let read = |what| std::fs::read_to_string(format!("/proc/{id}/{what}")).unwrap_or_default();
    let caught = read("status")
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
    let sigint = 1 << (2 - 1);
    // The fields behind the name in brackets begin with the third; time in user mode is the 14th.
    let stat = read("stat");
    let ticks = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(14 - 3));
    let ticks: u64 = ticks.and_then(|ticks| ticks.parse().ok()).unwrap_or(0);
    caught.is_some_and(|caught| caught & sigint != 0) && ticks >= 20
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_campaign_reports_what_it_did() {
    for medium in ["memory", "files"] {
        let place = Place::new();
        let files = place.directory("files");
        let seeds = ["run", "--seeds", "0..100000000", "--jobs", "2", "--format", "json"];
        let mut running = place.start(&[&seeds[..], &["--medium", medium]].concat());
        let id = running.id();
        running.wait_until(|| is_busy(id));
        assert!(Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap().success());
        let ended = running.end().with_code(130);
        let summary = summary(&ended);
        assert_eq!(summary["interrupted"], true);
        assert!(summary["scenarios"].as_u64() > Some(0), "{summary:#}");
        assert_eq!(ended.stderr, "");
        assert_eq!(place.names(), ["files"]);
        assert!(names(&files).is_empty());
    }
}

#[test]
fn nobody_has_to_read_what_it_prints() {
    let place = Place::new();
    place.file("good.ron", GOOD);
    // More than a pipe holds.
    let arguments = [["replay", "--trace"].as_slice(), &["good.ron"; 300]].concat();
    let mut running = place.start(&arguments);
    assert!(!running.read_little().is_empty());
    let ended = running.end().with_code(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn nobody_has_to_read_its_complaints() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command(&["replay", "missing.ron"]);
    let status = command.stderr(writer).stdout(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
