//! A run: power cycles, one after another, with what is read back between them.

use super::opening::{judge_description, judge_opening};
use super::power_cycle::{Inner, Session, Stop};
use super::quiet;
use super::read_back::SMALL;
use super::scope::{Ended, disturbed, is_never_polled};
use super::stats::Stats;
use super::subject::Subject;
use super::trace::Log;
use super::waiting::{hang, panicked};
use super::{Divergence, Options, Report, Verdict};
use crate::device::{BufferAllocator, Device, DeviceError, Geometry};
use crate::disk::{CrashPolicy, Ending, FaultClass, SimDisk, World};
use crate::exec::{ExecError, Outcome, RandomSchedule, Runtime, yield_now};
use crate::model::{Kind, OpId, Promises, Twin, Violation};
use crate::scenario::{MAX_CLIENTS, Op, Scenario, Step, Survey};
use futures::FutureExt;
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

const CLIENTS: [&str; MAX_CLIENTS as usize] = [
    "client 0",
    "client 1",
    "client 2",
    "client 3",
    "client 4",
    "client 5",
    "client 6",
    "client 7",
    "client 8",
    "client 9",
    "client 10",
    "client 11",
    "client 12",
    "client 13",
    "client 14",
    "client 15",
];

/// A device of at most this many bytes is read back whole at the end of the scenario. Eight
/// blocks of 4096 bytes are among them, so that such a device shrinks as small as any other: what a
/// trim destroyed beside its range shows without another operation.
const SMALL_AT_THE_END: u64 = 32 << 10;

/// Steps in which the tasks of a device have to give back the transfer buffers that they hold.
const RELEASE: u64 = 10_000;

/// Turns that tasks get to end in when the device was closed and dropped.
const GRACE: u32 = 64;

/// Number of times that opening is tried again when silent harm makes it fail.
const ATTEMPTS: u32 = 3;

/// What ends a run early.
pub(super) enum Early {
    /// Something is wrong.
    Diverged(OpId, Violation),
    /// The device cannot be opened any more for what the medium did, and says so.
    Unopenable,
}

impl From<(OpId, Violation)> for Early {
    fn from((op, violation): (OpId, Violation)) -> Self {
        Self::Diverged(op, violation)
    }
}

/// Runs `scenario` to its verdict; its log lies in `memory`.
pub(super) fn run<S: Subject>(
    subject: &S,
    (disk, promises): (&SimDisk, Promises),
    twin: &mut Twin,
    heap: BufferAllocator,
    (scenario, survey): (&Scenario, &Survey),
    (options, memory): (Options, &mut Vec<u8>),
) -> Report {
    let mut runtime = Runtime::new(RandomSchedule::with_needless_polls(scenario.schedule));
    let log = Log::new(options.trace, std::mem::take(memory));
    let judged = (promises, options.report_media_errors);
    let mut stats = Stats { scenarios: 1, ..Stats::default() };
    let facts = (log, &mut stats);
    let session = Session::new((scenario, survey), disk, twin, facts, judged, runtime.halt());
    let world = Rc::new(disk.world(&runtime, heap.clone()));
    let verdict = {
        let mut run = Run {
            subject,
            heap,
            world,
            session: &session,
            runtime: &mut runtime,
            unrecovered: false,
        };
        let caught = quiet::catch(|| {
            run.whole(options).map_err(|early| match early {
                Early::Diverged(op, violation) => {
                    session.inner().log.diverged(op);
                    Some((op, run.diagnose(violation)))
                }
                Early::Unopenable => None,
            })
        });
        caught.unwrap_or_else(|(said, panic)| {
            let task = run.runtime.polling().filter(|name| !is_client(name));
            let in_device = task.is_some() || session.has_panicked_in_device();
            // A raw call of the device's is the harness's own code.
            if !in_device || disk.has_panicked() || quiet::is_own(&said) {
                quiet::pass_on(said, panic);
            }
            Err(Some((0, panicked(&said, task.as_deref()))))
        })
    };
    runtime.kill_tasks();
    let (digest, trace, logged) = session.into_log().finish();
    *memory = logged;
    (stats.steps, stats.needless_polls) = (runtime.steps(), runtime.needless_polls());
    (stats.calls, stats.stray_calls) = (disk.calls(), disk.stray_calls());
    stats.tasks = disk.tasks();
    let verdict = match verdict {
        Ok(()) | Err(None) => Verdict::Pass,
        Err(Some((op, violation))) => Verdict::Diverged(Box::new(Divergence { op, violation })),
    };
    Report { verdict, digest, trace, stats }
}

