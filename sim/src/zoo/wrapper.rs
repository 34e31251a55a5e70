//! A device around another, so that a bug is only what it does differently.

use blocktwin::device::{
    BufferFuture, BufferRef, Device, DeviceError, DynDevice, Geometry, MutableBufferRef,
    WriteOptions,
};
use std::future::{Future, ready};
use std::io::{self, ErrorKind};
use std::ops::Range;

pub(super) type Answer = Result<(), DeviceError>;

/// What it does not say, the device inside does.
pub(super) trait Wrapper: Send + Sync {
    fn inner(&self) -> &DynDevice;

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner().allocate_buffer(size)
    }

    fn read(
        &self,
        offset: u64,
        buffer: MutableBufferRef<'_>,
    ) -> impl Future<Output = Answer> + Send {
        self.inner().read(offset, buffer)
    }

    fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> impl Future<Output = Answer> + Send {
        self.inner().write(offset, buffer, options)
    }

    fn flush(&self) -> impl Future<Output = Answer> + Send {
        self.inner().flush()
    }

    fn barrier(&self) -> impl Future<Output = Answer> + Send {
        self.inner().barrier()
    }

    fn trim(&self, offset: u64, length: u64) -> impl Future<Output = Answer> + Send {
        self.inner().trim(offset, length)
    }

    /// It cannot, as requests may be under way that the device inside does not know of yet.
    fn drain(&self) -> impl Future<Output = Answer> + Send {
        ready(Err(ErrorKind::Unsupported).map_err(|kind| io::Error::from(kind).into()))
    }

    fn close(&self) -> impl Future<Output = Answer> + Send {
        self.inner().close()
    }

    /// Whether the device inside would take a change of this range now. A request of no bytes is
    /// checked like any other and touches nothing.
    fn admit_change(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<Range<u64>, DeviceError>> + Send {
        async move {
            self.inner().write(offset, (&[][..]).into(), WriteOptions::default()).await?;
            self.inner().geometry().check(offset, length)
        }
    }

    /// Whether the device inside would take a read of this range now.
    fn admit_read(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<Range<u64>, DeviceError>> + Send {
        async move {
            self.inner().read(offset, (&mut [][..]).into()).await?;
            self.inner().geometry().check(offset, length)
        }
    }
}

/// Makes a [`Device`] of it: no crate may implement a foreign trait for every type.
pub(super) struct DeviceAdapter<A>(pub(super) A);

impl<A: Wrapper> Device for DeviceAdapter<A> {
    fn geometry(&self) -> Geometry {
        self.0.inner().geometry()
    }

    fn is_read_only(&self) -> bool {
        self.0.inner().is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.0.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Answer {
        self.0.read(offset, buffer).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        self.0.write(offset, buffer, options).await
    }

    async fn flush(&self) -> Answer {
        self.0.flush().await
    }

    async fn barrier(&self) -> Answer {
        self.0.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.0.trim(offset, length).await
    }

    async fn drain(&self) -> Answer {
        self.0.drain().await
    }

    async fn close(&self) -> Answer {
        self.0.close().await
    }
}
