//! Bugs in which requests are served, and which bytes of the device they touch.

use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{
    BufferRef, Device, DeviceError, DynDevice, MutableBufferRef, WriteOptions,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    LastBlockRefused,
    OverflowAccepted,
    OverflowPanics,
    MisalignedTrimRounded,
    ReadOnlyIgnored,
    UsedAfterClose,
    SecondCloseFails,
    FourBlocksCutShort,
    TrimClamped,
    TrimOneTooMany,
    TrimOneTooFew,
    TrimRounded,
    TrimDelayed,
    NoSpacePoisons,
    ReadsRefusedAfterSyncFailure,
}

pub(super) struct Bounds {
    inner: DynDevice,
    bug: Bug,
    /// Trims still to be done.
    trims: Mutex<Vec<(u64, u64)>>,
    /// Something happened that the device never gets over.
    stuck: AtomicBool,
}

/// Blocks that a file system is said to allocate at once.
const CLUSTER: u64 = 4;

impl Bounds {
    pub(super) fn new(inner: DynDevice, bug: Bug) -> Self {
        Self { inner, bug, trims: Mutex::default(), stuck: AtomicBool::new(false) }
    }

    fn block(&self) -> u64 {
        u64::from(self.inner.geometry().block_size())
    }

    /// The answer to a request, where it is given without asking the device.
    fn prejudge(&self, offset: u64, length: u64) -> Option<Answer> {
        let size = self.inner.geometry().size();
        let end = offset.checked_add(length);
        match self.bug {
            Bug::LastBlockRefused if length > 0 && end == Some(size) => {
                Some(Err(DeviceError::OutOfRange { offset, length, size }))
            }
            Bug::OverflowAccepted if end.is_none() && offset.wrapping_add(length) <= size => {
                Some(Ok(()))
            }
            Bug::OverflowPanics => {
                assert!(end.is_some(), "attempt to add with overflow");
                None
            }
            _ => None,
        }
    }

    /// What a trim that the device would accept is made of.
    fn reshape(&self, offset: u64, length: u64) -> (u64, u64) {
        let (block, size) = (self.block(), self.inner.geometry().size());
        match self.bug {
            Bug::TrimOneTooMany => (offset, (length + block).min(size - offset)),
            Bug::TrimOneTooFew => (offset, length.saturating_sub(block)),
            Bug::TrimRounded => {
                let start = offset - offset % (CLUSTER * block);
                (start, (offset + length).next_multiple_of(CLUSTER * block).min(size) - start)
            }
            _ => (offset, length),
        }
    }

    /// What a trim is made of before anybody has checked it.
    fn coerce(&self, offset: u64, length: u64) -> (u64, u64) {
        let (block, size) = (self.block(), self.inner.geometry().size());
        match self.bug {
            Bug::TrimClamped => (offset.min(size), length.min(size.saturating_sub(offset))),
            Bug::MisalignedTrimRounded => (offset - offset % block, length - length % block),
            _ => (offset, length),
        }
    }

    async fn catch_up(&self) -> Answer {
        let trims = std::mem::take(&mut *self.trims.lock().unwrap_or_else(PoisonError::into_inner));
        for (offset, length) in trims {
            self.inner.trim(offset, length).await?;
        }
        Ok(())
    }

    /// Notes an answer after which the device is never the same.
    fn note(&self, answer: Answer) -> Answer {
        let fatal = match answer {
            Err(DeviceError::Io { errno, .. }) => {
                self.bug == Bug::NoSpacePoisons && errno == Some(28)
            }
            Err(DeviceError::SyncFailed) => self.bug == Bug::ReadsRefusedAfterSyncFailure,
            _ => false,
        };
        self.stuck.fetch_or(fatal, Ordering::Relaxed);
        answer
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }
}

impl Wrapper for Bounds {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Answer {
        if let Some(answer) = self.prejudge(offset, buffer.len() as u64) {
            return answer;
        }
        if self.bug == Bug::ReadsRefusedAfterSyncFailure && self.is_stuck() {
            return Err(DeviceError::SyncFailed);
        }
        self.inner.read(offset, buffer).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let length = buffer.len() as u64;
        if let Some(answer) = self.prejudge(offset, length) {
            return answer;
        }
        if self.bug == Bug::NoSpacePoisons && self.is_stuck() {
            return Err(DeviceError::SyncFailed);
        }
        let cut = self.bug == Bug::FourBlocksCutShort && length == 4 * self.block();
        let buffer = if cut { buffer.split_at(buffer.len() / 4 * 3).0 } else { buffer };
        self.note(self.inner.write(offset, buffer, options).await)
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        if let Some(answer) = self.prejudge(offset, length) {
            return answer;
        }
        let (offset, length) = self.coerce(offset, length);
        self.admit_change(offset, length).await?;
        let (offset, length) = self.reshape(offset, length);
        if self.bug == Bug::TrimDelayed {
            self.trims.lock().unwrap_or_else(PoisonError::into_inner).push((offset, length));
            return Ok(());
        }
        self.inner.trim(offset, length).await
    }

    async fn flush(&self) -> Answer {
        self.catch_up().await?;
        self.note(self.inner.flush().await)
    }

    async fn close(&self) -> Answer {
        match self.bug {
            Bug::UsedAfterClose => self.inner.flush().await,
            Bug::SecondCloseFails if self.stuck.swap(true, Ordering::Relaxed) => {
                Err(DeviceError::Closed)
            }
            _ => {
                self.catch_up().await?;
                self.inner.close().await
            }
        }
    }
}
