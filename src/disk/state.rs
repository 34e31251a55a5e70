//! What a simulated file holds, and what a raw call does to it.

use super::crash::{Fates, Survivors};
use super::fault::{Call, Dirty, Fault, FaultClass, FaultKind};
use super::medium::Medium;
use super::undo::{Restore, Undo};
use crate::sparse::Sparse;
use smallvec::SmallVec;
use std::io;
use std::ops::Range;

/// Bytes of a chunk of the image in memory.
const CHUNK: usize = 16 << 10;

/// What the file did to one operation: facts for the oracle.
#[derive(Clone, Debug, Default)]
pub struct CallReport {
    /// How many raw calls the operation made.
    pub calls: u32,
    /// The faults that its calls met, each with the number of its call.
    pub met: SmallVec<[Fault; 2]>,
    /// Sectors that were left torn under its writes although it did what a device can, or that its
    /// reads found torn by another operation's unfinished write.
    pub torn: SmallVec<[u64; 2]>,
    /// The first byte past the limit that it reached for, if it did.
    pub escaped: Option<u64>,
}

/// One raw call, as a trace shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawCall {
    /// The operation that made it; 0 where none was under way.
    pub op: u32,
    /// Which call.
    pub call: Call,
    /// Its offset, in bytes; 0 where it has none.
    pub offset: u64,
    /// How many bytes it asked for; 0 where it has no length.
    pub length: u64,
    /// How many it got (the length, of [`Call::Length`]), or the error number.
    pub result: Result<u64, i32>,
    /// The fault that it met.
    pub fault: Option<FaultClass>,
}

/// An operation that is making raw calls.
#[derive(Debug, Default)]
struct Operation {
    op: u32,
    faults: Vec<Fault>,
    report: CallReport,
    /// The sector inside which its last short write stopped, and how often a write from there on
    /// was refused since.
    stuck: Option<(u64, u32)>,
}

/// A sector inside which the kernel stopped a write, while that write is still under way. It is
/// visible as it is; but it is not written to the medium before the operation has either completed
/// or given up the sector.
#[derive(Debug)]
struct Cut {
    sector: u64,
    /// What the sector held before it was torn.
    before: Vec<u8>,
    /// Who tore it.
    owners: SmallVec<[u32; 1]>,
}

/// How often the kernel has to refuse a torn sector before the device may give it up: once when
/// the rest of the write fails, and once more for the sector alone.
const REFUSALS: u32 = 2;

/// The file.
#[derive(Debug)]
pub(super) struct State {
    sector_size: usize,
    length: u64,
    visible: Sparse<u8>,
    undo: Undo,
    cuts: Vec<Cut>,
    medium: Medium,
    /// A failure of the medium itself, which says nothing about the device.
    pub(super) broken: Option<io::Error>,
    /// Where the device's part of the file ends, in bytes.
    limit: u64,
    operations: Vec<Operation>,
    /// Operations that have ended, for their memory.
    idle: Vec<Operation>,
    pub(super) journal: Vec<RawCall>,
}

impl State {
    pub(super) fn new(medium: Medium) -> Self {
        Self {
            sector_size: 512,
            length: 0,
            visible: Sparse::new(CHUNK),
            undo: Undo::default(),
            cuts: Vec::new(),
            medium,
            broken: None,
            limit: u64::MAX,
            operations: Vec::new(),
            idle: Vec::new(),
            journal: Vec::new(),
        }
    }

    /// An empty file of `length` durable zeros.
    pub(super) fn reset(&mut self, sector_size: u32, length: u64, limit: u64) -> io::Result<()> {
        self.sector_size = sector_size as usize;
        (self.length, self.limit) = (length, limit);
        self.visible.clear(|bytes| bytes.fill(0));
        self.undo.clear();
        self.cuts.clear();
        self.broken = None;
        self.idle.append(&mut self.operations);
        self.journal.clear();
        self.medium.set_len(0)?;
        self.medium.set_len(length)
    }

    pub(super) fn begin(&mut self, op: u32, faults: &[Fault]) {
        let mut operation = self.idle.pop().unwrap_or_default();
        operation.op = op;
        operation.faults.clear();
        operation.faults.extend_from_slice(faults);
        operation.report = CallReport::default();
        operation.stuck = None;
        self.operations.push(operation);
    }

