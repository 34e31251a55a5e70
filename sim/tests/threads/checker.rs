//! What a sector may hold, where requests overlap in time and are dropped.
//!
//! Every event has a time. It is taken before a request begins and after it has ended, so the
//! checker may take requests for overlapping that did not, and never the other way round.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

pub(crate) const SECTOR: usize = 512;

/// A number of sectors or bytes, as what it counts in memory.
pub(crate) fn index(number: u64) -> usize {
    usize::try_from(number).expect("it fits into memory")
}

/// What a change leaves in the sectors of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Zeros,
    /// Of the write with this number.
    Of(u64),
}

impl Content {
    /// The bytes of a sector: every word says whose it is, which sector, and which word.
    pub(crate) fn bytes(self, sector: u64) -> [u8; SECTOR] {
        let mut bytes = [0; SECTOR];
        if let Self::Of(write) = self {
            for (word, place) in (0_u64..).zip(bytes.chunks_exact_mut(8)) {
                place.copy_from_slice(&(write << 24 | sector << 8 | word).to_le_bytes());
            }
        }
        bytes
    }
}

/// A change that a sector may show.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    content: Content,
    begun: u64,
    /// When it returned or was dropped.
    ended: Option<u64>,
    /// It was dropped, and may still be under way where its call is on another thread.
    is_loose: bool,
    /// When something newer had taken its place for sure.
    replaced: Option<u64>,
}

#[derive(Debug)]
struct State {
    now: u64,
    sectors: Vec<Vec<Candidate>>,
    /// When each of the reads under way has begun.
    reads: Vec<u64>,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn range(&mut self, range: &Range<u64>) -> impl Iterator<Item = &mut Vec<Candidate>> {
        self.sectors[index(range.start)..index(range.end)].iter_mut()
    }
}

/// Knows what every sector of a device may hold.
#[derive(Debug)]
pub(crate) struct Checker(Mutex<State>);

impl Checker {
    /// Of a device of zeros.
    pub(crate) fn new(sectors: u64) -> Self {
        let zeros = Candidate {
            content: Content::Zeros,
            begun: 0,
            ended: Some(0),
            is_loose: false,
            replaced: None,
        };
        let sectors = (0..sectors).map(|_| vec![zeros]).collect();
        Self(Mutex::new(State { now: 0, sectors, reads: Vec::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that has failed elsewhere is to say so, and nothing else.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A change of these sectors begins. It is dropped, unless it says how it ended.
    pub(crate) fn change(&self, range: Range<u64>, zeros: bool) -> Change<'_> {
        let mut state = self.state();
        let begun = state.tick();
        let content = if zeros { Content::Zeros } else { Content::Of(begun) };
        let candidate = Candidate { content, begun, ended: None, is_loose: false, replaced: None };
        state.range(&range).for_each(|candidates| candidates.push(candidate));
        Change { checker: self, range, begun, content, ended: false }
    }

    pub(crate) fn read(&self, range: Range<u64>) -> Reading<'_> {
        let mut state = self.state();
        let begun = state.tick();
        state.reads.push(begun);
        Reading { checker: self, range, begun }
    }

    /// A flush, barrier or drain begins, at this time.
    pub(crate) fn sync(&self) -> u64 {
        self.state().tick()
    }

    /// One that began at that time has returned `Ok`: what was dropped before is at rest.
    pub(crate) fn synced(&self, begun: u64) {
        let mut state = self.state();
        for candidate in state.sectors.iter_mut().flatten() {
            candidate.is_loose &= candidate.ended.is_none_or(|ended| ended > begun);
        }
    }

    /// Nothing is under way: every sector is as a whole what it may be, and is that from now on.
    pub(crate) fn settle(&self, data: &[u8]) -> Result<(), String> {
        let mut state = self.state();
        let now = state.tick();
        for ((sector, candidates), bytes) in
            (0..).zip(&mut state.sectors).zip(data.chunks_exact(SECTOR))
        {
            candidates.retain(|it| it.replaced.is_none());
            let found = candidates.iter().find(|it| it.content.bytes(sector) == bytes).copied();
            let found = found.ok_or_else(|| complaint(sector, bytes, candidates))?;
            *candidates = vec![Candidate { ended: Some(now), is_loose: false, ..found }];
        }
        Ok(())
    }
}

fn complaint(sector: u64, bytes: &[u8], legal: &[Candidate]) -> String {
    let (words, _) = bytes.as_chunks();
    let words = words.iter().map(|&word| u64::from_le_bytes(word));
    let mut words: Vec<_> = words.map(|word| (word >> 24, word >> 8 & 0xffff)).collect();
    words.dedup();
    format!("sector {sector} holds (write, sector) {words:?}; legal: {legal:?}")
}

/// A change under way.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    checker: &'a Checker,
    range: Range<u64>,
    begun: u64,
    pub(crate) content: Content,
    ended: bool,
}

impl Change<'_> {
    /// It has returned `Ok`. Unless it was a hint, what had ended before it began is gone.
    pub(crate) fn done(mut self, is_hint: bool) {
        self.ended = true;
        let mut state = self.checker.state();
        let now = state.tick();
        let oldest = state.reads.iter().copied().min().unwrap_or(now);
        for candidates in state.range(&self.range) {
            for it in &mut *candidates {
                if it.begun == self.begun {
                    it.ended = Some(now);
                } else if !is_hint && it.ended.is_some_and(|ended| ended < self.begun) {
                    it.replaced.get_or_insert(now);
                }
            }
            // What a read under way may have seen has to stay.
            candidates.retain(|it| it.replaced.is_none_or(|replaced| replaced > oldest));
        }
    }

