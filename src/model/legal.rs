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
use crate::sparse::Sparse;
use smallvec::SmallVec;
use std::ops::Range;

/// A moment of a run: the number of operations that had begun or ended before it.
pub(super) type Tick = u32;

/// Later than every moment.
pub(super) const NEVER: Tick = Tick::MAX;

/// Sectors of a chunk of the map.
const CHUNK: usize = 64;

/// When an operation began and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) began: Tick,
    /// [`NEVER`] while it is under way.
    pub(super) ended: Tick,
}

/// What one operation may have left in one sector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// Who left it; 0 for what was there first.
    pub(super) op: OpId,
    /// Since when it is hidden from reads that begin then or later; [`NEVER`] while visible.
    pub(super) hidden: Tick,
    /// As `hidden`, but counting only what was written after the last failed sync.
    firmly_hidden: Tick,
    /// A crash cannot leave it any more. Implies that it is hidden.
    settled: bool,
    pub(super) leaves: Leaves,
}

/// What a version holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// What its write wrote.
    Payload,
    /// Zeros: what the device held first, or after some trims.
    Zeros,
    /// What other trims leave.
    Scribble,
    /// Unspecified: after trims of which nothing is known, or where the kernel left a sector torn.
    Anything,
}

impl Version {
    fn hide(&mut self, now: Tick, firm: bool) {
        self.hidden = self.hidden.min(now);
        if firm {
            self.firmly_hidden = self.firmly_hidden.min(now);
        }
    }

    /// Whether a sync called at the tick `called` promises that this cannot come back. One that was
    /// called between two failures is not held to anything: which of what it covered was in doubt
    /// is no longer known.
    fn is_covered(&self, called: Tick, doubt: Option<Doubt>) -> bool {
        match doubt {
            Some(Doubt { last, .. }) if called > last => self.firmly_hidden <= called,
            Some(Doubt { first, .. }) if called >= first => false,
            _ => self.hidden <= called,
        }
    }

    fn matches(&self, bytes: &[u8], salt: u64, sector: u64) -> bool {
        match self.leaves {
            Leaves::Payload => payload::matches(bytes, salt, self.op, sector),
            Leaves::Zeros => payload::is_zero(bytes),
            Leaves::Scribble => payload::is_scribble(bytes),
            Leaves::Anything => true,
        }
    }

    /// Whether it cannot be told from `other` by what is read.
    fn resembles(&self, other: &Self) -> bool {
        let either = |leaves| self.leaves == leaves || other.leaves == leaves;
        match self.leaves {
            _ if either(Leaves::Anything) => true,
            Leaves::Payload => self.op == other.op && self.leaves == other.leaves,
            leaves => leaves == other.leaves,
        }
    }
}

/// When syncs failed since the last crash. What was unsynced then may never become durable, however
/// often a later sync succeeds, as the kernel may have marked it clean.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    first: Tick,
    last: Tick,
}

/// The versions of one sector; none stands for one of zeros, visible and durable.
#[derive(Clone, Debug, Default)]
struct Sector {
    versions: SmallVec<[Version; 2]>,
    /// Whether it is in the list of the unsettled.
    unsettled: bool,
}

const FIRST: Version =
    Version { op: 0, hidden: NEVER, firmly_hidden: NEVER, settled: false, leaves: Leaves::Zeros };

/// The legal sets of a whole device; memory grows with the sectors touched.
#[derive(Debug)]
pub(super) struct LegalSets {
    salt: u64,
    sectors: Sparse<Sector>,
    /// Sectors with more than one version: those a sync or a crash changes.
    unsettled: Vec<u64>,
    times: Vec<Times>,
    doubt: Option<Doubt>,
}

impl LegalSets {
    pub(super) fn new() -> Self {
        let times = vec![Times { began: 0, ended: 0 }];
        Self { salt: 0, sectors: Sparse::new(CHUNK), unsettled: Vec::new(), times, doubt: None }
    }

    /// Back to a device of zeros.
    pub(super) fn reset(&mut self, salt: u64) {
        (self.salt, self.doubt) = (salt, None);
        self.unsettled.clear();
        self.times.truncate(1);
        self.sectors.clear(|sectors| {
            for sector in sectors {
                sector.versions.clear();
                sector.unsettled = false;
            }
        });
    }