    /// The operation makes no more raw calls. `given_up` where it had no chance to go on.
    pub(super) fn end(&mut self, op: u32, given_up: bool) -> CallReport {
        let Some(at) = self.operations.iter().position(|operation| operation.op == op) else {
            return CallReport::default();
        };
        let mut operation = self.operations.swap_remove(at);
        let mut report = std::mem::take(&mut operation.report);
        let refused = operation.stuck.is_some_and(|(_, refused)| refused >= REFUSALS);
        self.idle.push(operation);
        if !self.cuts.is_empty() {
            self.settle_cuts(op, given_up || refused, &mut report);
        }
        report
    }

    /// What `op` has left torn is an unsynced change like any other from now on. `excused` where no
    /// device could have helped it.
    fn settle_cuts(&mut self, op: u32, excused: bool, report: &mut CallReport) {
        let (undo, sector_size) = (&mut self.undo, self.sector_size);
        self.cuts.retain_mut(|cut| {
            let Some(at) = cut.owners.iter().position(|&owner| owner == op) else {
                return true;
            };
            cut.owners.remove(at);
            if excused {
                report.torn.push(cut.sector);
            }
            if cut.owners.is_empty() {
                undo.record(cut.sector, 1, sector_size).copy_from_slice(&cut.before);
            }
            !cut.owners.is_empty()
        });
    }

    fn operation(&mut self, op: u32) -> Option<&mut Operation> {
        self.operations.iter_mut().find(|operation| operation.op == op)
    }

    /// Counts a raw call, and finds the fault that it meets.
    fn meet(&mut self, op: u32, call: Call, length: usize) -> Option<FaultKind> {
        let operation = self.operation(op)?;
        let number = operation.report.calls;
        operation.report.calls += 1;
        let planned = operation.faults.iter().filter(|fault| fault.call == number);
        let fault = *planned.into_iter().find(|fault| fault.kind.applies(call, length))?;
        // A sync meets its failure when it ends; its operation may not live to see that.
        if !matches!(fault.kind, FaultKind::SyncFailed(_)) {
            operation.report.met.push(fault);
        }
        Some(fault.kind)
    }

    /// The error that a fault makes of a call, if it does.
    fn refuse(fault: Option<FaultKind>) -> io::Result<()> {
        let errno = fault.and_then(FaultKind::errno);
        errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    /// What the medium itself answers is no part of the simulation: a failure there ends the run.
    fn real(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.broken.get_or_insert(error);
        }
    }

    fn note<T: Copy + Into<u64>>(
        &mut self,
        (op, call): (u32, Call),
        (offset, length): (u64, u64),
        fault: Option<FaultKind>,
        result: &io::Result<T>,
    ) {
        let result = match result {
            Ok(count) => Ok((*count).into()),
            Err(error) => Err(error.raw_os_error().unwrap_or(0)),
        };
        let fault = fault.map(FaultKind::class);
        self.journal.push(RawCall { op, call, offset, length, result, fault });
    }

    fn watch_limit(&mut self, op: u32, end: u64) {
        let limit = self.limit;
        if end > limit
            && let Some(operation) = self.operation(op)
        {
            operation.report.escaped.get_or_insert(limit);
        }
    }

    pub(super) fn read(&mut self, op: u32, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.meet(op, Call::Read, buffer.len());
        let result = Self::refuse(fault).map(|()| {
            let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
            let count = match fault {
                Some(FaultKind::ShortRead(most)) => left.min(most as usize),
                _ => left.min(buffer.len()),
            };
            self.fetch(&mut buffer[..count], offset);
            self.note_torn(op, offset..offset + count as u64);
            count
        });
        let seen = result.as_ref().map(|&count| count as u64).map_err(same_error);
        self.note((op, Call::Read), (offset, buffer.len() as u64), fault, &seen);
        result
    }

    fn fetch(&mut self, buffer: &mut [u8], offset: u64) {
        match self.medium.read(buffer, offset) {
            Ok(true) => {}
            Ok(false) => self.visible.read(offset, buffer),
            Err(error) => self.real(Err(error)),
        }
    }

    /// A read met sectors that another write has left torn for the moment.
    fn note_torn(&mut self, op: u32, range: Range<u64>) {
        if self.cuts.is_empty() {
            return;
        }
        let sectors = self.sectors(&range);
        let torn: SmallVec<[u64; 2]> =
            self.cuts.iter().map(|cut| cut.sector).filter(|it| sectors.contains(it)).collect();
        if let Some(operation) = self.operation(op) {
            operation.report.torn.extend(torn);
        }
    }

