//! A scenario: a whole run as plain data.
//!
//! Geometry, the clients' operations, the faults pinned to them, the crash points with what
//! survives, and the seed of the schedule. A run is a pure function of this. Three things make
//! scenarios: a seed ([`generate`]), the bytes of a fuzzer ([`decode`]), and files ([`parse`] and
//! [`print()`]).
//!
//! **Invariant:** nothing here knows how a scenario is run.

mod accepts;
pub mod codec;
mod generate;
mod limits;
mod reach;
mod text;
mod variant;

#[cfg(test)]
mod tests;

pub use accepts::{Accepts, NotAccepted};
pub use codec::{decode, encode};
pub use generate::{Profile, generate, generate_for};
pub(crate) use limits::Survey;
pub use limits::{MAX_DELAY, MAX_HELD, MAX_LOOKS, MAX_MOVED, MAX_TRIMMED, TooLarge};
pub use reach::{LANDMARKS, Reach};
pub use text::{MAX_TEXT, ScenarioError, parse, print};

use crate::device::{DeviceOptions, Geometry, GeometryError, TrimMode};
use crate::disk::{CrashPolicy, Fault, FaultClass};
use crate::model::{Data, Kind, Request};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The version of the format that this crate reads and writes.
pub const VERSION: u32 = 1;

/// Most operations of a scenario.
pub const MAX_STEPS: usize = 100_000;

/// Most clients of a scenario.
pub const MAX_CLIENTS: u8 = 16;

/// Most bytes that a request may cover unless it is to be refused: 32 MiB.
pub const MAX_TRANSFER: u64 = 32 << 20;

/// Most bytes by which a file may be longer than the device: 1 MiB.
pub const MAX_BEYOND: u64 = 1 << 20;

/// Most faults of one operation: fewer than a device may take for a file that is stuck.
pub const MAX_FAULTS: usize = 8;

/// A run as plain data; the [module documentation](self) says of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The version of the format: [`VERSION`].
    pub version: u32,
    /// What it is about: the symptom, the cause and the fix, where it is a regression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The seed that it was generated from, for the record: generators change, scenarios do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The device.
    pub device: DeviceSpec,
    /// The seed of the schedule.
    pub schedule: u64,
    /// Tells the contents of this scenario from those of others.
    pub salt: u64,
    /// Reads and writes are of several pieces of memory, up to four, which are cut at any byte.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_pieces: bool,
    /// The operations. Each client makes its own in this order; how the clients interleave is the
    /// schedule's choice. The first is operation 1.
    #[serde(deserialize_with = "text::steps")]
    pub steps: Vec<Step>,
    /// What running it has to give, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
}

/// The device of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "RawDeviceSpec")]
pub struct DeviceSpec {
    /// Bytes of a sector: 512 or 4096.
    pub sector_size: u32,
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks of the device.
    pub block_count: u64,
    /// Bytes of the file when it is first opened. Where it is as long as the device, the device is
    /// opened with the size of the file. Only a [used](Self::used) file may be longer.
    pub file_length: u64,
    /// Bytes of the transfer heap.
    pub heap: u32,
    /// What a trim does.
    #[serde(default)]
    pub trim: Trim,
    /// Whether the device is opened for reading only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Whether somebody has used the file before it is first opened, so that it has
    /// [contents](Self::contents). Otherwise it is all zeros. Only of a device
    /// [in place](crate::model::Promises::in_place).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used: bool,
}

/// [`TrimMode`], as it is written in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Trim {
    /// [`TrimMode::Scribble`]
    #[default]
    Scribble,
    /// [`TrimMode::PunchHole`]
    PunchHole,
    /// [`TrimMode::Ignore`]
    Ignore,
}

impl From<Trim> for TrimMode {
    fn from(trim: Trim) -> Self {
        match trim {
            Trim::Scribble => Self::Scribble,
            Trim::PunchHole => Self::PunchHole,
            Trim::Ignore => Self::Ignore,
        }
    }
}

/// What a file says of a device, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "DeviceSpec")]
struct RawDeviceSpec {
    sector_size: u32,
    block_size: u32,
    block_count: u64,
    file_length: u64,
    heap: u32,
    #[serde(default)]
    trim: Trim,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    used: bool,
}

impl TryFrom<RawDeviceSpec> for DeviceSpec {
    type Error = String;

