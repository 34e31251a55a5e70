//! Bugs of requests to write zeros.

use super::wrapper::Answer;
use blocktwin::device::{
    BufferFuture, BufferRef, Device, DynDevice, Geometry, MutableBufferRef, WriteOptions,
    ZeroOptions,
};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// The zeros are not durable when the request returns, whatever was asked for.
    FuaIgnored,
    /// What may be holes is trimmed.
    Trimmed,
    /// Only whole pages of 4096 bytes are cleared.
    PagesOnly,
    /// The last piece of a request that is longer than one is left as it was.
    TailLeft,
    /// A flush with nothing written before it makes no sync, and zeros are nothing written.
    LeavesClean,
}

/// The granularity of [`Bug::PagesOnly`] and of [`Bug::TailLeft`], in bytes.
const PAGE: u64 = 4096;

pub(super) struct Zeroes {
    inner: DynDevice,
    bug: Bug,
    /// Something was written since the last flush.
    dirty: AtomicBool,
}

impl Zeroes {
    pub(super) fn new(inner: DynDevice, bug: Bug) -> Self {
        // What a killed process has left is not durable.
        Self { inner, bug, dirty: AtomicBool::new(true) }
    }

    /// What is cleared of the `length` bytes at `offset`: offset and length.
    fn cleared(&self, offset: u64, length: u64) -> (u64, u64) {
        let end = offset.saturating_add(length);
        match self.bug {
            Bug::PagesOnly if length >= PAGE => {
                let start = offset.next_multiple_of(PAGE);
                (start, (end - end % PAGE).saturating_sub(start))
            }
            Bug::TailLeft if length > PAGE => (offset, length - length % PAGE),
            _ => (offset, length),
        }
    }
}

impl Device for Zeroes {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Answer {
        self.inner.read(offset, buffer).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        self.dirty.store(true, Ordering::Relaxed);
        self.inner.write(offset, buffer, options).await
    }

    async fn flush(&self) -> Answer {
        let dirty = self.dirty.swap(false, Ordering::Relaxed);
        if self.bug == Bug::LeavesClean && !dirty {
            return self.inner.write(0, [][..].into(), WriteOptions::default()).await;
        }
        self.inner.flush().await
    }

    async fn barrier(&self) -> Answer {
        self.inner.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.inner.trim(offset, length).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64, options: ZeroOptions) -> Answer {
        // The request is refused or taken as a whole.
        self.inner.write(0, [][..].into(), WriteOptions::default()).await?;
        self.inner.geometry().check(offset, length)?;
        if self.bug == Bug::Trimmed && options.may_unmap {
            self.inner.trim(offset, length).await?;
            return if options.fua { self.inner.flush().await } else { Ok(()) };
        }
        let fua = options.fua && self.bug != Bug::FuaIgnored;
        let (start, cleared) = self.cleared(offset, length);
        self.inner.write_zeroes(start, cleared, ZeroOptions { fua, ..options }).await
    }

    async fn close(&self) -> Answer {
        self.inner.close().await
    }
}
