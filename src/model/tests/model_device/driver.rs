//! One scenario, on a model device and on its twin.

use super::lockstep::{Tally, failure_of, keep};
use super::mistakes::{Mistake, Mistaken};
use super::*;
use crate::disk::CrashPolicy;
use crate::exec::{Halt, Outcome as Ran, RandomSchedule, Runtime};
use crate::model::{Cause, Evidence, OpId, Outcome, Planned, Promises, Request, Twin, Violation};
use crate::scenario::{Op, Scenario, Step};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeSet;
use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};

/// Most bytes of a request that is made.
const LARGEST: u64 = 4 << 20;

/// A device of at most this many bytes is read back whole.
const SMALL: u64 = 32 << 10;

/// Why a power cycle ended.
enum Stop {
    Crash(CrashPolicy),
    Reopen,
    Diverged(Violation),
}

/// A failure that a request is to have.
struct Plan {
    op: OpId,
    failure: Failure,
    planned: Planned,
    /// The twin knows.
    told: bool,
}

struct Inner {
    twin: Twin,
    tally: Tally,
    cursors: Vec<usize>,
    plans: Vec<Plan>,
    stop: Option<Stop>,
    /// Steps that have begun and not ended.
    active: u32,
    /// A client waits for the others, to reopen the device.
    gate: bool,
    waiting: Option<Waker>,
    /// The power has failed, and what is still polled has outlived it.
    outlived: bool,
}

struct Run<'a> {
    scenario: &'a Scenario,
    /// The handle of the machine, which is always of the present.
    machine: RefCell<ModelDevice>,
    mistake: Mistake,
    inner: RefCell<Inner>,
    halt: Halt,
}

/// Runs a scenario on a device with this mistake. Gives what was done, or what was wrong.
pub(super) fn run(scenario: &Scenario, weak: Weak, mistake: Mistake) -> Result<Tally, Violation> {
    let geometry = scenario.device.geometry().unwrap();
    let options = ModelOptions { seed: scenario.schedule, weak };
    let mut runtime = Runtime::new(RandomSchedule::new(scenario.schedule));
    let inner = Inner {
        twin: Twin::new(geometry, false, Promises::none(), scenario.salt),
        tally: Tally { scenarios: 1, ..Tally::default() },
        cursors: vec![0; scenario.clients().into()],
        plans: Vec::new(),
        stop: None,
        active: 0,
        gate: false,
        waiting: None,
        outlived: false,
    };
    let run = Run {
        scenario,
        machine: RefCell::new(ModelDevice::with_options(geometry, options)),
        mistake,
        inner: RefCell::new(inner),
        halt: runtime.halt(),
    };
    while run.cycle(&mut runtime)? {}
    Ok(run.inner.into_inner().tally)
}

