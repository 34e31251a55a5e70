//! What is asked of a device, what it answers, and what is known of the file beneath it.

use crate::device::{DeviceError, Geometry};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// One request to a device, as the model sees it. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read `length` bytes at `offset`.
    Read {
        /// Where to begin.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// Write `length` bytes at `offset`.
    Write {
        /// Where to begin.
        offset: u64,
        /// How many.
        length: u64,
        /// Whether they are to be durable when the write returns.
        fua: bool,
    },
    /// Trim `length` bytes at `offset`.
    Trim {
        /// Where to begin.
        offset: u64,
        /// How many.
        length: u64,
        /// Whether that is to be durable when the trim returns.
        fua: bool,
    },
    /// Make what has completed durable.
    Flush,
    /// Keep later writes behind what has completed.
    Barrier,
    /// Wait for the requests that are under way.
    Drain,
    /// Flush, and refuse what comes later.
    Close,
}

impl Request {
    /// Offset and length in bytes, of the requests that have them.
    pub fn span(self) -> Option<(u64, u64)> {
        match self {
            Self::Read { offset, length }
            | Self::Write { offset, length, .. }
            | Self::Trim { offset, length, .. } => Some((offset, length)),
            Self::Flush | Self::Barrier | Self::Drain | Self::Close => None,
        }
    }

    /// Whether it is to change contents.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Write { .. } | Self::Trim { .. })
    }

    /// Whether it promises durability or order when it returns `Ok`.
    pub fn is_sync(self) -> bool {
        matches!(self, Self::Flush | Self::Barrier | Self::Close)
    }

    /// Whether it makes data durable, or keeps its order, when it returns `Ok`: a failed sync has
    /// to be told to whoever asks for that.
    pub(crate) fn makes_durable(self) -> bool {
        self.is_sync() || self.is_fua() && !matches!(self.span(), Some((_, 0)))
    }

    /// Whether it is a change that is to be durable when it returns `Ok`.
    pub(crate) fn is_fua(self) -> bool {
        matches!(self, Self::Write { fua: true, .. } | Self::Trim { fua: true, .. })
    }

    /// The sectors it covers, empty where the device has to refuse it or it has none.
    pub(super) fn sectors(self, geometry: &Geometry) -> Range<u64> {
        let range = self.span().map(|(offset, length)| geometry.check(offset, length));
        match range {
            Some(Ok(range)) if !range.is_empty() => geometry.sectors(&range),
            _ => 0..0,
        }
    }

    /// What the request is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Write { fua: false, .. } => "write",
            Self::Write { fua: true, .. } => "fua write",
            Self::Trim { fua: false, .. } => "trim",
            Self::Trim { fua: true, .. } => "fua trim",
            Self::Flush => "flush",
            Self::Barrier => "barrier",
            Self::Drain => "drain",
            Self::Close => "close",
        }
    }
}

/// What a write writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Data {
    /// What no other write writes: it names the write and each sector, so that a sector that is
    /// wrong says where it comes from.
    #[default]
    Unique,
    /// What all writes of the pattern write: it names each sector and no write. So a device may
    /// find that it holds it already.
    Pattern,
    /// Zeros. So a device may find that there is nothing to store.
    Zeros,
    /// Zeros in some sectors and [`Unique`](Self::Unique) in the others, the first or the last as
    /// it happens. So a device that looks at a part must not draw conclusions for the whole.
    Sparse,
    /// Zeros, by a request to write zeros instead of a write:
    /// [`write_zeroes`](crate::device::Device::write_zeroes).
    Zeroed,
    /// As [`Zeroed`](Self::Zeroed), and their space may be given back.
    Unmapped,
}

impl Data {
    /// What it is called behind an operation: `, all zeros`.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Unique => "",
            Self::Pattern => ", of the pattern",
            Self::Zeros => ", all zeros",
            Self::Sparse => ", zeros in part",
            Self::Zeroed => ", zeros by request",
            Self::Unmapped => ", zeros by request, which may be holes",
        }
    }

    /// Whether they are asked for by a request that has no data: whether they may be holes.
    pub(crate) fn zeroes(self) -> Option<bool> {
        match self {
            Self::Zeroed => Some(false),
            Self::Unmapped => Some(true),
            _ => None,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(crate) fn is_unique(&self) -> bool {
        *self == Self::Unique
    }
}

/// What the device that is under test promises of the contents of what was trimmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrimEffect {
    /// Nothing: they are unspecified until they are written again. All that clause 8 asks for.
    #[default]
    Unspecified,
    /// Every byte is `0xab`.
    Scribble,
    /// They are zeros.
    Zeros,
    /// They stay.
    Nothing,
    /// Whichever of the three that the scenario's trim mode asks for; see
    /// [`Trim`](crate::scenario::Trim).
    AsAsked,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The device answered. `data` is what a read that is `Ok` has read.
    Answered {
        /// The answer.
        result: Result<(), DeviceError>,
        /// The bytes of a read, empty otherwise.
        data: &'a [u8],
    },
    /// The future was dropped before the device answered.
    Cancelled,
    /// The future was dropped before it was polled. A device that [makes its own
    /// calls](super::Promises::own_calls) has done nothing then. Another may have begun when the
    /// future was made, so that this is the same as [`Cancelled`](Self::Cancelled).
    NeverPolled,
}

/// A raw call that failed: a reason for a request that was under way then to fail too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What the device has to say of it.
    pub error: DeviceError,
    /// The bytes of the file that it was about, where it was about some and not the whole file.
    pub bytes: Option<Range<u64>>,
    /// It was a sync.
    pub sync: bool,
}

/// What is known of the file while a request was under way: facts, not guesses from its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The failures that the file returned to this request, as the device has to surface them: of
    /// a device that promises to make its [own calls](super::Promises::own_calls).
    pub errors: &'a [DeviceError],
    /// The one of them that was a failed sync.
    pub sync_error: Option<DeviceError>,
    /// How a sync failed since the device was opened, whichever request has made it: others may
    /// have waited for it too.
    pub failed_sync: Option<DeviceError>,
    /// Of any other device, the raw calls that failed while this request was under way, whoever
    /// made them.
    pub causes: &'a [Cause],
    /// Failures that no request may have told of yet: of a flusher, say.
    pub owed: &'a [DeviceError],
    /// What its raw calls met that the device has to absorb, in words: `EINTR`. Only for sentences.
    pub absorbable: Option<&'static str>,
    /// The medium has silently harmed something, so that a device with checksums may fail.
    pub harmed: bool,
    /// Sectors that the kernel left torn under this request and refused to mend.
    pub unmendable: &'a [u64],
    /// Sectors that were torn for the moment when this request read them.
    pub torn: &'a [u64],
    /// Sectors of which the medium gave this read something else than what had been written,
    /// without a sign: a plain device cannot know. The harm has to stay inside them.
    pub unreliable: &'a [u64],
    /// Where the request touched the file outside the range of the device, in bytes.
    pub escaped: Option<u64>,
}
