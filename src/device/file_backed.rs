//! The real device: blocks kept in a file.

use super::in_flight::{InFlight, Request};
use super::options::Heap;
use super::{
    BufferAllocator, BufferFuture, BufferRef, BufferSource, Device, DeviceError, DeviceOptions,
    Geometry, MutableBufferRef, SyncLatch, TrimMode, WriteOptions,
};
use crate::file::BackingFile;
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What [`TrimMode::Scribble`] writes: a page of a byte that is no likely content.
static SCRIBBLE: [u8; 64 << 10] = [0xab; 64 << 10];

/// How often in a row a write may stop inside the same sector, or be told to try again (`EAGAIN`).
/// A signal or a full disk does it once; a limit inside the sector (`RLIMIT_FSIZE`) for ever.
const STUCK_LIMIT: u32 = 16;

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
    geometry: Geometry,
    read_only: bool,
    trim: TrimMode,
    /// The file system cannot punch holes: trims are dropped, as they are hints.
    cannot_punch: AtomicBool,
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

impl FileBackedDevice<File> {
    /// Opens the file or block special file at `path`, and locks it against other openers:
    /// exclusively, or shared where read-only.
    ///
    /// ```no_run
    /// use blocktwin::device::{DeviceOptions, FileBackedDevice};
    ///
    /// let device = FileBackedDevice::open("disk.img", DeviceOptions::new(4096))?;
    /// # Ok::<(), blocktwin::device::DeviceError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DeviceError::Io`] where `path` cannot be opened or is neither a file nor a block special
    /// file, [`DeviceError::Locked`] where another opener holds it, [`DeviceError::Geometry`] where
    /// its size does not fit.
    pub fn open(
        path: impl AsRef<std::path::Path>,
        options: DeviceOptions,
    ) -> Result<Self, DeviceError> {
        Self::open_with(path, options, Ok)
    }
}

impl<F: BackingFile> FileBackedDevice<F> {
    /// As [`open`](FileBackedDevice::open), with a file that `make` makes of the opened one: one
    /// whose calls are made by a thread pool, for example.
    ///
    /// # Errors
    ///
    /// As `open`, and what `make` answers.
    pub fn open_with(
        path: impl AsRef<std::path::Path>,
        options: DeviceOptions,
        make: impl FnOnce(File) -> io::Result<F>,
    ) -> Result<Self, DeviceError> {
        let file = super::open::lock_file(path.as_ref(), options.read_only)?;
        let length = crate::file::system::length(&file)?;
        Self::build(make(file)?, options, length)
    }

    /// A device as large as `file`, in blocks of `block_size` bytes.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Io`] where the length of the file cannot be had, [`DeviceError::Geometry`]
    /// where it is not a whole number of blocks.
    pub async fn new(file: F, block_size: u32) -> Result<Self, DeviceError> {
        Self::with_options(file, DeviceOptions::new(block_size)).await
    }

    /// A device of `block_count` blocks of `block_size` bytes, whether `file` is as long or not.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Geometry`] where there can be no such device.
    pub fn new_with_block_count(
        file: F,
        block_size: u32,
        block_count: u64,
    ) -> Result<Self, DeviceError> {
        // With the size given, the length of the file is of no interest.
        Self::build(file, DeviceOptions::new(block_size).block_count(block_count), 0)
    }

