//! A write-back cache that honours the contract, and how one does not.

use super::memory::Blocks;
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{
    BufferRef, Device, DeviceError, DynDevice, MutableBufferRef, WriteOptions,
};
use futures::lock::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    DroppedOnClose,
    CleanBeforeWritten,
    ErrorSwallowed,
    ReadPastIt,
    BarrierIgnoresIt,
}

/// Keeps what was written in memory until it has to be durable. Blocks are written in their order
/// and forgotten one by one, so that what could not be written is written next time.
pub(super) struct WriteBack {
    inner: DynDevice,
    bug: Option<Bug>,
    /// Locked for as long as a request takes, so that none overtakes another.
    dirty: Mutex<Blocks>,
    /// The device inside stays open until everything is in it.
    closed: AtomicBool,
}

impl WriteBack {
    pub(super) fn new(inner: DynDevice, bug: Option<Bug>) -> Self {
        Self { inner, bug, dirty: Mutex::default(), closed: AtomicBool::new(false) }
    }

    fn check_open(&self) -> Answer {
        if self.closed.load(Ordering::Relaxed) { Err(DeviceError::Closed) } else { Ok(()) }
    }

    fn block(&self) -> u64 {
        u64::from(self.inner.geometry().block_size())
    }

    fn numbers(&self, range: &Range<u64>) -> Range<u64> {
        range.start / self.block()..range.end / self.block()
    }

    /// Writes the dirty blocks among these.
    async fn write_out(&self, dirty: &mut Blocks, numbers: Range<u64>) -> Answer {
        while let Some((&number, content)) = dirty.range(numbers.clone()).next() {
            let offset = number * self.block();
            if self.bug == Some(Bug::CleanBeforeWritten) {
                let content = content.clone();
                dirty.remove(&number);
                self.inner.write(offset, content[..].into(), WriteOptions::default()).await?;
                continue;
            }
            let written = self.inner.write(offset, content[..].into(), WriteOptions::default());
            match written.await {
                Err(DeviceError::Io { .. }) if self.bug == Some(Bug::ErrorSwallowed) => {}
                written => written?,
            }
            dirty.remove(&number);
        }
        Ok(())
    }

    async fn sync(&self, dirty: &mut Blocks) -> Answer {
        self.write_out(dirty, 0..u64::MAX).await?;
        self.inner.flush().await
    }
}

impl Wrapper for WriteBack {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Answer {
        let dirty = self.dirty.lock().await;
        self.check_open()?;
        self.inner.read(offset, buffer.reborrow()).await?;
        if self.bug == Some(Bug::ReadPastIt) {
            return Ok(());
        }
        let numbers = self.numbers(&(offset..offset + buffer.len() as u64));
        let blocks =
            buffer.as_mut_slice().chunks_exact_mut(self.inner.geometry().block_size() as usize);
        for (bytes, number) in blocks.zip(numbers) {
            if let Some(content) = dirty.get(&number) {
                bytes.copy_from_slice(content);
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let mut dirty = self.dirty.lock().await;
        self.check_open()?;
        let range = self.admit_change(offset, buffer.len() as u64).await?;
        let blocks = buffer.as_slice().chunks_exact(self.inner.geometry().block_size() as usize);
        dirty.extend(self.numbers(&range).zip(blocks.map(Into::into)));
        if options.fua && !range.is_empty() { self.sync(&mut dirty).await } else { Ok(()) }
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let mut dirty = self.dirty.lock().await;
        self.check_open()?;
        let range = self.admit_change(offset, length).await?;
        self.write_out(&mut dirty, self.numbers(&range)).await?;
        self.inner.trim(offset, length).await
    }

    async fn flush(&self) -> Answer {
        self.check_open()?;
        self.sync(&mut *self.dirty.lock().await).await
    }

    async fn barrier(&self) -> Answer {
        self.check_open()?;
        match self.bug {
            Some(Bug::BarrierIgnoresIt) => self.inner.barrier().await,
            _ => self.flush().await,
        }
    }

    async fn close(&self) -> Answer {
        self.closed.store(true, Ordering::Relaxed);
        let mut dirty = self.dirty.lock().await;
        if self.bug == Some(Bug::DroppedOnClose) {
            dirty.clear();
        }
        self.write_out(&mut dirty, 0..u64::MAX).await?;
        self.inner.close().await
    }
}
