//! What happened, for people and as a digest.

use crate::device::DeviceError;
use crate::disk::{Call, CrashPolicy, DISK, RawCall, SectorState, SimDisk};
use crate::model::{Content, Data, OpId, Request, identify};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use twox_hash::XxHash3_128;

/// Something that happened in a run. In this order they are its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An operation was made.
    Began(OpId, Request, Data),
    /// A raw call of the device's.
    Raw(RawEvent),
    /// An operation got its answer; of a read, with what it saw sector by sector.
    Ended(OpId, Result<(), DeviceError>, Vec<OpId>),
    /// An operation's future was dropped.
    Cancelled(OpId),
    /// A transfer buffer was refused to an operation.
    Refused(OpId, DeviceError),
    /// The power failed, requested by an operation or by the end of the scenario (0).
    Crashed(OpId, CrashPolicy),
    /// The device was opened.
    Opened(Result<(), DeviceError>),
    /// Sectors from this one on were read back, and held what these operations wrote.
    ReadBack(u64, Vec<OpId>),
    /// What the raw call or the crash before this left in these sectors; only where
    /// [`Options::sectors`](super::Options::sectors) asks for it. Not in the digest.
    Holds(Vec<Sector>),
    /// Something was found to be wrong, in an operation or in none (0). What comes after it is the
    /// search for data that is missing. Not in the digest.
    Diverged(OpId),
}

/// A raw call, with the names of what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawEvent {
    /// The call.
    pub raw: RawCall,
    /// The name of the file, or, of a renaming, the old one; none of a call on the directory.
    pub file: Option<Arc<str>>,
    /// The new name, of a renaming.
    pub new_name: Option<Arc<str>>,
    /// The name of the task that made it, if one did.
    pub task: Option<Arc<str>>,
}

impl RawEvent {
    fn new(raw: &RawCall, disk: &SimDisk) -> Self {
        let names = !matches!(raw.call, Call::SyncDirectory | Call::List);
        Self {
            raw: *raw,
            file: names.then(|| disk.name(raw.name)),
            new_name: (raw.call == Call::Rename).then(|| disk.name(raw.new_name)),
            task: (raw.caller.task != 0).then(|| disk.task(raw.caller.task)),
        }
    }
}

/// What a sector of the first file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sector {
    /// The sector, by number.
    pub number: u64,
    /// What reads get.
    pub visible: Content,
    /// What a crash in which nothing unsynced survives would leave.
    pub durable: Content,
}

/// In columns: the operation, what it is, how many bytes at which offset, and the result. A raw
/// call is set off from the operation that it is beneath.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began(op, request, data) => match request.span() {
                Some((offset, length)) => {
                    let (name, what) = (request.name(), data.words());
                    write!(f, "#{op:<4} {name:<12} {length:>8} bytes at {offset}{what}")
                }
                None => write!(f, "#{op:<4} {}", request.name()),
            },
            Self::Raw(raw) => raw_call(raw, f),
            Self::Ended(op, Ok(()), seen) if seen.is_empty() => write!(f, "#{op:<4} Ok"),
            Self::Ended(op, Ok(()), seen) => write!(f, "#{op:<4} Ok, saw {}", Seen(seen)),
            Self::Ended(op, Err(error), _) => write!(f, "#{op:<4} failed: {error}"),
            Self::Cancelled(op) => write!(f, "#{op:<4} dropped before it ended"),
            Self::Refused(op, error) => write!(f, "#{op:<4} got no buffer: {error}"),
            Self::Crashed(0, policy) => write!(f, "      {}; {policy}", policy.event()),
            Self::Crashed(op, policy) => {
                write!(f, "#{op:<4} {}; {policy}", policy.event())
            }
            Self::Opened(Ok(())) => write!(f, "      device opened"),
            Self::Opened(Err(error)) => write!(f, "      device did not open: {error}"),
            Self::ReadBack(sector, seen) => {
                write!(f, "      sector {sector} on holds {}", Seen(seen))
            }
            Self::Holds(sectors) => write!(f, "      {} sectors changed", sectors.len()),
            Self::Diverged(0) => write!(f, "      DIVERGED"),
            Self::Diverged(op) => write!(f, "#{op:<4} DIVERGED"),
        }
    }
}

fn raw_call(event: &RawEvent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let raw = &event.raw;
    match &event.task {
        Some(task) => write!(f, "{task:<5}   ")?,
        None => write!(f, "#{:<4}   ", raw.caller.op)?,
    }
    let mut what = match raw.call {
        // Offsets of more digits are rare.
        Call::Read | Call::Write | Call::Punch | Call::Zero => {
            format!("{:<10} {:>8} bytes at {:<12}", raw.call.name(), raw.length, raw.offset)
        }
        Call::SetLength => format!("{:<10} {:>8} bytes", raw.call.name(), raw.length),
        _ => raw.call.name().to_owned(),
    };
    match (&event.file, &event.new_name) {
        (Some(file), Some(new)) => what += &format!(" {file} to {new}"),
        (Some(file), None) if &**file != DISK => what = format!("{what:<33} of {file}"),
        _ => {}
    }
    write!(f, "{what:<41}")?;
    match raw.result {
        Ok(count) if matches!(raw.call, Call::Read | Call::Write | Call::Length | Call::List) => {
            write!(f, " -> {count}")?;
        }
        Ok(_) => write!(f, " -> Ok")?,
        Err(errno) => write!(f, " -> {}", std::io::Error::from_raw_os_error(errno))?,
    }
    match raw.fault {
        Some(fault) => write!(f, "   (fault: {})", fault.name()),
        None => Ok(()),
    }
}

