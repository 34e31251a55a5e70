//! A run: power cycles, one after another, with what is read back between them.

use super::opening::{judge_description, judge_opening};
use super::scope::{Ended, scoped};
use super::session::{Inner, Session, Stop, UNREAD, with_evidence};
use super::subject::Subject;
use super::trace::Log;
use super::{Divergence, Options, Report, Verdict};
use crate::device::{BufferAllocator, Device, DeviceError, Geometry};
use crate::disk::{FaultClass, SimDisk, Survivors};
use crate::exec::{ExecError, Outcome, RandomSchedule, Runtime};
use crate::model::{Evidence, Kind, OpId, Twin, Violation};
use crate::scenario::{MAX_CLIENTS, Op, Scenario, Step};
use futures::FutureExt;
use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

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

/// A device of at most so many bytes is read back whole.
const SMALL: u64 = 4 << 10;

/// So many bytes between two places that are read back are read with them. That takes less time
/// than another read, and shows what went astray there.
const GAP: u64 = 4 << 10;

/// What ends a run early.
type Wrong = (OpId, Violation);

/// Runs `scenario` to its verdict; its log lies in `memory`.
pub(super) fn run<S: Subject>(
    subject: &S,
    disk: &SimDisk,
    twin: &mut Twin,
    heap: Arc<BufferAllocator>,
    scenario: &Scenario,
    (options, memory): (Options, &mut Vec<u8>),
) -> Report {
    let mut runtime = Runtime::new(RandomSchedule::new(scenario.schedule));
    let log = Log::new(options.trace, std::mem::take(memory));
    let session = Session::new(scenario, disk, twin, log, options.accuse_media, runtime.halt());
    let verdict = {
        let mut run = Run { subject, heap, session: &session, runtime: &mut runtime };
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let verdict = run.all_cycles();
            verdict.map_err(|(op, violation)| {
                session.inner().log.diverged(op);
                (op, run.diagnose(violation))
            })
        }));
        caught.unwrap_or_else(|panic| Err((0, panicked(&*panic))))
    };
    let Inner { log, mut stats, .. } = session.into_inner();
    let (digest, trace, logged) = log.finish();
    *memory = logged;
    (stats.scenarios, stats.steps) = (1, runtime.steps());
    let verdict = match verdict {
        Ok(()) => Verdict::Pass,
        Err((op, violation)) => Verdict::Diverged(Box::new(Divergence { op, violation })),
    };
    Report { verdict, digest, trace, stats }
}

fn panicked(panic: &(dyn Any + Send)) -> Violation {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Violation::new(Kind::Panic, format!("the device panicked: {}", text.unwrap_or("no message")))
}

/// What a run works with.
pub(super) struct Run<'r, 's, S> {
    subject: &'r S,
    heap: Arc<BufferAllocator>,
    pub(super) session: &'r Session<'s>,
    runtime: &'r mut Runtime<RandomSchedule>,
}

impl<S: Subject> Run<'_, '_, S> {
    fn all_cycles(&mut self) -> Result<(), Wrong> {
        let (mut device, _) = self.open(None)?;
        loop {
            let stop = self.cycle(&device)?;
            self.check_leak(&device)?;
            match stop {
                Stop::Finished => break,
                Stop::Diverged(op, violation) => return Err((op, violation)),
                Stop::Crash(op, survivors) => {
                    drop(device);
                    device = self.crash(op, survivors)?;
                }
                Stop::Reopen(op) => {
                    drop(device);
                    let mut inner = self.session.inner();
                    inner.stats.reopens += 1;
                    inner.twin.put_away();
                    drop(inner);
                    device = self.reopen(op)?;
                }
            }
        }
        if !self.session.inner().twin.is_closed() {
            self.verify(&device)?;
        }
        drop(device);
        self.crash(0, Survivors::None).map(drop)
    }

    /// That of the scenario; what the device says of itself is for the device to get wrong.
    fn geometry(&self) -> Geometry {
        self.session.inner().twin.geometry()
    }

    /// More steps than any device needs.
    fn step_limit(&self) -> u64 {
        100_000 + 1_000 * self.session.scenario.steps.len() as u64
    }

    /// The clients go on until something stops them.
    fn cycle(&mut self, device: &S::Device) -> Result<Stop, Wrong> {
        let (session, limit) = (self.session, self.step_limit());
        let mut executor = self.runtime.executor();
        for (client, name) in (0..session.scenario.clients()).zip(CLIENTS) {
            executor.spawn(name, session.client(device, client));
        }
        let outcome = executor.run(limit);
        drop(executor);
        session.note_raw_calls(&mut session.inner().log);
        outcome.map_err(|error| (0, hang(&error)))?;
        Ok(session.next_cycle())
    }

