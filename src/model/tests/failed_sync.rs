//! Clause 6: a failed sync ends all promises.

use super::history::Held::{By, Zeros};
use super::history::{EIO, History};
use crate::device::DeviceError;
use crate::model::{Clause, Kind, OpId, Request};

const POISONED: Result<(), DeviceError> = Err(DeviceError::SyncFailed);

/// One request of each kind that a poisoned device has to refuse.
const REFUSED: [Request; 6] = [
    Request::Write { offset: 0, length: 512, fua: false },
    Request::Write { offset: 0, length: 512, fua: true },
    Request::Trim { offset: 0, length: 512, fua: false },
    Request::Flush,
    Request::Barrier,
    Request::Close,
];

const SYNCS: [Request; 4] = [
    Request::Write { offset: 0, length: 512, fua: true },
    Request::Flush,
    Request::Barrier,
    Request::Close,
];

/// A flush has failed and said so.
fn poisoned() -> History {
    History::new().wrote(1, 0..1).flush(2).fail_to_sync(2)
}

#[test]
fn a_failed_sync_must_not_be_swallowed() {
    for request in SYNCS {
        let story = || History::new().begin(1, request).sync_met();
        story().answers(1, Err(EIO));
        story().must_not_answer(1, Ok(()), Kind::ErrorSwallowed);
        story().must_not_answer(1, POISONED, Kind::WrongError);
    }
}

#[test]
fn after_a_failure_was_told_everything_but_reading_fails() {
    for request in REFUSED {
        let story = || poisoned().begin(3, request);
        story().answers(3, POISONED);
        story().must_not_answer(3, Ok(()), Kind::PoisonIgnored);
        story().must_not_answer(3, Err(EIO), Kind::WrongError);
        assert_eq!(story().answers(3, POISONED).checked(Clause::SyncFailure), 1);
    }
    poisoned().reads(0, &[By(1)]);
    poisoned().read(3, 0..1).must_not_answer(3, POISONED, Kind::SpuriousError);
}

#[test]
fn a_request_made_before_the_failure_was_told_may_still_succeed() {
    for request in REFUSED {
        let story = || History::new().wrote(1, 0..1).flush(2).begin(3, request);
        story().fail_to_sync(2).ok(3);
        story().fail_to_sync(2).answers(3, POISONED);
        story().must_not_answer(3, POISONED, Kind::SpuriousError);
    }
}

#[test]
fn a_request_that_is_dropped_tells_of_no_failure_but_may_poison() {
    let story = || History::new().flush(2).sync_met().cancel(2).write(3, 0..1);
    story().ok(3);
    story().answers(3, POISONED);
}

#[test]
fn after_a_request_was_dropped_under_a_failed_sync_the_next_sync_tells() {
    for request in SYNCS {
        let story = || History::new().flush(2).sync_met().cancel(2).begin(3, request);
        story().answers(3, POISONED);
        story().answers(3, Err(EIO));
        story().must_not_answer(3, Ok(()), Kind::PoisonIgnored);
        story().must_not_answer(3, Err(DeviceError::WriteZero), Kind::WrongError);
    }
    let nothing = Request::Write { offset: 0, length: 0, fua: true };
    History::new().flush(2).sync_met().cancel(2).begin(3, nothing).ok(3);
    let told = || History::new().flush(2).sync_met().cancel(2).flush(3).answers(3, Err(EIO));
    told().write(4, 0..1).must_not_answer(4, Ok(()), Kind::PoisonIgnored);
    told().write(4, 0..1).answers(4, POISONED);
}

#[test]
fn poison_lasts_until_the_device_is_opened_again() {
    poisoned().write(3, 0..1).answers(3, POISONED).write(4, 0..1).must_not_answer(
        4,
        Ok(()),
        Kind::PoisonIgnored,
    );
    let close = || poisoned().close(3).answers(3, POISONED).close(5).answers(5, POISONED);
    close().reopened().wrote(4, 0..1).flushed();
    close().reopened().write(4, 0..1).must_not_answer(4, POISONED, Kind::SpuriousError);
    poisoned().crash_leaves(0, &[By(1)]).wrote(3, 0..1).flushed();
}

