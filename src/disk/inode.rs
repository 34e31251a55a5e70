//! One file: what reads get, what is durable, and what a crash makes of the two.

use super::crash::{CrashOutcome, Damage};
use super::fault::FaultKind;
use super::lies::{displaced, flip};
use super::medium::Backing;
use super::undo::{Restore, Undo};
use crate::rng::{Purpose, Rng};
use crate::sparse::Sparse;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

/// Bytes of a chunk of the image in memory.
const CHUNK: usize = 16 << 10;

/// Restored places of a real file are written with what lies between them, if that is no more than
/// this, in bytes: that takes less time than another call.
const GAP: u64 = 4 << 10;

/// At most this many bytes are restored in one call, if not one sector has more.
const MOST_AT_ONCE: u64 = 64 << 10;

/// How often the kernel has to refuse a torn sector before the device may give it up: once when
/// the rest of the write fails, and once more for the sector alone.
const REFUSALS: u32 = 2;

/// A sector inside which the kernel stopped a write, while the request that made it is still under
/// way. It is visible as it is; but it is not written to the medium before that request has either
/// completed or given up the sector.
#[derive(Debug)]
pub(super) struct TornSector {
    pub(super) sector: u64,
    /// What the sector held before it was torn.
    pub(super) before: Vec<u8>,
    /// The requests that may have torn it.
    owners: SmallVec<[u32; 1]>,
    /// An owner that had no chance to go on, or was refused often enough, has ended.
    excused: bool,
}

/// How often a request that tore a sector was refused when it tried to mend it. That counts from
/// its first tear of the sector on, also while another request's write has mended it.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    sector: u64,
    op: u32,
    refused: u32,
}

/// Failures of writing back. Each descriptor that was open then is told once, by its next sync; one
/// opened later is told as long as nobody has been. As in Linux, where this is `errseq_t`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    count: u64,
    /// Somebody has been told of the last one.
    told: bool,
}

impl Failures {
    pub(super) fn add(&mut self) {
        *self = Self { count: self.count + 1, told: false };
    }

    /// What a descriptor that is opened now has been told.
    pub(super) fn at_open(self) -> u64 {
        if self.told { self.count } else { 0 }
    }

    /// Tells a descriptor that was told of `known`, if there is more.
    pub(super) fn tell(&mut self, known: &mut u64) -> bool {
        let news = *known != self.count;
        *known = self.count;
        self.told |= news;
        news
    }
}

/// A file of the simulated disk.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) sector_size: usize,
    pub(super) length: u64,
    pub(super) visible: Sparse<u8, CHUNK>,
    pub(super) undo: Undo,
    pub(super) torn: Vec<TornSector>,
    /// Of requests under way that tore a sector.
    attempts: Vec<Attempts>,
    /// Sectors that silently hold something else than was written to them last.
    pub(super) corrupted: BTreeSet<u64>,
    /// Sectors that cannot be read.
    pub(super) latent: BTreeSet<u64>,
    /// What descriptors have to be told of writing back that failed.
    pub(super) failures: Failures,
    pub(super) backing: Backing,
    /// The bytes that a crash has restored last, and that a real file does not have yet.
    restored: Option<Range<u64>>,
    /// A failure of the medium itself, which says nothing about the device.
    pub(super) medium_error: Option<io::Error>,
    /// What it is called, for people: its newest name.
    pub(super) name: u32,
}

impl Inode {
    pub(super) fn new(backing: Backing) -> Self {
        Self {
            sector_size: 512,
            length: 0,
            visible: Sparse::new(),
            undo: Undo::default(),
            torn: Vec::new(),
            attempts: Vec::new(),
            corrupted: BTreeSet::new(),
            latent: BTreeSet::new(),
            failures: Failures::default(),
            backing,
            restored: None,
            medium_error: None,
            name: 0,
        }
    }

    /// An empty file.
    pub(super) fn reset(&mut self, sector_size: usize) {
        self.sector_size = sector_size;
        self.length = 0;
        self.visible.clear(|bytes| bytes.fill(0));
        self.undo.clear();
        self.torn.clear();
        self.attempts.clear();
        self.corrupted.clear();
        self.latent.clear();
        self.failures = Failures::default();
        self.medium_error = None;
        let emptied = self.backing.empty();
        self.note_medium_error(emptied);
    }

