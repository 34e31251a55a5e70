//! What a simulated file holds, who is calling, and what a crash makes of it.

use super::crash::{Damage, Survivors};
use super::fault::{Call, Fault, FaultClass, FaultKind};
use super::medium::Medium;
use super::undo::{Restore, Undo};
use super::watch::{Held, Watch};
use crate::rng::{Purpose, Rng};
use crate::sparse::Sparse;
use smallvec::SmallVec;
use std::collections::BTreeSet;
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
    /// reads found torn for the moment by another operation's unfinished write.
    pub torn: SmallVec<[u64; 2]>,
    /// Sectors of which its reads got what no device could know to be wrong.
    pub unreliable: SmallVec<[u64; 2]>,
    /// The first byte past the limit that it reached for, if it did.
    pub escaped: Option<u64>,
    /// How many of the delays that it met let another operation go ahead.
    pub overtaken: u32,
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
pub(super) struct Operation {
    op: u32,
    faults: Vec<Fault>,
    pub(super) report: CallReport,
    /// The sector inside which its last short write stopped, and how often a write from there on
    /// was refused since.
    pub(super) stuck: Option<(u64, u32)>,
}

/// A sector inside which the kernel stopped a write, while that write is still under way. It is
/// visible as it is; but it is not written to the medium before the operation has either completed
/// or given up the sector.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) sector: u64,
    /// What the sector held before it was torn.
    pub(super) before: Vec<u8>,
    /// Who tore it.
    pub(super) owners: SmallVec<[u32; 1]>,
}

/// How often the kernel has to refuse a torn sector before the device may give it up: once when
/// the rest of the write fails, and once more for the sector alone.
const REFUSALS: u32 = 2;

/// The file.
#[derive(Debug)]
pub(super) struct State {
    pub(super) sector_size: usize,
    pub(super) length: u64,
    pub(super) visible: Sparse<u8, CHUNK>,
    pub(super) undo: Undo,
    pub(super) cuts: Vec<Cut>,
    /// Sectors that silently hold something else than was written to them last.
    pub(super) wrong: BTreeSet<u64>,
    /// Sectors that cannot be read.
    pub(super) latent: BTreeSet<u64>,
    /// So many more calls that need space find none.
    pub(super) full_for: u32,
    /// Writing back has failed, and no sync has told of it yet.
    pub(super) writeback_failed: bool,
    pub(super) medium: Medium,
    /// A failure of the medium itself, which says nothing about the device.
    pub(super) broken: Option<io::Error>,
    /// Where the device's part of the file ends, in bytes.
    pub(super) limit: u64,
    /// Raw calls so far, of all operations.
    pub(super) calls: u64,
    /// Those under way come first; the others have ended and are kept for their memory.
    operations: Vec<Operation>,
    under_way: usize,
    pub(super) journal: Vec<RawCall>,
    /// Where somebody wants to see what sectors hold.
    pub(super) watch: Option<Box<Watch>>,
}

impl State {
    pub(super) fn new(medium: Medium) -> Self {
        Self {
            sector_size: 512,
            length: 0,
            visible: Sparse::new(),
            undo: Undo::default(),
            cuts: Vec::new(),
            wrong: BTreeSet::new(),
            latent: BTreeSet::new(),
            full_for: 0,
            writeback_failed: false,
            medium,
            broken: None,
            limit: u64::MAX,
            calls: 0,
            operations: Vec::new(),
            under_way: 0,
            journal: Vec::new(),
            watch: None,
        }
    }

    /// An empty file of `length` durable zeros.
    pub(super) fn reset(&mut self, sector_size: u32, length: u64, limit: u64) -> io::Result<()> {
        self.sector_size = sector_size as usize;
        (self.length, self.limit) = (length, limit);
        self.visible.clear(|bytes| bytes.fill(0));
        self.undo.clear();
        self.cuts.clear();
        self.wrong.clear();
        self.latent.clear();
        (self.full_for, self.writeback_failed) = (0, false);
        self.broken = None;
        self.under_way = 0;
        self.journal.clear();
        self.watch = None;
        self.medium.set_len(0)?;
        self.medium.set_len(length)
    }

