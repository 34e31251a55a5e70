//! The least and the most of something.

use super::super::MAX_TRANSFER;
use std::ops::{Bound, RangeBounds};

/// The least and the most that is accepted. Nothing is if the least is greater than the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) struct Limits {
    pub(in crate::scenario) least: u64,
    pub(in crate::scenario) most: u64,
}

impl Limits {
    /// Bytes of a block in the format: the heap holds one block or more.
    pub(super) const BLOCK: Self = Self { least: 512, most: MAX_TRANSFER };

    /// Blocks of a device in the format: no file is larger than `i64::MAX` bytes.
    pub(super) const BLOCKS: Self = Self { least: 1, most: i64::MAX.cast_unsigned() / 512 };

    /// Bytes of a heap in the format.
    pub(super) const HEAP: Self = Self::BLOCK;

    const NONE: Self = Self { least: 1, most: 0 };

    pub(super) fn of(range: &impl RangeBounds<u64>) -> Self {
        let least = match range.start_bound() {
            Bound::Included(&least) => Some(least),
            Bound::Excluded(&before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let most = match range.end_bound() {
            Bound::Included(&most) => Some(most),
            Bound::Excluded(&after) => after.checked_sub(1),
            Bound::Unbounded => Some(u64::MAX),
        };
        least.zip(most).map_or(Self::NONE, |(least, most)| Self { least, most })
    }

    pub(super) fn of_u32(range: &impl RangeBounds<u32>) -> Self {
        let start = range.start_bound().map(|&it| u64::from(it));
        Self::of(&(start, range.end_bound().map(|&it| u64::from(it))))
    }

    /// What is in both.
    pub(super) fn within(self, other: Self) -> Self {
        let both = Self { least: self.least.max(other.least), most: self.most.min(other.most) };
        if both.is_empty() { Self::NONE } else { both }
    }

    /// From the least power of two to the greatest.
    pub(super) fn to_powers_of_two(self) -> Self {
        if self.is_empty() {
            return Self::NONE;
        }
        let least = self.least.checked_next_power_of_two().unwrap_or(u64::MAX);
        let most = self.most.checked_ilog2().map_or(0, |bits| 1 << bits);
        Self { least, most }.within(self)
    }

    pub(super) fn is_empty(self) -> bool {
        self.least > self.most
    }

    pub(in crate::scenario) fn contains(self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    /// The nearest number that is accepted, or the same if none is.
    pub(super) fn nearest(self, number: u64) -> u64 {
        if self.is_empty() { number } else { number.clamp(self.least, self.most) }
    }

    /// As it stands before a unit; `format` are the limits of the format.
    pub(super) fn words(self, format: Self) -> String {
        let Self { least, most } = self;
        if least == most {
            format!("exactly {least}")
        } else if most >= format.most {
            format!("at least {least}")
        } else if least <= format.least {
            format!("at most {most}")
        } else {
            format!("{least} to {most}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(least: u64, most: u64) -> Limits {
        Limits { least, most }
    }

    #[test]
    fn every_kind_of_range_is_understood() {
        assert_eq!(Limits::of(&(3..=5)), limits(3, 5));
        assert_eq!(Limits::of(&(3..5)), limits(3, 4));
        assert_eq!(Limits::of(&(3..)), limits(3, u64::MAX));
        assert_eq!(Limits::of(&..), limits(0, u64::MAX));
        assert_eq!(Limits::of_u32(&..=7), limits(0, 7));
        let after = (Bound::Excluded(u64::MAX), Bound::Unbounded);
        for empty in [Limits::of(&(5..5)), Limits::of(&..0), Limits::of(&after)] {
            assert!(empty.is_empty() && !empty.contains(empty.least), "{empty:?}");
            assert_eq!(empty.nearest(9), 9);
        }
    }

    #[test]
    fn powers_of_two_are_those_inside() {
        assert_eq!(limits(513, 5000).to_powers_of_two(), limits(1024, 4096));
        assert_eq!(limits(4096, 4096).to_powers_of_two(), limits(4096, 4096));
        assert!(limits(4097, 8191).to_powers_of_two().is_empty());
    }

    #[test]
    fn limits_are_said_in_words() {
        let format = limits(1, 100);
        assert_eq!(limits(8, 8).words(format), "exactly 8");
        assert_eq!(limits(8, 100).words(format), "at least 8");
        assert_eq!(limits(1, 8).words(format), "at most 8");
        assert_eq!(limits(2, 8).words(format), "2 to 8");
    }
}
