//! The harness on turmoil's file system, whose faults come at random.

use crate::fault::CrashFile;
use crate::file::RawFile;
use crate::harness::Harness;
use crate::work::{Fault, Mix, Shape};
use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;
use turmoil_fs::Fs;
use turmoil_fs::shim::std::fs::{File, OpenOptions, sync_dir};

const PATH: &str = "/device";

/// A file of turmoil's file system. It makes no short write, is never interrupted, and punches no
/// hole: a trim writes zeros.
pub struct TurmoilFile {
    fs: Fs,
    file: File,
}

impl TurmoilFile {
    /// A file of zeros, durable with its name.
    ///
    /// # Errors
    ///
    /// That of the file system.
    pub fn new(shape: Shape, seed: u64) -> io::Result<Self> {
        let fs = Fs::builder()
            .seed(seed)
            .block_size(shape.block_size as u64)
            // Of the operations of W, so many meet an error, and so many a short transfer.
            .io_error_probability(0.025)
            .short_read_probability(0.0125)
            .build();
        let file = within(&fs, || {
            let file = OpenOptions::new().read(true).write(true).create(true).open(PATH)?;
            file.set_len(shape.size() as u64)?;
            file.sync_all()?;
            sync_dir("/")?;
            io::Result::Ok(file)
        })?;
        Ok(Self { fs, file })
    }

    /// What does the next operations of W on it, as many as it is called with.
    ///
    /// # Errors
    ///
    /// That of the file system.
    pub fn harness(shape: Shape, seed: u64) -> io::Result<impl FnMut(u64)> {
        let file = Self::new(shape, seed)?;
        let fs = file.fs.clone();
        let mut harness = Harness::new(file, shape, seed);
        Ok(move |count| within(&fs, || (0..count).for_each(|_| harness.step())))
    }
}

/// Does `work` where this is the file system.
fn within<T>(fs: &Fs, work: impl FnOnce() -> T) -> T {
    let _entered = fs.enter();
    work()
}

impl fmt::Debug for TurmoilFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurmoilFile").finish_non_exhaustive()
    }
}

impl RawFile for TurmoilFile {
    fn read(&mut self, buffer: &mut [u8], offset: usize) -> io::Result<usize> {
        self.file.read_at(buffer, offset as u64)
    }

    fn write(&mut self, buffer: &[u8], offset: usize) -> io::Result<usize> {
        self.file.write_at(buffer, offset as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn punch(&mut self, offset: usize, length: usize) -> io::Result<()> {
        self.file.write_all_at(&vec![0; length], offset as u64)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new().read(true).write(true).open(PATH)?;
        Ok(())
    }
}

impl CrashFile for TurmoilFile {
    const MIX: Mix = Mix::UNDIRECTED;

    fn arm(&mut self, _: Fault) {}

    fn take_failure(&mut self) -> Option<bool> {
        None
    }

    fn crash(&mut self, _: u64) -> io::Result<()> {
        self.fs.crash();
        self.reopen()
    }
}
