//! Mistakes in dealing with what the kernel answers.

use super::Mistake;
use blocktwin::disk::{Call, FaultKind, SimFile};
use blocktwin::file::BackingFile;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

/// A write that was suspended so often takes its time: a prompt one is suspended once.
const SLOW: u32 = 3;

/// A file as a device sees it that makes a mistake.
pub(crate) struct MistakenFile {
    file: SimFile,
    mistake: Mistake,
    /// The disk was full once.
    full: AtomicBool,
    /// The device has written something.
    wrote: AtomicBool,
}

/// Whether a call has failed as this kind of fault makes it.
fn failed_by<T>(result: &io::Result<T>, kind: FaultKind) -> bool {
    result.as_ref().is_err_and(|error| error.raw_os_error() == kind.errno())
}

fn failure(kind: FaultKind) -> io::Error {
    io::Error::from_raw_os_error(kind.errno().expect("a kind that fails calls"))
}

impl MistakenFile {
    pub(super) fn new(file: SimFile, mistake: Mistake) -> Self {
        let [full, wrote] = [(); 2].map(|()| AtomicBool::new(false));
        Self { file, mistake, full, wrote }
    }

    /// What the device takes an answer for; `done` is the answer of a call that did everything.
    fn take<T>(&self, call: Call, result: io::Result<T>, done: T) -> io::Result<T> {
        match self.mistake {
            Mistake::Renames(kind, other) if failed_by(&result, kind) => Err(failure(other)),
            Mistake::Swallows(of, kind) if of == call && failed_by(&result, kind) => Ok(done),
            _ => result,
        }
    }

    /// Whether the device writes again after this answer, as it takes it for one that passes.
    fn retries(&self, written: &io::Result<usize>, buffer: &[u8]) -> bool {
        match self.mistake {
            Mistake::WaitsForSpace => failed_by(written, FaultKind::Enospc),
            Mistake::RetriesEmptyWrites => {
                !buffer.is_empty() && written.as_ref().is_ok_and(|&count| count == 0)
            }
            _ => false,
        }
    }

    /// A write that takes its time, as an impatient device sees it.
    async fn impatient(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let mut write = pin!(self.file.write_at(buffer, offset));
        let mut suspended = 0;
        poll_fn(|context| {
            suspended += 1;
            match write.as_mut().poll(context) {
                Poll::Pending if suspended > SLOW => Poll::Ready(match self.mistake {
                    Mistake::AssumesSlowWritesDone => Ok(buffer.len()),
                    _ => Err(failure(FaultKind::Eio)),
                }),
                polled => polled,
            }
        })
        .await
    }
}

impl BackingFile for MistakenFile {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let asked = buffer.len();
        let read = self.file.read_at(buffer, offset).await;
        if read.is_err() {
            buffer.fill(0);
        }
        let read = self.take(Call::Read, read, asked)?;
        if self.mistake == Mistake::BelievesShortReads && read < asked {
            // The end of the file is no mistake.
            let left = self.file.len().await?.saturating_sub(offset);
            return Ok(usize::try_from(left).map_or(asked, |left| left.min(asked)));
        }
        Ok(read)
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        if self.full.load(Ordering::Relaxed) {
            return Err(failure(FaultKind::Enospc));
        }
        self.wrote.store(true, Ordering::Relaxed);
        let mut written = match self.mistake {
            Mistake::AssumesSlowWritesDone | Mistake::GivesUpSlowWrites => {
                self.impatient(buffer, offset).await
            }
            _ => self.file.write_at(buffer, offset).await,
        };
        while self.retries(&written, buffer) {
            written = self.file.write_at(buffer, offset).await;
        }
        if self.mistake == Mistake::StaysFull && failed_by(&written, FaultKind::Enospc) {
            self.full.store(true, Ordering::Relaxed);
        }
        let written = self.take(Call::Write, written, buffer.len())?;
        let believed = match self.mistake {
            Mistake::BelievesShortWrites => written > 0,
            Mistake::BelievesEmptyWrites => written == 0,
            _ => false,
        };
        Ok(if believed { buffer.len() } else { written })
    }

    async fn sync_data(&self) -> io::Result<()> {
        if self.mistake == Mistake::SyncsOwnWritesOnly && !self.wrote.load(Ordering::Relaxed) {
            return Ok(());
        }
        let synced = self.file.sync_data().await;
        if self.mistake == Mistake::SyncsAgain && synced.is_err() {
            return self.file.sync_data().await;
        }
        self.take(Call::Sync, synced, ())
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.sync_data().await
    }

    async fn len(&self) -> io::Result<u64> {
        let length = self.file.len().await;
        self.take(Call::Length, length, 0)
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        let set = self.file.set_len(length).await;
        self.take(Call::SetLength, set, ())
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.wrote.store(true, Ordering::Relaxed);
        let punched = self.file.punch_hole(offset, length).await;
        self.take(Call::Punch, punched, ())
    }
}
