//! Clauses 1, 7 and 10: which answers a device may give.

use super::history::Held::{By, Zeros};
use super::history::{BLOCKS, EIO, ENOSPC, History, SECTOR};
use crate::device::DeviceError;
use crate::model::{Clause, Kind, Outcome, Request};

const SIZE: u64 = BLOCKS * SECTOR;

fn misaligned(offset: u64, length: u64) -> DeviceError {
    DeviceError::Misaligned { offset, length, block_size: 512 }
}

fn out_of_range(offset: u64, length: u64) -> DeviceError {
    DeviceError::OutOfRange { offset, length, size: SIZE }
}

/// The three requests that have a range.
fn spanning(offset: u64, length: u64) -> [Request; 3] {
    [
        Request::Read { offset, length },
        Request::Write { offset, length, fua: false },
        Request::Trim { offset, length, fua: false },
    ]
}

fn every_request() -> impl Iterator<Item = Request> {
    let others = [Request::Flush, Request::Barrier, Request::Drain, Request::Close];
    spanning(0, 512).into_iter().chain(others)
}

#[track_caller]
fn only_refused_with(offset: u64, length: u64, right: DeviceError, wrong: DeviceError) {
    for request in spanning(offset, length) {
        let story = || History::new().begin(1, request);
        story().answers(1, Err(right));
        story().must_not_answer(1, Ok(()), Kind::RequestNotRejected);
        for wrong in [wrong, EIO, DeviceError::Closed, DeviceError::ReadOnly] {
            story().must_not_answer(1, Err(wrong), Kind::WrongError);
        }
        // A failure of the file is no excuse for accepting the request.
        story().met(EIO).must_not_answer(1, Ok(()), Kind::RequestNotRejected);
        assert_eq!(story().answers(1, Err(right)).checked(Clause::BadRequests), 1);
    }
}

#[test]
fn a_misaligned_request_is_refused_as_such() {
    for (offset, length) in [(1, 512), (0, 511), (511, 513), (256, 0)] {
        let wrong = out_of_range(offset, length);
        only_refused_with(offset, length, misaligned(offset, length), wrong);
    }
}

#[test]
fn a_request_past_the_end_is_refused_as_such() {
    let last = u64::MAX - 511;
    for (offset, length) in
        [(SIZE, 512), (SIZE - 512, 1024), (0, SIZE + 512), (last, 512), (last, last), (last, 0)]
    {
        let wrong = misaligned(offset, length);
        only_refused_with(offset, length, out_of_range(offset, length), wrong);
    }
}

#[test]
fn a_request_that_is_misaligned_and_past_the_end_may_be_refused_as_either() {
    for request in spanning(SIZE + 1, 512) {
        let story = || History::new().begin(1, request);
        story().answers(1, Err(misaligned(SIZE + 1, 512)));
        story().answers(1, Err(out_of_range(SIZE + 1, 512)));
        story().must_not_answer(1, Ok(()), Kind::RequestNotRejected);
    }
}

#[test]
fn a_request_at_the_edge_is_served() {
    for (offset, length) in [(SIZE, 0), (0, 0), (SIZE - 512, 512), (0, SIZE)] {
        for request in &spanning(offset, length)[1..] {
            let story = || History::new().begin(1, *request);
            story().ok(1);
            let refused = Err(out_of_range(offset, length));
            story().must_not_answer(1, refused, Kind::SpuriousError);
        }
    }
    History::new().reads(BLOCKS - 1, &[Zeros]).reads(BLOCKS, &[]);
}

#[test]
fn a_refused_request_changes_nothing() {
    let refused = Err(out_of_range(SIZE - 512, 1024));
    let story = || {
        let history = History::new().write(1, BLOCKS - 1..BLOCKS + 1);
        history.reads(BLOCKS - 1, &[Zeros]).answers(1, refused)
    };
    story().reads(BLOCKS - 1, &[Zeros]).crash_leaves(BLOCKS - 1, &[Zeros]);
    story().must_not_read(BLOCKS - 1, &[By(1)], Kind::NeverWritten);
    story().crash_must_not_leave(BLOCKS - 1, &[By(1)], Kind::NeverWritten);
}

#[test]
fn a_read_only_device_refuses_changes_and_nothing_else() {
    for request in every_request() {
        let story = || History::read_only().begin(1, request);
        let refused = Err(DeviceError::ReadOnly);
        if request.is_change() {
            story().answers(1, refused);
            story().must_not_answer(1, Ok(()), Kind::RequestNotRejected);
            story().must_not_answer(1, Err(EIO), Kind::WrongError);
        } else {
            story().ok(1);
            story().must_not_answer(1, refused, Kind::SpuriousError);
        }
    }
    let changed = History::read_only().write(1, 0..1).answers(1, Err(DeviceError::ReadOnly));
    changed.must_not_read(0, &[By(1)], Kind::NeverWritten);
}

#[test]
fn a_writable_device_is_not_read_only() {
    let story = History::new().write(1, 0..1);
    story.must_not_answer(1, Err(DeviceError::ReadOnly), Kind::SpuriousError);
}

