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
                Self::File(file) => Ok(Backing::File(Real::new(file))),
                Self::Memory | Self::Directory(_) => unreachable!("it was a file"),
            },
            Self::Memory | Self::File(_) => Ok(Backing::Memory),
            Self::Directory(directory) => {
                Ok(Backing::File(Real::new(tempfile::tempfile_in(directory)?)))
            }
        }
    }
}

/// What one file keeps its bytes in.
#[derive(Debug)]
pub(super) enum Backing {
    Memory,
    File(Real),
}

impl Backing {
    /// Whether it is more than memory.
    pub(super) fn is_real(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Fills `buffer` from `offset` on; true where it holds bytes to give.
    pub(super) fn read(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        match self {
            Self::Memory => Ok(false),
            Self::File(real) => real.now()?.read_exact_at(buffer, offset).map(|()| true),
        }
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(real) => {
                real.now()?.write_all_at(data, offset)?;
                let end = offset + data.len() as u64;
                real.length = real.length.max(end);
                real.written = real.written.max(end);
                Ok(())
            }
        }
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(real) => real.now()?.sync_data(),
        }
    }

    /// Has nothing in it.
    pub(super) fn empty(&mut self) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(real) => real.empty(),
        }
    }

    pub(super) fn set_len(&mut self, length: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(real) => real.set_len(length),
        }
    }

    /// Makes the file as long as `length`, if it is shorter.
    pub(super) fn grow(&mut self, length: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(real) => {
                real.now()?;
                if real.length < length { real.set_len(length) } else { Ok(()) }
            }
        }
    }

    pub(super) fn punch(&mut self, offset: u64, length: u64) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(real) => crate::file::system::punch_hole(real.now()?, offset, length),
        }
    }

    /// Closes the file and opens it again, as after a crash.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(real) => {
                real.file = open_again(real.now()?)?;
                Ok(())
            }
        }
    }
}

/// A file that is emptied to be as long again is filled with zeros, if it is no longer than this,
/// in bytes. Then the kernel keeps its pages, which take several times as long to make.
const REUSED: u64 = 1 << 20;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A real file.
#[derive(Debug)]
pub(super) struct Real {
    file: File,
    /// How long it is, in bytes.
    length: u64,
    /// Up to where it was ever written.
    written: u64,
    /// It is to be empty, and is not yet.
    used: bool,
}

impl Real {
    /// A file that is to be emptied before it is used.
    fn new(file: File) -> Self {
        Self { file, length: u64::MAX, written: u64::MAX, used: true }
    }

    /// The file as it is to be now.
    fn now(&mut self) -> io::Result<&File> {
        if self.used {
            // Where this fails, that is told once.
            (self.length, self.written, self.used) = (u64::MAX, u64::MAX, false);
            self.file.set_len(0)?;
            (self.length, self.written) = (0, 0);
        }
        Ok(&self.file)
    }

    fn empty(&mut self) -> io::Result<()> {
        self.used = true;
        // What is long is given back at once.
        if self.length > REUSED { self.now().map(drop) } else { Ok(()) }
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        if self.used && self.length == length && length <= REUSED {
            let written = self.written.min(length);
            let pieces = (0..written).step_by(ZEROS.len());
            for at in pieces {
                let count = usize::try_from(written - at).unwrap_or(ZEROS.len());
                self.file.write_all_at(&ZEROS[..count.min(ZEROS.len())], at)?;
            }
            (self.written, self.used) = (0, false);
            return Ok(());
        }
        self.now()?;
        if self.length != length {
            self.file.set_len(length)?;
            self.length = length;
            self.written = self.written.min(length);
        }
        Ok(())
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
