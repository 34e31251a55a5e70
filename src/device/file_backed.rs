//! The real device: blocks kept in a file.

use super::in_flight::{InFlight, Request};
use super::{
    BufferAllocator, BufferFuture, BufferRef, Device, DeviceError, Geometry, MutableBufferRef,
    SyncLatch, TrimMode, WriteOptions, ZeroOptions, defaults,
};
use crate::file::BackingFile;
use clear::Lacks;
use opening::Shape;
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io;
use std::iter;
use std::ops::Range;
use std::slice;
use std::sync::{Arc, OnceLock};

mod clear;
mod opening;
mod transfer;

/// "Invalid argument" of Linux: a file of which no hole can be asked for.
const EINVAL: i32 = 22;

/// A [`Device`] whose blocks lie in a file, block *n* at byte *n* × block size.
///
/// Reads and writes are positional and take no lock, so that requests run side by side. Flush and
/// barrier are `fdatasync(2)`. Dropping the device without [`close`](Device::close) is a crash as
/// far as its promises go: what was not flushed may be lost with the machine, though not with the
/// process.
///
/// See [`Device`] for an example, and [`FileBackedDevice::open`] for files by name.
pub struct FileBackedDevice<F: BackingFile = File> {
    file: Arc<F>,
    shape: Shape,
    /// What transfers and their memory are aligned to, in bytes; 1 without direct I/O.
    alignment: u32,
    read_only: bool,
    trim: TrimMode,
    /// Every write is one with FUA.
    write_through: bool,
    /// What the file system has said that it cannot do.
    lacks: Lacks,
    /// The file may end before the device does, which then reads as zeros.
    may_end_early: bool,
    buffers: BufferAllocator,
    /// The requests that close waits for, and whether the device is closed.
    in_flight: InFlight,
    /// The sync that every close waits for, from the first one on that found no request in flight.
    /// So no close makes a sync after another has returned, and one that was dropped is made good.
    closing_sync: OnceLock<u64>,
    syncs: SyncLatch,
}

impl<F: BackingFile> FileBackedDevice<F> {
    /// The file beneath the device.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// Gives the file back. Nothing is flushed.
    pub fn into_file(self) -> F {
        let Self { file, syncs, .. } = self;
        // A sync that nobody waits for any more has the file in hand as well.
        drop(syncs);
        Arc::into_inner(file).unwrap_or_else(|| unreachable!("the device has given it to nobody"))
    }

    /// Begins a request that changes the `length` bytes at `offset`, if it may go ahead.
    #[inline]
    fn begin_change(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<(Request<'_>, Range<u64>), DeviceError> {
        let request = self.in_flight.begin()?;
        let range = self.shape.geometry().check(offset, length)?;
        if self.read_only {
            return Err(DeviceError::ReadOnly);
        }
        self.shape.check()?;
        self.syncs.check()?;
        Ok((request, range))
    }

    /// Ends a request that has changed this range: durably, if that was asked for.
    #[inline]
    async fn end_change(&self, range: &Range<u64>, fua: bool) -> Result<(), DeviceError> {
        if (fua || self.write_through) && !range.is_empty() {
            self.sync().await?;
        }
        Ok(())
    }

    /// One sync of the file. It keeps the file alive, as it may outlive the request.
    fn sync_file(&self) -> impl Future<Output = io::Result<()>> + Send + use<F> {
        let file = Arc::clone(&self.file);
        async move { F::sync_data(&file).await }
    }

    async fn sync(&self) -> Result<(), DeviceError> {
        self.syncs.share(|| self.sync_file()).await
    }
}

impl<F: BackingFile> Device for FileBackedDevice<F> {
    fn geometry(&self) -> Geometry {
        self.shape.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.buffers.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        let _request = self.in_flight.begin()?;
        let length = buffer.len();
        let range = self.shape.geometry().check(offset, length as u64)?;
        if length == 0 || !self.takes(iter::once(buffer.as_slice())) {
            return self.read_aligned(range.start, slice::from_mut(&mut buffer)).await;
        }
        // Nearly always one call is all. It is made here, as each future inside a future costs some
        // forty instructions.
        match self.file.read_at(buffer.as_mut_slice(), range.start).await {
            Ok(count) if count == length => Ok(()),
            answer => {
                let buffers = slice::from_mut(&mut buffer);
                self.read_on(range.start, buffers, length, answer).await
            }
        }
    }

