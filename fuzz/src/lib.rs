//! What the fuzz targets do: judging a scenario, using transfer buffers, and changing inputs record
//! by record.
#![forbid(unsafe_code)]

mod buffers;
mod mutate;

pub use buffers::buffers;
pub use mutate::{Flavour, crossover, mutate};

use blocktwin::disk::Medium;
use blocktwin::lockstep::{FileBacked, Options, Runner, Subject, Verdict};
use blocktwin::scenario::{Scenario, print};
use std::cell::{Cell, RefCell};

thread_local! {
    /// Set while panics of the device are caught and reported.
    static QUIET: Cell<bool> = const { Cell::new(false) };

    /// Reused, and with it the memory of its disk, its twin and its heaps.
    static RUNNER: RefCell<Runner<FileBacked>> =
        RefCell::new(Runner::new(FileBacked, Medium::Memory));
}

/// Lets a panic of the device become a verdict. libFuzzer's own hook aborts on every panic, caught
/// or not; so this has to come after it, as a target's `init` does.
pub fn init() {
    let aborting = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            aborting(info);
        }
    }));
}

/// Runs a scenario on the real device, in memory.
///
/// # Panics
///
/// As [`judge_on`].
pub fn judge(scenario: &Scenario) {
    RUNNER.with_borrow_mut(|runner| judge_on(runner, scenario));
}

/// Runs a scenario on the device of `runner`.
///
/// # Panics
///
/// If the device diverges, with the sentence that says how.
pub fn judge_on<S: Subject>(runner: &mut Runner<S>, scenario: &Scenario) {
    QUIET.set(true);
    let report = runner.run(scenario, Options::default());
    QUIET.set(false);
    let report = report.expect("memory holds every scenario");
    if let Verdict::Diverged(divergence) = report.verdict {
        let violation = &divergence.violation;
        let op = divergence.op;
        let findings: Vec<String> = violation.findings.iter().map(ToString::to_string).collect();
        panic!(
            "{} in operation #{op}: {}\n{}\n{}",
            violation.kind,
            violation.sentence,
            findings.join("\n"),
            print(scenario)
        );
    }
}