    pub(super) fn begin(&mut self, op: u32, faults: &[Fault]) {
        if self.under_way == self.operations.len() {
            self.operations.push(Operation::default());
        }
        let operation = &mut self.operations[self.under_way];
        self.under_way += 1;
        operation.op = op;
        operation.faults.clear();
        operation.faults.extend_from_slice(faults);
        operation.report = CallReport::default();
        operation.stuck = None;
    }

    /// The operation makes no more raw calls. `given_up` where it had no chance to go on.
    pub(super) fn end(&mut self, op: u32, given_up: bool) -> CallReport {
        let Some(at) = self.operations[..self.under_way].iter().position(|it| it.op == op) else {
            return CallReport::default();
        };
        self.under_way -= 1;
        if at != self.under_way {
            self.operations.swap(at, self.under_way);
        }
        let operation = &mut self.operations[self.under_way];
        let mut report = std::mem::take(&mut operation.report);
        let refused = operation.stuck.is_some_and(|(_, refused)| refused >= REFUSALS);
        if !self.cuts.is_empty() {
            self.settle_cuts(op, given_up || refused, &mut report);
        }
        report
    }

    /// Hands over the raw calls of the journal, each with what it has changed.
    pub(super) fn drain(&mut self, each: &mut impl FnMut(&RawCall, &[Held])) {
        for (at, raw) in self.journal.iter().enumerate() {
            each(raw, self.watch.as_ref().map_or(&[], |watch| watch.of_call(at)));
        }
        self.journal.clear();
        if let Some(watch) = &mut self.watch {
            watch.forget_calls();
        }
    }

    /// What `op` has left torn is an unsynced change like any other from now on. `excused` where no
    /// device could have helped it.
    fn settle_cuts(&mut self, op: u32, excused: bool, report: &mut CallReport) {
        let (undo, wrong, sector_size) = (&mut self.undo, &self.wrong, self.sector_size);
        self.cuts.retain_mut(|cut| {
            let Some(at) = cut.owners.iter().position(|&owner| owner == op) else {
                return true;
            };
            cut.owners.remove(at);
            if excused {
                report.torn.push(cut.sector);
            }
            if cut.owners.is_empty() {
                undo.next_call();
                undo.record(cut.sector, sector_size, |held| held.append(&mut cut.before));
                if wrong.contains(&cut.sector) {
                    undo.replaced_wrong(cut.sector);
                }
            }
            !cut.owners.is_empty()
        });
    }

    pub(super) fn operation(&mut self, op: u32) -> Option<&mut Operation> {
        self.operations[..self.under_way].iter_mut().find(|operation| operation.op == op)
    }

    /// Counts a raw call, and finds the fault that it meets.
    pub(super) fn meet(&mut self, op: u32, call: Call, length: usize) -> Option<FaultKind> {
        self.calls += 1;
        let operation = self.operation(op)?;
        let number = operation.report.calls;
        operation.report.calls += 1;
        let planned = operation.faults.iter().filter(|fault| fault.call == number);
        let applies = |fault: &&Fault| !fault.kind.is_delay() && fault.kind.applies(call, length);
        let fault = planned.copied().find(|fault| applies(&fault));
        let needs_space = FaultKind::Enospc.applies(call, length);
        let kind = match fault.map(|fault| fault.kind) {
            Some(FaultKind::EnospcFor(calls)) => {
                self.full_for = calls;
                Some(FaultKind::EnospcFor(calls))
            }
            None if needs_space && self.full_for > 0 => {
                self.full_for -= 1;
                Some(FaultKind::EnospcFor(self.full_for))
            }
            kind => kind,
        };
        // These are met later, if the operation lives to see it.
        if let Some(kind) = kind.filter(|kind| !kind.fails_sync() && !kind.is_elsewhere()) {
            self.met(op, kind);
        }
        kind
    }

    /// The last raw call of `op` has met this.
    pub(super) fn met(&mut self, op: u32, kind: FaultKind) {
        if let Some(operation) = self.operation(op) {
            let call = operation.report.calls.saturating_sub(1);
            operation.report.met.push(Fault { call, kind });
        }
    }

