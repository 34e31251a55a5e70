//! Who makes raw calls, which faults these meet, and what that was: facts for the oracle.

use super::direct::Misaligned;
use super::fault::{Call, Fault, FaultClass, FaultKind};
use super::state::State;
use crate::device::DeviceError;
use smallvec::SmallVec;
use std::io;
use std::ops::Range;

/// Who makes a raw call: a request, a task of the device's own, or the harness where both are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The request whose future was being polled.
    pub op: u32,
    /// The task that was being polled, counted from 1 in the order in which tasks were spawned.
    pub task: u32,
}

impl Caller {
    pub(super) fn request(op: u32) -> Self {
        Self { op, task: 0 }
    }

    pub(super) fn task(task: u32) -> Self {
        Self { op: 0, task }
    }

    pub(super) fn pack(self) -> u64 {
        u64::from(self.task) << 32 | u64::from(self.op)
    }

    pub(super) fn unpack(word: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half, as it was packed")]
        let half = |word: u64| word as u32;
        Self { op: half(word), task: half(word >> 32) }
    }
}

/// A raw call that failed: a reason why a request that was under way then may fail too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What the device has to say of it.
    pub error: DeviceError,
    /// Who made the call.
    pub caller: Caller,
    /// The bytes of the file that it was about, where it was about some and not the whole file.
    pub bytes: Option<Range<u64>>,
    /// It was a sync, of a file or of the directory.
    pub sync: bool,
    /// It was about the directory.
    pub directory: bool,
}

impl Cause {
    /// Whether a later request may tell of it. Of a failed sync of a file somebody has to; the twin
    /// sees to that.
    fn may_be_owed(&self) -> bool {
        !self.sync || self.directory
    }
}

/// What the files did to one operation: facts for the oracle.
#[derive(Clone, Debug, Default)]
pub struct CallReport {
    /// How many raw calls the operation made.
    pub calls: u32,
    /// The faults that its calls met, each with the number of its call.
    pub met: SmallVec<[Fault; 2]>,
    /// How a sync failed first since the device was opened, whoever made it. Only with
    /// [`Rules::own_calls`].
    pub failed_sync: Option<DeviceError>,
    /// Raw calls that failed while it was under way, whoever made them. Only where requests do not
    /// make their raw calls themselves: see [`Rules::own_calls`].
    pub causes: Vec<Cause>,
    /// Failures that no request may have told of yet, of calls that tasks made, or requests that
    /// said `Ok` all the same. Only without [`Rules::own_calls`].
    pub owed: Vec<DeviceError>,
    /// Sectors that were left torn under it although the device did what it can.
    pub unmendable: SmallVec<[u64; 2]>,
    /// Sectors that reads found torn for the moment by another operation's unfinished write.
    pub torn: SmallVec<[u64; 2]>,
    /// Sectors of which its reads got what no device could know to be wrong.
    pub unreliable: SmallVec<[u64; 2]>,
    /// The first byte past the limit that it reached for, if it did.
    pub escaped: Option<u64>,
    /// The first transfer that was refused for its alignment: of its own or, without
    /// [`Rules::own_calls`], of anybody's while it was under way.
    pub misaligned: Option<Misaligned>,
    /// How many of its reads saw a part of a write.
    pub torn_reads: u32,
    /// How many of the delays that it met let another operation go ahead.
    pub overtaken: u32,
}

impl CallReport {
    /// As a new one, in the memory of this one.
    fn clear(&mut self) {
        self.met.clear();
        self.causes.clear();
        self.owed.clear();
        self.unmendable.clear();
        self.torn.clear();
        self.unreliable.clear();
        (self.calls, self.escaped, self.misaligned) = (0, None, None);
        (self.torn_reads, self.overtaken) = (0, 0);
        self.failed_sync = None;
    }
}

/// How an operation ended, as far as its raw calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It succeeded.
    Ok,
    /// It answered with an error, and so has told of what failed.
    Failed,
    /// It had no chance to go on, as its future was dropped.
    Dropped,
}

impl Ending {
    /// How an operation ended that has given an answer.
    pub fn answered(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Failed }
    }
}

