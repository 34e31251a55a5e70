//! A read cache, and how it gets stale.

use super::memory::{Blocks, Memory};
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{BufferRef, Device, DynDevice, MutableBufferRef, WriteOptions};
use futures::lock::Mutex;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    StaleAfterTrim,
    StaleAfterWrite,
    StaleAfterReopen,
    ServedAfterCrash,
    FailedWriteCached,
    StaleAfterFailedWrite,
    FillOvertaken,
}

/// Keeps every block that was read, until it is written or trimmed.
pub(super) struct Cache {
    inner: DynDevice,
    bug: Option<Bug>,
    memory: Arc<Memory>,
    /// Locked for as long as a request takes, so that none overtakes another.
    blocks: Mutex<Blocks>,
}

impl Cache {
    pub(super) fn new(inner: DynDevice, bug: Option<Bug>, memory: Arc<Memory>) -> Self {
        let keeps = matches!(bug, Some(Bug::StaleAfterReopen | Bug::ServedAfterCrash));
        let blocks = if keeps { memory.kept() } else { Blocks::new() };
        Self { inner, bug, memory, blocks: Mutex::new(blocks) }
    }

    fn block(&self) -> usize {
        self.inner.geometry().block_size() as usize
    }

    /// Blocks by number.
    fn numbers(&self, range: &Range<u64>) -> Range<u64> {
        let block = self.block() as u64;
        range.start / block..range.end / block
    }

    fn insert(&self, blocks: &mut Blocks, first: u64, data: &[u8]) {
        let contents = data.chunks_exact(self.block()).map(Into::into);
        blocks.extend((first..).zip(contents));
        if self.bug == Some(Bug::ServedAfterCrash) {
            self.memory.keep(blocks);
        }
    }

    /// The range is about to change.
    fn forget(&self, blocks: &mut Blocks, range: &Range<u64>) {
        let mut numbers = self.numbers(range);
        if self.bug == Some(Bug::StaleAfterWrite) {
            // As if every request were of one block.
            numbers.end = numbers.end.min(numbers.start + 1);
        }
        blocks.retain(|number, _| !numbers.contains(number));
    }
}

impl Wrapper for Cache {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Answer {
        let range = self.admit_read(offset, buffer.len() as u64).await?;
        let numbers = self.numbers(&range);
        let mut blocks = self.blocks.lock().await;
        if numbers.clone().all(|number| blocks.contains_key(&number)) {
            let cached = blocks.range(numbers).map(|(_, content)| content);
            for (bytes, content) in buffer.as_mut_slice().chunks_exact_mut(self.block()).zip(cached)
            {
                bytes.copy_from_slice(content);
            }
            return Ok(());
        }
        if self.bug == Some(Bug::FillOvertaken) {
            drop(blocks);
            self.inner.read(offset, buffer.reborrow()).await?;
            blocks = self.blocks.lock().await;
        } else {
            self.inner.read(offset, buffer.reborrow()).await?;
        }
        self.insert(&mut blocks, numbers.start, buffer.as_slice());
        Ok(())
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let range = self.admit_change(offset, buffer.len() as u64).await?;
        let mut blocks = self.blocks.lock().await;
        if self.bug == Some(Bug::StaleAfterFailedWrite) {
            self.inner.write(offset, buffer, options).await?;
            self.forget(&mut blocks, &range);
            return Ok(());
        }
        self.forget(&mut blocks, &range);
        if self.bug == Some(Bug::FailedWriteCached) {
            self.insert(&mut blocks, self.numbers(&range).start, buffer.as_slice());
        }
        self.inner.write(offset, buffer, options).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let range = self.admit_change(offset, length).await?;
        let mut blocks = self.blocks.lock().await;
        if self.bug != Some(Bug::StaleAfterTrim) {
            let numbers = self.numbers(&range);
            blocks.retain(|number, _| !numbers.contains(number));
        }
        self.inner.trim(offset, length).await
    }

    async fn close(&self) -> Answer {
        self.inner.close().await?;
        if self.bug == Some(Bug::StaleAfterReopen) {
            self.memory.keep(&*self.blocks.lock().await);
        }
        Ok(())
    }
}
