//! The twin: what the device is held to, request by request and crash by crash.

use super::answer::{DeviceState, FailedSync, Obligation};
use super::clause::{Checks, Clause};
use super::fate::Fate;
use super::legal::LegalSets;
use super::payload::{self, OpId, PATTERN};
use super::promises::Promises;
use super::request::{Data, Evidence, Outcome, Request, TrimEffect};
use super::turns::Turns;
use super::version::{Leaves, NEVER, Tick, Version};
use super::violation::{Kind, Violation};
use crate::device::{DeviceError, Geometry};
use std::collections::BTreeMap;
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
    pub(super) promises: Promises,
    pub(super) salt: u64,
    pub(super) now: Tick,
    pub(super) legal: LegalSets,
    /// Every request so far, by number; the sectors are those it may change.
    pub(super) log: Vec<Entry>,
    pub(super) in_flight: Vec<OpId>,
    pub(super) state: DeviceState,
    pub(super) turns: Turns,
    /// Sectors of which reads got something silently wrong, and when the twin learned of it; see
    /// [`misread`](Self::misread).
    pub(super) misread: BTreeMap<u64, Tick>,
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
    /// What it writes, if it is a write.
    pub(super) data: Data,
    pub(super) changes: Range<u64>,
    pub(super) fate: Fate,
}

/// In [`Twin::seen`], a sector whose content is unspecified.
pub const UNSPECIFIED: OpId = OpId::MAX;

/// In [`Twin::seen`], what the file held first, where that was something.
pub const FIRST_CONTENTS: OpId = OpId::MAX - 1;

impl Twin {
    /// The twin of a device of zeros.
    ///
    /// `promises` are those of the device; `salt` tells this run's contents from any other's.
    pub fn new(geometry: Geometry, read_only: bool, promises: Promises, salt: u64) -> Self {
        let fate = Fate::Succeeded;
        let nothing = Entry { request: Request::Flush, data: Data::Unique, changes: 0..0, fate };
        let mut legal = LegalSets::new();
        legal.reset(salt);
        Self {
            geometry,
            read_only,
            promises,
            salt,
            now: 0,
            legal,
            log: vec![nothing],
            in_flight: Vec::new(),
            state: DeviceState::default(),
            turns: Turns::default(),
            misread: BTreeMap::new(),
            barriers: Vec::new(),
            last_sync: None,
            recovered: Vec::new(),
            seen: Vec::new(),
            checks: Checks::default(),
        }
    }

    /// As [`new`](Self::new), in the memory of this one.
    pub fn reset(&mut self, geometry: Geometry, read_only: bool, promises: Promises, salt: u64) {
        (self.geometry, self.read_only, self.promises) = (geometry, read_only, promises);
        (self.salt, self.now) = (salt, 0);
        self.legal.reset(salt);
        self.log.truncate(1);
        self.in_flight.clear();
        self.state = DeviceState::default();
        self.turns.clear();
        self.misread.clear();
        self.barriers.clear();
        self.last_sync = None;
        self.recovered.clear();
        self.checks = Checks::default();
    }

