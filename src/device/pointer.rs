//! Devices behind pointers, so that what takes a device by value also takes a shared one.

use super::{
    BufferFuture, BufferRef, Device, DeviceError, Geometry, MutableBufferRef, WriteOptions,
    ZeroOptions,
};
use std::future::Future;
use std::ops::Range;
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

            fn trim_fua(
                &self,
                offset: u64,
                length: u64,
            ) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::trim_fua(self, offset, length)
            }

            fn write_zeroes(
                &self,
                offset: u64,
                length: u64,
                options: ZeroOptions,
            ) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::write_zeroes(self, offset, length, options)
            }

            fn read_vectored(
                &self,
                offset: u64,
                buffers: &mut [MutableBufferRef<'_>],
            ) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::read_vectored(self, offset, buffers)
            }

            fn write_vectored(
                &self,
                offset: u64,
                buffers: &[BufferRef<'_>],
                options: WriteOptions,
            ) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::write_vectored(self, offset, buffers, options)
            }

            fn next_data(
                &self,
                offset: u64,
            ) -> impl Future<Output = Result<Option<Range<u64>>, DeviceError>> + Send {
                D::next_data(self, offset)
            }

            fn drain(&self) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::drain(self)
            }

            fn close(&self) -> impl Future<Output = Result<(), DeviceError>> + Send {
                D::close(self)
            }
        }
    )*};
}

impl_device!(&D, Box<D>, Arc<D>);
