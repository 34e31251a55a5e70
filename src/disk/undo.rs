//! What is written and not yet synced: an undo log, in runs of sectors.
//!
//! A change keeps what it replaced. So the durable content of a sector is what its oldest change
//! replaced; the content after a change is what the next change of the sector replaced, or, after
//! the last one, what is visible. A sync that covers the whole log just empties it.

use super::crash::{CrashOutcome, CrashPolicy, Damage};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use versions::{Restored, Versions};

mod versions;

/// In [`Change::what`]: the length of the file. Sectors are one more than their number, so that the
/// length is decided before them.
const LENGTH: u64 = 0;

/// An unsynced change of a run of sectors, or of the length of the file.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// The first sector plus one, or [`LENGTH`].
    what: u64,
    /// The number of sectors; 1 of a length.
    count: u64,
    /// Where in the arena what it replaced lies; of a length, the length itself.
    replaced: u64,
    /// The number of changes made before this one.
    number: u64,
    /// The raw call that made it, by number.
    call: u64,
    /// What it replaced was silently wrong.
    replaced_corrupted: bool,
    /// A failed sync marked it clean without writing it: no later sync makes it durable.
    dropped: bool,
    /// It took data away, by a truncation or a hole, and wrote none. That is metadata, in the
    /// journal of the file system: a failed sync leaves it dirty.
    metadata: bool,
}

impl Change {
    /// A change that the raw call `call` makes, of the length unless it says otherwise.
    fn of(call: u64) -> Self {
        let (what, replaced_corrupted, dropped, metadata) = (LENGTH, false, false, false);
        Self { what, count: 1, replaced: 0, number: 0, call, replaced_corrupted, dropped, metadata }
    }

    /// What comes after it.
    fn end(&self) -> u64 {
        self.what + self.count
    }

    /// The part of it from `what` on, of this many sectors.
    fn part(&self, what: u64, count: u64, sector_size: usize) -> Self {
        let skipped = (what - self.what) * sector_size as u64;
        Self { what, count, replaced: self.replaced + skipped, ..*self }
    }

    /// Where in the arena what it replaced of one sector lies.
    fn place(&self, what: u64, sector_size: usize) -> Range<usize> {
        assert!(what != LENGTH, "a length lies in no arena");
        let start = self.part(what, 1, sector_size).replaced;
        let start = usize::try_from(start).expect("a place in memory");
        start..start + sector_size
    }
}

/// The unsynced changes of a file, in order.
#[derive(Debug, Default)]
pub(super) struct Undo {
    changes: Vec<Change>,
    arena: Vec<u8>,
    /// How many changes were ever made.
    made: u64,
    /// The number of the raw call that is changing the file, or was the last to do so.
    call: u64,
    /// That call writes no data.
    metadata: bool,
    /// The bytes of a sector in the arena.
    sector_size: usize,
    /// Room to sort in, kept from use to use.
    order: Vec<(u64, usize)>,
}

/// What becomes of one sector, or of the length.
pub(super) enum Restore<'a> {
    /// The sectors from this one on get these bytes, which are silently wrong or not.
    Sectors(u64, &'a [u8], bool),
    /// The sector, which got or kept its content, is damaged besides.
    Damage(u64, Damage),
    /// The file gets this length.
    Length(u64),
}

