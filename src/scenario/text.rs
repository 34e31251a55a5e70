//! Scenarios as text: RON, one line an operation.

use super::{MAX_STEPS, Scenario, Step, VERSION};
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;

/// Most bytes of a text: 64 MiB, which no scenario takes.
pub const MAX_TEXT: usize = 64 << 20;

/// Why a text is no scenario, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

/// All that is read of a text before its version is known.
#[derive(serde::Deserialize)]
#[serde(rename = "Scenario")]
struct Header {
    version: u32,
}

/// Reads a scenario.
///
/// ```
/// use blocktwin::scenario::{generate, parse, print, Profile};
///
/// let scenario = generate(7, Profile::Default);
/// assert_eq!(parse(&print(&scenario))?, scenario);
/// assert!(parse("(version: 1, steps: [").is_err());
/// # Ok::<(), blocktwin::scenario::ScenarioError>(())
/// ```
///
/// # Errors
///
/// Where the text is no scenario, is of another version, or asks for what cannot be: an absurd
/// geometry, too many operations, clients, faults or bytes.
pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    if text.len() > MAX_TEXT {
        let reason = format!("the text has {} bytes: at most {MAX_TEXT}", text.len());
        return Err(ScenarioError { line: 1, column: 1, reason });
    }
    if text.trim().is_empty() {
        return Err(ScenarioError { line: 1, column: 1, reason: "the file is empty".to_owned() });
    }
    let found = ron::from_str::<Header>(text).map_err(|error| located(&error))?.version;
    if found != VERSION {
        let reason = format!("version {found} is unknown; this program reads version {VERSION}");
        return Err(at(text, "version", reason));
    }
    let scenario: Scenario = ron::from_str(text).map_err(|error| located(&error))?;
    if scenario.steps.len() > MAX_STEPS {
        let reason = format!("more than {MAX_STEPS} operations: that many are the most");
        return Err(at(text, "steps", reason));
    }
    Ok(scenario)
}

/// Reads the operations, and keeps one more than there may be.
pub(super) fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    struct Steps;

    impl<'de> Visitor<'de> for Steps {
        type Value = Vec<Step>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of operations")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Step>, A::Error> {
            let mut steps = Vec::new();
            while let Some(step) = list.next_element()? {
                if steps.len() <= MAX_STEPS {
                    steps.push(step);
                }
            }
            Ok(steps)
        }
    }

    deserializer.deserialize_seq(Steps)
}

fn located(error: &ron::error::SpannedError) -> ScenarioError {
    let start = error.span.start;
    ScenarioError { line: start.line, column: start.col, reason: error.code.to_string() }
}

/// An error about the first field of that name.
fn at(text: &str, field: &str, reason: String) -> ScenarioError {
    let begins = |line: &&str| line.trim_start_matches(['(', ' ', '\t']).starts_with(field);
    let found = text.lines().zip(1..).find(|(line, _)| begins(line));
    let found = found.and_then(|(line, number)| Some((number, line.find(field)?)));
    let (line, column) = found.unwrap_or((1, 0));
    ScenarioError { line, column: column + 1, reason }
}

/// Writes a scenario, so that [`parse`] gives the same again.
///
/// # Panics
///
/// Never: plain data can always be written.
pub fn print(scenario: &Scenario) -> String {
    let style = ron::ser::PrettyConfig::new().depth_limit(2).struct_names(false).new_line("\n");
    let options = ron::Options::default();
    let text = options.to_string_pretty(scenario, style);
    text.unwrap_or_else(|error| unreachable!("plain data can always be written: {error}")) + "\n"
}
