//! What a trace says of the sectors against what the device read from them.

use super::*;
use crate::model::{Content, Data, FIRST_CONTENTS, OpId, PATTERN};
use std::collections::BTreeMap;

const SECTORS: Options = Options { trace: true, sectors: true, report_media_errors: false };

/// Whether a sector that holds this shows what the operation `seen` left.
fn shows(content: Content, number: u64, scenario: &Scenario, seen: OpId) -> bool {
    let step = scenario.steps.get((seen as usize).wrapping_sub(1));
    // What trim it was, the bytes do not tell.
    let trimmed = step.is_some_and(|step| matches!(step.op, Op::Trim { .. }));
    let data = step.map_or(Data::Unique, |step| step.op.data());
    match content {
        Content::Zeros => seen == 0 || trimmed || !matches!(data, Data::Unique | Data::Pattern),
        Content::Written { op: PATTERN, sector } => data == Data::Pattern && sector == number,
        Content::Written { op, sector } => (op, sector) == (seen, number),
        Content::Scribble => trimmed,
        Content::Torn { .. } | Content::Unknown => false,
    }
}

#[test]
fn a_trace_shows_what_is_read_back() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let mut compared = 0;
    for seed in 0..300 {
        let scenario = generate(seed, Profile::Durability);
        let report = runner.run(&scenario, SECTORS).unwrap();
        let mut held = BTreeMap::new();
        for event in &report.trace {
            if let Event::Holds(sectors) = event {
                held.extend(sectors.iter().map(|it| (it.number, it.visible)));
            }
            let Event::ReadBack(first, seen) = event else { continue };
            for (number, &seen) in (*first..).zip(seen).filter(|&(_, &seen)| seen < FIRST_CONTENTS)
            {
                let visible = held.get(&number).copied().unwrap_or(Content::Zeros);
                let right = shows(visible, number, &scenario, seen);
                assert!(right, "seed {seed}: sector {number} is {visible:?}, #{seen} was seen");
                compared += 1;
            }
        }
    }
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn a_crash_leaves_nothing_that_is_not_durable() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let mut crashes = 0;
    for seed in 0..100 {
        let report = runner.run(&generate(seed, Profile::Default), SECTORS).unwrap();
        for pair in report.trace.windows(2) {
            if let [Event::Crashed(..), Event::Holds(sectors)] = pair {
                assert!(sectors.iter().all(|it| it.visible == it.durable), "seed {seed}");
                crashes += 1;
            }
        }
    }
    assert!(crashes > 20, "{crashes}");
}

#[test]
fn looking_at_the_sectors_changes_nothing() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    for seed in 0..50 {
        let scenario = generate(seed, Profile::Hostile);
        let plain = runner.run(&scenario, Options { trace: true, ..Options::default() }).unwrap();
        let mut watched = runner.run(&scenario, SECTORS).unwrap();
        watched.trace.retain(|event| !matches!(event, Event::Holds(_)));
        assert_eq!((plain.digest, plain.trace), (watched.digest, watched.trace), "seed {seed}");
    }
}
