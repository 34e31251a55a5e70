//! Clauses 2 and 3: what a read may return.

use super::history::Held::{By, Garbage, Meant, Torn, Zeros};
use super::history::History;
use crate::model::{Clause, Evidence, Kind};

#[test]
fn a_device_is_zeros_until_it_is_written() {
    History::new().reads(0, &[Zeros, Zeros]);
    History::new().must_not_read(0, &[Zeros, Garbage], Kind::Corrupt);
}

#[test]
fn every_read_after_a_write_sees_it() {
    let story = || History::new().wrote(1, 1..3);
    story().reads(0, &[Zeros, By(1), By(1), Zeros]).reads(1, &[By(1)]);
    story().must_not_read(1, &[By(1), Zeros], Kind::Lost);
    story().wrote(2, 1..2).reads(1, &[By(2), By(1)]);
    story().wrote(2, 1..2).must_not_read(1, &[By(1), By(1)], Kind::Stale);
}

#[test]
fn a_read_may_miss_a_write_that_returns_while_it_is_under_way() {
    let story = || History::new().read(9, 0..1).wrote(1, 0..1);
    story().returns(9, 0, &[Zeros]).reads(0, &[By(1)]);
    story().returns(9, 0, &[By(1)]);
    story().returns(9, 0, &[Zeros]).must_not_read(0, &[Zeros], Kind::Lost);
}

#[test]
fn a_read_that_began_later_may_not_miss_it() {
    let story = || History::new().wrote(1, 0..1).write(2, 0..1).read(9, 0..1).ok(2);
    story().returns(9, 0, &[By(1)]);
    story().must_not_return(9, 0, &[Zeros], Kind::Lost);
}

#[test]
fn a_slow_read_is_not_forgotten_when_a_flush_settles_what_it_may_see() {
    let story = || History::new().wrote(1, 0..1).read(9, 0..1).wrote(2, 0..1).flushed();
    story().returns(9, 0, &[By(1)]);
    story().must_not_return(9, 0, &[Zeros], Kind::Lost);
    story().must_not_read(0, &[By(1)], Kind::Stale);
}

#[test]
fn either_of_two_overlapping_writes_stays_but_only_one() {
    let story = || History::new().wrote(1, 0..1).write(2, 0..1).write(3, 0..1).ok(2).ok(3);
    story().reads(0, &[By(2)]).reads(0, &[By(2)]);
    story().reads(0, &[By(3)]).reads(0, &[By(3)]);
    story().must_not_read(0, &[By(1)], Kind::Stale);
    story().reads(0, &[By(2)]).must_not_read(0, &[By(3)], Kind::Stale);
    story().reads(0, &[By(3)]).must_not_read(0, &[By(2)], Kind::Stale);
}

#[test]
fn overlapping_writes_are_ordered_sector_by_sector() {
    let story = || History::new().write(1, 0..2).write(2, 0..2).ok(2).ok(1);
    story().reads(0, &[By(1), By(2)]);
    story().must_not_read(0, &[Torn(1, 2), By(2)], Kind::Torn);
}

#[test]
fn a_read_before_both_have_ended_decides_nothing_between_them() {
    let story = || History::new().write(1, 0..1).write(2, 0..1).ok(1).reads(0, &[By(1)]).ok(2);
    story().reads(0, &[By(2)]).must_not_read(0, &[By(1)], Kind::Stale);
    story().reads(0, &[By(1)]).must_not_read(0, &[By(2)], Kind::Stale);
}

#[test]
fn a_write_under_way_may_be_seen_and_then_stays_seen() {
    let story = || History::new().wrote(1, 0..1).write(2, 0..1);
    story().reads(0, &[By(1)]).reads(0, &[By(2)]).reads(0, &[By(2)]).ok(2).reads(0, &[By(2)]);
    story().reads(0, &[By(2)]).must_not_read(0, &[By(1)], Kind::Stale);
    story().reads(0, &[By(2)]).fail(2).must_not_read(0, &[By(1)], Kind::Stale);
    story().reads(0, &[By(1)]).ok(2).must_not_read(0, &[By(1)], Kind::Stale);
}

#[test]
fn two_reads_at_once_may_disagree_about_a_write_under_way() {
    let story = || History::new().write(1, 0..1).read(8, 0..1).read(9, 0..1);
    story().returns(8, 0, &[By(1)]).returns(9, 0, &[Zeros]);
    story().returns(8, 0, &[By(1)]).must_not_read(0, &[Zeros], Kind::Lost);
}

#[test]
fn a_failed_write_is_old_or_new_until_it_is_read() {
    let story = || History::new().wrote(1, 0..2).write(2, 0..2).fail(2);
    story().reads(0, &[By(1), By(2)]).reads(0, &[By(1), By(2)]);
    story().reads(0, &[By(2), By(1)]).reads(0, &[By(2), By(1)]);
    story().must_not_read(0, &[By(1), Zeros], Kind::Lost);
    story().must_not_read(0, &[By(1), Torn(2, 1)], Kind::Torn);
    story().reads(0, &[By(1)]).must_not_read(0, &[By(2)], Kind::Stale);
    story().reads(0, &[By(2)]).must_not_read(0, &[By(1)], Kind::Stale);
}

#[test]
fn a_cancelled_write_is_old_or_new_until_it_is_read() {
    let story = || History::new().wrote(1, 0..2).write(2, 0..2).cancel(2);
    story().reads(0, &[By(1), By(2)]);
    story().must_not_read(0, &[By(1), Torn(1, 2)], Kind::Torn);
    story().reads(0, &[By(1)]).must_not_read(0, &[By(2)], Kind::Stale);
}

