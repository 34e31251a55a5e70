//! Clause 5: what survives a crash is in order.

use super::history::Held::{By, Zeros};
use super::history::History;
use crate::model::{Clause, Content, Expected, Kind, TrimEffect};

/// Write 1 to sector 0, a barrier, write 2 to sector 1.
fn story() -> History {
    History::new().wrote(1, 0..1).ordered().wrote(2, 1..2)
}

#[test]
fn a_survivor_from_after_a_barrier_proves_all_from_before_it() {
    story().crash_leaves(0, &[By(1), By(2)]);
    story().crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
    let unordered = History::new().wrote(1, 0..1).wrote(2, 1..2);
    unordered.crash_leaves(0, &[Zeros, By(2)]);
}

#[test]
fn without_a_survivor_nothing_is_demanded() {
    story().crash_leaves(0, &[Zeros, Zeros]);
    story().crash_leaves(0, &[By(1), Zeros]);
}

#[test]
fn the_order_of_sectors_does_not_matter() {
    let story = || History::new().wrote(1, 1..2).ordered().wrote(2, 0..1);
    story().crash_leaves(0, &[By(2), By(1)]);
    story().crash_must_not_leave(0, &[By(2), Zeros], Kind::OrderingViolated);
}

#[test]
fn a_sector_written_on_both_sides_may_hold_either() {
    let story = || History::new().wrote(1, 0..2).ordered().wrote(2, 0..2);
    story().crash_leaves(0, &[By(1), By(2)]);
    story().crash_leaves(0, &[By(2), By(1)]);
    story().crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
}

#[test]
fn two_barriers_make_three_epochs() {
    let story = || story().ordered().wrote(3, 2..3);
    story().crash_leaves(0, &[Zeros, Zeros, Zeros]);
    story().crash_leaves(0, &[By(1), Zeros, Zeros]);
    story().crash_leaves(0, &[By(1), By(2), By(3)]);
    story().crash_must_not_leave(0, &[Zeros, By(2), Zeros], Kind::OrderingViolated);
    story().crash_must_not_leave(0, &[By(1), Zeros, By(3)], Kind::OrderingViolated);
    story().crash_must_not_leave(0, &[Zeros, By(2), By(3)], Kind::OrderingViolated);
}

#[test]
fn a_barrier_holds_only_what_completed_before_it_was_called() {
    let during = History::new().write(1, 0..1).barrier(9).ok(1).ok(9).wrote(2, 1..2);
    during.crash_leaves(0, &[Zeros, By(2)]);
    let failed = History::new().write(1, 0..1).fail(1).ordered().wrote(2, 1..2);
    failed.crash_leaves(0, &[Zeros, By(2)]);
}

#[test]
fn a_barrier_holds_back_only_what_was_made_after_it_returned() {
    let during = History::new().wrote(1, 0..1).barrier(9).write(2, 1..2).ok(9).ok(2);
    during.crash_leaves(0, &[Zeros, By(2)]);
    let failed = History::new().wrote(1, 0..1).ordered().write(2, 1..2).fail(2);
    failed.crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
}

#[test]
fn a_barrier_that_did_not_return_ok_orders_nothing() {
    let story = || History::new().wrote(1, 0..1).barrier(9);
    story().wrote(2, 1..2).crash_leaves(0, &[Zeros, By(2)]);
    story().cancel(9).wrote(2, 1..2).crash_leaves(0, &[Zeros, By(2)]);
    story().ok(9).wrote(2, 1..2).crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
}

#[test]
fn a_flushed_survivor_proves_as_much_as_a_lucky_one() {
    let story = || History::new().wrote(1, 0..1).ordered().fua(2, 1..2).ok(2);
    story().crash_leaves(0, &[By(1), By(2)]);
    story().crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
}

#[test]
fn unspecified_contents_prove_nothing_and_break_nothing() {
    let survivor = History::new().wrote(1, 0..1).ordered().trimmed(2, 1..2);
    survivor.crash_leaves(0, &[Zeros, Zeros]);
    let ordered = History::new().trimmed(1, 0..1).ordered().wrote(2, 1..2);
    ordered.crash_leaves(0, &[Zeros, By(2)]);
}

