//! What a device is held to that promises less, or more, than the real one.

use super::history::Held::{By, Garbage, Torn, Zeros};
use super::history::{EIO, History};
use crate::device::DeviceError;
use crate::model::{Kind, Promises};
use std::io;

const FULL: DeviceError = DeviceError::Io { kind: io::ErrorKind::StorageFull, errno: Some(28) };

const POISONED: Result<(), DeviceError> = Err(DeviceError::SyncFailed);

fn none() -> History {
    History::promising(Promises::none())
}

fn in_place() -> History {
    History::promising(Promises::none().in_place().contained())
}

// Errors need a cause.

#[test]
fn an_error_is_justified_by_a_raw_call_that_failed_meanwhile() {
    none().write(1, 0..1).caused(FULL, Some(9..10)).answers(1, Err(FULL));
    none().write(1, 0..1).must_not_answer(1, Err(FULL), Kind::SpuriousError);
    let failed = none().write(1, 0..1).caused(EIO, Some(0..1));
    failed.must_not_answer(1, Err(FULL), Kind::WrongError);
}

#[test]
fn in_place_the_cause_has_to_be_about_the_same_bytes() {
    let story = || in_place().write(1, 0..2);
    story().caused(EIO, Some(1..3)).answers(1, Err(EIO));
    story().caused(EIO, Some(2..3)).must_not_answer(1, Err(EIO), Kind::SpuriousError);
    let story = || in_place().read(1, 0..1);
    story().caused(EIO, None).must_not_answer(1, Err(EIO), Kind::SpuriousError);
}

#[test]
fn in_place_what_is_durable_at_once_may_fail_like_a_flush_of_everything() {
    for story in [in_place().fua(1, 0..2), in_place().fua_trim(1, 0..2)] {
        story.caused(EIO, Some(2..3)).answers(1, Err(EIO));
    }
    in_place().fua(1, 0..2).must_not_answer(1, Err(EIO), Kind::SpuriousError);
}

#[test]
fn an_error_that_nobody_was_told_of_may_be_told_later() {
    none().flush(1).owes(FULL).answers(1, Err(FULL));
    in_place().flush(1).owes(FULL).answers(1, Err(FULL));
    in_place().read(1, 0..1).owes(FULL).must_not_answer(1, Err(FULL), Kind::SpuriousError);
}

#[test]
fn ok_is_judged_by_its_effects_alone() {
    none().write(1, 0..1).caused(EIO, Some(0..1)).ok(1).reads(0, &[By(1)]);
    none().write(1, 0..1).caused(EIO, Some(0..1)).ok(1).must_not_read(0, &[Zeros], Kind::Lost);
}

// Somebody is told of a failed sync.

#[test]
fn a_failed_sync_of_a_task_is_told_by_the_next_who_asks_for_durability() {
    let story = || none().wrote(1, 0..1).sync_fails(None);
    story().flush(2).answers(2, Err(EIO)).flush(3).answers(3, POISONED);
    story().flush(2).answers(2, POISONED);
    story().fua(2, 0..1).must_not_answer(2, Ok(()), Kind::PoisonIgnored);
    story().barrier(2).must_not_answer(2, Ok(()), Kind::PoisonIgnored);
    let violation = story().flush(2).must_not_answer(2, Ok(()), Kind::PoisonIgnored);
    assert!(violation.sentence.contains("no request has told of it"), "{}", violation.sentence);
    // A plain write asks for nothing to be durable.
    story().write(2, 0..1).ok(2).read(3, 0..1).returns(3, 0, &[By(2)]);
}

#[test]
fn a_request_that_began_before_the_failure_need_not_tell_of_it() {
    none().flush(1).sync_fails(None).ok(1);
    none().flush(1).sync_fails(None).ok(1).flush(2).must_not_answer(2, Ok(()), Kind::PoisonIgnored);
}

#[test]
fn once_told_everything_but_reading_fails() {
    let story = || none().wrote(1, 0..1).sync_fails(None).flush(2).answers(2, POISONED);
    story().write(3, 0..1).must_not_answer(3, Ok(()), Kind::PoisonIgnored);
    story().reads(0, &[By(1)]);
}

#[test]
fn an_error_that_may_have_been_about_something_else_ends_no_promises() {
    let story = || none().wrote(1, 0..1).write(2, 0..1).sync_fails(Some(2)).caused(EIO, Some(0..1));
    story().answers(2, Err(EIO)).write(3, 0..1).ok(3);
}

#[test]
fn whoever_was_to_tell_of_it_may_have_been_dropped() {
    let story = || none().wrote(1, 0..1).flush(2).sync_fails(Some(2)).cancel(2);
    story().flush(3).ok(3);
    let task = || none().wrote(1, 0..1).flush(2).sync_fails(None).cancel(2);
    task().flush(3).must_not_answer(3, Ok(()), Kind::PoisonIgnored);
}

#[test]
fn what_was_unsynced_at_a_failure_may_be_lost() {
    let story = || none().wrote(1, 0..1).sync_fails(None).flush(2).answers(2, POISONED);
    story().crash_leaves(0, &[Zeros]);
    story().crash_leaves(0, &[By(1)]);
}