#[test]
fn a_failed_write_never_comes_back_over_a_later_one() {
    let story = || History::new().write(1, 0..1).fail(1).wrote(2, 0..1);
    story().reads(0, &[By(2)]);
    story().must_not_read(0, &[By(1)], Kind::Stale);
    let late = || History::new().write(1, 0..1).wrote(2, 0..1).cancel(1);
    late().reads(0, &[By(1)]);
    late().must_not_read(0, &[Zeros], Kind::Lost);
}

#[test]
fn a_torn_sector_is_unspecified_and_only_that_one() {
    let story = || History::new().wrote(1, 0..3).write(2, 0..3).tore(1).fail(2);
    story().reads(0, &[By(2), Torn(2, 1), By(1)]).reads(1, &[Garbage]);
    story().must_not_read(0, &[Torn(2, 1), By(1), By(1)], Kind::Torn);
    story().must_not_read(0, &[By(2), By(1), Torn(2, 1)], Kind::Torn);
    story().wrote(3, 1..2).must_not_read(1, &[Torn(2, 1)], Kind::Torn);
}

#[test]
fn a_torn_sector_survives_a_crash_until_it_is_written_and_flushed() {
    let story = || History::new().wrote(1, 0..2).flushed().write(2, 0..2).tore(0).cancel(2);
    story().crash_leaves(0, &[Torn(2, 1), By(1)]);
    story().crash_must_not_leave(0, &[By(1), Torn(2, 1)], Kind::Torn);
    let repaired = story().wrote(3, 0..1).flushed();
    repaired.crash_must_not_leave(0, &[Torn(2, 1)], Kind::Torn);
}

#[test]
fn a_tear_outside_the_write_or_beneath_a_success_excuses_nothing() {
    let outside = || History::new().wrote(1, 0..3);
    let settled = outside().flushed().write(2, 0..1).tore(2).fail(2);
    settled.must_not_read(2, &[Torn(1, 2)], Kind::Torn);
    // What was still to be written may have been on its way, from a cache.
    outside().write(2, 0..1).tore(2).fail(2).reads(2, &[Torn(1, 2)]);
    outside().flush(8).tore(2).fail(8).reads(2, &[Torn(1, 2)]);
    let success = History::new().write(1, 0..1).tore(0).ok(1);
    success.must_not_read(0, &[Torn(1, 0)], Kind::Torn);
}

#[test]
fn a_read_to_which_the_kernel_showed_a_tear_learns_nothing() {
    let story = || History::new().wrote(1, 0..2).write(2, 0..2).read(9, 0..2).tore(0);
    story().returns(9, 0, &[Torn(2, 1), By(1)]).ok(2).reads(0, &[By(2), By(2)]);
    story().must_not_return(9, 0, &[By(1), Garbage], Kind::Corrupt);
    let after = story().returns(9, 0, &[Torn(2, 1), By(1)]).ok(2);
    after.must_not_read(0, &[Torn(2, 1)], Kind::Torn);
}

#[test]
fn reading_back_with_nothing_under_way_is_a_read() {
    let mut history = History::new().wrote(1, 0..1).wrote(2, 1..2);
    let right = history.contents(0, &[By(1), By(2), Zeros]);
    let wrong = history.contents(0, &[By(1), Zeros, Zeros]);
    super::history::legal(history.twin.verify(0, &right, &Evidence::default()));
    super::history::illegal(history.twin.verify(0, &wrong, &Evidence::default()), Kind::Lost);
}

#[test]
fn the_twin_tells_what_it_saw() {
    let history = History::new().wrote(1, 0..1).write(2, 1..2).tore(1).fail(2);
    let history = history.reads(0, &[By(1), Garbage, Zeros]);
    assert_eq!(history.twin.seen(), [1, crate::model::UNSPECIFIED, 0]);
    assert_eq!(history.checked(Clause::ReadYourWrites), 1 + 1);
    assert_eq!(history.checked(Clause::Trim), 1);
    let history = History::new().write(1, 0..1).fail(1).reads(0, &[By(1)]);
    assert_eq!(history.checked(Clause::OldOrNew), 1);
}

#[test]
fn a_reset_twin_knows_nothing_of_before() {
    let history =
        History::new().wrote(1, 0..2).write(2, 0..1).fail_to_sync(2).close(3).sync_met().cancel(3);
    let history = history.reset();
    assert_eq!(*history.twin.checks(), Default::default());
    let history = history.reads(0, &[Zeros, Zeros]).wrote(1, 0..1).flushed();
    history.crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}

#[test]
fn what_the_file_held_first_is_read_until_it_is_written() {
    let used = || History::new().holding(0..2);
    let [first, second] = [0, 1].map(|sector| Meant(0, sector));
    used().reads(0, &[first, second, Zeros]);
    used().must_not_read(0, &[Zeros], Kind::Lost);
    used().must_not_read(2, &[Meant(0, 2)], Kind::Stale);
    let written = || used().wrote(1, 0..1);
    written().reads(0, &[By(1), second]);
    written().must_not_read(0, &[first], Kind::Stale);
    // It is durable, and what is written over it is not.
    written().crash_leaves(0, &[first, second]);
    written().flushed().crash_must_not_leave(0, &[first], Kind::DurabilityLost);
    used().crash_must_not_leave(0, &[Zeros], Kind::DurabilityLost);
}
