//! Runs a scenario: the device and its twin in lockstep.
//!
//! To test a device of your own, implement [`Subject`] for it and call [`check`]. The
//! [guide](crate::guide) has examples to copy from.
//!
//! # How a run goes
//!
//! 1. [`Subject::create`] makes what has to be there, in an empty [`World`](crate::disk::World).
//!    Nothing fails, and what it made is durable.
//! 2. [`Subject::open`] opens the device. From here on raw calls fail as the scenario says.
//! 3. The clients of the scenario are tasks of one executor. Each makes its operations on the
//!    device, and tells the [`Twin`] when an operation begins and how it ended. The tasks of the
//!    device run between them, on the same executor.
//! 4. The power fails when the scenario says. All tasks are dropped, the device is opened again,
//!    and what it holds is read back and compared.
//! 5. At the end, everything that was touched is read back, the power fails once more, and what is
//!    durable is read back too.
//!
//! # How answers are judged
//!
//! Every raw call that fails is a *cause*: when it failed, on which bytes, with which errno. A
//! request that returns an error needs a cause with this errno that failed while the request was in
//! flight, or earlier if no request has told of it yet. It does not matter who made the raw call. A
//! request that returns `Ok` is judged by its effects: reads and crashes show them. A device that
//! [promises](crate::model::Promises) more is held to more.
//!
//! **Invariant:** a run is a pure function of its scenario and its subject.

mod check;
mod diagnose;
mod explain;
mod opening;
mod power_cycle;
mod quiet;
mod read_back;
mod requests;
mod run;
mod scope;
mod shrink;
mod stats;
mod subject;
mod trace;
mod vacuity;
mod waiting;

#[cfg(test)]
mod tests;

pub use check::{Check, check};
pub use explain::{Explanation, Part, describe};
pub use quiet::quietly;
pub use shrink::{Budget, Progress, Shrunk};
pub use stats::{FaultCount, FaultCounts, Stats};
pub use subject::{DynSubject, FileBacked, Subject, scenarios_for};
pub use trace::{Digest, Event, RawEvent, Sector};
pub use vacuity::Vacuity;

use crate::device::{BufferAllocator, BufferSource, Geometry, GeometryError};
use crate::disk::{Medium, Rules, SimDisk};
use crate::model::{Kind, OpId, Promises, Twin, Violation};
use crate::scenario::{Accepts, DeviceSpec, ExpectedVerdict, NotAccepted, Scenario, Survey};
use std::io;

/// What to do besides running.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep the events, for people to read.
    pub trace: bool,
    /// Keep among the events what every sector held, which is slow.
    pub sectors: bool,
    /// Report the silent harm that the medium does as if it were the device's. A device without
    /// checksums then diverges, and the verdict names what the medium did.
    pub report_media_errors: bool,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether the device kept its promises.
    pub verdict: Verdict,
    /// The digest of everything that happened.
    pub digest: Digest,
    /// Everything that happened, where [`Options::trace`] asked for it.
    pub trace: Vec<Event>,
    /// What was done, in numbers.
    pub stats: Stats,
}

/// Whether the device kept its promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Pass,
    /// It did not. A scenario has one verdict, the first divergence.
    Diverged(Box<Divergence>),
}

impl Verdict {
    /// The kind of the divergence, if it is one.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Pass => None,
            Self::Diverged(divergence) => Some(divergence.violation.kind),
        }
    }

    /// The verdict as a scenario's file has it.
    pub fn expected(&self) -> ExpectedVerdict {
        self.kind().map_or(ExpectedVerdict::Pass, ExpectedVerdict::Fail)
    }
}

/// The first thing that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The operation during which it showed; 0 where it was none, as when reading back.
    pub op: OpId,
    /// What is wrong.
    pub violation: Violation,
}

