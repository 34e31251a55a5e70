//! Bugs behind a state that only a sequence of requests leads to.
//!
//! Each step is a branch of its own, so that coverage tells a fuzzer how far it has come.

use super::memory::Blocks;
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{
    BufferRef, Device, DeviceError, DynDevice, MutableBufferRef, WriteOptions,
};
use futures::lock::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// What a journal does at a checkpoint leaves nothing to flush, whatever is written after it.
    CheckpointTakenForFlush,
    /// What was read ahead is forgotten only where its first block is written.
    ReadAheadStale,
}

/// What a checkpoint is recognised by, each right after the one before: a barrier, the first block
/// written with `fua`, and a trim of the journal.
const NOTHING: u8 = 0;
const ORDERED: u8 = 1;
const ANCHORED: u8 = 2;
const CHECKPOINT: u8 = 3;

/// What was read ahead, and how far that goes.
#[derive(Default)]
struct ReadAhead {
    /// Where the last read ended, in bytes.
    end: u64,
    /// So many reads in a row have gone on there.
    streak: u32,
    blocks: Blocks,
}

pub(super) struct Sequences {
    inner: DynDevice,
    bug: Bug,
    progress: AtomicU8,
    /// Locked for as long as a request takes, so that none overtakes another.
    ahead: Mutex<ReadAhead>,
}

impl Sequences {
    pub(super) fn new(inner: DynDevice, bug: Bug) -> Self {
        Self { inner, bug, progress: AtomicU8::new(NOTHING), ahead: Mutex::default() }
    }

    /// A step on the way to a checkpoint. A request that is no such step leads back to the start;
    /// but what is written after a checkpoint is taken for a part of it.
    fn step(&self, from: u8, to: u8, fits: bool) {
        let before = self.progress.load(Ordering::Relaxed);
        if before == from && fits {
            self.progress.store(to, Ordering::Relaxed);
        } else if before != CHECKPOINT {
            self.progress.store(NOTHING, Ordering::Relaxed);
        }
    }

    fn numbers(&self, range: Range<u64>) -> Range<u64> {
        let block = u64::from(self.inner.geometry().block_size());
        range.start / block..range.end / block
    }

    /// The third read in a row takes one block beyond its end, the next two, and any later four.
    async fn read_ahead(&self, ahead: &mut ReadAhead) -> Answer {
        let Some(window) = ahead.streak.checked_sub(2) else { return Ok(()) };
        let geometry = self.inner.geometry();
        let block = u64::from(geometry.block_size());
        let first = ahead.end / block;
        let end = geometry.block_count().min(first + (1 << window.min(2)));
        ahead.blocks.clear();
        for number in first..end {
            let mut content = vec![0; geometry.block_size() as usize];
            self.inner.read(number * block, content[..].as_mut().into()).await?;
            ahead.blocks.insert(number, content.into_boxed_slice());
        }
        Ok(())
    }
}

impl Wrapper for Sequences {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Answer {
        if self.bug != Bug::ReadAheadStale {
            return self.inner.read(offset, buffer).await;
        }
        let mut ahead = self.ahead.lock().await;
        self.inner.read(offset, buffer.reborrow()).await?;
        let end = offset + buffer.len() as u64;
        let blocks = self.inner.geometry().block_size() as usize;
        let blocks = buffer.as_mut_slice().chunks_exact_mut(blocks);
        for (bytes, number) in blocks.zip(self.numbers(offset..end)) {
            if let Some(content) = ahead.blocks.get(&number) {
                bytes.copy_from_slice(content);
            }
        }
        ahead.streak = if ahead.end == offset { ahead.streak + 1 } else { 0 };
        ahead.end = end;
        self.read_ahead(&mut ahead).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let range = self.admit_change(offset, buffer.len() as u64).await?;
        let mut ahead = self.ahead.lock().await;
        let first = ahead.blocks.first_key_value().map(|(&number, _)| number);
        if first.is_some_and(|first| self.numbers(range).contains(&first)) {
            ahead.blocks.clear();
        }
        self.inner.write(offset, buffer, options).await?;
        self.step(ORDERED, ANCHORED, options.fua && offset == 0 && !buffer.is_empty());
        Ok(())
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let mut ahead = self.ahead.lock().await;
        ahead.blocks.clear();
        self.inner.trim(offset, length).await?;
        self.step(ANCHORED, CHECKPOINT, length > 0);
        Ok(())
    }

    async fn barrier(&self) -> Answer {
        self.inner.barrier().await?;
        self.step(NOTHING, ORDERED, true);
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let progress = self.progress.swap(NOTHING, Ordering::Relaxed);
        if self.bug == Bug::CheckpointTakenForFlush && progress == CHECKPOINT {
            return match self.admit_change(0, 0).await {
                Ok(_) | Err(DeviceError::ReadOnly) => Ok(()),
                Err(error) => Err(error),
            };
        }
        self.inner.flush().await
    }
}