/// How the files under a device behave, which depends on what the device promises and takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Each request makes its raw calls itself: what fails for one is nobody else's affair.
    pub own_calls: bool,
    /// Where the device's part of its file ends, in bytes, for a device that keeps block *n* at
    /// byte *n* × block size; [`CallReport::escaped`] tells of more. `u64::MAX` for all others.
    pub limit: u64,
    /// A write may stop at any byte; otherwise it stops where a sector ends.
    pub odd_short_writes: bool,
    /// A directory entry is durable only once the directory is synced, as POSIX has it. Otherwise
    /// syncing a file that was created or renamed keeps its entry too, as ext4, xfs and btrfs do.
    pub posix_entries: bool,
    /// The classes of faults that calls meet, by number, a bit each.
    pub faults: u64,
}

impl Default for Rules {
    /// Those of a device that makes its own calls, in a file of its own.
    fn default() -> Self {
        Self {
            own_calls: true,
            limit: u64::MAX,
            odd_short_writes: true,
            posix_entries: false,
            faults: u64::MAX,
        }
    }
}

impl Rules {
    /// Whether calls meet faults of this class.
    pub fn allow(&self, class: FaultClass) -> bool {
        self.faults >> class as u32 & 1 == 1
    }

    /// Calls meet no faults of this class.
    #[must_use]
    pub fn without(self, class: FaultClass) -> Self {
        Self { faults: self.faults & !(1 << class as u32), ..self }
    }
}

/// A sync that failed, told in the order in which the kernel answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedSync {
    /// Who made it.
    pub caller: Caller,
    /// What the device has to say of it.
    pub error: DeviceError,
    /// It was a sync of the directory: what names it has kept is the device's affair, and shows in
    /// what a crash leaves.
    pub directory: bool,
}

/// Most faults of an operation: a bit each in [`Operation::used`].
const MOST_FAULTS: usize = u32::BITS as usize;

/// An operation that is making raw calls.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) op: u32,
    faults: Vec<Fault>,
    /// A bit is set when the fault at this place has been met.
    used: u32,
    /// Boxed, as it is handed over.
    pub(super) report: Box<CallReport>,
    /// Raw calls that tasks have made since it began.
    task_calls: u32,
}

/// A fault that was planned for an operation that has ended without meeting it. A task that works
/// for the operation later may still do so.
#[derive(Clone, Copy, Debug)]
struct Pending {
    kind: FaultKind,
    /// So many calls of tasks are yet to be made before it.
    after: u32,
}

/// The operations under way, the faults that wait for a raw call, and failures yet to be told.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// Those under way come first; the others have ended and are kept for their memory, with a
    /// report that is empty.
    slots: Vec<Operation>,
    under_way: usize,
    pending: Vec<Pending>,
    /// While set, no planned fault is met: the harness is reading back.
    pub(super) calm: bool,
    owed: Vec<DeviceError>,
    pub(super) failed_syncs: Vec<FailedSync>,
    /// How a sync failed first since the device was opened.
    failed_sync: Option<DeviceError>,
    /// Faults that calls of tasks met since they were last handed over.
    pub(super) met_by_tasks: Vec<FaultKind>,
    /// Sectors of which reads by tasks got what no device could know to be wrong.
    pub(super) unreliable: Vec<u64>,
}

impl Operations {
    pub(super) fn clear(&mut self) {
        self.crash();
        self.failed_syncs.clear();
        self.met_by_tasks.clear();
        self.unreliable.clear();
    }

    /// Nothing is under way any more, and nothing is owed.
    pub(super) fn crash(&mut self) {
        self.active().iter_mut().for_each(|operation| operation.report.clear());
        (self.under_way, self.calm) = (0, false);
        self.reopened();
    }

    /// The device was closed, and will be opened again.
    pub(super) fn reopened(&mut self) {
        self.pending.clear();
        self.owed.clear();
        self.failed_sync = None;
    }

    /// A sync has failed like this.
    pub(super) fn sync_failed(&mut self, kind: FaultKind) {
        self.failed_sync = self.failed_sync.or(kind.surfaces());
    }

