//! The memory behind transfer buffers: the one file of the library with `unsafe` in it.
//!
//! The scheme is a loan. [`BufferSource`] lends disjoint [`Region`]s and notes every loan in a
//! bitmap. A region is a token that is neither `Clone` nor constructible elsewhere, so whoever
//! owns it owns its bytes, as with a `Box<[u8]>`; giving it back ends both the token and the loan.
//! Every precondition of the unsafe code is checked here, at run time, with a few bit operations:
//! a bug in the allocator, or anywhere else, can cost memory or a panic, never two owners.
#![expect(unsafe_code, reason = "disjoint mutable slices of one heap; argued at every block")]

use std::fmt;
use std::mem;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

/// What the start of the memory is aligned to, in bytes: enough for direct I/O.
const ALIGNMENT: usize = 4096;

/// The bytes that one bit of the loan bitmap stands for. Loans begin at a multiple of it.
const GRAIN: usize = 512;

/// A region of zeroed memory, from which a [`BufferAllocator`](super::BufferAllocator) takes its
/// buffers.
///
/// The memory starts at an address that is a multiple of 4096 bytes, and is freed on drop. Pages
/// that were never touched cost no physical memory, where the system allocator works that way.
pub struct BufferSource {
    /// The allocation as it came from `Box`, and has to go back.
    memory: NonNull<[u8]>,
    /// The first aligned byte of `memory`, with `size` bytes behind it.
    base: NonNull<u8>,
    size: usize,
    /// One bit for each grain, set while a region covers any of it.
    lent: Vec<u64>,
}

impl BufferSource {
    /// Allocates `size` bytes, all of them zero.
    ///
    /// # Panics
    ///
    /// If `size`, with 4095 bytes for the alignment, is more than `isize::MAX` bytes. Running out
    /// of memory aborts, as with `Vec`.
    #[must_use]
    pub fn new(size: usize) -> Self {
        // `alloc_zeroed` is lazy for small alignments only: for larger ones the standard library
        // clears the memory by hand, touching every page. Hence some bytes more, and align here.
        let length =
            size.checked_add(ALIGNMENT - 1).expect("a source has at most isize::MAX bytes");
        let memory = NonNull::from(Box::leak(vec![0; length].into_boxed_slice()));
        let first = memory.cast::<u8>();
        let padding = first.addr().get().wrapping_neg() % ALIGNMENT;
        // SAFETY: `padding` is at most ALIGNMENT - 1, and `memory` has that many bytes and more.
        let base = unsafe { first.add(padding) };
        Self { memory, base, size, lent: vec![0; size.div_ceil(GRAIN).div_ceil(64)] }
    }

    /// How large the memory is, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Lends `len` bytes, which begin `start` bytes into the memory.
    ///
    /// # Panics
    ///
    /// If `start` is not a multiple of [`GRAIN`], if the end is out of bounds, or if one of the
    /// grains is lent already.
    pub(super) fn lend(&mut self, start: usize, len: usize) -> Region {
        if len == 0 {
            return Region::default();
        }
        assert!(start.is_multiple_of(GRAIN), "a region begins on a grain");
        assert!(start <= self.size && len <= self.size - start, "a region is inside its source");
        for (word, mask) in loan(&mut self.lent, start, len) {
            assert!(*word & mask == 0, "a region is lent once");
            *word |= mask;
        }
        // SAFETY: `start` is at most `self.size`, and `base` has that many bytes behind it.
        let first = unsafe { self.base.add(start) };
        Region { first, start, len }
    }

    /// Takes back what [`lend`](Self::lend) gave.
    ///
    /// # Panics
    ///
    /// If the region is not from this source.
    #[expect(clippy::needless_pass_by_value, reason = "this is the end of the region's ownership")]
    pub(super) fn restore(&mut self, region: Region) {
        if region.len == 0 {
            return;
        }
        // The memory of a live region is never freed, so equal bases mean the same source.
        let base = region.first.addr().get() - region.start;
        assert!(base == self.base.addr().get(), "a region returns to its own source");
        for (word, mask) in loan(&mut self.lent, region.start, region.len) {
            *word &= !mask;
        }
    }
}

impl Drop for BufferSource {
    fn drop(&mut self) {
        // A region that never came back (`mem::forget` of a buffer) still owns its bytes: leak.
        if self.lent.iter().all(|&word| word == 0) {
            // SAFETY: `memory` came from a leaked `Box` and is freed here only. Nothing is lent, so
            // no region, and no slice borrowed from one, is left to dangle.
            drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
        }
    }
}

impl fmt::Debug for BufferSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferSource").field("size", &self.size).finish_non_exhaustive()
    }
}

// SAFETY: a source owns its memory as a `Box<[u8]>` does, and memory has no thread affinity.
unsafe impl Send for BufferSource {}

