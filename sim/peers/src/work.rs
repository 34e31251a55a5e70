//! What every row does.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::ops::Range;

/// The longest read, write or trim, in blocks.
const LONGEST: usize = 8;

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a block.
    pub block_size: usize,
    /// How many there are.
    pub blocks: usize,
}

impl Shape {
    /// Bytes of the device.
    pub fn size(self) -> usize {
        self.block_size * self.blocks
    }

    /// Bytes of the longest operation.
    pub fn longest(self) -> usize {
        self.block_size * LONGEST
    }

    /// Where `count` blocks from block `at` on lie in an image of the device.
    pub fn span(self, at: usize, count: usize) -> Range<usize> {
        at * self.block_size..(at + count) * self.block_size
    }
}

/// How often each operation occurs, relative to the others.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Writes.
    pub write: usize,
    /// Reads.
    pub read: usize,
    /// Flushes.
    pub flush: usize,
    /// Trims.
    pub trim: usize,
    /// Crashes.
    pub crash: usize,
    /// Operations that meet a fault.
    pub fault: usize,
}

impl Mix {
    /// All of W.
    pub const FULL: Self = Self { write: 40, read: 40, flush: 8, trim: 4, crash: 3, fault: 5 };

    /// W on a file system whose faults cannot be directed.
    pub const UNDIRECTED: Self = Self { fault: 0, ..Self::FULL };
}

/// An operation on `count` blocks from block `at` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A write of what this tag makes.
    Write {
        /// Where to begin.
        at: usize,
        /// How many.
        count: usize,
        /// Tells its contents from all others.
        tag: u64,
    },
    /// A read.
    Read {
        /// Where to begin.
        at: usize,
        /// How many.
        count: usize,
    },
    /// A flush.
    Flush,
    /// A trim, upon which there are zeros.
    Trim {
        /// Where to begin.
        at: usize,
        /// How many.
        count: usize,
    },
    /// A random part of the unsynced blocks is lost; the device is opened again and read.
    Crash {
        /// Which part.
        seed: u64,
    },
}

/// What the first raw call of an operation meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A short transfer.
    Short,
    /// `EINTR`.
    Interrupted,
    /// `EIO`.
    Failed,
    /// A short transfer, and then `EIO`.
    Torn,
}

/// An operation, and the fault that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The operation.
    pub op: Op,
    /// The fault, if it meets one.
    pub fault: Option<Fault>,
}

/// An endless stream of operations, the same for the same seed.
#[derive(Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
    mix: Mix,
    blocks: usize,
}

impl Stream {
    /// Operations on all of a device.
    pub fn new(shape: Shape, mix: Mix, seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), mix, blocks: shape.blocks }
    }

    /// The next operation.
    pub fn step(&mut self) -> Step {
        let Mix { write, read, flush, trim, crash, fault } = self.mix;
        let usual = write + read + flush + trim;
        let drawn = self.below(usual + crash + fault);
        if drawn < usual {
            return Step { op: self.op(drawn), fault: None };
        }
        if drawn < usual + crash {
            return Step { op: Op::Crash { seed: self.rng.next_u64() }, fault: None };
        }
        let drawn = self.below(usual);
        let kinds = [Fault::Short, Fault::Interrupted, Fault::Failed, Fault::Torn];
        let fault = Some(kinds[self.below(kinds.len())]);
        Step { op: self.op(drawn), fault }
    }

    /// The operation that was drawn, by the weights of the mix.
    fn op(&mut self, drawn: usize) -> Op {
        let Mix { write, read, flush, .. } = self.mix;
        let count = (1 + self.below(LONGEST)).min(self.blocks);
        let at = self.below(self.blocks - count + 1);
        match drawn {
            _ if drawn < write => Op::Write { at, count, tag: self.rng.next_u64() },
            _ if drawn < write + read => Op::Read { at, count },
            _ if drawn < write + read + flush => Op::Flush,
            _ => Op::Trim { at, count },
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        let drawn = (u64::from(self.rng.next_u32()) * bound as u64) >> 32;
        usize::try_from(drawn).unwrap_or(0)
    }
}

/// Fills blocks from block `at` on: each repeats eight bytes of its own.
pub(crate) fn fill(buffer: &mut [u8], block_size: usize, at: usize, tag: u64) {
    for (block, bytes) in (at as u64..).zip(buffer.chunks_exact_mut(block_size)) {
        let own = tag.wrapping_add(block.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bytes.as_chunks_mut().0.fill(own.to_le_bytes());
    }
}
