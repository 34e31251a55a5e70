//! A device in memory, for tests of the code above one.

use crate::device::{
    BufferAllocator, BufferFuture, BufferRef, BufferSource, Device, DeviceError, Geometry,
    MutableBufferRef, WriteOptions,
};
use crate::rng::{Purpose, Rng};
use crate::sparse::Sparse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a chunk of the image.
const CHUNK: usize = 16 << 10;

/// Bytes of the transfer heap.
const HEAP: usize = 4 << 20;

/// A fast [`Device`] in memory, with the contract of the [real one](crate::device), whose power can
/// fail.
///
/// Memory is proportional to what is written, not to the size of the device.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Device, Geometry, WriteOptions};
/// use blocktwin::exec::block_on;
/// use blocktwin::model::ModelDevice;
///
/// block_on(async {
///     let mut device = ModelDevice::new(Geometry::new(512, 4096, 16)?);
///     device.write(0, (&[1; 4096][..]).into(), WriteOptions::FUA).await?;
///     device.write(0, (&[2; 4096][..]).into(), WriteOptions::default()).await?;
///     device.crash(42);
///
///     let mut buffer = [0; 4096];
///     device.read(0, (&mut buffer[..]).into()).await?;
///     // Each sector is old or new.
///     assert!(buffer.chunks(512).all(|sector| sector == [1; 512] || sector == [2; 512]));
/// #   Ok::<(), blocktwin::device::DeviceError>(())
/// })?;
/// # Ok::<(), blocktwin::device::DeviceError>(())
/// ```
#[derive(Debug)]
pub struct ModelDevice {
    geometry: Geometry,
    buffers: BufferAllocator,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    visible: Sparse<u8>,
    /// Of each unsynced sector what is durable, and what it held since, but for what it holds now.
    unsynced: BTreeMap<u64, Vec<Box<[u8]>>>,
    closed: bool,
}

impl ModelDevice {
    /// A device of zeros.
    pub fn new(geometry: Geometry) -> Self {
        let block_size = geometry.block_size() as usize;
        let source = BufferSource::new(HEAP.next_multiple_of(block_size));
        let state = State { visible: Sparse::new(CHUNK), unsynced: BTreeMap::new(), closed: false };
        let buffers = BufferAllocator::new(block_size, source);
        Self { geometry, buffers, state: Mutex::new(state) }
    }

    /// The power fails, and the device is opened again: every unsynced sector, each on its own, is
    /// left as it was durable or as any write since left it, by `seed`.
    ///
    /// Requires that no request is under way, which `&mut` sees to.
    pub fn crash(&mut self, seed: u64) {
        let mut rng = Rng::new(seed, Purpose::Crash);
        let sector_size = u64::from(self.geometry.sector_size());
        let State { visible, unsynced, closed } =
            self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (sector, contents) in std::mem::take(unsynced) {
            let chosen = rng.below(contents.len() as u64 + 1);
            let older = usize::try_from(chosen).ok().and_then(|chosen| contents.get(chosen));
            if let Some(bytes) = older {
                visible.write(sector * sector_size, bytes);
            }
        }
        *closed = false;
    }

    /// A panic elsewhere leaves nothing half done in here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, DeviceError> {
        let state = self.lock();
        if state.closed { Err(DeviceError::Closed) } else { Ok(state) }
    }

    fn checked(&self, offset: u64, length: u64) -> Result<Range<u64>, DeviceError> {
        self.geometry.check(offset, length)
    }

    fn change(&self, state: &mut State, range: &Range<u64>, change: impl FnOnce(&mut Sparse<u8>)) {
        let sector_size = self.geometry.sector_size() as usize;
        for sector in self.geometry.sectors(range) {
            let mut held = vec![0; sector_size].into_boxed_slice();
            state.visible.read(sector * sector_size as u64, &mut held);
            state.unsynced.entry(sector).or_default().push(held);
        }
        change(&mut state.visible);
    }

    fn sync(&self) -> Result<(), DeviceError> {
        self.open()?.unsynced.clear();
        Ok(())
    }
}

impl Device for ModelDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture<'_> {
        self.buffers.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        let state = self.open()?;
        let range = self.checked(offset, buffer.len() as u64)?;
        state.visible.read(range.start, buffer.as_mut_slice());
        Ok(())
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let mut state = self.open()?;
        let range = self.checked(offset, buffer.len() as u64)?;
        self.change(&mut state, &range, |visible| visible.write(offset, buffer.as_slice()));
        if options.fua {
            let sectors = self.geometry.sectors(&range);
            state.unsynced.retain(|sector, _| !sectors.contains(sector));
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.sync()
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        self.sync()
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let mut state = self.open()?;
        let range = self.checked(offset, length)?;
        // A hole where nothing was ever written changes nothing, however large it is.
        let touched: Vec<Range<u64>> = state
            .visible
            .chunks()
            .map(|(at, bytes)| range.start.max(at)..range.end.min(at + bytes.len() as u64))
            .filter(|piece| !piece.is_empty())
            .collect();
        for piece in touched {
            self.change(&mut state, &piece, |visible| {
                visible.zero(piece.start, piece.end - piece.start);
            });
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), DeviceError> {
        let mut state = self.lock();
        state.unsynced.clear();
        state.closed = true;
        Ok(())
    }
}
