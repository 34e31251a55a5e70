//! Mistakes in how a device answers its users.

use super::Mistake;
use super::file::MistakenFile;
use blocktwin::device::{
    BufferFuture, BufferRef, Device, DeviceError, FileBackedDevice, Geometry, MutableBufferRef,
    WriteOptions,
};
use blocktwin::file::BackingFile;
use std::sync::atomic::{AtomicBool, Ordering};

/// A device that makes a mistake, above or beneath.
pub(crate) struct MistakenDevice {
    inner: FileBackedDevice<MistakenFile>,
    mistake: Mistake,
    /// A flush has begun and not ended.
    flushing: AtomicBool,
    closed: AtomicBool,
}

impl MistakenDevice {
    pub(super) fn new(inner: FileBackedDevice<MistakenFile>, mistake: Mistake) -> Self {
        Self { inner, mistake, flushing: AtomicBool::new(false), closed: AtomicBool::new(false) }
    }

    /// Writes whole pairs of blocks.
    async fn write_pairs(
        &self,
        offset: u64,
        data: &[u8],
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let geometry = self.inner.geometry();
        let range = geometry.check(offset, data.len() as u64)?;
        let pair = 2 * u64::from(geometry.block_size());
        let start = range.start / pair * pair;
        let end = range.end.next_multiple_of(pair).min(geometry.size());
        let place = |at: u64| usize::try_from(at - start).expect("in memory");
        let mut both = vec![0; place(end)];
        self.inner.read(start, (&mut both[..]).into()).await?;
        both[place(range.start)..place(range.end)].copy_from_slice(data);
        self.inner.write(start, both[..].into(), options).await
    }
}

impl Device for MistakenDevice {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture<'_> {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        self.inner.read(offset, buffer).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        if self.mistake == Mistake::WritesInPairs && !self.is_read_only() {
            return self.write_pairs(offset, buffer.as_slice(), options).await;
        }
        self.inner.write(offset, buffer, options).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        match self.mistake {
            _ if self.closed.load(Ordering::Relaxed) => self.inner.flush().await,
            Mistake::NeverFlushes => Ok(()),
            Mistake::JoinsFlushes if self.flushing.swap(true, Ordering::Relaxed) => Ok(()),
            Mistake::JoinsFlushes => {
                let flushed = self.inner.flush().await;
                self.flushing.store(false, Ordering::Relaxed);
                flushed
            }
            Mistake::ForgetsFailedSync => match self.inner.flush().await {
                Err(DeviceError::SyncFailed) => Ok(self.inner.file().sync_data().await?),
                flushed => flushed,
            },
            _ => self.inner.flush().await,
        }
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        match self.inner.barrier().await {
            Err(DeviceError::Io { .. }) if self.mistake == Mistake::IgnoresFailureOfBarrier => {
                Ok(())
            }
            done => done,
        }
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.inner.trim(offset, length).await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.closed.store(true, Ordering::Relaxed);
        self.inner.close().await
    }
}