/// Whether a task of this name is the harness's.
fn is_client(name: &str) -> bool {
    CLIENTS.contains(&name) || DRIVEN.contains(&name)
}

const CREATING: &str = "making the device";
const OPENING: &str = "opening the device";
pub(super) const READING_BACK: &str = "reading back";
const RELEASING: &str = "waiting for the transfer heap";
const ENDING: &str = "letting tasks end";
const DRIVEN: [&str; 5] = [CREATING, OPENING, READING_BACK, RELEASING, ENDING];

/// What a run works with.
pub(super) struct Run<'r, 's, S> {
    subject: &'r S,
    heap: BufferAllocator,
    /// Of the power cycle under way.
    world: Rc<World>,
    pub(super) session: &'r Session<'s>,
    runtime: &'r mut Runtime<RandomSchedule>,
    /// The power has failed, and what that left has not been read back whole.
    pub(super) unrecovered: bool,
}

impl<S: Subject> Run<'_, '_, S> {
    fn whole(&mut self, options: Options) -> Result<(), Early> {
        self.create()?;
        self.session.disk.watch(options.trace && options.sectors);
        self.all_cycles()
    }

    /// Makes what has to be there first.
    fn create(&mut self) -> Result<(), Early> {
        let (session, subject, world) = (self.session, self.subject, Rc::clone(&self.world));
        let spec = &session.scenario.device;
        let creating = pin!(session.in_device(|| subject.create(&world, spec)));
        let making = session.device(0, creating);
        if let Err(error) = self.drive(CREATING, making)? {
            let sentence = format!("the device could not be made although nothing fails: {error}");
            return Err((0, Violation::new(Kind::SpuriousError, sentence)).into());
        }
        if session.promises.in_place {
            self.fill_file();
        }
        session.disk.settle();
        Ok(())
    }

    /// Has the file hold what a used one holds.
    fn fill_file(&self) {
        let device = &self.session.scenario.device;
        let (size, mut inner) = (u64::from(device.sector_size), self.session.inner());
        let mut bytes = vec![0; device.sector_size as usize];
        for run in device.contents() {
            inner.twin.holds(run.clone());
            for sector in run {
                inner.twin.fill(0, sector * size, &mut bytes);
                self.session.disk.put(sector * size, &bytes);
            }
        }
    }

    fn all_cycles(&mut self) -> Result<(), Early> {
        let mut device = self.open(None)?;
        loop {
            let stop = self.cycle(&device)?;
            if matches!(stop, Stop::Crash(..)) {
                self.session.in_device(|| self.runtime.kill_tasks());
            }
            self.check_leak(&device)?;
            self.check_description(&device, 0)?;
            match stop {
                Stop::Finished => break,
                Stop::Diverged(op, violation) => return Err((op, violation).into()),
                Stop::Crash(op, policy) => {
                    self.session.in_device(|| drop(device));
                    device = self.crash(op, policy)?;
                }
                Stop::Reopen(op) => {
                    self.session.in_device(|| drop(device));
                    self.put_away(op)?;
                    device = self.reopen(op)?;
                }
            }
        }
        if !self.session.inner().twin.is_closed() {
            self.verify(&device, SMALL_AT_THE_END)?;
        }
        self.session.in_device(|| drop(device));
        self.crash(0, CrashPolicy::None).map(drop)
    }

    /// Tasks that were told to end may take a few steps to do so.
    fn let_tasks_end(&mut self) {
        if self.runtime.has_tasks() {
            let waiting = async {
                for _ in 0..GRACE {
                    yield_now().await;
                }
            };
            // Whatever keeps them alive is found by who looks at them next.
            let _ = self.drive_for(ENDING, RELEASE, waiting);
        }
    }

    /// The device was closed and dropped; the process goes on.
    fn put_away(&mut self, op: OpId) -> Result<(), Early> {
        let session = self.session;
        self.let_tasks_end();
        session.check_stray().map_err(|violation| (op, violation))?;
        let tasks = self.runtime.tasks();
        let calls = session.disk.calls_under_way();
        if session.promises.clean_close && (!tasks.is_empty() || calls > 0) {
            let names: Vec<String> = tasks.iter().map(|name| format!("\"{name}\"")).collect();
            let sentence = format!(
                "the device was closed and dropped, and {calls} raw calls are under way and these \
                 tasks are alive: {}",
                names.join(", ")
            );
            return Err((op, Violation::new(Kind::OutlivesClose, sentence)).into());
        }
        let mut inner = session.inner();
        session.note_facts(&mut inner);
        inner.stats.reopens += 1;
        inner.stats.tasks_after_close += tasks.len() as u64;
        inner.twin.closed_cleanly();
        drop(inner);
        session.disk.reopened();
        Ok(())
    }

