//! What a device promises beyond the contract, and what of the contract it waives.

use super::request::TrimEffect;
use std::fmt;

/// What a device promises beyond the [contract](crate::device), and what of it the device waives.
///
/// A device without any promise is judged by its answers and its effects alone: what reads show,
/// what is there after a crash, and whether an error has a cause. How many raw calls it makes, on
/// which files, in which order, and whether a request or a task makes them, is its own affair. A
/// device that promises more is held to more, and its bugs are found sooner.
///
/// Start with [`none`](Self::none) and add what is true. The
/// [guide](crate::guide::contract#what-you-may-promise-on-top) says who can make which promise.
///
/// # Example
///
/// A device that keeps its blocks in one file, in place, and writes through a background task:
///
/// ```
/// use blocktwin::model::{Promises, TrimEffect};
///
/// let promises = Promises::none().in_place().trim(TrimEffect::AsAsked).contained();
/// assert!(!promises.own_calls);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promises {
    /// Each request makes its raw calls itself. It returns an error if one of these calls failed,
    /// and never returns the error of another request's call, but for that of a sync which both
    /// were waiting for. A device with tasks of its own, or whose requests do each other's work,
    /// cannot promise this.
    pub own_calls: bool,
    /// Block *n* lies at byte *n* × block size of the file [`DISK`](crate::disk::DISK), and
    /// requests touch no byte of that file past the device. Only for such a device does the twin
    /// know which sector a byte of the file belongs to. A device with a header cannot promise this.
    pub in_place: bool,
    /// What trimmed sectors read as.
    pub trim: TrimEffect,
    /// If the medium silently spoils a sector, the other sectors are still right: all of them, or
    /// those in other pages. This needs [`in_place`](Self::in_place), without which it has no
    /// effect. Silent faults are injected only for devices that promise this or
    /// [`integrity`](Self::integrity).
    pub containment: Option<Containment>,
    /// Data that the medium silently spoiled is never returned as data: the request fails. A device
    /// can promise this if its checksums also show a sector that is old, or from another place.
    pub integrity: bool,
    /// When `close` has returned, no raw call of the device is in flight and none is made any more;
    /// and when the device has been dropped after that, no task of the device is alive.
    pub clean_close: bool,
    /// What a write or trim that returned `Ok` has changed is in the files: it is still there when
    /// the process has died, though not when the power has failed. What a failed or dropped request
    /// has left may come back then, unless the device is in place. A device that keeps what was
    /// written in memory until a flush cannot promise this.
    pub write_through: bool,
    /// The device can [`drain`](crate::device::Device::drain). Without this promise it may answer
    /// that it cannot, with an error of kind `Unsupported`.
    pub drains: bool,
    /// The device syncs the directory after it has created or renamed a file. Then a power failure
    /// may take away every name whose directory was not synced, which is all that POSIX promises.
    /// Without this promise, syncing a file keeps its name too, as on ext4, xfs and btrfs.
    pub posix_directories: bool,
    /// What the device lacks of the contract.
    pub waives: Waivers,
}

/// How far the damage may spread if the medium silently spoils a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Containment {
    /// Not beyond the sectors that were hit.
    Sectors,
    /// Not beyond the pages of this many bytes, from the start of the device, in which they lie: a
    /// device that reads, changes and writes back whole pages cannot know that a neighbour was read
    /// wrong.
    Pages(u64),
}

/// Clauses of the [contract](crate::device) that a device does not keep, and is not held to. All
/// fields are `false` by default; [`Promises::waive`] sets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waivers {
    /// Flush and close make nothing durable (clause 4).
    pub flush: bool,
    /// [`fua`](crate::device::WriteOptions::fua) makes nothing durable (clause 4).
    pub fua: bool,
    /// Barriers order nothing (clause 5).
    pub barriers: bool,
    /// A write that did not complete may leave a mixture inside a sector (clause 3).
    pub sector_atomicity: bool,
    /// The device goes on after a failed sync, and nobody may be told of it (clause 6): a mirror
    /// does that, whose other half is in order.
    pub failed_syncs: bool,
}

impl Promises {
    /// None: the contract, the whole contract, and nothing more.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of [`FileBackedDevice`](crate::device::FileBackedDevice): its own calls, in place,
    /// trims as they were asked for, harm contained, a clean close, written through, and drained.
    #[must_use]
    pub fn file_backed() -> Self {
        let own = Self::none().own_calls().in_place().trim(TrimEffect::AsAsked);
        own.contained().clean_close().write_through().drains()
    }

    /// Promises [`own_calls`](Self::own_calls).
    #[must_use]
    pub fn own_calls(self) -> Self {
        Self { own_calls: true, ..self }
    }

    /// Promises [`in_place`](Self::in_place).
    #[must_use]
    pub fn in_place(self) -> Self {
        Self { in_place: true, ..self }
    }

    /// Promises this [`trim`](Self::trim) effect.
    #[must_use]
    pub fn trim(self, trim: TrimEffect) -> Self {
        Self { trim, ..self }
    }

    /// Promises [`containment`](Self::containment) in the sectors that were hit.
    #[must_use]
    pub fn contained(self) -> Self {
        Self { containment: Some(Containment::Sectors), ..self }
    }

    /// Promises [`containment`](Self::containment) in pages of this many bytes.
    #[must_use]
    pub fn contained_in_pages(self, bytes: u64) -> Self {
        Self { containment: Some(Containment::Pages(bytes)), ..self }
    }

    /// Promises [`integrity`](Self::integrity).
    #[must_use]
    pub fn integrity(self) -> Self {
        Self { integrity: true, ..self }
    }

    /// Promises [`clean_close`](Self::clean_close).
    #[must_use]
    pub fn clean_close(self) -> Self {
        Self { clean_close: true, ..self }
    }

    /// Promises [`write_through`](Self::write_through).
    #[must_use]
    pub fn write_through(self) -> Self {
        Self { write_through: true, ..self }
    }

    /// Promises [`drains`](Self::drains).
    #[must_use]
    pub fn drains(self) -> Self {
        Self { drains: true, ..self }
    }

    /// Promises [`posix_directories`](Self::posix_directories).
    #[must_use]
    pub fn posix_directories(self) -> Self {
        Self { posix_directories: true, ..self }
    }

    /// Waives what `change` sets.
    ///
    /// ```
    /// use blocktwin::model::Promises;
    ///
    /// let promises = Promises::none().waive(|it| it.barriers = true);
    /// assert_eq!(promises.waives.to_string(), "barriers (clause 5)");
    /// ```
    #[must_use]
    pub fn waive(mut self, change: impl FnOnce(&mut Waivers)) -> Self {
        change(&mut self.waives);
        self
    }

    /// Whether a silent fault may be answered as data, of the sectors that it hit or near them.
    pub(crate) fn excuses_harm(&self) -> bool {
        self.in_place && self.containment.is_some() && !self.integrity
    }
}

impl Waivers {
    /// Whether none is waived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The clauses, as a list; nothing where none is waived.
impl fmt::Display for Waivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.flush, "flush (clause 4)"),
            (self.fua, "fua (clause 4)"),
            (self.barriers, "barriers (clause 5)"),
            (self.sector_atomicity, "sector atomicity (clause 3)"),
            (self.failed_syncs, "failed syncs (clause 6)"),
        ];
        let waived: Vec<&str> =
            names.iter().filter(|(waived, _)| *waived).map(|(_, name)| *name).collect();
        f.write_str(&waived.join(", "))
    }
}
