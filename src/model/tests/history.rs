//! Stories of a device, told to its twin.

use crate::device::{DeviceError, Geometry};
use crate::model::{
    Cause, Checks, Clause, Evidence, Kind, OpId, Outcome, Promises, Request, TrimEffect, Twin,
    Violation,
};
use std::io::ErrorKind;
use std::ops::Range;

/// Bytes of a sector and of a block.
pub(super) const SECTOR: u64 = 512;

/// Blocks of the device.
pub(super) const BLOCKS: u64 = 64;

/// Numbers of requests that a story does not number itself begin here.
const UNNAMED: OpId = 1000;

/// What a broken file returns.
pub(super) const EIO: DeviceError = DeviceError::Io { kind: ErrorKind::Other, errno: Some(5) };

/// What a full file returns.
pub(super) const ENOSPC: DeviceError =
    DeviceError::Io { kind: ErrorKind::StorageFull, errno: Some(28) };

/// What a sector is found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Zeros,
    Scribble,
    /// What this write wrote to this very sector.
    By(OpId),
    /// What a write wrote to another sector.
    Meant(OpId, u64),
    /// The first half of one write, the second of another; 0 for zeros.
    Torn(OpId, OpId),
    Garbage,
}

/// One device and its twin: a method for each thing that can happen, which must be legal unless its
/// name says otherwise.
pub(super) struct History {
    pub(super) twin: Twin,
    /// Whose payloads are found.
    salt: u64,
    /// What is known of the file when the next request ends.
    errors: Vec<DeviceError>,
    causes: Vec<Cause>,
    owed: Vec<DeviceError>,
    harmed: bool,
    sync_error: Option<DeviceError>,
    torn: Vec<u64>,
    escaped: Option<u64>,
    unnamed: OpId,
}

impl History {
    pub(super) fn new() -> Self {
        Self::trimming(TrimEffect::Unspecified)
    }

    pub(super) fn trimming(trims: TrimEffect) -> Self {
        Self::on(Geometry::new(512, 512, BLOCKS).unwrap(), false, trims)
    }

    pub(super) fn read_only() -> Self {
        let geometry = Geometry::new(512, 512, BLOCKS).unwrap();
        Self::on(geometry, true, TrimEffect::Unspecified)
    }

    pub(super) fn on(geometry: Geometry, read_only: bool, trims: TrimEffect) -> Self {
        Self::of(geometry, read_only, Promises::file_backed().trim(trims))
    }

    /// Of a device that promises this much.
    pub(super) fn promising(promises: Promises) -> Self {
        Self::of(Geometry::new(512, 512, BLOCKS).unwrap(), false, promises)
    }

    fn of(geometry: Geometry, read_only: bool, promises: Promises) -> Self {
        let salt = 0x5eed;
        Self {
            twin: Twin::new(geometry, read_only, promises, salt),
            salt,
            errors: Vec::new(),
            causes: Vec::new(),
            owed: Vec::new(),
            harmed: false,
            sync_error: None,
            torn: Vec::new(),
            escaped: None,
            unnamed: UNNAMED,
        }
    }

    /// The same story goes on with another device, of zeros, in the same memory.
    pub(super) fn reset(mut self) -> Self {
        let geometry = Geometry::new(512, 512, BLOCKS).unwrap();
        self.salt += 1;
        let promises = Promises::file_backed().trim(TrimEffect::Unspecified);
        self.twin.reset(geometry, false, promises, self.salt);
        self.unnamed = UNNAMED;
        self
    }

    // What is asked.

    pub(super) fn begin(mut self, op: OpId, request: Request) -> Self {
        self.twin.begin(op, request);
        self
    }

    pub(super) fn write(self, op: OpId, sectors: Range<u64>) -> Self {
        let (offset, length) = bytes_of(&sectors);
        self.begin(op, Request::Write { offset, length, fua: false })
    }

    pub(super) fn fua(self, op: OpId, sectors: Range<u64>) -> Self {
        let (offset, length) = bytes_of(&sectors);
        self.begin(op, Request::Write { offset, length, fua: true })
    }

    pub(super) fn trim(self, op: OpId, sectors: Range<u64>) -> Self {
        let (offset, length) = bytes_of(&sectors);
        self.begin(op, Request::Trim { offset, length, fua: false })
    }

    pub(super) fn read(self, op: OpId, sectors: Range<u64>) -> Self {
        let (offset, length) = bytes_of(&sectors);
        self.begin(op, Request::Read { offset, length })
    }

    pub(super) fn flush(self, op: OpId) -> Self {
        self.begin(op, Request::Flush)
    }

    pub(super) fn barrier(self, op: OpId) -> Self {
        self.begin(op, Request::Barrier)
    }

