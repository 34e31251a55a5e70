//! What a request that failed is told: the errors that NBD has numbers for.

use blocktwin::device::DeviceError;
use rustix::io::Errno;
use std::io;

/// An error of the protocol. The numbers are those of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum NbdError {
    NotPermitted = 1,
    Io = 5,
    NoMemory = 12,
    Invalid = 22,
    NoSpace = 28,
    Overflow = 75,
    NotSupported = 95,
    Shutdown = 108,
}

impl NbdError {
    /// What became of a request that the device refused or failed.
    pub(crate) fn of(error: DeviceError, changes: bool) -> Self {
        match error {
            DeviceError::ReadOnly => Self::NotPermitted,
            DeviceError::Closed => Self::Shutdown,
            DeviceError::BufferTooLarge { .. } => Self::NoMemory,
            // The protocol wants to be told these two apart.
            DeviceError::OutOfRange { .. } if changes => Self::NoSpace,
            DeviceError::OutOfRange { .. } | DeviceError::Misaligned { .. } => Self::Invalid,
            DeviceError::Io { errno: Some(errno), .. } => {
                Self::of_errno(Errno::from_raw_os_error(errno))
            }
            DeviceError::Io { kind: io::ErrorKind::Unsupported, .. } => Self::NotSupported,
            DeviceError::Io { kind: io::ErrorKind::OutOfMemory, .. } => Self::NoMemory,
            _ => Self::Io,
        }
    }

    fn of_errno(errno: Errno) -> Self {
        match errno {
            Errno::PERM | Errno::ROFS => Self::NotPermitted,
            Errno::NOMEM => Self::NoMemory,
            Errno::INVAL => Self::Invalid,
            // Each is a limit to what may be stored.
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            Errno::OVERFLOW => Self::Overflow,
            Errno::OPNOTSUPP => Self::NotSupported,
            Errno::SHUTDOWN => Self::Shutdown,
            _ => Self::Io,
        }
    }
}
