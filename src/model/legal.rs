//! Which contents each sector may have: the legal sets.
//!
//! A sector has *versions*, one for each write or trim that may have left its mark. A version lives
//! two lives. It is **visible** until a later write that has completed hides it, or a read shows
//! that another stands in its place. It is **survivable**, a content a crash may leave, until a
//! sync promises that something later is durable. It is forgotten when both are over.
//!
//! Time is counted in *ticks*, one for every beginning and end of an operation. A version `old` is
//! hidden for good by a completed write `new` only if `old` had ended before `new` began; between
//! operations that overlap in time, either order is legal.

use super::payload::{self, OpId};
use super::version::{
    Doubt, FIRST, Leaves, NEVER, Sighting, Tick, Times, UNKNOWN, Version, newest_match,
};
use crate::sparse::Sparse;
use smallvec::SmallVec;
use std::ops::Range;

/// Sectors of a chunk of the map.
const CHUNK: usize = 64;

/// The versions of one sector; none stands for one of zeros, visible and durable.
#[derive(Clone, Debug, Default)]
struct Sector {
    versions: SmallVec<[Version; 2]>,
    /// Whether it is in the list of the unsettled.
    unsettled: bool,
    /// Whether it is in the list of what may have changed since the last crash.
    changed: bool,
}

/// Sectors to come back to, each once.
#[derive(Debug, Default)]
struct Lists {
    /// Those with more than one version: those that a sync or a crash changes.
    unsettled: Vec<u64>,
    /// Those that may have changed since the last crash, settled or not.
    changed: Vec<u64>,
    /// Operations whose futures were dropped and that may still land.
    adrift: Vec<OpId>,
    /// What settled whether the data of an operation is there that had not succeeded, or that a
    /// crash may have lost. Only for sentences: nothing is judged by it.
    sightings: Vec<Sighting>,
}

impl Lists {
    #[cold]
    fn note_sighting(&mut self, sector: u64, (seen, unseen): (OpId, OpId), at: Tick) {
        self.sightings.push(Sighting { sector, seen, unseen, at });
    }
}

/// The legal sets of a whole device; memory grows with the sectors touched.
#[derive(Debug)]
pub(super) struct LegalSets {
    salt: u64,
    sectors: Sparse<Sector, CHUNK>,
    lists: Lists,
    times: Vec<Times>,
    doubt: Option<Doubt>,
    /// When the sync was called that was called last of those that succeeded; 0 if none was.
    promised: Tick,
}

impl LegalSets {
    pub(super) fn new() -> Self {
        let times = vec![Times { began: 0, ended: 0, dropped: NEVER, succeeded: true }];
        Self {
            salt: 0,
            sectors: Sparse::new(),
            lists: Lists::default(),
            times,
            doubt: None,
            promised: 0,
        }
    }

    /// Back to a device of zeros.
    pub(super) fn reset(&mut self, salt: u64) {
        (self.salt, self.doubt, self.promised) = (salt, None, 0);
        self.lists.unsettled.clear();
        self.lists.changed.clear();
        self.lists.adrift.clear();
        self.lists.sightings.clear();
        self.times.truncate(1);
        self.sectors.clear(|sectors| {
            for sector in sectors {
                sector.versions.clear();
                (sector.unsettled, sector.changed) = (false, false);
            }
        });
    }

    pub(super) fn times(&self, op: OpId) -> Times {
        self.times.get(op as usize).copied().unwrap_or(UNKNOWN)
    }

    /// What settled whether the data of operations is there, in order.
    pub(super) fn sightings(&self) -> &[Sighting] {
        &self.lists.sightings
    }

    pub(super) fn begin(&mut self, op: OpId, now: Tick) {
        if self.times.len() <= op as usize {
            self.times.resize(op as usize + 1, UNKNOWN);
        }
        self.times[op as usize] = Times { began: now, ..UNKNOWN };
    }

    pub(super) fn end(&mut self, op: OpId, now: Tick) {
        self.times[op as usize].ended = now;
    }

    /// The future of `op` was dropped, and what it was to write may still land.
    pub(super) fn drop_adrift(&mut self, op: OpId, now: Tick) {
        self.times[op as usize].dropped = now;
        self.lists.adrift.push(op);
    }