    pub(super) fn fua_trim(self, op: OpId, sectors: Range<u64>) -> Self {
        let (offset, length) = bytes_of(&sectors);
        self.begin(op, Request::Trim { offset, length, fua: true })
    }

    pub(super) fn drain(self, op: OpId) -> Self {
        self.begin(op, Request::Drain)
    }

    pub(super) fn close(self, op: OpId) -> Self {
        self.begin(op, Request::Close)
    }

    // What the file does meanwhile; told when the next request ends.

    pub(super) fn met(mut self, error: DeviceError) -> Self {
        self.errors.push(error);
        self
    }

    /// A raw call fails, whoever made it: a sync where it is about no bytes.
    pub(super) fn caused(mut self, error: DeviceError, sectors: Option<Range<u64>>) -> Self {
        let bytes = sectors.map(|it| it.start * SECTOR..it.end * SECTOR);
        let sync = bytes.is_none();
        self.causes.push(Cause { error, bytes, sync });
        self
    }

    /// A failure from before that no request has told of.
    pub(super) fn owes(mut self, error: DeviceError) -> Self {
        self.owed.push(error);
        self
    }

    /// The medium has silently harmed something.
    pub(super) fn harmed(mut self) -> Self {
        self.harmed = true;
        self
    }

    /// A sync of a request, or of a task of the device's, fails.
    pub(super) fn sync_fails(mut self, by: Option<OpId>) -> Self {
        self.twin.sync_failed(by, EIO);
        self
    }

    /// A raw call of a task meets what the device has to absorb.
    pub(super) fn absorbs(mut self, what: &'static str) -> Self {
        self.twin.absorbs(what);
        self
    }

    /// Reads have got something silently wrong of a sector.
    pub(super) fn misread(mut self, sector: u64) -> Self {
        self.twin.misread(&[sector]);
        self
    }

    pub(super) fn sync_met(mut self) -> Self {
        self.sync_error = Some(EIO);
        self.met(EIO)
    }

    pub(super) fn tore(mut self, sector: u64) -> Self {
        self.torn.push(sector);
        self
    }

    pub(super) fn escaped(mut self, byte: u64) -> Self {
        self.escaped = Some(byte);
        self
    }

    // What is answered.

    pub(super) fn end(&mut self, op: OpId, outcome: Outcome<'_>) -> Result<(), Violation> {
        let (errors, torn) = (std::mem::take(&mut self.errors), std::mem::take(&mut self.torn));
        let evidence = Evidence {
            errors: &errors,
            sync_error: self.sync_error.take(),
            causes: &std::mem::take(&mut self.causes),
            owed: &std::mem::take(&mut self.owed),
            harmed: self.harmed,
            unmendable: &torn,
            escaped: self.escaped.take(),
            ..Evidence::default()
        };
        self.twin.end(op, outcome, &evidence)
    }

    #[track_caller]
    pub(super) fn answers(mut self, op: OpId, result: Result<(), DeviceError>) -> Self {
        legal(self.end(op, Outcome::Answered { result, data: &[] }));
        self
    }

    #[track_caller]
    pub(super) fn must_not_answer(
        mut self,
        op: OpId,
        result: Result<(), DeviceError>,
        kind: Kind,
    ) -> Violation {
        illegal(self.end(op, Outcome::Answered { result, data: &[] }), kind)
    }

    #[track_caller]
    pub(super) fn ok(self, op: OpId) -> Self {
        self.answers(op, Ok(()))
    }

    #[track_caller]
    pub(super) fn fail(self, op: OpId) -> Self {
        self.met(EIO).answers(op, Err(EIO))
    }

    /// A sync fails beneath the request, which says so.
    #[track_caller]
    pub(super) fn fail_to_sync(self, op: OpId) -> Self {
        self.sync_met().answers(op, Err(EIO))
    }

    #[track_caller]
    pub(super) fn cancel(mut self, op: OpId) -> Self {
        legal(self.end(op, Outcome::Cancelled));
        self
    }

    #[track_caller]
    pub(super) fn never_polled(mut self, op: OpId) -> Self {
        legal(self.end(op, Outcome::NeverPolled));
        self
    }

    #[track_caller]
    pub(super) fn returns(mut self, op: OpId, first: u64, held: &[Held]) -> Self {
        legal(self.end_read(op, first, held));
        self
    }

    #[track_caller]
    pub(super) fn must_not_return(
        mut self,
        op: OpId,
        first: u64,
        held: &[Held],
        kind: Kind,
    ) -> Violation {
        illegal(self.end_read(op, first, held), kind)
    }

    pub(super) fn end_read(
        &mut self,
        op: OpId,
        first: u64,
        held: &[Held],
    ) -> Result<(), Violation> {
        let data = self.contents(first, held);
        self.end(op, Outcome::Answered { result: Ok(()), data: &data })
    }

    // Requests that begin and end with nothing in between.

