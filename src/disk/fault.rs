//! What can go wrong in a raw call.

use crate::device::DeviceError;
use serde::{Deserialize, Serialize};
use std::io;

/// The raw calls: one for each method of [`BackingFile`](crate::file::BackingFile), and those of
/// [`World`](super::World) on names. Digests number them by their order, so new ones go to the end.
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
    /// `open(2)`
    Open,
    /// `open(2)` with `O_CREAT | O_EXCL`
    Create,
    /// `rename(2)`
    Rename,
    /// `unlink(2)`
    Unlink,
    /// `fsync(2)` of the directory
    SyncDirectory,
    /// `readdir(3)`
    List,
    /// `fallocate(2)` with `FALLOC_FL_ZERO_RANGE`
    Zero,
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
            Self::Open => "open",
            Self::Create => "create",
            Self::Rename => "rename",
            Self::Unlink => "unlink",
            Self::SyncDirectory => "fsync of the directory",
            Self::List => "readdir",
            Self::Zero => "zero_range",
        }
    }

    /// Whether it makes zeros of a range, by `fallocate(2)`.
    pub(crate) fn clears(self) -> bool {
        matches!(self, Self::Punch | Self::Zero)
    }

    /// Whether it syncs a file or the directory.
    pub(super) fn is_sync(self) -> bool {
        matches!(self, Self::Sync | Self::SyncDirectory)
    }

    /// Whether it changes a file or the directory.
    fn changes(self) -> bool {
        self.clears()
            || matches!(
                self,
                Self::Write | Self::SetLength | Self::Create | Self::Rename | Self::Unlink
            )
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
    /// A write takes at most this many bytes, one at least: at any byte of a sector, or, under a
    /// device that does not ask for that, up to the end of a sector.
    ShortWrite(u32),
    /// A read gets its first bytes, this many, when it takes effect, and the others when it
    /// answers: it may see a write in between in part.
    TornRead(u32),
    /// `EIO` from any call but a sync, without effect.
    Eio,
    /// `ENOSPC` from a call that needs space (a write, a hole punch, a creation or a renaming),
    /// without effect.
    Enospc,
    /// `ENOSPC` from this and so many more calls that need space, whoever makes them; then there is
    /// space again.
    EnospcFor(u32),
    /// `ENOSPC` from this and every later call that needs space, whoever makes them, until the
    /// device is opened again.
    EnospcStays,
    /// `EDQUOT` from such a call, without effect.
    Edquot,
    /// `EFBIG` from a write or truncation, without effect.
    Efbig,
    /// A limit of the file's size (`RLIMIT_FSIZE`) this many bytes into the write that meets it:
    /// until the device is opened again, whoever writes to this file is stopped there, and a write
    /// that begins there or further on gets `EFBIG`. Under a device that does not ask for writes to
    /// stop inside a sector, the limit is where that sector begins.
    SizeLimit(u32),
    /// `EIO` from a write, which has landed all the same: of its sectors those whose bit is set,
    /// counted in order and modulo 64.
    EioLanded(u64),
    /// `EIO` from this and every later call but a sync, whoever makes them, until the device is
    /// opened again.
    EioStays,
    /// `EROFS` from this and every later call that changes something, whoever makes them, until the
    /// device is opened again.
    ReadOnlyStays,
    /// `EAGAIN` from a write, without effect.
    Again,
    /// `EOPNOTSUPP` from this and every later hole punch, to the end of the run: the file system
    /// cannot do it.
    PunchUnsupported,
    /// A write that returns 0.
    WriteZero,
    /// This and every later write returns 0, whoever makes them, until the device is opened again.
    WriteZeroStays,
    /// `EIO` from a sync, and this becomes of what was to be synced.
    SyncFailed(Dirty),
    /// As `SyncFailed`, with `ENOSPC`: space is allocated when data is written back.
    SyncEnospc(Dirty),
    /// As `SyncFailed`, with `EDQUOT`.
    SyncEdquot(Dirty),
    /// A write succeeds, but writing it back fails in the background: it is dropped though it stays
    /// visible, and whichever sync comes next returns `EIO`, once.
    WritebackFailed,
    /// Silently, one bit of what is read or written is wrong: this one, modulo the length.
    BitFlip(u32),
    /// Silently, a write goes nowhere.
    LostWrite,
    /// Silently, a write goes this many sectors further on (or back); as many the other way if that
    /// is not in the file, or else nowhere.
    MisdirectedWrite(i32),
    /// Silently, a read gives what lies this many sectors further on (or back).
    MisdirectedRead(i32),
    /// Silently, a read gives what is durable instead of what was written since.
    StaleRead,
    /// A sector of what is read or written, this one modulo the length, cannot be read (`EIO`)
    /// until it is written again.
    LatentSector(u32),
    /// The call waits for so many steps before it takes effect.
    Latency(u32),
    /// The call takes effect, and returns so many steps later: others overtake it.
    LateReturn(u32),
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

/// The kinds of faults without their parameters, and what else may happen to an operation, for
/// counting. Digests number them by their order, so new ones go to the end.
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
    /// [`FaultKind::EnospcFor`]
    EnospcFor,
    /// [`FaultKind::Edquot`]
    Edquot,
    /// [`FaultKind::Efbig`]
    Efbig,
    /// [`FaultKind::WriteZero`]
    WriteZero,
    /// [`Dirty::Kept`]
    SyncFailedKept,
    /// [`Dirty::Dropped`]
    SyncFailedDropped,
    /// [`Dirty::Partly`]
    SyncFailedPartly,
    /// [`FaultKind::WritebackFailed`], when a sync tells of it
    WritebackFailed,
    /// [`FaultKind::BitFlip`]
    BitFlip,
    /// [`FaultKind::LostWrite`]
    LostWrite,
    /// [`FaultKind::MisdirectedWrite`]
    MisdirectedWrite,
    /// [`FaultKind::MisdirectedRead`]
    MisdirectedRead,
    /// [`FaultKind::StaleRead`]
    StaleRead,
    /// [`FaultKind::LatentSector`]
    LatentSector,
    /// [`FaultKind::Latency`]
    Latency,
    /// [`FaultKind::LateReturn`]
    LateReturn,
    /// A future dropped before it ended.
    Dropped,
    /// A power failure.
    Crash,
    /// A power failure while the device was being opened.
    CrashInOpen,
    /// [`FaultKind::EnospcStays`]
    EnospcStays,
    /// [`FaultKind::WriteZeroStays`]
    WriteZeroStays,
    /// [`FaultKind::TornRead`]
    TornRead,
    /// The process died, and the machine lived.
    Kill,
    /// [`FaultKind::EioLanded`]
    EioLanded,
    /// [`FaultKind::EioStays`]
    EioStays,
    /// [`FaultKind::ReadOnlyStays`]
    ReadOnlyStays,
    /// [`FaultKind::Again`]
    Again,
    /// [`FaultKind::PunchUnsupported`]
    PunchUnsupported,
    /// [`FaultKind::SyncEnospc`]
    SyncEnospc,
    /// [`FaultKind::SyncEdquot`]
    SyncEdquot,
    /// A future dropped before it was ever polled.
    DroppedUnpolled,
    /// A future dropped between a wake-up and the poll that would have followed.
    DroppedAwake,
    /// [`FaultKind::SizeLimit`]
    SizeLimit,
}

