//! Texts of strangers, as the fuzz target `text` takes them: whatever they say, they are refused or
//! run within the limits.

#[path = "../../fuzz/src/text.rs"]
#[expect(unreachable_pub, reason = "in the crate of the fuzz targets it is public")]
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use text::{Text, text};

/// Directories of texts, from here.
const SEEDS: [&str; 2] = ["../corpus/regressions", "tests/cases"];

/// How many mutated texts are tried.
const MUTATED: u64 = 6000;

fn seeds() -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    for directory in SEEDS {
        let entries =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(directory).read_dir().expect("a directory");
        paths.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// Numbers from a seed, by SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("less than a usize")
    }
}

/// Numbers at which something may go over an edge.
const EDGES: [&str; 12] = [
    "0",
    "1",
    "16",
    "511",
    "4096",
    "65536",
    "33554432",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "-1",
];

/// Changes a text a little: a byte, a number, or whole lines.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    let line = |bytes: &[u8], at: usize| {
        let start = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |it| it + 1);
        let end = bytes[at..].iter().position(|&byte| byte == b'\n');
        start..end.map_or(bytes.len(), |it| at + it + 1)
    };
    match numbers.below(8) {
        0 => bytes[at] = u8::try_from(numbers.below(256)).expect("a byte"),
        1..=4 => {
            let digits = bytes[at..].iter().position(u8::is_ascii_digit).map(|it| at + it);
            let Some(start) = digits else { return };
            let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let edge = EDGES[numbers.below(EDGES.len())];
            bytes.splice(start..start + length, edge.bytes());
        }
        5 => drop(bytes.drain(line(bytes, at))),
        6 => {
            let copied = bytes[line(bytes, at)].repeat(1 + numbers.below(9));
            let end = line(bytes, at).end;
            bytes.splice(end..end, copied);
        }
        _ => {
            let copied = other[line(other, numbers.below(other.len()))].to_vec();
            let end = line(bytes, at).end;
            bytes.splice(end..end, copied);
        }
    }
}

#[test]
fn every_seed_is_run_or_refused() {
    let found: Vec<Text> = seeds().iter().map(|seed| text(seed)).collect();
    assert!(!found.contains(&Text::NoScenario), "{found:?}");
    let refused = found.iter().filter(|&&it| it == Text::Refused).count();
    assert_eq!(refused, 3, "the large trims");
}

#[test]
fn whatever_is_made_of_the_seeds_is_run_or_refused() {
    let (seeds, mut numbers, mut found) = (seeds(), Numbers(7), BTreeSet::new());
    let mut run = 0;
    for _ in 0..MUTATED {
        let mut bytes = seeds[numbers.below(seeds.len())].clone();
        let other = &seeds[numbers.below(seeds.len())];
        for _ in 0..1 + numbers.below(3) {
            if !bytes.is_empty() {
                mutate(&mut bytes, other, &mut numbers);
            }
        }
        let became = text(&bytes);
        found.insert(became);
        run += u64::from(became == Text::Run);
    }
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(run > MUTATED / 6, "{run} of {MUTATED} were run");
}

/// What takes as much as the limits allow, or would take far more, by name.
fn extremes() -> Vec<(&'static str, String, i32)> {
    let many = |step: &str, count: usize| format!("{step},\n").repeat(count);
    let large = "(sector_size: 512, block_size: 512, block_count: 16777216, \
                 file_length: 8589934592, heap: 33554432, trim: Scribble)";
    let small_heap = large.replace("heap: 33554432", "heap: 512");
    let text = |device: &str, steps: &str| {
        format!("(version: 1, device: {device}, schedule: 0, salt: 1, steps: [\n{steps}])\n")
    };
    let write =
        |offset: u64, length: u64| format!("(op: Write(offset: {offset}, length: {length}))");
    let trim = "(op: Trim(offset: 0, length: 67108864))";
    let far: String = (0..9000).map(|at| write(at << 19, 512) + ",").collect();
    vec![
        ("trim", text(large, trim), 0),
        ("trim with a small heap", text(&small_heap, trim), 0),
        ("writes", text(large, &many(&write(0, 32 << 20), 3)), 0),
        ("too many writes", text(large, &many(&write(0, 32 << 20), 6)), 2),
        ("far writes", text(large, &far), 0),
        ("overlapping writes", text(large, &many(&write(0, 512), 50_000)), 2),
        ("delay", text(large, "(op: Flush, faults: [(call: 0, kind: Latency(4000000))])"), 0),
        ("long delay", text(large, "(op: Flush, faults: [(call: 0, kind: Latency(4000001))])"), 2),
        ("operations", text(large, &many("(op: Flush)", 100_001)), 2),
        ("huge", format!("{}(", " ".repeat(64 << 20)), 2),
        ("nested", "(".repeat(1 << 20), 2),
    ]
}

/// The program takes these texts with 512 MiB of address space, which is more than it uses.
#[test]
fn the_largest_scenarios_fit_memory() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text, code) in extremes() {
        let path = directory.path().join("it.ron");
        fs::write(&path, text).unwrap();
        let limited = "ulimit -v 524288 && exec \"$0\" replay \"$1\"";
        let program = env!("CARGO_BIN_EXE_blocktwin");
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", limited, program]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {said}");
    }
}

/// Nothing in a scenario names a file, and the files of a run have no names.
#[test]
fn a_run_leaves_nothing_in_the_directory_of_its_medium() {
    let directory = tempfile::tempdir().unwrap();
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/close-in-flight.ron");
    let medium = directory.path().join("medium");
    fs::create_dir(&medium).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_blocktwin"));
    program.args(["replay", "--medium"]).arg(&medium).arg(case).current_dir(directory.path());
    assert!(program.output().unwrap().status.success());
    assert_eq!(medium.read_dir().unwrap().count(), 0);
    assert_eq!(directory.path().read_dir().unwrap().count(), 1);
}