    /// A flush, barrier or close that was called at the tick `called` has returned: what was
    /// dropped before that lands no more.
    pub(super) fn settle_adrift(&mut self, called: Tick, now: Tick) {
        let times = &mut self.times;
        self.lists.adrift.retain(|&op| {
            let times = &mut times[op as usize];
            let settled = times.dropped < called;
            if settled {
                times.ended = now;
            }
            !settled
        });
    }

    /// Calls `each` for the sectors of `range`, with their numbers.
    fn each(
        &mut self,
        range: Range<u64>,
        mut each: impl FnMut(u64, &mut Sector, &[Times], &mut Lists),
    ) {
        let mut number = range.start;
        while number < range.end {
            let (chunk, within) = Sparse::<Sector, CHUNK>::locate(number);
            let sectors = &mut self.sectors.chunk_mut(chunk)[within..];
            for (sector, number) in sectors.iter_mut().zip(number..range.end) {
                if sector.versions.is_empty() {
                    sector.versions.push(FIRST);
                }
                each(number, sector, &self.times, &mut self.lists);
            }
            number += (CHUNK - within) as u64;
        }
    }

    /// Before the first operation the sectors hold what operation 0 wrote.
    pub(super) fn holds(&mut self, range: Range<u64>) {
        self.each(range, |_, sector, _, _| sector.versions[0].leaves = Leaves::Payload);
    }

    /// From now on the sectors may hold what `op` leaves in them.
    pub(super) fn may_hold(&mut self, op: OpId, range: Range<u64>, leaves: Leaves) {
        self.may_hold_each(op, range, |_| leaves);
    }

    /// As [`may_hold`](Self::may_hold), where it depends on the sector.
    pub(super) fn may_hold_each(
        &mut self,
        op: OpId,
        range: Range<u64>,
        leaves: impl Fn(u64) -> Leaves,
    ) {
        self.each(range, |number, sector, _, lists| {
            sector.versions.push(Version { op, leaves: leaves(number), ..FIRST });
            if !std::mem::replace(&mut sector.unsettled, true) {
                lists.unsettled.push(number);
            }
            if !std::mem::replace(&mut sector.changed, true) {
                lists.changed.push(number);
            }
        });
    }

    /// Whether a crash may leave more than one content of the sector.
    pub(super) fn is_unsettled(&self, number: u64) -> bool {
        self.sectors.get(number).is_some_and(|sector| sector.versions.len() > 1)
    }

    /// `op` turned out to change nothing.
    pub(super) fn withdraw(&mut self, op: OpId, range: Range<u64>) {
        self.each(range, |_, sector, _, _| sector.versions.retain(|version| version.op != op));
    }

    /// `op` has completed: what had ended before it began is hidden, and where the write is durable
    /// can not come back. `oldest_in_flight` is when the oldest operation in flight began.
    pub(super) fn completed(
        &mut self,
        op: OpId,
        range: Range<u64>,
        now: Tick,
        durable: bool,
        oldest_in_flight: Tick,
    ) {
        self.times[op as usize].succeeded = true;
        let began = self.times(op).began;
        let firm = self.is_firm(began);
        self.each(range, |_, sector, times, _| {
            for version in &mut sector.versions {
                if version.op != op && times[version.op as usize].is_before(began) {
                    version.cover(now, firm);
                    version.settled |= durable;
                }
            }
            if durable {
                forget(sector, oldest_in_flight);
            }
        });
    }

    /// Whether what was written from `began` on is free of doubt.
    fn is_firm(&self, began: Tick) -> bool {
        self.doubt.is_none_or(|doubt| began > doubt.last)
    }

    /// A sync has failed: what is unsynced now is in doubt until it is written again.
    pub(super) fn sync_failed(&mut self, now: Tick) {
        let first = self.doubt.map_or(now, |doubt| doubt.first);
        self.doubt = Some(Doubt { first, last: now });
        for &number in &self.lists.unsettled {
            for version in &mut self.sectors.get_mut(number).versions {
                version.firmly_covered = NEVER;
            }
        }
    }

    /// Whether a sync called at the tick `called` promises that `version` cannot come back.
    pub(super) fn is_covered(&self, version: &Version, called: Tick) -> bool {
        version.is_covered(called, self.doubt)
    }

