//! Blocks with checksums in a second file, as dm-integrity, ZFS and btrfs have them.
//!
//! A sum covers a block and its number, and every read checks it. Each block has three places in
//! the file of data: the one that the table of sums on the disk speaks of, the newest one, and one
//! for a write under way, so that nothing is overwritten that is still needed. A flush makes the
//! data durable, and then the table.
//!
//! Each sector of the table has a sum of its own, and its number in it. What was written of it is
//! read back: a write that went nowhere leaves an old table, which looks like a good one.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{self, Latch, lock, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    UncheckedSinceOpening,
    FirstSectorOnly,
    MendedByNewSum,
    SumsFirst,
    InPlace,
    NotReadBack,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Checksummed,
        "checksummed",
        Legal,
        None,
        "dm-integrity, ZFS, btrfs: a sum for each block, and blocks written elsewhere"
    ),
    device!(
        Checksummed,
        "checksummed-unchecked-after-reopening",
        Silent,
        Some(Bug::UncheckedSinceOpening),
        "sums are checked where they are in a cache: classic"
    ),
    device!(
        Checksummed,
        "checksummed-first-sector-only",
        Silent,
        Some(Bug::FirstSectorOnly),
        "a sum over a fixed length, and not over the block: classic"
    ),
    device!(
        Checksummed,
        "checksummed-mended-by-new-sum",
        Silent,
        Some(Bug::MendedByNewSum),
        "a repair that makes the sum fit the data, as md's repair does with parity"
    ),
    device!(
        Checksummed,
        "checksummed-sums-first",
        Ordering,
        Some(Bug::SumsFirst),
        "sums durable before their data: dm-integrity without a journal"
    ),
    device!(
        Checksummed,
        "checksummed-in-place",
        Ordering,
        Some(Bug::InPlace),
        "data overwritten under a durable sum: why btrfs has no sums without copy-on-write"
    ),
    device!(
        Checksummed,
        "checksummed-not-read-back",
        Silent,
        Some(Bug::NotReadBack),
        "a lost write of the sums leaves old sums over old data: no Merkle root (FAST '08)"
    ),
];

struct Checksummed(Option<Bug>);

/// The file of sums.
const SUMS: &str = "sums";

/// Places of a block.
const PLACES: u64 = 3;

/// The place of a block of zeros, and of one whose entry was lost.
const ZEROS: u64 = PLACES;
const LOST: u64 = PLACES + 1;

/// Where a block is, and its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    place: u64,
    sum: u64,
}

/// Bytes of an entry. At the end of a sector of the table there is room for one that is none.
const ENTRY: usize = 16;

struct Block {
    now: Entry,
    /// A bit for each place that the table on the disk may speak of.
    kept: u8,
    /// It was written since the device was opened.
    is_new: bool,
}

pub(super) struct Summed {
    data: SimFile,
    sums: SimFile,
    spec: DeviceSpec,
    latch: Latch,
    /// One request at a time.
    turn: futures::lock::Mutex<()>,
    blocks: Mutex<Vec<Block>>,
    bug: Option<Bug>,
}

/// The sum of a block, or of a sector of the table, and of its number.
fn checksum(number: u64, bytes: &[u8]) -> u64 {
    files::checksum(&[&number.to_le_bytes(), bytes])
}

fn mismatch() -> DeviceError {
    io::Error::new(ErrorKind::InvalidData, "checksum").into()
}

fn blocks_of(spec: &DeviceSpec) -> usize {
    usize::try_from(spec.block_count).unwrap_or(usize::MAX)
}

fn entries_per_sector(spec: &DeviceSpec) -> usize {
    spec.sector_size as usize / ENTRY - 1
}

/// A sector of the table.
fn encode(spec: &DeviceSpec, number: u64, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(spec.sector_size as usize);
    for entry in entries {
        bytes.extend(entry.place.to_le_bytes());
        bytes.extend(entry.sum.to_le_bytes());
    }
    bytes.resize(spec.sector_size as usize - 8, 0);
    bytes.extend(checksum(number, &bytes).to_le_bytes());
    bytes
}

/// The entries of a sector of the table; lost where it is not what was written there.
fn decode(spec: &DeviceSpec, number: u64, bytes: &[u8]) -> Vec<Entry> {
    let (words, _) = bytes.as_chunks();
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let is_good = words.last() == Some(&checksum(number, &bytes[..bytes.len() - 8]));
    let entries = words.as_chunks().0.iter().take(entries_per_sector(spec));
    let lost = Entry { place: LOST, sum: 0 };
    entries.map(|&[place, sum]| if is_good { Entry { place, sum } } else { lost }).collect()
}