impl FaultClass {
    /// Every class, in the order of their definition.
    pub const ALL: [Self; 38] = [
        Self::Interrupted,
        Self::ShortRead,
        Self::ShortWrite,
        Self::Eio,
        Self::Enospc,
        Self::EnospcFor,
        Self::Edquot,
        Self::Efbig,
        Self::WriteZero,
        Self::SyncFailedKept,
        Self::SyncFailedDropped,
        Self::SyncFailedPartly,
        Self::WritebackFailed,
        Self::BitFlip,
        Self::LostWrite,
        Self::MisdirectedWrite,
        Self::MisdirectedRead,
        Self::StaleRead,
        Self::LatentSector,
        Self::Latency,
        Self::LateReturn,
        Self::Dropped,
        Self::Crash,
        Self::CrashInOpen,
        Self::EnospcStays,
        Self::WriteZeroStays,
        Self::TornRead,
        Self::Kill,
        Self::EioLanded,
        Self::EioStays,
        Self::ReadOnlyStays,
        Self::Again,
        Self::PunchUnsupported,
        Self::SyncEnospc,
        Self::SyncEdquot,
        Self::DroppedUnpolled,
        Self::DroppedAwake,
        Self::SizeLimit,
    ];

    /// Whether a device cannot know of it; see [`FaultKind::is_silent`].
    pub fn is_silent(self) -> bool {
        matches!(
            self,
            Self::BitFlip
                | Self::LostWrite
                | Self::MisdirectedWrite
                | Self::MisdirectedRead
                | Self::StaleRead
        )
    }

