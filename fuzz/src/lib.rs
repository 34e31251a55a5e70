//! What the fuzz targets do: judging a scenario or a text, using transfer buffers, and changing
//! inputs record by record.
#![forbid(unsafe_code)]

mod buffers;
mod mutate;
mod text;

pub use buffers::buffers;
pub use mutate::{Flavour, crossover, mutate};
pub use text::{Text, text};

use blocktwin::disk::Medium;
use blocktwin::lockstep::{FileBacked, Options, RunError, Runner, Subject, Verdict, quietly};
use blocktwin::scenario::{Scenario, print};
use std::cell::RefCell;

thread_local! {
    /// Reused, and with it the memory of its disk, its twin and its heaps.
    static RUNNER: RefCell<Runner<FileBacked>> =
        RefCell::new(Runner::new(FileBacked, Medium::Memory));
}

/// Runs a scenario on the real device, in memory. libFuzzer's own hook aborts on every panic,
/// caught or not, so those of the device are kept from it.
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
/// If the device diverges, with the sentence that says how, or the harness is broken.
pub fn judge_on<S: Subject>(runner: &mut Runner<S>, scenario: &Scenario) {
    let report = quietly(|| runner.run(scenario, Options::default()));
    let report = match report {
        Ok(report) => report,
        // What the bytes say is run as far as the limits go.
        Err(RunError::TooLargeToSimulate(_)) => return,
        Err(error) => panic!("not run: {error}"),
    };
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
