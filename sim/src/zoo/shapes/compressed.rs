//! Compressed blocks of varying length, as ZFS, VDO and qcow2's compressed clusters have them: the
//! file of data only grows, and an index says where in it each block is, and how long.
//!
//! Nothing is overwritten, so the data is made durable, and then the index that speaks of it. The
//! codec knows what counts up: two words, and by how much all pairs of words differ from the pair
//! before.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, lock, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    IndexFirst,
    IndexTooNew,
    OverlapsAfterReopening,
    RewritesInPlace,
    IncompressibleCut,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Compressed,
        "compressed",
        Legal,
        None,
        "VDO, ZFS, compressed qcow2: blocks of varying length, and an index"
    ),
    device!(
        Compressed,
        "compressed-index-first",
        Ordering,
        Some(Bug::IndexFirst),
        "metadata durable before the data that it speaks of: ext4 data=writeback"
    ),
    device!(
        Compressed,
        "compressed-index-too-new",
        Concurrency,
        Some(Bug::IndexTooNew),
        "entries of writes that end while the data is synced go out too: classic"
    ),
    device!(
        Compressed,
        "compressed-overlaps-after-reopening",
        Reopen,
        Some(Bug::OverlapsAfterReopening),
        "the end of what is allocated taken from the last entry, not the furthest: classic"
    ),
    device!(
        Compressed,
        "compressed-rewrites-in-place",
        Ordering,
        Some(Bug::RewritesInPlace),
        "what fits the old space is written there, under an index that speaks of the old"
    ),
    device!(
        Compressed,
        "compressed-incompressible-cut",
        Silent,
        Some(Bug::IncompressibleCut),
        "a block that grows when it is compressed is cut to its size: classic"
    ),
];

struct Compressed(Option<Bug>);

/// The file of the index.
const INDEX: &str = "index";

/// Bytes of an entry of the index.
const ENTRY: usize = 16;

/// Where a block is. One of no length is zeros, as is all that the index does not reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    offset: u64,
    length: u64,
}

pub(super) struct Blocks {
    data: SimFile,
    index: SimFile,
    block_size: usize,
    latch: Latch,
    /// Flushes are made one at a time.
    flushing: futures::lock::Mutex<()>,
    state: Mutex<State>,
    bug: Option<Bug>,
}

struct State {
    extents: Vec<Extent>,
    /// Where in the data nothing was written yet.
    end: u64,
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Of which size the pieces are that are compressed, each by itself.
const PIECE: usize = 512;

/// Whether it is worth while to try: of sixteen bytes of what is random, most are different.
fn looks_compressible(piece: &[u8]) -> bool {
    let mut sample = piece[..16].to_vec();
    sample.sort_unstable();
    sample.windows(2).any(|pair| pair[0] == pair[1])
}

/// A piece is a 0 and itself, or a 1, two words, and two differences.
fn compress(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in block.chunks(PIECE) {
        let words = words(piece);
        let steps = [words[2].wrapping_sub(words[0]), words[3].wrapping_sub(words[1])];
        let counts = words.windows(3).zip(0_usize..);
        let mut counts = counts.map(|(it, at)| it[2].wrapping_sub(it[0]) == steps[at % 2]);
        if looks_compressible(piece) && counts.all(|counts| counts) {
            out.push(1);
            out.extend(
                [words[0], words[1], steps[0], steps[1]].map(u64::to_le_bytes).as_flattened(),
            );
        } else {
            out.push(0);
            out.extend(piece);
        }
    }
    out
}

/// The block that was compressed to this.
fn expand(mut bytes: &[u8], block: &mut [u8]) {
    for piece in block.chunks_mut(PIECE) {
        let (kind, rest) = bytes.split_at(bytes.len().min(1));
        if kind != [1] {
            let (raw, rest) = rest.split_at(rest.len().min(PIECE));
            piece[..raw.len()].copy_from_slice(raw);
            bytes = rest;
            continue;
        }
        let (four, rest) = rest.split_at(rest.len().min(32));
        let [mut one, mut two, step, other] = words(four).try_into().unwrap_or([0; 4]);
        for pair in piece.as_chunks_mut::<8>().0.as_chunks_mut::<2>().0 {
            *pair = [one, two].map(u64::to_le_bytes);
            (one, two) = (one.wrapping_add(step), two.wrapping_add(other));
        }
        bytes = rest;
    }
}

impl Subject for Compressed {
    type Device = Shell<Blocks>;