    /// These sectors hold something before the first operation: what operation 0 wrote.
    pub fn holds(&mut self, sectors: Range<u64>) {
        let size = self.geometry.size() / u64::from(self.geometry.sector_size());
        self.legal.holds(sectors.start..sectors.end.min(size));
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
    /// [`FIRST_CONTENTS`], or [`UNSPECIFIED`] where anything is legal.
    pub fn seen(&self) -> &[OpId] {
        &self.seen
    }

    /// Fills `buffer` with what the write `op` at `offset` (bytes) is to write.
    ///
    /// Bytes past the last whole sector, of which only a refused request can have any, stay.
    pub fn fill(&self, op: OpId, offset: u64, buffer: &mut [u8]) {
        let sector_size = self.geometry.sector_size();
        let first = offset / u64::from(sector_size);
        let data = self.log.get(op as usize).map_or(Data::Unique, |entry| entry.data);
        let sectors = buffer.chunks_exact_mut(sector_size as usize);
        for (sector, bytes) in (first..).zip(sectors) {
            match Leaves::of(data, op, sector) {
                Leaves::Zeros => bytes.fill(0),
                Leaves::Pattern => payload::fill(bytes, self.salt, PATTERN, sector),
                _ => payload::fill(bytes, self.salt, op, sector),
            }
        }
    }

    pub(super) fn tick(&mut self) -> Tick {
        self.now += 1;
        self.now
    }

    /// `op` is being made. Numbers begin at 1 and are not used twice.
    ///
    /// # Panics
    ///
    /// If `op` is 0 or has begun before.
    pub fn begin(&mut self, op: OpId, request: Request) {
        self.begin_with(op, request, Data::Unique);
    }

    /// As [`begin`](Self::begin), of a request that writes `data` if it is a write.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn begin_with(&mut self, op: OpId, request: Request, data: Data) {
        assert!(op != 0, "operations are numbered from 1");
        assert!(self.legal.times(op).began == NEVER, "operation #{op} begins for the second time");
        let now = self.tick();
        self.legal.begin(op, now);
        let mut changes = 0..0;
        let refused = self.read_only || self.state.closed.is_some();
        if request.is_change() && !refused {
            let trim = matches!(request, Request::Trim { .. }).then_some(self.promises.trim);
            if trim != Some(TrimEffect::Nothing) {
                changes = request.sectors(&self.geometry);
                let (legal, sectors) = (&mut self.legal, changes.clone());
                match trim {
                    None if data == Data::Sparse => {
                        legal.may_hold_each(op, sectors, |sector| Leaves::of(data, op, sector));
                    }
                    None => legal.may_hold(op, sectors, Leaves::of(data, op, 0)),
                    Some(TrimEffect::Zeros) => legal.may_hold(op, sectors, Leaves::Zeros),
                    Some(TrimEffect::Scribble) => legal.may_hold(op, sectors, Leaves::Scribble),
                    Some(_) => legal.may_hold(op, sectors, Leaves::Anything),
                }
            }
        }
        if self.log.len() <= op as usize {
            let nothing = self.log[0].clone();
            self.log.resize(op as usize + 1, nothing);
        }
        self.log[op as usize] = Entry { request, data, changes, fate: Fate::Open };
        self.in_flight.push(op);
        if request == Request::Close {
            self.state.closing.get_or_insert(op);
        }
    }

    /// `op` is in flight no more.
    fn land(&mut self, op: OpId) {
        let place = self.in_flight.iter().position(|&other| other == op);
        let Some(place) = place else { panic!("operation #{op} ends, but is not in flight") };
        self.in_flight.remove(place);
    }

    /// `op` has ended.
    ///
    /// # Errors
    ///
    /// The clause that its answer, or what it read, breaks.
    ///
    /// # Panics
    ///
    /// If `op` is not in flight: it has not begun, or has ended, or the device was opened since.
    pub fn end(
        &mut self,
        op: OpId,
        outcome: Outcome<'_>,
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        self.land(op);
        self.log[op as usize].fate = Fate::of(&outcome);
        let began = self.legal.times(op).began;
        let now = self.tick();
        let dropped = !matches!(outcome, Outcome::Answered { .. });
        if dropped && !self.promises.own_calls {
            self.legal.drop_adrift(op, now);
        } else {
            self.legal.end(op, now);
        }
        let request = self.log[op as usize].request;
        self.misread(evidence.unreliable);
        self.compared(op, evidence.unreliable);
        if let Some(error) = evidence.sync_error.or(evidence.failed_sync) {
            self.state.sync_failing = true;
            self.state.sync_error.get_or_insert(error);
        }
        if evidence.sync_error.is_some() {
            // However the request ends: the kernel has reported it, and will not again.
            self.legal.sync_failed(now);
        }
        if let Some(at) = evidence.escaped {
            return Err(self.escaped(request, at));
        }
        if !self.promises.own_calls {
            self.unmendable(op, evidence);
        }
        let (result, data) = match outcome {
            Outcome::Answered { result, data } => (result, data),
            Outcome::NeverPolled if self.promises.own_calls => {
                self.withdraw(op);
                return Ok(());
            }
            Outcome::Cancelled | Outcome::NeverPolled => {
                self.state.dropped(op);
                if let Some(error) = evidence.sync_error {
                    self.owe_failed_sync(FailedSync { error, since: now, in_flight: None });
                }
                self.unmendable(op, evidence);
                return Ok(());
            }
        };
        self.judge(op, result, evidence)?;
        if evidence.sync_error.is_some() && result.is_err() {
            self.state.sync_failed.get_or_insert(now);
        }
        match request {
            Request::Read { offset, .. } if result.is_ok() => {
                self.check_read(op, offset, data, evidence)
            }
            Request::Write { .. } | Request::Trim { .. } => {
                self.change_ended(op, result, evidence);
                Ok(())
            }
            Request::Drain if result.is_ok() => self.drained(op, began),
            Request::Read { .. } | Request::Drain => Ok(()),
            Request::Flush | Request::Barrier | Request::Close => {
                self.synced(op, began, result, evidence);
                Ok(())
            }
        }
    }

