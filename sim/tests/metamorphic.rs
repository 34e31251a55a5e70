//! Variants of a scenario pass as it does; and where nothing but the device decides what it holds
//! in the end, they end with the same contents.

use blocktwin::disk::Medium;
use blocktwin::lockstep::{Event, FileBacked, Options, Report, Runner, Verdict};
use blocktwin::model::{Data, OpId};
use blocktwin::scenario::{Op, Profile, Scenario, Step, generate};
use std::collections::BTreeMap;

/// Makes a variant of a scenario; and says of each of its operations, which one it was before.
type Variant = fn(&Scenario) -> (Scenario, Vec<u32>);

/// The variants, by name.
const VARIANTS: [(&str, Variant); 4] = [
    ("another schedule", |it| (it.with_schedule(it.schedule ^ 1), unchanged(it))),
    ("no transient faults", |it| (it.without_transients(), unchanged(it))),
    ("split writes", Scenario::split_writes),
    ("all of it", |it| it.with_schedule(!it.schedule).without_transients().split_writes()),
];

fn unchanged(scenario: &Scenario) -> Vec<u32> {
    (1..).take(scenario.steps.len()).collect()
}

/// Which operation wrote what a sector holds.
type Contents = BTreeMap<u64, OpId>;

/// What was read back at the end of a run: what was visible, and what turned out to be durable.
/// Operations by the number that they had before.
fn ends(report: &Report, origins: &[u32]) -> [Contents; 2] {
    let crash = report.trace.iter().rposition(|it| matches!(it, Event::Crashed(0, _)));
    let (before, after) = report.trace.split_at(crash.expect("a run ends with a crash"));
    let clients = |event: &Event| matches!(event, Event::Began(..) | Event::Ended(..));
    let done = before.iter().rposition(clients).map_or(0, |at| at + 1);
    [&before[done..], after].map(|events| contents(events, origins))
}

fn contents(events: &[Event], origins: &[u32]) -> Contents {
    let mut contents = Contents::new();
    for event in events {
        if let Event::ReadBack(first, seen) = event {
            let before = |op: &OpId| match op {
                0 | &blocktwin::model::UNSPECIFIED | &blocktwin::model::FIRST_CONTENTS => *op,
                _ => origins[*op as usize - 1],
            };
            contents.extend((*first..).zip(seen.iter().map(before)));
        }
    }
    contents
}

/// Runs a scenario, which has to pass.
#[track_caller]
fn passes(scenario: &Scenario, name: &str) -> Report {
    let options = Options { trace: true, ..Options::default() };
    let report = Runner::new(FileBacked, Medium::Memory).run(scenario, options);
    let report = report.expect("memory has room");
    assert_eq!(report.verdict, Verdict::Pass, "seed {:?} with {name}", scenario.seed);
    report
}

/// The scenario where only the device decides what it holds: of one client, that is never dropped
/// and loses no power, and meets faults that have to be absorbed.
fn calm(mut scenario: Scenario) -> Scenario {
    scenario.steps.retain(|step| !matches!(step.op, Op::Crash(_)));
    for step in &mut scenario.steps {
        step.client = 0;
        (step.drop_at, step.crash_at) = (None, None);
        step.faults.retain(|fault| fault.kind.is_transient());
        // Which of its sectors are zeros depends on the number of the write, which variants change.
        if let Op::Write { data: data @ Data::Sparse, .. } = &mut step.op {
            *data = Data::Unique;
        }
    }
    scenario
}

#[test]
fn variants_pass() {
    for profile in Profile::ALL {
        for seed in 0..30 {
            let scenario = generate(seed, profile);
            for (name, variant) in VARIANTS {
                passes(&variant(&scenario).0, name);
            }
        }
    }
}

#[test]
fn variants_of_calm_scenarios_end_with_the_same_contents() {
    let mut compared = 0;
    for profile in Profile::ALL {
        for seed in 0..30 {
            let scenario = calm(generate(seed, profile));
            let expected = ends(&passes(&scenario, "nothing"), &unchanged(&scenario));
            compared += expected.iter().flat_map(Contents::values).filter(|op| **op > 0).count();
            for (name, variant) in VARIANTS {
                let (variant, origins) = variant(&scenario);
                let found = ends(&passes(&variant, name), &origins);
                assert_eq!(found, expected, "seed {seed}, {profile:?}: {name}");
            }
        }
    }
    assert!(compared > 1000, "only {compared} sectors were compared");
}

/// A variant that is none.
#[test]
fn other_contents_are_told_apart() {
    let mut scenario = calm(generate(1, Profile::Default));
    scenario.device.read_only = false;
    let length = scenario.device.block_size.into();
    let write = Step::new(Op::write(0, length));
    scenario.steps = vec![write.clone(), Step::new(Op::Flush), write];
    let origins = unchanged(&scenario);
    let [visible, durable] = ends(&passes(&scenario, "nothing"), &origins);
    assert_eq!((visible[&0], durable[&0]), (3, 1));
    scenario.steps.swap(1, 2);
    assert_ne!(ends(&passes(&scenario, "later flush"), &origins), [visible, durable]);
}
