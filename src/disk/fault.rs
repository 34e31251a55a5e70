//! What can go wrong in a raw call.

use serde::{Deserialize, Serialize};
use std::io;

/// The raw calls, one for each method of [`BackingFile`](crate::file::BackingFile).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `pread(2)`
    Read,
    /// `pwrite(2)`
    Write,
    /// `fdatasync(2)` or `fsync(2)`
    Sync,
    /// `fstat(2)`, for the length
    Length,
    /// `ftruncate(2)`
    SetLength,
    /// `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE`
    Punch,
}

impl Call {
    /// What the call is called in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "pread",
            Self::Write => "pwrite",
            Self::Sync => "fdatasync",
            Self::Length => "fstat",
            Self::SetLength => "ftruncate",
            Self::Punch => "punch_hole",
        }
    }
}

/// A fault, pinned to a raw call of one operation, so that it stays in place when other operations
/// are taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which of the operation's raw calls meets it, from 0.
    pub call: u32,
    /// What happens to that call. Where the kind does not apply to the call, nothing does.
    pub kind: FaultKind,
}

/// What happens to a raw call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FaultKind {
    /// `EINTR`: a signal came, nothing was transferred.
    Interrupted,
    /// A read gives at most this many bytes, one at least.
    ShortRead(u32),
    /// A write takes at most this many bytes, one at least, at any byte of a sector.
    ShortWrite(u32),
    /// `EIO` from a read, write, truncation or hole punch, without effect.
    Eio,
    /// `ENOSPC` from a write or hole punch, without effect.
    Enospc,
    /// `EIO` from a sync, and this becomes of what was to be synced.
    SyncFailed(Dirty),
}

/// What becomes of unsynced data when a sync fails. The kernel leaves all of it visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dirty {
    /// It stays dirty, and a later sync would write it.
    Kept,
    /// It is marked clean though it was never written: no later sync writes it.
    Dropped,
    /// A random part of it, by this seed, is durable; the rest is dropped.
    Partly(u64),
}

/// The kinds of faults without their parameters, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultClass {
    /// [`FaultKind::Interrupted`]
    Interrupted,
    /// [`FaultKind::ShortRead`]
    ShortRead,
    /// [`FaultKind::ShortWrite`]
    ShortWrite,
    /// [`FaultKind::Eio`]
    Eio,
    /// [`FaultKind::Enospc`]
    Enospc,
    /// [`Dirty::Kept`]
    SyncFailedKept,
    /// [`Dirty::Dropped`]
    SyncFailedDropped,
    /// [`Dirty::Partly`]
    SyncFailedPartly,
}

impl FaultClass {
    /// Every class, in the order of their definition.
    pub const ALL: [Self; 8] = [
        Self::Interrupted,
        Self::ShortRead,
        Self::ShortWrite,
        Self::Eio,
        Self::Enospc,
        Self::SyncFailedKept,
        Self::SyncFailedDropped,
        Self::SyncFailedPartly,
    ];

    /// The class as it stands in a table or a JSON summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupted => "eintr",
            Self::ShortRead => "short-read",
            Self::ShortWrite => "short-write",
            Self::Eio => "eio",
            Self::Enospc => "enospc",
            Self::SyncFailedKept => "sync-failed-kept",
            Self::SyncFailedDropped => "sync-failed-dropped",
            Self::SyncFailedPartly => "sync-failed-partly",
        }
    }
}

impl FaultKind {
    /// The kind without its parameter.
    pub fn class(self) -> FaultClass {
        match self {
            Self::Interrupted => FaultClass::Interrupted,
            Self::ShortRead(_) => FaultClass::ShortRead,
            Self::ShortWrite(_) => FaultClass::ShortWrite,
            Self::Eio => FaultClass::Eio,
            Self::Enospc => FaultClass::Enospc,
            Self::SyncFailed(Dirty::Kept) => FaultClass::SyncFailedKept,
            Self::SyncFailed(Dirty::Dropped) => FaultClass::SyncFailedDropped,
            Self::SyncFailed(Dirty::Partly(_)) => FaultClass::SyncFailedPartly,
        }
    }

    /// Whether a call of `length` bytes can meet this.
    pub fn applies(self, call: Call, length: usize) -> bool {
        let shortens = |count: u32| count > 0 && (count as usize) < length;
        match self {
            Self::Interrupted => call != Call::Length,
            Self::ShortRead(count) => call == Call::Read && shortens(count),
            Self::ShortWrite(count) => call == Call::Write && shortens(count),
            Self::Eio => call != Call::Sync,
            Self::Enospc => matches!(call, Call::Write | Call::Punch),
            Self::SyncFailed(_) => call == Call::Sync,
        }
    }

    /// The error that the call returns, if it does.
    pub fn errno(self) -> Option<i32> {
        use rustix::io::Errno;
        let errno = match self {
            Self::Interrupted => Errno::INTR,
            Self::Eio | Self::SyncFailed(_) => Errno::IO,
            Self::Enospc => Errno::NOSPC,
            Self::ShortRead(_) | Self::ShortWrite(_) => return None,
        };
        Some(errno.raw_os_error())
    }

    /// The error that the call returns and that the device has to surface, if there is one:
    /// anything but `EINTR`.
    pub fn loud_error(self) -> Option<io::Error> {
        let errno = self.errno().filter(|_| self != Self::Interrupted)?;
        Some(io::Error::from_raw_os_error(errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_apply_only_where_the_kernel_could_do_it() {
        assert!(FaultKind::ShortRead(100).applies(Call::Read, 101));
        assert!(!FaultKind::ShortRead(100).applies(Call::Read, 100));
        assert!(!FaultKind::ShortWrite(0).applies(Call::Write, 512));
        assert!(!FaultKind::Eio.applies(Call::Sync, 0));
        assert!(FaultKind::SyncFailed(Dirty::Kept).applies(Call::Sync, 0));
        assert!(!FaultKind::Enospc.applies(Call::Read, 512));
    }

    #[test]
    fn only_transient_kinds_have_no_loud_error() {
        assert!(FaultKind::Interrupted.loud_error().is_none());
        assert!(FaultKind::ShortWrite(1).loud_error().is_none());
        assert_eq!(FaultKind::Enospc.loud_error().unwrap().raw_os_error(), Some(28));
    }
}
