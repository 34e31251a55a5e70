//! What the device holds, and what its requests and crashes do to that.

use super::failure::{Failure, Failures};
use super::journal::Journal;
use super::keep::{Choice, Damage, Keep};
use super::options::{ModelOptions, Weak};
use super::unsynced::{Unsynced, Version};
use crate::device::{DeviceError, Geometry};
use crate::rng::{Purpose, Rng};
use crate::sparse::Sparse;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::task::Waker;

/// Bytes of a chunk of the image.
const CHUNK: usize = 16 << 10;

/// A trim of at most this many bytes may scribble over sectors that were never written. A larger
/// one leaves those alone, so that it costs no memory.
const SMALL_TRIM: u64 = 1 << 20;

/// What a weak trim may leave besides what was there.
const SCRIBBLE: u8 = 0xab;

/// A sector of a dropped write that may still land.
#[derive(Debug)]
struct Adrift {
    request: u64,
    sector: u64,
    bytes: Box<[u8]>,
}

/// What the handles of a device share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) geometry: Geometry,
    pub(super) weak: Weak,
    visible: Sparse<u8, CHUNK>,
    pub(super) unsynced: Unsynced,
    /// Sectors that cannot be read until they are written again.
    unreadable: BTreeSet<u64>,
    adrift: Vec<Adrift>,
    /// How many changes were made to sectors.
    pub(super) changes: u64,
    /// How many barriers were made.
    epoch: u64,
    /// How often the power failed or the device was restarted.
    pub(super) boot: u64,
    pub(super) closed: bool,
    /// A close has made everything durable.
    pub(super) close_flushed: bool,
    sync_failed: bool,
    /// A failed sync has dropped what was not synced; what follows is lost too.
    losing: bool,
    pub(super) failures: Failures,
    pub(super) journal: Journal,
    /// Requests that have begun and not ended, without closes.
    pub(super) in_flight: u64,
    /// Closes that wait for those.
    pub(super) waiting: Vec<Waker>,
    /// Decides how often requests suspend.
    pub(super) schedule: Rng,
    /// Decides what weak forms leave.
    pub(super) chance: Rng,
}

impl State {
    pub(super) fn new(geometry: Geometry, options: ModelOptions) -> Self {
        Self {
            geometry,
            weak: options.weak,
            visible: Sparse::new(),
            unsynced: Unsynced::default(),
            unreadable: BTreeSet::new(),
            adrift: Vec::new(),
            changes: 0,
            epoch: 0,
            boot: 0,
            closed: false,
            close_flushed: false,
            sync_failed: false,
            losing: false,
            failures: Failures::default(),
            journal: Journal::default(),
            in_flight: 0,
            waiting: Vec::new(),
            schedule: Rng::new(options.seed, Purpose::Schedule),
            chance: Rng::new(options.seed, Purpose::Faults),
        }
    }

    fn sector_size(&self) -> usize {
        self.geometry.sector_size() as usize
    }

    /// Those of the sectors that a coin chooses, and the others.
    pub(super) fn split(&mut self, sectors: &[u64]) -> (Vec<u64>, Vec<u64>) {
        sectors.iter().copied().partition(|_| self.chance.chance(1, 2))
    }

    /// The sector holds `bytes` from now on; `request` wrote them.
    pub(super) fn store(&mut self, request: u64, sector: u64, bytes: &[u8]) {
        let offset = sector * bytes.len() as u64;
        let version = Version {
            bytes: bytes.into(),
            request,
            change: self.changes,
            epoch: self.epoch,
            dropped: self.losing,
        };
        let visible = &self.visible;
        let held = || {
            let mut held = vec![0; bytes.len()].into_boxed_slice();
            visible.read(offset, &mut held);
            held
        };
        self.unsynced.push(sector, held, version);
        self.changes += 1;
        self.visible.write(offset, bytes);
        self.unreadable.remove(&sector);
        self.adrift.retain(|adrift| adrift.sector != sector);
    }

    /// Copies what the device holds from `offset` (bytes) on.
    ///
    /// # Errors
    ///
    /// `EIO` if a sector cannot be read.
    pub(super) fn load(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let sectors = self.geometry.sectors(&(offset..offset + buffer.len() as u64));
        if !sectors.is_empty() && self.unreadable.range(sectors).next().is_some() {
            return Err(eio());
        }
        self.visible.read(offset, buffer);
        Ok(())
    }

    /// What a read that failed leaves in the buffer: in each sector what was in the buffer, what
    /// the device holds, or garbage.
    pub(super) fn spoil(&mut self, offset: u64, buffer: &mut [u8]) {
        let size = self.sector_size();
        if !self.weak.failed_read {
            return;
        }
        for (piece, at) in buffer.chunks_mut(size).zip((offset..).step_by(size)) {
            match self.chance.below(3) {
                0 => {}
                1 => self.visible.read(at, piece),
                _ => piece.fill(self.chance.next_u64().to_le_bytes()[0]),
            }
        }
    }

    /// Sectors of a write whose future was dropped may land later.
    pub(super) fn set_adrift(&mut self, request: u64, sectors: Vec<(u64, &[u8])>) {
        if self.weak.dropped_write {
            let adrift = sectors.into_iter().map(|(sector, bytes)| Adrift {
                request,
                sector,
                bytes: bytes.into(),
            });
            self.adrift.extend(adrift);
        }
    }

