//! Bugs in what a device keeps about itself between two openings.

use super::memory::Memory;
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{BufferRef, Device, DynDevice, MutableBufferRef, WriteOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    WrittenAtCloseOnly,
    OneFlushLate,
}

/// A device with a header that says how much of it is in use. The rest reads as zeros.
pub(super) struct Headers {
    inner: DynDevice,
    bug: Bug,
    memory: Arc<Memory>,
    used: AtomicU64,
    /// What the flush before this one saw.
    seen: AtomicU64,
}

impl Headers {
    pub(super) fn new(inner: DynDevice, bug: Bug, memory: Arc<Memory>) -> Self {
        let used = memory.header.load(Ordering::Relaxed);
        Self { inner, bug, memory, used: AtomicU64::new(used), seen: AtomicU64::new(used) }
    }

    fn write_header(&self, used: u64) {
        self.memory.header.store(used, Ordering::Relaxed);
    }
}

impl Wrapper for Headers {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Answer {
        self.inner.read(offset, buffer.reborrow()).await?;
        let left = self.used.load(Ordering::Relaxed).saturating_sub(offset);
        let left = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        buffer.as_mut_slice()[left..].fill(0);
        Ok(())
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let range = self.admit_change(offset, buffer.len() as u64).await?;
        self.used.fetch_max(range.end, Ordering::Relaxed);
        self.inner.write(offset, buffer, options).await?;
        if options.fua {
            self.write_header(self.used.load(Ordering::Relaxed));
        }
        Ok(())
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let range = self.admit_change(offset, length).await?;
        self.used.fetch_max(range.end, Ordering::Relaxed);
        self.inner.trim(offset, length).await
    }

    async fn flush(&self) -> Answer {
        self.inner.flush().await?;
        let used = self.used.load(Ordering::Relaxed);
        let before = self.seen.swap(used, Ordering::Relaxed);
        if self.bug == Bug::OneFlushLate {
            self.write_header(before);
        }
        Ok(())
    }

    async fn barrier(&self) -> Answer {
        self.flush().await
    }

    async fn close(&self) -> Answer {
        self.inner.close().await?;
        self.write_header(self.used.load(Ordering::Relaxed));
        Ok(())
    }
}
