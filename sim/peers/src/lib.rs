//! The work of `blocktwin bench`, as it is done without blocktwin: by [bare](Bare) system calls, by
//! a [harness](Harness) such as one writes by hand, and by that harness on turmoil's file system.
//!
//! The work, W: operations of 1 to 8 blocks; 40 % writes, 40 % reads, 8 % flushes, 4 % trims, 3 %
//! crashes with a reopening and a read of all, and 5 % operations that meet a fault in their first
//! raw call.
#![forbid(unsafe_code)]

mod bare;
mod device;
mod fault;
mod file;
mod harness;
mod model;
#[cfg(feature = "turmoil")]
mod turmoil;
mod work;

pub use bare::Bare;
pub use device::HandDevice;
pub use fault::{CrashFile, FaultFile};
pub use file::{DirFile, MemFile, RawFile};
pub use harness::Harness;
pub use model::{Mismatch, Model};
#[cfg(feature = "turmoil")]
pub use turmoil::TurmoilFile;
pub use work::{Fault, Mix, Op, Shape, Step, Stream};
