//! A device as one writes it by hand: it goes on after short transfers and signals.

use crate::file::RawFile;
use crate::work::Shape;
use std::io::{self, ErrorKind};

/// A block device in one file.
#[derive(Debug)]
pub struct HandDevice<F> {
    pub(crate) file: F,
    shape: Shape,
}

impl<F: RawFile> HandDevice<F> {
    /// Opens the device.
    pub fn new(file: F, shape: Shape) -> Self {
        Self { file, shape }
    }

    /// Fills `buffer` from block `at` on.
    ///
    /// # Errors
    ///
    /// That of the file, or `UnexpectedEof`.
    pub fn read(&mut self, at: usize, buffer: &mut [u8]) -> io::Result<()> {
        let (offset, mut done) = (self.offset(at, buffer.len())?, 0);
        while done < buffer.len() {
            match self.file.read(&mut buffer[done..], offset + done) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes `buffer` from block `at` on.
    ///
    /// # Errors
    ///
    /// That of the file, or `WriteZero`.
    pub fn write(&mut self, at: usize, buffer: &[u8]) -> io::Result<()> {
        let (offset, mut done) = (self.offset(at, buffer.len())?, 0);
        while done < buffer.len() {
            match self.file.write(&buffer[done..], offset + done) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes everything durable that has returned.
    ///
    /// # Errors
    ///
    /// That of the file.
    pub fn flush(&mut self) -> io::Result<()> {
        retry(|| self.file.sync())
    }

    /// Makes `count` blocks from block `at` on read as zeros.
    ///
    /// # Errors
    ///
    /// That of the file.
    pub fn trim(&mut self, at: usize, count: usize) -> io::Result<()> {
        let length = count * self.shape.block_size;
        let offset = self.offset(at, length)?;
        retry(|| self.file.punch(offset, length))
    }

    fn offset(&self, at: usize, length: usize) -> io::Result<usize> {
        let (block, offset) = (self.shape.block_size, at * self.shape.block_size);
        if !length.is_multiple_of(block) || offset + length > self.shape.size() {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(offset)
    }
}

fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
