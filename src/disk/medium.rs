//! What holds the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What simulated files keep their bytes in.
///
/// In memory it is fastest. On real files every raw call is also made on such a file, so that the
/// kernel's own path runs beneath the code under test. What a run does and finds is the same.
#[derive(Debug, Default)]
pub enum Medium {
    /// Memory only.
    #[default]
    Memory,
    /// The first file of a disk is kept in this real file, which is emptied; any others are kept
    /// in memory.
    File(File),
    /// Every file of a disk is kept in a real file in this directory. These files have no names,
    /// so that nothing is left behind however the process ends.
    Directory(PathBuf),
}

impl Medium {
    /// Real files in `directory`.
    ///
    /// # Errors
    ///
    /// Where no file can be made there.
    pub fn in_directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        let directory = directory.as_ref();
        tempfile::tempfile_in(directory)?;
        Ok(Self::Directory(directory.to_owned()))
    }

    /// Something for another file to be kept in, the first one or not.
    pub(super) fn backing(&mut self, first: bool) -> io::Result<Backing> {
        match self {
            Self::File(_) if first => match std::mem::take(self) {
                Self::File(file) => Ok(Backing::File(file)),
                Self::Memory | Self::Directory(_) => unreachable!("it was a file"),
            },
            Self::Memory | Self::File(_) => Ok(Backing::Memory),
            Self::Directory(directory) => Ok(Backing::File(tempfile::tempfile_in(directory)?)),
        }
    }
}

/// What one file keeps its bytes in.
#[derive(Debug)]
pub(super) enum Backing {
    Memory,
    File(File),
}

impl Backing {
    /// Fills `buffer` from `offset` on; true where it holds bytes to give.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        match self {
            Self::Memory => Ok(false),
            Self::File(file) => file.read_exact_at(buffer, offset).map(|()| true),
        }
    }

    pub(super) fn write(&self, data: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => file.write_all_at(data, offset),
        }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => file.sync_data(),
        }
    }

    pub(super) fn set_len(&self, length: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => file.set_len(length),
        }
    }

    /// Makes the file as long as `length`, if it is shorter.
    pub(super) fn grow(&self, length: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) if file.metadata()?.len() < length => file.set_len(length),
            Self::File(_) => Ok(()),
        }
    }

    pub(super) fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => crate::file::system::punch_hole(file, offset, length),
        }
    }

    /// Closes the file and opens it again, as after a crash.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => {
                *file = open_again(file)?;
                Ok(())
            }
        }
    }
}

/// A new opening of the same file, which has no name to open it by.
#[cfg(target_os = "linux")]
fn open_again(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    File::options().read(true).write(true).open(path)
}

/// Elsewhere there is no way to; the file stays as it is open.
#[cfg(not(target_os = "linux"))]
fn open_again(file: &File) -> io::Result<File> {
    file.try_clone()
}
