//! A divergence, for the person who has to understand it.

use crate::cli::DeviceArg;
use anyhow::Context;
use blocktwin::lockstep::{Digest, Divergence, Event, Verdict};
use blocktwin::model::OpId;
use blocktwin::scenario::{Expectation, Op, Scenario, Step, print};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// So many events before the end are shown.
const EVENTS: usize = 24;

/// So many operations are listed.
const OPERATIONS: usize = 32;

/// What diverged, in one sentence, with the operations, the sectors and the events around it.
pub(crate) fn describe(scenario: &Scenario, divergence: &Divergence, trace: &[Event]) -> String {
    let mut text = String::new();
    let violation = &divergence.violation;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "DIVERGED: {}\n  {}", violation.kind, violation.sentence);
    if let Some(step) = scenario.steps.get((divergence.op as usize).wrapping_sub(1)) {
        let _ = writeln!(text, "  in operation #{} of client {}", divergence.op, step.client);
    }
    list(&mut text, scenario);
    if !violation.findings.is_empty() {
        let _ = writeln!(text, "\nsectors of {} bytes:", scenario.device.sector_size);
    }
    for finding in &violation.findings {
        let _ = writeln!(text, "  {finding}");
    }
    let shown = &trace[trace.len().saturating_sub(EVENTS)..];
    if !shown.is_empty() {
        let _ = writeln!(text, "\nthe last {} of {} events:", shown.len(), trace.len());
    }
    for event in shown {
        let _ = writeln!(text, "  {event}");
    }
    text
}

/// Lists the operations, one a line, numbered as in a trace.
fn list(text: &mut String, scenario: &Scenario) {
    let _ = writeln!(text, "\n{} operations:", scenario.steps.len());
    for (op, step) in (1..).zip(&scenario.steps).take(OPERATIONS) {
        let client = match scenario.clients() {
            0 | 1 => String::new(),
            _ => format!("client {}  ", step.client),
        };
        let _ = writeln!(text, "  {client}{}", operation(op, step));
    }
    if scenario.steps.len() > OPERATIONS {
        let _ = writeln!(text, "  and {} more", scenario.steps.len() - OPERATIONS);
    }
}

/// One operation with what happens to it, in the words of the trace.
pub(crate) fn operation(op: OpId, step: &Step) -> String {
    let mut line = match (step.op, step.op.request()) {
        (Op::Crash(survivors), _) => Event::Crashed(op, survivors).to_string(),
        (_, Some(request)) => Event::Began(op, request).to_string(),
        (_, None) => format!("#{op:<4} reopen"),
    };
    for fault in &step.faults {
        let _ = write!(line, "   (fault at raw call {}: {:?})", fault.call, fault.kind);
    }
    if let Some(at) = step.drop_at {
        let _ = write!(line, "   (dropped at suspension {at})");
    }
    if let Some((at, survivors)) = step.crash_at {
        let _ = write!(line, "   (power fails at suspension {at}; {survivors:?} survive)");
    }
    line
}

/// Saves the scenario with what it gave, and says where.
pub(crate) fn save(
    directory: &Path,
    name: &str,
    scenario: &Scenario,
    verdict: &Verdict,
    digest: Digest,
) -> anyhow::Result<PathBuf> {
    let mut saved = scenario.clone();
    saved.expect = Some(Expectation { verdict: verdict.expected(), digest: digest.to_string() });
    let path = directory.join(format!("{name}.ron"));
    let cannot = || format!("{}: the scenario cannot be saved there", path.display());
    fs::create_dir_all(directory).with_context(cannot)?;
    fs::write(&path, print(&saved)).with_context(cannot)?;
    Ok(path)
}

/// The command that replays a file on a device.
pub(crate) fn replay_command(path: &Path, device: &DeviceArg) -> String {
    // Cargo tells its children who they are.
    let program = match std::env::var_os("CARGO") {
        Some(_) => "cargo run --release --".to_owned(),
        None => std::env::args().next().unwrap_or_else(|| "blocktwin".to_owned()),
    };
    let device = device.0.map(|it| format!(" --device {}", it.name)).unwrap_or_default();
    format!("{program} replay --trace{device} {}", path.display())
}
