//! What each block may hold now, and after a crash.

use crate::work::Shape;
use std::ops::Range;

/// The device has broken what the model promises of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The block, by number.
    pub block: usize,
}

/// Contents byte by byte, and of each block all else that it may turn out to hold.
///
/// A read has to show what is there or, after a failed write, what that was to write. A crash has
/// to leave each block as it was durable last, or as one of the versions since.
#[derive(Debug)]
pub struct Model {
    shape: Shape,
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Of each block, the versions since it was durable last, back to back.
    unsynced: Vec<Vec<u8>>,
    /// Of each block, what failed writes may have left.
    doubt: Vec<Vec<u8>>,
    doubtful: usize,
    /// The blocks that have unsynced versions.
    dirty: Vec<usize>,
}

impl Model {
    /// A device of zeros, which are durable.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            live: vec![0; shape.size()],
            durable: vec![0; shape.size()],
            unsynced: vec![Vec::new(); shape.blocks],
            doubt: vec![Vec::new(); shape.blocks],
            doubtful: 0,
            dirty: Vec::new(),
        }
    }

    fn span(&self, block: usize) -> Range<usize> {
        self.shape.span(block, 1)
    }

    /// A write of `bytes` at block `at` is about to be made.
    pub fn begins(&mut self, at: usize, bytes: &[u8]) {
        for (block, bytes) in blocks(self.shape, at, bytes) {
            let versions = &mut self.unsynced[block];
            if versions.is_empty() {
                self.dirty.push(block);
            }
            versions.extend_from_slice(bytes);
        }
    }

    /// It has returned `Ok`.
    pub fn wrote(&mut self, at: usize, bytes: &[u8]) {
        let count = bytes.len() / self.shape.block_size;
        self.live[self.shape.span(at, count)].copy_from_slice(bytes);
        if self.doubtful > 0 {
            (at..at + count).for_each(|block| self.settle(block));
        }
    }

    /// It has failed.
    pub fn failed(&mut self, at: usize, bytes: &[u8]) {
        for (block, bytes) in blocks(self.shape, at, bytes) {
            let doubt = &mut self.doubt[block];
            self.doubtful += usize::from(doubt.is_empty());
            doubt.extend_from_slice(bytes);
        }
    }

    /// A read from block `at` on has given `bytes`.
    ///
    /// # Errors
    ///
    /// The first block that is wrong.
    pub fn read(&mut self, at: usize, bytes: &[u8]) -> Result<(), Mismatch> {
        let count = bytes.len() / self.shape.block_size;
        if self.doubtful == 0 && self.live[self.shape.span(at, count)] == *bytes {
            return Ok(());
        }
        for (block, seen) in blocks(self.shape, at, bytes) {
            let span = self.span(block);
            if self.live[span.clone()] != *seen {
                if !holds(&self.doubt[block], seen) {
                    return Err(Mismatch { block });
                }
                self.live[span].copy_from_slice(seen);
            }
            self.settle(block);
        }
        Ok(())
    }

    /// A flush has returned `Ok`.
    pub fn flushed(&mut self) {
        for block in std::mem::take(&mut self.dirty) {
            let span = self.span(block);
            self.durable[span.clone()].copy_from_slice(&self.live[span]);
            let (unsynced, doubt) = (&mut self.unsynced[block], &self.doubt[block]);
            unsynced.clear();
            // A block in doubt is durable as whichever it is.
            unsynced.extend_from_slice(doubt);
            if !unsynced.is_empty() {
                self.dirty.push(block);
            }
        }
    }

    /// A crash has left this, which is durable.
    ///
    /// # Errors
    ///
    /// The first block that is wrong.
    pub fn crashed(&mut self, image: &[u8]) -> Result<(), Mismatch> {
        for (block, seen) in blocks(self.shape, 0, image) {
            if self.durable[self.span(block)] != *seen && !holds(&self.unsynced[block], seen) {
                return Err(Mismatch { block });
            }
        }
        for block in std::mem::take(&mut self.dirty) {
            let span = self.span(block);
            self.live[span.clone()].copy_from_slice(&image[span.clone()]);
            self.durable[span.clone()].copy_from_slice(&image[span]);
            self.unsynced[block].clear();
            self.settle(block);
        }
        Ok(())
    }

    fn settle(&mut self, block: usize) {
        let doubt = &mut self.doubt[block];
        self.doubtful -= usize::from(!doubt.is_empty());
        doubt.clear();
    }
}

/// The blocks of `bytes`, with their numbers from `at` on.
fn blocks(shape: Shape, at: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    (at..).zip(bytes.chunks_exact(shape.block_size))
}

/// Whether one of `versions`, which lie back to back, is `seen`.
fn holds(versions: &[u8], seen: &[u8]) -> bool {
    versions.chunks_exact(seen.len()).any(|version| version == seen)
}
