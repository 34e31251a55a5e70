//! The twin: an oracle of what a device may do.
//!
//! [`Twin`] holds, for every sector, the contents that a read may return now and those that a crash
//! may leave. Reads narrow the first; a crash and the reads after it narrow both. Concurrent
//! requests widen them for as long as they overlap. Barriers order: what a crash leaves is legal
//! only if some cut of the barriers explains all of it. Memory is proportional to what was touched.
//!
//! It is told, besides requests and answers, only *facts* about the file beneath the device: which
//! failures the file returned, and which sectors the kernel tore ([`Evidence`]).
//!
//! [`ModelDevice`] is a [`Device`](crate::device::Device) in memory, as weak as the contract and no
//! stronger, which fails as it is told to, for tests of the code *above* a device.
//!
//! **Invariant:** nothing here knows of [`file`](crate::file) or of
//! [`FileBackedDevice`](crate::device::FileBackedDevice); an oracle that shared their code would
//! share their mistakes.

mod answer;
mod clause;
mod compare;
mod device;
mod difference;
mod fate;
mod legal;
mod misread;
mod naming;
mod payload;
mod promises;
mod recovery;
mod request;
mod sectors;
mod turns;
mod twin;
mod version;
mod violation;

#[cfg(test)]
mod tests;

pub use clause::{Checks, Clause};
pub use device::{
    Failure, Keep, ModelDevice, ModelOptions, Planned, RequestEnd, RequestRecord, Weak,
};
pub use difference::{Difference, DifferingLine};
pub(crate) use payload::identify;
pub use payload::{Content, OpId, PATTERN};
pub use promises::{Containment, Promises, Waivers};
pub use request::{Cause, Data, Evidence, Outcome, Request, TrimEffect};
pub use twin::{FIRST_CONTENTS, Twin, UNSPECIFIED};
pub use violation::{Expected, Finding, Kind, Violation};
