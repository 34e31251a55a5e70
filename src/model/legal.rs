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

use super::payload::OpId;
use super::sectors::{LastChange, Left, Sectors, State, StateId};
use super::version::{
    Doubt, FIRST, Leaves, NEVER, Sighting, Tick, Times, UNKNOWN, Version, newest_match,
};
use smallvec::SmallVec;
use std::ops::Range;

/// So many ranges of changed sectors are kept before they are looked through for those that touch.
const FEW_RANGES: usize = 64;

/// Sectors and operations to come back to.
#[derive(Debug, Default)]
struct Lists {
    /// Those that may have changed since the last crash, settled or not; ranges may overlap.
    changed: Vec<Range<u64>>,
    /// How many ranges there may be before they are joined.
    most_changed: usize,
    /// Operations whose futures were dropped and that may still land.
    adrift: Vec<OpId>,
    /// What settled whether the data of an operation is there that had not succeeded, or that a
    /// crash may have lost. Only for sentences: nothing is judged by it.
    sightings: Vec<Sighting>,
}

impl Lists {
    #[cold]
    fn note_sighting(&mut self, sectors: Range<u64>, (seen, unseen): (OpId, OpId), at: Tick) {
        self.sightings.push(Sighting { sectors, seen, unseen, at });
    }

    fn note_changed(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.changed.push(range);
        if self.changed.len() > self.most_changed {
            self.join_changed();
        }
    }

    /// Puts the ranges in order, each sector in one.
    fn join_changed(&mut self) {
        self.changed.sort_unstable_by_key(|range| range.start);
        self.changed.dedup_by(|next, last| {
            let touch = next.start <= last.end;
            if touch {
                last.end = last.end.max(next.end);
            }
            touch
        });
        self.most_changed = FEW_RANGES.max(2 * self.changed.len());
    }
}

/// What recovery has found in sectors of one state, and made of that.
#[derive(Debug)]
struct Recovered {
    from: StateId,
    seen: Version,
    to: StateId,
    proven: Version,
}

/// What one recovery has found, state by state.
#[derive(Debug, Default)]
pub(super) struct Outcomes(SmallVec<[Recovered; 8]>);

