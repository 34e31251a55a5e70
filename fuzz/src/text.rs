//! Texts of strangers: read, and run if they are scenarios, under the limits.

use blocktwin::disk::Medium;
use blocktwin::lockstep::{FileBacked, Options, RunError, Runner, Verdict, quietly};
use blocktwin::scenario::{parse, print};
use std::cell::RefCell;

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// It is no scenario.
    NoScenario,
    /// It is one, and is refused, as too large or as one that no device serves.
    Refused,
    /// It was run.
    Run,
}

/// More steps no scenario within the limits takes: each of its operations takes some, and so does
/// each of the reads that read back what the limits allow.
const MOST_STEPS: u64 = 20_000_000;

thread_local! {
    static RUNNER: RefCell<Runner<FileBacked>> =
        RefCell::new(Runner::new(FileBacked, Medium::Memory));
}

/// Reads a text, and runs it on the real device in memory if it is a scenario.
///
/// # Panics
///
/// If the text is not printed as it was read, an error of it names no place or takes more than a
/// line, the device diverges, or the run took more steps than the limits allow.
pub fn text(bytes: &[u8]) -> Text {
    let text = String::from_utf8_lossy(bytes);
    let scenario = match parse(&text) {
        Ok(scenario) => scenario,
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1 && !error.reason.is_empty(), "{error}");
            return Text::NoScenario;
        }
    };
    assert_eq!(parse(&print(&scenario)).as_ref(), Ok(&scenario));
    let run =
        RUNNER.with_borrow_mut(|runner| quietly(|| runner.run(&scenario, Options::default())));
    match run {
        Ok(report) => {
            assert_eq!(report.verdict, Verdict::Pass, "{text}");
            assert!(report.stats.steps <= MOST_STEPS, "{} steps: {text}", report.stats.steps);
            Text::Run
        }
        Err(RunError::TooLargeToSimulate(why)) => {
            assert_eq!(scenario.check_size().as_ref(), Err(&why));
            assert_eq!(why.to_string().lines().count(), 1, "{why}");
            Text::Refused
        }
        Err(RunError::NotAccepted(_) | RunError::Geometry(_)) => Text::Refused,
        Err(error) => panic!("{error}: {text}"),
    }
}
