//! Operations on a device, each compared with the model.

use crate::device::HandDevice;
use crate::fault::CrashFile;
use crate::model::Model;
use crate::work::{Op, Shape, Stream, fill};
use std::io;

/// A device, its model and the stream of operations.
#[derive(Debug)]
pub struct Harness<F> {
    device: HandDevice<F>,
    model: Model,
    stream: Stream,
    shape: Shape,
    buffer: Vec<u8>,
    image: Vec<u8>,
}

impl<F: CrashFile> Harness<F> {
    /// On a file of zeros of the size of the device.
    pub fn new(file: F, shape: Shape, seed: u64) -> Self {
        Self {
            device: HandDevice::new(file, shape),
            model: Model::new(shape),
            stream: Stream::new(shape, F::MIX, seed),
            shape,
            buffer: vec![0; shape.longest()],
            image: vec![0; shape.size()],
        }
    }

    /// Does one operation, and checks it.
    ///
    /// # Panics
    ///
    /// Where the device is wrong.
    pub fn step(&mut self) {
        let step = self.stream.step();
        if let Some(fault) = step.fault {
            self.device.file.arm(fault);
        }
        let result = self.perform(step.op);
        if (step.fault.is_some() || result.is_err())
            && let Some(failed) = self.device.file.take_failure()
        {
            assert_eq!(result.is_err(), failed, "{step:?} gave {result:?}");
        }
    }

    fn perform(&mut self, op: Op) -> io::Result<()> {
        let block = self.shape.block_size;
        match op {
            Op::Write { at, count, tag } => {
                let bytes = &mut self.buffer[..count * block];
                fill(bytes, block, at, tag);
                self.model.begins(at, bytes);
                let written = self.device.write(at, bytes);
                self.model.changed(at, bytes, &written);
                written
            }
            Op::Trim { at, count } => {
                let zeros = &mut self.buffer[..count * block];
                zeros.fill(0);
                self.model.begins(at, zeros);
                let trimmed = self.device.trim(at, count);
                self.model.changed(at, zeros, &trimmed);
                trimmed
            }
            Op::Read { at, count } => {
                let bytes = &mut self.buffer[..count * block];
                self.device.read(at, bytes)?;
                self.model.read(at, bytes).expect("a read shows what is there");
                Ok(())
            }
            Op::Flush => {
                self.device.flush()?;
                self.model.flushed();
                Ok(())
            }
            Op::Crash { seed } => {
                self.device.file.crash(seed)?;
                // One whose faults are not directed may fail this read too.
                while let Err(error) = self.device.read(0, &mut self.image) {
                    if self.device.file.take_failure().is_some() {
                        return Err(error);
                    }
                }
                self.model.crashed(&self.image).expect("a crash leaves what it may");
                Ok(())
            }
        }
    }
}

impl Model {
    fn changed(&mut self, at: usize, bytes: &[u8], result: &io::Result<()>) {
        match result {
            Ok(()) => self.wrote(at, bytes),
            Err(_) => self.failed(at, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultFile;
    use crate::file::{MemFile, RawFile};
    use crate::work::{Fault, Mix};

    const SHAPE: Shape = Shape { block_size: 512, blocks: 64 };

    /// A sync of it makes nothing durable.
    struct Lying(FaultFile<MemFile>);

    impl RawFile for Lying {
        fn read(&mut self, buffer: &mut [u8], offset: usize) -> io::Result<usize> {
            self.0.read(buffer, offset)
        }

        fn write(&mut self, buffer: &[u8], offset: usize) -> io::Result<usize> {
            self.0.write(buffer, offset)
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn punch(&mut self, offset: usize, length: usize) -> io::Result<()> {
            self.0.punch(offset, length)
        }

        fn reopen(&mut self) -> io::Result<()> {
            self.0.reopen()
        }
    }

    impl CrashFile for Lying {
        const MIX: Mix = Mix::UNDIRECTED;

        fn arm(&mut self, fault: Fault) {
            self.0.arm(fault);
        }

        fn take_failure(&mut self) -> Option<bool> {
            self.0.take_failure()
        }

        fn crash(&mut self, seed: u64) -> io::Result<()> {
            self.0.crash(seed)
        }
    }

    fn file() -> FaultFile<MemFile> {
        FaultFile::new(MemFile::new(SHAPE.size()), SHAPE.block_size, SHAPE.size())
    }

    #[test]
    fn a_device_that_is_right_passes() {
        let mut harness = Harness::new(file(), SHAPE, 1);
        (0..20_000).for_each(|_| harness.step());
    }

    #[test]
    #[should_panic(expected = "a crash leaves what it may")]
    fn a_sync_that_lies_is_found() {
        let mut harness = Harness::new(Lying(file()), SHAPE, 1);
        (0..20_000).for_each(|_| harness.step());
    }
}
