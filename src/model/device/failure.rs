//! Failures that a test plans, and whether a request met them.

use crate::model::request::Request;
use std::sync::{Arc, OnceLock};

/// A failure that a [`ModelDevice`](super::ModelDevice) is to have. Errors are by their number, as
/// `libc` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A read fails. What is then in the buffer is up to
    /// [`Weak::failed_read`](super::Weak::failed_read).
    Read(i32),
    /// A write fails. What it leaves is up to [`Weak::failed_write`](super::Weak::failed_write).
    Write(i32),
    /// A trim fails. It leaves what a trim may leave, or in the strong form what was there.
    Trim(i32),
    /// A flush, barrier, close or write with [`WriteOptions::fua`] cannot sync (`EIO`). What was
    /// not synced stays dirty: the next crash decides about it as about any other.
    ///
    /// [`WriteOptions::fua`]: crate::device::WriteOptions::fua
    SyncKept,
    /// As `SyncKept`, but what was not synced was dropped: it is still visible, and is lost in the
    /// next crash, whatever that is to leave.
    SyncDropped,
    /// As `SyncDropped`, but a part of it had become durable before, drawn by this seed. The part
    /// keeps the order of barriers.
    SyncPartly(u64),
}

impl Failure {
    /// Whether a request of this sort can have it.
    fn fits(self, request: Request) -> bool {
        match self {
            Self::Read(_) => matches!(request, Request::Read { .. }),
            Self::Write(_) => matches!(request, Request::Write { .. }),
            Self::Trim(_) => matches!(request, Request::Trim { .. }),
            Self::SyncKept | Self::SyncDropped | Self::SyncPartly(_) => request.makes_durable(),
        }
    }

    /// Whether it is one of a sync.
    pub(super) fn is_of_sync(self) -> bool {
        matches!(self, Self::SyncKept | Self::SyncDropped | Self::SyncPartly(_))
    }
}

/// A failure that was planned, to ask whether a request met it.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Device, Geometry, WriteOptions};
/// use blocktwin::exec::block_on;
/// use blocktwin::model::{Failure, ModelDevice};
///
/// let device = ModelDevice::new(Geometry::new(512, 4096, 16)?);
/// let planned = device.fail_at(1, Failure::Write(28)); // ENOSPC
/// let write = |at| block_on(device.write(at, (&[1; 4096][..]).into(), WriteOptions::default()));
/// assert!(write(0).is_ok() && planned.met_by().is_none());
/// assert!(write(4096).is_err());
/// assert_eq!(planned.met_by(), Some(1));
/// # Ok::<(), blocktwin::device::GeometryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Planned(Arc<OnceLock<u64>>);

impl Planned {
    /// The number of the request that met it, as in
    /// [`RequestRecord::number`](super::RequestRecord::number); `None` if none has so far. A crash
    /// or a restart forgets a failure that was not met.
    pub fn met_by(&self) -> Option<u64> {
        self.0.get().copied()
    }
}

/// The failures to come, in the order in which they were planned.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(Option<u64>, Failure, Planned)>);

impl Failures {
    /// Plans a failure: of the request of this number, or of the next that fits.
    pub(super) fn plan(&mut self, number: Option<u64>, failure: Failure) -> Planned {
        let planned = Planned(Arc::default());
        self.0.push((number, failure, planned.clone()));
        planned
    }

    /// The failure that the request meets now, of a sync or else of the transfer.
    pub(super) fn take(&mut self, number: u64, request: Request, of_sync: bool) -> Option<Failure> {
        let meets = |(aimed, failure, _): &(Option<u64>, Failure, Planned)| {
            let aimed = aimed.is_none_or(|aimed| aimed == number);
            aimed && failure.is_of_sync() == of_sync && failure.fits(request)
        };
        let at = self.0.iter().position(meets)?;
        let (_, failure, planned) = self.0.remove(at);
        planned.0.set(number).ok()?;
        Some(failure)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