    fn try_from(raw: RawDeviceSpec) -> Result<Self, String> {
        let RawDeviceSpec { sector_size, block_size, block_count, file_length, heap, .. } = raw;
        let (trim, read_only, used) = (raw.trim, raw.read_only, raw.used);
        let spec =
            Self { sector_size, block_size, block_count, file_length, heap, trim, read_only, used };
        spec.geometry().map_err(|error| error.to_string())?;
        if block_count == 0 {
            return Err("a device of no blocks".to_owned());
        }
        spec.check_file()?;
        if u64::from(heap) > MAX_TRANSFER || heap < block_size {
            return Err(format!(
                "a heap of {heap} bytes: one block to {MAX_TRANSFER} it has to be"
            ));
        }
        Ok(spec)
    }
}

impl DeviceSpec {
    /// Bytes of the device; the most that there can be where it has more.
    pub(crate) fn size(&self) -> u64 {
        self.block_count.saturating_mul(self.block_size.into())
    }

    /// Whether the device can have a file of this length.
    fn check_file(&self) -> Result<(), String> {
        let (Self { file_length, used, .. }, size) = (*self, self.size());
        if file_length > size && !used {
            return Err(format!(
                "an unused file of {file_length} bytes under a device of {size}; a longer one has \
                 to be used"
            ));
        }
        let most = size.saturating_add(MAX_BEYOND).min(i64::MAX.cast_unsigned());
        if file_length > most {
            return Err(format!("a file of {file_length} bytes: at most {most} it may have"));
        }
        Ok(())
    }

    /// The sectors of the file that hold something before it is first opened, in runs: some at its
    /// start, and some around the end of the device, with holes between. Each explains itself as
    /// what operation 0 wrote.
    pub fn contents(&self) -> Vec<Range<u64>> {
        if !self.used {
            return Vec::new();
        }
        let sector = u64::from(self.sector_size.max(1));
        let whole = self.file_length / sector;
        let end = self.size() / sector;
        let runs = [0..5, 6..16, 24..40, end.saturating_sub(7)..end.saturating_add(4)];
        let mut runs = runs.map(|run| run.start.min(whole)..run.end.min(whole)).to_vec();
        let last = runs[2].end;
        runs[3].start = runs[3].start.max(last);
        runs.retain(|run| !run.is_empty());
        runs
    }

    /// The geometry.
    ///
    /// # Errors
    ///
    /// Where there can be no such device; of a parsed or generated scenario there can.
    pub fn geometry(&self) -> Result<Geometry, GeometryError> {
        Geometry::new(self.sector_size, self.block_size, self.block_count)
    }

    /// Options to open a [`FileBackedDevice`](crate::device::FileBackedDevice) of these sizes, that
    /// trims as is asked for, and read-only where it is to be. The number of blocks is left to the
    /// length of the file, and the heap is one of its own.
    pub fn options(&self) -> DeviceOptions {
        DeviceOptions::new(self.block_size)
            .sector_size(self.sector_size)
            .read_only(self.read_only)
            .trim(self.trim.into())
    }
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "RawStep")]
pub struct Step {
    /// Whose it is, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub client: u8,
    /// What it does.
    pub op: Op,
    /// The faults that its raw calls meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// How often its future may be suspended before it is dropped. A poll that nobody asked for
    /// suspends it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_at: Option<u32>,
    /// When it is dropped once it was suspended that often.
    #[serde(default, skip_serializing_if = "DropOn::is_suspension")]
    pub drop_on: DropOn,
    /// How often its future may be suspended before the power fails, and what survives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash_at: Option<(u32, CrashPolicy)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_first(client: &u8) -> bool {
    *client == 0
}

/// When a future is dropped that was suspended as often as [`Step::drop_at`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DropOn {
    /// At the suspension itself. So nothing else has happened meanwhile, and one that is never
    /// suspended is never dropped.
    #[default]
    Suspension,
    /// Instead of the next poll: what it waited for was granted, and it has not seen that yet.
    /// After no suspension at all, the next poll is the first: the future is made and never polled.
    NextPoll,
}

impl DropOn {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_suspension(&self) -> bool {
        *self == Self::Suspension
    }
}

/// What a file says of an operation, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Step")]
struct RawStep {
    #[serde(default)]
    client: u8,
    op: Op,
    #[serde(default)]
    faults: Vec<Fault>,
    #[serde(default)]
    drop_at: Option<u32>,
    #[serde(default)]
    drop_on: DropOn,
    #[serde(default)]
    crash_at: Option<(u32, CrashPolicy)>,
}

impl TryFrom<RawStep> for Step {
    type Error = String;

