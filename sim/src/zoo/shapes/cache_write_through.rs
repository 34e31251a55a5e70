//! A write-through cache, as dm-cache and bcache have it in that mode: reads are served from the
//! cache, and writes go to the file first and then into the cache.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use futures::lock::Mutex;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    MemoryFirst,
    FillRaces,
    ValidTooSoon,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        CacheWriteThrough,
        "cache-write-through",
        Legal,
        None,
        "bcache and dm-cache in writethrough mode"
    ),
    device!(
        CacheWriteThrough,
        "cache-ahead-of-file",
        Caching,
        Some(Bug::MemoryFirst),
        "memory is changed first, and not changed back if the write fails: classic"
    ),
    device!(
        CacheWriteThrough,
        "cache-fill-races-write",
        Concurrency,
        Some(Bug::FillRaces),
        "a fill from before a write: stale sets, for which memcached got leases"
    ),
    device!(
        CacheWriteThrough,
        "cache-valid-too-soon",
        Caching,
        Some(Bug::ValidTooSoon),
        "a page marked up to date before its read has succeeded"
    ),
];

struct CacheWriteThrough(Option<Bug>);

/// Blocks by number.
type Blocks = BTreeMap<u64, Box<[u8]>>;

struct Cached {
    file: SimFile,
    block: usize,
    latch: Latch,
    /// Locked for as long as a read or a write takes.
    blocks: Mutex<Blocks>,
    bug: Option<Bug>,
}

impl Subject for CacheWriteThrough {
    type Device = Shell<Cached>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Cached>, DeviceError> {
        let (file, block, latch) = (world.disk()?, spec.block_size as usize, Latch::default());
        let blocks = Mutex::default();
        let cached = Cached { file, block, latch: latch.clone(), blocks, bug: self.0 };
        Shell::new(cached, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        let promises = Promises::none().own_calls().in_place().trim(TrimEffect::Nothing);
        promises.contained().clean_close()
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=1024)
    }
}

impl Cached {
    fn numbers(&self, offset: u64, length: usize) -> Range<u64> {
        let block = self.block as u64;
        offset / block..(offset + length as u64) / block
    }
}

impl Store for Cached {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let numbers = self.numbers(offset, data.len());
        let mut blocks = self.blocks.lock().await;
        if numbers.clone().any(|number| !blocks.contains_key(&number)) {
            if self.bug == Some(Bug::ValidTooSoon) {
                for number in numbers.clone() {
                    blocks.entry(number).or_insert_with(|| vec![0; self.block].into());
                }
            }
            if self.bug == Some(Bug::FillRaces) {
                drop(blocks);
                read_full(&self.file, data, offset).await?;
                blocks = self.blocks.lock().await;
            } else {
                read_full(&self.file, data, offset).await?;
            }
            let filled = data.chunks_exact(self.block).map(Into::into);
            blocks.extend(numbers.clone().zip(filled));
        }
        for (bytes, number) in data.chunks_exact_mut(self.block).zip(numbers) {
            if let Some(block) = blocks.get(&number) {
                bytes.copy_from_slice(block);
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let numbers = self.numbers(offset, data.len());
        let mut blocks = self.blocks.lock().await;
        let written = || data.chunks_exact(self.block).map(Into::into);
        if self.bug == Some(Bug::MemoryFirst) {
            blocks.extend(numbers.clone().zip(written()));
        } else {
            // What the file holds is not known until the write has returned.
            blocks.retain(|number, _| !numbers.contains(number));
        }
        write_full(&self.file, data, offset).await?;
        blocks.extend(numbers.zip(written()));
        Ok(())
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }
}