    fn sectors(&self, range: &Range<u64>) -> Range<u64> {
        let size = self.sector_size as u64;
        range.start / size..range.end.div_ceil(size)
    }

    pub(super) fn write(&mut self, op: u32, data: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.meet(op, Call::Write, data.len());
        let refused = Self::refuse(fault).and_then(|()| check_range(offset, data.len()));
        if refused.is_err() {
            self.refuse_cut(op, offset);
        }
        let result = refused.map(|()| {
            let count = match fault {
                Some(FaultKind::ShortWrite(most)) => data.len().min(most as usize),
                _ => data.len(),
            };
            if count > 0 {
                self.watch_limit(op, offset + count as u64);
                self.apply(op, &data[..count], offset, count < data.len());
            }
            count
        });
        let seen = result.as_ref().map(|&count| count as u64).map_err(same_error);
        self.note((op, Call::Write), (offset, data.len() as u64), fault, &seen);
        result
    }

    /// A write that begins where its operation was stopped before was refused.
    fn refuse_cut(&mut self, op: u32, offset: u64) {
        let size = self.sector_size as u64;
        if let Some(operation) = self.operation(op)
            && let Some((sector, refused)) = &mut operation.stuck
            && *sector * size == offset
        {
            *refused += 1;
        }
    }

    /// Bytes go to the file. `short` where the kernel stopped there.
    fn apply(&mut self, op: u32, data: &[u8], offset: u64, short: bool) {
        let size = self.sector_size as u64;
        let end = offset + data.len() as u64;
        let mut sectors = self.sectors(&(offset..end));
        if short && !end.is_multiple_of(size) {
            sectors.end -= 1;
            self.cut(op, sectors.end);
        }
        self.grow(end);
        self.remember(sectors);
        self.visible.write(offset, data);
        let written = self.medium.write(data, offset);
        self.real(written);
    }

    fn grow(&mut self, end: u64) {
        if end > self.length {
            self.undo.record_length(self.length);
            self.length = end;
        }
    }

    /// `op` is leaving `sector` torn.
    fn cut(&mut self, op: u32, sector: u64) {
        if let Some(operation) = self.operation(op)
            && operation.stuck.is_none_or(|(stuck, _)| stuck != sector)
        {
            operation.stuck = Some((sector, 0));
        }
        if let Some(cut) = self.cuts.iter_mut().find(|cut| cut.sector == sector) {
            if !cut.owners.contains(&op) {
                cut.owners.push(op);
            }
            return;
        }
        let mut before = vec![0; self.sector_size];
        self.visible.read(sector * self.sector_size as u64, &mut before);
        self.cuts.push(Cut { sector, before, owners: SmallVec::from_slice(&[op]) });
    }

    /// `sectors` are about to change: keeps what they hold. Those that were torn are so no longer.
    fn remember(&mut self, sectors: Range<u64>) {
        let size = self.sector_size;
        let place = self.undo.record(sectors.start, sectors.end - sectors.start, size);
        self.visible.read(sectors.start * size as u64, place);
        self.cuts.retain(|cut| {
            let inside = sectors.contains(&cut.sector);
            if let Ok(at) = usize::try_from(cut.sector.wrapping_sub(sectors.start))
                && inside
            {
                place[at * size..(at + 1) * size].copy_from_slice(&cut.before);
            }
            !inside
        });
    }

    pub(super) fn punch(&mut self, op: u32, offset: u64, length: u64) -> io::Result<()> {
        let fault = self.meet(op, Call::Punch, usize::try_from(length).unwrap_or(usize::MAX));
        let result = Self::refuse(fault).map(|()| {
            let end = offset.saturating_add(length);
            self.watch_limit(op, end);
            self.zero(offset..end.min(self.length));
            if offset < end.min(self.length) {
                let punched = self.medium.punch(offset, end.min(self.length) - offset);
                self.real(punched);
            }
        });
        let seen = result.as_ref().map(|()| 0u64).map_err(same_error);
        self.note((op, Call::Punch), (offset, length), fault, &seen);
        result
    }

    /// A range reads as zeros from now on.
    fn zero(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Only what was ever touched can change.
        let touched: Vec<Range<u64>> = self
            .visible
            .chunks()
            .map(|(start, bytes)| range.start.max(start)..range.end.min(start + bytes.len() as u64))
            .filter(|piece| !piece.is_empty())
            .collect();
        for piece in touched {
            self.remember(self.sectors(&piece));
        }
        self.visible.zero(range.start, range.end - range.start);
    }

