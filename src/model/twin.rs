//! The twin: what the device is held to, request by request and crash by crash.

use super::answer::{Case, Standing};
use super::clause::{Checks, Clause};
use super::legal::LegalSets;
use super::payload::{self, Content, OpId};
use super::request::{Evidence, Outcome, Request, TrimEffect};
use super::turns::Turns;
use super::version::{Leaves, Tick, Version};
use super::violation::{Finding, Kind, Violation};
use crate::device::{DeviceError, Geometry};
use std::collections::BTreeSet;
use std::ops::Range;

/// At most this many sectors are named in a violation.
pub(super) const FINDINGS: usize = 8;

/// The in-memory twin of one device: an oracle of what is legal.
///
/// It is told of every request when it is made ([`begin`](Self::begin)) and when it ends
/// ([`end`](Self::end)), of every crash ([`crash`](Self::crash)) and of what the device holds when
/// it is open again ([`recover`](Self::recover)). It never sees the device or its file. It says
/// what is wrong as soon as something is; what it accepts becomes part of what it knows.
#[derive(Debug)]
pub struct Twin {
    pub(super) geometry: Geometry,
    pub(super) read_only: bool,
    pub(super) trims: TrimEffect,
    pub(super) salt: u64,
    pub(super) now: Tick,
    pub(super) legal: LegalSets,
    /// Every request so far, by number; the sectors are those it may change.
    pub(super) log: Vec<Entry>,
    pub(super) under_way: Vec<OpId>,
    pub(super) standing: Standing,
    pub(super) turns: Turns,
    /// Sectors of which a read was lied to. What a device has in memory of them may be the lie,
    /// until they are written or the device is opened again.
    pub(super) misread: BTreeSet<u64>,
    /// Barriers that returned `Ok` and no flush has made moot: when called, when returned.
    pub(super) barriers: Vec<(Tick, Tick, OpId)>,
    /// The flush or close that returned `Ok` last.
    pub(super) last_sync: Option<OpId>,
    /// What recovery has found so far, also before another crash that came in its midst.
    pub(super) recovered: Vec<(u64, Version)>,
    /// What the last read or recovery saw, sector by sector.
    pub(super) seen: Vec<OpId>,
    pub(super) checks: Checks,
}

/// A request in the log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) request: Request,
    pub(super) changes: Range<u64>,
}

/// In [`Twin::seen`], a sector whose content is unspecified.
pub const UNSPECIFIED: OpId = OpId::MAX;

impl Twin {
    /// The twin of a device of zeros.
    ///
    /// `trims` is what the device promises of what was trimmed; `salt` tells this run's contents
    /// from any other's.
    pub fn new(geometry: Geometry, read_only: bool, trims: TrimEffect, salt: u64) -> Self {
        let nothing = Entry { request: Request::Flush, changes: 0..0 };
        let mut legal = LegalSets::new();
        legal.reset(salt);
        Self {
            geometry,
            read_only,
            trims,
            salt,
            now: 0,
            legal,
            log: vec![nothing],
            under_way: Vec::new(),
            standing: Standing::default(),
            turns: Turns::default(),
            misread: BTreeSet::new(),
            barriers: Vec::new(),
            last_sync: None,
            recovered: Vec::new(),
            seen: Vec::new(),
            checks: Checks::default(),
        }
    }

    /// As [`new`](Self::new), in the memory of this one.
    pub fn reset(&mut self, geometry: Geometry, read_only: bool, trims: TrimEffect, salt: u64) {
        (self.geometry, self.read_only, self.trims) = (geometry, read_only, trims);
        (self.salt, self.now) = (salt, 0);
        self.legal.reset(salt);
        self.log.truncate(1);
        self.under_way.clear();
        self.standing = Standing::default();
        self.turns.clear();
        self.misread.clear();
        self.barriers.clear();
        self.last_sync = None;
        self.recovered.clear();
        self.checks = Checks::default();
    }

    /// The geometry of the device.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// How often each clause was checked since the twin was made or reset.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Which operation's data the last read or recovery saw in each sector: 0 for zeros,
    /// [`UNSPECIFIED`] where anything is legal.
    pub fn seen(&self) -> &[OpId] {
        &self.seen
    }

