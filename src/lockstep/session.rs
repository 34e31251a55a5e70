//! One power cycle: the clients, and what they and the twin say of each other.

use super::scope::{Ended, scoped};
use super::stats::Stats;
use super::trace::Log;
use crate::device::{Device, DeviceError, WriteOptions};
use crate::disk::{CallReport, FaultClass, SimDisk, Survivors};
use crate::exec::Halt;
use crate::model::{Evidence, OpId, Outcome, Request, Twin, Violation};
use crate::scenario::{DeviceSpec, Op, Scenario, Step};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell, RefMut};
use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};

/// What a read buffer holds before it is read into: nothing that the harness ever writes, and not
/// what an earlier run has left there.
pub(super) const UNREAD: u8 = 0x5a;

/// Why a power cycle ended.
pub(super) enum Stop {
    /// Every client has done what it had to.
    Finished,
    /// The power fails.
    Crash(OpId, Survivors),
    /// The device was closed, and is to be opened again.
    Reopen(OpId),
    /// Something is wrong.
    Diverged(OpId, Violation),
}

/// A run under way, shared by its clients.
pub(super) struct Session<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) disk: &'a SimDisk,
    /// The largest buffer that the heap has to give, in bytes.
    pub(super) largest: usize,
    /// How large the heap is, in bytes.
    heap: u64,
    /// See [`Options::accuse_media`](super::Options::accuse_media).
    pub(super) accuse_media: bool,
    halt: Halt,
    inner: RefCell<Inner<'a>>,
}