#[test]
fn a_closed_device_refuses_everything_but_closing() {
    for request in every_request().filter(|&request| request != Request::Close) {
        let story = || History::new().closed().begin(1, request);
        story().answers(1, Err(DeviceError::Closed));
        story().must_not_answer(1, Ok(()), Kind::RequestNotRejected);
        story().must_not_answer(1, Err(EIO), Kind::WrongError);
        let reopened = || History::new().closed().reopened().begin(1, request);
        reopened().ok(1);
        reopened().must_not_answer(1, Err(DeviceError::Closed), Kind::SpuriousError);
    }
    let again = || History::new().closed().close(1);
    again().ok(1);
    again().must_not_answer(1, Err(DeviceError::Closed), Kind::SpuriousError);
}

#[test]
fn a_request_made_while_the_device_closes_may_be_served_or_refused() {
    let story = || History::new().close(1).write(2, 0..1);
    story().ok(2).reads(0, &[By(2)]);
    story().ok(1).ok(2);
    story().answers(2, Err(DeviceError::Closed)).reads(0, &[Zeros]);
    story().answers(2, Err(DeviceError::Closed)).must_not_read(0, &[By(2)], Kind::NeverWritten);
    let earlier = || History::new().write(2, 0..1).close(1);
    earlier().answers(2, Err(DeviceError::Closed));
    earlier().ok(1).ok(2);
}

#[test]
fn the_twin_knows_whether_it_is_closed() {
    assert!(!History::new().twin.is_closed());
    assert!(History::new().closed().twin.is_closed());
    assert!(History::new().close(1).cancel(1).twin.is_closed());
    assert!(!History::new().closed().reopened().twin.is_closed());
    assert!(!History::new().closed().crash().twin.is_closed());
}

#[test]
fn a_write_to_a_closed_device_changes_nothing() {
    let story = || History::new().closed().write(1, 0..1).answers(1, Err(DeviceError::Closed));
    story().crash_leaves(0, &[Zeros]);
    story().crash_must_not_leave(0, &[By(1)], Kind::NeverWritten);
}

#[test]
fn nothing_fails_where_nothing_has_gone_wrong() {
    for request in every_request() {
        for invented in [EIO, DeviceError::SyncFailed, DeviceError::WriteZero, DeviceError::Locked]
        {
            let story = History::new().begin(1, request);
            story.must_not_answer(1, Err(invented), Kind::SpuriousError);
        }
        let fine = History::new().begin(1, request).ok(1);
        assert_eq!(fine.checked(Clause::NoInventedErrors), 1);
    }
}

#[test]
fn a_failure_of_the_file_is_surfaced_with_its_errno() {
    for request in every_request() {
        let story = || History::new().begin(1, request).met(ENOSPC);
        story().answers(1, Err(ENOSPC));
        story().must_not_answer(1, Ok(()), Kind::ErrorSwallowed);
        story().must_not_answer(1, Err(EIO), Kind::WrongError);
        story().must_not_answer(1, Err(DeviceError::WriteZero), Kind::WrongError);
        assert_eq!(story().answers(1, Err(ENOSPC)).checked(Clause::Errors), 1);
    }
}

#[test]
fn of_several_failures_any_may_be_surfaced() {
    let story = || History::new().write(1, 0..1).met(EIO).met(ENOSPC);
    story().answers(1, Err(EIO));
    story().answers(1, Err(ENOSPC));
    story().must_not_answer(1, Ok(()), Kind::ErrorSwallowed);
}

#[test]
fn after_a_failed_write_the_device_goes_on() {
    let story = || History::new().write(1, 0..1).fail(1).write(2, 0..1);
    story().ok(2).reads(0, &[By(2)]);
    story().must_not_answer(2, Err(EIO), Kind::SpuriousError);
    story().must_not_answer(2, Err(DeviceError::SyncFailed), Kind::SpuriousError);
}

#[test]
fn a_request_that_touches_the_file_outside_the_device_escapes_its_range() {
    for request in every_request() {
        let story = || History::new().begin(1, request).escaped(SIZE);
        let violation = story().must_not_answer(1, Ok(()), Kind::RangeEscaped);
        assert!(violation.sentence.contains(&SIZE.to_string()), "{}", violation.sentence);
        super::history::illegal(story().end(1, Outcome::Cancelled), Kind::RangeEscaped);
        History::new().begin(1, request).ok(1);
    }
}

#[test]
fn a_buffer_is_refused_only_where_the_heap_could_never_give_it() {
    let too_large = Some(DeviceError::BufferTooLarge { requested: 8192, heap: 4096 });
    let mut history = History::new();
    for (size, refused, judged) in [
        (4096, None, None),
        (0, None, None),
        (4097, too_large, None),
        (4097, None, Some(Kind::RequestNotRejected)),
        (4096, too_large, Some(Kind::SpuriousError)),
        (4096, Some(EIO), Some(Kind::SpuriousError)),
        (4097, Some(EIO), Some(Kind::WrongError)),
    ] {
        let answer = history.twin.allocated(size, 4096, refused);
        assert_eq!(answer.err().map(|violation| violation.kind), judged, "{size} {refused:?}");
    }
    assert_eq!(history.checked(Clause::Buffers), 7);
}
