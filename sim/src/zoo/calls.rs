//! Bugs in how a device makes its calls: the real device, over a file that is called wrongly.

use super::memory::Memory;
use blocktwin::disk::SimFile;
use blocktwin::exec::yield_now;
use blocktwin::file::BackingFile;
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    SyncNoOp,
    SyncOfOldHandle,
    SyncErrorSwallowed,
    SyncRetried,
    SyncNoOpAfterTwoCrashes,
    SyncOfOwnWritesOnly,
    SyncNoSpaceRetried,
    AgainIsDone,
    PunchErrnoLost,
    EintrSurfacedBySync,
    EintrSurfacedByRead,
    EintrSurfacedByWrite,
    EintrEndsRead,
    EintrEndsWrite,
    EintrEndsSync,
    EintrAdvancesWrite,
    ShortReadIgnored,
    ShortReadIsEndOfFile,
    ShortWriteIgnored,
    ShortWriteRoundedUp,
    ReadErrorSwallowed,
    ReadErrorRetried,
    WriteErrorSwallowed,
    WriteErrnoLost,
    WriteZeroRetried,
    NoSpaceRetried,
    PunchErrorSwallowed,
    /// Offsets lose their bits from this one on.
    OffsetBits(u32),
    SharedCursor,
    WordReversed,
    CopyOffByOne,
    SectorsSwapped,
    /// No bug: no call writes more than a sector.
    SectorPieces,
}

pub(super) struct Calls {
    file: SimFile,
    bug: Option<Bug>,
    sector: usize,
    memory: Arc<Memory>,
    /// Where the next transfer happens, for a file with a cursor.
    cursor: AtomicU64,
    /// The call before went wrong.
    tripped: AtomicBool,
    /// This opening has changed the file.
    changed: AtomicBool,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn is_eintr(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Interrupted
}

impl Calls {
    pub(super) fn new(
        file: SimFile,
        bug: Option<Bug>,
        sector_size: u32,
        memory: Arc<Memory>,
    ) -> Self {
        let (cursor, sector) = (AtomicU64::new(0), sector_size as usize);
        let (tripped, changed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { file, bug, sector, memory, cursor, tripped, changed }
    }

    /// Where a call really goes.
    async fn place(&self, offset: u64) -> u64 {
        match self.bug {
            Some(Bug::OffsetBits(bits)) => offset & ((1 << bits) - 1),
            Some(Bug::SharedCursor) => {
                // As lseek(2) and read(2) do, which are two calls.
                self.cursor.store(offset, Ordering::Relaxed);
                yield_now().await;
                self.cursor.load(Ordering::Relaxed)
            }
            Some(Bug::EintrAdvancesWrite) if self.tripped.swap(false, Ordering::Relaxed) => {
                offset + self.sector as u64
            }
            _ => offset,
        }
    }

    /// What a call really writes.
    fn garble<'a>(&self, data: &'a [u8]) -> Cow<'a, [u8]> {
        let sectors = data.len() / self.sector;
        match self.bug {
            Some(Bug::WordReversed) if sectors == 2 => {
                let mut data = data.to_vec();
                data[self.sector..self.sector + 8].reverse();
                data.into()
            }
            Some(Bug::CopyOffByOne) if sectors > 1 => {
                let mut data = data.to_vec();
                data[self.sector..].rotate_left(1);
                data.into()
            }
            Some(Bug::SectorsSwapped) if sectors == 4 => {
                let mut data = data.to_vec();
                data[self.sector..3 * self.sector].rotate_left(self.sector);
                data.into()
            }
            Some(Bug::SectorPieces) => data[..data.len().min(self.sector)].into(),
            _ => data.into(),
        }
    }

    fn after_read(&self, buffer: &mut [u8], done: io::Result<usize>) -> io::Result<usize> {
        let Some(bug) = self.bug else { return done };
        match (bug, done) {
            (Bug::ShortReadIgnored, Ok(1..)) => Ok(buffer.len()),
            (Bug::ShortReadIsEndOfFile, Ok(count)) => {
                buffer[count..].fill(0);
                Ok(buffer.len())
            }
            (Bug::EintrSurfacedByRead, Err(error)) if is_eintr(&error) => Err(eio()),
            (Bug::EintrEndsRead, Err(error)) if is_eintr(&error) => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            (Bug::ReadErrorSwallowed, Err(error)) if !is_eintr(&error) => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            (Bug::ReadErrorRetried, Err(_)) => Err(ErrorKind::Interrupted.into()),
            (_, done) => done,
        }
    }

