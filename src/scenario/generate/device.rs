//! Which device a scenario has.

use super::super::{DeviceSpec, LANDMARKS, Trim};
use super::length::LARGE;
use super::{Generator, Profile};

/// Most blocks of a device that is neither small nor at a landmark.
const MEDIUM: u64 = 1 << 13;

impl Generator<'_> {
    /// Draws a device. Each draw is mapped to what is accepted before the next one, which may
    /// depend on it.
    pub(super) fn device(&mut self, profile: Profile, large: bool) -> DeviceSpec {
        let accepts = self.accepts;
        let rng = &mut self.rng;
        // What is to take large transfers has large blocks half of the time.
        let few_blocks = large && rng.chance(1, 2);
        let native = rng.chance(1, if few_blocks { 2 } else { 8 });
        let sector_size = accepts.sector_for(if native { 4096 } else { 512 });
        let bits = match large {
            true if few_blocks => 3,
            true => rng.weighted(&[0, 1, 1, 3]),
            false => rng.weighted(&[4, 1, 1, 3]),
        };
        let block_size = accepts.block_for(sector_size, bits);
        let block_count = self.block_count(profile, large, block_size);
        let rng = &mut self.rng;
        let size = block_count * u64::from(block_size);
        let file_length = match rng.weighted(&[5, 1, 1, 1]) {
            0 => size,
            1 => 0,
            2 => rng.below(block_count) * u64::from(block_size),
            _ => rng.below(size.min(1 << 20)),
        };
        let used = accepts.used_for(rng.chance(1, 6));
        let most = *rng.pick(&[600, 1 << 16]);
        let beyond = (used && rng.chance(1, 3)).then(|| rng.between(1, most));
        let file_length = match beyond {
            Some(beyond) => size.saturating_add(beyond).min(i64::MAX.cast_unsigned()),
            None => accepts.file_for(size, file_length),
        };
        let heap_blocks = match rng.weighted(&[32, 31, 1]) {
            0 => rng.between(1, 8),
            1 => 256,
            _ => 2048,
        };
        let heap_blocks = match large {
            true => (2 * LARGE).div_ceil(block_size.into()),
            false => heap_blocks,
        };
        let heap = accepts.heap_for(block_size, heap_blocks * u64::from(block_size));
        let trim = *rng.pick(&[Trim::Scribble, Trim::Scribble, Trim::PunchHole, Trim::Ignore]);
        let trim = accepts.trim_for(trim);
        let read_only = profile == Profile::Default && rng.chance(1, 64);
        let read_only = accepts.read_only_for(read_only);
        DeviceSpec {
            sector_size,
            block_size,
            block_count,
            file_length,
            heap,
            trim,
            read_only,
            used,
        }
    }

    /// How many blocks the device has: a few more than the fewest, or now and then as many as a
    /// device of several sectors of metadata has, or the most; or as many as make a landmark, or
    /// are large transfers, if that is accepted.
    fn block_count(&mut self, profile: Profile, large: bool, block_size: u32) -> u64 {
        let (counts, rng) = (self.accepts.counts(block_size), &mut self.rng);
        let small = !profile.has_landmarks() || rng.chance(7, 8);
        let drawn = if large {
            rng.between(LARGE, 2 * LARGE).div_ceil(block_size.into())
        } else if small {
            let most = *rng.pick(&[4, 8, 16, 64]);
            rng.between(1, most)
        } else {
            let landmark = rng.pick(&LANDMARKS) / u64::from(block_size);
            let near = (landmark + rng.below(64)).saturating_sub(*rng.pick(&[0, 0, 32]));
            let near = near.min(i64::MAX.cast_unsigned() / u64::from(block_size));
            if counts.contains(near) {
                return near;
            }
            rng.between(1, 64)
        };
        let few = counts.least + (drawn - 1) % (counts.most - counts.least + 1);
        if !rng.chance(1, 32) {
            return few;
        }
        let most = counts.most.min(MEDIUM.max(counts.least));
        let power = 1 << rng.between(6, 13);
        match rng.below(3) {
            0 => most,
            1 => most.saturating_sub(1).max(counts.least),
            _ => (power + rng.below(3)).saturating_sub(1).clamp(counts.least, most),
        }
    }
}
