//! Clause 4: what a crash may leave.

use super::history::Held::{By, Garbage, Torn, Zeros};
use super::history::History;
use crate::model::{Clause, Kind};

#[test]
fn what_was_never_flushed_may_be_lost_or_kept_sector_by_sector() {
    let story = || History::new().wrote(1, 0..3).wrote(2, 1..2);
    story().crash_leaves(0, &[Zeros, Zeros, By(1)]);
    story().crash_leaves(0, &[By(1), By(1), Zeros]);
    story().crash_leaves(0, &[By(1), By(2), By(1)]);
    story().crash_must_not_leave(0, &[By(1), Torn(2, 1), By(1)], Kind::Torn);
    story().crash_must_not_leave(0, &[By(1), By(1), Garbage], Kind::Corrupt);
}

#[test]
fn what_completed_before_a_flush_is_durable() {
    let story = || History::new().wrote(1, 0..2).flushed();
    story().crash_leaves(0, &[By(1), By(1)]);
    story().crash_must_not_leave(0, &[By(1), Zeros], Kind::DurabilityLost);
    story().wrote(2, 0..1).crash_leaves(0, &[By(1), By(1)]);
    story().wrote(2, 0..1).crash_leaves(0, &[By(2), By(1)]);
    story().wrote(2, 0..1).crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_flush_covers_only_what_completed_before_it_was_called() {
    let story = || History::new().write(1, 0..1).wrote(2, 1..2).flush(9).ok(1).ok(9);
    story().crash_leaves(0, &[Zeros, By(2)]);
    story().crash_must_not_leave(0, &[By(1), Zeros], Kind::DurabilityLost);
    story().flushed().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_write_made_and_ended_during_a_flush_may_be_lost() {
    let story = || History::new().wrote(1, 0..1).flush(9).wrote(2, 0..1).ok(9);
    story().crash_leaves(0, &[By(1)]);
    story().crash_leaves(0, &[By(2)]);
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_flush_that_failed_or_has_not_returned_promises_nothing() {
    let story = || History::new().wrote(1, 0..1).flush(9);
    story().crash_leaves(0, &[Zeros]);
    story().cancel(9).crash_leaves(0, &[Zeros]);
    story().fail_to_sync(9).crash_leaves(0, &[Zeros]);
    story().ok(9).crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_barrier_alone_makes_nothing_durable() {
    History::new().wrote(1, 0..1).ordered().crash_leaves(0, &[Zeros]);
}

#[test]
fn two_overlapping_writes_may_both_survive_a_flush_but_nothing_older() {
    let story = || {
        let history = History::new().wrote(1, 0..1).write(2, 0..1).write(3, 0..1).ok(2).ok(3);
        history.flushed()
    };
    story().crash_leaves(0, &[By(2)]).must_not_read(0, &[By(3)], Kind::Stale);
    story().crash_leaves(0, &[By(3)]).must_not_read(0, &[By(2)], Kind::Stale);
    story().crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost);
}

#[test]
fn a_failed_write_before_a_flush_is_still_old_or_new() {
    for cancelled in [false, true] {
        let story = || {
            let history = History::new().wrote(1, 0..2).write(2, 0..2);
            if cancelled { history.cancel(2).flushed() } else { history.fail(2).flushed() }
        };
        story().crash_leaves(0, &[By(1), By(2)]);
        story().crash_must_not_leave(0, &[By(1), Zeros], Kind::DurabilityLost);
        let overwritten = || story().wrote(3, 0..2).flushed();
        overwritten().crash_leaves(0, &[By(3), By(3)]);
        overwritten().crash_must_not_leave(0, &[By(2)], Kind::DurabilityLost);
    }
}

#[test]
fn a_write_under_way_at_a_crash_is_old_or_new() {
    let story = || History::new().wrote(1, 0..2).flushed().write(2, 0..2);
    story().crash_leaves(0, &[By(1), By(2)]).reads(0, &[By(1), By(2)]);
    story().crash_must_not_leave(0, &[By(1), Torn(1, 2)], Kind::Torn);
    story().crash_leaves(0, &[By(1)]).must_not_read(0, &[By(2)], Kind::Stale);
}

#[test]
fn a_fua_write_is_durable_when_it_returns_and_nothing_else_is() {
    let story = || History::new().wrote(1, 0..2).fua(2, 1..2);
    story().ok(2).crash_leaves(0, &[Zeros, By(2)]);
    story().ok(2).crash_must_not_leave(1, &[By(1)], Kind::DurabilityLost);
    story().ok(2).crash_must_not_leave(1, &[Zeros], Kind::DurabilityLost);
    story().crash_leaves(1, &[Zeros]);
    story().cancel(2).crash_leaves(1, &[Zeros]);
    story().fail_to_sync(2).crash_leaves(1, &[By(1)]);
}

#[test]
fn a_fua_write_says_nothing_of_one_that_overlaps_it() {
    let story = || History::new().wrote(1, 0..1).write(2, 0..1).fua(3, 0..1).ok(2).ok(3);
    story().crash_leaves(0, &[By(2)]);
    story().crash_leaves(0, &[By(3)]);
    story().crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost);
    let later = || History::new().fua(1, 0..1).ok(1).wrote(2, 0..1);
    later().crash_leaves(0, &[By(1)]);
    later().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_fua_write_that_a_read_overlaps_hides_the_old_only_from_later_reads() {
    let story = || History::new().wrote(1, 0..1).read(9, 0..1).fua(2, 0..1).ok(2);
    story().returns(9, 0, &[By(1)]).must_not_read(0, &[By(1)], Kind::Stale);
}

#[test]
fn close_flushes_once() {
    let story = || History::new().wrote(1, 0..1).closed();
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    story().closed().reopened().reads(0, &[By(1)]);
    // The second close is called after the write. It promises nothing if the first has flushed.
    let late = || History::new().close(8).wrote(1, 0..1);
    late().ok(8).closed().crash_leaves(0, &[Zeros]);
    late().closed().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    late().ok(8).reopened().closed().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn a_close_that_fails_promises_nothing() {
    let story = || History::new().wrote(1, 0..1).close(9).fail_to_sync(9);
    story().crash_leaves(0, &[Zeros]);
    story().reopened().reads(0, &[By(1)]).crash_leaves(0, &[Zeros]);
}

#[test]
fn a_crash_settles_what_is_there() {
    let story = || History::new().wrote(1, 0..1).wrote(2, 0..1).crash_leaves(0, &[By(1)]);
    story().reads(0, &[By(1)]).crash_leaves(0, &[By(1)]);
    story().must_not_read(0, &[By(2)], Kind::Stale);
    story().crash_must_not_leave(0, &[By(2)], Kind::DurabilityLost);
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
    story().wrote(3, 0..1).crash_leaves(0, &[By(1)]).wrote(4, 0..1).reads(0, &[By(4)]);
}

#[test]
fn crashes_in_a_row_without_recovery_are_one() {
    let story = || History::new().wrote(1, 0..1).flushed().wrote(2, 0..1).crash().crash();
    story().recovers(0, &[By(1)]).settles();
    story().recovers(0, &[By(2)]).settles();
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn what_was_read_back_stays_through_a_crash_during_recovery() {
    let story = || History::new().wrote(1, 0..2).crash().recovers(0, &[By(1)]);
    story().crash_leaves(0, &[By(1), Zeros]);
    story().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn unsettled_sectors_are_those_of_which_a_crash_may_leave_more_than_one_content() {
    let mut history = History::new().wrote(1, 8..10).wrote(2, 4..5);
    assert_eq!(history.twin.unsettled(), [4, 8, 9]);
    history = history.flushed().wrote(3, 9..10).write(4, 2..3);
    assert_eq!(history.twin.unsettled(), [2, 9]);
    assert_eq!(history.twin.touched(), [2..3, 4..5, 8..10]);
    history = history.crash().recovers(2, &[By(4)]).recovers(9, &[By(1)]).settles();
    assert!(history.twin.unsettled().is_empty());
    assert_eq!(history.checked(Clause::Durability), 2);
}
