//! What runs did, in numbers.

use crate::disk::{CallReport, FaultClass, FaultKind};
use crate::model::Checks;
use crate::scenario::Step;

/// How often a class of faults occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCount {
    /// Number of raw calls that met one.
    pub injected: u64,
    /// Number of those that changed what the device answered or read, made it call again, let
    /// another operation overtake it, or lost something.
    pub consequential: u64,
}

/// How often each class of faults occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultCounts([FaultCount; FaultClass::ALL.len()]);

impl FaultCounts {
    /// How often this class occurred.
    pub fn of(&self, class: FaultClass) -> FaultCount {
        self.0[class as usize]
    }

    fn count(&mut self, class: FaultClass, consequential: bool) {
        let count = &mut self.0[class as usize];
        count.injected += 1;
        count.consequential += u64::from(consequential);
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            mine.injected += theirs.injected;
            mine.consequential += theirs.consequential;
        }
    }
}

impl Default for FaultCounts {
    fn default() -> Self {
        Self([FaultCount::default(); FaultClass::ALL.len()])
    }
}

/// What one run, or many, did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Scenarios that were run.
    pub scenarios: u64,
    /// Operations that ended, or were dropped, and were checked.
    pub ops: u64,
    /// Writes and trims that were answered with `Ok`, of one block or more.
    pub changes: u64,
    /// Power failures.
    pub crashes: u64,
    /// Clean closings followed by an opening.
    pub reopens: u64,
    /// Power failures when something was unsynced, so that it could be lost.
    pub unsynced_crashes: u64,
    /// Raw calls.
    pub calls: u64,
    /// Tasks that the device spawned.
    pub tasks: u64,
    /// Tasks of the device's that were alive after it had been closed and dropped.
    pub tasks_after_close: u64,
    /// Raw calls that took effect after the device had been closed.
    pub stray_calls: u64,
    /// Steps of the executor.
    pub steps: u64,
    /// Steps that polled a task which nobody had woken.
    pub needless_polls: u64,
    /// How often each class of faults occurred.
    pub faults: FaultCounts,
    /// How often each clause was checked.
    pub checks: Checks,
}

impl Stats {
    /// Adds what another run did.
    pub fn add(&mut self, other: &Self) {
        self.scenarios += other.scenarios;
        self.ops += other.ops;
        self.changes += other.changes;
        self.crashes += other.crashes;
        self.reopens += other.reopens;
        self.unsynced_crashes += other.unsynced_crashes;
        self.calls += other.calls;
        self.tasks += other.tasks;
        self.tasks_after_close += other.tasks_after_close;
        self.stray_calls += other.stray_calls;
        self.steps += other.steps;
        self.needless_polls += other.needless_polls;
        self.faults.add(&other.faults);
        self.checks.add(&other.checks);
    }

    /// How often this class of faults occurred.
    pub fn faults_of(&self, class: FaultClass) -> FaultCount {
        self.faults.of(class)
    }

    /// An operation has ended, or was dropped.
    pub(super) fn ended(&mut self, report: &CallReport, failed: bool) {
        self.ops += 1;
        self.met(report, failed);
    }

    /// Raw calls have met faults.
    pub(super) fn met(&mut self, report: &CallReport, failed: bool) {
        for fault in &report.met {
            let consequential = match fault.kind {
                kind if kind.surfaces().is_some() => failed,
                kind if kind.may_surface().is_some() => true,
                kind if kind.is_delay() => report.overtaken > 0,
                FaultKind::MisdirectedRead(_) | FaultKind::StaleRead => {
                    !report.unreliable.is_empty()
                }
                FaultKind::TornRead(_) => report.torn_reads > 0,
                kind if kind.is_silent() => true,
                // The others are to be absorbed, by another call.
                _ => report.calls > fault.call + 1,
            };
            self.faults.count(fault.kind.class(), consequential);
        }
    }

    /// The future of this step was dropped.
    pub(super) fn dropped(&mut self, step: &Step) {
        if let Some(class) = step.dropped() {
            self.happened(class, true);
        }
    }

    /// Something happened from outside.
    pub(super) fn happened(&mut self, class: FaultClass, consequential: bool) {
        self.faults.count(class, consequential);
    }
}