    fn active(&mut self) -> &mut [Operation] {
        &mut self.slots[..self.under_way]
    }

    pub(super) fn get(&mut self, op: u32) -> Option<&mut Operation> {
        self.active().iter_mut().find(|operation| operation.op == op)
    }

    /// The operations under way, by number.
    pub(super) fn under_way(&self) -> impl Iterator<Item = u32> {
        self.slots[..self.under_way].iter().map(|operation| operation.op)
    }

    pub(super) fn begin(&mut self, op: u32, faults: &[Fault]) {
        let count = faults.len();
        assert!(count <= MOST_FAULTS, "operation {op} is to meet {count} faults: 32 at most");
        assert!(self.get(op).is_none(), "operation {op} begins again without having ended");
        if self.under_way == self.slots.len() {
            self.slots.push(Operation::default());
        }
        let operation = &mut self.slots[self.under_way];
        self.under_way += 1;
        operation.op = op;
        operation.faults.clear();
        operation.faults.extend_from_slice(faults);
        (operation.used, operation.task_calls) = (0, 0);
    }

    /// The operation makes no more raw calls: fills its report, which is empty.
    fn end(&mut self, op: u32, ending: Ending, rules: &Rules, report: &mut Box<CallReport>) {
        let Some(at) = self.active().iter().position(|it| it.op == op) else {
            panic!("operation {op} ends, but it has not begun, or has ended, or the power failed");
        };
        self.under_way -= 1;
        if at != self.under_way {
            self.slots.swap(at, self.under_way);
        }
        let operation = &mut self.slots[self.under_way];
        std::mem::swap(report, &mut operation.report);
        if rules.own_calls {
            report.failed_sync = self.failed_sync;
            return;
        }
        let planned = operation.faults.iter().zip(0_u32..);
        // A delay ends with the operation, if that was not dropped: what a task does for one that
        // was may take effect late.
        let delayed = ending == Ending::Dropped;
        let unmet = planned.filter(|(fault, at)| {
            operation.used >> at & 1 == 0 && (delayed || !fault.kind.is_delay())
        });
        let calls = operation.task_calls;
        self.pending.extend(unmet.map(|(fault, _)| Pending {
            kind: fault.kind,
            after: fault.call.saturating_sub(calls),
        }));
        report.owed.extend_from_slice(&self.owed);
        if ending != Ending::Failed {
            for cause in report.causes.iter().filter(|it| it.caller.op == op && it.may_be_owed()) {
                if !self.owed.contains(&cause.error) {
                    self.owed.push(cause.error);
                }
            }
        }
    }

    /// A task reached for this byte, past the device's part of the file, for whoever is under way.
    pub(super) fn escaped(&mut self, byte: u64) {
        for operation in self.active() {
            operation.report.escaped.get_or_insert(byte);
        }
    }

    /// A read found these sectors torn: so may have whoever is under way.
    pub(super) fn saw_torn(&mut self, torn: &[u64]) {
        for operation in self.active() {
            operation.report.torn.extend_from_slice(torn);
        }
    }

    /// How long the next raw call of a task has to wait before and after it takes effect: as long
    /// as one of the operations under way has planned for it.
    fn delays_of_task(&mut self, rules: &Rules) -> (u32, u32) {
        let mut delays = (0, 0);
        for operation in &mut self.slots[..self.under_way] {
            for (fault, at) in operation.faults.iter().zip(0_u32..) {
                let due = fault.call <= operation.task_calls && operation.used >> at & 1 == 0;
                if due && rules.allow(fault.kind.class()) && fault.kind.add_delay(&mut delays) {
                    operation.used |= 1 << at;
                    self.met_by_tasks.push(fault.kind);
                    return delays;
                }
            }
        }
        let due = |it: &Pending| it.after == 0 && it.kind.is_delay();
        if let Some(at) = self.pending.iter().position(due) {
            let kind = self.pending.remove(at).kind;
            if rules.allow(kind.class()) && kind.add_delay(&mut delays) {
                self.met_by_tasks.push(kind);
            }
        }
        delays
    }

