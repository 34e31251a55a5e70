//! A device whose type is not known until run time.

use super::{
    BufferFuture, BufferRef, Device, DeviceError, Geometry, MutableBufferRef, WriteOptions,
    ZeroOptions,
};
use futures::future::{BoxFuture, FutureExt};
use std::any::Any;
use std::fmt;
use std::ops::Range;

/// Any [`Device`], at the price of an allocation for each request.
///
/// ```
/// use blocktwin::device::{Device, DynDevice, FileBackedDevice};
///
/// let file = tempfile::tempfile().unwrap();
/// let disk = FileBackedDevice::new_with_block_count(file, 512, 8)?;
/// let disks: Vec<DynDevice> = vec![DynDevice::new(disk)];
/// assert_eq!(disks[0].geometry().size(), 4096);
/// # Ok::<(), blocktwin::device::DeviceError>(())
/// ```
pub struct DynDevice(Box<dyn ObjectSafe>);

impl DynDevice {
    /// Forgets the type of `device`.
    pub fn new(device: impl Device + 'static) -> Self {
        Self(Box::new(device))
    }

    /// The device itself, if its type is `D`.
    ///
    /// ```
    /// use blocktwin::device::{DynDevice, FileBackedDevice};
    /// use std::fs::File;
    ///
    /// let file = tempfile::tempfile().unwrap();
    /// let disk = FileBackedDevice::new_with_block_count(file, 512, 8)?;
    /// let disk = DynDevice::new(disk);
    /// let file: &File = disk.downcast_ref::<FileBackedDevice>().expect("its type").file();
    /// assert_eq!(file.metadata().unwrap().len(), 0);
    /// # Ok::<(), blocktwin::device::DeviceError>(())
    /// ```
    pub fn downcast_ref<D: Device + 'static>(&self) -> Option<&D> {
        let device: &dyn Any = &*self.0;
        device.downcast_ref()
    }

    /// Gives the device back, if its type is `D`.
    ///
    /// ```
    /// use blocktwin::device::{Device, DynDevice, FileBackedDevice};
    /// use std::sync::Arc;
    ///
    /// let file = tempfile::tempfile().unwrap();
    /// let disk = FileBackedDevice::new_with_block_count(file, 512, 8)?;
    /// let disk = DynDevice::new(disk);
    /// let disk = disk.downcast::<Arc<FileBackedDevice>>().expect_err("it is in no Arc");
    /// let disk: FileBackedDevice = disk.downcast().expect("its type");
    /// let _file = disk.into_file();
    /// # Ok::<(), blocktwin::device::DeviceError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The `DynDevice` as it was, if the type of its device is another.
    pub fn downcast<D: Device + 'static>(self) -> Result<D, Self> {
        if self.downcast_ref::<D>().is_none() {
            return Err(self);
        }
        let device: Box<dyn Any> = self.0;
        let Ok(device) = device.downcast() else { unreachable!("its type was looked at") };
        Ok(*device)
    }
}

impl fmt::Debug for DynDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynDevice")
            .field("geometry", &self.0.geometry())
            .field("read_only", &self.0.is_read_only())
            .finish_non_exhaustive()
    }
}

type Answer<'a> = BoxFuture<'a, Result<(), DeviceError>>;