    /// What the medium itself answers is no part of the simulation: a failure there ends the run.
    pub(super) fn note_medium_error(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.medium_error.get_or_insert(error);
        }
    }

    pub(super) fn sectors(&self, range: &Range<u64>) -> Range<u64> {
        let size = self.sector_size as u64;
        range.start / size..range.end.div_ceil(size)
    }

    /// The sectors of which a range covers all that is in the file.
    fn whole_sectors(&self, range: &Range<u64>) -> Range<u64> {
        let size = self.sector_size as u64;
        let to_the_end = range.end >= self.length;
        let end = if to_the_end { range.end.div_ceil(size) } else { range.end / size };
        range.start.div_ceil(size)..end
    }

    /// Fills `buffer` with what reads get from `offset` on.
    pub(super) fn fetch(&mut self, buffer: &mut [u8], offset: u64) {
        match self.backing.read(buffer, offset) {
            Ok(true) => {}
            Ok(false) => self.visible.read(offset, buffer),
            Err(error) => self.note_medium_error(Err(error)),
        }
    }

    /// Bytes go to the file, one way or another, for the requests `owners`.
    pub(super) fn write(
        &mut self,
        owners: &[u32],
        data: &[u8],
        offset: u64,
        fault: Option<FaultKind>,
    ) {
        let end = offset + data.len() as u64;
        let size = self.sector_size as u64;
        match fault {
            Some(FaultKind::LostWrite) => self.lose_write(offset..end),
            Some(FaultKind::MisdirectedWrite(by)) => {
                self.lose_write(offset..end);
                let fits = |to: &u64| to + data.len() as u64 <= self.length;
                let mut there = [by, by.saturating_neg()].map(|by| displaced(offset, by, size));
                if let Some(to) = there.iter_mut().find_map(|to| to.take().filter(fits)) {
                    let hit = self.sectors(&(to..to + data.len() as u64));
                    self.store(data, to, hit.clone());
                    self.corrupted.extend(hit);
                }
            }
            Some(FaultKind::BitFlip(bit)) => {
                let mut flipped = data.to_vec();
                let at = flip(&mut flipped, bit);
                self.grow(end);
                self.store(&flipped, offset, self.sectors(&(offset..end)));
                self.corrupted.insert((offset + at as u64) / size);
            }
            _ => {
                let mut sectors = self.sectors(&(offset..end));
                if matches!(fault, Some(FaultKind::ShortWrite(_))) && !end.is_multiple_of(size) {
                    sectors.end -= 1;
                    self.tear(owners, sectors.end);
                }
                self.grow(end);
                self.store(data, offset, sectors);
            }
        }
        match fault {
            Some(FaultKind::LatentSector(sector)) => self.break_sector(offset, data.len(), sector),
            Some(FaultKind::WritebackFailed) => {
                self.undo.drop_call();
                self.failures.add();
            }
            _ => {}
        }
    }

    /// A write to `range` returns and changes nothing: what is there is wrong from now on.
    fn lose_write(&mut self, range: Range<u64>) {
        self.grow(range.end);
        let sectors = self.sectors(&range);
        self.record_contents(sectors.clone(), &(0..0));
        self.corrupted.extend(sectors);
        // A real file has to grow as well.
        let grown = self.backing.grow(self.length);
        self.note_medium_error(grown);
    }

    /// Writes `data`; `sectors` are those to which it is a change to be synced.
    fn store(&mut self, data: &[u8], offset: u64, sectors: Range<u64>) {
        let healed = self.whole_sectors(&(offset..offset + data.len() as u64));
        self.record_contents(sectors, &healed);
        self.visible.write(offset, data);
        let written = self.backing.write(data, offset);
        self.note_medium_error(written);
    }

    fn grow(&mut self, end: u64) {
        if end > self.length {
            self.undo.record_length(self.length);
            self.length = end;
        }
    }

    /// `owners` are leaving `sector` torn. One that has torn it before is refused as often as it
    /// was.
    fn tear(&mut self, owners: &[u32], sector: u64) {
        let at = self.torn.iter().position(|torn| torn.sector == sector);
        let at = at.unwrap_or_else(|| {
            let mut before = vec![0; self.sector_size];
            self.visible.read(sector * self.sector_size as u64, &mut before);
            let owners = SmallVec::new();
            self.torn.push(TornSector { sector, before, owners, excused: false });
            self.torn.len() - 1
        });
        let torn = &mut self.torn[at];
        for &op in owners {
            if !torn.owners.contains(&op) {
                torn.owners.push(op);
            }
            if self.attempts.iter().all(|it| (it.sector, it.op) != (sector, op)) {
                self.attempts.push(Attempts { sector, op, refused: 0 });
            }
        }
    }

    /// A write of `length` bytes at `offset` was refused: an attempt at every sector that it covers
    /// and that was torn. It was made by the request `op`, or for any of them where that is `None`.
    pub(super) fn refuse_torn(&mut self, op: Option<u32>, offset: u64, length: u64) {
        let size = self.sector_size as u64;
        for attempts in &mut self.attempts {
            let start = attempts.sector * size;
            let covered = offset <= start && offset.saturating_add(length) >= start + size;
            let counted = covered && op.is_none_or(|op| attempts.op == op);
            attempts.refused += u32::from(counted);
        }
    }

    /// The request `op` has ended, given up where it had no chance to go on. Once its last owner
    /// has ended, a torn sector is an unsynced change of the next number of `call`. Those that no
    /// device could have mended go to `unmendable`: for each owner of its own, or, where `shared`,
    /// for the last one.
    pub(super) fn settle_torn(
        &mut self,
        op: u32,
        given_up: bool,
        shared: bool,
        call: &mut u64,
        unmendable: &mut SmallVec<[u64; 2]>,
    ) {
        let (undo, corrupted, sector_size) = (&mut self.undo, &self.corrupted, self.sector_size);
        let attempts = std::mem::take(&mut self.attempts);
        self.torn.retain_mut(|torn| {
            let Some(at) = torn.owners.iter().position(|owner| *owner == op) else {
                return true;
            };
            torn.owners.remove(at);
            let own = attempts.iter().find(|it| (it.sector, it.op) == (torn.sector, op));
            let excused = given_up || own.is_some_and(|it| it.refused >= REFUSALS);
            torn.excused |= excused;
            let last = torn.owners.is_empty();
            if excused && !shared || torn.excused && shared && last {
                unmendable.push(torn.sector);
            }
            if last {
                *call += 1;
                undo.begin_call(*call);
                undo.record(torn.sector, sector_size, |held| held.append(&mut torn.before));
                if corrupted.contains(&torn.sector) {
                    undo.replaced_corrupted(torn.sector);
                }
            }
            !last
        });
        self.attempts = attempts;
        self.attempts.retain(|it| it.op != op);
    }

    /// Whether a request under way has torn a sector.
    pub(super) fn has_torn(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// `sectors` are about to change: keeps what they hold. Those that were torn are so no longer,
    /// nor are those of `healed` corrupted or unreadable.
    fn record_contents(&mut self, sectors: Range<u64>, healed: &Range<u64>) {
        let size = self.sector_size;
        assert!(sectors.start <= sectors.end, "sectors {sectors:?} change");
        let count = usize::try_from(sectors.end - sectors.start).expect("what fits in memory");
        let visible = &self.visible;
        let place = self.undo.record(sectors.start, size, |held| {
            visible.append_to(sectors.start * size as u64, count * size, held);
        });
        if !self.torn.is_empty() {
            self.torn.retain(|torn| {
                let inside = sectors.contains(&torn.sector);
                if let Ok(at) = usize::try_from(torn.sector.wrapping_sub(sectors.start))
                    && inside
                {
                    place[at * size..(at + 1) * size].copy_from_slice(&torn.before);
                }
                !inside
            });
        }
        if !self.corrupted.is_empty() {
            for &sector in self.corrupted.range(sectors.clone()) {
                self.undo.replaced_corrupted(sector);
            }
        }
        self.heal(&(healed.start.max(sectors.start)..healed.end.min(sectors.end)));
    }

    /// What `sectors` hold is what was written to them, all of it.
    fn heal(&mut self, sectors: &Range<u64>) {
        for set in [&mut self.corrupted, &mut self.latent] {
            // Not by looking at all of them: a large write may have gone nowhere.
            while !set.is_empty()
                && !sectors.is_empty()
                && let Some(&sector) = set.range(sectors.clone()).next()
            {
                set.remove(&sector);
            }
        }
    }

    /// What is in the file of a range reads as zeros from now on.
    pub(super) fn punch(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.length);
        if range.is_empty() {
            return;
        }
        self.zero(range.clone());
        let punched = self.backing.punch(range.start, range.end - range.start);
        self.note_medium_error(punched);
    }

    fn zero(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Only what was ever touched can change.
        let touched: Vec<Range<u64>> = self
            .visible
            .chunks()
            .map(|(start, bytes)| range.start.max(start)..range.end.min(start + bytes.len() as u64))
            .filter(|piece| !piece.is_empty())
            .collect();
        let healed = self.whole_sectors(&range);
        for piece in touched {
            self.record_contents(self.sectors(&piece), &healed);
        }
        self.heal(&healed);
        self.visible.zero(range.start, range.end - range.start);
    }

    pub(super) fn set_len(&mut self, length: u64) {
        self.undo.record_length(self.length);
        self.zero(length..self.length);
        self.length = length;
        let set = self.backing.set_len(length);
        self.note_medium_error(set);
    }

    /// The power fails. Tells how many sectors, and the length, lost something.
    pub(super) fn crash(&mut self, outcome: &mut CrashOutcome) -> u64 {
        self.failures = Failures::default();
        let had = self.length;
        self.attempts.clear();
        for torn in std::mem::take(&mut self.torn) {
            self.restore(torn.sector, &torn.before);
        }
        let size = self.sector_size;
        let mut undo = std::mem::take(&mut self.undo);
        let (mut length, mut lost, mut damages) = (had, 0, Vec::new());
        undo.crash(size, outcome, |restore| match restore {
            Restore::Sectors(first, bytes, corrupted) => {
                let count = (bytes.len() / size) as u64;
                lost += count;
                self.restore(first, bytes);
                if corrupted {
                    self.corrupted.extend(first..first + count);
                } else if !self.corrupted.is_empty() {
                    self.corrupted.retain(|it| !(first..first + count).contains(it));
                }
            }
            Restore::Damage(sector, damage) => {
                let mut newest = vec![0; size];
                self.visible.read(sector * size as u64, &mut newest);
                damages.push((sector, damage, newest));
            }
            Restore::Length(old) => {
                lost += 1;
                length = old;
            }
        });
        self.undo = undo;
        for (sector, damage, newest) in damages {
            self.damage(sector, damage, newest);
        }
        self.write_back();
        // Nothing comes back from behind the end when the file grows again.
        self.visible.zero(length, self.length.saturating_sub(length));
        self.length = length;
        // Writing back can have made the real file longer than it is to be.
        let reopened = self.backing.set_len(length).and_then(|()| self.backing.reopen());
        self.note_medium_error(reopened);
        lost
    }

    /// Writes sectors past everybody, maybe past the end that the file is to have. A real file gets
    /// them with the next ones, in [`write_back`](Self::write_back).
    fn restore(&mut self, first: u64, bytes: &[u8]) {
        let offset = first * self.sector_size as u64;
        let end = offset + bytes.len() as u64;
        self.length = self.length.max(end);
        self.visible.write(offset, bytes);
        let joins = |last: &Range<u64>| {
            (last.start..=last.end.saturating_add(GAP)).contains(&offset)
                && end - last.start <= MOST_AT_ONCE
        };
        if self.restored.as_ref().is_some_and(joins) {
            self.restored.iter_mut().for_each(|range| range.end = range.end.max(end));
        } else {
            self.write_back();
            self.restored = Some(offset..end);
        }
    }

    /// Writes to a real file what a crash has restored.
    fn write_back(&mut self) {
        let Some(range) = self.restored.take().filter(|_| self.backing.is_real()) else { return };
        let mut bytes = Vec::new();
        let length = usize::try_from(range.end - range.start).expect("what fits in memory");
        self.visible.append_to(range.start, length, &mut bytes);
        let written = self.backing.write(&bytes, range.start);
        self.note_medium_error(written);
    }

    /// Does to a sector what no device could mask; `newest` is what it held before the crash.
    fn damage(&mut self, sector: u64, damage: Damage, newest: Vec<u8>) {
        let mut bytes = newest;
        match damage {
            Damage::Unreadable => {
                self.latent.insert(sector);
                return;
            }
            Damage::TornAt(at) => {
                let mut kept = vec![0; bytes.len()];
                self.visible.read(sector * self.sector_size as u64, &mut kept);
                bytes[at..].copy_from_slice(&kept[at..]);
            }
            Damage::Garbage(seed) => {
                let mut rng = Rng::new(seed, Purpose::Crash);
                for word in bytes.chunks_exact_mut(8) {
                    word.copy_from_slice(&rng.next_u64().to_le_bytes());
                }
            }
        }
        self.corrupted.insert(sector);
        self.restore(sector, &bytes);
    }
}