    /// Fills `buffer` with what the write `op` at `offset` (bytes) is to write.
    ///
    /// Bytes past the last whole sector, of which only a refused request can have any, stay.
    pub fn fill(&self, op: OpId, offset: u64, buffer: &mut [u8]) {
        let sector_size = self.geometry.sector_size();
        let first = offset / u64::from(sector_size);
        let sectors = buffer.chunks_exact_mut(sector_size as usize);
        for (sector, bytes) in (first..).zip(sectors) {
            payload::fill(bytes, self.salt, op, sector);
        }
    }

    /// What the bytes of a sector are, in this run.
    pub fn identify(&self, sector_bytes: &[u8]) -> Content {
        payload::identify(sector_bytes, self.salt)
    }

    pub(super) fn tick(&mut self) -> Tick {
        self.now += 1;
        self.now
    }

    /// `op` is being made. Numbers begin at 1 and are not used twice.
    pub fn begin(&mut self, op: OpId, request: Request) {
        let now = self.tick();
        self.legal.begin(op, now);
        let mut changes = 0..0;
        let refused = self.read_only || self.standing.closed.is_some();
        if request.is_change() && !refused {
            let leaves = match (request, self.trims) {
                (Request::Trim { .. }, TrimEffect::Nothing) => None,
                (Request::Trim { .. }, TrimEffect::Zeros) => Some(Leaves::Zeros),
                (Request::Trim { .. }, TrimEffect::Scribble) => Some(Leaves::Scribble),
                (Request::Trim { .. }, TrimEffect::Unspecified) => Some(Leaves::Anything),
                _ => Some(Leaves::Payload),
            };
            if let Some(leaves) = leaves {
                changes = request.sectors(&self.geometry);
                self.legal.may_hold(op, changes.clone(), leaves);
            }
        }
        if self.log.len() <= op as usize {
            let nothing = self.log[0].clone();
            self.log.resize(op as usize + 1, nothing);
        }
        self.log[op as usize] = Entry { request, changes };
        self.under_way.push(op);
        if request == Request::Close {
            self.standing.closing.get_or_insert(op);
        }
    }

    /// `op` has ended.
    ///
    /// # Errors
    ///
    /// The clause that its answer, or what it read, breaks.
    pub fn end(
        &mut self,
        op: OpId,
        outcome: Outcome<'_>,
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        let began = self.legal.times(op).began;
        let now = self.tick();
        self.legal.end(op, now);
        self.under_way.retain(|&other| other != op);
        let request = self.log[op as usize].request;
        self.misread.extend(evidence.unreliable);
        self.standing.sync_failing |= evidence.sync_failed;
        if evidence.sync_failed {
            // However the request ends: the kernel has reported it, and will not again.
            self.legal.sync_failed(now);
        }
        if let Some(at) = evidence.escaped {
            let size = self.geometry.size();
            let sentence =
                format!("{} touched byte {at} of the file, past its {size}", request.name());
            return Err(Violation::new(Kind::RangeEscaped, sentence));
        }
        let (result, data) = match outcome {
            Outcome::Answered { result, data } => (result, data),
            Outcome::Cancelled => {
                self.torn(op, evidence);
                return Ok(());
            }
        };
        self.judge(op, result, evidence)?;
        if evidence.sync_failed && result.is_err() {
            self.standing.sync_failed.get_or_insert(now);
        }
        match request {
            Request::Read { offset, .. } if result.is_ok() => {
                self.check_read(op, offset, data, evidence)
            }
            Request::Read { .. } => Ok(()),
            Request::Write { .. } | Request::Trim { .. } => {
                self.change_ended(op, result, evidence);
                Ok(())
            }
            Request::Flush | Request::Barrier | Request::Close => {
                if result.is_err() {
                    self.torn(op, evidence);
                }
                self.synced(op, began, result);
                Ok(())
            }
        }
    }

    fn judge(
        &mut self,
        op: OpId,
        result: Result<(), DeviceError>,
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        let case = Case {
            geometry: &self.geometry,
            read_only: self.read_only,
            standing: &self.standing,
            request: self.log[op as usize].request,
            began: self.legal.times(op).began,
            evidence,
        };
        let duty = case.duty();
        let clause = match duty {
            Some((Kind::RequestNotRejected, _)) => Clause::BadRequests,
            Some((Kind::PoisonIgnored, _)) => Clause::SyncFailure,
            Some(_) => Clause::Errors,
            None => Clause::NoInventedErrors,
        };
        self.checks.count(clause, 1);
        case.judge(result, duty)
    }

