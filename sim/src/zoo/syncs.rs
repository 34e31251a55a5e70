//! Bugs in what makes writes durable, and in what orders them.

use super::memory::Memory;
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{
    BufferRef, Device, DeviceError, DynDevice, MutableBufferRef, WriteOptions,
};
use futures::lock::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    FlushNoOp,
    FlushLostAfterReopen,
    FlushJoinsAnother,
    FlushLiesAfterFailure,
    FlushErrorSwallowed,
    DirtyClearedEarly,
    ErrorMarksClean,
    FuaIgnored,
    FuaErrorSwallowed,
    FuaSyncsFirst,
    CloseWithoutSync,
    CloseErrorSwallowed,
    BarrierNoOp,
    BarrierLate,
    BarrierLostAfterReopen,
    BarrierErrorSwallowed,
    /// No bug: every write is durable when it returns.
    WriteThrough,
}

pub(super) struct Syncs {
    inner: DynDevice,
    bug: Bug,
    memory: Arc<Memory>,
    /// There is something to sync, if the device keeps books of it.
    dirty: AtomicBool,
    /// A barrier that the next write is to take along.
    barrier: AtomicBool,
    closed: AtomicBool,
    syncing: Mutex<()>,
}

impl Syncs {
    pub(super) fn new(inner: DynDevice, bug: Bug, memory: Arc<Memory>) -> Self {
        let [dirty, barrier, closed] = [(); 3].map(|()| AtomicBool::new(false));
        Self { inner, bug, memory, dirty, barrier, closed, syncing: Mutex::new(()) }
    }

    fn check_open(&self) -> Answer {
        if self.closed.load(Ordering::Relaxed) { Err(DeviceError::Closed) } else { Ok(()) }
    }

    /// Does nothing, but refuses what the device would refuse.
    async fn idle(&self) -> Answer {
        match self.admit_change(0, 0).await {
            Ok(_) | Err(DeviceError::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Syncs only what the books say.
    async fn flush_if_dirty(&self) -> Answer {
        if !self.dirty.load(Ordering::Relaxed) {
            return self.idle().await;
        }
        self.inner.flush().await?;
        self.dirty.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Does not sync where a sync is under way already, although that began before.
    async fn join_flush(&self) -> Answer {
        if let Some(_first) = self.syncing.try_lock() {
            return self.inner.flush().await;
        }
        let _waited = self.syncing.lock().await;
        self.idle().await
    }

    /// The file's own failures become `Ok`.
    fn swallow(answer: Answer) -> Answer {
        if matches!(answer, Err(DeviceError::Io { .. })) { Ok(()) } else { answer }
    }
}

impl Wrapper for Syncs {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Answer {
        self.check_open()?;
        self.inner.read(offset, buffer).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        self.check_open()?;
        match self.bug {
            Bug::FuaIgnored => self.inner.write(offset, buffer, WriteOptions::default()).await,
            Bug::FuaSyncsFirst if options.fua && !buffer.is_empty() => {
                self.admit_change(offset, buffer.len() as u64).await?;
                self.inner.flush().await?;
                self.inner.write(offset, buffer, WriteOptions::default()).await
            }
            Bug::FuaErrorSwallowed if options.fua => {
                self.inner.write(offset, buffer, WriteOptions::default()).await?;
                Self::swallow(self.inner.flush().await)
            }
            Bug::WriteThrough => self.inner.write(offset, buffer, WriteOptions::FUA).await,
            Bug::DirtyClearedEarly => {
                // A flush that is made during the write clears it for good.
                self.dirty.store(true, Ordering::Relaxed);
                self.inner.write(offset, buffer, options).await
            }
            Bug::ErrorMarksClean => {
                self.dirty.store(true, Ordering::Relaxed);
                let written = self.inner.write(offset, buffer, options).await;
                self.dirty.store(written.is_ok(), Ordering::Relaxed);
                written
            }
            Bug::BarrierLate => {
                self.inner.write(offset, buffer, options).await?;
                let late = self.barrier.swap(false, Ordering::Relaxed);
                if late { self.inner.flush().await } else { Ok(()) }
            }
            _ => self.inner.write(offset, buffer, options).await,
        }
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.check_open()?;
        self.dirty.store(true, Ordering::Relaxed);
        self.inner.trim(offset, length).await
    }

    async fn flush(&self) -> Answer {
        self.check_open()?;
        match self.bug {
            Bug::FlushNoOp => self.idle().await,
            Bug::FlushLostAfterReopen if self.memory.is_reopened() => self.idle().await,
            Bug::FlushJoinsAnother => self.join_flush().await,
            Bug::DirtyClearedEarly | Bug::ErrorMarksClean => self.flush_if_dirty().await,
            Bug::FlushErrorSwallowed => Self::swallow(self.inner.flush().await),
            Bug::FlushLiesAfterFailure => match self.inner.flush().await {
                Err(DeviceError::SyncFailed) => Ok(()),
                flushed => flushed,
            },
            _ => self.inner.flush().await,
        }
    }

    async fn barrier(&self) -> Answer {
        self.check_open()?;
        match self.bug {
            Bug::BarrierNoOp => self.idle().await,
            Bug::BarrierLate => {
                self.barrier.store(true, Ordering::Relaxed);
                self.idle().await
            }
            Bug::BarrierLostAfterReopen if self.memory.is_reopened() => self.idle().await,
            Bug::BarrierErrorSwallowed => Self::swallow(self.inner.barrier().await),
            _ => self.inner.barrier().await,
        }
    }

    async fn close(&self) -> Answer {
        match self.bug {
            Bug::CloseWithoutSync => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Bug::CloseErrorSwallowed => Self::swallow(self.inner.close().await),
            _ => self.inner.close().await,
        }
    }
}
