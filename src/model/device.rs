//! A device in memory, for tests of the code above one.

use crate::device::{
    BufferAllocator, BufferFuture, BufferRef, BufferSource, Device, DeviceError, Geometry,
    MutableBufferRef, WriteOptions,
};
use crate::rng::{Purpose, Rng};
use crate::sparse::Sparse;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a chunk of the image.
const CHUNK: usize = 16 << 10;

/// Bytes of the transfer heap.
const HEAP: usize = 4 << 20;

/// A failure that a [`ModelDevice`] is to have. Errors are by their number, as `libc` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A read fails.
    Read(i32),
    /// A write fails, after the first half of its sectors was written, rounded down.
    Write(i32),
    /// A trim fails, and does nothing.
    Trim(i32),
    /// A flush, barrier, close or write with [`WriteOptions::fua`] cannot sync (`EIO`). What was
    /// not synced stays dirty: the next crash decides about it as about any other.
    SyncKept,
    /// As `SyncKept`, but what was not synced was dropped: it is still visible, and lost in the
    /// next crash, whatever that is to leave.
    SyncDropped,
}

/// What a crash leaves of what was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// All of it.
    All,
    /// None of it.
    None,
    /// Each sector, on its own, is left as it was durable or as any write since left it, by this
    /// seed.
    Random(u64),
}

/// A fast [`Device`] in memory, with the contract of the [real one](crate::device), that fails as
/// it is told to and whose power can fail.
///
/// Memory is proportional to what is written, not to the size of the device.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Device, DeviceError, Geometry, WriteOptions};
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
///     Ok::<(), DeviceError>(())
/// })?;
/// # Ok::<(), DeviceError>(())
/// ```
///
/// Code above a device that takes a failed flush for one that may be tried again loses data:
///
/// ```
/// use blocktwin::device::{Device, DeviceError, Geometry, WriteOptions};
/// use blocktwin::exec::block_on;
/// use blocktwin::model::{Failure, Keep, ModelDevice};
///
/// let mut device = ModelDevice::new(Geometry::new(512, 4096, 16)?);
/// block_on(device.write(0, (&[1; 4096][..]).into(), WriteOptions::default()))?;
/// device.fail_next(Failure::SyncDropped);
/// assert!(matches!(block_on(device.flush()), Err(DeviceError::Io { .. })));
/// assert_eq!(block_on(device.flush()), Err(DeviceError::SyncFailed));
///
/// device.crash_with(Keep::All);
/// let mut buffer = [7; 4096];
/// block_on(device.read(0, (&mut buffer[..]).into()))?;
/// assert_eq!(buffer, [0; 4096]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ModelDevice {
    geometry: Geometry,
    buffers: BufferAllocator,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    visible: Sparse<u8, CHUNK>,
    /// Of each unsynced sector what is durable, and what it held since, but for what it holds now.
    unsynced: BTreeMap<u64, Vec<Box<[u8]>>>,
    closed: bool,
    /// Failures to come, in order.
    failures: Vec<Failure>,
    sync_failed: bool,
    /// What is unsynced was dropped by a failed sync.
    dropped: bool,
}

impl State {
    /// The first failure to come of which `is` makes something, and what.
    fn take<T>(&mut self, is: impl Fn(Failure) -> Option<T>) -> Option<T> {
        let at = self.failures.iter().position(|&failure| is(failure).is_some())?;
        is(self.failures.remove(at))
    }

    /// Has the first failure to come of which `is` gives the error number, if there is one.
    fn fail(&mut self, is: impl Fn(Failure) -> Option<i32>) -> Result<(), DeviceError> {
        self.take(is).map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno).into()))
    }

    fn check_sync(&self) -> Result<(), DeviceError> {
        if self.sync_failed { Err(DeviceError::SyncFailed) } else { Ok(()) }
    }

    /// What is unsynced is durable from now on, of the sectors that it `covers`.
    fn sync(&mut self, covers: impl Fn(u64) -> bool) -> Result<(), DeviceError> {
        self.check_sync()?;
        let failed = self.take(|failure| match failure {
            Failure::SyncKept => Some(false),
            Failure::SyncDropped => Some(true),
            _ => None,
        });
        if let Some(dropped) = failed {
            (self.sync_failed, self.dropped) = (true, dropped);
            return Err(io::Error::from(rustix::io::Errno::IO).into());
        }
        self.unsynced.retain(|&sector, _| !covers(sector));
        Ok(())
    }
}

