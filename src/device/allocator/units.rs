//! Which units of a heap are free.

/// Units whose bits lie in one word.
const WORD: usize = u64::BITS as usize;

/// The order of a block that is one word.
const WORD_ORDER: u8 = 6;

/// One bit for each unit of a heap, set while it is free.
///
/// A block of order `n` is 2^n units, and begins at a multiple of as many: nothing has to be split
/// or merged, and a block inside a word is found by looking at all of the word at once. The price
/// is that a heap nearly full is searched to its end, 8 bytes for 64 units.
pub(super) struct Units {
    free: Vec<u64>,
    free_units: usize,
    /// In the words before this one no unit is free.
    first: usize,
}

impl Units {
    /// All `units` are free.
    pub(super) fn new(units: usize) -> Self {
        let mut free = vec![u64::MAX; units / WORD];
        if !units.is_multiple_of(WORD) {
            free.push(ones(units % WORD));
        }
        Self { free, free_units: units, first: 0 }
    }

    /// How many units are free.
    pub(super) fn free_units(&self) -> usize {
        self.free_units
    }

    /// Takes the block of 2^`order` units with the lowest address, and returns its first unit.
    pub(super) fn take(&mut self, order: u8) -> Option<usize> {
        while self.free.get(self.first) == Some(&0) {
            self.first += 1;
        }
        let unit = if order < WORD_ORDER {
            let words = self.free[self.first..].iter();
            let mut starts = words.map(|&word| starts(word, order)).enumerate();
            let (word, starts) = starts.find(|&(_, starts)| starts != 0)?;
            (self.first + word) * WORD + starts.trailing_zeros() as usize
        } else {
            let words = 1 << (order - WORD_ORDER);
            let mut blocks = self.free.chunks_exact(words).enumerate().skip(self.first / words);
            let (block, _) = blocks.find(|(_, free)| free.iter().all(|&word| word == u64::MAX))?;
            block * words * WORD
        };
        self.mark(unit, order, |word, block| *word &= !block);
        self.free_units -= 1 << order;
        Some(unit)
    }

    /// Returns the block that [`take`](Self::take) gave for this order.
    pub(super) fn give_back(&mut self, unit: usize, order: u8) {
        self.mark(unit, order, |word, block| {
            debug_assert_eq!(*word & block, 0, "only a taken block is returned");
            *word |= block;
        });
        self.free_units += 1 << order;
        self.first = self.first.min(unit / WORD);
    }

    /// Changes the words of a block, each of which is given with the bits that belong to it.
    fn mark(&mut self, unit: usize, order: u8, change: impl Fn(&mut u64, u64)) {
        let first = unit / WORD;
        if order < WORD_ORDER {
            change(&mut self.free[first], ones(1 << order) << (unit % WORD));
        } else {
            let words = 1 << (order - WORD_ORDER);
            self.free[first..first + words].iter_mut().for_each(|word| change(word, u64::MAX));
        }
    }
}

/// A word whose lowest `count` bits are set, of which it has more.
fn ones(count: usize) -> u64 {
    (1 << count) - 1
}

/// Where in `word` blocks of 2^`order` units begin all of which are free.
fn starts(word: u64, order: u8) -> u64 {
    // A bit for each place where a block can begin: a number of ones with gaps between them.
    let places = u64::MAX / ones(1 << order);
    (0..order).fold(word, |free, half| free & (free >> (1_u32 << half))) & places
}

/// The order of the smallest block that holds so many units.
#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
pub(super) fn order_of(units: usize) -> u8 {
    units.next_power_of_two().trailing_zeros() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_round_up() {
        let orders = [1, 2, 3, 4, 5, 1 << 20, (1 << 20) + 1].map(order_of);
        assert_eq!(orders, [0, 1, 2, 2, 3, 20, 21]);
    }

    #[test]
    fn the_lowest_address_comes_first() {
        let mut units = Units::new(8);
        assert_eq!(units.take(1), Some(0));
        assert_eq!(units.take(0), Some(2));
        assert_eq!(units.take(1), Some(4));
        assert_eq!(units.take(0), Some(3));
        assert_eq!((units.take(2), units.free_units()), (None, 2));
        units.give_back(0, 1);
        assert_eq!(units.take(0), Some(0));
    }

    #[test]
    fn a_heap_of_any_number_of_units_is_used_whole() {
        for count in (1..=200).chain([1 << 10, (1 << 10) + 77]) {
            let mut units = Units::new(count);
            assert_eq!(units.free_units(), count);
            let before = units.free.clone();
            for unit in 0..count {
                assert_eq!(units.take(0), Some(unit));
            }
            assert_eq!((units.take(0), units.free_units()), (None, 0));
            // Even ones first, so that the odd ones fill gaps.
            for unit in (0..count).step_by(2).chain((1..count).step_by(2)) {
                units.give_back(unit, 0);
            }
            assert_eq!((&units.free, units.free_units()), (&before, count));
            let largest = order_of(count + 1) - 1;
            assert_eq!((units.take(largest + 1), units.take(largest)), (None, Some(0)));
        }
    }

    /// Against a list of units that are looked at one by one.
    #[test]
    fn a_block_lies_where_a_plain_search_finds_it() {
        let mut rng = crate::rng::Rng::new(1, crate::rng::Purpose::Operations);
        for count in [5, 64, 100, 512, 700] {
            let (mut units, mut plain) = (Units::new(count), vec![true; count]);
            let mut taken: Vec<(usize, u8)> = Vec::new();
            for _ in 0..2_000 {
                let order = u8::try_from(rng.below(10)).unwrap();
                if rng.chance(1, 2) && !taken.is_empty() {
                    let at = usize::try_from(rng.below(taken.len() as u64)).unwrap();
                    let (unit, order) = taken.swap_remove(at);
                    units.give_back(unit, order);
                    plain[unit..unit + (1 << order)].fill(true);
                    continue;
                }
                let size = 1 << order;
                let mut blocks = plain.chunks_exact_mut(size).enumerate();
                let found = blocks.find(|(_, block)| block.iter().all(|&free| free));
                let expected = found.map(|(at, block)| {
                    block.fill(false);
                    at * size
                });
                assert_eq!(units.take(order), expected);
                taken.extend(expected.map(|unit| (unit, order)));
                let free = plain.iter().filter(|&&free| free).count();
                assert_eq!(units.free_units(), free);
            }
        }
    }
}
