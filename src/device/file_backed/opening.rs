//! How a device comes to be, and how large it is.

use super::{FileBackedDevice, InFlight, Lacks, SyncLatch};
use crate::device::open::{self, Facts};
use crate::device::options::{Heap, OddEnd};
use crate::device::{
    BufferAllocator, BufferSource, DeviceError, DeviceOptions, Geometry, GeometryError, OpenError,
};
use crate::file::BackingFile;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The shape of a device, whose file may grow.
pub(super) struct Shape {
    geometry: Geometry,
    block_count: AtomicU64,
    /// What the end of the file does to the size; `None` if the size was given.
    by_file: Option<OddEnd>,
    /// The file was found to be shorter than the device that is as large.
    shrank: AtomicBool,
}

impl Shape {
    /// What `options` make of a file of which this is known.
    fn new(options: &DeviceOptions, facts: &Facts) -> Result<Self, GeometryError> {
        let (logical, physical) = facts.sectors.unwrap_or_default();
        let (sector_size, block_size) = (options.sector_size.max(logical), options.block_size);
        let geometry = match options.block_count {
            Some(block_count) => Geometry::new(sector_size, block_size, block_count)?,
            None => {
                let length = whole_blocks(facts.length, block_size, options.odd_end);
                Geometry::of_file(sector_size, block_size, length)?
            }
        };
        let alignment = facts.alignment;
        if !block_size.is_multiple_of(alignment) {
            return Err(GeometryError::Alignment { block_size, alignment });
        }
        if !facts.length.is_multiple_of(alignment.into()) {
            // Direct I/O can neither read nor write what is behind the last multiple.
            let file_length = facts.length;
            return Err(GeometryError::FileLength { file_length, block_size: alignment });
        }
        Ok(Self {
            geometry: geometry.with_physical_sectors(physical),
            block_count: AtomicU64::new(geometry.block_count()),
            by_file: options.block_count.is_none().then_some(options.odd_end),
            shrank: AtomicBool::new(false),
        })
    }

    #[inline]
    pub(super) fn geometry(&self) -> Geometry {
        self.geometry.with_block_count(self.block_count.load(Ordering::Relaxed))
    }

    /// Whether a change may go ahead: it would make a file that shrank as long as it was.
    #[inline]
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        match self.shrank.load(Ordering::Relaxed) {
            true => Err(DeviceError::UnexpectedEof),
            false => Ok(()),
        }
    }
}

/// The length of a file in whole blocks, as far as it is allowed to make it so.
fn whole_blocks(length: u64, block_size: u32, odd_end: OddEnd) -> u64 {
    let block = u64::from(block_size.max(1));
    match odd_end {
        OddEnd::Refuse => length,
        OddEnd::RoundDown => length - length % block,
        OddEnd::RoundUp => length.checked_next_multiple_of(block).unwrap_or(length),
    }
}

impl FileBackedDevice<File> {
    /// Opens the file or block special file at `path`, and locks it against other openers:
    /// exclusively, or shared where read-only. Other programs see the lock that look for either of
    /// the two that there are: `flock(2)`, as `flock(1)` does, and those of the open file
    /// description, as QEMU does.
    ///
    /// The size and the sectors of a block special file are asked of it.
    ///
    /// ```no_run
    /// use blocktwin::device::{DeviceOptions, FileBackedDevice};
    ///
    /// let device = FileBackedDevice::open("disk.img", DeviceOptions::new(4096))?;
    /// # Ok::<(), blocktwin::device::OpenError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// With the path: [`DeviceError::Io`] where it cannot be opened or is neither a file nor a
    /// block special file, [`DeviceError::Locked`] where another opener holds it,
    /// [`DeviceError::Geometry`] where its size, sectors or alignment do not fit.
    pub fn open(path: impl AsRef<Path>, options: DeviceOptions) -> Result<Self, OpenError> {
        Self::open_with(path, options, Ok)
    }

