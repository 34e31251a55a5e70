//! Scenarios that are changed to what a device takes.

use super::*;
use crate::disk::Fault;
use crate::rng::{Purpose, Rng};
use crate::scenario::{Expectation, ExpectedVerdict, decode, generate, parse, print};

/// Generated scenarios of every profile, and what random bytes decode to.
fn scenarios() -> Vec<Scenario> {
    let generated = Profile::ALL.into_iter();
    let generated = generated.flat_map(|it| (0..60).map(move |seed| generate(seed, it)));
    let decoded = (0..100).map(|seed| {
        let mut rng = Rng::new(seed, Purpose::Operations);
        let words = (0..100).flat_map(|_| rng.next_u64().to_le_bytes());
        decode(&words.collect::<Vec<u8>>())
    });
    generated.chain(decoded).collect()
}

/// Whether an operation is no request, one that the device has to serve, or one that it or the heap
/// has to refuse.
fn served(op: Op, spec: &DeviceSpec) -> Option<bool> {
    let (offset, length) = op.request()?.span()?;
    let block = spec.block_size;
    let largest = u64::from(block) << spec.heap.div_ceil(block).ilog2();
    let fits = matches!(op, Op::Trim { .. }) || length <= largest;
    Some(fits && spec.geometry().unwrap().check(offset, length).is_ok())
}

#[test]
fn a_fitted_scenario_is_accepted_and_stays() {
    let scenarios = scenarios();
    for (name, accepts) in devices() {
        for scenario in &scenarios {
            let mut fitted = scenario.clone();
            accepts.fit(&mut fitted);
            assert_eq!(accepts.check(&fitted), Ok(()), "{name} {:?}", scenario.device);
            let mut again = fitted.clone();
            accepts.fit(&mut again);
            assert_eq!(again, fitted, "{name}");
            for (old, new) in scenario.steps.iter().zip(&fitted.steps) {
                let was = served(old.op, &scenario.device);
                let is = served(new.op, &fitted.device);
                assert_eq!(was, is, "{name} {old:?} {new:?} {:?}", fitted.device);
            }
            // It could stand in a file.
            let parsed = (scenario.salt % 8 == 0).then(|| parse(&print(&fitted)));
            assert!(parsed.is_none_or(|parsed| parsed == Ok(fitted)), "{name}");
        }
    }
}

#[test]
fn what_is_accepted_stays_as_it_is() {
    for mut scenario in scenarios() {
        let (verdict, digest) = (ExpectedVerdict::Pass, String::new());
        scenario.expect = Some(Expectation { verdict, digest });
        let mut fitted = scenario.clone();
        unconstrained().fit(&mut fitted);
        assert_eq!(fitted, scenario);
    }
}

#[test]
fn a_device_that_takes_nothing_does_no_harm() {
    let scenarios = scenarios();
    for (line, accepts) in impossible_devices() {
        for scenario in &scenarios {
            let mut fitted = scenario.clone();
            accepts.fit(&mut fitted);
            refused(&accepts, &fitted);
            assert!(fitted.device.geometry().is_ok());
            let mut again = fitted.clone();
            accepts.fit(&mut again);
            assert_eq!(again, fitted, "{line}");
        }
    }
}

/// What operations in blocks become when blocks have another size, and the device another number of
/// them.
#[track_caller]
fn moved(accepts: &Accepts, spans: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let trims = spans.iter().map(|&(offset, length)| Op::trim(offset, length));
    let mut scenario = scenario(&trims.collect::<Vec<_>>());
    accepts.fit(&mut scenario);
    scenario.steps.iter().filter_map(|step| step.op.request()?.span()).collect()
}

#[test]
fn requests_keep_their_blocks() {
    let accepts = unconstrained().block_sizes(4096..);
    let spans = [(1024, 2048), (7168, 1024), (8192, 1024), (0, 0), (1025, 1024), (1024, 1)];
    let larger = [(4096, 8192), (28672, 4096), (32768, 4096), (0, 0), (4100, 4096), (4096, 4)];
    assert_eq!(moved(&accepts, &spans), larger);
    let top = u64::MAX - 1023;
    let tops = [(u64::MAX - 4095, 4096), (u64::MAX - 8191, 8192)];
    assert_eq!(moved(&accepts, &[(top, 1024), (top - 1024, 2048)]), tops);
}

#[test]
fn requests_at_the_end_stay_at_the_end() {
    let spans = [(1024, 1024), (7168, 1024), (7168, 2048), (8192, 1024), (1 << 63, 1024)];
    let more = [(1024, 1024), (7168, 1024), (19456, 2048), (20480, 1024), (1 << 63, 1024)];
    assert_eq!(moved(&unconstrained().blocks(20..), &spans), more);
    let fewer = [(1024, 1024), (3072, 1024), (3072, 2048), (4096, 1024), (1 << 63, 1024)];
    assert_eq!(moved(&unconstrained().blocks(..=4), &spans), fewer);
}

