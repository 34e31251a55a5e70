//! RAID 1 over two files, as Linux md, LVM and DRBD have it: writes go to both, reads come from
//! either.
//!
//! A file that fails a write or a sync is kicked out: the header of the other one says so, durably,
//! before anybody is told that the request succeeded. It is not read any more until it was copied
//! anew, when the device is opened again. While both are good, the first is right wherever they
//! differ: after a crash, and where a write was dropped half way. So the second is written first,
//! and nobody has seen what only it holds.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, lock, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    FlushOneLeg,
    StaleLegRead,
    KickedInMemoryOnly,
    ResyncBackwards,
    NoResync,
    ReadsBetweenLegs,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Mirrored,
        "mirrored",
        Legal,
        None,
        "Linux md RAID 1, DRBD: two copies, and a record of which are good"
    ),
    device!(
        Mirrored,
        "mirrored-flush-one-leg",
        Durability,
        Some(Bug::FlushOneLeg),
        "a flush that is answered when the first member has: classic"
    ),
    device!(
        Mirrored,
        "mirrored-stale-leg-read",
        Loud,
        Some(Bug::StaleLegRead),
        "one good copy is enough for a write to succeed, and the other is read: classic"
    ),
    device!(
        Mirrored,
        "mirrored-kicked-in-memory-only",
        Reopen,
        Some(Bug::KickedInMemoryOnly),
        "a failed member is back after a reboot, stale: superblocks that were not updated"
    ),
    device!(
        Mirrored,
        "mirrored-resync-backwards",
        Reopen,
        Some(Bug::ResyncBackwards),
        "the stale member is taken for the source of a rebuild: every operator's nightmare"
    ),
    device!(
        Mirrored,
        "mirrored-no-resync",
        Reopen,
        Some(Bug::NoResync),
        "mdadm --assume-clean after a crash: reads change with the member that answers"
    ),
    device!(
        Mirrored,
        "mirrored-read-between-legs",
        Concurrency,
        Some(Bug::ReadsBetweenLegs),
        "a read balanced to the member that a write under way has not reached: classic"
    ),
];

struct Mirrored(Option<Bug>);

/// The files. Their first sector is a header, and block 0 lies behind it.
const LEGS: [&str; 2] = [DISK, "disk-1"];

/// Bytes copied at a time.
const COPY: u64 = 64 << 10;

/// Says which legs are good. Of two that differ, that of the higher generation is right.
#[derive(Clone, Copy, Debug)]
struct Header {
    generation: u64,
    good: [bool; 2],
}

pub(super) struct Mirror {
    legs: [SimFile; 2],
    /// Bytes of a sector, and so of the header.
    sector: u32,
    latch: Latch,
    /// Of each leg, which is not synced again once that has failed.
    syncs: [Latch; 2],
    /// Changes and flushes are made one at a time.
    turn: futures::lock::Mutex<()>,
    state: Mutex<State>,
    bug: Option<Bug>,
}

struct State {
    header: Header,
    /// The header is durable where it has to be.
    recorded: bool,
    /// Bytes of the device in which the legs may differ: a write is under way or was dropped.
    unequal: Vec<Range<u64>>,
    /// How many writes have begun.
    writes: u64,
    /// Where the next read begins.
    next: usize,
}

impl Header {
    fn encode(self, sector: u32) -> Vec<u8> {
        let mut bytes = vec![0; sector as usize];
        bytes[..8].copy_from_slice(&self.generation.to_le_bytes());
        (bytes[8], bytes[9]) = (self.good[0].into(), self.good[1].into());
        bytes
    }

    async fn read(file: &SimFile) -> Result<Self, DeviceError> {
        let mut bytes = [0; 16];
        read_full(file, &mut bytes, 0).await?;
        let [number, flags] = [0, 8].map(|at| bytes[at..at + 8].try_into().unwrap_or([0; 8]));
        let good = [flags[0] != 0, flags[1] != 0];
        Ok(Self { generation: u64::from_le_bytes(number), good })
    }
}

impl Subject for Mirrored {
    type Device = Shell<Mirror>;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        let header = Header { generation: 1, good: [true; 2] };
        for leg in LEGS {
            write_full(&world.create(leg).await?, &header.encode(spec.sector_size), 0).await?;
        }
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Mirror>, DeviceError> {
        let legs = [world.open(LEGS[0]).await?, world.open(LEGS[1]).await?];
        let (first, second) = (Header::read(&legs[0]).await?, Header::read(&legs[1]).await?);
        let header = if second.generation > first.generation { second } else { first };
        let state = State { header, recorded: true, unequal: Vec::new(), writes: 0, next: 0 };
        let (latch, bug) = (Latch::default(), self.0);
        let (sector, turn, state) =
            (spec.sector_size, futures::lock::Mutex::default(), state.into());
        let syncs = <[Latch; 2]>::default();
        let mirror = Mirror { legs, sector, latch: latch.clone(), syncs, turn, state, bug };
        if !spec.read_only && bug != Some(Bug::NoResync) {
            mirror.resync().await?;
        }
        Shell::new(mirror, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        // As long as one file is in order, a failed sync of the other is no reason to stop.
        let mirror = Promises::none().waive(|it| it.failed_syncs = true);
        mirror.trim(TrimEffect::Nothing).clean_close()
    }

    fn accepts(&self) -> Accepts {
        // All of it is copied at each opening.
        Accepts::anything().block_sizes(..=4096).blocks(1..=64)
    }
}

impl Mirror {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn is_good(&self, leg: usize) -> bool {
        self.state().header.good[leg]
    }

