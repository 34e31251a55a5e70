//! The floor: raw calls without a check, a model, a loss or a fault.

use crate::file::RawFile;
use crate::work::{Mix, Op, Shape, Stream, fill};
use std::hint::black_box;
use std::io;

/// The operations of W as one raw call each. A crash is a reopening and a read of all.
#[derive(Debug)]
pub struct Bare<F> {
    file: F,
    stream: Stream,
    shape: Shape,
    buffer: Vec<u8>,
    image: Vec<u8>,
}

impl<F: RawFile> Bare<F> {
    /// On a file of the size of the device.
    pub fn new(file: F, shape: Shape, seed: u64) -> Self {
        Self {
            file,
            stream: Stream::new(shape, Mix::FULL, seed),
            shape,
            buffer: vec![0; shape.longest()],
            image: vec![0; shape.size()],
        }
    }

    /// Does one operation.
    ///
    /// # Errors
    ///
    /// That of the file.
    pub fn step(&mut self) -> io::Result<()> {
        let block = self.shape.block_size;
        match self.stream.step().op {
            Op::Write { at, count, tag } => {
                let buffer = &mut self.buffer[..count * block];
                fill(buffer, block, at, tag);
                self.file.write(black_box(buffer), at * block)?;
            }
            Op::Read { at, count } => {
                let buffer = &mut self.buffer[..count * block];
                self.file.read(buffer, at * block)?;
                black_box(buffer);
            }
            Op::Flush => self.file.sync()?,
            Op::Trim { at, count } => self.file.punch(at * block, count * block)?,
            Op::Crash { .. } => {
                self.file.reopen()?;
                self.file.read(&mut self.image, 0)?;
                black_box(&self.image);
            }
        }
        Ok(())
    }
}