    /// A device over `file`, as `options` say. Takes no lock.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub async fn with_options(file: F, options: DeviceOptions) -> Result<Self, DeviceError> {
        let length = loop {
            match file.len().await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                length => break length?,
            }
        };
        Self::build(file, options, length)
    }

    fn build(file: F, options: DeviceOptions, file_length: u64) -> Result<Self, DeviceError> {
        let (sector_size, block_size) = (options.sector_size, options.block_size);
        let geometry = match options.block_count {
            Some(block_count) => Geometry::new(sector_size, block_size, block_count)?,
            None => Geometry::of_file(sector_size, block_size, file_length)?,
        };
        let buffers = match options.heap {
            Heap::Shared(allocator) => allocator,
            Heap::Own(bytes) => {
                let block_size = block_size as usize;
                let source = BufferSource::new(bytes.next_multiple_of(block_size).max(block_size));
                BufferAllocator::new(block_size, source)
            }
        };
        Ok(Self {
            file: Arc::new(file),
            geometry,
            read_only: options.read_only,
            trim: options.trim,
            cannot_punch: AtomicBool::new(false),
            may_end_early: options.block_count.is_some(),
            buffers,
            in_flight: InFlight::default(),
            closing_sync: OnceLock::new(),
            syncs: SyncLatch::default(),
        })
    }

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
        let range = self.geometry.check(offset, length)?;
        if self.read_only {
            return Err(DeviceError::ReadOnly);
        }
        self.syncs.check()?;
        Ok((request, range))
    }

    /// One sync of the file. It keeps the file alive, as it may outlive the request.
    fn sync_file(&self) -> impl Future<Output = io::Result<()>> + Send + use<F> {
        let file = Arc::clone(&self.file);
        async move { F::sync_data(&file).await }
    }

    async fn sync(&self) -> Result<(), DeviceError> {
        self.syncs.share(|| self.sync_file()).await
    }

    /// Fills `buffer` from `offset` on.
    async fn read_all(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            match self.file.read_at(rest, offset + done as u64).await {
                Ok(0) => return self.end_early(rest),
                Ok(count) => done += counted(count, rest.len())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What is past the end of the file is zero, or an error where the file was to be whole.
    fn end_early(&self, rest: &mut [u8]) -> Result<(), DeviceError> {
        if !self.may_end_early {
            return Err(DeviceError::UnexpectedEof);
        }
        rest.fill(0);
        Ok(())
    }

    /// Writes all of `data` at `offset`. A write that stopped inside a sector begins that sector
    /// anew: a neighbour may have written the sector in between, and the rest alone would mix.
    async fn write_all(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let sector = self.geometry.sector_size() as usize;
        let (mut done, mut cut, mut stuck) = (0, false, 0);
        let failure = loop {
            if done == data.len() {
                return Ok(());
            }
            let end = match self.file.write_at(&data[done..], offset + done as u64).await {
                Ok(0) => break DeviceError::WriteZero,
                Ok(count) => done + counted(count, data.len() - done)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && stuck < STUCK_LIMIT => {
                    stuck += 1;
                    continue;
                }
                Err(error) => break error.into(),
            };
            let whole = end - end % sector;
            cut = whole < end;
            if whole > done {
                (done, stuck) = (whole, 0);
                continue;
            }
            stuck += 1;
            if stuck > STUCK_LIMIT {
                break self.refusal(offset + end as u64, &data[end..]).await;
            }
        };
        if cut {
            self.finish_sector(offset + done as u64, &data[done..done + sector]).await;
        }
        Err(failure)
    }

    /// Why the kernel stops at `offset`, inside a sector, again and again. Only a call that begins
    /// there tells. What it may write can mix with nobody's: whoever writes the sector is stopped.
    async fn refusal(&self, offset: u64, data: &[u8]) -> DeviceError {
        match self.file.write_at(data, offset).await {
            Ok(_) => DeviceError::WriteZero,
            Err(error) => error.into(),
        }
    }

    /// Tries once more to write the sector that the kernel left torn, before its write fails. The
    /// error may have been about the sectors behind it. The write fails all the same, with the
    /// error that stopped it.
    async fn finish_sector(&self, offset: u64, data: &[u8]) {
        for _ in 0..STUCK_LIMIT {
            match self.file.write_at(data, offset).await {
                Ok(0) => return,
                Ok(count) if count >= data.len() => return,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
        }
    }

    async fn scribble(&self, range: Range<u64>) -> Result<(), DeviceError> {
        let mut offset = range.start;
        while offset < range.end {
            let length = (range.end - offset).min(SCRIBBLE.len() as u64);
            let Ok(count) = usize::try_from(length) else { unreachable!("at most 64 KiB") };
            self.write_all(offset, &SCRIBBLE[..count]).await?;
            offset += length;
        }
        Ok(())
    }

    async fn punch(&self, range: Range<u64>) -> Result<(), DeviceError> {
        while !self.cannot_punch.load(Ordering::Relaxed) {
            match self.file.punch_hole(range.start, range.end - range.start).await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.cannot_punch.store(true, Ordering::Relaxed);
                }
                done => return Ok(done?),
            }
        }
        Ok(())
    }
}

/// A count of transferred bytes, if it can be one.
fn counted(count: usize, asked: usize) -> Result<usize, DeviceError> {
    if count > asked {
        return Err(io::Error::from(io::ErrorKind::InvalidData).into());
    }
    Ok(count)
}

impl<F: BackingFile> Device for FileBackedDevice<F> {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.buffers.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        let _request = self.in_flight.begin()?;
        let range = self.geometry.check(offset, buffer.len() as u64)?;
        self.read_all(range.start, buffer.as_mut_slice()).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let (_request, range) = self.begin_change(offset, buffer.len() as u64)?;
        self.write_all(range.start, buffer.as_slice()).await?;
        if options.fua && !range.is_empty() {
            self.sync().await?;
        }
        Ok(())
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
        if range.is_empty() {
            return Ok(());
        }
        match self.trim {
            TrimMode::Scribble => self.scribble(range).await,
            TrimMode::PunchHole => self.punch(range).await,
            TrimMode::Ignore => Ok(()),
        }
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
            .field("geometry", &self.geometry)
            .field("read_only", &self.read_only)
            .field("trim", &self.trim)
            .field("closed", &self.in_flight.is_closed())
            .field("sync_failed", &self.syncs.has_failed())
            .finish_non_exhaustive()
    }
}