    /// As [`open`](Self::open), of a file that is open already, for reading and, unless read-only,
    /// for writing. It is locked, and stays as it was opened: whether for direct I/O is not asked
    /// of the options.
    ///
    /// # Errors
    ///
    /// As `open`, without the path.
    pub fn open_file(file: File, options: DeviceOptions) -> Result<Self, DeviceError> {
        open::lock(&file, options.read_only)?;
        let facts = Facts::of(&file)?;
        Self::build(file, options, &facts)
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
        path: impl AsRef<Path>,
        options: DeviceOptions,
        make: impl FnOnce(File) -> io::Result<F>,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let opened = open::open(path, &options).and_then(|file| {
            let facts = Facts::of(&file)?;
            Self::build(make(file)?, options, &facts)
        });
        opened.map_err(|error| OpenError::new(path, error))
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

    /// A device of `block_count` blocks of `block_size` bytes, whether `file` is as long or not. It
    /// may not be open for direct I/O.
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
        let facts = Facts { length: 0, alignment: 1, sectors: None };
        Self::build(file, DeviceOptions::new(block_size).block_count(block_count), &facts)
    }

    /// A device over `file`, as `options` say. Takes no lock.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub async fn with_options(file: F, options: DeviceOptions) -> Result<Self, DeviceError> {
        let length = length_of(&file).await?;
        let alignment = file.alignment().await?;
        Self::build(file, options, &Facts { length, alignment, sectors: None })
    }

    fn build(file: F, options: DeviceOptions, facts: &Facts) -> Result<Self, DeviceError> {
        let shape = Shape::new(&options, facts)?;
        let rounds_up = shape.by_file == Some(OddEnd::RoundUp);
        let (alignment, block_size) = (facts.alignment, options.block_size as usize);
        let buffers = match options.heap {
            Heap::Shared(allocator) => allocator,
            Heap::Own(bytes) => {
                let source = BufferSource::new(bytes.next_multiple_of(block_size).max(block_size));
                BufferAllocator::new(block_size, source)
            }
        };
        let heap = buffers.block_size();
        if !heap.is_multiple_of(alignment as usize) {
            return Err(GeometryError::HeapAlignment { heap, alignment }.into());
        }
        Ok(Self {
            file: Arc::new(file),
            shape,
            alignment,
            read_only: options.read_only,
            trim: options.trim,
            write_through: options.write_through,
            lacks: Lacks::default(),
            may_end_early: options.block_count.is_some() || rounds_up,
            buffers,
            in_flight: InFlight::default(),
            closing_sync: OnceLock::new(),
            syncs: SyncLatch::default(),
        })
    }

    /// Takes in what the file has grown by, where the device is as large as its file, and gives the
    /// shape that it has from now on. Call it when somebody has resized the file.
    ///
    /// # Errors
    ///
    /// [`DeviceError::UnexpectedEof`] where the file has become shorter: the device stays as it is
    /// and refuses every change, as a write would make the file as long as it was, until it is as
    /// long again and this is called again. What the file answered, or [`DeviceError::Closed`].
    pub async fn refresh(&self) -> Result<Geometry, DeviceError> {
        let _request = self.in_flight.begin()?;
        let Some(odd_end) = self.shape.by_file else { return Ok(self.shape.geometry()) };
        let length = length_of(&*self.file).await?;
        let now = self.shape.geometry();
        // A file that has grown by a part of a block is as large as before.
        let odd_end = if odd_end == OddEnd::Refuse { OddEnd::RoundDown } else { odd_end };
        let block_size = now.block_size();
        let count = whole_blocks(length, block_size, odd_end) / u64::from(block_size);
        let shrank = count < now.block_count();
        self.shape.shrank.store(shrank, Ordering::Relaxed);
        if shrank {
            return Err(DeviceError::UnexpectedEof);
        }
        let grown = Geometry::new(now.sector_size(), block_size, count)?;
        self.shape.block_count.store(grown.block_count(), Ordering::Relaxed);
        Ok(self.shape.geometry())
    }
}

/// The length of a file, whatever signals come.
async fn length_of<F: BackingFile>(file: &F) -> io::Result<u64> {
    loop {
        match file.len().await {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            length => return length,
        }
    }
}