    async fn read_vectored(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
    ) -> Result<(), DeviceError> {
        let _request = self.in_flight.begin()?;
        let length: usize = buffers.iter().map(MutableBufferRef::len).sum();
        let range = self.shape.geometry().check(offset, length as u64)?;
        self.read_aligned(range.start, buffers).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let length = buffer.len();
        let (_request, range) = self.begin_change(offset, length as u64)?;
        if length == 0 || !self.takes(iter::once(buffer.as_slice())) {
            self.write_aligned(range.start, slice::from_ref(&buffer)).await?;
        } else {
            // As in `read`.
            match self.file.write_at(buffer.as_slice(), range.start).await {
                Ok(count) if count == length => {}
                answer => {
                    let data = slice::from_ref(&buffer);
                    self.write_on(range.start, data, length, answer).await?;
                }
            }
        }
        self.end_change(&range, options.fua).await
    }

    async fn write_vectored(
        &self,
        offset: u64,
        buffers: &[BufferRef<'_>],
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let length: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let (_request, range) = self.begin_change(offset, length as u64)?;
        self.write_aligned(range.start, buffers).await?;
        self.end_change(&range, options.fua).await
    }

    async fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        options: ZeroOptions,
    ) -> Result<(), DeviceError> {
        let (_request, range) = self.begin_change(offset, length)?;
        if !range.is_empty() {
            self.zero(range.clone(), options.may_unmap).await?;
        }
        self.end_change(&range, options.fua).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let _request = self.in_flight.begin()?;
        self.sync().await
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        let _request = self.in_flight.begin()?;
        self.sync().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let (_request, range) = self.begin_change(offset, length)?;
        self.trim_range(range.clone()).await?;
        self.end_change(&range, false).await
    }

    async fn trim_fua(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let (_request, range) = self.begin_change(offset, length)?;
        self.trim_range(range.clone()).await?;
        self.end_change(&range, true).await
    }

    async fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, DeviceError> {
        let _request = self.in_flight.begin()?;
        let Some(all) = defaults::next_data(self.shape.geometry(), offset)? else {
            return Ok(None);
        };
        let found = loop {
            match self.file.next_data(all.start).await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A file system without holes, or without a way to tell.
                Err(error) if error.raw_os_error() == Some(EINVAL) => break Some(all.clone()),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    break Some(all.clone());
                }
                found => break found?,
            }
        };
        let block = u64::from(self.shape.geometry().block_size());
        let whole = |data: Range<u64>| {
            let start = (data.start - data.start % block).max(all.start);
            start..data.end.checked_next_multiple_of(block).unwrap_or(all.end).min(all.end)
        };
        Ok(found.map(whole).filter(|data| !data.is_empty()))
    }

    async fn drain(&self) -> Result<(), DeviceError> {
        self.in_flight.drain()?.await;
        self.file.settle().await;
        Ok(())
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.in_flight.close().await;
        let sync = *self.closing_sync.get_or_init(|| self.syncs.next());
        let answer = self.syncs.share_from(sync, || self.sync_file()).await;
        // Reads that were dropped may go on by themselves, and where the sync was not made, so may
        // writes.
        self.file.settle().await;
        answer
    }
}

impl<F: BackingFile> fmt::Debug for FileBackedDevice<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBackedDevice")
            .field("geometry", &self.shape.geometry())
            .field("read_only", &self.read_only)
            .field("trim", &self.trim)
            .field("closed", &self.in_flight.is_closed())
            .field("sync_failed", &self.syncs.has_failed())
            .finish_non_exhaustive()
    }
}