    /// Some sectors of dropped writes land now, one in `odds` on average. With `last`, the others
    /// never will.
    pub(super) fn drift(&mut self, odds: u64, last: bool) {
        let mut rest = Vec::new();
        for adrift in std::mem::take(&mut self.adrift) {
            if self.chance.chance(1, odds) {
                self.store(adrift.request, adrift.sector, &adrift.bytes);
            } else {
                rest.push(adrift);
            }
        }
        self.adrift = if last { Vec::new() } else { rest };
    }

    /// Trims a range of bytes; with `fails`, as a trim that fails.
    pub(super) fn trim(&mut self, request: u64, range: &Range<u64>, fails: bool) {
        if fails && !self.weak.trim {
            return;
        }
        let scribbles = self.weak.trim && range.end - range.start <= SMALL_TRIM;
        let pieces = if scribbles {
            vec![range.clone()]
        } else {
            // A hole where nothing was ever written changes nothing, however large it is.
            let chunks = self.visible.chunks();
            let pieces = chunks
                .map(|(at, bytes)| range.start.max(at)..range.end.min(at + bytes.len() as u64));
            pieces.filter(|piece| !piece.is_empty()).collect()
        };
        let (size, geometry) = (self.sector_size(), self.geometry);
        let (zeros, scribble) = (vec![0; size], vec![SCRIBBLE; size]);
        for sector in pieces.iter().flat_map(|piece| geometry.sectors(piece)) {
            let drawn = if self.weak.trim { self.chance.below(3) } else { 0 };
            match drawn {
                0 => self.store(request, sector, &zeros),
                1 => self.store(request, sector, &scribble),
                _ => {}
            }
        }
    }

    /// # Errors
    ///
    /// [`DeviceError::SyncFailed`] if a sync has failed since the device was opened.
    pub(super) fn check_sync(&self) -> Result<(), DeviceError> {
        if self.sync_failed { Err(DeviceError::SyncFailed) } else { Ok(()) }
    }

    /// Makes durable what `sync` does, unless this `failure` is met.
    pub(super) fn sync(
        &mut self,
        failure: Option<Failure>,
        sync: impl FnOnce(&mut Self),
    ) -> Result<(), DeviceError> {
        let Some(failure) = failure else {
            sync(self);
            return Ok(());
        };
        self.sync_failed = true;
        if let Failure::SyncPartly(seed) = failure {
            self.sync_partly(seed);
        }
        if failure != Failure::SyncKept {
            self.losing = true;
            self.unsynced.drop_all();
        }
        Err(eio())
    }

    /// A random part becomes durable, in the order of barriers.
    fn sync_partly(&mut self, seed: u64) {
        let mut choice = Choice::new(Keep::Random(seed), &self.unsynced);
        self.unsynced.0.retain(|&number, sector| {
            let chosen = choice.choose(number, sector);
            let last = chosen.checked_sub(1).and_then(|at| sector.live().nth(at));
            if let Some(change) = last.map(|version| version.change) {
                sector.durable = sector.chosen(chosen).into();
                sector.versions.retain(|version| version.change > change);
            }
            !sector.versions.is_empty()
        });
    }

    /// Orders what was written before the change `mark`, when the barrier was called, before what
    /// will be. Of what was written since, the barrier says nothing.
    pub(super) fn order(&mut self, mark: u64) {
        self.unsynced.postpone(mark, self.epoch);
        self.epoch += 1;
    }

    /// What is in flight never ends, and handles and futures from before reach nothing any more.
    /// The device is open again. Gives whom to wake, as soon as nobody holds this.
    pub(super) fn boot(&mut self) -> Vec<Waker> {
        self.boot += 1;
        self.journal.cut_off();
        self.failures.clear();
        self.in_flight = 0;
        (self.closed, self.close_flushed) = (false, false);
        (self.sync_failed, self.losing) = (false, false);
        self.waiting.split_off(0)
    }

    /// The power fails: decides about everything that is not durable, and [boots](Self::boot).
    pub(super) fn crash(&mut self, keep: Keep) -> Vec<Waker> {
        self.adrift.clear();
        let mut choice = Choice::new(keep, &self.unsynced);
        let size = self.sector_size();
        for (number, sector) in std::mem::take(&mut self.unsynced.0) {
            let mut bytes: Box<[u8]> = sector.chosen(choice.choose(number, &sector)).into();
            match choice.damage(size) {
                Some(Damage::Torn(at)) => bytes[..at].copy_from_slice(&sector.visible()[..at]),
                Some(Damage::Garbage(seed)) => garbage(seed, &mut bytes),
                Some(Damage::Unreadable) => {
                    self.unreadable.insert(number);
                }
                None => {}
            }
            self.visible.write(number * size as u64, &bytes);
        }
        self.boot()
    }
}

/// Fills `bytes` with what is drawn from this seed.
fn garbage(seed: u64, bytes: &mut [u8]) {
    let mut rng = Rng::new(seed, Purpose::Payload);
    for piece in bytes.chunks_mut(8) {
        piece.copy_from_slice(&rng.next_u64().to_le_bytes()[..piece.len()]);
    }
}

fn eio() -> DeviceError {
    io::Error::from(rustix::io::Errno::IO).into()
}
