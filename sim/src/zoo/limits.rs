//! Bugs at a number that small tests never reach: requests since the device was opened, bytes of
//! one transfer, or writes under way at once.

use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{BufferRef, Device, DynDevice, MutableBufferRef, WriteOptions};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A flush compares the number of the last write with that of the last write that was flushed.
    /// They are numbers of eight bits.
    SequenceWraps,
    /// A write is never made that is this one of all reads, writes and flushes since the device was
    /// opened.
    RequestLost(u32),
    /// No more than 1 MiB of a write is written.
    CutAtMebibyte,
    /// A write is never made that comes while [`SLOTS`] others are under way.
    QueueOfTwelve,
}

const MEBIBYTE: usize = 1 << 20;

/// Writes that a queue has room for.
const SLOTS: u32 = 12;

pub(super) struct Limits {
    inner: DynDevice,
    bug: Bug,
    /// Reads, writes and flushes so far.
    requests: AtomicU32,
    /// The number of the last write that has completed, and of the last that was flushed.
    written: AtomicU8,
    flushed: AtomicU8,
    /// Writes under way.
    queued: AtomicU32,
}

/// A write in the queue; its slot is free again when this is dropped.
struct Slot<'a>(&'a AtomicU32);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limits {
    pub(super) fn new(inner: DynDevice, bug: Bug) -> Self {
        let [written, flushed] = [0; 2].map(AtomicU8::new);
        let [requests, queued] = [0; 2].map(AtomicU32::new);
        Self { inner, bug, requests, written, flushed, queued }
    }

    /// Counts a request, and gives its number, from 1.
    fn count(&self) -> u32 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Wrapper for Limits {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Answer {
        self.count();
        self.inner.read(offset, buffer).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let (number, length) = (self.count(), buffer.len());
        let queued = self.queued.fetch_add(1, Ordering::Relaxed);
        let _slot = Slot(&self.queued);
        match self.bug {
            Bug::RequestLost(lost) if number == lost => {
                self.admit_change(offset, length as u64).await.map(drop)
            }
            Bug::QueueOfTwelve if queued >= SLOTS => {
                self.admit_change(offset, length as u64).await.map(drop)
            }
            Bug::CutAtMebibyte if length > MEBIBYTE => {
                self.admit_change(offset, length as u64).await?;
                self.inner.write(offset, buffer.split_at(MEBIBYTE).0, options).await
            }
            _ => {
                self.inner.write(offset, buffer, options).await?;
                self.written.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    async fn flush(&self) -> Answer {
        if self.bug != Bug::SequenceWraps {
            self.count();
            return self.inner.flush().await;
        }
        let written = self.written.load(Ordering::Relaxed);
        if written < self.flushed.load(Ordering::Relaxed) {
            return self.admit_change(0, 0).await.map(drop);
        }
        self.inner.flush().await?;
        self.flushed.store(written, Ordering::Relaxed);
        Ok(())
    }
}
