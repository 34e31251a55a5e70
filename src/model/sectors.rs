//! Which state each sector is in. Sectors of which the same is known share a state.
//!
//! So a request of many sectors is a few runs, and a sync looks at states and not at sectors.

use super::version::{FIRST, Version};
use crate::sparse::Sparse;
use smallvec::SmallVec;
use std::ops::Range;

/// Sectors of a chunk of the map.
const CHUNK: usize = 256;

/// The number of a state.
pub(super) type StateId = u32;

/// The state of sectors that were never touched: they hold zeros.
pub(super) const UNTOUCHED: StateId = 0;

/// What is known of some sectors.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) versions: SmallVec<[Version; 2]>,
    /// Its sectors are among those that a sync or a crash changes.
    pub(super) unsettled: bool,
    /// How many sectors are in this state.
    sectors: u64,
    /// It is in the list of the unsettled, perhaps since before it was used anew.
    listed: bool,
}

impl State {
    /// Whether it is the same as another, and has one version only.
    fn is_single_alike(&self, other: &Self) -> bool {
        match (&*self.versions, &*other.versions) {
            ([one], [another]) => one == another && self.unsettled == other.unsettled,
            _ => false,
        }
    }
}

/// A state that one change has made of another.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: StateId,
    /// What that held, if it was one version.
    single: Option<(Version, bool)>,
    to: StateId,
}

/// The states of all sectors; memory grows with the sectors touched.
#[derive(Debug)]
pub(super) struct Sectors {
    ids: Sparse<StateId, CHUNK>,
    /// By number; the first is [`UNTOUCHED`].
    states: Vec<State>,
    /// How many of them were used since the map was cleared.
    used: usize,
    /// Those of them that no sector is in any more.
    free: Vec<StateId>,
    /// Those that are unsettled, and some that no longer are.
    unsettled: Vec<StateId>,
    /// What the change under way, or the last one, has made of which state.
    moves: SmallVec<[Move; 8]>,
    /// How many changes there were, so that the last one is known.
    changes: u64,
}

/// A change, to be told from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastChange {
    number: u64,
}

/// Sectors that are yet to be looked at, run by run.
#[derive(Debug)]
pub(super) struct Left {
    at: u64,
    end: u64,
    /// The run that begins there, if that is known: where it ends, and its state.
    ahead: Option<(u64, StateId)>,
}

impl Left {
    pub(super) fn new(range: Range<u64>) -> Self {
        Self { at: range.start, end: range.end, ahead: None }
    }
}

impl Sectors {
    pub(super) fn new() -> Self {
        let (free, unsettled, moves) = (Vec::new(), Vec::new(), SmallVec::new());
        let mut states = vec![State::default()];
        states[0].versions.push(FIRST);
        Self { ids: Sparse::new(), states, used: 1, free, unsettled, moves, changes: 0 }
    }

    /// Nothing was touched.
    pub(super) fn clear(&mut self) {
        self.changes += 1;
        self.ids.clear(|ids| ids.fill(UNTOUCHED));
        self.unsettled.clear();
        self.free.clear();
        for state in &mut self.states[1..self.used] {
            state.versions.clear();
            (state.unsettled, state.listed, state.sectors) = (false, false, 0);
        }
        self.used = 1;
    }

    /// The state of a sector.
    pub(super) fn at(&self, number: u64) -> (StateId, &State) {
        let id = self.ids.get(number).copied().unwrap_or(UNTOUCHED);
        (id, self.state(id))
    }

    pub(super) fn state(&self, id: StateId) -> &State {
        &self.states[id as usize]
    }

    /// Where the run of sectors ends, before `end`, that are in the same state as `number`. A long
    /// one comes in parts.
    fn run(&self, number: u64, end: u64) -> (u64, StateId) {
        let (chunk, within) = Sparse::<StateId, CHUNK>::locate(number);
        let rest = (end - number).min((CHUNK - within) as u64);
        let Some(ids) = self.ids.chunk(chunk) else { return (number + rest, UNTOUCHED) };
        let id = ids[within];
        (number + alike(&ids[within..], rest), id)
    }

    /// The next run of sectors of which the same is known, with their state.
    pub(super) fn next_run(&mut self, left: &mut Left) -> Option<(Range<u64>, StateId)> {
        let start = left.at;
        if start >= left.end {
            return None;
        }
        let (mut end, id) = left.ahead.take().unwrap_or_else(|| self.run(start, left.end));
        while end < left.end {
            let (next, other) = self.run(end, left.end);
            // What once was told apart may be the same by now.
            if other != id && !self.join(end..next, other, id) {
                left.ahead = Some((next, other));
                break;
            }
            end = next;
        }
        left.at = end;
        Some((start..end, id))
    }