impl Undo {
    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.arena.clear();
    }

    /// The number of changes ever made: what a sync remembers of the moment when it began.
    pub(super) fn mark(&self) -> u64 {
        self.made
    }

    /// How many of the changes at hand were made before `mark`.
    fn before(&self, mark: u64) -> usize {
        self.changes.partition_point(|change| change.number < mark)
    }

    /// What is recorded from now on is made by this raw call: a number that grows from call to
    /// call, over all files.
    pub(super) fn begin_call(&mut self, call: u64) {
        (self.call, self.metadata) = (call, false);
    }

    /// As [`begin_call`](Self::begin_call), of a call that takes data away and writes none.
    pub(super) fn begin_metadata_call(&mut self, call: u64) {
        (self.call, self.metadata) = (call, true);
    }

    /// The raw calls that made the changes, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = u64> + Clone {
        let calls = self.changes.chunk_by(|one, next| one.call == next.call);
        calls.map(|changes| changes[0].call)
    }

    /// What the change of `sector` replaced was silently wrong. It is one of those that were
    /// [recorded](Self::record) last, sector by sector.
    pub(super) fn replaced_corrupted(&mut self, sector: u64) {
        let (what, last) = (sector + 1, self.changes.last().map(|change| change.number));
        let mut just = self.changes.iter().rposition(|change| {
            change.what <= what && what < change.end() && change.what != LENGTH
        });
        just = just.filter(|&at| Some(self.changes[at].number) == last);
        let at = just.expect("a change of the sector was just recorded");
        let (change, size) = (self.changes[at], self.sector_size);
        let one = Change { replaced_corrupted: true, ..change.part(what, 1, size) };
        let before = change.part(change.what, what - change.what, size);
        let after = change.part(what + 1, change.end() - (what + 1), size);
        let parts = [before, one, after].into_iter().filter(|part| part.count > 0);
        self.changes.splice(at..=at, parts);
    }

    /// What is durable of those of `sectors` of which that is not what is visible.
    pub(super) fn durable_of(
        &self,
        sectors: &Range<u64>,
        sector_size: usize,
    ) -> BTreeMap<u64, &[u8]> {
        // The oldest change is the last to be put in.
        let changes = self.changes.iter().rev().filter(|change| change.what != LENGTH);
        let contents = changes.flat_map(|change| {
            let within = (change.what - 1).max(sectors.start)..(change.end() - 1).min(sectors.end);
            within.map(|sector| (sector, &self.arena[change.place(sector + 1, sector_size)]))
        });
        contents.collect()
    }

    /// The sectors that have changed since `mark`.
    pub(super) fn changed_since(&self, mark: u64) -> BTreeSet<u64> {
        let changes = self.changes[self.before(mark)..].iter();
        let of_sectors = changes.filter(|change| change.what != LENGTH);
        of_sectors.flat_map(|change| change.what - 1..change.end() - 1).collect()
    }

    /// What is durable of each sector of which that is not known to be what is visible.
    pub(super) fn durable_contents(&self, sector_size: usize) -> BTreeMap<u64, &[u8]> {
        self.durable_of(&(0..u64::MAX), sector_size)
    }

    /// Deciding what survives of this log.
    pub(super) fn outcome(&self, policy: CrashPolicy) -> CrashOutcome {
        CrashOutcome::new(policy, self.calls())
    }

    /// What the raw call at hand has changed will never be written to the medium.
    pub(super) fn drop_call(&mut self) {
        let call = self.call;
        let made = self.changes.iter_mut().rev().take_while(|change| change.call == call);
        for change in made {
            change.dropped = change.what != LENGTH;
        }
    }

    /// Records that the sectors from `first` on are about to change. `held` appends what they hold
    /// now, all of it, which is given back to be corrected.
    pub(super) fn record(
        &mut self,
        first: u64,
        sector_size: usize,
        held: impl FnOnce(&mut Vec<u8>),
    ) -> &mut [u8] {
        let start = self.arena.len();
        held(&mut self.arena);
        let count = ((self.arena.len() - start) / sector_size) as u64;
        if count > 0 {
            let (replaced, number, metadata) = (start as u64, self.made, self.metadata);
            let change = Change { what: first + 1, count, replaced, ..Change::of(self.call) };
            self.changes.push(Change { number, metadata, ..change });
            self.made += 1;
        }
        self.sector_size = sector_size;
        &mut self.arena[start..]
    }

    /// Records that the length is about to change from `length`.
    pub(super) fn record_length(&mut self, length: u64) {
        let change = Change { replaced: length, number: self.made, ..Change::of(self.call) };
        self.changes.push(change);
        self.made += 1;
    }

    /// A sync that began at `mark` has succeeded: what was there then is durable.
    pub(super) fn synced(&mut self, mark: u64) {
        if self.changes.iter().any(|change| change.dropped) {
            self.part_all();
            return self.forget_overtaken(self.before(mark));
        }
        let mark = self.before(mark);
        if mark == self.changes.len() {
            self.clear();
        } else {
            self.changes.drain(..mark);
        }
    }

    /// A sync where some changes had been dropped by a failed one before: those stay, unless a
    /// later change of the same sector has become durable over them.
    fn forget_overtaken(&mut self, mark: usize) {
        let synced = self.changes[..mark].iter().enumerate();
        let mut last: Vec<(u64, usize)> = synced
            .filter(|(_, change)| !change.dropped)
            .map(|(at, change)| (change.what, at))
            .collect();
        last.sort_unstable_by_key(|&(what, at)| (what, std::cmp::Reverse(at)));
        last.dedup_by_key(|&mut (what, _)| what);
        self.keep(|at, change| {
            let durable = last.binary_search_by_key(&change.what, |&(what, _)| what);
            durable.is_err() || durable.is_ok_and(|found| at > last[found].1)
        });
    }

    /// Has every change be one of one sector: what becomes of neighbours may differ.
    fn part_all(&mut self) {
        let size = self.sector_size;
        let parts = self.changes.iter().flat_map(|change| {
            let one = |what| if change.count == 1 { *change } else { change.part(what, 1, size) };
            (change.what..change.end()).map(one)
        });
        self.changes = parts.collect();
    }

    fn keep(&mut self, mut keep: impl FnMut(usize, &Change) -> bool) {
        let mut at = 0;
        self.changes.retain(|change| {
            at += 1;
            keep(at - 1, change)
        });
        if self.changes.is_empty() {
            self.arena.clear();
        }
    }

    /// A sync that began at `mark` has failed, and what was dirty then counts as clean. Not so the
    /// length and holes, which are metadata: they stay dirty.
    pub(super) fn dropped(&mut self, mark: u64) {
        for change in self.changes.iter_mut().take_while(|change| change.number < mark) {
            change.dropped |= change.what != LENGTH && !change.metadata;
        }
    }

    /// A sync that began at `mark` has failed after a part of it was written, though not the
    /// length.
    pub(super) fn partly_synced(
        &mut self,
        mark: u64,
        sector_size: usize,
        outcome: &mut CrashOutcome,
    ) {
        self.part_all();
        let mut durable = vec![false; self.changes.len()];
        // A crash may go back to any of these.
        let lengths = self.changes.iter().filter(|change| change.what == LENGTH);
        let edges: Vec<u64> = lengths.filter_map(|it| edge(it.replaced, sector_size)).collect();
        let mut versions = Vec::new();
        self.groups(self.before(mark), |undo, group| {
            let what = group[0].0;
            if what == LENGTH || edges.contains(&what) {
                return;
            }
            // As in a crash: what an earlier failure dropped can only be overwritten.
            let live = || group.iter().filter(|&&(_, at)| !undo.changes[at].dropped);
            versions.clear();
            versions.extend(live().map(|&(_, at)| undo.changes[at].call));
            let chosen = outcome.choose(what, &versions);
            let Some(nth) = chosen.checked_sub(1) else { return };
            let &(_, newest) = live().nth(nth).expect("a version that was given to choose from");
            for &(_, at) in group.iter().take_while(|&&(_, at)| at <= newest) {
                durable[at] = true;
            }
        });
        self.keep(|at, _| !durable[at]);
        self.dropped(mark);
    }

    /// The first `count` changes, each of one sector: the length first, then sector by sector in
    /// order.
    fn groups(&mut self, count: usize, mut each: impl FnMut(&Self, &[(u64, usize)])) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(self.changes[..count].iter().map(|change| change.what).zip(0..));
        order.sort_unstable();
        for group in order.chunk_by(|one, next| one.0 == next.0) {
            each(self, group);
        }
        self.order = order;
    }

    /// The power fails: says what has to be restored, and forgets everything.
    pub(super) fn crash(
        &mut self,
        sector_size: usize,
        outcome: &mut CrashOutcome,
        mut restore: impl FnMut(Restore<'_>),
    ) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(self.changes.iter().map(|change| change.what).zip(0..));
        order.sort_unstable();
        let mut versions = Versions::default();
        let (mut torn_by_length, mut next) = (None, 0);
        let mut run = Restored { log: self, sector_size, pending: None };
        while let Some(start) = versions.goes_on_at(order.get(next).map(|&(what, _)| what)) {
            while let Some(&(what, at)) = order.get(next)
                && what == start
            {
                versions.add(at, &self.changes);
                next += 1;
            }
            let end = versions.end(&self.changes).min(order.get(next).map_or(u64::MAX, |it| it.0));
            for what in start..end {
                let is_torn = Some(what) == torn_by_length;
                let chosen = if is_torn { 0 } else { outcome.choose(what, &versions.calls) };
                if what != LENGTH
                    && let Some(damage) = outcome.damage(sector_size)
                {
                    restore(Restore::Damage(what - 1, damage));
                }
                let Some(at) = versions.replaced_by(chosen) else { continue };
                if what == LENGTH {
                    let length = self.changes[at].replaced;
                    torn_by_length = edge(length, sector_size);
                    restore(Restore::Length(length));
                } else {
                    run.add(what, at, &mut restore);
                }
            }
            versions.pass(end, &self.changes);
        }
        run.flush(&mut restore);
        self.order = order;
        self.clear();
    }
}