// SAFETY: a shared source gives away its size and nothing else; lending takes `&mut`.
unsafe impl Sync for BufferSource {}

/// The sole ownership of some bytes of a [`BufferSource`].
///
/// Dropping one, instead of handing it to [`BufferSource::restore`], leaks all the memory of its
/// source. The default is the empty region, which owns nothing and needs no return.
///
/// Invariant: while the region lives, `first` is valid for reading and writing `len` initialized
/// bytes, and no other region covers any of them. [`BufferSource::lend`] is the only maker of
/// regions that are not empty; the loan bitmap keeps them disjoint, and keeps the memory alive.
pub(super) struct Region {
    first: NonNull<u8>,
    start: usize,
    len: usize,
}

impl Region {
    /// Where in the source the region lies, in bytes.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: the bytes are valid by the invariant, and only this region leads to them. Its
        // borrow keeps it from being given back, and `as_mut_slice` from being called, meanwhile.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and the exclusive borrow keeps every other slice away.
        unsafe { slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl Default for Region {
    fn default() -> Self {
        // A dangling, aligned pointer is valid for zero bytes.
        Self { first: NonNull::dangling(), start: 0, len: 0 }
    }
}

// SAFETY: a region owns its bytes as a `Box<[u8]>` does, and memory has no thread affinity.
unsafe impl Send for Region {}

// SAFETY: a shared region gives away shared slices only.
unsafe impl Sync for Region {}

/// The words of the loan bitmap that `len > 0` bytes from `start` touch, each with its bits.
fn loan(lent: &mut [u64], start: usize, len: usize) -> impl Iterator<Item = (&mut u64, u64)> {
    let (first, last) = (start / GRAIN, (start + len - 1) / GRAIN);
    let words = lent[first / 64..=last / 64].iter_mut();
    let mut low = u64::MAX << (first % 64);
    let high = u64::MAX >> (63 - last % 64);
    let final_index = last / 64 - first / 64;
    words.enumerate().map(move |(index, word)| {
        let mask = mem::replace(&mut low, u64::MAX);
        (word, if index == final_index { mask & high } else { mask })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_and_aligned() {
        let mut source = BufferSource::new(10_000);
        assert_eq!(source.size(), 10_000);
        let region = source.lend(0, 10_000);
        assert!(region.as_slice().iter().all(|&byte| byte == 0));
        assert!(region.as_slice().as_ptr().addr().is_multiple_of(ALIGNMENT));
        source.restore(region);
    }

    #[test]
    fn regions_are_disjoint_and_return() {
        let mut source = BufferSource::new(64 * GRAIN * 3);
        let mut low = source.lend(0, 64 * GRAIN + 1);
        let mut high = source.lend(65 * GRAIN, 127 * GRAIN);
        low.as_mut_slice().fill(1);
        high.as_mut_slice().fill(2);
        assert!(low.as_slice().iter().all(|&byte| byte == 1));
        assert!(high.as_slice().iter().all(|&byte| byte == 2));
        assert_eq!(high.range(), 65 * GRAIN..192 * GRAIN);
        source.restore(low);
        source.restore(high);
        assert!(source.lent.iter().all(|&word| word == 0));
    }

    #[test]
    fn the_empty_region_is_free() {
        let mut source = BufferSource::new(0);
        let mut region = source.lend(0, 0);
        assert!(region.as_mut_slice().is_empty());
        source.restore(region);
    }

    #[test]
    fn a_loan_covers_exactly_its_grains() {
        for (start, end) in [(0, 1), (0, 64), (3, 64), (63, 65), (64, 128), (10, 200), (191, 192)] {
            let mut lent = [0_u64; 4];
            for (word, mask) in loan(&mut lent, start * GRAIN, (end - start) * GRAIN - 1) {
                *word |= mask;
            }
            let is_lent = |grain: usize| lent[grain / 64] >> (grain % 64) & 1 == 1;
            assert!((0..256).all(|grain| is_lent(grain) == (start..end).contains(&grain)));
        }
    }

    #[test]
    #[should_panic(expected = "a region is lent once")]
    fn an_overlap_is_refused() {
        let mut source = BufferSource::new(4096);
        let _leaked = source.lend(0, 513);
        let _never = source.lend(512, 512);
    }

    #[test]
    #[should_panic(expected = "a region is inside its source")]
    fn the_end_is_checked() {
        let _never = BufferSource::new(4096).lend(512, 4096);
    }

    #[test]
    #[should_panic(expected = "a region returns to its own source")]
    fn a_foreign_region_is_refused() {
        let leaked = BufferSource::new(4096).lend(0, 512);
        BufferSource::new(4096).restore(leaked);
    }
}