    /// Finds the fault that a raw call meets among those planned for it, and counts the call.
    fn planned(
        &mut self,
        caller: Caller,
        applies: impl Fn(FaultKind) -> bool,
    ) -> Option<FaultKind> {
        if caller.op != 0 || caller.task == 0 {
            let calm = self.calm;
            // It may have ended, if another has taken its call over while that was delayed.
            let operation = self.get(caller.op)?;
            let number = operation.report.calls;
            operation.report.calls += 1;
            let mut faults = operation.faults.iter().zip(0_u32..);
            let (fault, at) = faults.find(|(it, _)| it.call == number && applies(it.kind))?;
            operation.used |= 1 << at;
            return Some(fault.kind).filter(|_| !calm);
        }
        if self.calm {
            return None;
        }
        let mut found = None;
        for operation in &mut self.slots[..self.under_way] {
            let number = operation.task_calls;
            operation.task_calls += 1;
            let faults = operation.faults.iter().zip(0_u32..);
            let mut due = faults.filter(|&(fault, at)| {
                fault.call <= number && operation.used >> at & 1 == 0 && applies(fault.kind)
            });
            if found.is_none()
                && let Some((fault, at)) = due.next()
            {
                operation.used |= 1 << at;
                found = Some(fault.kind);
            }
        }
        for pending in &mut self.pending {
            pending.after = pending.after.saturating_sub(1);
        }
        let due = |it: &Pending| it.after == 0 && applies(it.kind);
        if found.is_none()
            && let Some(at) = self.pending.iter().position(due)
        {
            found = Some(self.pending.remove(at).kind);
        }
        found
    }
}

impl State {
    pub(super) fn operation(&mut self, op: u32) -> Option<&mut Operation> {
        self.operations.get(op)
    }

    /// The operation `op` makes no more raw calls; see [`SimDisk::end`](super::SimDisk::end).
    pub(super) fn end(&mut self, op: u32, ending: Ending, report: &mut Box<CallReport>) {
        report.clear();
        self.operations.end(op, ending, &self.rules, report);
        for at in 0..self.files.len() {
            if self.files[at].has_torn() {
                self.settle_torn(at, op, ending == Ending::Dropped, report);
            }
        }
    }

    /// What `op` has left torn is an unsynced change like any other from now on. It is excused
    /// where no device could have helped it: where `op` was dropped, or the kernel refused the
    /// sector often enough.
    #[cold]
    fn settle_torn(&mut self, at: usize, op: u32, given_up: bool, report: &mut CallReport) {
        let (shared, call) = (!self.rules.own_calls, &mut self.change_calls);
        self.files[at].settle_torn(op, given_up, shared, call, &mut report.unmendable);
    }

    /// Counts a raw call, and finds the fault that it meets. Delays are found before it is made.
    pub(super) fn inject(
        &mut self,
        caller: Caller,
        call: Call,
        length: usize,
    ) -> Option<FaultKind> {
        self.inject_if(caller, call, length, |_| true)
    }

    /// As [`inject`](Self::inject), of a call that meets only what `meets` says.
    pub(super) fn inject_if(
        &mut self,
        caller: Caller,
        call: Call,
        length: usize,
        meets: impl Fn(FaultKind) -> bool,
    ) -> Option<FaultKind> {
        self.calls += 1;
        let rules = self.rules;
        let fault = self.operations.planned(caller, |kind| {
            let applies = rules.allow(kind.class()) && kind.applies(call, length);
            !kind.is_delay() && applies && meets(kind)
        });
        let kind = self.lasting(fault, call, length);
        // The others are met later, if the operation lives to see it; a limit of the size is met
        // where the bytes are written.
        let now = |kind: &FaultKind| {
            !kind.fails_sync() && !kind.is_elsewhere() && kind.class() != FaultClass::SizeLimit
        };
        if let Some(kind) = kind.filter(now) {
            self.injected(caller, kind);
        }
        kind
    }

    /// Counts a raw call that the kernel refuses before anything can happen to it.
    pub(super) fn refuse_misaligned(&mut self, caller: Caller, call: Misaligned) {
        self.calls += 1;
        self.operations.planned(caller, |_| false);
        let own_calls = self.rules.own_calls;
        let whose = |it: &&mut Operation| !own_calls || it.op == caller.op;
        for operation in self.operations.active().iter_mut().filter(whose) {
            operation.report.misaligned.get_or_insert(call);
        }
    }

