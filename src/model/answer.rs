//! Which answers a device may give.

use super::payload::OpId;
use super::request::{Evidence, Request};
use super::version::Tick;
use super::violation::{Kind, Violation};
use crate::device::{DeviceError, Geometry};
use std::fmt;

/// What decides about answers besides the request itself, since the device was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// The first close that was made: from then on requests may be refused.
    pub(super) closing: Option<OpId>,
    /// A close has returned `Ok`.
    pub(super) close_flushed: bool,
    /// Since when the device is closed: requests have to be refused.
    pub(super) closed: Option<Tick>,
    /// A sync has failed beneath the device: requests may be refused.
    pub(super) sync_failing: bool,
    /// Since when the device has told of a failed sync: requests have to be refused.
    pub(super) sync_failed: Option<Tick>,
}

/// A request that is being judged.
pub(super) struct Case<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) read_only: bool,
    pub(super) standing: &'a Standing,
    pub(super) request: Request,
    pub(super) began: Tick,
    pub(super) evidence: &'a Evidence<'a>,
}

/// Why a request must not be answered with `Ok`. In words only where it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    Bad(DeviceError),
    ReadOnly,
    Closed,
    SyncFailed,
    FileFailed(DeviceError),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(error) => error.fmt(f),
            Self::ReadOnly => f.write_str("the device is read-only"),
            Self::Closed => f.write_str("the device was closed before"),
            Self::SyncFailed => f.write_str("an earlier sync had failed"),
            Self::FileFailed(error) => write!(f, "the file had failed: {error}"),
        }
    }
}

impl Case<'_> {
    /// Whether the contract allows the answer of a device with this [`duty`](Self::duty).
    pub(super) fn judge(
        &self,
        result: Result<(), DeviceError>,
        duty: Option<(Kind, Why)>,
    ) -> Result<(), Violation> {
        let name = self.request.name();
        match (result, duty) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some((kind, why))) => {
                Err(Violation::new(kind, format!("{name} returned Ok although {why}")))
            }
            (Err(error), duty) if self.excuses(error) && !self.evades(error, duty) => Ok(()),
            (Err(error), None) => Err(Violation::new(
                Kind::SpuriousError,
                format!("{name} failed although nothing had gone wrong: {error}"),
            )),
            (Err(error), Some((_, why))) => Err(Violation::new(
                Kind::WrongError,
                format!("{name} failed with the wrong error although {why}: {error}"),
            )),
        }
    }

    /// Why the device must not say `Ok`, and what it is if it does.
    pub(super) fn duty(&self) -> Option<(Kind, Why)> {
        let refused = Kind::RequestNotRejected;
        if let Err(error) = self.geometry_error() {
            return Some((refused, Why::Bad(error)));
        }
        if self.read_only && self.request.is_change() {
            return Some((refused, Why::ReadOnly));
        }
        if self.request != Request::Close && self.is_past(self.standing.closed) {
            return Some((refused, Why::Closed));
        }
        let reads = matches!(self.request, Request::Read { .. });
        let closed_again = self.request == Request::Close && self.standing.close_flushed;
        if !reads && !closed_again && self.is_past(self.standing.sync_failed) {
            return Some((Kind::PoisonIgnored, Why::SyncFailed));
        }
        let error = self.evidence.errors.first()?;
        Some((Kind::ErrorSwallowed, Why::FileFailed(*error)))
    }

    /// Whether there is a reason for this very error.
    fn excuses(&self, error: DeviceError) -> bool {
        let standing = self.standing;
        match error {
            DeviceError::Misaligned { .. } => self.is_misaligned(),
            DeviceError::OutOfRange { .. } => self.is_out_of_range(),
            DeviceError::ReadOnly => self.read_only && self.request.is_change(),
            DeviceError::Closed => self.request != Request::Close && standing.closing.is_some(),
            DeviceError::SyncFailed => {
                !matches!(self.request, Request::Read { .. }) && standing.sync_failing
            }
            _ => self.evidence.errors.contains(&error),
        }
    }

    /// A failure of the file has to be told with its errno: that the sync failed *earlier* is no
    /// answer to the request whose own sync failed.
    fn evades(&self, error: DeviceError, duty: Option<(Kind, Why)>) -> bool {
        let own_failure = matches!(duty, Some((Kind::ErrorSwallowed, _)));
        own_failure && !self.evidence.errors.contains(&error)
    }

    fn is_past(&self, moment: Option<Tick>) -> bool {
        moment.is_some_and(|moment| moment < self.began)
    }

    fn geometry_error(&self) -> Result<(), DeviceError> {
        let (offset, length) = self.request.span().unwrap_or((0, 0));
        self.geometry.check(offset, length).map(drop)
    }

    fn is_misaligned(&self) -> bool {
        matches!(self.geometry_error(), Err(DeviceError::Misaligned { .. }))
    }

    /// Also of a request that is misaligned besides.
    fn is_out_of_range(&self) -> bool {
        let (offset, length) = self.request.span().unwrap_or((0, 0));
        offset.checked_add(length).is_none_or(|end| end > self.geometry.size())
    }
}

/// Whether the answer to asking for a buffer of `size` bytes, of a heap that can give `largest` at
/// once, is what clause 10 asks for.
pub(super) fn judge_allocation(
    size: usize,
    largest: usize,
    refused: Option<DeviceError>,
) -> Result<(), Violation> {
    match refused {
        None if size <= largest => Ok(()),
        Some(DeviceError::BufferTooLarge { .. }) if size > largest => Ok(()),
        None => Err(Violation::new(
            Kind::RequestNotRejected,
            format!("a buffer of {size} bytes came from a heap that can give {largest}"),
        )),
        Some(error) if size > largest => Err(Violation::new(
            Kind::WrongError,
            format!("a buffer too large for the heap was refused with: {error}"),
        )),
        Some(error) => Err(Violation::new(
            Kind::SpuriousError,
            format!("a buffer of {size} bytes was refused: {error}"),
        )),
    }
}
