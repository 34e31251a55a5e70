//! A model device with a mistake, to see that the check of the model device can fail.

use super::*;
use crate::device::{BufferFuture, BufferRef, MutableBufferRef};
use crate::model::Kind;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    None,
    FlushOnlyOrders,
    CloseDoesNotFlush,
    FuaIsIgnored,
    BarrierIsIgnored,
    TrimIsTooLong,
    ReadErrorIsIgnored,
    WriteErrorIsIgnored,
    SyncErrorIsIgnored,
    ErrorIsInvented,
    WriteIsLeftOut,
}

impl Mistake {
    /// All of them, and what they are found as.
    pub(super) const ALL: [(Self, Kind); 10] = [
        (Self::FlushOnlyOrders, Kind::DurabilityLost),
        (Self::CloseDoesNotFlush, Kind::DurabilityLost),
        (Self::FuaIsIgnored, Kind::DurabilityLost),
        (Self::BarrierIsIgnored, Kind::OrderingViolated),
        (Self::TrimIsTooLong, Kind::RangeEscaped),
        (Self::ReadErrorIsIgnored, Kind::Corrupt),
        (Self::WriteErrorIsIgnored, Kind::DurabilityLost),
        (Self::SyncErrorIsIgnored, Kind::DurabilityLost),
        (Self::ErrorIsInvented, Kind::SpuriousError),
        (Self::WriteIsLeftOut, Kind::Lost),
    ];
}

pub(super) struct Mistaken {
    inner: ModelDevice,
    mistake: Mistake,
}

impl Mistaken {
    pub(super) fn new(inner: ModelDevice, mistake: Mistake) -> Self {
        Self { inner, mistake }
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    /// `result`, or `Ok` where it is an error that the mistake is to ignore.
    fn unless(&self, mistake: Mistake, result: Result<(), DeviceError>) -> Result<(), DeviceError> {
        let ignored = self.has(mistake)
            && matches!(result, Err(DeviceError::Io { errno, .. }) if errno.is_some());
        if ignored { Ok(()) } else { result }
    }
}

impl Device for Mistaken {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        let read = self.inner.read(offset, buffer).await;
        self.unless(Mistake::ReadErrorIsIgnored, read)
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let fua = options.fua && !self.has(Mistake::FuaIsIgnored);
        let last = offset / 1024 % 8 == 7;
        let data = if self.has(Mistake::WriteIsLeftOut) && last && !options.fua {
            buffer.subslice(..0)
        } else {
            buffer
        };
        let written = self.inner.write(offset, data, WriteOptions { fua }).await;
        self.unless(Mistake::WriteErrorIsIgnored, written)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        if self.has(Mistake::FlushOnlyOrders) {
            return self.inner.barrier().await;
        }
        let flushed = self.inner.flush().await;
        if self.has(Mistake::ErrorIsInvented) && self.inner.unsynced_sectors() == 7 {
            return Err(DeviceError::WriteZero);
        }
        self.unless(Mistake::SyncErrorIsIgnored, flushed)
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        if self.has(Mistake::BarrierIsIgnored) {
            return self.inner.read(0, (&mut [][..]).into()).await;
        }
        self.inner.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let block = u64::from(self.geometry().block_size());
        let further = offset.checked_add(length).is_some_and(|end| end < self.geometry().size());
        let more = self.has(Mistake::TrimIsTooLong) && further && length > 0;
        self.inner.trim(offset, if more { length + block } else { length }).await
    }

    async fn trim_fua(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.inner.trim_fua(offset, length).await
    }

    async fn drain(&self) -> Result<(), DeviceError> {
        self.inner.drain().await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        if self.has(Mistake::CloseDoesNotFlush) {
            return self.inner.barrier().await;
        }
        self.inner.close().await
    }
}
