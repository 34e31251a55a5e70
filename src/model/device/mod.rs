//! A device in memory, for tests of the code above one.

mod call;
mod failure;
mod journal;
mod keep;
mod options;
mod pause;
mod requests;
mod state;
mod unsynced;

pub use failure::{Failure, Planned};
pub use journal::{RequestEnd, RequestRecord};
pub use keep::Keep;
pub use options::{ModelOptions, Weak};

use crate::device::{BufferAllocator, BufferSource, Geometry};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Bytes of the transfer heap.
const HEAP: usize = 4 << 20;

/// A fast [`Device`](crate::device::Device) in memory, as weak as the
/// [contract](crate::device) and no stronger, to test code *above* a device with.
///
/// The device fails as it is told to, and its power can fail at any moment. Whatever the contract
/// leaves open, the device does now and then: see [`Weak`] for the list, and for how to switch a
/// weak form off. It draws its choices from a seed, so the same seed and the same requests give the
/// same answers.
///
/// Memory is proportional to what is written and to the number of requests since
/// [`take_journal`](Self::take_journal) was last called, not to the size of the device.
///
/// # Handles
///
/// A clone is another handle of the same device. Give a clone to the code under test, and keep one
/// for the test. [`crash`](Self::crash) makes the power fail while requests of other handles are in
/// flight. The handle on which it was called can be used at once; every other handle is of the time
/// before. A future of such a handle returns an error when it is polled again, and changes nothing.
/// Every new request of that handle fails in the same way. The error is a [`DeviceError::Io`]
/// without an errno, and no request gets it for another reason.
///
/// [`DeviceError::Io`]: crate::device::DeviceError::Io
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
/// let planned = device.fail_next(Failure::SyncDropped);
/// assert!(matches!(block_on(device.flush()), Err(DeviceError::Io { .. })));
/// assert!(planned.met_by().is_some());
/// assert_eq!(block_on(device.flush()), Err(DeviceError::SyncFailed));
///
/// device.crash_with(Keep::All);
/// let mut buffer = [7; 4096];
/// block_on(device.read(0, (&mut buffer[..]).into()))?;
/// assert_eq!(buffer, [0; 4096]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The power fails while a write is in flight:
///
/// ```
/// use blocktwin::device::{Device, Geometry, WriteOptions};
/// use blocktwin::exec::{RandomSchedule, Runtime, yield_now};
/// use blocktwin::model::ModelDevice;
///
/// let mut device = ModelDevice::new(Geometry::new(512, 4096, 16)?);
/// let handle = device.clone();
/// let mut runtime = Runtime::new(RandomSchedule::new(1));
/// let mut executor = runtime.executor();
/// executor.spawn("writer", async {
///     let written = handle.write(0, (&[1; 4096][..]).into(), WriteOptions::FUA).await;
///     assert!(written.is_err(), "the power failed before it was answered");
/// });
/// executor.spawn("power", async {
///     yield_now().await;
///     device.crash(7);
/// });
/// executor.run(100)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelDevice {
    geometry: Geometry,
    shared: Arc<Shared>,
    /// How often the device had been booted when this handle was made.
    boot: u64,
}

#[derive(Debug)]
struct Shared {
    buffers: BufferAllocator,
    state: Mutex<State>,
}

impl ModelDevice {
    /// A device of zeros, as weak as the contract, with the seed 0.
    ///
    /// Its transfer heap has 4 MiB, rounded up to whole blocks.
    pub fn new(geometry: Geometry) -> Self {
        Self::with_options(geometry, ModelOptions::default())
    }

    /// A device of zeros that is as weak as `options` say. See [`ModelOptions`] for an example.
    pub fn with_options(geometry: Geometry, options: ModelOptions) -> Self {
        let block_size = geometry.block_size() as usize;
        let source = BufferSource::new(HEAP.next_multiple_of(block_size));
        let buffers = BufferAllocator::new(block_size, source);
        let state = Mutex::new(State::new(geometry, options));
        Self { geometry, shared: Arc::new(Shared { buffers, state }), boot: 0 }
    }

    /// The next request that can have this failure has it, unless an earlier plan for such a
    /// request comes first. A request that is refused or has no bytes has none.
    pub fn fail_next(&self, failure: Failure) -> Planned {
        self.lock().failures.plan(None, failure)
    }