/// In [`Change::what`], the sector inside which a file of `length` bytes ends. Where growth is lost
/// in a crash, what was written to that sector with it is lost too, or the sector would be torn.
fn edge(length: u64, sector_size: usize) -> Option<u64> {
    let size = sector_size as u64;
    (!length.is_multiple_of(size)).then_some(length / size + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = 4;

    /// A file of sectors that hold one number each.
    #[derive(Default)]
    struct Toy {
        visible: [u8; 8],
        undo: Undo,
    }

    impl Toy {
        fn write(&mut self, sector: usize, value: u8) {
            self.undo.begin_call(self.undo.call + 1);
            self.set(sector, value);
        }

        fn punch(&mut self, sector: usize) {
            self.undo.begin_metadata_call(self.undo.call + 1);
            self.set(sector, 0);
        }

        fn set(&mut self, sector: usize, value: u8) {
            let old = [self.visible[sector]; SECTOR];
            self.undo.record(sector as u64, SECTOR, |held| held.extend_from_slice(&old));
            self.visible[sector] = value;
        }

        fn crash(&mut self, policy: CrashPolicy) -> [u8; 8] {
            let visible = &mut self.visible;
            let mut outcome = self.undo.outcome(policy);
            self.undo.crash(SECTOR, &mut outcome, |restore| match restore {
                Restore::Sectors(first, bytes, _) => {
                    for (at, bytes) in bytes.chunks(SECTOR).enumerate() {
                        visible[usize::try_from(first).unwrap() + at] = bytes[0];
                    }
                }
                Restore::Length(_) | Restore::Damage(..) => {}
            });
            self.visible
        }
    }

    #[test]
    fn a_crash_leaves_what_was_durable_or_any_version_since() {
        let mut seen = [false; 5];
        for seed in 0..100 {
            let mut toy = Toy::default();
            toy.write(3, 1);
            toy.undo.synced(toy.undo.mark());
            for value in 2..=4 {
                toy.write(3, value);
            }
            seen[toy.crash(CrashPolicy::Random(seed))[3] as usize] = true;
        }
        assert_eq!(seen, [false, true, true, true, true]);
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let mut toy = Toy::default();
        toy.write(0, 1);
        let mark = toy.undo.mark();
        toy.write(0, 2);
        toy.write(1, 3);
        toy.undo.synced(mark);
        assert_eq!(toy.crash(CrashPolicy::None)[..2], [1, 0]);
    }

    #[test]
    fn what_a_failed_sync_dropped_is_visible_but_never_durable() {
        let mut toy = Toy::default();
        toy.write(0, 1);
        toy.write(1, 1);
        toy.undo.dropped(toy.undo.mark());
        toy.write(1, 2);
        assert_eq!(toy.visible[..2], [1, 2]);
        toy.undo.synced(toy.undo.mark());
        assert_eq!(toy.crash(CrashPolicy::All)[..2], [0, 2]);
    }

    #[test]
    fn a_hole_stays_dirty_when_a_sync_fails() {
        let mut toy = Toy::default();
        toy.write(0, 1);
        toy.undo.synced(toy.undo.mark());
        toy.punch(0);
        toy.undo.dropped(toy.undo.mark());
        toy.undo.synced(toy.undo.mark());
        assert_eq!(toy.crash(CrashPolicy::None)[0], 0);
    }

    #[test]
    fn a_dropped_version_under_a_live_one_cannot_survive() {
        for seed in 0..50 {
            let mut toy = Toy::default();
            toy.write(0, 1);
            toy.undo.dropped(toy.undo.mark());
            toy.write(0, 2);
            assert_ne!(toy.crash(CrashPolicy::Random(seed))[0], 1);
        }
    }

    #[test]
    fn of_several_sectors_the_right_one_has_replaced_what_was_wrong() {
        let mut undo = Undo::default();
        undo.record(1, SECTOR, |held| held.resize(3 * SECTOR, 0));
        undo.replaced_corrupted(2);
        let of = |undo: &Undo| -> Vec<_> {
            undo.changes.iter().map(|it| (it.what - 1, it.count, it.replaced_corrupted)).collect()
        };
        assert_eq!(of(&undo), [(1, 1, false), (2, 1, true), (3, 1, false)]);
        undo.record(8, SECTOR, |held| held.resize(8 * SECTOR, 0));
        undo.replaced_corrupted(9);
        undo.replaced_corrupted(12);
        assert_eq!(of(&undo)[3..], [(8, 1, false), (9, 1, true), (10, 2, false), (12, 1, true)]);
    }

    #[test]
    #[should_panic(expected = "a change of the sector was just recorded")]
    fn only_what_was_just_recorded_has_replaced_anything() {
        let mut undo = Undo::default();
        undo.record(1, SECTOR, |held| held.resize(3 * SECTOR, 0));
        undo.replaced_corrupted(4);
    }

    #[test]
    #[should_panic(expected = "a length lies in no arena")]
    fn a_length_is_no_place() {
        Change::of(1).place(LENGTH, SECTOR);
    }

    #[test]
    fn a_sync_that_fails_half_way_keeps_a_part_for_good() {
        let mut parts = [0; 2];
        for seed in 0..50 {
            let mut toy = Toy::default();
            toy.write(0, 1);
            toy.write(1, 1);
            let mark = toy.undo.mark();
            let mut outcome = toy.undo.outcome(CrashPolicy::Random(seed));
            toy.undo.partly_synced(mark, SECTOR, &mut outcome);
            toy.undo.synced(toy.undo.mark());
            let left = toy.crash(CrashPolicy::All);
            parts[0] += left[0];
            parts[1] += left[1];
        }
        assert!(parts.iter().all(|&part| part > 10 && part < 40), "{parts:?}");
    }
}
