//! A map of trimmed blocks in a second file, as the dirty bitmaps of image formats and the write
//! intent maps of arrays lie beside the data: a trim sets bits, and such blocks read as zeros.
//!
//! What lies beneath a bit is older than the trim, and must never be seen again. So a bit may be
//! clear on the disk only once the data that was written since is there: a flush takes the map as
//! it is, makes the data durable, and only then that map.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, lock, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use futures::lock::Mutex;
use std::ops::Range;
use std::sync;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    MapBeforeData,
    MapTakenLate,
    FirstBitOnly,
    AskedAfterRead,
    FuaDataOnly,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        TrimByMap,
        "trim-by-map",
        Legal,
        None,
        "an allocation map beside the data, as VHDX has one"
    ),
    device!(
        TrimByMap,
        "trim-by-map-before-data",
        Durability,
        Some(Bug::MapBeforeData),
        "metadata durable before its data: ext4 with data=writeback, classic"
    ),
    device!(
        TrimByMap,
        "trim-by-map-newer-than-data",
        Durability,
        Some(Bug::MapTakenLate),
        "the map is copied after the data was synced, with bits of later writes"
    ),
    device!(
        TrimByMap,
        "trim-by-map-first-bit-only",
        Caching,
        Some(Bug::FirstBitOnly),
        "only the first block of a write is marked as written: classic"
    ),
    device!(
        TrimByMap,
        "trim-by-map-asked-late",
        Concurrency,
        Some(Bug::AskedAfterRead),
        "data is read before its map is asked, and a write comes between: classic"
    ),
    device!(
        TrimByMap,
        "trim-by-map-fua-data-only",
        Durability,
        Some(Bug::FuaDataOnly),
        "fua syncs the data, and not the metadata that makes it visible"
    ),
];

struct TrimByMap(Option<Bug>);

/// The file of the map.
const MAP: &str = "trimmed";

struct Mapped {
    file: SimFile,
    map_file: SimFile,
    block: usize,
    latch: Latch,
    /// A bit for each block: whether it was trimmed and not written since.
    map: sync::Mutex<Vec<u8>>,
    /// Held by writes and trims: what lies beneath a bit may be newer than a write that clears it
    /// late, and older than the trim.
    changing: Mutex<()>,
    /// The map that is known to be durable. Locked by whoever flushes.
    durable: Mutex<Option<Vec<u8>>>,
    bug: Option<Bug>,
}

fn is_set(map: &[u8], number: u64) -> bool {
    usize::try_from(number / 8).is_ok_and(|at| map[at] >> (number % 8) & 1 == 1)
}

impl Subject for TrimByMap {
    type Device = Shell<Mapped>;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        world.create(DISK).await?.set_len(spec.file_length).await?;
        let length = spec.block_count.div_ceil(8);
        Ok(world.create(MAP).await?.set_len(length).await?)
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Mapped>, DeviceError> {
        let (file, map_file) = (world.disk()?, world.open(MAP).await?);
        let bytes = usize::try_from(spec.block_count.div_ceil(8)).unwrap_or(usize::MAX);
        let mut map = vec![0; bytes];
        read_full(&map_file, &mut map, 0).await?;
        let latch = Latch::default();
        let mapped = Mapped {
            file,
            map_file,
            block: spec.block_size as usize,
            latch: latch.clone(),
            map: sync::Mutex::new(map),
            changing: Mutex::default(),
            durable: Mutex::default(),
            bug: self.0,
        };
        Shell::new(mapped, world, spec, latch)
    }

    /// Not a clean close: one that follows a close which failed writes what that one left.
    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Zeros).clean_close()
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=16384)
    }
}

impl Mapped {
    fn numbers(&self, offset: u64, length: u64) -> Range<u64> {
        let block = self.block as u64;
        offset / block..(offset + length) / block
    }

    fn mark(&self, numbers: Range<u64>, trimmed: bool) {
        let mut map = lock(&self.map);
        for number in numbers {
            let byte = usize::try_from(number / 8).unwrap_or(usize::MAX);
            map[byte] &= !(1 << (number % 8));
            map[byte] |= u8::from(trimmed) << (number % 8);
        }
    }

    fn map(&self) -> Vec<u8> {
        lock(&self.map).clone()
    }

    /// Makes this map durable, unless it is.
    async fn keep(&self, map: Vec<u8>, durable: &mut Option<Vec<u8>>) -> Answer {
        if durable.as_ref() == Some(&map) {
            return Ok(());
        }
        // Not known until it is written.
        *durable = None;
        write_full(&self.map_file, &map, 0).await?;
        self.latch.sync(&self.map_file).await?;
        *durable = Some(map);
        Ok(())
    }
}

impl Store for Mapped {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let mut map = self.map();
        read_full(&self.file, data, offset).await?;
        if self.bug == Some(Bug::AskedAfterRead) {
            map = self.map();
        }
        let numbers = self.numbers(offset, data.len() as u64);
        for (bytes, number) in data.chunks_exact_mut(self.block).zip(numbers) {
            if is_set(&map, number) {
                bytes.fill(0);
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let _one_at_a_time = self.changing.lock().await;
        write_full(&self.file, data, offset).await?;
        let mut numbers = self.numbers(offset, data.len() as u64);
        if self.bug == Some(Bug::FirstBitOnly) {
            numbers.end = numbers.start + 1;
        }
        self.mark(numbers, false);
        Ok(())
    }

    async fn write_durably(&self, offset: u64, data: &[u8]) -> Answer {
        self.write(offset, data).await?;
        if self.bug == Some(Bug::FuaDataOnly) {
            return self.latch.sync(&self.file).await;
        }
        self.flush().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let _one_at_a_time = self.changing.lock().await;
        self.mark(self.numbers(offset, length), true);
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let mut durable = self.durable.lock().await;
        let mut map = self.map();
        if self.bug == Some(Bug::MapBeforeData) {
            self.keep(map.clone(), &mut durable).await?;
        }
        self.latch.sync(&self.file).await?;
        if self.bug == Some(Bug::MapTakenLate) {
            map = self.map();
        }
        self.keep(map, &mut durable).await
    }
}
