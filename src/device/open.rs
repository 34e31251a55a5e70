//! Opening a backing file by name, with its lock.

use super::DeviceError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The file or block special file at `path`, open and locked.
pub(super) fn lock_file(path: &Path, read_only: bool) -> Result<File, DeviceError> {
    // Before opening: to open a fifo is to wait for its other end.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if !kind.is_file() && !kind.is_block_device() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    }
    let mut options = OpenOptions::new();
    options.read(true).write(!read_only);
    if kind.is_block_device() && !read_only {
        // On a block special file, and only there, this refuses (`EBUSY`) one that is mounted, or
        // that another opener holds in the same way: open(2).
        options.custom_flags(rustix::fs::OFlags::EXCL.bits().cast_signed());
    }
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            return Err(DeviceError::Locked);
        }
        opened => opened?,
    };
    match if read_only { file.try_lock_shared() } else { file.try_lock() } {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DeviceError::Locked),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