#[test]
fn a_mirror_may_go_on_after_a_failed_sync() {
    let promises = Promises::none().waive(|it| it.failed_syncs = true);
    History::promising(promises).wrote(1, 0..1).sync_fails(None).flush(2).ok(2).wrote(3, 0..1);
}

// A dropped write may land late.

#[test]
fn a_dropped_write_may_land_after_it_was_not_seen() {
    let story = || none().write(1, 0..1).cancel(1).reads(0, &[Zeros]);
    story().reads(0, &[By(1)]);
    let own = History::new().write(1, 0..1).cancel(1).reads(0, &[Zeros]);
    own.must_not_read(0, &[By(1)], Kind::Stale);
}

#[test]
fn a_dropped_write_never_lands_over_a_newer_one() {
    let story = || none().write(1, 0..1).cancel(1).wrote(2, 0..1);
    story().reads(0, &[By(2)]);
    story().must_not_read(0, &[By(1)], Kind::Stale);
    // Of two at once either may be the last.
    let both = || none().write(1, 0..1).write(2, 0..1).cancel(1).ok(2);
    both().reads(0, &[By(1)]);
}

#[test]
fn a_dropped_write_does_not_land_after_a_flush() {
    for ended in [History::flushed, History::ordered] {
        let story = || ended(none().write(1, 0..1).cancel(1)).reads(0, &[Zeros]);
        story().must_not_read(0, &[By(1)], Kind::Stale);
    }
    let before = none().write(1, 0..1).flush(2).cancel(1).ok(2).reads(0, &[Zeros]);
    before.reads(0, &[By(1)]);
}

#[test]
fn a_dropped_write_that_was_not_seen_after_a_flush_does_not_survive_a_crash() {
    let story = || none().wrote(1, 0..1).flushed().write(2, 0..1).cancel(2).reads(0, &[By(1)]);
    let settled = || story().flushed().reads(0, &[By(1)]);
    settled().crash_leaves(0, &[By(1)]);
    settled().crash_must_not_leave(0, &[By(2)], Kind::DurabilityLost);
    story().flushed().crash_leaves(0, &[By(2)]);
}

#[test]
fn what_a_read_has_shown_a_flush_makes_durable() {
    for story in [none, History::new] {
        let seen = || story().write(1, 0..1).cancel(1).reads(0, &[By(1)]).flushed();
        seen().crash_leaves(0, &[By(1)]);
        seen().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
        let unseen = || story().write(1, 0..1).cancel(1).flushed();
        unseen().crash_leaves(0, &[Zeros]);
        unseen().crash_leaves(0, &[By(1)]);
        let late = story().write(1, 0..1).cancel(1).flush(2).reads(0, &[By(1)]).ok(2);
        late.crash_leaves(0, &[Zeros]);
    }
}

#[test]
fn a_request_refused_as_closed_may_have_been_carried_out() {
    let story = || none().write(1, 0..1).close(2).ok(2).answers(1, Err(DeviceError::Closed));
    story().reopened().reads(0, &[By(1)]);
    story().reopened().reads(0, &[Zeros]);
}

// Reads that overlap a write in time.

#[test]
fn a_read_that_overlaps_a_write_may_see_a_mixture() {
    let story = || none().wrote(1, 0..1).write(2, 0..1);
    story().read(3, 0..1).returns(3, 0, &[Torn(2, 1)]).ok(2).reads(0, &[By(2)]);
    story().read(3, 0..1).ok(2).returns(3, 0, &[Torn(1, 2)]);
    story().ok(2).must_not_read(0, &[Torn(1, 2)], Kind::Torn);
    story().read(3, 0..1).must_not_return(3, 0, &[Garbage], Kind::Corrupt);
    let own = || History::new().wrote(1, 0..1).write(2, 0..1);
    own().read(3, 0..1).returns(3, 0, &[Torn(2, 1)]);
    own().ok(2).must_not_read(0, &[Torn(1, 2)], Kind::Torn);
}

// Silent harm.

#[test]
fn harm_is_excused_as_far_as_it_is_contained() {
    in_place().wrote(1, 0..8).misread(1).reads(0, &[By(1), Garbage, By(1)]);
    let spread = in_place().wrote(1, 0..8).misread(1);
    spread.must_not_read(0, &[Garbage, By(1)], Kind::Corrupt);
    let pages = || History::promising(Promises::none().in_place().contained_in_pages(2048));
    pages().wrote(1, 0..8).misread(1).reads(0, &[Garbage, By(1), Garbage, Zeros, By(1)]);
    let next = pages().wrote(1, 0..8).misread(1);
    next.must_not_read(3, &[By(1), Garbage], Kind::Corrupt);
    // A page that was written back may be wrong for good, until it is written again.
    pages().wrote(1, 0..4).misread(1).crash_leaves(0, &[Zeros, Garbage]);
    pages().wrote(1, 0..4).misread(1).wrote(2, 0..1).must_not_read(0, &[By(1)], Kind::Stale);
}

