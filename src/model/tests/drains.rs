//! Clause 14: what a drain waits for, and what it may answer.

use super::history::Held::{By, Zeros};
use super::history::{EIO, History};
use crate::device::DeviceError;
use crate::model::{Clause, Kind, Promises};
use std::io::ErrorKind;

const CANNOT: DeviceError = DeviceError::Io { kind: ErrorKind::Unsupported, errno: None };

fn in_place() -> History {
    History::promising(Promises::none().in_place())
}

#[test]
fn a_drain_waits_for_the_transfers_that_began_before_it() {
    for before in [
        History::new().write(1, 0..1),
        History::new().fua(1, 0..1),
        History::new().trim(1, 0..1),
        History::new().read(1, 0..1),
    ] {
        let violation = before.drain(2).must_not_answer(2, Ok(()), Kind::DrainedEarly);
        assert!(violation.sentence.contains("#1"), "{}", violation.sentence);
    }
    History::new().write(1, 0..1).drain(2).ok(1).ok(2);
    History::new().write(1, 0..1).drain(2).cancel(1).ok(2);
    assert_eq!(History::new().drain(1).ok(1).checked(Clause::Drain), 1);
}

#[test]
fn a_drain_need_not_wait_for_what_began_later_or_transfers_nothing() {
    History::new().drain(1).write(2, 0..1).ok(1).ok(2);
    History::new().flush(1).drain(2).drain(3).ok(3).ok(2).ok(1);
    // A trim and a flush, perhaps, with the drain in between.
    History::new().fua_trim(1, 0..1).drain(2).ok(2).ok(1);
}

#[test]
fn a_device_with_tasks_may_be_done_with_a_request_that_does_not_know_it() {
    in_place().write(1, 0..1).drain(2).ok(2).ok(1);
}

#[test]
fn what_was_dropped_before_a_drain_does_not_land_after_it() {
    let story = || in_place().write(1, 0..1).cancel(1).reads(0, &[Zeros]);
    story().reads(0, &[By(1)]);
    story().drain(2).reads(0, &[By(1)]).ok(2);
    story().drain(2).ok(2).reads(0, &[By(1)]);
    let settled = || story().drain(2).ok(2).reads(0, &[Zeros]);
    settled().must_not_read(0, &[By(1)], Kind::Stale);
    // A drain that fails promises nothing.
    story().drain(2).answers(2, Err(CANNOT)).reads(0, &[Zeros]).reads(0, &[By(1)]);
}

#[test]
fn a_drain_makes_nothing_durable_and_goes_on_after_a_failed_sync() {
    History::new().wrote(1, 0..1).drain(2).ok(2).crash_leaves(0, &[Zeros]);
    let failed = || History::new().wrote(1, 0..1).flush(2).fail_to_sync(2).drain(3);
    failed().ok(3);
    failed().must_not_answer(3, Err(DeviceError::SyncFailed), Kind::SpuriousError);
}

#[test]
fn only_a_device_that_does_not_promise_to_drain_may_say_that_it_cannot() {
    in_place().drain(1).answers(1, Err(CANNOT));
    in_place().drain(1).must_not_answer(1, Err(EIO), Kind::SpuriousError);
    in_place().flush(1).must_not_answer(1, Err(CANNOT), Kind::SpuriousError);
    History::new().drain(1).must_not_answer(1, Err(CANNOT), Kind::SpuriousError);
    let closed = || History::new().close(1).ok(1).drain(2);
    closed().answers(2, Err(DeviceError::Closed));
    closed().must_not_answer(2, Ok(()), Kind::RequestNotRejected);
}

#[test]
fn a_durable_trim_is_durable_when_it_returns() {
    use crate::model::TrimEffect;
    let story = || History::trimming(TrimEffect::Zeros).wrote(1, 0..1).flushed().trim(2, 0..1);
    story().ok(2).crash_leaves(0, &[By(1)]);
    let durable =
        || History::trimming(TrimEffect::Zeros).wrote(1, 0..1).flushed().fua_trim(2, 0..1).ok(2);
    durable().crash_leaves(0, &[Zeros]);
    durable().crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost);
}