    /// Runs one future to its end.
    pub(super) fn drive<T>(
        &mut self,
        name: &str,
        future: impl Future<Output = T>,
    ) -> Result<T, Wrong> {
        let (output, limit) = (Cell::new(None), self.step_limit());
        let mut executor = self.runtime.executor();
        executor.spawn(name, future.map(|value| output.set(Some(value))));
        let outcome = executor.run(limit);
        drop(executor);
        match (outcome, output.into_inner()) {
            (Ok(Outcome::Finished), Some(value)) => Ok(value),
            (Err(error), _) => Err((0, hang(&error))),
            (Ok(_), _) => Err((0, Violation::new(Kind::Hang, format!("{name} did not end")))),
        }
    }

    /// The power fails, and the device is opened again and read back.
    fn crash(&mut self, op: OpId, survivors: Survivors) -> Result<S::Device, Wrong> {
        self.power_fails(op, survivors);
        let (device, _) = self.open(Some(op).filter(|&op| op != 0))?;
        self.recover(&device)?;
        Ok(device)
    }

    /// The device was closed, and is opened again and read back.
    fn reopen(&mut self, op: OpId) -> Result<S::Device, Wrong> {
        let (device, crashed) = self.open(Some(op))?;
        if crashed {
            self.recover(&device)?;
        } else {
            self.verify(&device)?;
        }
        Ok(device)
    }

    fn power_fails(&mut self, op: OpId, survivors: Survivors) {
        let session = self.session;
        let lost = session.disk.crash(survivors);
        let mut inner = session.inner();
        session.note_raw_calls(&mut inner.log);
        inner.log.crashed(op, survivors);
        inner.log.holds(&session.disk.take_crashed(), session.scenario.salt);
        inner.stats.crashes += 1;
        inner.stats.happened(FaultClass::Crash, lost > 0);
        inner.twin.crash();
    }

    /// Opens the device. The step `op`, if it is one that opens, disturbs that, once. Tells whether
    /// the power failed meanwhile.
    pub(super) fn open(&mut self, op: Option<OpId>) -> Result<(S::Device, bool), Wrong> {
        let session = self.session;
        let undisturbed = Step::new(Op::Reopen);
        let step = op.and_then(|op| session.scenario.steps.get(op as usize - 1));
        let opens = |step: &&Step| matches!(step.op, Op::Reopen | Op::Crash(_));
        let mut step = step.filter(opens).unwrap_or(&undisturbed);
        let (op, mut crashed) = (op.unwrap_or(0), false);
        loop {
            session.disk.begin(op, &step.faults);
            let (disk, spec) = (session.disk, &session.scenario.device);
            let opening = self.subject.open(disk.file(), spec, Arc::clone(&self.heap));
            let ended = self.drive("opening the device", scoped(disk, op, step, opening))?;
            let report = disk.end(op, matches!(ended, Ended::Dropped));
            step = &undisturbed;
            match ended {
                Ended::Done(opened) => {
                    let failed = opened.as_ref().map(drop);
                    let mut inner = session.inner();
                    let Inner { log, stats, twin, .. } = &mut *inner;
                    session.note_raw_calls(log);
                    log.opened(failed.map_err(|&error| error));
                    stats.met(&report, failed.is_err());
                    let judged =
                        with_evidence(&report, false, |it| judge_opening(failed.err(), it.errors));
                    judged.map_err(|violation| (op, violation))?;
                    if let Ok(device) = opened {
                        judge_description(&device, spec).map_err(|violation| (op, violation))?;
                        twin.reopened();
                        return Ok((device, crashed));
                    }
                }
                Ended::Dropped => {}
                Ended::Crashed(survivors) => {
                    crashed = true;
                    session.inner().stats.happened(FaultClass::CrashInOpen, true);
                    self.power_fails(op, survivors);
                }
            }
        }
    }

    /// Nothing is under way, so the whole heap has to be there at once.
    fn check_leak(&mut self, device: &S::Device) -> Result<(), Wrong> {
        let whole = self.session.largest;
        match device.allocate_buffer(whole).now_or_never() {
            Some(Ok(_)) => Ok(()),
            _ => {
                let sentence = "a transfer buffer never came back: with nothing under way, the \
                                heap is not whole";
                Err((0, Violation::new(Kind::LeakedBuffer, sentence)))
            }
        }
    }

    /// Reads back everything that was ever touched, and all of a small device.
    fn verify(&mut self, device: &S::Device) -> Result<(), Wrong> {
        let geometry = self.geometry();
        let touched = match geometry.size() {
            size if size <= SMALL => vec![geometry.sectors(&(0..size))],
            _ => self.session.inner().twin.touched(),
        };
        self.read_back(device, &touched, Twin::verify)
    }

