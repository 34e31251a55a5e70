//! Memory that a call owns, so that nobody else's is touched once its future is gone.

use super::MOST_PIECES;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

/// What memory is aligned to, in bytes: enough for direct I/O.
pub(super) const ALIGNMENT: usize = 4096;

/// The most bytes that one call transfers: what Linux does.
const MOST_BYTES: usize = 0x7fff_f000;

/// Some bytes on the heap, aligned.
pub(super) struct Block {
    /// Never grown, so that its bytes stay where they are.
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Block {
    /// `length` bytes, all zero.
    pub(super) fn new(length: usize) -> Self {
        let bytes = if length == 0 { Vec::new() } else { vec![0; length + ALIGNMENT - 1] };
        let padding = bytes.as_ptr().addr().wrapping_neg() % ALIGNMENT;
        let start = padding.min(bytes.len());
        Self { bytes, start, length }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..][..self.length]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.length]
    }
}

/// How many bytes one call transfers from or to pieces of these lengths.
pub(super) fn total(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.take(MOST_PIECES).fold(0, usize::saturating_add).min(MOST_BYTES)
}

/// Fills `memory` from `pieces`, one behind the other.
pub(super) fn gather(pieces: &[IoSlice<'_>], memory: &mut [u8]) {
    let mut rest = memory;
    for piece in pieces {
        let count = piece.len().min(rest.len());
        let (front, back) = rest.split_at_mut(count);
        front.copy_from_slice(&piece[..count]);
        rest = back;
    }
}

/// Fills `pieces` from `data`, one behind the other.
pub(super) fn scatter(data: &[u8], pieces: &mut [IoSliceMut<'_>]) {
    let mut rest = data;
    for piece in pieces {
        let (front, back) = rest.split_at(piece.len().min(rest.len()));
        piece[..front.len()].copy_from_slice(front);
        rest = back;
    }
}

/// The bytes that a change of `length` bytes at `offset` may reach.
pub(super) fn bytes(offset: u64, length: u64) -> Range<u64> {
    offset..offset.saturating_add(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_aligned() {
        assert!(Block::new(0).as_mut_slice().is_empty());
        for length in [1, 4096, 10_000] {
            let mut block = Block::new(length);
            assert!(block.as_slice().as_ptr().addr().is_multiple_of(ALIGNMENT));
            assert_eq!(block.as_mut_slice().len(), length);
        }
    }

    #[test]
    fn pieces_are_gathered_and_scattered() {
        let mut memory = [0; 5];
        gather(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdefg")], &mut memory);
        assert_eq!(&memory, b"abcde");
        let (mut front, mut back) = ([9; 3], [9; 4]);
        scatter(&memory, &mut [IoSliceMut::new(&mut front), IoSliceMut::new(&mut back)]);
        assert_eq!((&front, &back), (b"abc", b"de\x09\x09"));
    }
}
