//! What a crash decides about: the changes of one sector after another.

use super::{Change, Restore, Undo};
use smallvec::SmallVec;

/// The changes of the sectors that are being decided.
#[derive(Default)]
pub(super) struct Versions {
    /// Up to where sectors were decided, while some of the changes go on there.
    at: Option<u64>,
    /// All of them, in order.
    changes: SmallVec<[usize; 8]>,
    /// Those that are still to be written, in order.
    live: SmallVec<[usize; 8]>,
    /// The raw calls that made those.
    pub(super) calls: SmallVec<[u64; 8]>,
}

impl Versions {
    /// The next sector to decide, where the next change that has not been added begins at `next`.
    pub(super) fn goes_on_at(&self, next: Option<u64>) -> Option<u64> {
        self.at.or(next)
    }

    pub(super) fn add(&mut self, at: usize, changes: &[Change]) {
        let place = self.changes.partition_point(|&other| other < at);
        self.changes.insert(place, at);
        self.look_again(changes);
    }

    /// All sectors before `end` have been decided.
    pub(super) fn pass(&mut self, end: u64, changes: &[Change]) {
        self.changes.retain(|at| changes[*at].end() > end);
        self.at = (!self.changes.is_empty()).then_some(end);
        self.look_again(changes);
    }

    pub(super) fn look_again(&mut self, changes: &[Change]) {
        self.live.clear();
        self.live.extend(self.changes.iter().copied().filter(|&at| !changes[at].dropped));
        self.calls.clear();
        self.calls.extend(self.live.iter().map(|&at| changes[at].call));
    }

    /// Up to where all of them go.
    pub(super) fn end(&self, changes: &[Change]) -> u64 {
        let ends = self.changes.iter().map(|&at| changes[at].end());
        ends.min().expect("one change at least")
    }

    /// Which change has replaced the chosen content, and so tells it; none did if that is what is
    /// visible. Contents are what was durable, then one after each change that is live.
    pub(super) fn replaced_by(&self, chosen: usize) -> Option<usize> {
        let Some(chosen) = chosen.checked_sub(1) else { return self.changes.first().copied() };
        let at = self.live[chosen];
        self.changes.iter().copied().find(|&later| later > at)
    }
}

/// Sectors that are to be restored together.
pub(super) struct Restored<'a> {
    pub(super) log: &'a Undo,
    pub(super) sector_size: usize,
    /// The first, how many they are, and the change that has replaced what they get.
    pub(super) pending: Option<(u64, u64, usize)>,
}

impl Restored<'_> {
    /// Has `what` be restored, to what the change `at` has replaced.
    pub(super) fn add(&mut self, what: u64, at: usize, restore: &mut impl FnMut(Restore<'_>)) {
        match &mut self.pending {
            Some((first, count, by)) if *by == at && *first + *count == what => *count += 1,
            _ => {
                self.flush(restore);
                self.pending = Some((what, 1, at));
            }
        }
    }

    pub(super) fn flush(&mut self, restore: &mut impl FnMut(Restore<'_>)) {
        let Some((what, count, at)) = self.pending.take() else { return };
        let (change, size) = (&self.log.changes[at], self.sector_size);
        let place = change.place(what, size).start..change.place(what + count - 1, size).end;
        restore(Restore::Sectors(what - 1, &self.log.arena[place], change.replaced_corrupted));
    }
}
