//! What is left of a divergence: a file, and the command that replays it.

use crate::cli::DeviceArg;
use anyhow::Context;
use blocktwin::lockstep::{Digest, Verdict};
use blocktwin::scenario::{Expectation, Scenario, print};
use std::fs;
use std::path::{Path, PathBuf};

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
