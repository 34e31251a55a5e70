//! How a device is opened, and how a write is made.

use super::BufferAllocator;

/// What one write asks for beyond being written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// *Force unit access*: when the write returns `Ok`, it is durable.
    pub fua: bool,
}

impl WriteOptions {
    /// Durable when it returns `Ok`.
    pub const FUA: Self = Self { fua: true };
}

/// What one request to write zeros asks for beyond zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZeroOptions {
    /// *Force unit access*: when it returns `Ok`, it is durable.
    pub fua: bool,
    /// The space of the range may be given back to the file system, as by a trim that leaves zeros.
    pub may_unmap: bool,
}

/// What a trim does to the backing file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrimMode {
    /// Overwrites the range with `0xab`, so that whoever reads what it has trimmed notices. The
    /// simulation's default. A sparse file grows by it to its full size.
    Scribble,
    /// Punches a hole, which gives the space back to the file system, or to the device beneath a
    /// block special file. Where that is not supported, nothing, from then on.
    #[default]
    PunchHole,
    /// Nothing, after the checks.
    Ignore,
}

/// What becomes of a file whose end is inside a block, where the device is as large as its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OddEnd {
    /// It is refused.
    #[default]
    Refuse,
    /// The device ends before that block.
    RoundDown,
    /// The device ends behind that block, of which the file has no more than the start. What is
    /// missing reads as zeros, and a write of the block makes the file as long.
    RoundUp,
}

/// How a [`FileBackedDevice`](super::FileBackedDevice) is opened.
///
/// ```
/// use blocktwin::device::{DeviceOptions, TrimMode};
///
/// let options = DeviceOptions::new(4096).trim(TrimMode::Ignore).transfer_heap(1 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    pub(super) sector_size: u32,
    pub(super) block_size: u32,
    pub(super) block_count: Option<u64>,
    pub(super) read_only: bool,
    pub(super) trim: TrimMode,
    pub(super) write_through: bool,
    pub(super) direct: bool,
    pub(super) odd_end: OddEnd,
    pub(super) heap: Heap,
}

/// Where transfer buffers come from.
#[derive(Clone, Debug)]
pub(super) enum Heap {
    /// The device's own, of that many bytes.
    Own(usize),
    /// One that outlives the device.
    Shared(BufferAllocator),
}

impl DeviceOptions {
    /// The transfer heap's default size: 32 MiB.
    pub const DEFAULT_TRANSFER_HEAP: usize = 32 << 20;

    /// A writable device in blocks of `block_size` bytes as large as its file, in 512-byte sectors,
    /// that punches holes where it is trimmed and has a transfer heap of 32 MiB.
    pub fn new(block_size: u32) -> Self {
        Self {
            sector_size: 512,
            block_size,
            block_count: None,
            read_only: false,
            trim: TrimMode::default(),
            write_through: false,
            direct: false,
            odd_end: OddEnd::default(),
            heap: Heap::Own(Self::DEFAULT_TRANSFER_HEAP),
        }
    }

    /// The size of a sector in bytes: what the medium beneath the file writes as a whole. It is
    /// more where a block special file that is opened by name has larger ones.
    #[must_use]
    pub fn sector_size(mut self, sector_size: u32) -> Self {
        self.sector_size = sector_size;
        self
    }

    /// The size of the device in blocks, instead of the size of the file. What the file lacks reads
    /// as zeros.
    #[must_use]
    pub fn block_count(mut self, block_count: u64) -> Self {
        self.block_count = Some(block_count);
        self
    }

    /// Refuses writes and trims, and shares the lock on the file with other readers.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// What a trim does.
    #[must_use]
    pub fn trim(mut self, trim: TrimMode) -> Self {
        self.trim = trim;
        self
    }

    /// Every write, trim and writing of zeros is durable when it returns, as if with FUA: a write
    /// cache that writes through. The default is a write-back cache, which a flush empties.
    #[must_use]
    pub fn write_through(mut self, write_through: bool) -> Self {
        self.write_through = write_through;
        self
    }

    /// A file that is opened by name is opened for direct I/O (`O_DIRECT`), past the page cache.
    /// What it has to be aligned to it says itself; the block size has to be a multiple. Buffers of
    /// the device's heap are aligned, and other memory is copied.
    #[must_use]
    pub fn direct(mut self, direct: bool) -> Self {
        self.direct = direct;
        self
    }

    /// What becomes of a file whose end is inside a block.
    #[must_use]
    pub fn odd_end(mut self, odd_end: OddEnd) -> Self {
        self.odd_end = odd_end;
        self
    }

    /// The size of the device's own transfer heap, in bytes, rounded up to whole blocks.
    #[must_use]
    pub fn transfer_heap(mut self, bytes: usize) -> Self {
        self.heap = Heap::Own(bytes);
        self
    }

    /// A transfer heap that several devices share, or that outlives this one.
    #[must_use]
    pub fn allocator(mut self, allocator: BufferAllocator) -> Self {
        self.heap = Heap::Shared(allocator);
        self
    }
}