    /// Everything that had completed at the tick `called` is durable.
    pub(super) fn synced(&mut self, called: Tick, oldest_in_flight: Tick) {
        let doubt = self.doubt;
        self.promised = self.promised.max(called);
        let mut unsettled = std::mem::take(&mut self.lists.unsettled);
        unsettled.retain(|&number| {
            let sector = self.sectors.get_mut(number);
            for version in &mut sector.versions {
                version.settled |= version.is_covered(called, doubt);
            }
            forget(sector, oldest_in_flight);
            sector.unsettled = sector.versions.len() > 1;
            sector.unsettled
        });
        self.lists.unsettled = unsettled;
    }

    /// Which version a read that began at `began` has seen, if a legal one. What the read rules out
    /// is hidden from later reads.
    pub(super) fn read(
        &mut self,
        number: u64,
        bytes: &[u8],
        began: Tick,
        now: Tick,
    ) -> Option<Version> {
        let salt = self.salt;
        let Some(sector) = touched(&mut self.sectors, number) else {
            return payload::is_zero(bytes).then_some(FIRST);
        };
        if let [only] = &*sector.versions {
            return only.matches(bytes, salt, number).then_some(*only);
        }
        let versions = &mut sector.versions;
        let legal = |version: &&Version| version.hidden > began;
        let seen = *newest_match(versions.iter().filter(legal), bytes, salt, number)?;
        // What had ended before the read began, and is not what it saw, stands no longer: not since
        // the read, and where what it saw had ended too, not since both had.
        let times = |version: &Version| self.times[version.op as usize];
        let alike: SmallVec<[Times; 2]> =
            versions.iter().filter(|it| it.resembles(&seen)).map(times).collect();
        let ended = alike.iter().map(|it| it.ended).max().filter(|&ended| ended <= began);
        let completed = alike.iter().all(|it| it.succeeded);
        let firm = self.doubt.is_none_or(|doubt| alike.iter().all(|it| it.began > doubt.last));
        for version in versions {
            if version.resembles(&seen) || times(version).ended > began {
                continue;
            }
            if version.hidden == NEVER && !(completed && times(version).succeeded) {
                self.lists.note_sighting(number, (seen.op, version.op), now);
            }
            // Of a dropped write that never landed: since it was dropped.
            let over = times(version).ended.min(times(version).dropped);
            let since = ended.map_or(now, |ended| ended.max(over));
            if completed {
                version.cover(since, firm);
            } else {
                // A flush that is called from now on makes durable what this read has shown.
                version.hidden = version.hidden.min(since);
                version.cover(now, firm);
            }
            // A sync may have been called after that.
            version.settled |= version.is_covered(self.promised, self.doubt);
        }
        Some(seen)
    }

    /// The power failed: what is survivable may be there now, and nothing else.
    pub(super) fn crash(&mut self, now: Tick) {
        self.lists.adrift.clear();
        for times in &mut self.times {
            times.ended = times.ended.min(now);
        }
        for &number in &self.lists.unsettled {
            self.sectors.get_mut(number).versions.retain(|version| !version.settled);
        }
    }

    /// The device is gone without having flushed: what it had yet to write is gone, and whatever
    /// could survive a crash may be seen again, whatever reads have shown. Nothing has become
    /// durable by that. If it was `written_through`, what returned `Ok` is in the files, and
    /// nothing comes back over it.
    pub(super) fn forget_unflushed(&mut self, written_through: bool) {
        for &number in &self.lists.unsettled {
            let versions = &mut self.sectors.get_mut(number).versions;
            let times = |version: &Version| self.times[version.op as usize];
            let in_files = versions.iter().map(times).filter(|it| written_through && it.succeeded);
            let newest = in_files.map(|it| it.began).max().unwrap_or(0);
            let unflushed = versions.iter_mut().filter(|it| !it.settled);
            unflushed.filter(|it| !times(it).is_before(newest)).for_each(Version::uncover);
        }
    }

    /// The sectors of which a crash may leave more than one content, in order.
    pub(super) fn unsettled(&mut self) -> &[u64] {
        self.lists.unsettled.sort_unstable();
        &self.lists.unsettled
    }

