//! What is left of a divergence: a file, and the command that replays it.

use crate::cli::DeviceArg;
use anyhow::Context;
use blocktwin::lockstep::Report;
use blocktwin::scenario::{Expectation, Scenario, print};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Saves the scenario with what it gave, and says where. What is there already under that name is
/// left alone, unless it is the same.
pub(crate) fn save(
    directory: &Path,
    name: &str,
    scenario: &Scenario,
    report: &Report,
) -> anyhow::Result<PathBuf> {
    let text = text(scenario, report);
    fs::create_dir_all(directory).with_context(|| cannot(directory))?;
    let names = (2..).map(|number| format!("{name}-{number}"));
    for name in [name.to_owned()].into_iter().chain(names) {
        let path = directory.join(format!("{name}.ron"));
        let created = File::create_new(&path);
        match created.and_then(|mut file| file.write_all(text.as_bytes())) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                    return Ok(path);
                }
            }
            created => return created.with_context(|| cannot(&path)).map(|()| path),
        }
    }
    unreachable!("there are more names than files")
}

/// Saves the scenario with what it gave, in the place of any that has the name already.
pub(crate) fn replace(
    directory: &Path,
    name: &str,
    scenario: &Scenario,
    report: &Report,
) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.ron"));
    let written =
        fs::create_dir_all(directory).and_then(|()| fs::write(&path, text(scenario, report)));
    written.with_context(|| cannot(&path))
}

fn text(scenario: &Scenario, report: &Report) -> String {
    let expect =
        Expectation { verdict: report.verdict.expected(), digest: report.digest.to_string() };
    print(&Scenario { expect: Some(expect), ..scenario.clone() })
}

fn cannot(path: &Path) -> String {
    format!("{}: the scenario cannot be saved there", path.display())
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