    /// The leg that is right where they differ.
    fn right(&self) -> usize {
        usize::from(!self.is_good(0))
    }

    fn is_alone(&self) -> bool {
        self.state().header.good != [true; 2]
    }

    /// Whether what the leg holds in this range is what reads may see now.
    fn may_read(&self, leg: usize, range: &Range<u64>) -> bool {
        let equal = {
            let State { unequal, .. } = &*self.state();
            unequal.iter().all(|it| it.end <= range.start || range.end <= it.start)
        };
        let equal = equal || self.bug == Some(Bug::ReadsBetweenLegs);
        self.is_good(leg) && (equal || leg == self.right())
    }

    /// Does without the leg from now on; false where there is no other.
    fn kick(&self, leg: usize) -> bool {
        let State { header, recorded, .. } = &mut *self.state();
        if header.good != [true; 2] {
            return false;
        }
        header.good[leg] = false;
        header.generation += 1;
        *recorded = self.bug == Some(Bug::KickedInMemoryOnly);
        true
    }

    /// Makes durable which leg was kicked. What the other holds has to be durable before that:
    /// perhaps it was so on the kicked leg only.
    async fn record(&self) -> Answer {
        let (header, recorded) = {
            let state = self.state();
            (state.header, state.recorded)
        };
        if !recorded {
            let right = self.right();
            self.sync(right).await?;
            write_full(&self.legs[right], &header.encode(self.sector), 0).await?;
            self.sync(right).await?;
            self.state().recorded = true;
        }
        Ok(())
    }

    async fn sync(&self, leg: usize) -> Answer {
        let file = &self.legs[leg];
        self.syncs[leg].sync(file).await?;
        if self.is_alone() { self.latch.sync(file).await } else { Ok(()) }
    }

    async fn copy(&self, from: usize, to: usize, range: Range<u64>) -> Answer {
        let (from, to, start) = (&self.legs[from], &self.legs[to], u64::from(self.sector));
        let mut offset = range.start;
        while offset < range.end {
            let length = COPY.min(range.end - offset);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            read_full(from, &mut bytes, start + offset).await?;
            write_full(to, &bytes, start + offset).await?;
            offset += length;
        }
        Ok(())
    }

    /// Makes both legs equal. What looks equal is copied too: after a failed sync it may not be
    /// durable.
    async fn resync(&self) -> Answer {
        let lengths = [self.legs[0].len().await?, self.legs[1].len().await?];
        let end = lengths[0].max(lengths[1]).saturating_sub(self.sector.into());
        let (from, to) = match (self.right(), self.bug) {
            (right, Some(Bug::ResyncBackwards)) => (1 - right, right),
            (right, _) => (right, 1 - right),
        };
        self.copy(from, to, 0..end).await?;
        let Header { generation, good } = self.state().header;
        if good != [true; 2] {
            retry(|| self.legs[to].sync_data()).await?;
            let header = Header { generation: generation + 1, good: [true; 2] };
            for file in &self.legs {
                write_full(file, &header.encode(self.sector), 0).await?;
                retry(|| file.sync_data()).await?;
            }
            self.state().header = header;
        }
        Ok(())
    }

    /// Makes the legs equal where a write was dropped; none is under way.
    async fn repair(&self) -> Answer {
        let unequal = self.state().unequal.clone();
        for range in unequal {
            if !self.is_alone() {
                self.copy(0, 1, range).await?;
            }
        }
        self.state().unequal.clear();
        Ok(())
    }
}

impl Store for Mirror {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let range = offset..offset + data.len() as u64;
        let (first, writes) = {
            let State { next, writes, .. } = &mut *self.state();
            (std::mem::replace(next, 1 - *next), *writes)
        };
        // What a write that was dropped has left on one leg only may be repaired by now.
        let careless = self.bug == Some(Bug::ReadsBetweenLegs);
        let is_sure = |leg| careless || leg == self.right() || self.state().writes == writes;
        let mut answer = Err(DeviceError::UnexpectedEof);
        for leg in [first, 1 - first, first] {
            if !self.may_read(leg, &range) {
                continue;
            }
            let read = read_full(&self.legs[leg], data, u64::from(self.sector) + offset).await;
            match read {
                // A write may have begun meanwhile, and reached this leg only.
                Ok(()) if self.may_read(leg, &range) && is_sure(leg) => return Ok(()),
                Ok(()) => {}
                failed => answer = failed,
            }
        }
        answer
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let _turn = self.turn.lock().await;
        self.latch.check()?;
        self.record().await?;
        let range = offset..offset + data.len() as u64;
        {
            let State { unequal, writes, .. } = &mut *self.state();
            unequal.push(range.clone());
            *writes += 1;
        }
        for leg in [1, 0] {
            if !self.is_good(leg) {
                continue;
            }
            let written = write_full(&self.legs[leg], data, u64::from(self.sector) + offset).await;
            let ignored = leg == 1 && self.bug == Some(Bug::StaleLegRead);
            if written.is_err() && !ignored && !self.kick(leg) {
                return written;
            }
        }
        self.record().await?;
        let State { unequal, .. } = &mut *self.state();
        if let Some(at) = unequal.iter().position(|it| *it == range) {
            unequal.swap_remove(at);
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let _turn = self.turn.lock().await;
        self.latch.check()?;
        self.record().await?;
        self.repair().await?;
        for leg in [0, 1] {
            let forgotten = leg == 0 && self.bug == Some(Bug::FlushOneLeg);
            if forgotten || !self.is_good(leg) {
                continue;
            }
            let synced = self.sync(leg).await;
            if synced.is_err() && !self.kick(leg) {
                return synced;
            }
        }
        self.record().await
    }
}