    /// A sync has failed beneath a device that does not promise to make its own calls. It was made
    /// by the request `by`, or by a task of the device's.
    pub fn sync_failed(&mut self, by: Option<OpId>, error: DeviceError) {
        let now = self.tick();
        self.legal.sync_failed(now);
        self.state.sync_failing = true;
        let in_flight = by.map(|_| self.in_flight.iter().copied().collect());
        self.owe_failed_sync(FailedSync { error, since: now, in_flight });
    }

    /// A sync has failed, and a request has to tell of it.
    fn owe_failed_sync(&mut self, failed: FailedSync) {
        self.state.sync_error.get_or_insert(failed.error);
        if !self.promises.waives.failed_syncs {
            self.state.untold.get_or_insert(failed);
        }
    }

    /// A sync of the directory has failed beneath a device that does not promise to make its own
    /// calls. From then on it may refuse what it has to refuse after a failed sync. Whether it lost
    /// anything shows in what a crash leaves.
    pub fn directory_sync_failed(&mut self) {
        self.state.sync_failing = true;
    }

    /// A raw call of a task of the device's has met `what`, which the device has to absorb. Only
    /// for sentences: nothing is judged by it.
    pub fn absorbs(&mut self, what: &'static str) {
        self.state.absorbable = Some((self.now, what));
    }

    fn judge(
        &mut self,
        op: OpId,
        result: Result<(), DeviceError>,
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        let obligation = Obligation {
            geometry: &self.geometry,
            read_only: self.read_only,
            promises: &self.promises,
            state: &self.state,
            request: self.log[op as usize].request,
            began: self.legal.times(op).began,
            evidence,
        };
        let due = obligation.due();
        let clause = match due {
            Some((Kind::RequestNotRejected, _)) => Clause::BadRequests,
            Some((Kind::PoisonIgnored, _)) => Clause::SyncFailure,
            Some(_) => Clause::Errors,
            None => Clause::NoInventedErrors,
        };
        self.checks.count(clause, 1);
        obligation.judge(result, due)?;
        // What a raw call of its own returned is no news of any other.
        if let Err(error) = result {
            let certain = obligation.tells_of_sync(error);
            if !evidence.errors.contains(&error) {
                self.state.told(op, error, certain, self.now);
            }
            let of_file = matches!(error, DeviceError::Io { .. } | DeviceError::WriteZero);
            if of_file && !certain && evidence.sync_error.is_none() {
                self.state.failed = Some((op, self.log[op as usize].request));
            }
        }
        Ok(())
    }

    /// A write or trim has ended.
    fn change_ended(&mut self, op: OpId, result: Result<(), DeviceError>, evidence: &Evidence<'_>) {
        let Entry { request, changes, .. } = self.log[op as usize].clone();
        match result {
            Ok(()) => {
                if !self.misread.is_empty() {
                    self.heal_misread(op, &changes);
                }
                let durable = request.is_fua() && !self.promises.waives.fua;
                let oldest = self.oldest_in_flight();
                self.legal.completed(op, changes, self.now, durable, oldest);
            }
            // A request that somebody else carries out may have been when it was refused.
            Err(DeviceError::Closed) if !self.promises.own_calls => {}
            Err(DeviceError::Closed | DeviceError::ReadOnly) => self.withdraw(op),
            Err(_) => self.unmendable(op, evidence),
        }
    }

