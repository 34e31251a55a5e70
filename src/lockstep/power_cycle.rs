//! One power cycle: the clients, and what they and the twin say of each other.

use super::requests::{make, make_and_drop};
use super::scope::{Ended, disturbed, is_never_polled};
use super::stats::Stats;
use super::trace::Log;
use super::waiting::{Doing, Waiting};
use crate::device::{Buffer, Device, DeviceError};
use crate::disk::{CallReport, CrashPolicy, Ending, Fault, Misaligned, SimDisk};
use crate::exec::{self, Halt};
use crate::model::{
    Cause, Data, Evidence, Kind, OpId, Outcome, Promises, Request, Twin, Violation,
};
use crate::scenario::{DeviceSpec, Op, Scenario, Step, Survey};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell, RefMut};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, Waker};

/// What a read buffer holds before it is read into: nothing that the harness ever writes, and not
/// what an earlier run has left there.
pub(super) const UNREAD: u8 = 0x5a;

/// Why a power cycle ended.
pub(super) enum Stop {
    /// Every client has done what it had to.
    Finished,
    /// The power fails, or the process dies.
    Crash(OpId, CrashPolicy),
    /// The device was closed, and is to be opened again.
    Reopen(OpId),
    /// Something is wrong.
    Diverged(OpId, Violation),
}

/// What came of a request, if it was not cut short.
enum Performed {
    /// It has ended, and the twin was told.
    Ended,
    /// Its future was dropped before it was polled.
    NeverPolled,
}

/// A run under way, shared by its clients.
pub(super) struct Session<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) disk: &'a SimDisk,
    pub(super) clients: u8,
    /// More steps than any device needs for one thing or another.
    pub(super) step_limit: u64,
    /// The largest buffer that the heap has to give, in bytes.
    pub(super) largest: usize,
    /// How large the heap is, in bytes.
    heap: u64,
    /// See [`Options::report_media_errors`](super::Options::report_media_errors).
    pub(super) report_media_errors: bool,
    pub(super) promises: Promises,
    /// The medium has silently harmed something in this run.
    harmed: Cell<bool>,
    /// The device's code is running: a panic is the device's.
    in_device: Cell<bool>,
    halt: Halt,
    inner: RefCell<Inner<'a>>,
}