    /// It was refused, and has changed nothing.
    pub(crate) fn refused(mut self) {
        self.ended = true;
        let mut state = self.checker.state();
        for candidates in state.range(&self.range) {
            candidates.retain(|it| it.begun != self.begun);
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.checker.state();
        let now = state.tick();
        for it in state.range(&self.range).flatten().filter(|it| it.begun == self.begun) {
            (it.ended, it.is_loose) = (Some(now), true);
        }
    }
}

/// A read under way.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    checker: &'a Checker,
    range: Range<u64>,
    begun: u64,
}

impl Reading<'_> {
    /// It has returned this. A sector that was being written meanwhile may be old and new by bytes.
    pub(crate) fn check(self, data: &[u8]) -> Result<(), String> {
        let mut state = self.checker.state();
        let sectors = self.range.clone().zip(data.chunks_exact(SECTOR));
        for ((sector, bytes), candidates) in sectors.zip(state.range(&self.range)) {
            let legal = candidates.iter().filter(|it| it.replaced.is_none_or(|at| at > self.begun));
            let legal: Vec<_> = legal.copied().collect();
            let contents: Vec<_> = legal.iter().map(|it| it.content.bytes(sector)).collect();
            let overlaps =
                |it: &Candidate| it.is_loose || it.ended.is_none_or(|at| at > self.begun);
            let is_legal = if legal.iter().any(overlaps) {
                let mut places = (0..SECTOR).zip(bytes);
                places.all(|(place, byte)| contents.iter().any(|it| it[place] == *byte))
            } else {
                contents.iter().any(|it| it == bytes)
            };
            if !is_legal {
                return Err(complaint(sector, bytes, &legal));
            }
        }
        Ok(())
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.checker.state();
        let found = state.reads.iter().position(|&begun| begun == self.begun);
        if let Some(at) = found {
            state.reads.swap_remove(at);
        }
    }
}

/// Bytes that are half of one, half of the other.
fn mixed(one: Content, other: Content) -> Vec<u8> {
    [&one.bytes(0)[..256], &other.bytes(0)[256..]].concat()
}

#[test]
fn what_a_finished_write_has_replaced_is_stale() {
    let checker = Checker::new(1);
    let first = checker.change(0..1, false);
    let old = first.content;
    first.done(false);
    assert!(checker.read(0..1).check(&Content::Zeros.bytes(0)).is_err());
    let early = checker.read(0..1);
    let second = checker.change(0..1, false);
    let new = second.content;
    for legal in [old.bytes(0).to_vec(), new.bytes(0).to_vec(), mixed(old, new)] {
        assert_eq!(checker.read(0..1).check(&legal), Ok(()));
    }
    second.done(false);
    assert!(checker.read(0..1).check(&old.bytes(0)).is_err());
    assert!(checker.read(0..1).check(&mixed(old, new)).is_err());
    assert_eq!(checker.read(0..1).check(&new.bytes(0)), Ok(()));
    // This one has begun before the write did.
    assert_eq!(early.check(&old.bytes(0)), Ok(()));
}

#[test]
fn writes_that_overlap_may_end_in_either_order() {
    let checker = Checker::new(1);
    let (one, other) = (checker.change(0..1, false), checker.change(0..1, true));
    let content = one.content;
    one.done(false);
    other.done(false);
    assert_eq!(checker.read(0..1).check(&content.bytes(0)), Ok(()));
    assert_eq!(checker.read(0..1).check(&Content::Zeros.bytes(0)), Ok(()));
    assert!(checker.read(0..1).check(&mixed(content, Content::Zeros)).is_err());
    assert_eq!(checker.settle(&content.bytes(0)), Ok(()));
    assert!(checker.settle(&Content::Zeros.bytes(0)).is_err());
}

#[test]
fn a_dropped_write_lands_late_and_never_over_a_newer_one() {
    let checker = Checker::new(1);
    let dropped = checker.change(0..1, false);
    let late = dropped.content;
    drop(dropped);
    assert_eq!(checker.read(0..1).check(&Content::Zeros.bytes(0)), Ok(()));
    assert_eq!(checker.read(0..1).check(&mixed(late, Content::Zeros)), Ok(()));
    let begun = checker.sync();
    checker.synced(begun);
    assert!(checker.read(0..1).check(&mixed(late, Content::Zeros)).is_err());
    assert_eq!(checker.read(0..1).check(&late.bytes(0)), Ok(()));
    let newer = checker.change(0..1, false);
    let content = newer.content;
    newer.done(false);
    assert!(checker.read(0..1).check(&late.bytes(0)).is_err());
    assert_eq!(checker.read(0..1).check(&content.bytes(0)), Ok(()));
    checker.change(0..1, true).refused();
    assert!(checker.settle(&Content::Zeros.bytes(0)).is_err());
}
