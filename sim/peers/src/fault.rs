//! What goes wrong beneath the device: faults, and crashes that lose unsynced blocks.

use crate::file::RawFile;
use crate::work::Fault;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::io::Errno;
use std::io;

/// A file that can be made to fail, and to crash.
pub trait CrashFile: RawFile {
    /// Which operations it can be put under.
    const MIX: crate::work::Mix;

    /// Has the next raw call meet `fault`.
    fn arm(&mut self, fault: Fault);

    /// Whether an `EIO` went out since the last time; `None` where the file cannot tell.
    fn take_failure(&mut self) -> Option<bool>;

    /// Loses a random part of the blocks that were written since the last sync.
    ///
    /// # Errors
    ///
    /// That of the file.
    fn crash(&mut self, seed: u64) -> io::Result<()>;
}

/// A log of what was written since the last sync, over a file that sees every call.
///
/// A crash works out what would be left of the last durable image and of the log, and writes the
/// blocks that differ.
#[derive(Debug)]
pub struct FaultFile<F> {
    inner: F,
    block_size: usize,
    durable: Vec<u8>,
    log: Vec<Written>,
    /// The bytes of the log, back to back.
    bytes: Vec<u8>,
    armed: Option<Fault>,
    has_failed: bool,
}

#[derive(Debug)]
struct Written {
    offset: usize,
    length: usize,
    /// Where its bytes begin.
    from: usize,
}

impl<F: RawFile> FaultFile<F> {
    /// Over a file of so many zeros.
    pub fn new(inner: F, block_size: usize, size: usize) -> Self {
        Self {
            inner,
            block_size,
            durable: vec![0; size],
            log: Vec::new(),
            bytes: Vec::new(),
            armed: None,
            has_failed: false,
        }
    }

    /// How many of `length` bytes the call transfers, or how it fails.
    fn meet(&mut self, length: usize) -> io::Result<usize> {
        let blocks = length / self.block_size;
        let half = blocks.div_ceil(2) * self.block_size;
        let errno = match self.armed.take() {
            None => return Ok(length),
            Some(Fault::Short) if blocks > 1 => return Ok(half),
            Some(Fault::Torn) if blocks > 1 => {
                self.armed = Some(Fault::Failed);
                return Ok(half);
            }
            // One block cannot be cut.
            Some(Fault::Short | Fault::Interrupted) => Errno::INTR,
            Some(Fault::Torn | Fault::Failed) => Errno::IO,
        };
        self.has_failed |= errno == Errno::IO;
        Err(errno.into())
    }

    fn note(&mut self, offset: usize, length: usize) {
        self.log.push(Written { offset, length, from: self.bytes.len() });
    }
}

impl<F: RawFile> RawFile for FaultFile<F> {
    fn read(&mut self, buffer: &mut [u8], offset: usize) -> io::Result<usize> {
        let length = self.meet(buffer.len())?;
        self.inner.read(&mut buffer[..length], offset)
    }

    fn write(&mut self, buffer: &[u8], offset: usize) -> io::Result<usize> {
        let length = self.meet(buffer.len())?;
        let count = self.inner.write(&buffer[..length], offset)?;
        self.note(offset, count);
        self.bytes.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.meet(0)?;
        self.inner.sync()?;
        for Written { offset, length, from } in self.log.drain(..) {
            self.durable[offset..offset + length].copy_from_slice(&self.bytes[from..from + length]);
        }
        self.bytes.clear();
        Ok(())
    }

    fn punch(&mut self, offset: usize, length: usize) -> io::Result<()> {
        self.meet(0)?;
        self.inner.punch(offset, length)?;
        self.note(offset, length);
        self.bytes.resize(self.bytes.len() + length, 0);
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.inner.reopen()
    }
}

impl<F: RawFile> CrashFile for FaultFile<F> {
    const MIX: crate::work::Mix = crate::work::Mix::FULL;

    fn arm(&mut self, fault: Fault) {
        self.armed = Some(fault);
    }

    fn take_failure(&mut self) -> Option<bool> {
        // An operation without a call has met nothing, and the next is not to meet it either.
        self.armed = None;
        Some(std::mem::take(&mut self.has_failed))
    }

    fn crash(&mut self, seed: u64) -> io::Result<()> {
        let (mut rng, block) = (ChaCha8Rng::seed_from_u64(seed), self.block_size);
        let mut dirty = vec![false; self.durable.len() / block];
        for Written { offset, length, from } in self.log.drain(..) {
            let mut coins = rng.next_u32();
            for within in (0..length).step_by(block) {
                let at = offset + within;
                dirty[at / block] = true;
                if coins & 1 == 1 {
                    let bytes = &self.bytes[from + within..][..block];
                    self.durable[at..at + block].copy_from_slice(bytes);
                }
                coins >>= 1;
            }
        }
        self.bytes.clear();
        for (number, _) in dirty.iter().enumerate().filter(|(_, dirty)| **dirty) {
            let at = number * block;
            self.inner.write(&self.durable[at..at + block], at)?;
        }
        self.armed = None;
        self.inner.reopen()
    }
}