impl Subject for Checksummed {
    type Device = Shell<Summed>;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        world.create(DISK).await?;
        let sums = world.create(SUMS).await?;
        let zeros = vec![Entry { place: ZEROS, sum: 0 }; blocks_of(spec)];
        for (entries, number) in zeros.chunks(entries_per_sector(spec)).zip(0_u64..) {
            let at = number * u64::from(spec.sector_size);
            write_full(&sums, &encode(spec, number, entries), at).await?;
        }
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Summed>, DeviceError> {
        let (data, sums) = (world.open(DISK).await?, world.open(SUMS).await?);
        let mut blocks = Vec::new();
        let sectors = spec.block_count.div_ceil(entries_per_sector(spec) as u64);
        for number in 0..sectors {
            let mut bytes = vec![0; spec.sector_size as usize];
            read_full(&sums, &mut bytes, number * u64::from(spec.sector_size)).await?;
            // What is read may not be what is durable: a sync may have failed before.
            blocks.extend(decode(spec, number, &bytes).into_iter().map(|now| Block {
                now,
                kept: u8::MAX,
                is_new: false,
            }));
        }
        blocks.truncate(blocks_of(spec));
        let (latch, turn) = (Latch::default(), futures::lock::Mutex::default());
        let (spec, blocks, bug) = (*spec, blocks.into(), self.0);
        let summed = Summed { data, sums, spec, latch: latch.clone(), turn, blocks, bug };
        Shell::new(summed, world, &spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().integrity().trim(TrimEffect::Zeros).clean_close()
    }

    fn accepts(&self) -> Accepts {
        // The table is in memory, and is written whole.
        Accepts::anything().blocks(1..=64)
    }
}

impl Summed {
    fn blocks(&self) -> MutexGuard<'_, Vec<Block>> {
        lock(&self.blocks)
    }

    fn sum(&self, number: usize, bytes: &[u8]) -> u64 {
        match self.bug {
            Some(Bug::FirstSectorOnly) => {
                checksum(number as u64, &bytes[..self.spec.sector_size as usize])
            }
            _ => checksum(number as u64, bytes),
        }
    }

    /// Where in the file a place of a block is: there is an area for the first places of all
    /// blocks, one for the second ones, and one for the third.
    fn offset(&self, number: usize, place: u64) -> u64 {
        (place * self.spec.block_count + number as u64) * u64::from(self.spec.block_size)
    }

    /// The number of the block at this offset.
    fn first(&self, offset: u64) -> usize {
        usize::try_from(offset / u64::from(self.spec.block_size)).unwrap_or(usize::MAX)
    }

    async fn read_block(&self, number: usize, data: &mut [u8]) -> Answer {
        let (Entry { place, sum }, is_new) = {
            let block = &self.blocks()[number];
            (block.now, block.is_new)
        };
        match place {
            ZEROS => data.fill(0),
            LOST => return Err(mismatch()),
            place => {
                read_full(&self.data, data, self.offset(number, place)).await?;
                let unchecked = !is_new && self.bug == Some(Bug::UncheckedSinceOpening);
                let found = self.sum(number, data);
                if !unchecked && found != sum {
                    if self.bug == Some(Bug::MendedByNewSum) {
                        self.blocks()[number].now.sum = found;
                    }
                    return Err(mismatch());
                }
            }
        }
        Ok(())
    }

    async fn write_block(&self, number: usize, data: &[u8]) -> Answer {
        let free = |block: &Block| {
            let is_free = |place: &u64| *place != block.now.place && block.kept >> place & 1 == 0;
            (0..PLACES).find(is_free)
        };
        let mut place = free(&self.blocks()[number]);
        if self.bug == Some(Bug::InPlace) {
            place = Some(0);
        }
        if place.is_none() {
            self.make_durable().await?;
            place = free(&self.blocks()[number]);
        }
        let place = place.unwrap_or(0);
        write_full(&self.data, data, self.offset(number, place)).await?;
        let now = Entry { place, sum: self.sum(number, data) };
        let block = &mut self.blocks()[number];
        (block.now, block.is_new) = (now, true);
        Ok(())
    }

    /// Nothing else is under way.
    async fn make_durable(&self) -> Answer {
        if self.bug != Some(Bug::SumsFirst) {
            self.latch.sync(&self.data).await?;
        }
        let entries: Vec<Entry> = self.blocks().iter().map(|block| block.now).collect();
        for block in &mut *self.blocks() {
            block.kept |= 1 << block.now.place;
        }
        let sector = u64::from(self.spec.sector_size);
        let table = entries.chunks(entries_per_sector(&self.spec)).zip(0_u64..);
        for (entries, number) in table.clone() {
            let bytes = encode(&self.spec, number, entries);
            write_full(&self.sums, &bytes, number * sector).await?;
        }
        self.latch.sync(&self.sums).await?;
        if self.bug == Some(Bug::SumsFirst) {
            self.latch.sync(&self.data).await?;
        }
        for (entries, number) in table {
            let mut bytes = vec![0; self.spec.sector_size as usize];
            read_full(&self.sums, &mut bytes, number * sector).await?;
            let is_there = bytes == encode(&self.spec, number, entries);
            if !is_there && self.bug != Some(Bug::NotReadBack) {
                return Err(mismatch());
            }
        }
        for block in &mut *self.blocks() {
            block.kept = 1 << block.now.place;
        }
        Ok(())
    }
}

impl Store for Summed {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let _turn = self.turn.lock().await;
        let blocks = data.chunks_mut(self.spec.block_size as usize);
        for (block, number) in blocks.zip(self.first(offset)..) {
            self.read_block(number, block).await?;
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let _turn = self.turn.lock().await;
        self.latch.check()?;
        let blocks = data.chunks(self.spec.block_size as usize);
        for (block, number) in blocks.zip(self.first(offset)..) {
            self.write_block(number, block).await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let _turn = self.turn.lock().await;
        self.make_durable().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let _turn = self.turn.lock().await;
        self.latch.check()?;
        let (first, end) = (self.first(offset), self.first(offset + length));
        for block in &mut self.blocks()[first..end] {
            (block.now, block.is_new) = (Entry { place: ZEROS, sum: 0 }, true);
        }
        Ok(())
    }
}