impl Run<'_> {
    fn inner(&self) -> RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }

    /// One power cycle. False if it was the last.
    fn cycle(&self, runtime: &mut Runtime<RandomSchedule>) -> Result<bool, Violation> {
        let device = Mistaken::new(self.machine.borrow().clone(), self.mistake);
        let mut executor = runtime.executor();
        for client in 0..self.scenario.clients() {
            executor.spawn("client", self.client(&device, client));
        }
        let ran = executor.run(1_000_000);
        assert!(matches!(ran, Ok(Ran::Finished | Ran::Halted)), "{ran:?}");
        let stop = self.inner().stop.take();
        match stop {
            Some(Stop::Diverged(violation)) => return Err(violation),
            Some(Stop::Crash(policy)) => {
                self.power_fails(policy);
                // Whatever is still in flight is polled on, and has to change nothing.
                self.inner().outlived = true;
                let _ = executor.run(1000);
                drop(executor);
                self.next_cycle()?;
                self.recover()?;
            }
            Some(Stop::Reopen) => {
                drop(executor);
                self.inner().twin.closed_cleanly();
                self.machine.borrow_mut().restart();
                self.inner().twin.reopened();
                self.inner().tally.reopened += 1;
                self.next_cycle()?;
                self.verify()?;
            }
            None => {
                drop(executor);
                if !self.inner().twin.is_closed() {
                    self.verify()?;
                }
                self.power_fails(CrashPolicy::None);
                self.recover()?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn next_cycle(&self) -> Result<(), Violation> {
        let mut inner = self.inner();
        (inner.active, inner.gate, inner.outlived, inner.waiting) = (0, false, false, None);
        inner.plans.clear();
        match inner.stop.take() {
            Some(Stop::Diverged(violation)) => Err(violation),
            _ => Ok(()),
        }
    }

    fn power_fails(&self, policy: CrashPolicy) {
        let mut inner = self.inner();
        self.note_facts(&mut inner);
        let mut machine = self.machine.borrow_mut();
        inner.tally.crashes += 1;
        inner.tally.lossy += u64::from(machine.unsynced_sectors() > 0);
        inner.tally.in_flight += u64::from(inner.active > 1);
        machine.crash_with(keep(policy));
        inner.twin.crash();
        inner.twin.reopened();
    }

    fn recover(&self) -> Result<(), Violation> {
        let changed: Vec<u64> = self.inner().twin.changed().to_vec();
        self.read_back(changed, Twin::recover)?;
        self.inner().twin.recovered()
    }

    fn verify(&self) -> Result<(), Violation> {
        let touched: Vec<u64> = self.inner().twin.touched().into_iter().flatten().collect();
        self.read_back(touched, Twin::verify)
    }

    /// Reads the blocks that hold these sectors, or all of a small device.
    fn read_back(
        &self,
        sectors: Vec<u64>,
        check: fn(&mut Twin, u64, &[u8], &Evidence<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let geometry = self.machine.borrow().geometry();
        let (block, size) = (u64::from(geometry.block_size()), u64::from(geometry.sector_size()));
        let blocks: BTreeSet<u64> = match geometry.size() {
            ..=SMALL => (0..geometry.block_count()).collect(),
            _ => sectors.into_iter().map(|sector| sector * size / block).collect(),
        };
        let machine = self.machine.borrow();
        let mut data = vec![0; usize::try_from(block).unwrap()];
        for at in blocks {
            data.fill(0x5a);
            let read = finish(machine.read(at * block, (&mut data[..]).into()));
            assert_eq!(read, Ok(()), "reading back");
            let mut inner = self.inner();
            inner.tally.read_back += 1;
            check(&mut inner.twin, at * block / size, &data, &Evidence::default())?;
        }
        Ok(())
    }

    /// The twin learns of syncs that have failed, before it learns of what came after.
    fn note_facts(&self, inner: &mut Inner) {
        for plan in &mut inner.plans {
            if !plan.told && plan.planned.met_by().is_some() {
                plan.told = true;
                if matches!(plan.failure, Failure::Read(_) | Failure::Write(_) | Failure::Trim(_)) {
                    continue;
                }
                inner.twin.sync_failed(Some(plan.op), error(5));
                inner.tally.failed[3] += 1;
            }
        }
    }

    fn stop(&self, stop: Stop) {
        self.inner().stop.get_or_insert(stop);
        self.halt.request();
    }

    fn demand(&self, judged: Result<(), Violation>) {
        if let Err(violation) = judged {
            self.stop(Stop::Diverged(violation));
        }
    }

    fn take_step(&self, client: u8) -> Option<(OpId, &Step)> {
        let mut inner = self.inner();
        if inner.gate || inner.outlived {
            return None;
        }
        let steps = &self.scenario.steps;
        let cursor = &mut inner.cursors[usize::from(client)];
        let found = (*cursor..steps.len()).find(|&at| steps[at].client == client);
        *cursor = found.map_or(steps.len(), |at| at + 1);
        inner.active += u32::from(found.is_some());
        found.map(|at| (OpId::try_from(at + 1).unwrap(), &steps[at]))
    }

    async fn client(&self, device: &Mistaken, client: u8) {
        while let Some((op, step)) = self.take_step(client) {
            match (step.op, step.op.request()) {
                (Op::Crash(policy), _) => self.end_cycle(Stop::Crash(policy)).await,
                (_, Some(request)) => self.operation(device, op, step, request).await,
                (_, None) => {
                    self.wait_for_others().await;
                    let undisturbed = Step::new(Op::Close);
                    self.operation(device, op, &undisturbed, Request::Close).await;
                    self.end_cycle(Stop::Reopen).await;
                }
            }
        }
    }

    async fn end_cycle(&self, stop: Stop) {
        self.stop(stop);
        pending::<()>().await;
    }

    async fn wait_for_others(&self) {
        self.inner().gate = true;
        poll_fn(|context| {
            let mut inner = self.inner();
            if inner.active == 1 {
                return Poll::Ready(());
            }
            inner.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn operation(&self, device: &Mistaken, op: OpId, step: &Step, request: Request) {
        let large = request.span().is_some_and(|(_, length)| length > LARGEST);
        let (begun, mut suspended) = (Cell::new(false), 0);
        if !large || matches!(request, Request::Trim { .. }) {
            let mut performing = Box::pin(self.perform(device, op, step, request, &begun));
            let ended = poll_fn(|context| {
                if performing.as_mut().poll(context).is_ready() {
                    return Poll::Ready(None);
                }
                suspended += 1;
                match step.crash_at {
                    Some((at, policy)) if at == suspended => Poll::Ready(Some(Some(policy))),
                    _ if step.drop_at == Some(suspended) => Poll::Ready(Some(None)),
                    _ => Poll::Pending,
                }
            })
            .await;
            match ended {
                None => {}
                Some(Some(policy)) => self.end_cycle(Stop::Crash(policy)).await,
                Some(None) => {
                    // What was dropped is gone before anybody is told.
                    drop(performing);
                    self.cancelled(op, begun.get());
                }
            }
        }
        let mut inner = self.inner();
        inner.active -= 1;
        if inner.active == 1
            && let Some(waker) = inner.waiting.take()
        {
            waker.wake();
        }
    }

    async fn perform(
        &self,
        device: &Mistaken,
        op: OpId,
        step: &Step,
        request: Request,
        begun: &Cell<bool>,
    ) {
        let length = match request {
            Request::Read { length, .. } | Request::Write { length, .. } => length,
            _ => 0,
        };
        let mut data = vec![0x5a; usize::try_from(length).unwrap()];
        {
            let mut inner = self.inner();
            self.note_facts(&mut inner);
            if let Some(failure) = failure_of(step, request) {
                let machine = self.machine.borrow();
                let planned = machine.fail_at(machine.requests(), failure);
                inner.plans.push(Plan { op, failure, planned, told: false });
            }
            inner.twin.begin(op, request);
            begun.set(true);
        }
        let result = match request {
            Request::Read { offset, .. } => device.read(offset, (&mut data[..]).into()).await,
            Request::Write { offset, fua, .. } => {
                self.inner().twin.fill(op, offset, &mut data);
                device.write(offset, data[..].into(), WriteOptions { fua }).await
            }
            Request::Trim { offset, length, fua: false } => device.trim(offset, length).await,
            Request::Trim { offset, length, fua: true } => device.trim_fua(offset, length).await,
            Request::Flush => device.flush().await,
            Request::Barrier => device.barrier().await,
            Request::Drain => device.drain().await,
            Request::Close => device.close().await,
        };
        let read = matches!(request, Request::Read { .. });
        self.ended(op, Outcome::Answered { result, data: if read { &data } else { &[] } });
    }

    fn ended(&self, op: OpId, outcome: Outcome<'_>) {
        let mut inner = self.inner();
        inner.tally.requests += 1;
        if inner.outlived {
            inner.tally.outlived += 1;
            if let Outcome::Answered { result, .. } = outcome {
                assert!(matches!(result, Err(DeviceError::Io { errno: None, .. })), "{result:?}");
            }
            return;
        }
        self.note_facts(&mut inner);
        let Inner { twin, plans, tally, .. } = &mut *inner;
        let met = plans.iter().filter(|it| it.op == op && it.planned.met_by().is_some());
        let causes: Vec<Cause> = met.map(|plan| cause(plan, tally)).collect();
        let judged = twin.end(op, outcome, &Evidence { causes: &causes, ..Evidence::default() });
        drop(inner);
        self.demand(judged);
    }

    fn cancelled(&self, op: OpId, begun: bool) {
        if begun && !self.inner().outlived {
            self.inner().tally.dropped += 1;
            self.ended(op, Outcome::Cancelled);
        }
    }
}

fn cause(plan: &Plan, tally: &mut Tally) -> Cause {
    let (kind, errno, sync) = match plan.failure {
        Failure::Read(errno) => (0, errno, false),
        Failure::Write(errno) => (1, errno, false),
        Failure::Trim(errno) => (2, errno, false),
        _ => return Cause { error: error(5), bytes: None, sync: true },
    };
    tally.failed[kind] += 1;
    Cause { error: error(errno), bytes: None, sync }
}