#[test]
fn a_write_that_a_poisoned_device_refused_is_old_or_new() {
    let story = || poisoned().write(3, 0..1).answers(3, POISONED);
    story().reads(0, &[By(1)]);
    story().reads(0, &[By(3)]);
    story().must_not_read(0, &[Zeros], Kind::Lost);
}

/// What was unsynced when a sync failed, and flushed by a device that was opened since.
fn doubtful() -> History {
    poisoned().close(3).answers(3, POISONED).reopened()
}

#[test]
fn what_was_unsynced_when_a_sync_failed_stays_in_doubt() {
    doubtful().reads(0, &[By(1)]).flushed().crash_leaves(0, &[Zeros]);
    doubtful().flushed().crash_leaves(0, &[By(1)]);
    doubtful().ordered().wrote(4, 1..2).flushed().crash_leaves(0, &[Zeros, By(4)]);
    let fine = History::new().wrote(1, 0..1).flush(2).ok(2).closed().reopened();
    fine.crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn what_was_durable_when_a_sync_failed_is_not_in_doubt() {
    let story = || History::new().wrote(1, 0..1).flushed().wrote(2, 1..2).flush(3).fail_to_sync(3);
    story().crash_leaves(0, &[By(1), Zeros]);
    story().crash_must_not_leave(0, &[Zeros, Zeros], Kind::DurabilityLost);
}

#[test]
fn what_was_written_since_is_firm() {
    let story = || doubtful().wrote(4, 0..1);
    story().flushed().crash_leaves(0, &[By(4)]);
    story().flushed().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    story().flushed().crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost);
    story().crash_leaves(0, &[Zeros]);
    let fua = doubtful().fua(4, 0..1).ok(4);
    fua.crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_second_failure_puts_in_doubt_what_was_written_between_them() {
    let story = || doubtful().wrote(4, 0..1).flush(5).fail_to_sync(5);
    let again = || story().close(6).answers(6, POISONED).reopened().flushed();
    again().crash_leaves(0, &[Zeros]);
    again().crash_leaves(0, &[By(1)]);
    again().wrote(7, 0..1).flushed().crash_must_not_leave(0, &[By(4)], Kind::DurabilityLost);
}

#[test]
fn a_flush_between_two_failures_proves_nothing() {
    let story = || doubtful().flush(5).flush(6).fail_to_sync(6).ok(5);
    story().crash_leaves(0, &[Zeros]);
    story().crash_leaves(0, &[By(1)]);
}

#[test]
fn a_flush_after_a_crash_is_not_between_two_failures() {
    let crashed = || poisoned().crash_leaves(0, &[Zeros]).wrote(3, 0..1);
    let story = || crashed().flush(4).flush(5).fail_to_sync(5).ok(4);
    story().crash_leaves(0, &[By(3)]);
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_crash_ends_all_doubt() {
    let story = || poisoned().crash_leaves(0, &[Zeros]).wrote(3, 0..1).flushed();
    story().crash_leaves(0, &[By(3)]);
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_flush_called_before_another_failed_is_held_to_its_ok() {
    let story = || History::new().wrote(1, 0..1).flush(2).flush(3).fail_to_sync(3).ok(2);
    story().crash_leaves(0, &[By(1)]);
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

/// Whoever opens the device next cannot know that a sync had failed under a request that was
/// dropped: the kernel tells only once.
#[test]
fn a_sync_that_fails_under_a_dropped_request_leaves_doubt_as_well() {
    for request in SYNCS {
        let story = |op: OpId| {
            let history = History::new().wrote(1, 1..2).begin(op, request).sync_met().cancel(op);
            history.reopened().flushed()
        };
        story(2).crash_leaves(1, &[Zeros]);
        let again = || story(2).wrote(3, 1..2).flushed();
        again().crash_must_not_leave(1, &[Zeros], Kind::DurabilityLost);
    }
}

#[test]
fn order_is_not_demanded_of_what_is_in_doubt() {
    let story = || doubtful().ordered().wrote(4, 1..2);
    story().crash_leaves(0, &[Zeros, By(4)]);
    let firm = || doubtful().wrote(4, 0..1).ordered().wrote(5, 1..2);
    firm().crash_leaves(0, &[By(4), By(5)]);
    firm().crash_must_not_leave(0, &[By(1), By(5)], Kind::OrderingViolated);
}