/// What changes during a run.
pub(super) struct Inner<'a> {
    pub(super) twin: &'a mut Twin,
    pub(super) log: Log,
    pub(super) stats: &'a mut Stats,
    /// Of each client, which step it looks at next.
    cursors: SmallVec<[usize; 4]>,
    /// What each client is doing.
    pub(super) doing: Doing,
    stop: Option<Stop>,
    /// Operations that have been taken and not ended.
    active: u32,
    /// Set while a client waits for the others to pause, so that it can reopen the device.
    gate: bool,
    /// Whom to wake when the last operation ends.
    waiting: Option<Waker>,
    /// Of the operation that ended last; kept for its memory.
    pub(super) report: Box<CallReport>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        (scenario, survey): (&'a Scenario, &Survey),
        disk: &'a SimDisk,
        twin: &'a mut Twin,
        (log, stats): (Log, &'a mut Stats),
        (promises, report_media_errors): (Promises, bool),
        halt: Halt,
    ) -> Self {
        let clients = survey.clients;
        let step_limit = 100_000 + 1_000 * scenario.steps.len() as u64 + survey.delay;
        let cursors = SmallVec::from_elem(0, clients.into());
        let inner = Inner {
            twin,
            log,
            stats,
            cursors,
            doing: Doing::new(clients),
            stop: None,
            active: 0,
            gate: false,
            waiting: None,
            report: Box::default(),
        };
        let spec = &scenario.device;
        let heap = u64::from(spec.heap).next_multiple_of(spec.block_size.into());
        let (largest, inner) = (largest_buffer(spec), RefCell::new(inner));
        let (harmed, in_device) = (Cell::new(false), Cell::new(false));
        Self {
            scenario,
            disk,
            clients,
            step_limit,
            largest,
            heap,
            report_media_errors,
            promises,
            harmed,
            in_device,
            halt,
            inner,
        }
    }

    /// Runs a future of the device's: the raw calls that it makes are those of `op`, and if it
    /// panics, that is the device's fault.
    pub(super) fn device<T>(
        &self,
        op: OpId,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = T> {
        self.in_device.set(false);
        poll_fn(move |context| {
            let before = self.disk.enter(op);
            let polled = self.in_device(|| future.as_mut().poll(context));
            self.disk.enter(before);
            polled
        })
    }

    /// The device is about to make a future, in place: a panic is its fault from now on, until the
    /// future is handed to [`device`](Self::device).
    fn enter_device(&self) {
        self.in_device.set(true);
    }

    /// Runs code of the device's.
    pub(super) fn in_device<T>(&self, code: impl FnOnce() -> T) -> T {
        let before = self.in_device.replace(true);
        let done = code();
        self.in_device.set(before);
        done
    }

    /// Whether a panic that was caught came out of code of the device's.
    pub(super) fn has_panicked_in_device(&self) -> bool {
        self.in_device.get()
    }

    pub(super) fn inner(&self) -> RefMut<'_, Inner<'a>> {
        self.inner.borrow_mut()
    }

    pub(super) fn into_log(self) -> Log {
        self.inner.into_inner().log
    }

    /// A new power cycle: nothing is under way. Gives why the last one ended, as it did with
    /// `outcome`.
    pub(super) fn next_cycle(&self, outcome: exec::Outcome) -> Stop {
        let mut inner = self.inner();
        let all_done = inner.active == 0;
        (inner.active, inner.gate, inner.waiting) = (0, false, None);
        let stop = inner.stop.take();
        assert!(stop.is_some() || outcome == exec::Outcome::Finished, "a halt without a reason");
        assert!(stop.is_some() || all_done, "clients are done, and operations are not");
        stop.unwrap_or(Stop::Finished)
    }

    /// Ends the power cycle; the first reason counts.
    pub(super) fn stop(&self, stop: Stop) {
        self.inner().stop.get_or_insert(stop);
        self.halt.request();
    }

    /// Passes on what is right; ends the power cycle where something is wrong.
    pub(super) fn demand(&self, op: OpId, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.stop(Stop::Diverged(op, violation));
        }
    }

    /// Raw calls that have been made are events of the run.
    pub(super) fn note_raw_calls(&self, log: &mut Log) {
        let salt = self.scenario.salt;
        self.disk.drain_journal(|raw, sectors| log.raw(raw, self.disk, sectors, salt));
    }

    /// `op` makes no more raw calls: fills its report.
    pub(super) fn end_calls(
        &self,
        op: OpId,
        ending: Ending,
        log: &mut Log,
        report: &mut Box<CallReport>,
    ) {
        let salt = self.scenario.salt;
        self.disk.end_noting(op, ending, report, |raw, sectors| {
            log.raw(raw, self.disk, sectors, salt);
        });
    }

    /// What has happened beneath the device in nobody's name since the last time: the twin and the
    /// counts learn of it before they learn what comes next.
    pub(super) fn note_facts(&self, inner: &mut Inner<'_>) {
        if self.promises.own_calls {
            return;
        }
        for failed in self.disk.take_failed_syncs() {
            let by = Some(failed.caller.op).filter(|&op| op != 0);
            if failed.directory {
                inner.twin.directory_sync_failed();
            } else {
                inner.twin.sync_failed(by, failed.error);
            }
        }
        for kind in self.disk.take_task_faults() {
            inner.stats.happened(kind.class(), true);
            if let Some(what) = kind.absorbed() {
                inner.twin.absorbs(what);
            }
        }
        let unreliable = self.disk.take_unreliable();
        if !unreliable.is_empty() {
            self.harmed.set(true);
            if !self.report_media_errors {
                inner.twin.misread(&unreliable);
            }
        }
    }

    /// Tells what the disk knows, as the twin has to be told, and has that judged.
    pub(super) fn with_evidence<T>(
        &self,
        report: &CallReport,
        judge: impl FnOnce(&Evidence<'_>) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let promises = &self.promises;
        let met: &[Fault] = if promises.own_calls { &report.met } else { &[] };
        let surfaced = met.iter().filter_map(|fault| fault.kind.surfaces());
        let errors: SmallVec<[DeviceError; 2]> = surfaced.collect();
        let mut syncs = met.iter().filter(|fault| fault.kind.fails_sync());
        let may_surface = met.iter().filter_map(|fault| fault.kind.may_surface());
        // Without a cause, and that is the rule, this allocates nothing.
        let causes: Vec<Cause> = report
            .causes
            .iter()
            .map(|it| Cause { error: it.error, bytes: it.bytes.clone(), sync: it.sync })
            .chain(may_surface.map(|error| Cause { error, bytes: None, sync: false }))
            .collect();
        let excused = promises.excuses_harm() && !self.report_media_errors;
        let judged = judge(&Evidence {
            errors: &errors,
            sync_error: syncs.find_map(|fault| fault.kind.surfaces()),
            failed_sync: report.failed_sync,
            causes: &causes,
            owed: &report.owed,
            absorbable: report.met.iter().find_map(|fault| fault.kind.absorbed()),
            harmed: promises.integrity && self.is_harmed(),
            unmendable: &report.unmendable,
            torn: &report.torn,
            unreliable: if excused { &report.unreliable } else { &[] },
            escaped: report.escaped,
        });
        judged.map_err(|violation| with_misaligned(report.misaligned, violation))
    }

    /// Whether the medium has silently harmed something in this run.
    pub(super) fn is_harmed(&self) -> bool {
        if !self.harmed.get() && self.disk.is_harmed() {
            self.harmed.set(true);
        }
        self.harmed.get()
    }

    /// The next step of a client, unless it has to pause.
    fn take_step(&self, client: u8) -> Option<(OpId, &'a Step)> {
        let mut inner = self.inner();
        if inner.gate {
            return None;
        }
        let cursor = &mut inner.cursors[usize::from(client)];
        let steps = &self.scenario.steps;
        let found = (*cursor..steps.len()).find(|&index| steps[index].client == client);
        *cursor = found.map_or(steps.len(), |index| index + 1);
        let index = found?;
        let op = OpId::try_from(index + 1).expect("a scenario has fewer than 2^32 operations");
        inner.active += 1;
        inner.doing.begin(client, op);
        Some((op, &steps[index]))
    }

    /// What a client does.
    pub(super) async fn client<D: Device>(&self, device: &D, client: u8) {
        while let Some((op, step)) = self.take_step(client) {
            match (step.op, step.op.request()) {
                (Op::Crash(policy), _) => self.end_cycle(Stop::Crash(op, policy)).await,
                (_, Some(request)) => self.operation(device, op, step, request).await,
                (_, None) => self.reopen(device, op, client).await,
            }
        }
    }

    /// Stops, and never goes on.
    async fn end_cycle(&self, stop: Stop) {
        self.stop(stop);
        pending::<()>().await;
    }

    async fn reopen<D: Device>(&self, device: &D, op: OpId, client: u8) {
        self.inner().gate = true;
        self.inner().doing.waits(client, Waiting::Others);
        poll_fn(|context| {
            let mut inner = self.inner();
            // This operation itself is the one that is left.
            if inner.active == 1 {
                return Poll::Ready(());
            }
            inner.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        let undisturbed = Step { client, ..Step::new(Op::Close) };
        self.operation(device, op, &undisturbed, Request::Close).await;
        self.end_cycle(Stop::Reopen(op)).await;
    }

    /// One operation, with what the step does to it.
    async fn operation<D: Device>(&self, device: &D, op: OpId, step: &Step, request: Request) {
        let begun = Cell::new(false);
        // A future that was dropped is gone before anybody is told.
        let ended = {
            let performing = pin!(self.perform(device, op, step, request, &begun));
            let ended = disturbed(step, performing).await;
            // What is dropped here is the device's.
            self.in_device.set(true);
            ended
        };
        self.in_device.set(false);
        match ended {
            Ended::Done(Performed::Ended) => {}
            Ended::Done(Performed::NeverPolled) => {
                self.dropped(op, step, Some(Outcome::NeverPolled));
            }
            Ended::Dropped => self.dropped(op, step, begun.get().then_some(Outcome::Cancelled)),
            Ended::Crashed(policy) => self.end_cycle(Stop::Crash(op, policy)).await,
        }
        let mut inner = self.inner();
        inner.doing.end(step.client);
        inner.active = inner.active.checked_sub(1).expect("an operation ends that had begun");
        if inner.active == 1
            && let Some(waker) = inner.waiting.take()
        {
            waker.wake();
        }
    }

    /// Makes the request, and tells the twin.
    async fn perform<D: Device>(
        &self,
        device: &D,
        op: OpId,
        step: &Step,
        request: Request,
        begun: &Cell<bool>,
    ) -> Performed {
        let data = step.op.data();
        let size = match request {
            Request::Read { length, .. } => length,
            Request::Write { length, .. } if data.zeroes().is_none() => length,
            _ => 0,
        };
        // Declared before the buffer, and so dropped after it.
        let _turn = Turn::new(self, op, size);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // In nobody's name, as the operation begins once it has its buffer.
        self.enter_device();
        let allocated = self.device(0, pin!(device.allocate_buffer(size))).await;
        let refused = allocated.as_ref().err();
        if (size > 0 || refused.is_some()) && !self.check_allocation(op, size, refused) {
            return Performed::Ended;
        }
        let Ok(mut buffer) = allocated else { unreachable!("a refusal ends it") };
        self.disk.begin(op, &step.faults);
        {
            let mut inner = self.inner();
            self.note_facts(&mut inner);
            let Inner { twin, log, doing, .. } = &mut *inner;
            if request == Request::Close && !twin.has_closed() {
                // One that failed may be tried again.
                self.disk.closing();
            }
            doing.waits(step.client, Waiting::Device);
            self.note_raw_calls(log);
            log.began(op, request, data);
            twin.begin_with(op, request, data);
            begun.set(true);
        }
        if is_never_polled(step) {
            self.fill(op, request, data, &mut buffer);
            self.in_device(|| make_and_drop(device, request, data, &mut buffer));
            return Performed::NeverPolled;
        }
        self.enter_device();
        self.fill(op, request, data, &mut buffer);
        let salt = self.scenario.in_pieces.then_some(self.scenario.salt);
        let asked = make(device, request, data, salt, &mut buffer);
        let result = self.device(op, pin!(asked)).await;
        self.ended(op, request, result, buffer.as_slice());
        Performed::Ended
    }

    /// Fills the buffer with what is to be written, or with what nobody has written.
    fn fill(&self, op: OpId, request: Request, data: Data, buffer: &mut Buffer) {
        match request {
            Request::Read { .. } => buffer.as_mut_slice().fill(UNREAD),
            Request::Write { offset, .. } if data.zeroes().is_none() => {
                self.inner().twin.fill(op, offset, buffer.as_mut_slice());
            }
            _ => {}
        }
    }

    /// Whether the operation can go on with the buffer that it has got.
    fn check_allocation(&self, op: OpId, size: usize, refused: Option<&DeviceError>) -> bool {
        let mut inner = self.inner();
        let allocated = inner.twin.allocated(size, self.largest, refused.copied());
        let judged = match refused {
            None => allocated.and_then(|()| inner.twin.given(op, self.heap)),
            Some(_) => allocated,
        };
        if let Some(&error) = refused {
            inner.log.refused(op, error);
            inner.stats.ops += 1;
        }
        drop(inner);
        let right = judged.is_ok();
        self.demand(op, judged);
        right && refused.is_none()
    }

    fn ended(&self, op: OpId, request: Request, result: Result<(), DeviceError>, data: &[u8]) {
        let data = if matches!(request, Request::Read { .. }) { data } else { &[] };
        let mut inner = self.inner();
        self.note_facts(&mut inner);
        let Inner { twin, log, stats, report, .. } = &mut *inner;
        self.end_calls(op, Ending::answered(result.is_ok()), log, report);
        stats.ended(report, result.is_err());
        let span = request.span().filter(|span| span.1 > 0 && request.is_change());
        stats.changes += u64::from(span.is_some() && result.is_ok());
        let outcome = Outcome::Answered { result, data };
        let judged = self.with_evidence(report, |it| twin.end(op, outcome, it));
        let read = result.is_ok() && judged.is_ok() && !data.is_empty();
        log.ended(op, result, if read { twin.seen() } else { &[] });
        let closed = twin.is_closed();
        if request == Request::Close && (twin.has_closed() || !twin.is_closing()) {
            self.disk.closed();
        }
        drop(inner);
        self.demand(op, judged);
        if closed {
            self.demand(op, self.check_stray());
        }
    }

    /// The process has died: the requests under way will never answer.
    pub(super) fn cancel_all(&self) -> Result<(), (OpId, Violation)> {
        let under_way: SmallVec<[OpId; 4]> = self.inner().doing.with_device().collect();
        let cancel = |op| self.cancelled(op, Outcome::Cancelled).map_err(|it| (op, it));
        under_way.into_iter().try_for_each(cancel)
    }

    /// The future of this step was dropped, with this `outcome` if the request had begun.
    fn dropped(&self, op: OpId, step: &Step, outcome: Option<Outcome<'_>>) {
        self.inner().stats.dropped(step);
        if let Some(outcome) = outcome {
            self.demand(op, self.cancelled(op, outcome));
        }
    }

    /// The future of a request is gone, and nobody hears of its answer.
    fn cancelled(&self, op: OpId, outcome: Outcome<'_>) -> Result<(), Violation> {
        let mut inner = self.inner();
        self.note_facts(&mut inner);
        let Inner { twin, log, stats, report, .. } = &mut *inner;
        self.end_calls(op, Ending::Dropped, log, report);
        stats.ended(report, false);
        let judged = self.with_evidence(report, |it| twin.end(op, outcome, it));
        log.cancelled(op);
        judged
    }

    /// A device that promises a clean close makes no raw call after it.
    pub(super) fn check_stray(&self) -> Result<(), Violation> {
        if !self.promises.clean_close || !self.inner().twin.is_closed() {
            return Ok(());
        }
        let Some(stray) = self.disk.stray_call() else { return Ok(()) };
        let call = stray.call.name();
        let by = match stray.caller.task {
            0 => format!("request #{}", stray.caller.op),
            task => format!("task \"{}\"", self.disk.task(task)),
        };
        let sentence = format!("after close had returned, {by} made a raw call: {call}");
        Err(Violation::new(Kind::OutlivesClose, sentence))
    }
}

/// The twin knows who waits for a buffer or has one, for as long as this lives.
struct Turn<'s, 'a> {
    session: &'s Session<'a>,
    op: OpId,
}

impl<'s, 'a> Turn<'s, 'a> {
    fn new(session: &'s Session<'a>, op: OpId, bytes: u64) -> Option<Self> {
        if bytes == 0 {
            return None;
        }
        session.inner().twin.asked(op, bytes);
        Some(Self { session, op })
    }
}

impl Drop for Turn<'_, '_> {
    fn drop(&mut self) {
        self.session.inner().twin.gave_back(self.op);
    }
}

/// The twin knows of no alignment: a raw call that was not aligned is the device's mistake, and no
/// evidence.
#[cold]
fn with_misaligned(call: Option<Misaligned>, violation: Violation) -> Violation {
    match call {
        Some(call) if matches!(violation.kind, Kind::SpuriousError | Kind::WrongError) => {
            Violation { sentence: format!("{}; {call}", violation.sentence), ..violation }
        }
        _ => violation,
    }
}

/// The largest power of two of blocks that the heap holds, in bytes. Worked out here and not asked
/// of the allocator, which is under test too.
fn largest_buffer(spec: &DeviceSpec) -> usize {
    let blocks = spec.heap.div_ceil(spec.block_size);
    (spec.block_size as usize) << blocks.ilog2()
}