/// [`Device`] with boxed futures. Private, as a type with both traits would have every method
/// twice.
trait ObjectSafe: Any + Send + Sync {
    fn geometry(&self) -> Geometry;
    fn is_read_only(&self) -> bool;
    fn allocate_buffer(&self, size: usize) -> BufferFuture;
    fn read<'a>(&'a self, offset: u64, buffer: MutableBufferRef<'a>) -> Answer<'a>;
    fn write<'a>(&'a self, offset: u64, buffer: BufferRef<'a>, options: WriteOptions)
    -> Answer<'a>;
    fn flush(&self) -> Answer<'_>;
    fn barrier(&self) -> Answer<'_>;
    fn trim(&self, offset: u64, length: u64) -> Answer<'_>;
    fn trim_fua(&self, offset: u64, length: u64) -> Answer<'_>;
    fn write_zeroes(&self, offset: u64, length: u64, options: ZeroOptions) -> Answer<'_>;
    fn read_vectored<'a>(
        &'a self,
        offset: u64,
        buffers: &'a mut [MutableBufferRef<'_>],
    ) -> Answer<'a>;
    fn write_vectored<'a>(
        &'a self,
        offset: u64,
        buffers: &'a [BufferRef<'_>],
        options: WriteOptions,
    ) -> Answer<'a>;
    fn next_data(&self, offset: u64) -> BoxFuture<'_, Result<Option<Range<u64>>, DeviceError>>;
    fn drain(&self) -> Answer<'_>;
    fn close(&self) -> Answer<'_>;
}

impl<D: Device + 'static> ObjectSafe for D {
    fn geometry(&self) -> Geometry {
        Device::geometry(self)
    }

    fn is_read_only(&self) -> bool {
        Device::is_read_only(self)
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        Device::allocate_buffer(self, size)
    }

    fn read<'a>(&'a self, offset: u64, buffer: MutableBufferRef<'a>) -> Answer<'a> {
        Device::read(self, offset, buffer).boxed()
    }

    fn write<'a>(
        &'a self,
        offset: u64,
        buffer: BufferRef<'a>,
        options: WriteOptions,
    ) -> Answer<'a> {
        Device::write(self, offset, buffer, options).boxed()
    }

    fn flush(&self) -> Answer<'_> {
        Device::flush(self).boxed()
    }

    fn barrier(&self) -> Answer<'_> {
        Device::barrier(self).boxed()
    }

    fn trim(&self, offset: u64, length: u64) -> Answer<'_> {
        Device::trim(self, offset, length).boxed()
    }

    fn trim_fua(&self, offset: u64, length: u64) -> Answer<'_> {
        Device::trim_fua(self, offset, length).boxed()
    }

    fn write_zeroes(&self, offset: u64, length: u64, options: ZeroOptions) -> Answer<'_> {
        Device::write_zeroes(self, offset, length, options).boxed()
    }

    fn read_vectored<'a>(
        &'a self,
        offset: u64,
        buffers: &'a mut [MutableBufferRef<'_>],
    ) -> Answer<'a> {
        Device::read_vectored(self, offset, buffers).boxed()
    }

    fn write_vectored<'a>(
        &'a self,
        offset: u64,
        buffers: &'a [BufferRef<'_>],
        options: WriteOptions,
    ) -> Answer<'a> {
        Device::write_vectored(self, offset, buffers, options).boxed()
    }

    fn next_data(&self, offset: u64) -> BoxFuture<'_, Result<Option<Range<u64>>, DeviceError>> {
        Device::next_data(self, offset).boxed()
    }

    fn drain(&self) -> Answer<'_> {
        Device::drain(self).boxed()
    }

    fn close(&self) -> Answer<'_> {
        Device::close(self).boxed()
    }
}

impl Device for DynDevice {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.0.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        self.0.read(offset, buffer).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        self.0.write(offset, buffer, options).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.0.flush().await
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        self.0.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.0.trim(offset, length).await
    }

    async fn trim_fua(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.0.trim_fua(offset, length).await
    }

    async fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        options: ZeroOptions,
    ) -> Result<(), DeviceError> {
        self.0.write_zeroes(offset, length, options).await
    }

    async fn read_vectored(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
    ) -> Result<(), DeviceError> {
        self.0.read_vectored(offset, buffers).await
    }

    async fn write_vectored(
        &self,
        offset: u64,
        buffers: &[BufferRef<'_>],
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        self.0.write_vectored(offset, buffers, options).await
    }

    async fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, DeviceError> {
        self.0.next_data(offset).await
    }

    async fn drain(&self) -> Result<(), DeviceError> {
        self.0.drain().await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.0.close().await
    }
}