/// Runs of sectors that hold the same operation's data.
struct Seen<'a>(&'a [OpId]);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|one, next| one == next).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match run[0] {
                0 => write!(f, "{comma}zeros")?,
                crate::model::FIRST_CONTENTS => write!(f, "{comma}its first contents")?,
                crate::model::UNSPECIFIED => write!(f, "{comma}anything")?,
                op => write!(f, "{comma}#{op}")?,
            }
            if run.len() > 1 {
                write!(f, " ×{}", run.len())?;
            }
        }
        Ok(())
    }
}

/// XXH3-128 over everything that happened in a run: equal for equal runs, on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Digest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Digest {
    /// Mixes in another digest; the order matters.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.0.to_le_bytes());
        bytes[16..].copy_from_slice(&next.0.to_le_bytes());
        Self(XxHash3_128::oneshot(&bytes))
    }
}

/// Takes note of events: always in the digest, in the trace if asked to.
pub(super) struct Log {
    /// The events so far, each as explicit little-endian numbers, until they are many.
    pending: Vec<u8>,
    digest: Digest,
    trace: Option<Vec<Event>>,
}

/// Number of bytes that are hashed at a time.
const PENDING: usize = 64 << 10;

impl Log {
    /// An empty log, in the memory of an earlier one.
    pub(super) fn new(traced: bool, memory: Vec<u8>) -> Self {
        Self { pending: memory, digest: Digest::default(), trace: traced.then(Vec::new) }
    }

    /// The digest of everything noted, and the trace; and the memory, for the next log.
    pub(super) fn finish(mut self) -> (Digest, Vec<Event>, Vec<u8>) {
        self.fold();
        (self.digest, self.trace.unwrap_or_default(), self.pending)
    }

    fn fold(&mut self) {
        self.digest = self.digest.then(Digest(XxHash3_128::oneshot(&self.pending)));
        self.pending.clear();
    }

    fn numbers<const COUNT: usize>(&mut self, tag: u8, numbers: [u64; COUNT]) {
        self.pending.push(tag);
        self.pending.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
        if self.pending.len() >= PENDING {
            self.fold();
        }
    }

    fn keep(&mut self, event: impl FnOnce() -> Event) {
        if let Some(trace) = &mut self.trace {
            keep_in(trace, event);
        }
    }

    fn ops(&mut self, ops: &[OpId]) {
        self.pending.extend_from_slice(&(ops.len() as u64).to_le_bytes());
        let start = self.pending.len();
        self.pending.resize(start + size_of_val(ops), 0);
        for (place, op) in self.pending[start..].as_chunks_mut().0.iter_mut().zip(ops) {
            *place = op.to_le_bytes();
        }
    }

    pub(super) fn began(&mut self, op: OpId, request: Request, data: Data) {
        let (offset, length) = request.span().unwrap_or((0, 0));
        let kind = match request {
            Request::Read { .. } => 0,
            Request::Write { fua: false, .. } => 1,
            Request::Write { fua: true, .. } => 2,
            Request::Trim { fua: false, .. } => 3,
            Request::Flush => 4,
            Request::Barrier => 5,
            Request::Close => 6,
            Request::Drain => 7,
            Request::Trim { fua: true, .. } => 8,
        };
        self.numbers(1, [op.into(), (data as u64) << 4 | kind, offset, length]);
        self.keep(|| Event::Began(op, request, data));
    }

    /// A raw call on `disk`, with what the sectors hold that it has changed.
    pub(super) fn raw(
        &mut self,
        raw: &RawCall,
        disk: &SimDisk,
        sectors: &[SectorState],
        salt: u64,
    ) {
        let result = match raw.result {
            Ok(count) => [0, count],
            Err(errno) => [1, u64::from(errno.unsigned_abs())],
        };
        let fault = raw.fault.map_or(0, |fault| fault as u64 + 1);
        let (call, [failed, value]) = (raw.call as u64, result);
        let op = raw.caller.op.into();
        let RawCall { caller, name, new_name, offset, length, .. } = *raw;
        if caller.task == 0 && name == 0 && new_name == 0 {
            self.numbers(2, [op, call, offset, length, failed, value, fault]);
        } else {
            let [task, name, new_name] = [caller.task, name, new_name].map(u64::from);
            let names = [op, task, name, new_name];
            self.numbers(9, names);
            self.numbers(2, [op, call, offset, length, failed, value, fault]);
        }
        self.keep(|| Event::Raw(RawEvent::new(raw, disk)));
        self.holds(sectors, salt);
    }