    pub(super) fn times(&self, op: OpId) -> Times {
        self.times.get(op as usize).copied().unwrap_or(Times { began: NEVER, ended: NEVER })
    }

    pub(super) fn begin(&mut self, op: OpId, now: Tick) {
        let unknown = Times { began: NEVER, ended: NEVER };
        if self.times.len() <= op as usize {
            self.times.resize(op as usize + 1, unknown);
        }
        self.times[op as usize] = Times { began: now, ended: NEVER };
    }

    pub(super) fn end(&mut self, op: OpId, now: Tick) {
        self.times[op as usize].ended = now;
    }

    /// Calls `each` for the sectors of `range`, with their numbers.
    fn each(
        &mut self,
        range: Range<u64>,
        mut each: impl FnMut(u64, &mut Sector, &[Times], &mut Vec<u64>),
    ) {
        let mut number = range.start;
        while number < range.end {
            let (chunk, within) = self.sectors.locate(number);
            let sectors = &mut self.sectors.chunk_mut(chunk)[within..];
            for (sector, number) in sectors.iter_mut().zip(number..range.end) {
                if sector.versions.is_empty() {
                    sector.versions.push(FIRST);
                }
                each(number, sector, &self.times, &mut self.unsettled);
            }
            number += (CHUNK - within) as u64;
        }
    }

    /// From now on the sectors may hold what `op` leaves in them.
    pub(super) fn may_hold(&mut self, op: OpId, range: Range<u64>, leaves: Leaves) {
        self.each(range, |number, sector, _, unsettled| {
            sector.versions.push(Version { op, leaves, ..FIRST });
            if !sector.unsettled {
                sector.unsettled = true;
                unsettled.push(number);
            }
        });
    }

    /// `op` turned out to change nothing.
    pub(super) fn withdraw(&mut self, op: OpId, range: Range<u64>) {
        self.each(range, |_, sector, _, _| sector.versions.retain(|version| version.op != op));
    }

