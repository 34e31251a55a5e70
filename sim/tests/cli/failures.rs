//! What becomes of divergences: one file for each that is unlike the others.

use super::program::Place;
use super::summary;
use blocktwin::scenario::parse;
use serde_json::Value;
use std::fs;

/// A campaign on a device that does not sync when it is closed, which shows in several ways.
const CAMPAIGN: [&str; 8] =
    ["run", "--device", "close-without-sync", "--seeds", "0..100", "--medium", "memory", "--save"];

#[test]
fn every_distinct_failure_is_saved_once() {
    let place = Place::new();
    let mut outputs = Vec::new();
    for (jobs, directory) in [("1", "one"), ("2", "two")] {
        let format = ["--format", "json", "--jobs", jobs];
        let ended = place.run(&[&CAMPAIGN[..], &[directory], &format].concat()).with_code(1);
        let summary = summary(&ended);
        assert_eq!(summary["scenarios"], 100, "it goes on to the end");
        let mut failures = summary["failures"].as_array().expect("a list").clone();
        let seeds: u64 = failures.iter().filter_map(|it| it["seeds"].as_u64()).sum();
        assert_eq!(summary["divergences"], seeds);
        assert!((2..10).contains(&failures.len()) && seeds > failures.len() as u64, "{summary:#}");
        for failure in &mut failures {
            let path = failure["file"].as_str().expect("a path");
            let saved = parse(&fs::read_to_string(place.path(path)).unwrap()).unwrap();
            assert_eq!(saved.seed, failure["lowest_seed"].as_u64());
            assert_eq!(failure["ops"], saved.steps.len());
            assert!(ended.stderr.contains(&format!(" {path}\n")), "{}", ended.stderr);
            place.run(&["replay", "--device", "close-without-sync", path]).with_code(1);
            failure["file"] = Value::Null;
        }
        assert_eq!(super::names(&place.path(directory)).len(), failures.len());
        outputs.push(failures);
    }
    assert_eq!(outputs[0], outputs[1], "whatever the number of jobs");
}

#[test]
fn a_table_tells_the_failures_and_how_to_replay_them() {
    let place = Place::new();
    let ended = place.run(&[&CAMPAIGN[..], &["found"]].concat()).with_code(1);
    assert!(ended.stdout.contains("\ndistinct failures: "), "{}", ended.stdout);
    let row = ended.stdout.lines().find(|line| line.starts_with("durability lost "));
    assert!(row.is_some_and(|row| row.contains(" first sector ")), "{}", ended.stdout);
    let (_, commands) = ended.stdout.split_once("\nreplay with:\n").expect("commands");
    assert_eq!(commands.lines().count(), super::names(&place.path("found")).len());
    for command in commands.lines() {
        place.shell(command).with_code(1);
    }
}

#[test]
fn what_is_saved_already_is_left_alone() {
    let place = Place::new();
    let campaign = [&CAMPAIGN[..], &["found"]].concat();
    place.run(&campaign).with_code(1);
    let first = super::names(&place.path("found"));
    place.run(&campaign).with_code(1);
    assert_eq!(super::names(&place.path("found")), first, "the same once more");
    let other = format!("found/{}", first[0]);
    place.file(&other, "of somebody");
    place.run(&campaign).with_code(1);
    assert_eq!(super::names(&place.path("found")).len(), first.len() + 1);
    assert_eq!(fs::read_to_string(place.path(&other)).unwrap(), "of somebody");
}

#[test]
fn without_a_directory_the_first_divergence_ends_it() {
    let place = Place::new();
    let campaign = &CAMPAIGN[..CAMPAIGN.len() - 1];
    let ended = place.run(campaign).with_code(1);
    assert_eq!(place.names(), ["failures"]);
    let [saved] = &*super::names(&place.path("failures")) else { panic!("{ended:#?}") };
    assert!(saved.starts_with("seed-"), "{saved}");
    assert!(ended.stdout.contains("\nDIVERGED") || ended.stdout.contains(" DIVERGED: "));
    place.shell(ended.last_line()).with_code(1);
}

#[test]
fn a_failure_that_cannot_be_saved_is_printed() {
    let place = Place::new();
    place.file("file", "");
    let ended = place.run(&[&CAMPAIGN[..], &["file"]].concat()).with_code(1);
    let (_, rest) = ended.stdout.split_once("file: the scenario cannot be saved there").unwrap();
    assert!(rest.contains("here it is:\n(\n    version: 1,\n"), "{rest}");
}
