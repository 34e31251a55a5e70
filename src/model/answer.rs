//! Which answers a device may give.

use super::payload::OpId;
use super::promises::{Containment, Promises};
use super::request::{Cause, Evidence, Request};
use super::version::Tick;
use super::violation::{Kind, Violation};
use crate::device::{DeviceError, Geometry};
use smallvec::SmallVec;
use std::{fmt, io};

/// What decides about answers besides the request itself, since the device was opened.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceState {
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
    /// How a sync failed first.
    pub(super) sync_error: Option<DeviceError>,
    /// A failed sync that nobody has been told of.
    pub(super) untold: Option<FailedSync>,
    /// The request that failed last, as the file did.
    pub(super) failed: Option<(OpId, Request)>,
    /// What a raw call of a task met last that the device has to absorb, and when the twin learned
    /// of it.
    pub(super) absorbable: Option<(Tick, &'static str)>,
}

/// A failed sync that somebody has to be told of.
#[derive(Clone, Debug)]
pub(super) struct FailedSync {
    pub(super) error: DeviceError,
    pub(super) since: Tick,
    /// Where a request made it, the requests that were in flight then; any of them may have been
    /// to tell of it, and was dropped.
    pub(super) in_flight: Option<SmallVec<[OpId; 4]>>,
}

impl DeviceState {
    /// Why an error that nothing explains is wrong, in words, where that does not depend on the
    /// request. `absorbable` is what the device has met and has to absorb.
    #[cold]
    pub(super) fn lacks(&self, error: DeviceError, absorbable: Option<&str>) -> String {
        let lacks = match (error, absorbable) {
            (DeviceError::Closed, _) if self.closing.is_none() => "the device had not been closed",
            (DeviceError::SyncFailed, _) if self.sync_failing => {
                "reads go on after a failed sync (clause 6)"
            }
            (DeviceError::SyncFailed, _) => "no sync had failed",
            (_, Some(what)) => {
                return format!("the device has to absorb {what}, which was injected (clause 7)");
            }
            _ => "no fault explains it",
        };
        match self.failed.filter(|_| !self.sync_failing) {
            Some((op, request)) => format!(
                "{lacks}, and the device has to stay usable after {} #{op} has failed (clause 7)",
                request.name()
            ),
            None => lacks.to_owned(),
        }
    }

    /// `op` was dropped: perhaps it was the one to be told of a failed sync.
    pub(super) fn dropped(&mut self, op: OpId) {
        let was_there = |it: &FailedSync| it.in_flight.as_ref().is_some_and(|it| it.contains(&op));
        if self.untold.as_ref().is_some_and(was_there) {
            self.untold = None;
        }
    }

    /// `op` answered with `error` at the tick `now`; `certain` where that can only have been about
    /// a failed sync.
    pub(super) fn told(&mut self, op: OpId, error: DeviceError, certain: bool, now: Tick) {
        if certain {
            self.sync_failed.get_or_insert(now);
        }
        let may_tell = |it: &FailedSync| {
            let was_there = it.in_flight.as_ref().is_some_and(|it| it.contains(&op));
            certain || was_there || it.error == error
        };
        if self.untold.as_ref().is_some_and(may_tell) {
            self.untold = None;
        }
    }
}

/// What a request that is being judged owes.
pub(super) struct Obligation<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) read_only: bool,
    pub(super) promises: &'a Promises,
    pub(super) state: &'a DeviceState,
    pub(super) request: Request,
    pub(super) began: Tick,
    pub(super) evidence: &'a Evidence<'a>,
}

/// Why a request must not be answered with `Ok`. In words only where it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reason {
    Bad(DeviceError),
    ReadOnly,
    Closed,
    SyncFailed,
    Untold(DeviceError),
    FileFailed(DeviceError),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(error) => error.fmt(f),
            Self::ReadOnly => f.write_str("the device is read-only"),
            Self::Closed => f.write_str("the device was closed before"),
            Self::SyncFailed => f.write_str("an earlier sync had failed"),
            Self::Untold(error) => {
                write!(f, "an earlier sync had failed and no request has told of it: {error}")
            }
            Self::FileFailed(error) => error.fmt(f),
        }
    }
}