/// What changes during a run.
pub(super) struct Inner<'a> {
    pub(super) twin: &'a mut Twin,
    pub(super) log: Log,
    pub(super) stats: Stats,
    /// Of each client, which step it looks at next.
    cursors: SmallVec<[usize; 4]>,
    stop: Option<Stop>,
    /// Operations that have been taken and not ended.
    active: u32,
    /// Set while a client waits for the others to pause, so that it can reopen the device.
    gate: bool,
    /// Whom to wake when the last operation ends.
    waiting: Option<Waker>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        disk: &'a SimDisk,
        twin: &'a mut Twin,
        log: Log,
        accuse_media: bool,
        halt: Halt,
    ) -> Self {
        let cursors = SmallVec::from_elem(0, scenario.clients().into());
        let inner = Inner {
            twin,
            log,
            stats: Stats::default(),
            cursors,
            stop: None,
            active: 0,
            gate: false,
            waiting: None,
        };
        let spec = &scenario.device;
        let heap = u64::from(spec.heap).next_multiple_of(spec.block_size.into());
        let (largest, inner) = (largest_buffer(spec), RefCell::new(inner));
        Self { scenario, disk, largest, heap, accuse_media, halt, inner }
    }

    pub(super) fn inner(&self) -> RefMut<'_, Inner<'a>> {
        self.inner.borrow_mut()
    }

    pub(super) fn into_inner(self) -> Inner<'a> {
        self.inner.into_inner()
    }

    /// A new power cycle: nothing is under way. Gives why the last one ended.
    pub(super) fn next_cycle(&self) -> Stop {
        let mut inner = self.inner();
        (inner.active, inner.gate, inner.waiting) = (0, false, None);
        inner.stop.take().unwrap_or(Stop::Finished)
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
        self.disk.drain_journal(|raw, held| log.raw(raw, held, salt));
    }

    /// `op` makes no more raw calls.
    pub(super) fn end_noting(&self, op: OpId, given_up: bool, log: &mut Log) -> CallReport {
        let salt = self.scenario.salt;
        self.disk.end_noting(op, given_up, |raw, held| log.raw(raw, held, salt))
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
        inner.active += 1;
        Some((OpId::try_from(index + 1).ok()?, &steps[index]))
    }

    /// What a client does.
    pub(super) async fn client<D: Device>(&self, device: &D, client: u8) {
        while let Some((op, step)) = self.take_step(client) {
            match (step.op, step.op.request()) {
                (Op::Crash(survivors), _) => self.end_cycle(Stop::Crash(op, survivors)).await,
                (_, Some(request)) => self.disturbed(device, op, step, request).await,
                (_, None) => self.reopen(device, op).await,
            }
        }
    }

    /// Stops, and never goes on.
    async fn end_cycle(&self, stop: Stop) {
        self.stop(stop);
        pending::<()>().await;
    }

    async fn reopen<D: Device>(&self, device: &D, op: OpId) {
        self.inner().gate = true;
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
        let undisturbed = Step::new(Op::Close);
        self.disturbed(device, op, &undisturbed, Request::Close).await;
        self.end_cycle(Stop::Reopen(op)).await;
    }

    /// One operation, with what the step does to it.
    async fn disturbed<D: Device>(&self, device: &D, op: OpId, step: &Step, request: Request) {
        let begun = Cell::new(false);
        let work = self.perform(device, op, step, request, &begun);
        match scoped(self.disk, op, step, work).await {
            Ended::Done(()) => {}
            Ended::Dropped if begun.get() => self.cancelled(op),
            Ended::Dropped => {}
            Ended::Crashed(survivors) => self.end_cycle(Stop::Crash(op, survivors)).await,
        }
        let mut inner = self.inner();
        inner.active -= 1;
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
    ) {
        let size = match request {
            Request::Read { length, .. } | Request::Write { length, .. } => length,
            _ => 0,
        };
        // Declared before the buffer, and so dropped after it.
        let _turn = Turn::new(self, op, size);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let allocated = device.allocate_buffer(size).await;
        if size > 0 && !self.check_allocation(op, size, allocated.as_ref().err()) {
            return;
        }
        let Ok(mut buffer) = allocated else { return };
        self.disk.begin(op, &step.faults);
        {
            let mut inner = self.inner();
            let Inner { twin, log, .. } = &mut *inner;
            self.note_raw_calls(log);
            log.began(op, request);
            twin.begin(op, request);
            begun.set(true);
        }
        let result = match request {
            Request::Read { offset, .. } => {
                buffer.as_mut_slice().fill(UNREAD);
                device.read(offset, buffer.as_mut()).await
            }
            Request::Write { offset, fua, .. } => {
                self.inner().twin.fill(op, offset, buffer.as_mut_slice());
                device.write(offset, buffer.as_ref(), WriteOptions { fua }).await
            }
            Request::Trim { offset, length } => device.trim(offset, length).await,
            Request::Flush => device.flush().await,
            Request::Barrier => device.barrier().await,
            Request::Close => device.close().await,
        };
        self.ended(op, request, result, buffer.as_slice());
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
        let Inner { twin, log, stats, .. } = &mut *inner;
        let report = self.end_noting(op, false, log);
        stats.ended(&report, result.is_err());
        let outcome = Outcome::Answered { result, data };
        let judged = with_evidence(&report, self.accuse_media, |it| twin.end(op, outcome, it));
        let read = result.is_ok() && judged.is_ok() && !data.is_empty();
        log.ended(op, result, if read { twin.seen() } else { &[] });
        drop(inner);
        self.demand(op, judged);
    }

    fn cancelled(&self, op: OpId) {
        let mut inner = self.inner();
        let Inner { twin, log, stats, .. } = &mut *inner;
        let report = self.end_noting(op, true, log);
        stats.ended(&report, false);
        stats.happened(FaultClass::Dropped, true);
        let judged = with_evidence(&report, false, |it| twin.end(op, Outcome::Cancelled, it));
        log.cancelled(op);
        drop(inner);
        self.demand(op, judged);
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

/// The largest power of two of blocks that the heap holds, in bytes. Worked out here and not asked
/// of the allocator, which is under test too.
fn largest_buffer(spec: &DeviceSpec) -> usize {
    let blocks = spec.heap.div_ceil(spec.block_size);
    (spec.block_size as usize) << blocks.ilog2()
}

/// What the disk knows, as the twin has to be told.
pub(super) fn with_evidence<T>(
    report: &CallReport,
    accuse_media: bool,
    tell: impl FnOnce(&Evidence<'_>) -> T,
) -> T {
    let loud = report.met.iter().filter_map(|fault| fault.kind.surfaces());
    let errors: SmallVec<[DeviceError; 2]> = loud.collect();
    tell(&Evidence {
        errors: &errors,
        sync_failed: report.met.iter().any(|fault| fault.kind.fails_sync()),
        torn: &report.torn,
        unreliable: if accuse_media { &[] } else { &report.unreliable },
        escaped: report.escaped,
    })
}