impl ModelDevice {
    /// A device of zeros.
    pub fn new(geometry: Geometry) -> Self {
        let block_size = geometry.block_size() as usize;
        let source = BufferSource::new(HEAP.next_multiple_of(block_size));
        let state = State {
            visible: Sparse::new(),
            unsynced: BTreeMap::new(),
            closed: false,
            failures: Vec::new(),
            sync_failed: false,
            dropped: false,
        };
        let buffers = BufferAllocator::new(block_size, source);
        Self { geometry, buffers, state: Mutex::new(state) }
    }

    /// The next request of its sort has this failure, after those that it was told to have before.
    /// Requests that are refused have none.
    pub fn fail_next(&self, failure: Failure) {
        self.lock().failures.push(failure);
    }

    /// The power fails, and the device is opened again, as
    /// [`crash_with`](Self::crash_with)`(`[`Keep::Random`]`(seed))`.
    pub fn crash(&mut self, seed: u64) {
        self.crash_with(Keep::Random(seed));
    }

    /// The power fails, and the device is opened again. What it holds then is durable; failures
    /// that it was still to have are forgotten, and so is one of a sync.
    ///
    /// Requires that no request is under way, which `&mut` sees to.
    pub fn crash_with(&mut self, keep: Keep) {
        let sector_size = u64::from(self.geometry.sector_size());
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let keep = if state.dropped { Keep::None } else { keep };
        let mut rng = match keep {
            Keep::Random(seed) => Some(Rng::new(seed, Purpose::Crash)),
            Keep::All | Keep::None => None,
        };
        for (sector, contents) in std::mem::take(&mut state.unsynced) {
            let newest = contents.len() as u64;
            let chosen = match &mut rng {
                Some(rng) => rng.below(newest + 1),
                None if keep == Keep::All => newest,
                None => 0,
            };
            let older = usize::try_from(chosen).ok().and_then(|chosen| contents.get(chosen));
            if let Some(bytes) = older {
                state.visible.write(sector * sector_size, bytes);
            }
        }
        state.failures.clear();
        (state.closed, state.sync_failed, state.dropped) = (false, false, false);
    }

    /// A panic elsewhere leaves nothing half done in here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, DeviceError> {
        let state = self.lock();
        if state.closed { Err(DeviceError::Closed) } else { Ok(state) }
    }

    fn change(
        &self,
        state: &mut State,
        range: &Range<u64>,
        change: impl FnOnce(&mut Sparse<u8, CHUNK>),
    ) {
        let sector_size = self.geometry.sector_size() as usize;
        for sector in self.geometry.sectors(range) {
            let mut held = vec![0; sector_size].into_boxed_slice();
            state.visible.read(sector * sector_size as u64, &mut held);
            state.unsynced.entry(sector).or_default().push(held);
        }
        change(&mut state.visible);
    }

    /// Writes `data`, of whole sectors.
    fn store(&self, state: &mut State, range: &Range<u64>, data: &[u8]) {
        self.change(state, range, |visible| visible.write(range.start, data));
    }

    /// Whether a request that changes so many bytes at `offset` may go ahead.
    fn admit(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<(MutexGuard<'_, State>, Range<u64>), DeviceError> {
        let state = self.open()?;
        let range = self.geometry.check(offset, length)?;
        state.check_sync()?;
        Ok((state, range))
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
        let mut state = self.open()?;
        let range = self.geometry.check(offset, buffer.len() as u64)?;
        state
            .fail(|failure| if let Failure::Read(errno) = failure { Some(errno) } else { None })?;
        state.visible.read(range.start, buffer.as_mut_slice());
        Ok(())
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let (mut state, range) = self.admit(offset, buffer.len() as u64)?;
        let data = buffer.as_slice();
        let error = |failure| if let Failure::Write(errno) = failure { Some(errno) } else { None };
        if let Err(error) = state.fail(error) {
            let sector = self.geometry.sector_size() as usize;
            let half = data.len() / sector / 2 * sector;
            self.store(&mut state, &(offset..offset + half as u64), &data[..half]);
            return Err(error);
        }
        self.store(&mut state, &range, data);
        if options.fua && !range.is_empty() {
            let sectors = self.geometry.sectors(&range);
            state.sync(|sector| sectors.contains(&sector))?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.open()?.sync(|_| true)
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        self.open()?.sync(|_| true)
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let (mut state, range) = self.admit(offset, length)?;
        state
            .fail(|failure| if let Failure::Trim(errno) = failure { Some(errno) } else { None })?;
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
        let again = std::mem::replace(&mut state.closed, true);
        if again { state.check_sync() } else { state.sync(|_| true) }
    }
}