impl Obligation<'_> {
    /// Whether the contract allows the answer of a device for which this is [`due`](Self::due).
    pub(super) fn judge(
        &self,
        result: Result<(), DeviceError>,
        due: Option<(Kind, Reason)>,
    ) -> Result<(), Violation> {
        let name = self.request.name();
        match (result, due) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some((kind, reason))) => {
                Err(Violation::new(kind, format!("{name} returned Ok although {reason}")))
            }
            (Err(error), due) if self.excuses(error) && !self.evades(error, due) => Ok(()),
            (Err(error), None) if let Some(cause) = self.cause() => Err(Violation::new(
                Kind::WrongError,
                format!("{name} failed with the wrong error: {error}; it was: {}", cause.error),
            )),
            (Err(error), None) => Err(Violation::new(
                Kind::SpuriousError,
                format!("{name} failed although {}: {error}", self.lacks(error)),
            )),
            (Err(error), Some((_, reason))) => Err(Violation::new(
                Kind::WrongError,
                format!("{name} failed with the wrong error: {error}; it was: {reason}"),
            )),
        }
    }

    /// Why the device must not say `Ok`, and what it is if it does.
    pub(super) fn due(&self) -> Option<(Kind, Reason)> {
        let refused = Kind::RequestNotRejected;
        if let Err(error) = self.geometry_error() {
            return Some((refused, Reason::Bad(error)));
        }
        if self.read_only && self.request.is_change() {
            return Some((refused, Reason::ReadOnly));
        }
        if self.request != Request::Close && self.is_past(self.state.closed) {
            return Some((refused, Reason::Closed));
        }
        let closed_again = self.request == Request::Close && self.state.close_flushed;
        let goes_on =
            self.is_read() || self.is_drain() || closed_again || self.promises.waives.failed_syncs;
        if !goes_on && self.is_past(self.state.sync_failed) {
            return Some((Kind::PoisonIgnored, Reason::SyncFailed));
        }
        if let Some(untold) = &self.state.untold
            && !goes_on
            && self.request.makes_durable()
            && self.is_past(Some(untold.since))
        {
            return Some((Kind::PoisonIgnored, Reason::Untold(untold.error)));
        }
        let error = self.evidence.errors.first()?;
        Some((Kind::ErrorSwallowed, Reason::FileFailed(*error)))
    }

    /// Why an error that nothing explains is wrong, in words.
    #[cold]
    fn lacks(&self, error: DeviceError) -> String {
        let met = self.state.absorbable.filter(|&(at, _)| at >= self.began);
        let absorbable = self.evidence.absorbable.or(met.map(|(_, what)| what));
        let lacks = match error {
            DeviceError::ReadOnly if self.read_only => "a read-only device refuses only changes",
            DeviceError::ReadOnly => "the device was opened for writing",
            DeviceError::Misaligned { .. } => "the request is aligned",
            DeviceError::OutOfRange { .. } => "the request lies inside the device",
            DeviceError::Io { kind: io::ErrorKind::Unsupported, .. } if self.is_drain() => {
                "the device promises that it can (Promises::drains)"
            }
            DeviceError::SyncFailed if self.is_drain() => {
                "a drain makes nothing durable (clause 14)"
            }
            DeviceError::Closed if self.request == Request::Close => {
                "a device may be closed twice (clause 4)"
            }
            _ => return self.state.lacks(error, absorbable),
        };
        lacks.to_owned()
    }

    /// Whether there is a reason for this very error.
    fn excuses(&self, error: DeviceError) -> bool {
        let state = self.state;
        match error {
            DeviceError::Misaligned { .. } => self.is_misaligned(),
            DeviceError::OutOfRange { .. } => self.is_out_of_range(),
            DeviceError::ReadOnly => self.read_only && self.request.is_change(),
            DeviceError::Closed => self.request != Request::Close && state.closing.is_some(),
            DeviceError::SyncFailed => !self.is_read() && !self.is_drain() && state.sync_failing,
            DeviceError::Io { kind: io::ErrorKind::Unsupported, .. }
                if self.is_drain() && !self.promises.drains =>
            {
                true
            }
            _ => self.has_cause(error),
        }
    }

    /// Whether the file gave a reason for this error: to this request or, where the device does
    /// not make its own calls, to anybody while it was in flight, or earlier and untold.
    fn has_cause(&self, error: DeviceError) -> bool {
        let Evidence { errors, causes, owed, harmed, .. } = *self.evidence;
        if errors.contains(&error) || harmed && self.promises.integrity {
            return true;
        }
        let late = !self.is_read() || !self.promises.in_place;
        // Once somebody was told of a failed sync, the others get `SyncFailed`.
        let sync_untold = !self.is_past(self.state.sync_failed);
        // Also where each request makes its own calls otherwise: syncs may be shared.
        let of_sync = || sync_untold && self.state.sync_error == Some(error);
        let untold = || late && (owed.contains(&error) || of_sync());
        causes.iter().any(|cause| cause.error == error && self.concerns(cause)) || untold()
    }

    /// A failed raw call that this request may have failed for.
    fn cause(&self) -> Option<&Cause> {
        self.evidence.causes.iter().find(|cause| self.concerns(cause))
    }

    /// Whether a failed raw call may be what this request failed for.
    fn concerns(&self, cause: &Cause) -> bool {
        // What is durable at once may be so by a flush, of whatever there is.
        if !self.promises.in_place || self.request.makes_durable() {
            return true;
        }
        match (&cause.bytes, self.request.span()) {
            _ if cause.sync => !self.is_read(),
            (Some(bytes), Some((offset, length))) => {
                let (start, end) = self.pages(offset, offset.saturating_add(length));
                bytes.start < end && start < bytes.end
            }
            _ => true,
        }
    }

    /// A range in bytes, up to the pages in which the device reads and writes.
    fn pages(&self, start: u64, end: u64) -> (u64, u64) {
        match self.promises.containment {
            Some(Containment::Pages(page @ 1..)) => {
                (start / page * page, end.div_ceil(page).saturating_mul(page))
            }
            _ => (start, end),
        }
    }

    /// Whether this error can only be about a failed sync.
    pub(super) fn tells_of_sync(&self, error: DeviceError) -> bool {
        let other = |cause: &Cause| cause.error == error && !cause.sync;
        match error {
            DeviceError::SyncFailed => true,
            _ => {
                self.request.makes_durable()
                    && self.state.sync_error == Some(error)
                    && !self.evidence.causes.iter().any(other)
                    && self.evidence.owed.iter().all(|it| *it != error)
            }
        }
    }

    /// A failure of the file has to be told with its errno: that the sync failed *earlier* is no
    /// answer to the request whose own sync failed.
    fn evades(&self, error: DeviceError, due: Option<(Kind, Reason)>) -> bool {
        let own_failure = matches!(due, Some((Kind::ErrorSwallowed, _)));
        let Evidence { errors, causes, .. } = self.evidence;
        let told = errors.contains(&error) || causes.iter().any(|cause| cause.error == error);
        own_failure && !told
    }

    fn is_read(&self) -> bool {
        matches!(self.request, Request::Read { .. })
    }

    fn is_drain(&self) -> bool {
        self.request == Request::Drain
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
