//! A write-back cache with a flusher, as bcache and the page cache have it: writes go to memory,
//! and a task on a timer writes to the file what is dirty. A flush writes the rest.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, lock, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::exec::JoinHandle;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use futures::lock::Mutex;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{self, Arc};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    ErrorDropped,
    CleansRewritten,
    NotWaitedFor,
    LostInHand,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        FlusherWriteBack,
        "flusher-write-back",
        Legal,
        None,
        "page cache, bcache: a task writes dirty blocks behind the writers"
    ),
    device!(
        FlusherWriteBack,
        "flusher-error-dropped",
        Loud,
        Some(Bug::ErrorDropped),
        "Linux before errseq_t: an error of writeback that nobody is told of"
    ),
    device!(
        FlusherWriteBack,
        "flusher-cleans-rewritten",
        Caching,
        Some(Bug::CleansRewritten),
        "the dirty bit is cleared after the write, also of newer data: classic"
    ),
    device!(
        FlusherWriteBack,
        "flusher-not-waited-for",
        Durability,
        Some(Bug::NotWaitedFor),
        "a flush that skips what is under writeback: filemap_fdatawrite, no wait"
    ),
    device!(
        FlusherWriteBack,
        "flusher-block-lost-in-hand",
        Durability,
        Some(Bug::LostInHand),
        "a cancelled flush has taken blocks off the dirty list: async classic"
    ),
];

struct FlusherWriteBack(Option<Bug>);

/// How often the flusher looks for dirty blocks, in ticks.
const INTERVAL: u64 = 20;

struct Cached {
    data: Arc<[u8]>,
    /// Not in the file yet, and nobody is about to write it.
    dirty: bool,
}

struct Cache {
    file: SimFile,
    block: u64,
    latch: Latch,
    /// Blocks that were written since the device was opened. They stay, so that a read which has
    /// not found a block here may take it from the file.
    blocks: sync::Mutex<BTreeMap<u64, Cached>>,
    /// Held by whoever writes dirty blocks, until they are in the file or dirty again.
    writing: Mutex<()>,
    /// What the flusher could not write, for the next flush to tell.
    owed: sync::Mutex<Option<DeviceError>>,
    bug: Option<Bug>,
}

/// A block that is being written to the file. Unless that succeeds, it is dirty again.
struct InHand<'a> {
    cache: &'a Cache,
    number: u64,
    data: Arc<[u8]>,
    /// Whether it was written, if it was tried to the end.
    written: Option<bool>,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut blocks = lock(&self.cache.blocks);
        let Some(cached) = blocks.get_mut(&self.number) else { return };
        match (self.written, self.cache.bug) {
            (Some(true), Some(Bug::CleansRewritten)) => cached.dirty = false,
            (Some(true), _) | (None, Some(Bug::LostInHand)) => {}
            _ => cached.dirty = true,
        }
    }
}

impl Cache {
    fn numbers(&self, offset: u64, length: usize) -> Range<u64> {
        offset / self.block..(offset + length as u64) / self.block
    }

    fn take(&self, number: u64) -> Option<InHand<'_>> {
        let mut blocks = lock(&self.blocks);
        let cached = blocks.get_mut(&number).filter(|cached| cached.dirty)?;
        cached.dirty = false;
        let data = Arc::clone(&cached.data);
        Some(InHand { cache: self, number, data, written: None })
    }

    /// Writes the dirty blocks among these to the file.
    async fn write_back(&self, numbers: Range<u64>, by_flusher: bool) -> Answer {
        let waits = by_flusher || self.bug != Some(Bug::NotWaitedFor);
        let _one_at_a_time = if waits { Some(self.writing.lock().await) } else { None };
        let cached: Vec<u64> = lock(&self.blocks).range(numbers).map(|(&it, _)| it).collect();
        for number in cached {
            let Some(mut in_hand) = self.take(number) else { continue };
            let mut result = write_full(&self.file, &in_hand.data, number * self.block).await;
            if by_flusher && self.bug == Some(Bug::ErrorDropped) {
                result = Ok(());
            }
            in_hand.written = Some(result.is_ok());
            result?;
        }
        Ok(())
    }
}

struct Flushed {
    cache: Arc<Cache>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

impl Subject for FlusherWriteBack {
    type Device = Shell<Flushed>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Flushed>, DeviceError> {
        let latch = Latch::default();
        let cache = Arc::new(Cache {
            file: world.disk()?,
            block: spec.block_size.into(),
            latch: latch.clone(),
            blocks: sync::Mutex::default(),
            writing: Mutex::default(),
            owed: sync::Mutex::default(),
            bug: self.0,
        });
        let (clock, its) = (world.clone(), Arc::clone(&cache));
        let flusher = world.spawn("flusher", async move {
            loop {
                clock.sleep(INTERVAL).await;
                if let Err(error) = its.write_back(0..u64::MAX, true).await {
                    *lock(&its.owed) = Some(error);
                }
            }
        });
        Shell::new(Flushed { cache, flusher: Mutex::new(Some(flusher)) }, world, spec, latch)
    }

    /// Not a clean close: one that follows a close which failed writes what that one left.
    fn promises(&self) -> Promises {
        Promises::none().in_place().trim(TrimEffect::Nothing).contained().clean_close()
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=256)
    }
}

impl Store for Flushed {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let cache = &self.cache;
        let numbers = cache.numbers(offset, data.len());
        let is_cached = |number| lock(&cache.blocks).contains_key(&number);
        if !numbers.clone().all(is_cached) {
            read_full(&cache.file, data, offset).await?;
        }
        let blocks = lock(&cache.blocks);
        let block = cache.block.try_into().unwrap_or(usize::MAX);
        for (bytes, number) in data.chunks_exact_mut(block).zip(numbers) {
            if let Some(cached) = blocks.get(&number) {
                bytes.copy_from_slice(&cached.data);
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let block = self.cache.block.try_into().unwrap_or(usize::MAX);
        let blocks = data.chunks_exact(block).map(|it| Cached { data: it.into(), dirty: true });
        let numbers = self.cache.numbers(offset, data.len());
        lock(&self.cache.blocks).extend(numbers.zip(blocks));
        Ok(())
    }

    async fn write_durably(&self, offset: u64, data: &[u8]) -> Answer {
        self.write(offset, data).await?;
        self.cache.write_back(self.cache.numbers(offset, data.len()), false).await?;
        self.cache.latch.sync(&self.cache.file).await
    }

    async fn flush(&self) -> Answer {
        self.cache.write_back(0..u64::MAX, false).await?;
        self.cache.latch.sync(&self.cache.file).await?;
        lock(&self.cache.owed).take().map_or(Ok(()), Err)
    }

    async fn close(&self) {
        let mut flusher = self.flusher.lock().await;
        if let Some(task) = &mut *flusher {
            task.abort();
            let _ = task.await;
        }
        *flusher = None;
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        if let Some(task) = self.flusher.get_mut() {
            task.abort();
        }
    }
}
