//! What variants of a scenario change, and what they leave.

use crate::disk::{CrashPolicy, Fault, FaultKind};
use crate::scenario::{Op, Profile, Scenario, Step, generate};

/// A scenario of these steps on a device of eight blocks of 1024 bytes.
fn scenario(steps: Vec<Step>) -> Scenario {
    let mut scenario = generate(1, Profile::Default);
    (scenario.device.sector_size, scenario.device.block_size) = (512, 1024);
    (scenario.device.block_count, scenario.device.heap) = (8, 8 << 10);
    scenario.steps = steps;
    scenario
}

fn write(offset: u64, length: u64) -> Op {
    Op::fua_write(offset, length)
}

#[test]
fn another_schedule_is_all_that_changes() {
    let scenario = generate(5, Profile::Heavy);
    let other = scenario.with_schedule(7);
    assert_eq!(other.schedule, 7);
    assert_eq!(other.with_schedule(scenario.schedule), scenario);
}

#[test]
fn of_all_faults_only_the_transient_ones_are_taken_away() {
    let transient = [
        FaultKind::Interrupted,
        FaultKind::ShortRead(1),
        FaultKind::ShortWrite(1),
        FaultKind::Latency(1),
        FaultKind::LateReturn(1),
    ];
    let others = [FaultKind::WriteZero, FaultKind::LostWrite, FaultKind::Eio];
    let kinds = [transient.as_slice(), &others].concat();
    let faults =
        |kinds: &[FaultKind]| kinds.iter().map(|&kind| Fault { call: 3, kind }).collect::<Vec<_>>();
    let step = Step { faults: faults(&kinds), ..Step::new(Op::Flush) };
    let left = scenario(vec![step]).without_transients();
    assert_eq!(left.steps, [Step { faults: faults(&others), ..Step::new(Op::Flush) }]);
}

#[test]
fn a_write_is_split_and_its_first_piece_keeps_what_disturbs_it() {
    let disturbed = Step {
        client: 2,
        faults: vec![Fault { call: 0, kind: FaultKind::Eio }],
        drop_at: Some(1),
        crash_at: Some((2, CrashPolicy::All)),
        ..Step::new(write(1024, 3072))
    };
    let steps = vec![Step::new(Op::Flush), disturbed.clone(), Step::new(write(0, 1024))];
    let (split, origins) = scenario(steps).split_writes();
    let piece = |offset| Step { client: 2, ..Step::new(write(offset, 1024)) };
    let expected = [
        Step::new(Op::Flush),
        Step { op: write(1024, 1024), ..disturbed },
        piece(2048),
        piece(3072),
        Step::new(write(0, 1024)),
    ];
    assert_eq!(split.steps, expected);
    assert_eq!(origins, [1, 2, 2, 2, 3]);
}

#[test]
fn a_write_that_may_be_refused_stays_whole() {
    let whole = [(512, 2048), (0, 1536), (7168, 2048), (u64::MAX - 1023, 2048), (0, 0), (0, 5120)];
    let steps: Vec<_> = whole.map(|(offset, length)| Step::new(write(offset, length))).into();
    let (split, origins) = scenario(steps.clone()).split_writes();
    assert_eq!(split.steps, steps);
    assert_eq!(origins, [1, 2, 3, 4, 5, 6]);
}