    /// The class as it stands in a table or a JSON summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupted => "eintr",
            Self::ShortRead => "short-read",
            Self::ShortWrite => "short-write",
            Self::Eio => "eio",
            Self::Enospc => "enospc",
            Self::EnospcFor => "enospc-sticky",
            Self::Edquot => "edquot",
            Self::Efbig => "efbig",
            Self::WriteZero => "write-zero",
            Self::SyncFailedKept => "sync-failed-kept",
            Self::SyncFailedDropped => "sync-failed-dropped",
            Self::SyncFailedPartly => "sync-failed-partly",
            Self::WritebackFailed => "writeback-failed-late",
            Self::BitFlip => "bit-flip",
            Self::LostWrite => "lost-write",
            Self::MisdirectedWrite => "misdirected-write",
            Self::MisdirectedRead => "misdirected-read",
            Self::StaleRead => "stale-read",
            Self::LatentSector => "latent-sector",
            Self::Latency => "latency",
            Self::LateReturn => "reordered-completion",
            Self::Dropped => "future-dropped",
            Self::Crash => "crash",
            Self::CrashInOpen => "crash-in-open",
            Self::EnospcStays => "enospc-stays",
            Self::WriteZeroStays => "write-zero-stays",
            Self::TornRead => "torn-read",
            Self::Kill => "kill",
            Self::EioLanded => "eio-landed",
            Self::EioStays => "eio-stays",
            Self::ReadOnlyStays => "read-only-stays",
            Self::Again => "eagain",
            Self::PunchUnsupported => "punch-unsupported",
            Self::SyncEnospc => "sync-enospc",
            Self::SyncEdquot => "sync-edquot",
            Self::DroppedUnpolled => "future-never-polled",
            Self::DroppedAwake => "future-dropped-awake",
            Self::SizeLimit => "size-limit",
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
            Self::TornRead(_) => FaultClass::TornRead,
            Self::Eio => FaultClass::Eio,
            Self::Enospc => FaultClass::Enospc,
            Self::EnospcFor(_) => FaultClass::EnospcFor,
            Self::EnospcStays => FaultClass::EnospcStays,
            Self::Edquot => FaultClass::Edquot,
            Self::Efbig => FaultClass::Efbig,
            Self::SizeLimit(_) => FaultClass::SizeLimit,
            Self::WriteZero => FaultClass::WriteZero,
            Self::WriteZeroStays => FaultClass::WriteZeroStays,
            Self::EioLanded(_) => FaultClass::EioLanded,
            Self::EioStays => FaultClass::EioStays,
            Self::ReadOnlyStays => FaultClass::ReadOnlyStays,
            Self::Again => FaultClass::Again,
            Self::PunchUnsupported => FaultClass::PunchUnsupported,
            Self::SyncEnospc(_) => FaultClass::SyncEnospc,
            Self::SyncEdquot(_) => FaultClass::SyncEdquot,
            Self::SyncFailed(Dirty::Kept) => FaultClass::SyncFailedKept,
            Self::SyncFailed(Dirty::Dropped) => FaultClass::SyncFailedDropped,
            Self::SyncFailed(Dirty::Partly(_)) => FaultClass::SyncFailedPartly,
            Self::WritebackFailed => FaultClass::WritebackFailed,
            Self::BitFlip(_) => FaultClass::BitFlip,
            Self::LostWrite => FaultClass::LostWrite,
            Self::MisdirectedWrite(_) => FaultClass::MisdirectedWrite,
            Self::MisdirectedRead(_) => FaultClass::MisdirectedRead,
            Self::StaleRead => FaultClass::StaleRead,
            Self::LatentSector(_) => FaultClass::LatentSector,
            Self::Latency(_) => FaultClass::Latency,
            Self::LateReturn(_) => FaultClass::LateReturn,
        }
    }

    /// Whether a call of `length` bytes can meet this.
    pub fn applies(self, call: Call, length: usize) -> bool {
        let shortens = |count: u32| count > 0 && (count as usize) < length;
        let transfers = matches!(call, Call::Read | Call::Write) && length > 0;
        match self {
            Self::Interrupted => {
                let slow = matches!(call, Call::Read | Call::Write | Call::SetLength);
                slow || call.clears() || call.is_sync()
            }
            Self::ShortRead(count) | Self::TornRead(count) => call == Call::Read && shortens(count),
            Self::ShortWrite(count) => call == Call::Write && shortens(count),
            Self::Eio | Self::EioStays => !call.is_sync(),
            Self::ReadOnlyStays => call.changes(),
            Self::PunchUnsupported => call.clears(),
            Self::Enospc | Self::EnospcFor(_) | Self::EnospcStays | Self::Edquot => {
                call.clears() || matches!(call, Call::Write | Call::Create | Call::Rename)
            }
            Self::Efbig => matches!(call, Call::Write | Call::SetLength),
            Self::SizeLimit(fits) => call == Call::Write && (fits as usize) < length,
            Self::WriteZero
            | Self::WriteZeroStays
            | Self::WritebackFailed
            | Self::LostWrite
            | Self::EioLanded(_)
            | Self::Again => call == Call::Write && length > 0,
            Self::MisdirectedWrite(sectors) => call == Call::Write && length > 0 && sectors != 0,
            Self::SyncFailed(_) | Self::SyncEnospc(_) | Self::SyncEdquot(_) => call.is_sync(),
            Self::BitFlip(_) | Self::LatentSector(_) => transfers,
            Self::MisdirectedRead(sectors) => call == Call::Read && length > 0 && sectors != 0,
            Self::StaleRead => call == Call::Read && length > 0,
            Self::Latency(_) | Self::LateReturn(_) => true,
        }
    }

    /// The error that the call returns, if it does.
    pub fn errno(self) -> Option<i32> {
        use rustix::io::Errno;
        let errno = match self {
            Self::Interrupted => Errno::INTR,
            Self::Eio
            | Self::EioLanded(_)
            | Self::EioStays
            | Self::SyncFailed(_)
            | Self::LatentSector(_)
            | Self::WritebackFailed => Errno::IO,
            Self::Enospc | Self::EnospcFor(_) | Self::EnospcStays | Self::SyncEnospc(_) => {
                Errno::NOSPC
            }
            Self::Edquot | Self::SyncEdquot(_) => Errno::DQUOT,
            Self::ReadOnlyStays => Errno::ROFS,
            Self::Again => Errno::AGAIN,
            Self::PunchUnsupported => Errno::OPNOTSUPP,
            // What fits before the limit is written, and nobody is told of the limit.
            Self::Efbig | Self::SizeLimit(0) => Errno::FBIG,
            _ => return None,
        };
        Some(errno.raw_os_error())
    }

    /// What the device has to surface when one of its calls has met this.
    pub fn surfaces(self) -> Option<DeviceError> {
        match self {
            Self::Interrupted | Self::Again | Self::PunchUnsupported => None,
            Self::WriteZero | Self::WriteZeroStays => Some(DeviceError::WriteZero),
            _ => Some(io::Error::from_raw_os_error(self.errno()?).into()),
        }
    }

    /// What the device may surface, and may absorb as well.
    pub fn may_surface(self) -> Option<DeviceError> {
        let errno = self.errno().filter(|_| matches!(self, Self::Again | Self::PunchUnsupported));
        Some(io::Error::from_raw_os_error(errno?).into())
    }

    /// What a device has to absorb, in words.
    pub fn absorbed(self) -> Option<&'static str> {
        match self {
            Self::Interrupted => Some("EINTR"),
            Self::ShortRead(_) => Some("a short read"),
            Self::ShortWrite(_) => Some("a short write"),
            _ => None,
        }
    }

    /// Whether the operation's sync failed by this.
    pub fn fails_sync(self) -> bool {
        self == Self::WritebackFailed || self.dirty().is_some()
    }

    /// What becomes of unsynced data, of a sync that fails.
    pub fn dirty(self) -> Option<Dirty> {
        match self {
            Self::SyncFailed(dirty) | Self::SyncEnospc(dirty) | Self::SyncEdquot(dirty) => {
                Some(dirty)
            }
            _ => None,
        }
    }

    /// Whether every later call that can meets this too, until the device is opened again.
    pub fn stays(self) -> bool {
        matches!(
            self,
            Self::EnospcStays
                | Self::WriteZeroStays
                | Self::EioStays
                | Self::ReadOnlyStays
                | Self::SizeLimit(_)
        )
    }

    /// Whether the call that meets this succeeds, and another one fails for it later.
    pub(super) fn is_elsewhere(self) -> bool {
        matches!(self, Self::WritebackFailed | Self::LatentSector(_))
    }

    /// Adds how long this delays a call, before and after it takes effect. False where it does not.
    pub(super) fn add_delay(self, delays: &mut (u32, u32)) -> bool {
        match self {
            Self::Latency(steps) => delays.0 = steps,
            Self::LateReturn(steps) => delays.1 = steps,
            _ => return false,
        }
        true
    }

    /// Whether this only takes time.
    pub fn is_delay(self) -> bool {
        matches!(self, Self::Latency(_) | Self::LateReturn(_))
    }

    /// Whether the device has to absorb this, so that nobody above it can tell.
    pub fn is_transient(self) -> bool {
        let shortens = matches!(self, Self::ShortRead(_) | Self::ShortWrite(_));
        matches!(self, Self::Interrupted) || shortens || self.is_delay()
    }

    /// Whether the device cannot know of it.
    pub fn is_silent(self) -> bool {
        self.class().is_silent()
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
    fn every_class_has_its_own_place_and_name() {
        assert!(FaultClass::ALL.iter().zip(0..).all(|(&class, at)| class as usize == at));
        let mut names = FaultClass::ALL.map(FaultClass::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn transient_and_silent_kinds_surface_nothing() {
        for kind in [FaultKind::Interrupted, FaultKind::ShortWrite(1), FaultKind::LostWrite] {
            assert_eq!(kind.surfaces(), None);
        }
        let full = DeviceError::Io { kind: io::ErrorKind::StorageFull, errno: Some(28) };
        assert_eq!(FaultKind::Enospc.surfaces(), Some(full));
        assert_eq!(FaultKind::WriteZero.surfaces(), Some(DeviceError::WriteZero));
    }
}
