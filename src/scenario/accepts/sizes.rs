//! The sizes that a device takes, and the nearest to those that it does not.

use super::limits::Limits;
use super::{Accepts, TRIMS};
use crate::scenario::{DeviceSpec, MAX_BEYOND, MAX_TRANSFER, Trim};

/// So many bytes are left at the end of all files to a device that may keep something before its
/// blocks: 1 TiB.
const ROOM: u64 = 1 << 40;

/// Most bytes of a device.
const MAX_SIZE: u64 = i64::MAX.cast_unsigned();

impl Accepts {
    /// Sizes of sector and block that go together, in ascending order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let blocks = (9..=25).map(|bits| 1_u32 << bits);
        let blocks = blocks.filter(|&block| self.block.contains(block.into()));
        self.sectors.iter().flat_map(move |&sector| {
            blocks.clone().filter(move |&block| block >= sector).map(move |block| (sector, block))
        })
    }

    /// The [`pairs`](Self::pairs) with which the heap and the number of blocks can be accepted too;
    /// all of them if there are none such.
    fn usable_pairs(&self) -> Vec<(u32, u32)> {
        let fits = |&(_, block): &(u32, u32)| {
            let size = self.blocks.least.checked_mul(block.into());
            self.heap.most >= block.into() && size.is_some_and(|size| size <= MAX_SIZE)
        };
        let usable: Vec<_> = self.pairs().filter(fits).collect();
        if usable.is_empty() { self.pairs().collect() } else { usable }
    }

    /// Whether devices are drawn that are a block smaller than so many bytes, of some block size.
    pub(in crate::scenario) fn takes_size(&self, bytes: u64) -> bool {
        self.sectors.iter().any(|&sector| {
            // Of the sizes of a block the first four are drawn.
            let drawn = self.pairs().filter(|pair| pair.0 == sector).take(4);
            let mut blocks = drawn.map(|(_, block)| block);
            blocks.any(|block| self.counts(block).contains(bytes / u64::from(block) - 1))
        })
    }

    /// How many blocks of this size there can be.
    pub(in crate::scenario) fn counts(&self, block_size: u32) -> Limits {
        let largest = if self.ends_of_files { MAX_SIZE } else { MAX_SIZE - ROOM };
        let possible = Limits { least: 1, most: largest / u64::from(block_size.max(1)) };
        let counts = self.blocks.within(possible);
        if counts.is_empty() { possible } else { counts }
    }

    /// How large the heap of a device with blocks of this size can be, in bytes.
    fn heaps(&self, block_size: u32) -> Limits {
        let possible = Limits { least: block_size.into(), most: MAX_TRANSFER };
        let heaps = self.heap.within(possible);
        if heaps.is_empty() { possible } else { heaps }
    }

    /// The sector size for a device that is to be generated, if `drawn` was drawn.
    pub(in crate::scenario) fn sector_for(&self, drawn: u32) -> u32 {
        let usable = self.usable_pairs();
        let found = usable.iter().map(|&(sector, _)| sector).find(|&sector| sector == drawn);
        found.or(usable.first().map(|&(sector, _)| sector)).unwrap_or(drawn)
    }

    /// The block size for a device that is to be generated, if it was drawn to be the sector
    /// shifted by `bits`: that if it is accepted, or else one as far from the smallest accepted.
    pub(in crate::scenario) fn block_for(&self, sector_size: u32, bits: usize) -> u32 {
        let drawn = sector_size << bits;
        let usable = self.usable_pairs().into_iter();
        let sizes: Vec<u32> =
            usable.filter(|&(sector, _)| sector == sector_size).map(|(_, block)| block).collect();
        match sizes.len().checked_sub(1) {
            Some(last) if !sizes.contains(&drawn) => sizes[bits.min(last)],
            _ => drawn,
        }
    }

    /// The heap of a device that is to be generated, if one of `drawn` bytes was drawn: whole
    /// blocks, if they are accepted.
    pub(in crate::scenario) fn heap_for(&self, block_size: u32, drawn: u64) -> u32 {
        let (heaps, block) = (self.heaps(block_size), u64::from(block_size));
        let nearest = heaps.nearest(drawn);
        let whole = [nearest.next_multiple_of(block), nearest / block * block];
        let found = whole.into_iter().find(|&heap| heaps.contains(heap));
        u32::try_from(found.unwrap_or(nearest)).unwrap_or(block_size)
    }

    /// Whether the file was used before, if it was drawn so.
    pub(in crate::scenario) fn used_for(&self, drawn: bool) -> bool {
        drawn && self.used_files
    }

    /// How long the file of a device of `size` bytes is, if `drawn` was drawn.
    pub(in crate::scenario) fn file_for(&self, size: u64, drawn: u64) -> u64 {
        if self.short_files { drawn } else { size }
    }

    /// The nearest trim mode.
    pub(in crate::scenario) fn trim_for(&self, trim: Trim) -> Trim {
        let taken: Vec<Trim> = TRIMS.into_iter().filter(|it| self.trims.contains(it)).collect();
        if taken.is_empty() || taken.contains(&trim) {
            return trim;
        }
        taken[trim as usize % taken.len()]
    }

    /// Whether a device is opened read-only, if that was drawn.
    pub(in crate::scenario) fn read_only_for(&self, drawn: bool) -> bool {
        drawn && self.read_only || !self.writable
    }

    /// The nearest device that is accepted: the sector first, then the block, the number of blocks,
    /// the heap and the file. It has as many blocks as `spec` and as many of them in the heap, if
    /// that is accepted.
    pub(crate) fn nearest(&self, spec: &DeviceSpec) -> DeviceSpec {
        let (sector_size, block_size) = self.nearest_pair(spec);
        let block_count = self.counts(block_size).nearest(spec.block_count);
        let (from, to) = (u64::from(spec.block_size.max(1)), u64::from(block_size));
        let heap = u64::from(spec.heap);
        let scaled = if from == to { heap } else { (heap / from).saturating_mul(to) };
        let heap = u32::try_from(self.heaps(block_size).nearest(scaled)).unwrap_or(block_size);
        let trim = self.trim_for(spec.trim);
        let read_only = self.read_only_for(spec.read_only);
        let file_length = 0;
        let used = self.used_for(spec.used);
        let mut nearest = DeviceSpec {
            sector_size,
            block_size,
            block_count,
            file_length,
            heap,
            trim,
            read_only,
            used,
        };
        nearest.file_length = self.nearest_file(spec, &nearest, spec.file_length / from);
        nearest
    }

    fn nearest_pair(&self, spec: &DeviceSpec) -> (u32, u32) {
        let (sector_size, block_size) = (spec.sector_size, spec.block_size);
        let bits = |size: u32| size.max(1).ilog2();
        let distance = |&(sector, block): &(u32, u32)| {
            (sector != sector_size, bits(block).abs_diff(bits(block_size)), block)
        };
        self.usable_pairs().into_iter().min_by_key(distance).unwrap_or((sector_size, block_size))
    }

    /// How long the file of `to` is, in bytes, to be as that of `from` is: as long as the device,
    /// or ending in block `blocks`.
    pub(super) fn nearest_file(&self, from: &DeviceSpec, to: &DeviceSpec, blocks: u64) -> u64 {
        let [old, new] = [from, to].map(|it| u64::from(it.block_size.max(1)));
        let [whole, size] = [from, to].map(DeviceSpec::size);
        let beyond = from.file_length.saturating_sub(whole);
        if to.used && beyond > 0 {
            return size.saturating_add(beyond.min(MAX_BEYOND)).min(MAX_SIZE);
        }
        if !self.short_files || from.file_length == whole {
            return size;
        }
        let rest = from.file_length % old;
        let rest = if old == new { rest } else { scaled_rest(rest, old, new) };
        blocks.saturating_mul(new).saturating_add(rest).min(size)
    }
}

/// What is left over after the last whole block, where blocks of `old` bytes become `new` bytes:
/// less than a block, and something if it was something.
pub(super) fn scaled_rest(rest: u64, old: u64, new: u64) -> u64 {
    let scaled = u128::from(rest) * u128::from(new) / u128::from(old);
    u64::try_from(scaled).unwrap_or(u64::MAX).clamp(u64::from(rest > 0), new - 1)
}