/// Why a scenario could not be run. Says nothing about the device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The medium cannot hold a file that large: ext4, for one, ends at 16 TiB.
    #[error("the medium cannot hold a file that large")]
    TooLarge(#[source] io::Error),
    /// The medium failed: it is full, say.
    #[error("the medium failed")]
    Medium(#[source] io::Error),
    /// There can be no such device.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The scenario would take too much time or memory.
    #[error(transparent)]
    TooLargeToSimulate(#[from] crate::scenario::TooLarge),
    /// The device does not take such a scenario.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// The harness has panicked, and not the device. What it said, with file and line.
    #[error("the harness itself is broken, which says nothing about the device: {0}")]
    Broken(String),
}

impl RunError {
    fn of_medium(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Self::TooLarge(error),
            _ => Self::Medium(error),
        }
    }
}

/// Runs scenarios one after another, in the same memory and on the same medium.
#[derive(Debug)]
pub struct Runner<S> {
    subject: S,
    accepts: Accepts,
    /// But for where the device ends.
    rules: Rules,
    disk: SimDisk,
    twin: Twin,
    /// Of the last log.
    memory: Vec<u8>,
    /// Transfer heaps of the sizes that occurred last.
    heaps: Vec<BufferAllocator>,
}

/// At most this many transfer heaps are kept, and at most this many bytes of them.
const HEAPS: usize = 64;
const HEAP_BYTES: usize = 64 << 20;

impl<S: Subject> Runner<S> {
    /// A runner for devices like `subject` on `medium`.
    pub fn new(subject: S, medium: Medium) -> Self {
        // Replaced before it is used.
        let Ok(geometry) = Geometry::new(512, 512, 1) else { unreachable!("a valid geometry") };
        let twin = Twin::new(geometry, false, Promises::none(), 0);
        let (accepts, disk) = (subject.accepts(), SimDisk::new(medium));
        let rules = subject::rules_of(&subject.promises(), &accepts);
        Self { subject, accepts, rules, disk, twin, memory: Vec::new(), heaps: Vec::new() }
    }

    /// Runs one scenario.
    ///
    /// A panic of the device is a divergence, not a panic; the panic hook still runs. One of the
    /// harness is [`RunError::Broken`].
    ///
    /// # Errors
    ///
    /// Where the scenario could not be run at all.
    pub fn run(&mut self, scenario: &Scenario, options: Options) -> Result<Report, RunError> {
        let run = quiet::catch(|| self.run_uncaught(scenario, options));
        run.unwrap_or_else(|(said, _)| {
            // Whatever was half done is not to be used again.
            self.heaps.clear();
            // In one line, whatever an assertion compares.
            Err(RunError::Broken(said.split_whitespace().collect::<Vec<_>>().join(" ")))
        })
    }

    fn run_uncaught(&mut self, scenario: &Scenario, options: Options) -> Result<Report, RunError> {
        self.accepts.check(scenario)?;
        let survey = Survey::of(&scenario.steps);
        scenario.check_surveyed(&survey)?;
        let spec = &scenario.device;
        let geometry = spec.geometry()?;
        let promises = subject::promises_of(&self.subject, spec.trim, &survey);
        let limit = if promises.in_place { geometry.size() } else { u64::MAX };
        self.disk.format(spec.sector_size, Rules { limit, ..self.rules });
        self.twin.reset(geometry, spec.read_only, promises, scenario.salt);
        let heap = self.heap(spec);
        let (subject, disk, twin) = (&self.subject, &self.disk, &mut self.twin);
        let memory = &mut self.memory;
        let mut report =
            run::run(subject, (disk, promises), twin, heap, (scenario, &survey), (options, memory));
        report.stats.checks = *self.twin.checks();
        if let Some(failure) = self.disk.take_failure() {
            return Err(RunError::of_medium(failure));
        }
        if report.verdict != Verdict::Pass {
            // Buffers may have leaked.
            self.heaps.clear();
        }
        Ok(report)
    }

    /// A transfer heap as `spec` asks for.
    fn heap(&mut self, spec: &DeviceSpec) -> BufferAllocator {
        let block_size = spec.block_size as usize;
        let size = (spec.heap as usize).next_multiple_of(block_size);
        let fits = |heap: &&BufferAllocator| heap.block_size() == block_size && heap.size() == size;
        if let Some(heap) = self.heaps.iter().find(fits) {
            return heap.clone();
        }
        let kept = |heaps: &[BufferAllocator]| heaps.iter().map(BufferAllocator::size).sum();
        while self.heaps.len() >= HEAPS
            || !self.heaps.is_empty() && size.saturating_add(kept(&self.heaps)) > HEAP_BYTES
        {
            self.heaps.remove(0);
        }
        let heap = BufferAllocator::new(block_size, BufferSource::new(size));
        self.heaps.push(heap.clone());
        heap
    }
}

/// Runs one scenario on the real device, in memory.
///
/// ```
/// use blocktwin::lockstep::{run, Verdict};
/// use blocktwin::scenario::{generate, Profile};
///
/// let report = run(&generate(1, Profile::Default))?;
/// assert_eq!(report.verdict, Verdict::Pass);
/// # Ok::<(), blocktwin::lockstep::RunError>(())
/// ```
///
/// # Errors
///
/// As [`Runner::run`].
pub fn run(scenario: &Scenario) -> Result<Report, RunError> {
    Runner::new(FileBacked, Medium::Memory).run(scenario, Options::default())
}
