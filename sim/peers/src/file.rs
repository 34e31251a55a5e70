//! The files beneath.

use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::{NamedTempFile, TempPath};

/// The raw calls of a device. Offsets and lengths are in bytes.
pub trait RawFile {
    /// Reads up to `buffer.len()` bytes.
    ///
    /// # Errors
    ///
    /// As `pread(2)`.
    fn read(&mut self, buffer: &mut [u8], offset: usize) -> io::Result<usize>;

    /// Writes up to `buffer.len()` bytes.
    ///
    /// # Errors
    ///
    /// As `pwrite(2)`.
    fn write(&mut self, buffer: &[u8], offset: usize) -> io::Result<usize>;

    /// Makes everything durable.
    ///
    /// # Errors
    ///
    /// As `fdatasync(2)`.
    fn sync(&mut self) -> io::Result<()>;

    /// Makes a range read as zeros.
    ///
    /// # Errors
    ///
    /// As `fallocate(2)`.
    fn punch(&mut self, offset: usize, length: usize) -> io::Result<()>;

    /// Closes the file, and opens it again.
    ///
    /// # Errors
    ///
    /// As `open(2)`.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A real file in a directory, which is gone when this is.
#[derive(Debug)]
pub struct DirFile {
    file: File,
    /// Its name.
    path: TempPath,
}

impl DirFile {
    /// A file of zeros that are all there.
    ///
    /// # Errors
    ///
    /// As `open(2)` and `write(2)`.
    pub fn new(directory: &Path, size: usize) -> io::Result<Self> {
        let (file, path) = NamedTempFile::new_in(directory)?.into_parts();
        file.write_all_at(&vec![0; size], 0)?;
        Ok(Self { file, path })
    }
}

impl RawFile for DirFile {
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
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, mode, offset as u64, length as u64)?)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        Ok(())
    }
}

/// A vector.
#[derive(Debug)]
pub struct MemFile(Vec<u8>);

impl MemFile {
    /// A file of zeros.
    pub fn new(size: usize) -> Self {
        Self(vec![0; size])
    }

    fn at(&mut self, offset: usize, length: usize) -> &mut [u8] {
        let start = offset.min(self.0.len());
        let end = (start + length).min(self.0.len());
        &mut self.0[start..end]
    }
}

impl RawFile for MemFile {
    fn read(&mut self, buffer: &mut [u8], offset: usize) -> io::Result<usize> {
        let found = self.at(offset, buffer.len());
        buffer[..found.len()].copy_from_slice(found);
        Ok(found.len())
    }

    fn write(&mut self, buffer: &[u8], offset: usize) -> io::Result<usize> {
        let place = self.at(offset, buffer.len());
        place.copy_from_slice(&buffer[..place.len()]);
        Ok(place.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn punch(&mut self, offset: usize, length: usize) -> io::Result<()> {
        self.at(offset, length).fill(0);
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}