    fn after_write(&self, length: usize, done: io::Result<usize>) -> io::Result<usize> {
        let Some(bug) = self.bug else { return done };
        match (bug, done) {
            (Bug::ShortWriteIgnored, Ok(1..)) => Ok(length),
            (Bug::ShortWriteRoundedUp, Ok(count)) => Ok(count.next_multiple_of(self.sector)),
            (Bug::WriteZeroRetried, Ok(0)) => Err(ErrorKind::Interrupted.into()),
            (Bug::EintrSurfacedByWrite, Err(error)) if is_eintr(&error) => Err(eio()),
            (Bug::EintrEndsWrite, Err(error)) if is_eintr(&error) => Ok(length),
            (Bug::AgainIsDone, Err(error)) if error.kind() == ErrorKind::WouldBlock => Ok(length),
            (Bug::EintrAdvancesWrite, Err(error)) if is_eintr(&error) => {
                self.tripped.store(true, Ordering::Relaxed);
                Err(error)
            }
            (Bug::NoSpaceRetried, Err(error)) if error.kind() == ErrorKind::StorageFull => {
                Err(ErrorKind::Interrupted.into())
            }
            (Bug::WriteErrorSwallowed, Err(error)) if !is_eintr(&error) => Ok(length),
            (Bug::WriteErrnoLost, Err(error)) if !is_eintr(&error) => Err(eio()),
            (Bug::SyncOfOldHandle, Err(error)) if !is_eintr(&error) => {
                self.tripped.store(true, Ordering::Relaxed);
                Err(error)
            }
            (_, done) => done,
        }
    }

    /// Whether a sync reaches another file, or none.
    fn misses_sync(&self) -> bool {
        match self.bug {
            Some(Bug::SyncNoOp) => true,
            // The file was opened anew after the failure, and the old handle is still what is
            // synced.
            Some(Bug::SyncOfOldHandle) => self.tripped.load(Ordering::Relaxed),
            Some(Bug::SyncNoOpAfterTwoCrashes) => self.memory.crashes() >= 2,
            // What a process before has left unsynced is forgotten.
            Some(Bug::SyncOfOwnWritesOnly) => !self.changed.load(Ordering::Relaxed),
            _ => false,
        }
    }
}

impl BackingFile for Calls {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let done = match self.bug {
            // Only writes are advanced.
            Some(Bug::EintrAdvancesWrite) => self.file.read_at(buffer, offset).await,
            _ => self.file.read_at(buffer, self.place(offset).await).await,
        };
        self.after_read(buffer, done)
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.changed.store(true, Ordering::Relaxed);
        let offset = self.place(offset).await;
        let done = self.file.write_at(&self.garble(buffer), offset).await;
        self.after_write(buffer.len(), done)
    }

    async fn sync_data(&self) -> io::Result<()> {
        if self.misses_sync() {
            return Ok(());
        }
        match (self.bug, self.file.sync_data().await) {
            (Some(Bug::SyncErrorSwallowed), Err(error)) if !is_eintr(&error) => Ok(()),
            (Some(Bug::SyncRetried), Err(error)) if !is_eintr(&error) => {
                self.file.sync_data().await
            }
            // Somebody will make space: as if it were a write.
            (Some(Bug::SyncNoSpaceRetried), Err(error))
                if error.kind() == ErrorKind::StorageFull =>
            {
                self.file.sync_data().await
            }
            (Some(Bug::EintrSurfacedBySync), Err(error)) if is_eintr(&error) => Err(eio()),
            (Some(Bug::EintrEndsSync), Err(error)) if is_eintr(&error) => Ok(()),
            (_, done) => done,
        }
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.sync_data().await
    }

    async fn len(&self) -> io::Result<u64> {
        self.file.len().await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.changed.store(true, Ordering::Relaxed);
        let offset = self.place(offset).await;
        match (self.bug, self.file.punch_hole(offset, length).await) {
            (Some(Bug::PunchErrorSwallowed), Err(error)) if !is_eintr(&error) => Ok(()),
            (Some(Bug::PunchErrnoLost), Err(error)) if !is_eintr(&error) => Err(eio()),
            (_, done) => done,
        }
    }
}