    /// Changes once more what is known of the sectors of that change, without a look at each. False
    /// where it does not know any more what that has made.
    pub(super) fn change_again(
        &mut self,
        changed: LastChange,
        mut change: impl FnMut(&mut State),
    ) -> bool {
        if changed.number != self.changes || self.moves.len() == self.moves.inline_size() {
            return false;
        }
        for at in 0..self.moves.len() {
            let to = self.moves[at].to;
            change(&mut self.states[to as usize]);
            self.list(to);
        }
        true
    }

    /// The change that was made last.
    pub(super) fn last_change(&self) -> LastChange {
        LastChange { number: self.changes }
    }

    /// Changes what is known of the sectors of `range`, alike for sectors of which the same was
    /// known.
    pub(super) fn change(&mut self, range: Range<u64>, mut change: impl FnMut(&mut State)) {
        self.moves.clear();
        let mut at = range.start;
        while at < range.end {
            let (end, id) = self.run(at, range.end);
            self.change_run(at..end, id, &mut change);
            at = end;
        }
        self.changes += 1;
    }

    fn change_run(&mut self, run: Range<u64>, from: StateId, change: &mut impl FnMut(&mut State)) {
        let (count, state) = (run.end - run.start, &self.states[from as usize]);
        let single = match &*state.versions {
            [only] => Some((*only, state.unsettled)),
            _ => None,
        };
        let is_it = |it: &&Move| it.from == from || it.single.is_some() && it.single == single;
        if let Some(&Move { to, .. }) = self.moves.iter().find(is_it) {
            return self.relabel(run, from, to);
        }
        let to = if from != UNTOUCHED && state.sectors == count {
            from
        } else {
            let to = self.copy(from);
            self.relabel(run, from, to);
            to
        };
        let state = &mut self.states[to as usize];
        change(state);
        self.list(to);
        if self.moves.len() < self.moves.inline_size() {
            self.moves.push(Move { from, single, to });
        }
    }

    /// The sectors of a run, which are in the state `from`, are in the state `to` from now on.
    pub(super) fn relabel(&mut self, run: Range<u64>, from: StateId, to: StateId) {
        if from == to {
            return;
        }
        // What a change before this has made is not where it was.
        self.changes += 1;
        let count = run.end - run.start;
        let (chunk, within) = Sparse::<StateId, CHUNK>::locate(run.start);
        let ids = self.ids.chunk_mut(chunk)[within..].iter_mut();
        ids.zip(0..count).for_each(|(id, _)| *id = to);
        self.states[to as usize].sectors += count;
        if from != UNTOUCHED {
            let state = &mut self.states[from as usize];
            state.sectors -= count;
            if state.sectors == 0 {
                state.versions.clear();
                state.unsettled = false;
                self.free.push(from);
            }
        }
    }

    /// A state like another, of no sector yet.
    fn copy(&mut self, from: StateId) -> StateId {
        let to = self.free.pop().unwrap_or_else(|| {
            if self.used == self.states.len() {
                self.states.push(State::default());
            }
            self.used += 1;
            StateId::try_from(self.used - 1).expect("fewer states than memory for them")
        });
        let [from, copy] = self
            .states
            .get_disjoint_mut([from as usize, to as usize])
            .expect("a free state is no other");
        copy.versions.extend_from_slice(&from.versions);
        copy.unsettled = from.unsettled;
        self.list(to);
        to
    }

    fn list(&mut self, id: StateId) {
        let state = &mut self.states[id as usize];
        if state.unsettled && !state.listed {
            state.listed = true;
            self.unsettled.push(id);
        }
    }

    /// Makes of the state of one sector a new one, in which no other sector is yet.
    pub(super) fn become_new(
        &mut self,
        number: u64,
        from: StateId,
        change: impl FnOnce(&mut State),
    ) -> StateId {
        let to = if self.states[from as usize].sectors == 1 {
            from
        } else {
            let to = self.copy(from);
            self.relabel(number..number + 1, from, to);
            to
        };
        change(&mut self.states[to as usize]);
        self.list(to);
        self.changes += 1;
        to
    }

