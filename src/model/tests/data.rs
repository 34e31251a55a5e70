//! Writes of zeros and of the pattern: what cannot be told apart by what is read.

use super::history::Held::{By, Meant, Torn, Zeros};
use super::history::{History, bytes_of};
use crate::model::{Data, Kind, Request};
use std::ops::Range;

impl History {
    fn writes(mut self, op: u32, sectors: Range<u64>, data: Data) -> Self {
        let (offset, length) = bytes_of(&sectors);
        self.twin.begin_with(op, Request::Write { offset, length, fua: false }, data);
        self
    }

    fn wrote_zeros(self, op: u32, sectors: Range<u64>) -> Self {
        self.writes(op, sectors, Data::Zeros).ok(op)
    }

    fn wrote_pattern(self, op: u32, sectors: Range<u64>) -> Self {
        self.writes(op, sectors, Data::Pattern).ok(op)
    }
}

#[test]
fn zeros_that_were_written_are_due_like_any_other_data() {
    let story = || History::new().wrote(1, 0..2).wrote_zeros(2, 0..1);
    story().reads(0, &[Zeros, By(1)]);
    let found = story().must_not_read(0, &[By(1)], Kind::Stale);
    assert!(found.sentence.ends_with("legal: write #2"), "{}", found.sentence);
    story().wrote(3, 0..1).must_not_read(0, &[Zeros], Kind::Stale);
    // Nobody wrote zeros there.
    story().must_not_read(1, &[Zeros], Kind::Lost);
}

#[test]
fn zeros_that_were_written_become_durable_like_any_other_data() {
    let story = || History::new().wrote(1, 0..1).flushed().wrote_zeros(2, 0..1);
    story().crash_leaves(0, &[Zeros]);
    story().crash_leaves(0, &[By(1)]);
    story().flushed().crash_leaves(0, &[Zeros]);
    story().flushed().crash_must_not_leave(0, &[By(1)], Kind::DurabilityLost);
}

#[test]
fn the_pattern_is_the_same_whoever_writes_it() {
    let story = || History::new().wrote_pattern(1, 0..2).wrote(2, 0..1);
    let mut again = story().wrote_pattern(3, 0..1);
    let sectors = [again.contents(0, &[By(1), By(1)]), again.contents(0, &[By(3), By(3)])];
    assert_eq!(sectors[0], sectors[1]);
    again = again.reads(0, &[By(1), By(3)]);
    again.must_not_read(0, &[By(2)], Kind::Stale);
    story().must_not_read(0, &[By(1)], Kind::Stale);
    // It names the sector.
    story().must_not_read(1, &[Meant(1, 0)], Kind::Misdirected);
    story().must_not_read(0, &[Torn(1, 2)], Kind::Torn);
}

#[test]
fn what_a_crash_may_leave_of_the_pattern_is_no_breach_of_order() {
    // Whichever of the two writes of the pattern survived, the barrier is not held against the
    // device: that write 2 is missing is explained by write 1, not by write 3.
    let story = || {
        let first = History::new().wrote_pattern(1, 0..1).flushed();
        first.wrote(2, 1..2).barrier(8).ok(8).wrote_pattern(3, 0..1)
    };
    story().crash_leaves(0, &[By(1), Zeros]);
    story().crash_leaves(0, &[By(3), By(2)]);
    let unlike = story().wrote(4, 0..1);
    unlike.crash_must_not_leave(0, &[By(4), Zeros], Kind::OrderingViolated);
}

#[test]
fn of_a_sparse_write_each_sector_is_due() {
    let mut story = History::new().wrote(1, 0..8).writes(2, 0..8, Data::Sparse).ok(2);
    let held = story.contents(0, &[By(2); 8]);
    let is_zeros = |sector: &[u8]| sector.iter().all(|&byte| byte == 0);
    let zeros = held.chunks(512).filter(|sector| is_zeros(sector)).count();
    assert!((1..8).contains(&zeros), "{zeros} of 8 are zeros");
    story = story.reads(0, &[By(2); 8]);
    let kept = held.chunks(512).position(|sector| !is_zeros(sector)).unwrap() as u64;
    story.must_not_read(kept, &[Zeros], Kind::Stale);
}

#[test]
fn a_stale_pattern_is_named_after_the_write_that_wrote_it_there_last() {
    let story = History::new().wrote_pattern(1, 0..2).wrote_pattern(2, 0..1).wrote(3, 0..1);
    let found = story.must_not_read(0, &[By(1)], Kind::Stale);
    assert!(found.sentence.contains("sector 0 holds write #2; legal: write #3"), "{found:?}");
}