/// The legal sets of a whole device; memory grows with the sectors touched.
#[derive(Debug)]
pub(super) struct LegalSets {
    salt: u64,
    sectors: Sectors,
    /// The change in which sectors were last told that they may hold something, and what.
    last_hold: (OpId, Range<u64>, LastChange),
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
            sectors: Sectors::new(),
            last_hold: (0, 0..0, LastChange::default()),
            lists: Lists::default(),
            times,
            doubt: None,
            promised: 0,
        }
    }

    /// Back to a device of zeros.
    pub(super) fn reset(&mut self, salt: u64) {
        (self.salt, self.doubt, self.promised) = (salt, None, 0);
        self.lists.changed.clear();
        self.lists.most_changed = FEW_RANGES;
        self.lists.adrift.clear();
        self.lists.sightings.clear();
        self.times.truncate(1);
        self.sectors.clear();
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

    /// Before the first operation the sectors hold what operation 0 wrote.
    pub(super) fn holds(&mut self, range: Range<u64>) {
        self.sectors.change(range, |state| state.versions[0].leaves = Leaves::Payload);
    }

    /// From now on the sectors may hold what `op` leaves in them.
    pub(super) fn may_hold(&mut self, op: OpId, range: Range<u64>, leaves: Leaves) {
        let version = Version { op, leaves, ..FIRST };
        self.sectors.change(range.clone(), |state| {
            state.versions.push(version);
            state.unsettled = true;
        });
        self.lists.note_changed(range.clone());
        self.last_hold = (op, range, self.sectors.last_change());
    }

    /// As [`may_hold`](Self::may_hold), where it depends on the sector.
    pub(super) fn may_hold_each(
        &mut self,
        op: OpId,
        range: Range<u64>,
        leaves: impl Fn(u64) -> Leaves,
    ) {
        let mut at = range.start;
        while at < range.end {
            let left = leaves(at);
            let end = (at + 1..range.end).find(|&next| leaves(next) != left);
            let end = end.unwrap_or(range.end);
            self.may_hold(op, at..end, left);
            at = end;
        }
    }

    /// Whether a crash may leave more than one content of the sector.
    pub(super) fn is_unsettled(&self, number: u64) -> bool {
        self.sectors.at(number).1.versions.len() > 1
    }

    /// `op` turned out to change nothing.
    pub(super) fn withdraw(&mut self, op: OpId, range: Range<u64>) {
        self.sectors.change(range, |state| state.versions.retain(|version| version.op != op));
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
        let times = &self.times;
        let complete = |state: &mut State| {
            for version in &mut state.versions {
                if version.op != op && times[version.op as usize].is_before(began) {
                    version.cover(now, firm);
                    version.settled |= durable;
                }
            }
            if durable {
                forget(state, oldest_in_flight);
            }
        };
        // Most often nothing has come in between.
        let (holder, held, hold) = &self.last_hold;
        let is_last = *holder == op && *held == range;
        if !is_last || !self.sectors.change_again(*hold, complete) {
            self.sectors.change(range, complete);
        }
    }

    /// Whether what was written from `began` on is free of doubt.
    fn is_firm(&self, began: Tick) -> bool {
        self.doubt.is_none_or(|doubt| began > doubt.last)
    }

    /// A sync has failed: what is unsynced now is in doubt until it is written again.
    pub(super) fn sync_failed(&mut self, now: Tick) {
        let first = self.doubt.map_or(now, |doubt| doubt.first);
        self.doubt = Some(Doubt { first, last: now });
        self.sectors.each_unsettled(|state| {
            for version in &mut state.versions {
                version.firmly_covered = NEVER;
            }
        });
    }

    /// Whether a sync called at the tick `called` promises that `version` cannot come back.
    pub(super) fn is_covered(&self, version: &Version, called: Tick) -> bool {
        version.is_covered(called, self.doubt)
    }

    /// Everything that had completed at the tick `called` is durable.
    pub(super) fn synced(&mut self, called: Tick, oldest_in_flight: Tick) {
        let doubt = self.doubt;
        self.promised = self.promised.max(called);
        self.sectors.each_unsettled(|state| {
            for version in &mut state.versions {
                version.settled |= version.is_covered(called, doubt);
            }
            forget(state, oldest_in_flight);
            state.unsettled = state.versions.len() > 1;
        });
    }

    /// The next run of sectors of which the same is known.
    pub(super) fn next_run(&mut self, left: &mut Left) -> Option<(Range<u64>, StateId)> {
        self.sectors.next_run(left)
    }

    /// Which version a read that began at `began` has seen in all sectors of a
    /// [run](Self::next_run), if it is one and the newest that is legal. What the read rules out is
    /// hidden from later reads.
    pub(super) fn read_run(
        &mut self,
        (run, id): (Range<u64>, StateId),
        bytes: &[u8],
        began: Tick,
        now: Tick,
    ) -> Option<Version> {
        let State { versions, .. } = self.sectors.state(id);
        let legal = |version: &&Version| version.hidden > began;
        let known = |version: &&Version| version.leaves != Leaves::Anything;
        let seen = match &**versions {
            [only] => *only,
            versions => *versions.iter().rev().filter(legal).find(known)?,
        };
        if !seen.matches_run(bytes, self.salt, run.clone()) {
            return None;
        }
        if self.sectors.state(id).versions.len() > 1 {
            self.saw(run, seen, began, now);
        }
        Some(seen)
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
        let (_, State { versions, .. }) = self.sectors.at(number);
        if let [only] = &**versions {
            return only.matches(bytes, salt, number).then_some(*only);
        }
        let legal = |version: &&Version| version.hidden > began;
        let seen = *newest_match(versions.iter().filter(legal), bytes, salt, number)?;
        self.saw(number..number + 1, seen, began, now);
        Some(seen)
    }

    /// A read that began at `began` has seen this version in all these sectors, of which the same
    /// is known.
    fn saw(&mut self, sectors: Range<u64>, seen: Version, began: Tick, now: Tick) {
        let (_, State { versions, .. }) = self.sectors.at(sectors.start);
        // What had ended before the read began, and is not what it saw, stands no longer: not since
        // the read, and where what it saw had ended too, not since both had.
        let times = |version: &Version| self.times[version.op as usize];
        let (mut ended, mut completed, mut firm) = (0, true, true);
        for alike in versions.iter().filter(|it| it.resembles(&seen)).map(times) {
            ended = alike.ended.max(ended);
            completed &= alike.succeeded;
            firm &= self.is_firm(alike.began);
        }
        let ended = Some(ended).filter(|&ended| ended <= began);
        let (promised, doubt) = (self.promised, self.doubt);
        let rule_out = |version: &mut Version| {
            if version.resembles(&seen) || times(version).ended > began {
                return;
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
            version.settled |= version.is_covered(promised, doubt);
        };
        let ruled_out = |version: &Version| {
            let mut ruled_out = *version;
            rule_out(&mut ruled_out);
            ruled_out
        };
        // Most often the read has shown what was known.
        if versions.iter().all(|version| ruled_out(version) == *version) {
            return;
        }
        for version in versions {
            let settles = version.hidden == NEVER
                && ruled_out(version) != *version
                && !(completed && times(version).succeeded);
            if settles {
                let ops = (seen.op, version.op);
                self.lists.note_sighting(sectors.clone(), ops, now);
            }
        }
        self.sectors.change(sectors, |state| state.versions.iter_mut().for_each(rule_out));
    }

    /// The power failed: what is survivable may be there now, and nothing else. These operations
    /// were in flight.
    pub(super) fn crash(&mut self, in_flight: &[OpId], now: Tick) {
        for op in self.lists.adrift.drain(..).chain(in_flight.iter().copied()) {
            let times = &mut self.times[op as usize];
            times.ended = times.ended.min(now);
        }
        self.sectors.each_unsettled(|state| state.versions.retain(|version| !version.settled));
    }

    /// The device is gone without having flushed: what it had yet to write is gone, and whatever
    /// could survive a crash may be seen again, whatever reads have shown. Nothing has become
    /// durable by that. If it was `written_through`, what returned `Ok` is in the files, and
    /// nothing comes back over it.
    pub(super) fn forget_unflushed(&mut self, written_through: bool) {
        let times = |version: &Version| self.times[version.op as usize];
        self.sectors.each_unsettled(|state| {
            let versions = state.versions.iter().map(times);
            let in_files = versions.filter(|it| written_through && it.succeeded);
            let newest = in_files.map(|it| it.began).max().unwrap_or(0);
            let unflushed = state.versions.iter_mut().filter(|it| !it.settled);
            unflushed.filter(|it| !times(it).is_before(newest)).for_each(Version::uncover);
        });
    }

    /// The sectors of which a crash may leave more than one content, in order.
    pub(super) fn unsettled(&self) -> Vec<Range<u64>> {
        self.sectors.runs_where(|state| state.unsettled)
    }

    /// The sectors that may have changed since the last crash, in order. Only of the unsettled
    /// among them may a crash have left more than one content, if promises were kept.
    pub(super) fn changed(&mut self) -> &[Range<u64>] {
        self.lists.join_changed();
        &self.lists.changed
    }

    /// After a crash: which survivable version all sectors of a [run](Self::next_run) turned out to
    /// hold, if there is one only.
    pub(super) fn recover_run(
        &mut self,
        (run, id): (Range<u64>, StateId),
        bytes: &[u8],
    ) -> Option<Version> {
        let State { versions, .. } = self.sectors.state(id);
        let [only] = **versions else { return None };
        if !only.matches_run(bytes, self.salt, run.clone()) {
            return None;
        }
        let mut uncovered = only;
        uncovered.uncover();
        if uncovered != only {
            self.sectors.change(run, |state| state.versions[0] = uncovered);
        }
        Some(only)
    }

    /// After a crash: which survivable version the sector turned out to hold, if one. It is the
    /// only one from then on, unless unspecified content is among what it may be. `outcomes` are
    /// those of the sectors before it.
    pub(super) fn recover(
        &mut self,
        number: u64,
        bytes: &[u8],
        Outcomes(outcomes): &mut Outcomes,
    ) -> Option<Version> {
        let (salt, times) = (self.salt, &self.times);
        let (from, State { versions, .. }) = self.sectors.at(number);
        if versions.len() == 1 {
            return self.recover_run((number..number + 1, from), bytes);
        }
        let seen = *newest_match(versions.iter(), bytes, salt, number)?;
        for version in versions.iter().filter(|version| !version.resembles(&seen)) {
            self.lists.note_sighting(number..number + 1, (seen.op, version.op), 0);
        }
        if let Some(known) = outcomes.iter().find(|it| it.from == from && it.seen == seen) {
            self.sectors.relabel(number..number + 1, from, known.to);
            return Some(known.proven);
        }
        let unknown = versions.iter().find(|version| version.leaves == Leaves::Anything);
        let mut kept = *unknown.unwrap_or(&seen);
        // Of several that look alike any may be the one: what is said of it has to hold for all.
        let alike = versions.iter().filter(|version| version.resembles(&seen));
        let proven = alike.fold(seen, |one, other| Version {
            op: std::cmp::min_by_key(one.op, other.op, |&op| times[op as usize].began),
            covered: one.covered.max(other.covered),
            firmly_covered: one.firmly_covered.max(other.firmly_covered),
            leaves: kept.leaves,
            ..one
        });
        kept.uncover();
        let to = self.sectors.become_new(number, from, |state| {
            state.versions.clear();
            state.versions.push(kept);
        });
        if from != to {
            outcomes.push(Recovered { from, seen, to, proven });
        }
        Some(proven)
    }

    /// After a crash: what the sector holds is unspecified until it is written again.
    pub(super) fn mark_unknown(&mut self, number: u64) {
        self.sectors.change(number..number + 1, |state| {
            state.versions.clear();
            state.versions.push(Version { leaves: Leaves::Anything, ..FIRST });
        });
    }

    /// The unsettled sectors have been recovered, as far as they could be read. Those that could
    /// not may hold any of what survived, now and after another crash.
    pub(super) fn recovered(&mut self) {
        self.doubt = None;
        let mut any = false;
        self.sectors.each_unsettled(|state| {
            state.versions.iter_mut().for_each(Version::uncover);
            state.unsettled = state.versions.len() > 1;
            any |= state.unsettled;
        });
        self.lists.changed.clear();
        if any {
            self.lists.changed = self.unsettled();
        }
    }

    /// What the sector may hold: to a read that began at `began`, or after a crash.
    pub(super) fn expected(&self, number: u64, began: Option<Tick>) -> Vec<Version> {
        let (_, State { versions, .. }) = self.sectors.at(number);
        let versions = if versions.is_empty() { &[FIRST][..] } else { versions };
        let legal = |version: &&Version| began.is_none_or(|began| version.hidden > began);
        versions.iter().filter(legal).copied().collect()
    }

    /// Runs of sectors that were ever touched, in order.
    pub(super) fn touched_runs(&self) -> Vec<Range<u64>> {
        self.sectors.runs_where(|_| true)
    }
}

/// Drops the versions of which neither a crash nor a read under way can show anything.
fn forget(state: &mut State, oldest_in_flight: Tick) {
    state.versions.retain(|version| !(version.settled && version.hidden <= oldest_in_flight));
}