#[test]
fn without_a_promise_no_harm_is_excused() {
    none().wrote(1, 0..1).misread(0).must_not_read(0, &[Garbage], Kind::Corrupt);
}

#[test]
fn a_device_with_checksums_may_fail_once_there_is_harm_and_never_lie() {
    let integrity = || History::promising(Promises::none().integrity()).wrote(1, 0..1);
    let invalid = DeviceError::Io { kind: io::ErrorKind::InvalidData, errno: None };
    integrity().harmed().read(2, 0..1).answers(2, Err(invalid));
    integrity().read(2, 0..1).must_not_answer(2, Err(invalid), Kind::SpuriousError);
    integrity().harmed().misread(0).must_not_read(0, &[Garbage], Kind::Corrupt);
}

// What is waived.

#[test]
fn what_is_waived_is_not_asked_for() {
    let waive =
        |change: fn(&mut crate::model::Waivers)| History::promising(Promises::none().waive(change));
    waive(|it| it.flush = true).wrote(1, 0..1).flushed().crash_leaves(0, &[Zeros]);
    none().wrote(1, 0..1).flushed().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    waive(|it| it.fua = true).fua(1, 0..1).ok(1).crash_leaves(0, &[Zeros]);
    none().fua(1, 0..1).ok(1).crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    let story = |history: History| history.wrote(1, 0..1).ordered().wrote(2, 1..2);
    story(waive(|it| it.barriers = true)).crash_leaves(0, &[Zeros, By(2)]);
    story(none()).crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
    let story = |history: History| history.wrote(1, 0..1).flushed().write(2, 0..1);
    story(waive(|it| it.sector_atomicity = true)).crash_leaves(0, &[Torn(1, 2)]);
    story(none()).crash_must_not_leave(0, &[Torn(1, 2)], Kind::Torn);
}

#[test]
fn a_torn_sector_that_the_kernel_refused_to_mend_is_excused_in_place_only() {
    let story = |history: History| history.wrote(1, 0..1).write(2, 0..1).caused(EIO, Some(0..1));
    story(in_place()).tore(0).answers(2, Err(EIO)).reads(0, &[Torn(2, 1)]);
    let story = story(none()).tore(0).answers(2, Err(EIO));
    story.must_not_read(0, &[Torn(2, 1)], Kind::Torn);
}

#[test]
fn a_failed_sync_of_the_directory_is_judged_by_what_is_lost() {
    let story = || {
        let mut history = none().wrote(1, 0..1);
        history.twin.directory_sync_failed();
        history
    };
    story().flush(2).ok(2).crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    story().flush(2).answers(2, POISONED).crash_leaves(0, &[Zeros]);
    let after = story().flush(2).answers(2, POISONED).write(3, 0..1);
    after.must_not_answer(3, Ok(()), Kind::PoisonIgnored);
}

// Kills.

#[test]
fn what_was_written_through_outlives_the_process() {
    let kept = || History::new().wrote(1, 0..1).killed();
    kept().reads(0, &[By(1)]);
    kept().must_not_read(0, &[Zeros], Kind::Lost);
    // It is not durable by that.
    kept().crash_leaves(0, &[Zeros]);
}

#[test]
fn what_a_failed_write_has_left_may_come_back_with_the_process() {
    let through = Promises::none().write_through();
    let story = || History::promising(through).write(1, 0..1).cancel(1).reads(0, &[Zeros]);
    story().killed().reads(0, &[By(1)]);
    // In place, a read has shown what is in the page cache.
    let in_place = History::new().write(1, 0..1).cancel(1).reads(0, &[Zeros]).killed();
    in_place.must_not_read(0, &[By(1)], Kind::Stale);
    // Nor does it come back over what was written since.
    let since = || History::promising(through).write(1, 0..1).cancel(1).wrote(2, 0..1).killed();
    since().reads(0, &[By(2)]);
    since().must_not_read(0, &[By(1)], Kind::Stale);
    since().must_not_read(0, &[Zeros], Kind::Lost);
}

#[test]
fn without_the_promise_what_was_not_flushed_may_be_gone_with_the_process() {
    let killed = || none().wrote(1, 0..1).killed();
    killed().reads(0, &[By(1)]);
    killed().reads(0, &[Zeros]);
    let flushed = none().wrote(1, 0..1).flushed().killed();
    flushed.must_not_read(0, &[Zeros], Kind::Lost);
}

#[test]
fn what_a_killed_process_left_is_durable_once_it_was_seen_and_flushed() {
    for story in [none, History::new] {
        let seen = || story().wrote(1, 0..1).killed().reads(0, &[By(1)]).flushed();
        seen().crash_leaves(0, &[By(1)]);
        seen().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    }
}

#[test]
fn nothing_lands_any_more_of_a_killed_process() {
    let story = || none().write(1, 0..1).cancel(1).killed().reads(0, &[Zeros]);
    story().must_not_read(0, &[By(1)], Kind::Stale);
}