#[test]
fn what_overlapped_overlaps_in_a_smaller_device() {
    let spans = [(0, 3072), (2048, 4096), (5120, 3072)];
    assert_eq!(
        moved(&unconstrained().blocks(..=5), &spans),
        [(0, 2048), (1024, 3072), (3072, 2048)]
    );
    // No room for all.
    assert_eq!(moved(&unconstrained().blocks(..=1), &spans), [(0, 1024); 3]);
}

#[test]
fn the_file_stays_whole_short_or_empty() {
    let fitted = |file_length, accepts: &Accepts| {
        let mut scenario = scenario(&[]);
        scenario.device.file_length = file_length;
        accepts.fit(&mut scenario);
        scenario.device.file_length
    };
    let larger = unconstrained().block_sizes(4096..).blocks(10..);
    let found = [8192, 0, 1024, 1536, 1025].map(|length| fitted(length, &larger));
    assert_eq!(found, [40960, 0, 4096, 6144, 4100]);
    let fewer = unconstrained().blocks(..=4);
    assert_eq!([8192, 0, 1024, 1536].map(|length| fitted(length, &fewer)), [4096, 0, 1024, 1536]);
    assert_eq!(fitted(512, &unconstrained().short_files(false)), 8192);
}

#[test]
fn the_heap_keeps_what_fits_and_what_does_not() {
    let (fits, too_large) = (4096, 8192);
    let reads = [fits, too_large].map(|length| Op::Read { offset: 0, length });
    let fitted = |accepts: Accepts| {
        let mut scenario = scenario(&reads);
        accepts.fit(&mut scenario);
        let lengths = scenario.steps.iter().filter_map(|step| Some(step.op.request()?.span()?.1));
        (scenario.device.heap, lengths.collect::<Vec<_>>())
    };
    assert_eq!(fitted(unconstrained().heap(..=3000)), (3000, vec![2048, 8192]));
    assert_eq!(fitted(unconstrained().heap(8192..)), (8192, vec![4096, 9216]));
}

#[test]
fn faults_that_are_not_drawn_are_removed() {
    let write = |length| Op::write(0, length);
    let mut original = scenario(&[write(1024), write(2048), Op::Crash(CrashPolicy::Garbage(7))]);
    original.device.sector_size = 512;
    for step in &mut original.steps {
        let kinds = [FaultKind::Eio, FaultKind::ShortWrite(700), FaultKind::ShortWrite(3)];
        step.faults = kinds.map(|kind| Fault { call: 0, kind }).into();
        (step.drop_at, step.crash_at) = (Some(1), Some((2, CrashPolicy::TornBytes(9))));
    }
    let fitted = |accepts: Accepts| {
        let mut scenario = original.clone();
        accepts.fit(&mut scenario);
        scenario.steps
    };
    let kinds = |step: &Step| step.faults.iter().map(|it| it.kind).collect::<Vec<_>>();

    let whole = fitted(Accepts::anything().without_faults(&[FaultClass::Eio]));
    assert_eq!(kinds(&whole[0]), [FaultKind::ShortWrite(512); 2]);
    // Blocks of one sector of 4096 bytes: a write of one cannot stop short.
    let native = fitted(Accepts::anything().sector_sizes(&[4096]));
    assert_eq!(kinds(&native[0]), [FaultKind::Eio]);
    let shorts = [FaultKind::Eio, FaultKind::ShortWrite(4096), FaultKind::ShortWrite(4096)];
    assert_eq!(kinds(&native[1]), shorts);

    let gentle = fitted(unconstrained().crashes_beyond_contract(false));
    assert_eq!(gentle[2].op, Op::Crash(CrashPolicy::Random(7)));
    assert_eq!(gentle[2].crash_at, Some((2, CrashPolicy::Random(9))));
    let opened = fitted(unconstrained().without_faults(&[FaultClass::CrashInOpen]));
    assert!(opened[0].crash_at.is_some() && opened[2].crash_at.is_none());
    let woken = fitted(unconstrained().without_faults(&[FaultClass::DroppedAwake]));
    assert!(woken.iter().all(|step| step.dropped() == Some(FaultClass::Dropped)));
    let calm = fitted(unconstrained().without_faults(&[FaultClass::Crash, FaultClass::Dropped]));
    assert_eq!(calm[2].op, Op::Reopen);
    assert!(calm.iter().all(|step| step.crash_at.is_none() && step.dropped().is_none()));
}

#[test]
fn a_scenario_that_changes_expects_nothing() {
    let (verdict, digest) = (ExpectedVerdict::Pass, String::new());
    let mut changed = scenario(&[]);
    changed.expect = Some(Expectation { verdict, digest });
    unconstrained().blocks(9..).fit(&mut changed);
    assert_eq!(changed.expect, None);
}
