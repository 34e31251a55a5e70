//! The canary: every planted bug is found, and no legal device is accused.
//!
//! Bounds are numbers of scenarios, not times, so that a slow machine changes nothing.

use serde_json::Value;
use std::process::{Command, Output};

/// No bug needs as many from the first base seed.
const ENOUGH: &str = "30000";

/// Legal devices over real files of their own, which nothing happens to.
const REAL_FILES: [&str; 2] = ["by-name", "in-hand"];

/// Every class of bugs that the zoo has to have.
const CLASSES: [&str; 10] = [
    "durability",
    "ordering",
    "short-io",
    "transient",
    "loud",
    "bounds",
    "caching",
    "concurrency",
    "reopen",
    "silent",
];

fn blocktwin(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_blocktwin"));
    program.args(arguments).output().expect("the program can be run")
}

/// What the hunt for bugs says, whose exit status has to be this.
#[track_caller]
fn hunt(arguments: &[&str], status: i32) -> Value {
    let always = ["bugs", "--format", "json", "--budget", "1h", "--bases", "1"];
    let hunted = blocktwin(&[&always, arguments].concat());
    let complaint = String::from_utf8_lossy(&hunted.stderr);
    assert_eq!(hunted.status.code(), Some(status), "{complaint}");
    serde_json::from_slice(&hunted.stdout).expect("one JSON object")
}

#[test]
fn every_planted_bug_is_found() {
    let score = hunt(&["--scenarios", ENOUGH, "--no-shrink"], 0);
    assert_eq!(score["found"], score["total"]);
    let bugs = score["bugs"].as_array().expect("a list");
    assert!(bugs.len() >= 48, "{} bugs", bugs.len());
    for bug in bugs {
        assert!(bug["scenarios"].is_u64() && bug["verdict"].is_string(), "{bug}");
    }
    for class in CLASSES {
        assert!(bugs.iter().any(|bug| bug["class"] == class), "{class}");
    }
}

/// Of every planted bug the corpus holds the smallest scenario, which shows it and nothing else.
#[test]
fn known_bugs_show_what_they_are_kept_for() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let checked = blocktwin(&["corpus", "check", &format!("{root}/corpus")]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let listed = blocktwin(&["bugs", "--list"]).stdout;
    for line in String::from_utf8_lossy(&listed).lines() {
        let mut words = line.split_whitespace();
        let (name, class) = (words.next().expect("a name"), words.next().expect("a class"));
        if class == "legal" {
            continue;
        }
        let kept = format!("{root}/corpus/known_bugs/{name}.ron");
        assert!(std::path::Path::new(&kept).is_file(), "{kept} is missing");
    }
}

#[test]
fn a_bug_that_is_not_found_is_told() {
    let score = hunt(&["--scenarios", "1", "third-boot", "offset-44-bits"], 3);
    assert_eq!(score["total"], 2);
    let missed = &score["bugs"][1];
    assert_eq!((&missed["name"], &missed["found"]), (&"offset-44-bits".into(), &false.into()));
    assert!(missed["scenarios"].is_null() && missed["verdict"].is_null(), "{missed}");
}

/// The names in a list of a table.
fn names(table: &Value, list: &str) -> Vec<String> {
    let devices = table[list].as_array().expect("a list").iter();
    devices.map(|device| device["name"].as_str().expect("a name").to_owned()).collect()
}

/// And the controls are all of those that `bugs --list` calls legal, after the real device.
#[test]
fn no_legal_device_is_accused() {
    let controls = blocktwin(&["legal", "--seeds", "0..300", "--format", "json"]);
    let said = String::from_utf8_lossy(&controls.stdout);
    assert_eq!(controls.status.code(), Some(0), "{said}");
    let table: Value = serde_json::from_str(&said).expect("one JSON object");
    let listed = blocktwin(&["bugs", "--list"]).stdout;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let legal = listed.lines().filter(|line| line.split_whitespace().nth(1) == Some("legal"));
    let legal = legal.filter_map(|line| line.split_whitespace().next());
    let mut expected: Vec<_> = ["file"].into_iter().chain(legal).collect();
    expected.retain(|name| !REAL_FILES.contains(name));
    assert_eq!(names(&table, "devices"), expected);
    assert_eq!(names(&table, "skipped"), REAL_FILES);
}

/// They pass as well, and it is said that this means little.
#[test]
fn a_device_over_a_real_file_passes_and_is_vacuous() {
    for device in REAL_FILES {
        let run = ["run", "--medium", "memory", "--seeds", "0..300", "--device", device];
        let campaign = blocktwin(&[&run[..], &["--format", "json"]].concat());
        assert_eq!(campaign.status.code(), Some(3), "{campaign:?}");
        let summary: Value = serde_json::from_slice(&campaign.stdout).expect("one JSON object");
        assert_eq!(summary["divergences"], 0, "{summary:#}");
        assert!(summary["vacuous"].is_string(), "{summary:#}");
    }
}

#[test]
fn what_is_not_there_is_refused() {
    for refused in [["run", "--device", "nessie"], ["bugs", "--list", "write-back"]] {
        assert_eq!(blocktwin(&refused).status.code(), Some(2), "{refused:?}");
    }
}