    /// The sectors that may have changed since the last crash, in order. Only of the unsettled
    /// among them may a crash have left more than one content, if promises were kept.
    pub(super) fn changed(&mut self) -> &[u64] {
        self.lists.changed.sort_unstable();
        &self.lists.changed
    }

    /// After a crash: which survivable version the sector turned out to hold, if one. It is the
    /// only one from then on, unless unspecified content is among what it may be.
    pub(super) fn recover(&mut self, number: u64, bytes: &[u8]) -> Option<Version> {
        let (salt, times) = (self.salt, &self.times);
        let Some(Sector { versions, .. }) = touched(&mut self.sectors, number) else {
            return payload::is_zero(bytes).then_some(FIRST);
        };
        // What is true of most takes the short way: there is nothing to choose from.
        if let [only] = &mut **versions {
            let proven = only.matches(bytes, salt, number).then_some(*only);
            only.uncover();
            return proven;
        }
        let seen = *newest_match(versions.iter(), bytes, salt, number)?;
        let unknown = versions.iter().find(|version| version.leaves == Leaves::Anything);
        let kept = *unknown.unwrap_or(&seen);
        // Of several that look alike any may be the one: what is said of it has to hold for all.
        let alike = versions.iter().filter(|version| version.resembles(&seen));
        let proven = alike.fold(seen, |one, other| Version {
            op: std::cmp::min_by_key(one.op, other.op, |&op| times[op as usize].began),
            covered: one.covered.max(other.covered),
            firmly_covered: one.firmly_covered.max(other.firmly_covered),
            leaves: kept.leaves,
            ..one
        });
        for version in versions.iter().filter(|version| !version.resembles(&seen)) {
            self.lists.note_sighting(number, (seen.op, version.op), 0);
        }
        versions.clear();
        versions.push(kept);
        versions[0].uncover();
        Some(proven)
    }

    /// After a crash: what the sector holds is unspecified until it is written again.
    pub(super) fn mark_unknown(&mut self, number: u64) {
        let versions = &mut self.sectors.get_mut(number).versions;
        versions.clear();
        versions.push(Version { leaves: Leaves::Anything, ..FIRST });
    }

    /// The unsettled sectors have been recovered, as far as they could be read. Those that could
    /// not may hold any of what survived, now and after another crash.
    pub(super) fn recovered(&mut self) {
        self.doubt = None;
        for number in self.lists.changed.drain(..) {
            self.sectors.get_mut(number).changed = false;
        }
        let sectors = &mut self.sectors;
        self.lists.unsettled.retain(|&number| {
            let sector = sectors.get_mut(number);
            sector.versions.iter_mut().for_each(Version::uncover);
            sector.unsettled = sector.versions.len() > 1;
            sector.changed = sector.unsettled;
            sector.unsettled
        });
        self.lists.changed.extend_from_slice(&self.lists.unsettled);
    }

    /// What the sector may hold: to a read that began at `began`, or after a crash.
    pub(super) fn expected(&self, number: u64, began: Option<Tick>) -> Vec<Version> {
        let versions = self.sectors.get(number).map(|sector| &*sector.versions);
        let versions = versions.filter(|versions| !versions.is_empty()).unwrap_or(&[FIRST]);
        let legal = |version: &&Version| began.is_none_or(|began| version.hidden > began);
        versions.iter().filter(legal).copied().collect()
    }

    /// Runs of sectors that were ever touched, in order.
    pub(super) fn touched_runs(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (start, sectors) in self.sectors.chunks() {
            for (number, _) in (start..).zip(sectors).filter(|(_, it)| !it.versions.is_empty()) {
                match runs.last_mut() {
                    Some(run) if run.end == number => run.end += 1,
                    _ => runs.push(number..number + 1),
                }
            }
        }
        runs
    }
}

/// A sector that was ever touched.
fn touched(sectors: &mut Sparse<Sector, CHUNK>, number: u64) -> Option<&mut Sector> {
    sectors.get_existing_mut(number).filter(|sector| !sector.versions.is_empty())
}

/// Drops the versions of which neither a crash nor a read under way can show anything.
fn forget(sector: &mut Sector, oldest_in_flight: Tick) {
    sector.versions.retain(|version| !(version.settled && version.hidden <= oldest_in_flight));
}