    /// Has a run be in the state of its neighbour, if that is the same.
    fn join(&mut self, run: Range<u64>, id: StateId, neighbour: StateId) -> bool {
        let alike = id != UNTOUCHED
            && neighbour != UNTOUCHED
            && self.state(id).is_single_alike(self.state(neighbour));
        if alike {
            self.relabel(run, id, neighbour);
        }
        alike
    }

    /// Changes every unsettled state; which of them still are after that?
    pub(super) fn each_unsettled(&mut self, mut change: impl FnMut(&mut State)) {
        let states = &mut self.states;
        self.unsettled.retain(|&id| {
            let state = &mut states[id as usize];
            if state.unsettled {
                change(state);
            }
            state.listed = state.unsettled;
            state.listed
        });
    }

    /// Runs of touched sectors for whose state `is_one` holds, in order.
    pub(super) fn runs_where(&self, is_one: impl Fn(&State) -> bool) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (start, ids) in self.ids.chunks() {
            let touched = |(_, id): &(u64, &StateId)| **id != UNTOUCHED && is_one(self.state(**id));
            for (number, _) in (start..).zip(ids).filter(touched) {
                match runs.last_mut() {
                    Some(run) if run.end == number => run.end += 1,
                    _ => runs.push(number..number + 1),
                }
            }
        }
        runs
    }
}

/// How many of the first `most` numbers are as the very first.
#[inline]
fn alike(ids: &[StateId], most: u64) -> u64 {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(ids.len());
    let (id, ids) = (ids[0], &ids[..most]);
    let mut at = 1;
    // Eight at a time, of which a compiler makes one comparison.
    while let Some(eight) = ids.get(at..at + 8)
        && eight.iter().fold(true, |all, other| all & (*other == id))
    {
        at += 8;
    }
    while ids.get(at) == Some(&id) {
        at += 1;
    }
    at as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::version::Leaves;
    use crate::rng::{Purpose, Rng};

    /// Against a plain vector of version lists.
    #[test]
    fn every_sector_knows_what_was_made_of_it() {
        const SECTORS: u64 = 3 * CHUNK as u64;
        let mut rng = Rng::new(1, Purpose::Operations);
        for _ in 0..20 {
            let mut sectors = Sectors::new();
            let mut plain = vec![vec![FIRST]; usize::try_from(SECTORS).unwrap()];
            for op in 1..200 {
                let start = rng.below(SECTORS);
                let range = start..(start + rng.between(1, 300)).min(SECTORS);
                let these =
                    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                let version = Version { op, leaves: Leaves::Payload, ..FIRST };
                if rng.chance(1, 2) {
                    sectors.change(range.clone(), |state| state.versions.push(version));
                    let double = |state: &mut State| state.versions[0].op += 1000;
                    let last = sectors.last_change();
                    if !sectors.change_again(last, double) {
                        sectors.change(range, double);
                    }
                    assert!(!sectors.change_again(LastChange { number: 1 << 60 }, double));
                    plain[these.clone()].iter_mut().for_each(|versions| versions[0].op += 1000);
                    plain[these].iter_mut().for_each(|versions| versions.push(version));
                } else {
                    let only = |state: &mut State| {
                        state.versions.clear();
                        state.versions.push(version);
                    };
                    sectors.change(range, only);
                    plain[these].iter_mut().for_each(|versions| *versions = vec![version]);
                }
                assert!((0..).zip(&plain).all(|(at, it)| *sectors.at(at).1.versions == **it));
                let counted: u64 = sectors.states[1..].iter().map(|state| state.sectors).sum();
                let touched = sectors.runs_where(|_| true);
                assert_eq!(counted, touched.iter().map(|run| run.end - run.start).sum::<u64>());
            }
        }
    }

    #[test]
    fn sectors_of_which_the_same_is_known_share_a_state() {
        let mut sectors = Sectors::new();
        let only = |op| {
            move |state: &mut State| {
                state.versions.clear();
                state.versions.push(Version { op, ..FIRST });
            }
        };
        for sector in (0..64).step_by(2) {
            sectors.change(sector..sector + 1, only(1));
        }
        let first = |sectors: &mut Sectors| sectors.next_run(&mut Left::new(0..64)).unwrap().0;
        assert_eq!(first(&mut sectors), 0..1);
        for sector in (1..64).step_by(2) {
            sectors.change(sector..sector + 1, only(1));
        }
        assert_eq!(first(&mut sectors), 0..64);
        sectors.change(0..64, only(2));
        assert_eq!(sectors.run(0, 64).0, 64);
        sectors.clear();
        assert_eq!(sectors.run(0, 64), (64, UNTOUCHED));
    }
}
