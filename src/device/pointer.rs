//! Devices behind pointers, so that what takes a device by value also takes a shared one.

use super::{
    BufferFuture, BufferRef, Device, DeviceError, Geometry, MutableBufferRef, WriteOptions,
};
use std::future::Future;
use std::sync::Arc;

/// Every method is that of the device pointed to, and its future the very same.
macro_rules! impl_device {
    ($($pointer:ty),*) => {$(
        impl<D: Device + ?Sized> Device for $pointer {
            fn geometry(&self) -> Geometry {
                D::geometry(self)
            }

            fn is_read_only(&self) -> bool {
                D::is_read_only(self)
            }

            fn allocate_buffer(&self, size: usize) -> BufferFuture {
                D::allocate_buffer(self, size)
            }

            fn read(
                &self,
                offset: u64,
                buffer: MutableBufferRef<'_>,
            ) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::read(self, offset, buffer)
            }

            fn write(
                &self,
                offset: u64,
                buffer: BufferRef<'_>,
                options: WriteOptions,
            ) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::write(self, offset, buffer, options)
            }

            fn flush(&self) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::flush(self)
            }

            fn barrier(&self) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::barrier(self)
            }

            fn trim(
                &self,
                offset: u64,
                length: u64,
            ) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::trim(self, offset, length)
            }

            fn close(&self) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::close(self)
            }
        }
    )*};
}

impl_device!(&D, Box<D>, Arc<D>);