    #[track_caller]
    pub(super) fn wrote(self, op: OpId, sectors: Range<u64>) -> Self {
        self.write(op, sectors).ok(op)
    }

    #[track_caller]
    pub(super) fn trimmed(self, op: OpId, sectors: Range<u64>) -> Self {
        self.trim(op, sectors).ok(op)
    }

    #[track_caller]
    pub(super) fn reads(mut self, first: u64, held: &[Held]) -> Self {
        let op = self.unnamed();
        self.read(op, first..first + held.len() as u64).returns(op, first, held)
    }

    #[track_caller]
    pub(super) fn must_not_read(mut self, first: u64, held: &[Held], kind: Kind) -> Violation {
        let op = self.unnamed();
        let sectors = first..first + held.len() as u64;
        self.read(op, sectors).must_not_return(op, first, held, kind)
    }

    #[track_caller]
    pub(super) fn flushed(mut self) -> Self {
        let op = self.unnamed();
        self.flush(op).ok(op)
    }

    #[track_caller]
    pub(super) fn ordered(mut self) -> Self {
        let op = self.unnamed();
        self.barrier(op).ok(op)
    }

    #[track_caller]
    pub(super) fn closed(mut self) -> Self {
        let op = self.unnamed();
        self.close(op).ok(op)
    }

    pub(super) fn reopened(mut self) -> Self {
        self.twin.reopened();
        self
    }

    /// The file was used before.
    pub(super) fn holding(mut self, sectors: Range<u64>) -> Self {
        self.twin.holds(sectors);
        self
    }

    /// The process died with nothing under way, and the device is open again.
    pub(super) fn killed(mut self) -> Self {
        self.twin.killed();
        self.reopened()
    }

    // Crashes.

    pub(super) fn crash(mut self) -> Self {
        self.twin.crash();
        self
    }

    /// After a crash some sectors are read back, and all that is unsettled is not yet.
    #[track_caller]
    pub(super) fn recovers(mut self, first: u64, held: &[Held]) -> Self {
        legal(self.recover(first, held));
        self
    }

    #[track_caller]
    pub(super) fn settles(mut self) -> Self {
        legal(self.twin.recovered());
        self
    }

    /// The power fails, and this is what is there of the sectors from `first` on.
    #[track_caller]
    pub(super) fn crash_leaves(self, first: u64, held: &[Held]) -> Self {
        self.crash().recovers(first, held).settles()
    }

    #[track_caller]
    pub(super) fn crash_must_not_leave(
        mut self,
        first: u64,
        held: &[Held],
        kind: Kind,
    ) -> Violation {
        self.twin.crash();
        let judged = self.recover(first, held).and_then(|()| self.twin.recovered());
        illegal(judged, kind)
    }

    pub(super) fn recover(&mut self, first: u64, held: &[Held]) -> Result<(), Violation> {
        let data = self.contents(first, held);
        self.twin.recover(first, &data, &Evidence::default())
    }

    // What is there.

    pub(super) fn contents(&self, first: u64, held: &[Held]) -> Vec<u8> {
        (first..).zip(held).flat_map(|(sector, held)| self.sector(sector, *held)).collect()
    }

    fn sector(&self, sector: u64, held: Held) -> Vec<u8> {
        match held {
            Held::Zeros | Held::By(0) => vec![0; 512],
            Held::Scribble => vec![0xab; 512],
            Held::Garbage => vec![0x5a; 512],
            Held::By(op) => self.sector(sector, Held::Meant(op, sector)),
            Held::Meant(op, meant) => {
                let mut bytes = vec![0; 512];
                self.twin.fill(op, meant * SECTOR, &mut bytes);
                bytes
            }
            Held::Torn(head, tail) => {
                let mut bytes = self.sector(sector, Held::By(head));
                bytes[256..].copy_from_slice(&self.sector(sector, Held::By(tail))[256..]);
                bytes
            }
        }
    }

    /// How often `clause` was checked.
    pub(super) fn checked(&self, clause: Clause) -> u64 {
        Checks::of(self.twin.checks(), clause)
    }

    fn unnamed(&mut self) -> OpId {
        self.unnamed += 1;
        self.unnamed
    }
}

pub(super) fn bytes_of(sectors: &Range<u64>) -> (u64, u64) {
    (sectors.start * SECTOR, (sectors.end - sectors.start) * SECTOR)
}

#[track_caller]
pub(super) fn legal(judged: Result<(), Violation>) {
    if let Err(violation) = judged {
        panic!("too strong: {}: {}", violation.kind, violation.sentence);
    }
}

#[track_caller]
pub(super) fn illegal(judged: Result<(), Violation>, kind: Kind) -> Violation {
    let Err(violation) = judged else { panic!("too weak: {kind} went unnoticed") };
    assert_eq!(violation.kind, kind, "{}", violation.sentence);
    violation
}