    /// That of the scenario; what the device says of itself is for the device to get wrong.
    pub(super) fn geometry(&self) -> Geometry {
        self.session.inner().twin.geometry()
    }

    /// The clients go on until something stops them.
    fn cycle(&mut self, device: &S::Device) -> Result<Stop, Early> {
        let (session, limit) = (self.session, self.session.step_limit);
        let mut executor = self.runtime.executor();
        for (client, name) in (0..session.clients).zip(CLIENTS) {
            executor.spawn(name, session.client(device, client));
        }
        let outcome = executor.run(limit);
        session.in_device(|| drop(executor));
        let mut inner = session.inner();
        session.note_raw_calls(&mut inner.log);
        session.note_facts(&mut inner);
        drop(inner);
        let outcome = outcome.map_err(|error| self.hang(&error))?;
        Ok(session.next_cycle(outcome))
    }

    fn hang(&self, error: &ExecError) -> (OpId, Violation) {
        let doing = (&self.session.inner().doing, &*self.session.scenario.steps);
        (0, hang(error, doing, &self.runtime.tasks(), self.runtime.foreign_wake()))
    }

    /// Runs one future to its end, with the tasks of the device.
    pub(super) fn drive<T>(
        &mut self,
        name: &'static str,
        future: impl Future<Output = T>,
    ) -> Result<T, Early> {
        self.drive_long(name, 0, future)
    }

    /// As [`drive`](Self::drive), of a future that makes this many requests.
    pub(super) fn drive_long<T>(
        &mut self,
        name: &'static str,
        requests: usize,
        future: impl Future<Output = T>,
    ) -> Result<T, Early> {
        let limit = self.session.step_limit + 1_000 * requests as u64;
        let output = Cell::new(None);
        let outcome = self.drive_for(name, limit, future.map(|value| output.set(Some(value))));
        match (outcome, output.into_inner()) {
            (Ok(Outcome::Finished), Some(value)) => Ok(value),
            (Err(error), _) => {
                let (op, mut violation) = self.hang(&error);
                violation.sentence = format!("{name}: {}", violation.sentence);
                Err((op, violation).into())
            }
            (Ok(outcome), _) => {
                panic!("{name} ended without a result, the run with {outcome:?}")
            }
        }
    }

    fn drive_for(
        &mut self,
        name: &'static str,
        limit: u64,
        future: impl Future<Output = ()>,
    ) -> Result<Outcome, ExecError> {
        let mut executor = self.runtime.executor();
        executor.spawn(name, future);
        executor.run(limit)
    }

    /// The power fails or the process dies, and the device is opened again and read back.
    fn crash(&mut self, op: OpId, policy: CrashPolicy) -> Result<Box<S::Device>, Early> {
        self.dies(op, policy)?;
        self.reopen(op)
    }

    /// The device is opened again and read back.
    fn reopen(&mut self, op: OpId) -> Result<Box<S::Device>, Early> {
        let device = self.open(Some(op).filter(|&op| op != 0))?;
        if self.unrecovered {
            self.recover(&device)?;
        } else {
            self.verify(&device, SMALL)?;
        }
        Ok(device)
    }

    /// The power fails, or the process dies.
    fn dies(&mut self, op: OpId, policy: CrashPolicy) -> Result<(), Early> {
        let session = self.session;
        session.in_device(|| self.runtime.kill_tasks());
        if policy == CrashPolicy::Kill {
            session.cancel_all()?;
        }
        let mut inner = session.inner();
        session.note_raw_calls(&mut inner.log);
        session.note_facts(&mut inner);
        let damages = session.promises.excuses_harm() || session.promises.integrity;
        let policy = if damages { policy } else { policy.within_contract() };
        let crash = session.disk.crash(policy);
        inner.log.crashed(op, policy);
        inner.log.holds(&session.disk.take_crashed(), session.scenario.salt);
        if policy == CrashPolicy::Kill {
            inner.stats.happened(FaultClass::Kill, crash.unsynced);
            if !self.unrecovered {
                inner.twin.killed();
            }
        } else {
            inner.stats.crashes += 1;
            inner.stats.unsynced_crashes += u64::from(crash.unsynced);
            inner.stats.happened(FaultClass::Crash, crash.lost > 0);
            inner.twin.crash();
            self.unrecovered = true;
        }
        inner.doing.clear();
        self.world = Rc::new(session.disk.world(self.runtime, self.heap.clone()));
        Ok(())
    }

