//! Devices with a bug.

use crate::device::{
    BufferFuture, BufferRef, Device, DeviceError, FileBackedDevice, Geometry, MutableBufferRef,
    WriteOptions,
};
use crate::disk::{SimFile, World};
use crate::file::BackingFile;
use crate::lockstep::{FileBacked, Subject};
use crate::model::{Promises, TrimEffect};
use crate::scenario::{Accepts, DeviceSpec};
use futures::FutureExt;
use futures::lock::Mutex;

/// What is wrong. Each is a bug that somebody has shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    FlushForgotten,
    BarrierForgotten,
    SecondFlushLies,
    FuaIgnored,
    TrimTooLong,
    ShortReadBelieved,
    ReadsNothing,
    WriteResumedAtOddByte,
    InterruptionSurfaced,
    LocksInTwoOrders,
    BufferLeaked,
}

impl Subject for Bug {
    type Device = Buggy;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Buggy, DeviceError> {
        let device = FileBacked.open(world, spec).await?;
        Ok(Buggy { device, bug: *self, locks: Default::default() })
    }

    fn promises(&self) -> Promises {
        Promises { drains: false, ..Promises::file_backed().trim(TrimEffect::Unspecified) }
    }

    fn accepts(&self) -> Accepts {
        FileBacked.accepts()
    }
}

/// The real device, but for its bug.
pub(super) struct Buggy {
    device: FileBackedDevice<SimFile>,
    bug: Bug,
    locks: [Mutex<()>; 2],
}

impl Buggy {
    /// Writes on from wherever the kernel stopped.
    async fn write_on(&self, mut offset: u64, mut data: &[u8]) -> Result<(), DeviceError> {
        while !data.is_empty() {
            match self.device.file().write_at(data, offset).await {
                Ok(0) => return Err(DeviceError::WriteZero),
                Ok(count) => (offset, data) = (offset + count as u64, &data[count..]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes both locks, one after the other, with other tasks in between.
    async fn lock(&self, [first, second]: [usize; 2]) {
        let _first = self.locks[first].lock().await;
        crate::exec::yield_now().await;
        let _second = self.locks[second].lock().await;
    }
}

impl Device for Buggy {
    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.device.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.device.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        if self.bug == Bug::ShortReadBelieved && !buffer.is_empty() {
            self.device.read(offset, buffer.reborrow()).await?;
            buffer.as_mut_slice().fill(0);
            self.device.file().read_at(buffer.as_mut_slice(), offset).await?;
            return Ok(());
        }
        if self.bug == Bug::ReadsNothing {
            return Ok(());
        }
        self.device.read(offset, buffer).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        mut options: WriteOptions,
    ) -> Result<(), DeviceError> {
        match self.bug {
            Bug::FuaIgnored => options.fua = false,
            Bug::LocksInTwoOrders => self.lock([0, 1]).await,
            Bug::WriteResumedAtOddByte => {
                // Refuses what the device refuses.
                let empty = buffer.subslice(0..0);
                self.device.write(offset, empty, WriteOptions::default()).await?;
                if self.geometry().check(offset, buffer.len() as u64).is_ok() {
                    self.write_on(offset, buffer.as_slice()).await?;
                    return if options.fua { self.device.flush().await } else { Ok(()) };
                }
            }
            _ => {}
        }
        let written = self.device.write(offset, buffer, options).await;
        if self.bug == Bug::BufferLeaked && matches!(written, Err(DeviceError::Io { .. })) {
            let block = self.geometry().block_size() as usize;
            std::mem::forget(self.allocate_buffer(block).now_or_never());
        }
        written
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        match self.bug {
            Bug::FlushForgotten => return Ok(()),
            Bug::LocksInTwoOrders => self.lock([1, 0]).await,
            Bug::InterruptionSurfaced => self.device.file().sync_data().await?,
            _ => {}
        }
        match self.device.flush().await {
            Err(DeviceError::SyncFailed) if self.bug == Bug::SecondFlushLies => Ok(()),
            flushed => flushed,
        }
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        if self.bug == Bug::BarrierForgotten { Ok(()) } else { self.device.barrier().await }
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let longer = length.saturating_add(self.geometry().block_size().into());
        if self.bug == Bug::TrimTooLong && self.geometry().check(offset, longer).is_ok() {
            return self.device.trim(offset, longer).await;
        }
        self.device.trim(offset, length).await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.device.close().await
    }
}