    /// The request of this number has this failure, if it is of a sort that can have it and is not
    /// refused. Numbers are those of [`RequestRecord::number`]; the next request has
    /// [`requests`](Self::requests). See [`Planned`] for an example.
    pub fn fail_at(&self, number: u64, failure: Failure) -> Planned {
        self.lock().failures.plan(Some(number), failure)
    }

    /// How many requests were made since the device was made, refused ones included. Buffers are no
    /// requests.
    pub fn requests(&self) -> u64 {
        self.lock().journal.next()
    }

    /// The requests that were made since this was last called, in order, and how they have ended so
    /// far. A request that is in flight now is not told of again.
    ///
    /// # Example
    ///
    /// ```
    /// use blocktwin::device::{Device, Geometry};
    /// use blocktwin::exec::block_on;
    /// use blocktwin::model::{ModelDevice, Request, RequestEnd};
    ///
    /// let device = ModelDevice::new(Geometry::new(512, 4096, 16)?);
    /// block_on(device.flush())?;
    /// drop(device.barrier()); // was never polled, so it was never made
    /// let journal = device.take_journal();
    /// assert_eq!(journal.len(), 1);
    /// assert_eq!(journal[0].request, Request::Flush);
    /// assert_eq!(journal[0].end, RequestEnd::Answered(Ok(())));
    /// assert!(device.take_journal().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_journal(&self) -> Vec<RequestRecord> {
        self.lock().journal.take()
    }

    /// How many sectors hold something that is not known to be durable: a crash now may leave them
    /// otherwise than they are.
    ///
    /// # Example
    ///
    /// ```
    /// use blocktwin::device::{Device, Geometry, WriteOptions};
    /// use blocktwin::exec::block_on;
    /// use blocktwin::model::ModelDevice;
    ///
    /// let device = ModelDevice::new(Geometry::new(512, 4096, 16)?);
    /// block_on(device.write(0, (&[1; 4096][..]).into(), WriteOptions::default()))?;
    /// block_on(device.barrier())?;
    /// assert_eq!(device.unsynced_sectors(), 8);
    /// block_on(device.flush())?;
    /// assert_eq!(device.unsynced_sectors(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unsynced_sectors(&self) -> usize {
        self.lock().unsynced.0.len()
    }

    /// The power fails, and the device is opened again, as
    /// [`crash_with`](Self::crash_with)`(`[`Keep::Random`]`(seed))`.
    pub fn crash(&mut self, seed: u64) {
        self.crash_with(Keep::Random(seed));
    }

    /// The power fails, and the device is opened again. What it holds then is durable. Failures
    /// that were planned and not met are forgotten, and so is a failed sync.
    ///
    /// Requests may be in flight: they never end, see [Handles](Self#handles). This handle can be
    /// used at once, whether or not it was of the time before.
    pub fn crash_with(&mut self, keep: Keep) {
        self.reboot(|state| state.crash(keep));
    }

    /// The process that uses the device ends, and another opens the device. The machine goes on: no
    /// write that took effect is lost, and none becomes durable. The device is neither closed nor
    /// has a failed sync, but what a failed sync has dropped can still be lost in a crash.
    ///
    /// Other handles, requests in flight and failures that were planned and not met are as after a
    /// [crash](Self::crash_with). Of writes that were dropped, some may land just before.
    ///
    /// # Example
    ///
    /// ```
    /// use blocktwin::device::{Device, DeviceError, Geometry, WriteOptions};
    /// use blocktwin::exec::block_on;
    /// use blocktwin::model::ModelDevice;
    ///
    /// let mut device = ModelDevice::new(Geometry::new(512, 512, 16)?);
    /// let old = device.clone();
    /// block_on(old.write(0, (&[1; 512][..]).into(), WriteOptions::default()))?;
    /// device.restart();
    ///
    /// let mut buffer = [0; 512];
    /// block_on(device.read(0, (&mut buffer[..]).into()))?;
    /// assert_eq!((buffer, device.unsynced_sectors()), ([1; 512], 1));
    /// assert!(block_on(old.flush()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart(&mut self) {
        self.reboot(|state| {
            state.drift(2, true);
            state.boot()
        });
    }

    /// Does what ends the time of the other handles, and wakes those who wait.
    fn reboot(&mut self, boot: impl FnOnce(&mut State) -> Vec<Waker>) {
        let mut state = self.lock();
        let waiting = boot(&mut state);
        let boot = state.boot;
        drop(state);
        self.boot = boot;
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A panic elsewhere leaves nothing half done in here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
