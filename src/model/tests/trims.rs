//! Clause 8: what a trim leaves, by what the device promises of it.

use super::history::Held::{By, Garbage, Scribble, Zeros};
use super::history::{Held, History};
use crate::model::{Clause, Kind, TrimEffect};

/// Every effect of which something is known, with what it leaves of write 1.
const KNOWN: [(TrimEffect, Held, Kind); 3] = [
    (TrimEffect::Scribble, Scribble, Kind::Stale),
    (TrimEffect::Zeros, Zeros, Kind::Lost),
    (TrimEffect::Nothing, By(1), Kind::Stale),
];

/// What a device with this effect must not leave in place of write 1. A scribble is foreign to a
/// sector that was never trimmed.
fn wrong(effect: TrimEffect, right: Held) -> impl Iterator<Item = (Held, Kind)> {
    let trimmed = effect != TrimEffect::Nothing;
    let scribble = if trimmed { Kind::Stale } else { Kind::RangeEscaped };
    let all = [(Scribble, scribble), (Zeros, Kind::Lost), (By(1), Kind::Stale)];
    all.into_iter().filter(move |&(held, _)| held != right)
}

#[test]
fn an_unspecified_trim_may_leave_anything_until_it_is_written_again() {
    let story = || History::new().wrote(1, 0..3).trimmed(2, 1..2);
    for held in [By(1), Zeros, Scribble, Garbage] {
        story().reads(0, &[By(1), held, By(1)]).reads(1, &[Garbage]);
        story().flushed().crash_leaves(0, &[By(1), held, By(1)]).reads(1, &[Zeros]);
    }
    story().wrote(3, 1..2).must_not_read(1, &[Garbage], Kind::Corrupt);
    story().wrote(3, 1..2).reads(0, &[By(1), By(3), By(1)]);
}

#[test]
fn no_trim_reaches_outside_its_range() {
    for (effect, left, _) in KNOWN {
        let story = || History::trimming(effect).wrote(1, 0..3).trimmed(2, 1..2);
        story().reads(0, &[By(1), left, By(1)]);
        story().must_not_read(0, &[Scribble, left, By(1)], Kind::RangeEscaped);
        story().must_not_read(0, &[By(1), left, Zeros], Kind::Lost);
    }
    let story = || History::new().wrote(1, 0..3).trimmed(2, 1..2);
    story().must_not_read(0, &[Zeros, By(1), By(1)], Kind::Lost);
    story().must_not_read(0, &[By(1), By(1), Scribble], Kind::RangeEscaped);
}

#[test]
fn a_trim_leaves_what_its_mode_promises() {
    for (effect, left, _) in KNOWN {
        let story = || History::trimming(effect).wrote(1, 0..1).trimmed(2, 0..1);
        story().reads(0, &[left]);
        for (held, kind) in wrong(effect, left) {
            story().must_not_read(0, &[held], kind);
        }
    }
}

#[test]
fn a_trim_never_comes_back_over_a_later_write() {
    for (effect, left, kind) in KNOWN {
        let story = || History::trimming(effect).wrote(1, 0..1).trimmed(2, 0..1).wrote(3, 0..1);
        story().reads(0, &[By(3)]).flushed().crash_leaves(0, &[By(3)]);
        story().must_not_read(0, &[left], kind);
        story().flushed().crash_must_not_leave(0, &[left], Kind::DurabilityLost);
    }
    let cancelled = History::new().trim(1, 0..1).cancel(1).wrote(2, 0..1);
    cancelled.must_not_read(0, &[Zeros], Kind::Lost);
}

#[test]
fn a_trim_beside_a_write_may_win_or_lose() {
    for (effect, left, kind) in KNOWN {
        let story = || History::trimming(effect).wrote(1, 0..1).trim(2, 0..1).wrote(3, 0..1).ok(2);
        story().reads(0, &[By(3)]);
        match effect {
            TrimEffect::Nothing => drop(story().must_not_read(0, &[left], kind)),
            _ => drop(story().reads(0, &[left]).must_not_read(0, &[By(3)], Kind::Stale)),
        }
    }
}

#[test]
fn a_failed_or_cancelled_trim_is_old_or_trimmed() {
    for (effect, left, _) in KNOWN {
        let story = || History::trimming(effect).wrote(1, 0..2).trim(2, 0..2);
        story().fail(2).reads(0, &[By(1), left]).reads(0, &[By(1), left]);
        story().cancel(2).reads(0, &[left, By(1)]);
        story().fail(2).must_not_read(0, &[Garbage], Kind::Corrupt);
    }
    let unspecified = History::new().wrote(1, 0..1).trim(2, 0..1).fail(2);
    unspecified.reads(0, &[Garbage]).reads(0, &[By(1)]);
}

#[test]
fn an_unsynced_trim_may_be_undone_by_a_crash_and_a_synced_one_not() {
    let story = |effect| History::trimming(effect).wrote(1, 0..1).flushed().trimmed(2, 0..1);
    for (effect, left) in [(TrimEffect::Scribble, Scribble), (TrimEffect::Zeros, Zeros)] {
        story(effect).crash_leaves(0, &[By(1)]).must_not_read(0, &[left], wrong_after(left));
        story(effect).crash_leaves(0, &[left]).must_not_read(0, &[By(1)], Kind::Stale);
        story(effect).flushed().crash_leaves(0, &[left]);
        story(effect).flushed().crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost);
    }
}

fn wrong_after(left: Held) -> Kind {
    if left == Zeros { Kind::Lost } else { Kind::Stale }
}

#[test]
fn an_unspecified_trim_may_still_be_there_whatever_a_crash_shows() {
    let story = || History::new().wrote(1, 0..1).trimmed(2, 0..1).crash_leaves(0, &[By(1)]);
    story().reads(0, &[Garbage]).reads(0, &[By(1)]);
    story().wrote(3, 0..1).must_not_read(0, &[Garbage], Kind::Corrupt);
}

#[test]
fn of_contents_that_look_alike_the_newest_is_named() {
    let history = History::trimming(TrimEffect::Zeros).trim(1, 0..1).fail(1).reads(0, &[Zeros]);
    assert_eq!(history.twin.seen(), [1]);
}

#[test]
fn trims_are_counted_where_they_show() {
    for (effect, left, _) in KNOWN {
        let history = History::trimming(effect).wrote(1, 0..1).trimmed(2, 0..1).reads(0, &[left]);
        assert_eq!(history.checked(Clause::Trim), u64::from(effect != TrimEffect::Nothing));
    }
}
