//! Fuzz inputs become regressions, and scenarios become fuzz inputs.

use super::program::{Place, names};
use super::{GOOD, assert_no_scenario, assert_refused};
use blocktwin::lockstep::run;
use blocktwin::scenario::{
    Expectation, ExpectedVerdict, Profile, Scenario, decode, encode, generate, parse, print,
};
use std::fs;

/// The scenario of a seed, which expects what it gives.
fn expecting(seed: u64) -> Scenario {
    let mut scenario = generate(seed, Profile::Default);
    let digest = run(&scenario).expect("it can be run").digest.to_string();
    scenario.expect = Some(Expectation { verdict: ExpectedVerdict::Pass, digest });
    scenario
}

/// A corpus of one regression and two fuzz inputs.
fn corpus() -> Place {
    let place = Place::new();
    for directory in ["corpus", "corpus/regressions", "corpus/fuzz", "corpus/fuzz/lockstep"] {
        place.directory(directory);
    }
    place.file("corpus/COUNT", "regressions 1\nfuzz/lockstep 2\n");
    place.file("corpus/regressions/seven.ron", print(&expecting(7)));
    for seed in [1, 2] {
        let bytes = encode(&generate(seed, Profile::Default)).expect("few operations");
        place.file(&format!("corpus/fuzz/lockstep/{seed}"), bytes);
    }
    place.run(&["corpus", "record"]).with_code(0);
    place
}

#[test]
fn a_corpus_as_it_should_be_passes() {
    let place = corpus();
    let says = "\
corpus/regressions: 1 files, 1 at least
corpus/fuzz/lockstep: 2 files, 2 at least
";
    assert_eq!(place.run(&["corpus", "check"]).with_code(0).stdout, says);
    assert_eq!(place.run(&["corpus", "check", "corpus"]).with_code(0).stdout, says);
}

#[test]
fn a_corpus_that_lost_a_file_does_not() {
    let place = corpus();
    fs::remove_file(place.path("corpus/fuzz/lockstep/2")).unwrap();
    let ended = place.run(&["corpus", "check"]).with_code(1);
    assert_eq!(ended.last_line(), "corpus/fuzz/lockstep: 1 files, 2 at least");
}

#[test]
fn a_file_that_gives_something_else_is_named_with_the_command_that_shows_it() {
    let place = corpus();
    let mut wrong = expecting(7);
    wrong.steps.truncate(1);
    place.file("corpus/regressions/seven.ron", print(&wrong));
    let ended = place.run(&["corpus", "check"]).with_code(1);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("corpus/regressions/seven.ron: Pass, digest "), "{lines:?}");
    assert!(lines[1].ends_with(" replay --trace corpus/regressions/seven.ron"), "{lines:?}");
    place.shell(lines[1]).with_code(1);
}

#[test]
fn a_corpus_that_cannot_be_read_is_refused() {
    let place = corpus();
    let check = ["corpus", "check"];
    assert_refused(&place, &["corpus", "check", "missing"], &["missing/COUNT: cannot be read"]);
    place.file("corpus/COUNT", "regressions one\n");
    assert_refused(&place, &check, &["COUNT: \"regressions one\" is not a directory and a number"]);
    assert_refused(&place, &["corpus", "prune"], &["\"regressions one\""]);
    place.file("corpus/COUNT", "missing 1\n");
    assert_refused(&place, &check, &["corpus/missing: cannot be read"]);
    place.file("corpus/COUNT", "known_bugs 1\n");
    place.directory("corpus/known_bugs");
    place.file("corpus/known_bugs/no-such-bug.ron", GOOD);
    assert_refused(&place, &check, &["no planted bug is called \"no-such-bug\""]);
    place.file("corpus/COUNT", "regressions 1\n");
    place.file("corpus/regressions/seven.ron", "nonsense");
    assert_refused(&place, &check, &["seven.ron: not a scenario: line 1, column"]);
}