    /// How long the next raw call of `op` has to wait before and after it takes effect.
    pub(super) fn delays(&mut self, op: u32) -> (u32, u32) {
        let Some(operation) = self.operation(op) else { return (0, 0) };
        let number = operation.report.calls;
        let mut delays = (0, 0);
        for fault in operation.faults.iter().filter(|fault| fault.call == number) {
            match fault.kind {
                FaultKind::Latency(steps) => delays.0 = steps,
                FaultKind::LateReturn(steps) => delays.1 = steps,
                _ => continue,
            }
            operation.report.met.push(*fault);
        }
        delays
    }

    /// A delay of `op` has passed, during which others made raw calls or not.
    pub(super) fn delayed(&mut self, op: u32, overtaken: bool) {
        if let Some(operation) = self.operation(op) {
            operation.report.overtaken += u32::from(overtaken);
        }
    }

    /// What the medium itself answers is no part of the simulation: a failure there ends the run.
    pub(super) fn real(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.broken.get_or_insert(error);
        }
    }

    pub(super) fn sectors(&self, range: &Range<u64>) -> Range<u64> {
        let size = self.sector_size as u64;
        range.start / size..range.end.div_ceil(size)
    }

    /// The sectors of which a range covers all that is in the file.
    pub(super) fn whole_sectors(&self, range: &Range<u64>) -> Range<u64> {
        let size = self.sector_size as u64;
        let to_the_end = range.end >= self.length;
        let end = if to_the_end { range.end.div_ceil(size) } else { range.end / size };
        range.start.div_ceil(size)..end
    }

    /// The power fails, with operations under way or not. Tells how many sectors lost something.
    pub(super) fn crash(&mut self, survivors: Survivors) -> u64 {
        let size = self.sector_size;
        self.under_way = 0;
        (self.full_for, self.writeback_failed) = (0, false);
        let had = self.length;
        for cut in std::mem::take(&mut self.cuts) {
            self.put(cut.sector, &cut.before);
        }
        let mut undo = std::mem::take(&mut self.undo);
        let mut fates = undo.fates(survivors);
        let (mut length, mut lost, mut damages) = (had, 0, Vec::new());
        undo.crash(size, &mut fates, |restore| match restore {
            Restore::Sector(sector, bytes, wrong) => {
                lost += 1;
                self.put(sector, bytes);
                if wrong {
                    self.wrong.insert(sector);
                } else {
                    self.wrong.remove(&sector);
                }
            }
            Restore::Damage(sector, damage) => {
                let mut newest = vec![0; size];
                self.visible.read(sector * size as u64, &mut newest);
                damages.push((sector, damage, newest));
            }
            Restore::Length(old) => {
                lost += 1;
                length = old;
            }
        });
        self.undo = undo;
        for (sector, damage, newest) in damages {
            self.damage(sector, damage, newest);
        }
        // Nothing comes back from behind the end when the file grows again.
        self.visible.zero(length, self.length.saturating_sub(length));
        self.length = length;
        // Writing back can have made the real file longer than it is to be.
        let reopened = self.medium.set_len(length).and_then(|()| self.medium.reopen());
        self.real(reopened);
        self.watch_crash();
        lost
    }

    /// Writes a sector past everybody, maybe past the end that the file is to have.
    fn put(&mut self, sector: u64, bytes: &[u8]) {
        let offset = sector * self.sector_size as u64;
        self.length = self.length.max(offset + bytes.len() as u64);
        self.visible.write(offset, bytes);
        let written = self.medium.write(bytes, offset);
        self.real(written);
    }

    /// Does to a sector what no device could mask; `newest` is what it held before the crash.
    fn damage(&mut self, sector: u64, damage: Damage, newest: Vec<u8>) {
        let mut bytes = newest;
        match damage {
            Damage::Unreadable => {
                self.latent.insert(sector);
                return;
            }
            Damage::TornAt(at) => {
                let mut kept = vec![0; bytes.len()];
                self.visible.read(sector * self.sector_size as u64, &mut kept);
                bytes[at..].copy_from_slice(&kept[at..]);
            }
            Damage::Garbage(seed) => {
                let mut rng = Rng::new(seed, Purpose::Crash);
                for word in bytes.chunks_exact_mut(8) {
                    word.copy_from_slice(&rng.next_u64().to_le_bytes());
                }
            }
        }
        self.wrong.insert(sector);
        self.put(sector, &bytes);
    }
}
