//! What devices have in common whatever their shape: they check requests, and close.

use crate::zoo::files::Latch;
use blocktwin::device::{
    BufferAllocator, BufferFuture, BufferRef, Device, DeviceError, Geometry, MutableBufferRef,
    WriteOptions,
};
use blocktwin::disk::World;
use blocktwin::exec::yield_now;
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub(super) type Answer = Result<(), DeviceError>;

/// Where a device keeps its blocks. Ranges are in bytes, not empty, checked, and whole blocks.
pub(super) trait Store: Send + Sync {
    /// Fills `data` from `offset` on.
    fn read(&self, offset: u64, data: &mut [u8]) -> impl Future<Output = Answer> + Send;

    /// Writes `data`, which reads see from then on.
    fn write(&self, offset: u64, data: &[u8]) -> impl Future<Output = Answer> + Send;

    /// Makes everything durable that had completed when this was called.
    fn flush(&self) -> impl Future<Output = Answer> + Send;

    /// Keeps later writes behind what has completed. Unless the store knows better, a flush.
    fn barrier(&self) -> impl Future<Output = Answer> + Send {
        self.flush()
    }

    /// Writes, and makes that durable. Unless the store knows better, with a flush.
    fn write_durably(&self, offset: u64, data: &[u8]) -> impl Future<Output = Answer> + Send {
        async move {
            self.write(offset, data).await?;
            self.flush().await
        }
    }

    /// Forgets what is in a range. Unless the store knows better, it does not.
    fn trim(&self, offset: u64, length: u64) -> impl Future<Output = Answer> + Send {
        let _ = (offset, length);
        async { Ok(()) }
    }

    /// No request is under way, everything was flushed, and none will come: writes what is only
    /// written then. It is not called again, so that everything has to be in order without it.
    fn seal(&self) -> impl Future<Output = Answer> + Send {
        async { Ok(()) }
    }

    /// No request is under way, everything was flushed if it could be, and none will come: stops
    /// tasks. May be called again.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A device around a store.
pub(super) struct Shell<S> {
    store: S,
    geometry: Geometry,
    read_only: bool,
    heap: BufferAllocator,
    latch: Latch,
    closed: AtomicBool,
    /// Whether a close has flushed. One at a time does.
    flushed: Mutex<bool>,
    in_flight: AtomicU32,
}

/// A request is in flight for as long as this lives.
struct InFlight<'a>(&'a AtomicU32);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Store> Shell<S> {
    /// The device that `spec` asks for. `latch` is that by which the store syncs.
    pub(super) fn new(
        store: S,
        world: &World,
        spec: &DeviceSpec,
        latch: Latch,
    ) -> Result<Self, DeviceError> {
        Ok(Self {
            store,
            geometry: spec.geometry()?,
            read_only: spec.read_only,
            heap: world.heap(),
            latch,
            closed: AtomicBool::new(false),
            flushed: Mutex::default(),
            in_flight: AtomicU32::new(0),
        })
    }

    fn begin(&self) -> Result<InFlight<'_>, DeviceError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(DeviceError::Closed);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(InFlight(&self.in_flight))
    }

    /// Whether a change of this range may go ahead; false where it is empty.
    fn admit(&self, offset: u64, length: u64) -> Result<bool, DeviceError> {
        let range = self.geometry.check(offset, length)?;
        if self.read_only {
            return Err(DeviceError::ReadOnly);
        }
        self.latch.check()?;
        Ok(!range.is_empty())
    }
}

impl<S: Store> Device for Shell<S> {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.heap.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Answer {
        let _in_flight = self.begin()?;
        if self.geometry.check(offset, buffer.len() as u64)?.is_empty() {
            return Ok(());
        }
        self.store.read(offset, buffer.as_mut_slice()).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let _in_flight = self.begin()?;
        match self.admit(offset, buffer.len() as u64)? {
            false => Ok(()),
            true if options.fua => self.store.write_durably(offset, buffer.as_slice()).await,
            true => self.store.write(offset, buffer.as_slice()).await,
        }
    }

    async fn flush(&self) -> Answer {
        let _in_flight = self.begin()?;
        self.latch.check()?;
        self.store.flush().await
    }

    async fn barrier(&self) -> Answer {
        let _in_flight = self.begin()?;
        self.latch.check()?;
        self.store.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let _in_flight = self.begin()?;
        if self.admit(offset, length)? { self.store.trim(offset, length).await } else { Ok(()) }
    }

    async fn close(&self) -> Answer {
        self.closed.store(true, Ordering::Relaxed);
        while self.in_flight.load(Ordering::Relaxed) > 0 {
            yield_now().await;
        }
        let mut flushed = self.flushed.lock().await;
        let answer = match self.latch.check() {
            _ if *flushed => Ok(()),
            Ok(()) => match self.store.flush().await {
                Ok(()) => self.store.seal().await,
                failed => failed,
            },
            failed => failed,
        };
        *flushed = answer.is_ok();
        // Also where this was done before: that close may have been dropped in its midst.
        self.store.close().await;
        answer
    }
}
