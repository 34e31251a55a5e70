//! What holds the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a simulated file keeps its bytes in.
///
/// In memory it is fastest. On a real file every raw call is also made on that file, so that the
/// kernel's own path runs beneath the code under test. What a run does and finds is the same.
#[derive(Debug, Default)]
pub enum Medium {
    /// Memory only.
    #[default]
    Memory,
    /// A real file. It is emptied.
    File(File),
}

impl Medium {
    /// A real file in `directory` that has no name, so that nothing is left behind however the
    /// process ends.
    ///
    /// # Errors
    ///
    /// Where no file can be made there.
    pub fn in_directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::File(tempfile::tempfile_in(directory)?))
    }

    /// Fills `buffer` from `offset` on; true where the medium holds bytes to give.
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
            Self::File(file) => crate::file::punch_hole(file, offset, length),
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