    /// `op` has completed: what had ended before it began is hidden, and where the write is durable
    /// can not come back. `horizon` is the beginning of the oldest operation under way.
    pub(super) fn completed(
        &mut self,
        op: OpId,
        range: Range<u64>,
        now: Tick,
        durable: bool,
        horizon: Tick,
    ) {
        let began = self.times(op).began;
        let firm = self.is_firm(began);
        self.each(range, |_, sector, times, _| {
            for version in &mut sector.versions {
                if version.op != op && times[version.op as usize].ended < began {
                    version.hide(now, firm);
                    version.settled |= durable;
                }
            }
            if durable {
                forget(sector, horizon);
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
        for &number in &self.unsettled {
            for version in &mut self.sectors.get_mut(number).versions {
                version.firmly_hidden = NEVER;
            }
        }
    }

    /// Whether a sync called at the tick `called` promises that `version` cannot come back.
    pub(super) fn is_covered(&self, version: &Version, called: Tick) -> bool {
        version.is_covered(called, self.doubt)
    }

    /// Everything that had completed at the tick `called` is durable.
    pub(super) fn synced(&mut self, called: Tick, horizon: Tick) {
        let doubt = self.doubt;
        let mut unsettled = std::mem::take(&mut self.unsettled);
        unsettled.retain(|&number| {
            let sector = self.sectors.get_mut(number);
            for version in &mut sector.versions {
                version.settled |= version.is_covered(called, doubt);
            }
            forget(sector, horizon);
            sector.unsettled = sector.versions.len() > 1;
            sector.unsettled
        });
        self.unsettled = unsettled;
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
        let Some(sector) = self.touched(number) else {
            return payload::is_zero(bytes).then_some(FIRST);
        };
        let salt = self.salt;
        let sector = self.sectors.get_mut(sector);
        if let [only] = &*sector.versions {
            return only.matches(bytes, salt, number).then_some(*only);
        }
        let versions = &mut sector.versions;
        let legal = |version: &&Version| version.hidden > began;
        let seen = *newest_match(versions.iter().filter(legal), bytes, salt, number)?;
        // What had ended before the read began, and is not what it saw, stands no longer.
        let times = |version: &Version| self.times[version.op as usize];
        let firm = self.doubt.is_none_or(|doubt| {
            let mut alike = versions.iter().filter(|it| it.resembles(&seen));
            alike.all(|version| times(version).began > doubt.last)
        });
        for version in versions {
            if !version.resembles(&seen) && times(version).ended <= began {
                version.hide(now, firm);
            }
        }
        Some(seen)
    }

    /// The number itself, where the sector was ever touched.
    fn touched(&self, number: u64) -> Option<u64> {
        self.sectors.get(number).filter(|sector| !sector.versions.is_empty()).map(|_| number)
    }

    /// The power failed: what is survivable may be there now, and nothing else.
    pub(super) fn crash(&mut self, now: Tick) {
        for times in &mut self.times {
            times.ended = times.ended.min(now);
        }
        for &number in &self.unsettled {
            self.sectors.get_mut(number).versions.retain(|version| !version.settled);
        }
    }

    /// The sectors of which a crash may have left more than one content, in order.
    pub(super) fn unsettled(&mut self) -> &[u64] {
        self.unsettled.sort_unstable();
        &self.unsettled
    }

    /// After a crash: which survivable version the sector turned out to hold, if one. It is the
    /// only one from then on, unless unspecified content is among what it may be.
    pub(super) fn recover(&mut self, number: u64, bytes: &[u8]) -> Option<Version> {
        let Some(number) = self.touched(number) else {
            return payload::is_zero(bytes).then_some(FIRST);
        };
        let salt = self.salt;
        let times = &self.times;
        let versions = &mut self.sectors.get_mut(number).versions;
        let seen = *newest_match(versions.iter(), bytes, salt, number)?;
        let unknown = versions.iter().find(|version| version.leaves == Leaves::Anything);
        let kept = *unknown.unwrap_or(&seen);
        // Of several that look alike any may be the one: what is said of it has to hold for all.
        let alike = versions.iter().filter(|version| version.resembles(&seen));
        let proven = alike.fold(seen, |one, other| Version {
            op: std::cmp::min_by_key(one.op, other.op, |&op| times[op as usize].began),
            hidden: one.hidden.max(other.hidden),
            firmly_hidden: one.firmly_hidden.max(other.firmly_hidden),
            leaves: kept.leaves,
            ..one
        });
        versions.clear();
        versions.push(Version { hidden: NEVER, firmly_hidden: NEVER, ..kept });
        Some(proven)
    }

    /// After a crash: what the sector holds is unspecified until it is written again.
    pub(super) fn give_up(&mut self, number: u64) {
        let versions = &mut self.sectors.get_mut(number).versions;
        versions.clear();
        versions.push(Version { leaves: Leaves::Anything, ..FIRST });
    }

    /// The unsettled sectors have been recovered, as far as they could be read. Those that could not
    /// may hold any of what survived, now and after another crash.
    pub(super) fn recovered(&mut self) {
        self.doubt = None;
        let sectors = &mut self.sectors;
        self.unsettled.retain(|&number| {
            let sector = sectors.get_mut(number);
            for version in &mut sector.versions {
                (version.hidden, version.firmly_hidden) = (NEVER, NEVER);
            }
            sector.unsettled = sector.versions.len() > 1;
            sector.unsettled
        });
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

/// The newest version that holds `bytes`; one of which nothing is known only where no other does.
fn newest_match<'a>(
    versions: impl DoubleEndedIterator<Item = &'a Version> + Clone,
    bytes: &[u8],
    salt: u64,
    sector: u64,
) -> Option<&'a Version> {
    let known = |version: &&Version| version.leaves != Leaves::Anything;
    let mut named = versions.clone().rev().filter(known);
    let found = named.find(|version| version.matches(bytes, salt, sector));
    found.or_else(|| versions.rev().find(|version| !known(version)))
}

/// Drops the versions of which neither a crash nor a read under way can show anything.
fn forget(sector: &mut Sector, horizon: Tick) {
    sector.versions.retain(|version| !(version.settled && version.hidden <= horizon));
}
