//! The memory that is registered with a ring, in pieces of one size.
//!
//! A [`Piece`] is a token that is neither `Clone` nor constructible elsewhere: whoever owns it owns
//! its bytes, as with a `Box<[u8]>`. It goes back to its slab when it is dropped.
#![expect(unsafe_code, reason = "disjoint mutable slices of one slab; argued at every block")]

use crate::file::memory::{ALIGNMENT, Block};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The size of a piece, in bytes.
pub(super) const PIECE: usize = 64 << 10;

/// How many pieces there are.
pub(super) const PIECES: u16 = 64;

const LAYOUT: Layout = match Layout::from_size_align(PIECE * PIECES as usize, ALIGNMENT) {
    Ok(layout) => layout,
    Err(_) => panic!("4 MiB, in pages"),
};

/// Memory for transfers.
pub(super) struct Slab {
    /// The first of `LAYOUT.size()` bytes, initialized, aligned, and freed on drop only.
    base: NonNull<u8>,
    /// The pieces that nobody owns.
    free: Mutex<Vec<u16>>,
}

impl Slab {
    pub(super) fn new() -> Self {
        // SAFETY: the size of the layout is not 0.
        let Some(base) = NonNull::new(unsafe { alloc_zeroed(LAYOUT) }) else {
            handle_alloc_error(LAYOUT);
        };
        Self { base, free: Mutex::new((0..PIECES).collect()) }
    }

    /// Where each piece begins, by index.
    pub(super) fn pieces(&self) -> impl Iterator<Item = NonNull<u8>> {
        (0..PIECES).map(|index| self.first(index))
    }

    fn first(&self, index: u16) -> NonNull<u8> {
        assert!(index < PIECES, "a piece is inside its slab");
        // SAFETY: the piece is inside the slab, as was checked just now.
        unsafe { self.base.add(usize::from(index) * PIECE) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<u16>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: the memory came from `alloc_zeroed` with this layout and is freed here only.
        // Every piece owns a share of the slab, so none is left. The ring has seen to it that the
        // kernel works on none either.
        unsafe { dealloc(self.base.as_ptr(), LAYOUT) };
    }
}

// SAFETY: a slab owns its memory as a `Box<[u8]>` does, and memory has no thread affinity.
unsafe impl Send for Slab {}

// SAFETY: the list of free pieces is behind a lock, and only the owner of a piece has its bytes.
unsafe impl Sync for Slab {}

/// The sole ownership of `length` bytes at the start of a piece of the slab.
pub(super) struct Piece {
    slab: Arc<Slab>,
    index: u16,
    /// At most [`PIECE`].
    length: usize,
}

impl Piece {
    fn new(slab: &Arc<Slab>, length: usize) -> Option<Self> {
        if length > PIECE {
            return None;
        }
        let index = slab.free().pop()?;
        Some(Self { slab: Arc::clone(slab), index, length })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.slab.free().push(self.index);
    }
}

/// What one transfer owns: a registered piece if there is one that it fits, else a block of the
/// heap. Of other calls, an empty block.
pub(super) enum Memory {
    Piece(Piece),
    Block(Block),
}

impl Memory {
    /// `length` bytes, initialized: in a piece, with what was there before.
    pub(super) fn new(slab: Option<&Arc<Slab>>, length: usize) -> Self {
        match slab.and_then(|slab| Piece::new(slab, length)) {
            Some(piece) => Self::Piece(piece),
            None => Self::Block(Block::new(length)),
        }
    }

    /// The number of the registered buffer.
    pub(super) fn index(&self) -> Option<u16> {
        match self {
            Self::Piece(piece) => Some(piece.index),
            Self::Block(_) => None,
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Piece(piece) => {
                let first = piece.slab.first(piece.index).as_ptr();
                // SAFETY: a piece has `PIECE` bytes, `length` is at most that, and they were
                // initialized. Only this token leads to them, and its borrow keeps every mutable
                // slice away. The kernel writes them only while the token lies in a slot, where
                // nobody asks for a slice.
                unsafe { slice::from_raw_parts(first, piece.length) }
            }
            Self::Block(block) => block.as_slice(),
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Self::Piece(piece) => {
                let first = piece.slab.first(piece.index).as_ptr();
                // SAFETY: as in `as_slice`, and the exclusive borrow keeps every other slice away.
                unsafe { slice::from_raw_parts_mut(first, piece.length) }
            }
            Self::Block(block) => block.as_mut_slice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_disjoint_and_return() {
        let slab = Arc::new(Slab::new());
        let mut all: Vec<_> = (0..PIECES).map(|_| Memory::new(Some(&slab), PIECE)).collect();
        for (memory, byte) in all.iter_mut().zip(0..) {
            assert!(memory.index().is_some());
            assert!(memory.as_slice().as_ptr().addr().is_multiple_of(ALIGNMENT));
            memory.as_mut_slice().fill(byte);
        }
        assert!(Memory::new(Some(&slab), 1).index().is_none(), "none is left");
        for (memory, byte) in all.iter().zip(0_u8..) {
            assert!(memory.as_slice().iter().all(|&b| b == byte));
        }
        drop(all);
        assert_eq!(slab.free().len(), usize::from(PIECES));
        assert!(Memory::new(Some(&slab), PIECE + 1).index().is_none(), "too large");
    }
}
