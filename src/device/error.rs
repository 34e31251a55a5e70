//! What a device can answer instead of `Ok`.

use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Why a [`Device`](super::Device) refused or failed a request.
///
/// Small, `Copy` and comparable, so that a test can demand one exact answer. The contract says
/// which requests meet which variant; see the [module documentation](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The offset or the length (bytes) is not a multiple of the block size. Nothing was changed.
    #[error("offset {offset} or length {length} is not a multiple of the block size {block_size}")]
    Misaligned {
        /// Where the request began, in bytes.
        offset: u64,
        /// How long it was, in bytes.
        length: u64,
        /// What both have to be a multiple of, in bytes.
        block_size: u32,
    },
    /// The request reaches past the end of the device. Nothing was changed.
    #[error("{length} bytes at offset {offset} reach past the end of a device of {size} bytes")]
    OutOfRange {
        /// Where the request began, in bytes.
        offset: u64,
        /// How long it was, in bytes.
        length: u64,
        /// The size of the device, in bytes.
        size: u64,
    },
    /// The device was opened for reading only. Nothing was changed.
    #[error("the device is read-only")]
    ReadOnly,
    /// The device was closed before the request. Nothing was changed.
    #[error("the device is closed")]
    Closed,
    /// A sync failed earlier, so that written data may be lost although reads still show it.
    ///
    /// Only opening the device again, and reading back what it holds, ends this.
    #[error("an earlier sync failed; the device has to be opened again")]
    SyncFailed,
    /// The backing file accepted none of the bytes of a write.
    #[error("the backing file accepted no bytes of a write")]
    WriteZero,
    /// The backing file ends inside the device, and was not meant to.
    #[error("the backing file ended early, inside the range of the device")]
    UnexpectedEof,
    /// The requested buffer is larger than the whole transfer heap, so waiting would never end.
    #[error("a buffer of {requested} bytes cannot come from a transfer heap of {heap} bytes")]
    BufferTooLarge {
        /// The size asked for, in bytes.
        requested: usize,
        /// The largest buffer that this heap can give, in bytes.
        heap: usize,
    },
    /// Another opener holds the lock on the backing file.
    #[error("the backing file is locked by another opener")]
    Locked,
    /// The geometry is impossible; see [`GeometryError`].
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The backing file failed. Sectors that a failed write covered are old or new.
    #[error("the backing file failed: {}", describe(*kind, *errno))]
    Io {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The operating system's error number, where there was one.
        errno: Option<i32>,
    },
}

impl DeviceError {
    /// The number of the error, as a system call would give it: that of the file where it had one,
    /// else the one that says most nearly the same.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        let errno = match *self {
            Self::Io { errno, .. } => return errno,
            Self::Misaligned { .. }
            | Self::OutOfRange { .. }
            | Self::BufferTooLarge { .. }
            | Self::Geometry(_) => Errno::INVAL,
            Self::ReadOnly => Errno::ROFS,
            Self::Closed => Errno::BADF,
            Self::SyncFailed | Self::WriteZero | Self::UnexpectedEof => Errno::IO,
            Self::Locked => Errno::AGAIN,
        };
        Some(errno.raw_os_error())
    }
}