    /// Opens the device. The step `op`, if it is one that opens, disturbs that, once.
    pub(super) fn open(&mut self, op: Option<OpId>) -> Result<Box<S::Device>, Early> {
        let session = self.session;
        let undisturbed = Step::new(Op::Reopen);
        let step = op.map(|op| &session.scenario.steps[op as usize - 1]);
        let opens = |step: &&Step| matches!(step.op, Op::Reopen | Op::Crash(_));
        let mut step = step.filter(opens).unwrap_or(&undisturbed);
        let (op, mut attempts) = (op.unwrap_or(0), 0);
        loop {
            session.disk.begin(op, &step.faults);
            let (subject, spec, world) =
                (self.subject, &session.scenario.device, Rc::clone(&self.world));
            let ended = {
                let opening = session.in_device(|| subject.open(&world, spec));
                // A device may be large, and is handed on and on.
                let opening = pin!(opening.map(|opened| opened.map(Box::new)));
                let opening = pin!(session.device(op, opening));
                if is_never_polled(step) {
                    Ended::Dropped
                } else {
                    self.drive(OPENING, disturbed(step, opening))?
                }
            };
            let disturbing = std::mem::replace(&mut step, &undisturbed);
            attempts += 1;
            match ended {
                Ended::Done(opened) => {
                    self.judge_opening(op, opened.as_ref().err().copied())?;
                    if let Ok(device) = opened {
                        self.check_description(&device, op)?;
                        session.inner().twin.reopened();
                        return Ok(device);
                    }
                    if attempts > ATTEMPTS && session.is_harmed() {
                        return Err(Early::Unopenable);
                    }
                    // It is opened again, which ends the faults that stay until then.
                    session.disk.reopened();
                }
                Ended::Dropped => {
                    session.inner().stats.dropped(disturbing);
                    self.end_opening(op, Ending::Dropped);
                    session.disk.reopened();
                }
                Ended::Crashed(policy) => {
                    session.inner().stats.happened(FaultClass::CrashInOpen, true);
                    self.dies(op, policy)?;
                }
            }
        }
    }

    /// An opening makes no more raw calls. A sync that failed in it has failed like any other.
    fn end_opening(&self, op: OpId, ending: Ending) {
        let session = self.session;
        let mut inner = session.inner();
        session.note_facts(&mut inner);
        let Inner { log, report, twin, .. } = &mut *inner;
        session.end_calls(op, ending, log, report);
        if report.failed_sync.is_some() {
            twin.sync_failed_in_opening();
        }
    }

    fn judge_opening(&mut self, op: OpId, failed: Option<DeviceError>) -> Result<(), Early> {
        let session = self.session;
        self.end_opening(op, Ending::answered(failed.is_none()));
        let mut inner = session.inner();
        let Inner { log, stats, report, .. } = &mut *inner;
        log.opened(failed.map_or(Ok(()), Err));
        stats.met(report, failed.is_some());
        let promises = &session.promises;
        let judged = session.with_evidence(report, |it| judge_opening(failed, it, promises));
        judged.map_err(|violation| (op, violation).into())
    }

    /// A device is what it was opened as, and stays so.
    fn check_description(&self, device: &S::Device, op: OpId) -> Result<(), Early> {
        let (session, spec) = (self.session, &self.session.scenario.device);
        let described = session.in_device(|| judge_description(device, spec));
        described.map_err(|violation| (op, violation).into())
    }

    /// Nothing is under way, so the whole heap has to be there at once; or soon, where tasks of the
    /// device's still work with some of it.
    fn check_leak(&mut self, device: &S::Device) -> Result<(), Early> {
        let (session, whole) = (self.session, self.session.largest);
        let allocate = || session.in_device(|| device.allocate_buffer(whole));
        match session.in_device(|| allocate().now_or_never()) {
            Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => {
                let judged = session.inner().twin.allocated(whole, whole, Some(error));
                return judged.map_err(|violation| (0, violation).into());
            }
            None => {}
        }
        if self.runtime.has_tasks() {
            let given = Cell::new(false);
            let waiting = pin!(allocate());
            let waiting = session.device(0, waiting).map(|it| given.set(it.is_ok()));
            if self.drive_for(RELEASING, RELEASE, waiting).is_ok() && given.get() {
                return Ok(());
            }
        }
        let sentence = "a transfer buffer never came back: no request is in flight, but the heap \
                        is not fully free";
        Err((0, Violation::new(Kind::LeakedBuffer, sentence)).into())
    }
}