#[test]
fn a_trim_is_ordered_like_a_write() {
    let story = || {
        let history = History::trimming(TrimEffect::Zeros).wrote(1, 0..1).flushed();
        history.trimmed(2, 0..1).ordered().wrote(3, 1..2)
    };
    story().crash_leaves(0, &[Zeros, By(3)]);
    story().crash_must_not_leave(0, &[By(1), By(3)], Kind::OrderingViolated);
    // These zeros may be older than the barrier or newer, and so prove nothing.
    let alike = History::trimming(TrimEffect::Zeros).wrote(1, 0..1).ordered().trimmed(2, 1..2);
    alike.crash_leaves(0, &[Zeros, Zeros]);
    // And these may be the trim's, from after the barrier, as well as what was there first.
    let either = || History::trimming(TrimEffect::Zeros).wrote(1, 0..1).ordered().trimmed(2, 0..1);
    either().wrote(3, 1..2).crash_leaves(0, &[Zeros, By(3)]);
}

#[test]
fn a_crash_makes_earlier_barriers_moot() {
    let story = || story().crash_leaves(0, &[By(1), Zeros]).wrote(3, 2..3);
    story().crash_leaves(0, &[By(1), Zeros, By(3)]);
    story().crash_must_not_leave(0, &[Zeros, Zeros, By(3)], Kind::DurabilityLost);
    let nothing_left = super::barriers::story().crash_leaves(0, &[Zeros, Zeros]).wrote(3, 2..3);
    nothing_left.crash_leaves(0, &[Zeros, Zeros, By(3)]);
}

#[test]
fn a_barrier_holds_through_crashes_in_a_row() {
    story().crash().crash().recovers(0, &[By(1), By(2)]).settles();
    story().crash().crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
    let halfway = || story().crash().recovers(0, &[Zeros]);
    halfway().crash_leaves(0, &[Zeros, Zeros]);
    halfway().crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
}

#[test]
fn a_barrier_after_a_flush_still_orders() {
    let story = || History::new().flushed().wrote(1, 0..1).flush(8).ordered().ok(8).wrote(2, 1..2);
    story().crash_leaves(0, &[By(1), By(2)]);
    // The write had completed when the flush was called: it is lost, whatever the order.
    story().crash_must_not_leave(0, &[Zeros, By(2)], Kind::DurabilityLost);
    let late = || History::new().flush(8).wrote(1, 0..1).ordered().ok(8).wrote(2, 1..2);
    late().crash_must_not_leave(0, &[Zeros, By(2)], Kind::OrderingViolated);
}

#[test]
fn an_order_violation_names_both_writes_and_the_barrier() {
    let history = story().wrote(4, 2..3);
    let violation = history.crash_must_not_leave(0, &[Zeros, Zeros, By(4)], Kind::OrderingViolated);
    let says = "after the crash sector 2 holds write #4, issued after barrier #1001, but sector 0 \
                holds zeros, older than what had completed or been read before it";
    assert_eq!(violation.sentence, says);
    assert_eq!(violation.findings.len(), 1);
    assert_eq!((violation.findings[0].sector, violation.findings[0].found), (0, Content::Zeros));
    assert_eq!(Expected::Zeros.to_string(), "zeros");
}

#[test]
fn the_order_is_counted_only_where_something_proves_it() {
    let lost = story().crash_leaves(0, &[By(1), Zeros]);
    assert_eq!(lost.checked(Clause::Ordering), 0);
    let kept = story().crash_leaves(0, &[By(1), By(2)]);
    assert_eq!(kept.checked(Clause::Ordering), 1);
    let moot = History::new().wrote(1, 0..1).ordered().flushed().wrote(2, 1..2);
    assert_eq!(moot.crash_leaves(0, &[By(1), By(2)]).checked(Clause::Ordering), 0);
}