    /// Faults that hit more than one call.
    fn lasting(
        &mut self,
        fault: Option<FaultKind>,
        call: Call,
        length: usize,
    ) -> Option<FaultKind> {
        let nothing_lasts = self.stays.is_none() && self.full_for == 0 && !self.cannot_punch;
        match fault {
            None if nothing_lasts || self.operations.calm => {}
            Some(FaultKind::EnospcFor(calls)) => self.full_for = calls,
            // It depends on the place of a write: see `limit_size`.
            Some(FaultKind::SizeLimit(_)) => {}
            Some(kind) if kind.stays() => self.stays = Some(kind),
            Some(FaultKind::PunchUnsupported) => self.cannot_punch = true,
            None if self.cannot_punch && call.clears() => {
                return Some(FaultKind::PunchUnsupported);
            }
            None if self.stays.is_some_and(|kind| kind.applies(call, length)) => return self.stays,
            None if self.full_for > 0 && FaultKind::Enospc.applies(call, length) => {
                self.full_for -= 1;
                return Some(FaultKind::EnospcFor(self.full_for));
            }
            _ => {}
        }
        fault
    }

    /// The last raw call of `caller` has met this.
    #[cold]
    pub(super) fn injected(&mut self, caller: Caller, kind: FaultKind) {
        if caller.task != 0 {
            self.operations.met_by_tasks.push(kind);
        }
        if let Some(operation) = self.operation(caller.op) {
            // It has made none itself if all it did was to take a sync over from another.
            let call = operation.report.calls.saturating_sub(1);
            operation.report.met.push(Fault { call, kind });
        }
    }

    /// A raw call has answered with an error: whoever is under way may have failed for it.
    pub(super) fn note_cause(&mut self, cause: &Cause) {
        if self.rules.own_calls {
            return;
        }
        for operation in self.operations.active() {
            if !operation.report.causes.contains(cause) {
                operation.report.causes.push(cause.clone());
            }
        }
        let owed = &mut self.operations.owed;
        if cause.caller.task != 0 && cause.may_be_owed() && !owed.contains(&cause.error) {
            owed.push(cause.error);
        }
        if cause.sync {
            let Cause { caller, error, directory, .. } = *cause;
            self.operations.failed_syncs.push(FailedSync { caller, error, directory });
        }
    }

    /// How long the next raw call of `caller` has to wait before and after it takes effect.
    pub(super) fn delays(&mut self, caller: Caller) -> (u32, u32) {
        let (rules, calm) = (self.rules, self.operations.calm);
        if caller.task != 0 {
            return if calm { (0, 0) } else { self.operations.delays_of_task(&rules) };
        }
        let Some(operation) = self.operation(caller.op) else {
            let op = caller.op;
            assert!(op == 0, "a raw call is made by operation {op}, which is not under way");
            return (0, 0);
        };
        let number = operation.report.calls;
        let mut delays = (0, 0);
        for (fault, at) in operation.faults.iter().zip(0_u32..) {
            if fault.call == number
                && rules.allow(fault.kind.class())
                && !calm
                && fault.kind.add_delay(&mut delays)
            {
                operation.used |= 1 << at;
                operation.report.met.push(*fault);
            }
        }
        delays
    }

    /// A delay of `caller` has passed, during which others made raw calls or not.
    pub(super) fn delayed(&mut self, caller: Caller, overtaken: bool) {
        if caller.task == 0
            && let Some(operation) = self.operation(caller.op)
        {
            operation.report.overtaken += u32::from(overtaken);
        }
    }
}

/// What the device has to say of an error of a raw call; nothing of one that it has to absorb.
pub(super) fn as_cause(error: &io::Error) -> Option<DeviceError> {
    if error.kind() == io::ErrorKind::Interrupted {
        return None;
    }
    let errno = error.raw_os_error()?;
    Some(io::Error::from_raw_os_error(errno).into())
}