    /// What sectors hold, of a run with this salt.
    pub(super) fn holds(&mut self, sectors: &[SectorState], salt: u64) {
        if sectors.is_empty() {
            return;
        }
        let sector = |it: &SectorState| Sector {
            number: it.sector,
            visible: identify(&it.visible, salt),
            durable: identify(&it.durable, salt),
        };
        self.keep(|| Event::Holds(sectors.iter().map(sector).collect()));
    }

    pub(super) fn diverged(&mut self, op: OpId) {
        self.keep(|| Event::Diverged(op));
    }

    pub(super) fn ended(&mut self, op: OpId, result: Result<(), DeviceError>, seen: &[OpId]) {
        self.numbers(3, [op.into(), error_code(result.err())]);
        self.ops(seen);
        self.keep(|| Event::Ended(op, result, seen.to_vec()));
    }

    pub(super) fn cancelled(&mut self, op: OpId) {
        self.numbers(4, [op.into()]);
        self.keep(|| Event::Cancelled(op));
    }

    pub(super) fn refused(&mut self, op: OpId, error: DeviceError) {
        self.numbers(5, [op.into(), error_code(Some(error))]);
        self.keep(|| Event::Refused(op, error));
    }

    pub(super) fn crashed(&mut self, op: OpId, policy: CrashPolicy) {
        let (code, seed) = policy.code();
        self.numbers(6, [op.into(), code, seed]);
        self.keep(|| Event::Crashed(op, policy));
    }

    pub(super) fn opened(&mut self, result: Result<(), DeviceError>) {
        self.numbers(7, [error_code(result.err())]);
        self.keep(|| Event::Opened(result));
    }

    pub(super) fn read_back(&mut self, sector: u64, seen: &[OpId]) {
        self.numbers(8, [sector]);
        self.ops(seen);
        self.keep(|| Event::ReadBack(sector, seen.to_vec()));
    }
}

/// Apart, so that the code of a run without a trace lies close together.
#[cold]
fn keep_in(trace: &mut Vec<Event>, event: impl FnOnce() -> Event) {
    trace.push(event());
}

/// A number for each answer, so that the digest does not depend on how errors are worded or laid
/// out in memory.
fn error_code(error: Option<DeviceError>) -> u64 {
    match error {
        None => 0,
        Some(DeviceError::Misaligned { .. }) => 1,
        Some(DeviceError::OutOfRange { .. }) => 2,
        Some(DeviceError::ReadOnly) => 3,
        Some(DeviceError::Closed) => 4,
        Some(DeviceError::SyncFailed) => 5,
        Some(DeviceError::WriteZero) => 6,
        Some(DeviceError::UnexpectedEof) => 7,
        Some(DeviceError::BufferTooLarge { .. }) => 8,
        Some(DeviceError::Locked) => 9,
        Some(DeviceError::Geometry(_)) => 10,
        Some(DeviceError::Io { errno: Some(errno), .. }) => 1000 + u64::from(errno.unsigned_abs()),
        Some(DeviceError::Io { errno: None, .. }) => 11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_knows_every_number_of_every_event() {
        let digest = |note: &dyn Fn(&mut Log)| {
            let mut log = Log::new(false, Vec::new());
            note(&mut log);
            log.finish().0
        };
        let digests = [
            digest(&|_| {}),
            digest(&|log| log.began(1, Request::Flush, Data::Unique)),
            digest(&|log| log.began(2, Request::Flush, Data::Unique)),
            digest(&|log| log.began(1, Request::Barrier, Data::Unique)),
            digest(&|log| log.began(1, Request::Read { offset: 0, length: 512 }, Data::Unique)),
            digest(&|log| log.ended(1, Ok(()), &[])),
            digest(&|log| log.ended(1, Ok(()), &[0])),
            digest(&|log| log.ended(1, Err(DeviceError::Closed), &[])),
            digest(&|log| log.cancelled(1)),
            digest(&|log| log.crashed(1, CrashPolicy::Random(1))),
            digest(&|log| log.crashed(1, CrashPolicy::Runs(1))),
        ];
        let mut sorted = digests;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(digests[1], digest(&|log| log.began(1, Request::Flush, Data::Unique)));
        assert_eq!(digests[1].to_string().parse(), Ok(digests[1]));
    }

    #[test]
    fn the_digest_is_pinned() {
        let mut log = Log::new(true, Vec::new());
        log.began(1, Request::Write { offset: 512, length: 1024, fua: true }, Data::Unique);
        log.crashed(0, CrashPolicy::None);
        let (digest, trace, _) = log.finish();
        assert_eq!(digest.to_string(), "d2697a649f302498fd8f6133710174f2");
        assert_eq!(trace[0].to_string(), "#1    fua write        1024 bytes at 512");
    }
}