    fn try_from(raw: RawStep) -> Result<Self, String> {
        let RawStep { client, op, faults, drop_at, drop_on, crash_at } = raw;
        if client >= MAX_CLIENTS {
            return Err(format!("client {client}: there are at most {MAX_CLIENTS}, from 0"));
        }
        if faults.len() > MAX_FAULTS {
            return Err(format!("{} faults: at most {MAX_FAULTS} an operation", faults.len()));
        }
        let transfers = matches!(op, Op::Read { .. } | Op::Write { .. });
        if let Some((_, length)) = op.request().and_then(Request::span)
            && transfers
            && length > 2 * MAX_TRANSFER
        {
            return Err(format!("{length} bytes in one transfer: at most {}", 2 * MAX_TRANSFER));
        }
        Ok(Self { client, op, faults, drop_at, drop_on, crash_at })
    }
}

impl Step {
    /// An operation of the first client, undisturbed.
    pub fn new(op: Op) -> Self {
        Self {
            client: 0,
            op,
            faults: Vec::new(),
            drop_at: None,
            drop_on: DropOn::Suspension,
            crash_at: None,
        }
    }

    /// What the dropping of its future counts as, if it is to be dropped.
    pub fn dropped(&self) -> Option<FaultClass> {
        Some(match (self.drop_at?, self.drop_on) {
            (_, DropOn::Suspension) => FaultClass::Dropped,
            (0, DropOn::NextPoll) => FaultClass::DroppedUnpolled,
            (_, DropOn::NextPoll) => FaultClass::DroppedAwake,
        })
    }

    /// Has its future run to its end.
    pub(crate) fn keep(&mut self) {
        (self.drop_at, self.drop_on) = (None, DropOn::Suspension);
    }
}

/// What an operation does. Offsets and lengths are in bytes, and may be such that the device has to
/// refuse them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub enum Op {
    /// Reads, and compares.
    Read {
        /// Where to begin.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// Writes.
    Write {
        /// Where to begin.
        offset: u64,
        /// How many.
        length: u64,
        /// Whether they are to be durable when the write returns.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fua: bool,
        /// What they are.
        #[serde(default, skip_serializing_if = "Data::is_unique")]
        data: Data,
    },
    /// Trims.
    Trim {
        /// Where to begin.
        offset: u64,
        /// How many.
        length: u64,
        /// Whether that is to be durable when the trim returns.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fua: bool,
    },
    /// Flushes.
    Flush,
    /// Orders.
    Barrier,
    /// Waits for the operations that are under way.
    Drain,
    /// Closes; requests are refused from then on, until the device is opened again.
    Close,
    /// Waits for the other clients' operations to end, closes, and opens the device again. The
    /// step's faults are those of the opening; the power has not failed.
    Reopen,
    /// The power fails, and the device is opened again. The step's faults are those of the opening.
    Crash(CrashPolicy),
}

impl Op {
    /// A write of `length` bytes at `offset`, of data that no other write writes.
    pub fn write(offset: u64, length: u64) -> Self {
        Self::Write { offset, length, fua: false, data: Data::Unique }
    }

    /// As [`write`](Self::write), and durable when it returns.
    pub fn fua_write(offset: u64, length: u64) -> Self {
        Self::Write { offset, length, fua: true, data: Data::Unique }
    }

    /// A trim of `length` bytes at `offset`.
    pub fn trim(offset: u64, length: u64) -> Self {
        Self::Trim { offset, length, fua: false }
    }

    /// What it is called in a sentence: the request that it makes, or what else it does.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash(CrashPolicy::Kill) => "kill",
            Self::Crash(_) => "power failure",
            _ => self.request().map_or("reopen", Request::name),
        }
    }

    /// What it writes, if it is a write.
    pub fn data(self) -> Data {
        match self {
            Self::Write { data, .. } => data,
            _ => Data::Unique,
        }
    }

    /// The request that it makes of the device, if it is just one.
    pub fn request(self) -> Option<Request> {
        match self {
            Self::Read { offset, length } => Some(Request::Read { offset, length }),
            Self::Write { offset, length, fua, .. } => Some(Request::Write { offset, length, fua }),
            Self::Trim { offset, length, fua } => Some(Request::Trim { offset, length, fua }),
            Self::Flush => Some(Request::Flush),
            Self::Barrier => Some(Request::Barrier),
            Self::Drain => Some(Request::Drain),
            Self::Close => Some(Request::Close),
            Self::Reopen | Self::Crash(_) => None,
        }
    }
}

/// What a run has to give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The verdict.
    pub verdict: ExpectedVerdict,
    /// The digest of the run, in hexadecimal.
    pub digest: String,
}

/// The verdict that a run has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectedVerdict {
    /// No divergence.
    Pass,
    /// A divergence of this kind.
    Fail(Kind),
}

impl Scenario {
    /// How many clients it has: one more than the highest number.
    pub fn clients(&self) -> u8 {
        self.steps.iter().map(|step| step.client.saturating_add(1)).max().unwrap_or(0)
    }
}