/// What the file answered is what comes out: with its errno, where it had one. Everything else
/// keeps its sentence, and is the source of the error.
impl From<DeviceError> for io::Error {
    fn from(error: DeviceError) -> Self {
        let kind = match error {
            DeviceError::Io { errno: Some(errno), .. } => return Self::from_raw_os_error(errno),
            DeviceError::Io { kind, errno: None } => kind,
            DeviceError::WriteZero => io::ErrorKind::WriteZero,
            DeviceError::UnexpectedEof => io::ErrorKind::UnexpectedEof,
            DeviceError::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            DeviceError::Locked => io::ErrorKind::ResourceBusy,
            DeviceError::Closed | DeviceError::SyncFailed => io::ErrorKind::Other,
            DeviceError::Misaligned { .. }
            | DeviceError::OutOfRange { .. }
            | DeviceError::BufferTooLarge { .. }
            | DeviceError::Geometry(_) => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// Why a device could not be opened by name: one sentence, which begins with the path.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct OpenError {
    path: PathBuf,
    reason: String,
    error: DeviceError,
}

impl OpenError {
    pub(super) fn new(path: &Path, error: DeviceError) -> Self {
        let reason = match error {
            DeviceError::Locked => "another program has it open, and has locked it".to_owned(),
            DeviceError::Io { kind: io::ErrorKind::IsADirectory, .. } => {
                "this is a directory, and no file or block special file".to_owned()
            }
            DeviceError::Io { kind: io::ErrorKind::InvalidInput, errno: None } => {
                "this is neither a file nor a block special file".to_owned()
            }
            DeviceError::Io { kind, errno } => {
                format!("it cannot be opened: {}", describe(kind, errno))
            }
            other => other.to_string(),
        };
        Self { path: path.to_owned(), reason, error }
    }

    /// What could not be opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error without the path.
    #[must_use]
    pub fn error(&self) -> DeviceError {
        self.error
    }
}

impl From<OpenError> for DeviceError {
    fn from(error: OpenError) -> Self {
        error.error
    }
}

/// Why a [`Geometry`](super::Geometry) cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// A sector is 512 or 4096 bytes.
    #[error("sector size {0} is neither 512 nor 4096")]
    SectorSize(u32),
    /// A block is a power of two of bytes, and one sector or more.
    #[error(
        "block size {block_size} is not a power of two of at least the sector size {sector_size}"
    )]
    BlockSize {
        /// The impossible block size, in bytes.
        block_size: u32,
        /// The sector size, in bytes.
        sector_size: u32,
    },
    /// The size of the device has to fit `i64::MAX` bytes, the kernel's own limit on offsets.
    #[error("{block_count} blocks of {block_size} bytes are more than i64::MAX bytes")]
    TooLarge {
        /// The block size, in bytes.
        block_size: u32,
        /// The impossible number of blocks.
        block_count: u64,
    },
    /// Direct I/O on the backing file is aligned to more than a block, or to no part of it.
    #[error("block size {block_size} is no multiple of {alignment}, as direct I/O asks for")]
    Alignment {
        /// The block size, in bytes.
        block_size: u32,
        /// What the file asks for, in bytes.
        alignment: u32,
    },
    /// The blocks of the transfer heap are smaller than direct I/O on the backing file asks for.
    #[error("buffers at multiples of {heap} bytes are not at those of {alignment} for direct I/O")]
    HeapAlignment {
        /// What buffers are aligned to, in bytes.
        heap: usize,
        /// What the file asks for, in bytes.
        alignment: u32,
    },
    /// The backing file does not hold a whole number of blocks, one at least.
    #[error(
        "a file of {file_length} bytes does not hold a whole number of {block_size}-byte blocks"
    )]
    FileLength {
        /// The length of the file, in bytes.
        file_length: u64,
        /// The block size, in bytes.
        block_size: u32,
    },
}

/// Where there is no errno, the kinds that a device also makes of a count (`WriteZero` and
/// `UnexpectedEof`) become the same variants as there. Every other kind is kept.
impl From<io::Error> for DeviceError {
    fn from(error: io::Error) -> Self {
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::WriteZero, None) => Self::WriteZero,
            (io::ErrorKind::UnexpectedEof, None) => Self::UnexpectedEof,
            (kind, errno) => Self::Io { kind, errno },
        }
    }
}

fn describe(kind: io::ErrorKind, errno: Option<i32>) -> String {
    errno.map_or_else(|| kind.to_string(), |errno| io::Error::from_raw_os_error(errno).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_those_of_the_standard_library() {
        let full = io::Error::from(DeviceError::from(io::Error::from_raw_os_error(28)));
        assert_eq!(full.raw_os_error(), Some(28));
        let unsupported = DeviceError::from(io::Error::from(io::ErrorKind::Unsupported));
        assert_eq!(io::Error::from(unsupported).kind(), io::ErrorKind::Unsupported);
        let refused = io::Error::from(DeviceError::ReadOnly);
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
        let source = refused.get_ref().and_then(|it| it.downcast_ref::<DeviceError>());
        assert_eq!(source, Some(&DeviceError::ReadOnly));
        assert_eq!(DeviceError::ReadOnly.errno(), Some(30));
        assert_eq!(DeviceError::from(io::Error::from_raw_os_error(28)).errno(), Some(28));
    }

    #[test]
    fn errors_keep_their_errno_and_say_it() {
        let error = DeviceError::from(io::Error::from_raw_os_error(28));
        assert_eq!(error, DeviceError::Io { kind: io::ErrorKind::StorageFull, errno: Some(28) });
        assert!(error.to_string().contains("os error 28"), "{error}");
    }

    #[test]
    fn an_error_without_errno_says_its_kind() {
        let error = DeviceError::from(io::Error::from(io::ErrorKind::Unsupported));
        assert_eq!(error, DeviceError::Io { kind: io::ErrorKind::Unsupported, errno: None });
        assert_eq!(error.to_string(), "the backing file failed: unsupported");
    }

    #[test]
    fn an_error_with_a_message_keeps_its_kind() {
        let error = DeviceError::from(io::Error::new(io::ErrorKind::InvalidData, "checksum"));
        assert_eq!(error, DeviceError::Io { kind: io::ErrorKind::InvalidData, errno: None });
    }

    #[test]
    fn kinds_that_the_device_has_a_name_for_get_it() {
        let kinds = [
            (io::ErrorKind::WriteZero, DeviceError::WriteZero),
            (io::ErrorKind::UnexpectedEof, DeviceError::UnexpectedEof),
        ];
        for (kind, expected) in kinds {
            assert_eq!(DeviceError::from(io::Error::from(kind)), expected);
            assert_eq!(DeviceError::from(io::Error::new(kind, "with a message")), expected);
        }
    }
}