    /// `op` turned out to do nothing.
    fn withdraw(&mut self, op: OpId) {
        let changes = std::mem::replace(&mut self.log[op as usize].changes, 0..0);
        self.legal.withdraw(op, changes);
        if self.state.closing == Some(op) {
            self.state.closing = None;
        }
    }

    /// What the kernel left torn under a request that did not succeed is unspecified, where it is
    /// of the request itself or was still to be written, by a flush say.
    fn unmendable(&mut self, op: OpId, evidence: &Evidence<'_>) {
        if !self.promises.in_place {
            return;
        }
        let changes = self.log[op as usize].changes.clone();
        for &sector in evidence.unmendable {
            if !self.promises.own_calls
                || changes.contains(&sector)
                || self.legal.is_unsettled(sector)
            {
                self.legal.may_hold(op, sector..sector + 1, Leaves::Anything);
            }
        }
    }

    /// A flush, barrier or close has ended.
    fn synced(
        &mut self,
        op: OpId,
        called: Tick,
        result: Result<(), DeviceError>,
        evidence: &Evidence<'_>,
    ) {
        let request = self.log[op as usize].request;
        // Once a close has flushed, another promises nothing.
        let first = request != Request::Close || !self.state.close_flushed;
        self.state.close_flushed |= request == Request::Close && result.is_ok();
        if request == Request::Close {
            self.state.closed.get_or_insert(self.now);
        }
        if result.is_err() {
            return self.unmendable(op, evidence);
        }
        self.legal.settle_adrift(called, self.now);
        let waives = self.promises.waives;
        match request {
            Request::Barrier if waives.barriers => {}
            Request::Barrier => self.barriers.push((called, self.now, op)),
            _ if first && !waives.flush => {
                let oldest = self.oldest_in_flight();
                self.legal.synced(called, oldest);
                self.last_sync = Some(op);
                self.barriers.retain(|&(barrier, ..)| barrier > called);
            }
            _ => {}
        }
    }

    /// A drain that was called at the tick `called` has returned `Ok`: what was dropped before that
    /// lands no more.
    ///
    /// Where somebody else carries requests out, one may be done whose future has not seen that. A
    /// durable trim may be a trim and a flush, with the drain in between.
    fn drained(&mut self, op: OpId, called: Tick) -> Result<(), Violation> {
        self.checks.count(Clause::Drain, 1);
        self.legal.settle_adrift(called, self.now);
        let is_older = |&&other: &&OpId| {
            let request = self.log[other as usize].request;
            let is_one =
                request.span().is_some() && !matches!(request, Request::Trim { fua: true, .. });
            is_one && self.legal.times(other).began < called
        };
        let older = self.in_flight.iter().find(is_older).filter(|_| self.promises.own_calls);
        let Some(&older) = older else { return Ok(()) };
        let name = self.log[older as usize].request.name();
        let sentence = format!(
            "drain #{op} returned Ok although {name} #{older}, which had begun before it, was \
             under way"
        );
        Err(Violation::new(Kind::DrainedEarly, sentence))
    }

    /// When the oldest request in flight began.
    fn oldest_in_flight(&self) -> Tick {
        let began = self.in_flight.iter().map(|&op| self.legal.times(op).began);
        began.min().unwrap_or(self.now)
    }

    /// Whether a close has returned `Ok` since the device was opened.
    pub(crate) fn has_closed(&self) -> bool {
        self.state.close_flushed
    }

    /// Whether a close is in flight.
    pub(crate) fn is_closing(&self) -> bool {
        self.in_flight.iter().any(|&op| self.log[op as usize].request == Request::Close)
    }

    /// Whether the device was closed and not opened again.
    pub fn is_closed(&self) -> bool {
        self.state.closing.is_some()
    }
}