#[test]
fn an_artifact_becomes_a_regression() {
    let place = corpus();
    let scenario = generate(3, Profile::Default);
    place.file("crash-1", encode(&scenario).expect("few operations"));
    let ended = place.run(&["corpus", "import", "crash-1"]).with_code(0);
    assert!(ended.stdout.starts_with("crash-1: passes\ncrash-1: corpus/regressions/passes-"));
    place.shell(ended.last_line()).with_code(0);
    let regressions = names(&place.path("corpus/regressions"));
    let [imported, seven] = &*regressions else { panic!("{regressions:?}") };
    assert_eq!(seven, "seven.ron");
    let text = fs::read_to_string(place.path("corpus/regressions").join(imported)).unwrap();
    let (imported, given) = (parse(&text).unwrap(), run(&scenario).unwrap());
    assert_eq!(imported.steps, scenario.steps);
    assert_eq!(imported.expect.map(|it| it.digest), Some(given.digest.to_string()));
    place.run(&["corpus", "check"]).with_code(0);
    // The same once more is the same file.
    place.run(&["corpus", "import", "crash-1"]).with_code(0);
    assert_eq!(names(&place.path("corpus/regressions")), regressions);
}

#[test]
fn what_is_exported_is_the_same_run() {
    let place = corpus();
    let export = ["corpus", "export", "corpus/regressions/seven.ron", "--seeds", "4..6"];
    let arguments = [&export[..], &["--profile", "heavy", "-o", "inputs"]].concat();
    place.run(&arguments).with_code(0);
    assert_eq!(names(&place.path("inputs")), ["heavy-4", "heavy-5", "seven"]);
    let decoded = |name: &str| decode(&fs::read(place.path("inputs").join(name)).unwrap());
    let bare = |scenario| Scenario { seed: None, expect: None, ..scenario };
    assert_eq!(decoded("seven"), bare(expecting(7)));
    assert_eq!(decoded("heavy-5"), bare(generate(5, Profile::Heavy)));
    let digest = expecting(7).expect.unwrap().digest;
    let replayed = place.run(&["replay", "inputs/seven"]).with_code(0);
    assert_eq!(replayed.stdout, format!("inputs/seven: passed, digest {digest}\n"));
}

#[test]
fn bad_requests_are_refused() {
    let place = corpus();
    place.file("file", "");
    assert_refused(&place, &["corpus", "import", "missing"], &["missing: cannot be opened"]);
    assert_refused(&place, &["corpus", "export", "missing.ron", "-o", "corpus"], &["missing.ron"]);
    let seeds = ["corpus", "export", "--seeds", "0..100001", "-o", "corpus"];
    assert_refused(&place, &seeds, &["--seeds: more than 100000 files are no corpus"]);
    let onto_a_file = ["corpus", "export", "--seeds", "0..1", "-o", "file"];
    assert_refused(&place, &onto_a_file, &["file: cannot be written"]);
    for usage in [&["corpus"][..], &["corpus", "import"], &["corpus", "export", "-o", "it"]] {
        place.run(usage).with_code(2);
    }
}

#[test]
fn a_text_is_no_fuzz_input() {
    let place = Place::new();
    place.file("README.md", "# Something\n\nthat somebody means to be read.\n");
    assert_no_scenario(&place, "README.md", "this is text and not a fuzz input");
    let import = ["corpus", "import", "README.md"];
    assert_refused(&place, &import, &["README.md: this is text and not a fuzz input"]);
    // A fuzzer begins with the likes of this.
    place.file("short", "\n");
    place.run(&["replay", "short"]).with_code(0);
}

#[test]
fn inputs_that_are_the_same_scenario_are_pruned() {
    let place = corpus();
    let mut longer = fs::read(place.path("corpus/fuzz/lockstep/1")).unwrap();
    // The version is read as 1 whatever it is.
    longer[0] = 99;
    place.file("corpus/fuzz/lockstep/0", &longer);
    place.file("corpus/COUNT", "regressions 1\nfuzz/lockstep 3\n");
    place.run(&["corpus", "record"]).with_code(0);
    let would = place.run(&["corpus", "prune", "--dry-run"]).with_code(0).stdout;
    let same = "corpus/fuzz/lockstep/1: the same as corpus/fuzz/lockstep/0\n";
    assert_eq!(would, format!("{same}corpus/fuzz/lockstep: 1 of 3 files would be pruned\n"));
    place.run(&["corpus", "check"]).with_code(0);
    let pruned = place.run(&["corpus", "prune"]).with_code(0).stdout;
    assert_eq!(pruned, format!("{same}corpus/fuzz/lockstep: 1 of 3 files pruned\n"));
    assert_eq!(names(&place.path("corpus/fuzz/lockstep")), ["0", "2"]);
    let count = fs::read_to_string(place.path("corpus/COUNT")).unwrap();
    assert_eq!(count, "regressions 1\nfuzz/lockstep 2\n");
    place.run(&["corpus", "check"]).with_code(0);
    assert_eq!(names(&place.path("corpus/regressions")), ["seven.ron"]);
}
