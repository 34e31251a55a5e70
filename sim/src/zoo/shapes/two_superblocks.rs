//! Two superblocks, written in turn, as LMDB has its meta pages, f2fs its checkpoints and ZFS its
//! uberblocks. Each has a generation, the map of a [`Shadow`], and a checksum over both. The newer
//! of those that are whole counts, so that a torn one leaves the one before it.

use super::shadow::{self, Commit, Shadow, map_length};
use super::shell::{Answer, Shell};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, checksum, number, read_full, with_numbers, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Shadow(shadow::Bug),
    BothAtOnce,
    SameSlot,
    GenerationRestarts,
    ChecksumIgnored,
    SeenIsDurable,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        TwoSuperblocks,
        "two-superblocks",
        Legal,
        None,
        "LMDB, f2fs, ZFS: superblocks written in turn"
    ),
    device!(
        TwoSuperblocks,
        "superblock-before-data",
        Reopen,
        Some(Bug::Shadow(shadow::Bug::DataNotSynced)),
        "one sync for the superblock and what it points to: btrfs on disks that ignore flushes"
    ),
    device!(
        TwoSuperblocks,
        "superblock-frees-early",
        Reopen,
        Some(Bug::Shadow(shadow::Bug::FreedEarly)),
        "a block is reused before the map that frees it is committed: btrfs, LMDB, classic"
    ),
    device!(
        TwoSuperblocks,
        "superblocks-at-once",
        Reopen,
        Some(Bug::BothAtOnce),
        "both copies are written without a sync between them: classic"
    ),
    device!(
        TwoSuperblocks,
        "superblock-not-in-turn",
        Reopen,
        Some(Bug::SameSlot),
        "the live copy is overwritten and the spare one is not: classic"
    ),
    device!(
        TwoSuperblocks,
        "superblock-generation-restarts",
        Reopen,
        Some(Bug::GenerationRestarts),
        "generations count from 1 at each opening, below those on disk: classic"
    ),
    device!(
        TwoSuperblocks,
        "superblock-checksum-ignored",
        Reopen,
        Some(Bug::ChecksumIgnored),
        "the newest superblock counts, torn or not: classic"
    ),
    device!(
        TwoSuperblocks,
        "superblock-seen-is-durable",
        Durability,
        Some(Bug::SeenIsDurable),
        "fsyncgate: the newest superblock is only in the page cache, the other is overwritten"
    ),
];

struct TwoSuperblocks(Option<Bug>);

struct Superblocks {
    file: SimFile,
    sector: usize,
    /// Bytes from one slot to the next.
    slot: u64,
    /// Which of the two slots counts.
    live: u64,
    generation: u64,
    latch: Latch,
    bug: Option<Bug>,
}

fn slot_length(spec: &DeviceSpec) -> usize {
    let sector = spec.sector_size as usize;
    sector + map_length(spec).next_multiple_of(sector)
}

impl Superblocks {
    fn bytes(&self, map: &[u8]) -> Vec<u8> {
        let sum = checksum(&[&self.generation.to_le_bytes(), map]);
        let mut bytes = with_numbers(self.sector, &[self.generation, sum]);
        bytes.extend_from_slice(map);
        bytes
    }

    /// Finds the live superblock, and its map.
    async fn find(&mut self, map_length: usize) -> Result<Vec<u8>, DeviceError> {
        let mut found = None;
        for slot in 0..2 {
            let mut bytes = vec![0; self.sector + map_length];
            read_full(&self.file, &mut bytes, slot * self.slot).await?;
            let map = bytes.split_off(self.sector);
            let (generation, sum) = (number(&bytes), number(&bytes[8..]));
            let whole = sum == checksum(&[&bytes[..8], &map]);
            let counts =
                generation > self.generation && (whole || self.bug == Some(Bug::ChecksumIgnored));
            if counts {
                (self.live, self.generation, found) = (slot, generation, Some(map));
            }
        }
        found.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData).into())
    }
}

impl Commit for Superblocks {
    async fn commit(&mut self, map: &[u8]) -> Answer {
        // Also where the last commit failed: its superblock may be there.
        self.generation += 1;
        let bytes = self.bytes(map);
        let slot = if self.bug == Some(Bug::SameSlot) { self.live } else { 1 - self.live };
        write_full(&self.file, &bytes, slot * self.slot).await?;
        if self.bug == Some(Bug::BothAtOnce) {
            write_full(&self.file, &bytes, self.live * self.slot).await?;
        }
        self.latch.sync(&self.file).await?;
        self.live = slot;
        Ok(())
    }
}

impl TwoSuperblocks {
    fn superblocks(&self, file: SimFile, spec: &DeviceSpec, latch: Latch) -> Superblocks {
        Superblocks {
            file,
            sector: spec.sector_size as usize,
            slot: slot_length(spec) as u64,
            live: 0,
            generation: 0,
            latch,
            bug: self.0,
        }
    }
}

impl Subject for TwoSuperblocks {
    type Device = Shell<Shadow<Superblocks>>;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Answer {
        let file = world.create(DISK).await?;
        let mut superblocks = self.superblocks(file, spec, Latch::default());
        superblocks.commit(&vec![0; map_length(spec)]).await
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let (file, latch) = (world.disk()?, Latch::default());
        let mut superblocks = self.superblocks(file.clone(), spec, latch.clone());
        let map = superblocks.find(map_length(spec)).await?;
        if self.0 != Some(Bug::SeenIsDurable) {
            // What is seen may be in the page cache only, and the other one is overwritten next.
            let (bytes, position) = (superblocks.bytes(&map), superblocks.live * superblocks.slot);
            write_full(&file, &bytes, position).await?;
            latch.sync(&file).await?;
        }
        if self.0 == Some(Bug::GenerationRestarts) {
            superblocks.generation = 0;
        }
        let start = (2 * superblocks.slot).next_multiple_of(spec.block_size.into());
        let bug = if let Some(Bug::Shadow(bug)) = self.0 { Some(bug) } else { None };
        let found = (superblocks, &map[..]);
        let shadow = Shadow::new(file, start, spec, found, latch.clone(), bug);
        Shell::new(shadow, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Zeros).clean_close()
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=256)
    }
}