    /// Reads back everything that changed since the last crash, and all of a small device.
    fn recover(&mut self, device: &S::Device) -> Result<(), Wrong> {
        let geometry = self.geometry();
        let mut inner = self.session.inner();
        let changed = match geometry.size() {
            size if size <= SMALL => vec![geometry.sectors(&(0..size))],
            _ => runs(inner.twin.changed()),
        };
        drop(inner);
        self.read_back(device, &changed, Twin::recover)?;
        self.session.inner().twin.recovered().map_err(|violation| (0, violation))
    }

    /// Reads the blocks around runs of sectors, and has them checked.
    fn read_back(
        &mut self,
        device: &S::Device,
        sectors: &[Range<u64>],
        check: Check,
    ) -> Result<(), Wrong> {
        let session = self.session;
        let block = u64::from(session.scenario.device.block_size);
        let pieces = pieces(&self.geometry(), session.largest as u64, sectors);
        let reading = async {
            for (offset, length) in pieces {
                if read_piece(session, device, offset, length, check).await? {
                    continue;
                }
                // A sector in there cannot be read; its neighbours have to be right all the same.
                for offset in
                    (offset..offset + length).step_by(session.scenario.device.block_size as usize)
                {
                    if !read_piece(session, device, offset, block, check).await? {
                        give_up(session, offset, block);
                    }
                }
            }
            Ok(())
        };
        self.drive("reading back", reading)?.map_err(|violation| (0, violation))
    }
}

/// How the twin checks what was read back.
type Check = fn(&mut Twin, u64, &[u8], &Evidence<'_>) -> Result<(), Violation>;

/// Reads and checks a piece of the device. False where the medium could not read it.
async fn read_piece<D: Device>(
    session: &Session<'_>,
    device: &D,
    offset: u64,
    length: u64,
    check: Check,
) -> Result<bool, Violation> {
    let Ok(size) = usize::try_from(length) else { unreachable!("fits the heap") };
    let mut buffer = device.allocate_buffer(size).await.map_err(unreadable)?;
    buffer.as_mut_slice().fill(UNREAD);
    session.disk.begin(0, &[]);
    let read = device.read(offset, buffer.as_mut()).await;
    let mut inner = session.inner();
    let Inner { twin, log, .. } = &mut *inner;
    let report = session.end_noting(0, false, log);
    let first = offset / u64::from(session.scenario.device.sector_size);
    with_evidence(&report, session.accuse_media, |evidence| match read {
        Err(error) if evidence.errors.contains(&error) => Ok(false),
        Err(error) => Err(unreadable(error)),
        Ok(()) => check(twin, first, buffer.as_slice(), evidence).map(|()| {
            log.read_back(first, twin.seen());
            true
        }),
    })
}

/// A block that cannot be read: its damaged sectors are beyond checking.
fn give_up(session: &Session<'_>, offset: u64, length: u64) {
    let size = u64::from(session.scenario.device.sector_size);
    let sectors = offset / size..(offset + length) / size;
    for sector in sectors.filter(|&sector| session.disk.is_damaged(sector)) {
        session.inner().twin.give_up(sector);
    }
}

fn hang(error: &ExecError) -> Violation {
    Violation::new(Kind::Hang, error.to_string())
}

fn unreadable(error: DeviceError) -> Violation {
    let sentence = format!("reading back failed although nothing was wrong: {error}");
    Violation::new(Kind::SpuriousError, sentence)
}

/// Runs of consecutive numbers in a sorted list.
fn runs(sectors: &[u64]) -> Vec<Range<u64>> {
    let consecutive = sectors.chunk_by(|one, next| one + 1 == *next);
    consecutive.map(|run| run[0]..run[run.len() - 1] + 1).collect()
}

/// The blocks that hold these runs of sectors, each once, as offsets and lengths in bytes of what
/// fits a buffer.
pub(super) fn pieces(geometry: &Geometry, most: u64, sectors: &[Range<u64>]) -> Vec<(u64, u64)> {
    let block = u64::from(geometry.block_size());
    let sector = u64::from(geometry.sector_size());
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    for runs in sectors.chunk_by(|one, next| (next.start - one.end) * sector <= GAP) {
        let done = pieces.last().map_or(0, |(offset, length)| offset + length);
        let mut offset = (runs[0].start * sector / block * block).max(done);
        let end = (runs[runs.len() - 1].end * sector).next_multiple_of(block);
        while offset < end {
            let length = most.min(end - offset);
            pieces.push((offset, length));
            offset += length;
        }
    }
    pieces
}