    async fn create(&self, world: &World, _: &DeviceSpec) -> Result<(), DeviceError> {
        world.create(DISK).await?;
        world.create(INDEX).await?;
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Blocks>, DeviceError> {
        let (data, index) = (world.open(DISK).await?, world.open(INDEX).await?);
        let mut bytes = vec![0; ENTRY * usize::try_from(spec.block_count).unwrap_or(0)];
        read_full(&index, &mut bytes, 0).await?;
        let words = words(&bytes);
        let pairs = words.as_chunks().0.iter();
        let extents: Vec<_> = pairs.map(|&[offset, length]| Extent { offset, length }).collect();
        let mut ends = extents.iter().map(|it| it.offset + it.length).filter(|end| *end > 0);
        let end = match self.0 {
            Some(Bug::OverlapsAfterReopening) => ends.next_back().unwrap_or(0),
            // An older index may be durable than is seen: all that was ever written is kept.
            _ => ends.max().unwrap_or(0).max(data.len().await?),
        };
        let (latch, flushing) = (Latch::default(), futures::lock::Mutex::default());
        let (block_size, state, bug) =
            (spec.block_size as usize, State { extents, end }.into(), self.0);
        let blocks = Blocks { data, index, block_size, latch, flushing, state, bug };
        let latch = blocks.latch.clone();
        Shell::new(blocks, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Zeros).clean_close()
    }

    fn accepts(&self) -> Accepts {
        // The index is in memory, and is written whole.
        Accepts::anything().blocks(1..=256)
    }
}

impl Blocks {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The number of the block at this offset.
    fn first(&self, offset: u64) -> usize {
        usize::try_from(offset / self.block_size as u64).unwrap_or(usize::MAX)
    }

    async fn write_block(&self, number: usize, block: &[u8]) -> Answer {
        let mut bytes = compress(block);
        if self.bug == Some(Bug::IncompressibleCut) {
            bytes.truncate(block.len());
        }
        let length = bytes.len() as u64;
        let offset = {
            let State { extents, end } = &mut *self.state();
            let old = extents[number];
            if old.length >= length && self.bug == Some(Bug::RewritesInPlace) {
                old.offset
            } else {
                *end += length;
                *end - length
            }
        };
        write_full(&self.data, &bytes, offset).await?;
        self.state().extents[number] = Extent { offset, length };
        Ok(())
    }

    async fn write_index(&self, extents: &[Extent]) -> Answer {
        let words = extents.iter().flat_map(|it| [it.offset, it.length]);
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        write_full(&self.index, &bytes, 0).await?;
        self.latch.sync(&self.index).await
    }
}

impl Store for Blocks {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let blocks = data.chunks_mut(self.block_size);
        for (block, number) in blocks.zip(self.first(offset)..) {
            let Extent { offset, length } = self.state().extents[number];
            if length == 0 {
                block.fill(0);
                continue;
            }
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            read_full(&self.data, &mut bytes, offset).await?;
            expand(&bytes, block);
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        for (block, number) in data.chunks(self.block_size).zip(self.first(offset)..) {
            self.write_block(number, block).await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let _one_at_a_time = self.flushing.lock().await;
        // Of what is written from now on, the data may not be durable when the index is.
        let mut extents = self.state().extents.clone();
        if self.bug == Some(Bug::IndexFirst) {
            self.write_index(&extents).await?;
        }
        self.latch.sync(&self.data).await?;
        if self.bug == Some(Bug::IndexTooNew) {
            extents = self.state().extents.clone();
        }
        self.write_index(&extents).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let (first, end) = (self.first(offset), self.first(offset + length));
        self.state().extents[first..end].fill(Extent::default());
        Ok(())
    }
}
