//! What is said of the data of a write that had not succeeded, and of an error that nothing
//! explains: the kind is one of few words, and the sentence tells what happened.

use super::history::Held::{By, Zeros};
use super::history::{EIO, History};
use crate::device::DeviceError;
use crate::model::{Kind, Promises, Violation};

#[track_caller]
fn says(violation: &Violation, sentence: &str) {
    assert_eq!(violation.sentence, sentence);
}

#[test]
fn a_failed_write_that_a_read_has_ruled_out_comes_back() {
    let story = || History::new().write(1, 0..1).fail(1).read(2, 0..1).returns(2, 0, &[Zeros]);
    says(
        &story().read(3, 0..1).must_not_return(3, 0, &[By(1)], Kind::Stale),
        "read #3 returned data of a failed write: sector 0 holds write #1; legal: zeros; write #1 \
         had failed, and read #2 had shown the old contents",
    );
    says(
        &story().flush(3).ok(3).crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost),
        "after the crash, data of a failed write came back: sector 0 holds write #1; legal: zeros; \
         write #1 had failed, and read #2 had shown the old contents before flush #3, \
         which returned Ok",
    );
    story().crash_leaves(0, &[By(1)]);
}

#[test]
fn a_dropped_write_lands_over_a_newer_one() {
    let story = || History::new().write(1, 0..1).cancel(1).wrote(2, 0..1);
    says(
        &story().read(3, 0..1).must_not_return(3, 0, &[By(1)], Kind::Stale),
        "read #3 returned data of a dropped write in place of newer data: sector 0 holds write #1; \
         legal: write #2; write #1 had been dropped before write #2 began, which returned Ok",
    );
    says(
        &story().flush(3).ok(3).crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost),
        "after the crash, data of a dropped write came back in place of newer data: sector 0 holds \
         write #1; legal: write #2; write #1 had been dropped before write #2 began; #2 had \
         completed before flush #3, which returned Ok",
    );
    story().crash_leaves(0, &[By(1)]);
}

#[test]
fn a_failed_write_that_was_seen_is_lost() {
    let story = || History::new().write(1, 0..1).fail(1).read(2, 0..1).returns(2, 0, &[By(1)]);
    says(
        &story().read(3, 0..1).must_not_return(3, 0, &[Zeros], Kind::Lost),
        "read #3 returned lost data: sector 0 holds zeros; legal: write #1; write #1 had failed, \
         but read #2 had shown its data",
    );
    says(
        &story().flush(3).ok(3).crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost),
        "after the crash, durability lost: sector 0 holds zeros; legal: write #1; write #1 had \
         failed, but read #2 had shown its data before flush #3, which returned Ok",
    );
}

#[test]
fn what_one_crash_has_taken_another_does_not_give_back() {
    let story = || History::new().wrote(1, 0..1).crash_leaves(0, &[Zeros]).reopened();
    says(
        &story().crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost),
        "after the crash, data of a write that a crash had lost came back: sector 0 holds write \
         #1; legal: zeros; write #1 had been lost in a crash, and reading back had shown the old \
         contents",
    );
    let cut_off = History::new().write(1, 0..1).crash_leaves(0, &[Zeros]).reopened();
    says(
        &cut_off.crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost),
        "after the crash, data of a write that a crash had cut off came back: sector 0 holds write \
         #1; legal: zeros; write #1 had been cut off by a crash, and reading back had shown the \
         old contents",
    );
}

#[test]
fn what_is_simply_lost_is_called_so() {
    says(
        &History::new().wrote(1, 0..1).wrote(2, 0..1).flush(3).ok(3).crash_must_not_leave(
            0,
            &[By(1)],
            Kind::DurabilityLost,
        ),
        "after the crash, durability lost: sector 0 holds write #1; legal: write #2; #2 had \
         completed before flush #3, which returned Ok",
    );
}

#[test]
fn an_error_that_nothing_explains_is_told_what_the_contract_asks() {
    let spurious = |history: History, op, error| {
        history.must_not_answer(op, Err(error), Kind::SpuriousError).sentence
    };
    let new = |promises| History::promising(promises).write(1, 0..1);
    let cases = [
        (
            spurious(new(Promises::none()), 1, EIO),
            "write failed although no fault explains it: the backing file failed: Input/output \
             error (os error 5)",
        ),
        (
            spurious(new(Promises::none()).absorbs("EINTR"), 1, EIO),
            "write failed although the device has to absorb EINTR, which was injected (clause 7): \
             the backing file failed: Input/output error (os error 5)",
        ),
        (
            spurious(History::new().write(1, 0..1).fail(1).write(2, 0..1), 2, EIO),
            "write failed although no fault explains it, and the device has to stay usable after \
             write #1 has failed (clause 7): the backing file failed: Input/output error (os error \
             5)",
        ),
        (
            spurious(new(Promises::none()), 1, DeviceError::Closed),
            "write failed although the device had not been closed: the device is closed",
        ),
        (
            spurious(new(Promises::none()), 1, DeviceError::SyncFailed),
            "write failed although no sync had failed: an earlier sync failed; the device has to \
             be opened again",
        ),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}
