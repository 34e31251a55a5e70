//! A divergence, for the person who has to understand it.

use crate::cli::DeviceArg;
use anyhow::Context;
use blocktwin::lockstep::{Digest, Divergence, Event, Verdict};
use blocktwin::scenario::{Expectation, Scenario, print};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// So many events before the end are shown.
const EVENTS: usize = 24;

/// What diverged, in one sentence, with the sectors and the events around it.
pub(crate) fn describe(scenario: &Scenario, divergence: &Divergence, trace: &[Event]) -> String {
    let mut text = String::new();
    let violation = &divergence.violation;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "DIVERGED: {}\n  {}", violation.kind, violation.sentence);
    if let Some(step) = scenario.steps.get((divergence.op as usize).wrapping_sub(1)) {
        let _ = writeln!(text, "  in operation #{} of client {}", divergence.op, step.client);
    }
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
