//! Direct I/O: which transfers the kernel refuses through a descriptor with `O_DIRECT`, and how the
//! others fail.

use super::fault::{Call, FaultKind};
use super::operations::Caller;
use super::state::{Descriptor, RawCall, State};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::num::NonZeroU64;

/// A read or write through a direct descriptor that the kernel refused, because its offset or its
/// length was not a multiple of the file's alignment. That is the device's mistake, and excuses
/// nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misaligned {
    /// Which call.
    pub call: Call,
    /// Its offset, in bytes.
    pub offset: u64,
    /// How many bytes it asked for.
    pub length: u64,
    /// What both have to be multiples of, in bytes.
    pub alignment: u64,
}

impl fmt::Display for Misaligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, offset, length, alignment } = *self;
        let call = call.name();
        write!(
            f,
            "the raw call {call} of {length} bytes at {offset} was not aligned to {alignment} \
             bytes: EINVAL"
        )
    }
}

/// How a descriptor transfers directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Direct {
    /// What offsets and lengths have to be multiples of, in bytes: a power of two.
    alignment: NonZeroU64,
}

impl Direct {
    pub(super) fn new(alignment: u64) -> Self {
        let aligned = NonZeroU64::new(alignment).filter(|it| it.is_power_of_two());
        let Some(alignment) = aligned else {
            panic!("direct I/O is aligned to {alignment} bytes; it must be a power of two");
        };
        Self { alignment }
    }

    pub(super) fn alignment(self) -> u64 {
        self.alignment.get()
    }

    /// What transfers stop at multiples of, in bytes, where they stop at no odd byte.
    pub(super) fn unit(direct: Option<Self>, sector_size: usize) -> u64 {
        direct.map_or(1, Self::alignment).max(sector_size as u64)
    }

    fn is_aligned(self, bytes: u64) -> bool {
        bytes.is_multiple_of(self.alignment())
    }

    /// How a call that would meet `kind` meets it, if it can. The disk transfers whole sectors, so
    /// that nothing stops or tears inside one, and the caller can go on with an aligned call. There
    /// is no page to be written back later.
    fn adapt(self, kind: FaultKind, offset: u64, sector_size: usize) -> Option<FaultKind> {
        let unit = Self::unit(Some(self), sector_size);
        let whole = |most: u32| {
            let end = offset.saturating_add(most.into()) / unit * unit;
            u32::try_from(end.saturating_sub(offset)).ok().filter(|&count| count > 0)
        };
        match kind {
            FaultKind::ShortRead(most) => whole(most).map(FaultKind::ShortRead),
            FaultKind::ShortWrite(most) => whole(most).map(FaultKind::ShortWrite),
            FaultKind::TornRead(most) => whole(most).map(FaultKind::TornRead),
            FaultKind::WritebackFailed => None,
            other => Some(other),
        }
    }
}

impl State {
    /// The fault that a read or write through `of` meets.
    ///
    /// # Errors
    ///
    /// `EINVAL`, of a call that has been entered in the journal and is over.
    #[inline]
    pub(super) fn inject_transfer(
        &mut self,
        caller: Caller,
        call: Call,
        of: Descriptor,
        offset: u64,
        length: usize,
    ) -> io::Result<Option<FaultKind>> {
        match of.direct {
            None => Ok(self.inject(caller, call, length)),
            Some(direct) => self.inject_direct(caller, call, (of, direct), offset, length),
        }
    }

    #[cold]
    fn inject_direct(
        &mut self,
        caller: Caller,
        call: Call,
        (of, direct): (Descriptor, Direct),
        offset: u64,
        length: usize,
    ) -> io::Result<Option<FaultKind>> {
        let inode = self.file(of.file);
        let (name, end) = (inode.name, inode.length);
        // As ext4 and xfs: nothing is transferred there, whatever was asked for.
        let is_empty = length == 0 || call == Call::Read && offset >= end;
        if is_empty || direct.is_aligned(offset | length as u64) {
            let size = self.sector_size;
            let adapt = |kind| direct.adapt(kind, offset, size);
            let fault = self.inject_if(caller, call, length, |kind| adapt(kind).is_some());
            return Ok(fault.and_then(adapt));
        }
        let length = length as u64;
        let alignment = direct.alignment();
        self.refuse_misaligned(caller, Misaligned { call, offset, length, alignment });
        let (new_name, result, fault) = (0, Err(Errno::INVAL.raw_os_error()), None);
        self.record(RawCall { caller, call, name, new_name, offset, length, result, fault });
        Err(Errno::INVAL.into())
    }
}
