//! The canary: every planted bug is found, and no legal device is accused.
//!
//! Bounds are numbers of scenarios, not times, so that a slow machine changes nothing.

use serde_json::Value;
use std::process::{Command, Output};

/// No bug needs as many from the first base seed.
const ENOUGH: &str = "10000";

/// Every device that is as it should be.
const LEGAL: [&str; 9] = [
    "file",
    "write-through",
    "write-back",
    "read-cache",
    "punch-hole",
    "sector-pieces",
    "plain",
    "by-name",
    "in-hand",
];

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
    let score = hunt(&["--scenarios", ENOUGH], 0);
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

#[test]
fn no_legal_device_is_accused() {
    for device in LEGAL {
        let run = ["run", "--medium", "memory", "--seeds", "0..300", "--device", device];
        let campaign = blocktwin(&run);
        let said = String::from_utf8_lossy(&campaign.stdout);
        assert_eq!(campaign.status.code(), Some(0), "{device}: {said}");
    }
}

#[test]
fn the_list_names_what_runs_and_hunts_take() {
    let listed = blocktwin(&["bugs", "--list"]).stdout;
    let listed = String::from_utf8_lossy(&listed);
    let legal = listed.lines().filter(|line| line.split_whitespace().nth(1) == Some("legal"));
    let legal: Vec<_> = legal.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(legal, LEGAL[1..]);
    for refused in [["run", "--device", "nessie"], ["bugs", "--list", "write-back"]] {
        assert_eq!(blocktwin(&refused).status.code(), Some(2), "{refused:?}");
    }
}