    /// A write or trim has ended.
    fn change_ended(&mut self, op: OpId, result: Result<(), DeviceError>, evidence: &Evidence<'_>) {
        let Entry { request, changes } = self.log[op as usize].clone();
        match result {
            Ok(()) => {
                if !self.misread.is_empty() {
                    self.misread.retain(|sector| !changes.contains(sector));
                }
                let durable = matches!(request, Request::Write { fua: true, .. });
                let horizon = self.horizon();
                self.legal.completed(op, changes, self.now, durable, horizon);
            }
            Err(DeviceError::Closed | DeviceError::ReadOnly) => {
                self.legal.withdraw(op, changes);
                self.log[op as usize].changes = 0..0;
            }
            Err(_) => self.torn(op, evidence),
        }
    }

    /// What the kernel left torn under a request that did not succeed is unspecified, where it is
    /// of the request itself or was still to be written, by a flush say.
    fn torn(&mut self, op: OpId, evidence: &Evidence<'_>) {
        let changes = self.log[op as usize].changes.clone();
        for &sector in evidence.torn {
            if changes.contains(&sector) || self.legal.is_unsettled(sector) {
                self.legal.may_hold(op, sector..sector + 1, Leaves::Anything);
            }
        }
    }

    /// A flush, barrier or close has ended.
    fn synced(&mut self, op: OpId, called: Tick, result: Result<(), DeviceError>) {
        let request = self.log[op as usize].request;
        // Once a close has flushed, another promises nothing.
        let first = request != Request::Close || !self.standing.close_flushed;
        self.standing.close_flushed |= request == Request::Close && result.is_ok();
        if request == Request::Close {
            self.standing.closed.get_or_insert(self.now);
        }
        match request {
            _ if result.is_err() => {}
            Request::Barrier => self.barriers.push((called, self.now, op)),
            _ if first => {
                let horizon = self.horizon();
                self.legal.synced(called, horizon);
                self.last_sync = Some(op);
                self.barriers.retain(|&(barrier, ..)| barrier > called);
            }
            _ => {}
        }
    }

    /// When the oldest request under way began.
    fn horizon(&self) -> Tick {
        let began = self.under_way.iter().map(|&op| self.legal.times(op).began);
        began.min().unwrap_or(self.now)
    }

    fn check_read(
        &mut self,
        op: OpId,
        offset: u64,
        data: &[u8],
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        let began = self.legal.times(op).began;
        let first = offset / u64::from(self.geometry.sector_size());
        let findings = self.compare(first, data, began, evidence);
        self.wrong_data(format_args!("read #{op} returned"), findings)
    }

    /// Compares what a read that began at `began` gave. Notes what it saw, and gives what is wrong.
    pub(super) fn compare(
        &mut self,
        first: u64,
        data: &[u8],
        began: Tick,
        evidence: &Evidence<'_>,
    ) -> Vec<Finding> {
        let sector_size = self.geometry.sector_size() as usize;
        self.seen.clear();
        let mut findings = Vec::new();
        for (sector, bytes) in (first..).zip(data.chunks_exact(sector_size)) {
            if self.is_excused(sector, evidence) {
                continue;
            }
            match self.legal.read(sector, bytes, began, self.now) {
                Some(version) => self.note(version),
                None if findings.len() < FINDINGS => {
                    findings.push(self.finding(sector, bytes, Some(began)));
                }
                None => {}
            }
        }
        findings
    }

    /// Whether the device was closed and not opened again.
    pub fn is_closed(&self) -> bool {
        self.standing.closing.is_some()
    }

    /// Whether whatever was read of the sector is not the device's fault.
    pub(super) fn is_excused(&mut self, sector: u64, evidence: &Evidence<'_>) -> bool {
        if evidence.torn.is_empty() && self.misread.is_empty() {
            return false;
        }
        let unreliable = self.misread.contains(&sector);
        let excused = unreliable || evidence.torn.contains(&sector);
        if excused {
            self.seen.push(UNSPECIFIED);
        }
        self.checks.count(Clause::Containment, u64::from(unreliable));
        excused
    }

    /// A legal version was seen.
    fn note(&mut self, version: Version) {
        let unknown = version.leaves == Leaves::Anything;
        self.seen.push(if unknown { UNSPECIFIED } else { version.op });
        let clause = match version {
            Version { leaves: Leaves::Scribble | Leaves::Anything, .. } => Clause::Trim,
            Version { leaves: Leaves::Zeros, op: 1.., .. } => Clause::Trim,
            Version { op, .. } if !self.legal.times(op).succeeded => Clause::OldOrNew,
            _ => Clause::ReadYourWrites,
        };
        self.checks.count(clause, 1);
    }
}