    pub(super) fn len(&mut self, op: u32) -> io::Result<u64> {
        let fault = self.meet(op, Call::Length, 0);
        let result = Self::refuse(fault).map(|()| self.length);
        self.note((op, Call::Length), (0, 0), fault, &result);
        result
    }

    pub(super) fn set_len(&mut self, op: u32, length: u64) -> io::Result<()> {
        let fault = self.meet(op, Call::SetLength, 0);
        let result = Self::refuse(fault).map(|()| {
            self.watch_limit(op, length);
            self.undo.record_length(self.length);
            self.zero(length..self.length);
            self.length = length;
            let set = self.medium.set_len(length);
            self.real(set);
        });
        let seen = result.as_ref().map(|()| 0u64).map_err(same_error);
        self.note((op, Call::SetLength), (0, length), fault, &seen);
        result
    }

    /// A sync begins. Gives the mark up to which it is to make things durable, and its fate.
    pub(super) fn begin_sync(&mut self, op: u32) -> io::Result<(u64, Option<FaultKind>)> {
        let fault = self.meet(op, Call::Sync, 0);
        let interrupted = Self::refuse(fault.filter(|&it| it == FaultKind::Interrupted));
        if interrupted.is_err() {
            let seen = interrupted.as_ref().map(|()| 0u64).map_err(same_error);
            self.note((op, Call::Sync), (0, 0), fault, &seen);
        }
        interrupted.map(|()| (self.undo.mark(), fault))
    }

    /// The sync that began at `mark` ends.
    pub(super) fn end_sync(
        &mut self,
        op: u32,
        mark: u64,
        fault: Option<FaultKind>,
    ) -> io::Result<()> {
        if let (Some(kind), Some(operation)) = (fault, self.operation(op)) {
            let call = operation.report.calls - 1;
            operation.report.met.push(Fault { call, kind });
        }
        match fault {
            Some(FaultKind::SyncFailed(Dirty::Kept)) => {}
            Some(FaultKind::SyncFailed(Dirty::Dropped)) => self.undo.dropped(mark),
            Some(FaultKind::SyncFailed(Dirty::Partly(seed))) => {
                let mut fates = Fates::new(Survivors::Random(seed));
                self.undo.partly_synced(mark, self.sector_size, &mut fates);
            }
            _ => {
                let synced = self.medium.sync();
                self.real(synced);
                self.undo.synced(mark);
            }
        }
        let result = Self::refuse(fault);
        let seen = result.as_ref().map(|()| 0u64).map_err(same_error);
        self.note((op, Call::Sync), (0, 0), fault, &seen);
        result
    }

    /// The power fails, with operations under way or not.
    pub(super) fn crash(&mut self, survivors: Survivors) {
        let size = self.sector_size;
        self.idle.append(&mut self.operations);
        let (visible, medium, broken) = (&mut self.visible, &self.medium, &mut self.broken);
        let mut put = |sector: u64, bytes: &[u8]| {
            visible.write(sector * size as u64, bytes);
            if let Err(error) = medium.write(bytes, sector * size as u64) {
                broken.get_or_insert(error);
            }
        };
        for cut in self.cuts.drain(..) {
            put(cut.sector, &cut.before);
        }
        let mut length = self.length;
        self.undo.crash(size, &mut Fates::new(survivors), |restore| match restore {
            Restore::Sector(sector, bytes) => put(sector, bytes),
            Restore::Length(old) => length = old,
        });
        let end = self.length.max(length);
        self.visible.zero(length, end - length);
        self.length = length;
        // Writing back can have made the real file longer than it is to be.
        let reopened = self.medium.set_len(length).and_then(|()| self.medium.reopen());
        self.real(reopened);
    }
}

/// Offsets past `i64::MAX` are none: `EINVAL`, as from `pwrite(2)`.
fn check_range(offset: u64, length: usize) -> io::Result<()> {
    let end = offset.checked_add(length as u64).map(i64::try_from);
    match end {
        Some(Ok(_)) => Ok(()),
        _ => Err(io::Error::from_raw_os_error(rustix::io::Errno::INVAL.raw_os_error())),
    }
}

/// The same error again, for the journal.
fn same_error(error: &io::Error) -> io::Error {
    io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}
