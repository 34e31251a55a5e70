//! Opening a backing file by name, and its locks.

use super::{DeviceError, DeviceOptions};
use crate::file::system;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// What is known of a file before there is a device.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// Bytes.
    pub(super) length: u64,
    /// What direct I/O is aligned to, in bytes; 1 if there is none.
    pub(super) alignment: u32,
    /// Logical and physical sectors of a block special file, in bytes.
    pub(super) sectors: Option<(u32, u32)>,
}

impl Facts {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self {
            length: system::length(file)?,
            alignment: system::alignment(file)?,
            sectors: system::sector_sizes(file)?,
        })
    }
}

/// The file or block special file at `path`, open and locked.
pub(super) fn open(path: &Path, options: &DeviceOptions) -> Result<File, DeviceError> {
    // Before opening: to open a fifo is to wait for its other end.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if !kind.is_file() && !kind.is_block_device() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    }
    let mut flags = rustix::fs::OFlags::empty();
    if kind.is_block_device() && !options.read_only {
        // On a block special file, and only there, this refuses (`EBUSY`) one that is mounted, or
        // that another opener holds in the same way: open(2).
        flags |= rustix::fs::OFlags::EXCL;
    }
    #[cfg(target_os = "linux")]
    if options.direct {
        flags |= rustix::fs::OFlags::DIRECT;
    }
    let mut open = OpenOptions::new();
    open.read(true).write(!options.read_only).custom_flags(flags.bits().cast_signed());
    let file = match open.open(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            return Err(DeviceError::Locked);
        }
        opened => opened?,
    };
    lock(&file, options.read_only)?;
    Ok(file)
}

/// Locks the file against other openers: exclusively, or shared where read-only. There are two
/// locks that know nothing of each other, for the programs that know only one: `flock(2)`, and
/// those of the open file description (`F_OFD_SETLK`), which QEMU looks at. Both end with the last
/// descriptor of this opening.
pub(super) fn lock(file: &File, read_only: bool) -> Result<(), DeviceError> {
    match if read_only { file.try_lock_shared() } else { file.try_lock() } {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DeviceError::Locked),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    if !read_only {
        return lock_bytes(file, libc::F_WRLCK, &(0..0));
    }
    QEMU_READER.iter().try_for_each(|byte| lock_bytes(file, libc::F_RDLCK, byte))?;
    QEMU_WRITER.iter().try_for_each(|byte| test_bytes(file, byte))
}

/// The bytes by which QEMU tells what an opener of an image does and what it lets others do
/// (`block/file-posix.c`): this one reads (100), and lets nobody write (201) or resize (203).
const QEMU_READER: [Range<i64>; 3] = [100..101, 201..202, 203..204];

/// As it tells that it writes (101) or resizes (103).
const QEMU_WRITER: [Range<i64>; 2] = [101..102, 103..104];

/// A lock of this kind on these bytes, or, where they are none, on all that there may ever be.
fn lock_of(kind: libc::c_int, bytes: &Range<i64>) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: bytes.start,
        l_len: bytes.end - bytes.start,
        l_pid: 0,
    }
}

/// Whether nobody else has a lock on these bytes, even a shared one.
fn test_bytes(file: &File, bytes: &Range<i64>) -> Result<(), DeviceError> {
    let mut found = lock_of(libc::F_WRLCK, bytes);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)).map_err(io::Error::from)?;
    if i32::from(found.l_type) == libc::F_UNLCK { Ok(()) } else { Err(DeviceError::Locked) }
}

/// Locks these bytes, by open file description.
fn lock_bytes(file: &File, kind: libc::c_int, bytes: &Range<i64>) -> Result<(), DeviceError> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock_of(kind, bytes))) {
        Ok(_) => Ok(()),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Err(DeviceError::Locked),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}
