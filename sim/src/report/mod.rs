//! Reports: what happened in a run, as one page that needs nothing else.
//!
//! A page is a pure function of the scenario, the device and the names that it was asked for by: no
//! times, no paths of this machine. What it shows is put together here; `view.js` only draws it.

pub(crate) mod campaign;
mod data;
mod life;
mod page;
mod sectors;
mod tally;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use tally::Tally;

use crate::cli::{DeviceArg, ReportArgs, ShowArgs};
use crate::{Status, say, wanted, was_to_fail};
use anyhow::Context;
use blocktwin::disk::Medium;
use blocktwin::lockstep::{Options, Report, RunError, Runner, Subject, Verdict, quietly};
use blocktwin::model::Promises;
use blocktwin::scenario::Scenario;
use std::fs;
use std::path::Path;

/// Runs the scenario that `args` name, and writes the page.
pub(crate) fn command(subject: impl Subject, args: &ReportArgs) -> anyhow::Result<Status> {
    let scenario = wanted(&args.which, &subject)?;
    let replay = replay_command(&args.which);
    let shown = Shown { scenario: &scenario, device: args.which.device, replay: &replay };
    let mut runner = Runner::new(subject, Medium::Memory);
    let report = shown.write(&mut runner, &args.output)?;
    let path = args.output.display();
    match &report.verdict {
        Verdict::Pass => {
            say(&format!("{path}: of a scenario that passed, digest {}", report.digest))?;
            was_to_fail(&scenario, args.which.device).map_or(Ok(()), |hint| say(&hint))?;
            Ok(Status::Passed)
        }
        Verdict::Diverged(divergence) => {
            let violation = &divergence.violation;
            say(&format!("{path}: DIVERGED: {}\n  {}", violation.kind, violation.sentence))?;
            Ok(Status::Diverged)
        }
    }
}

/// What a page is about.
pub(crate) struct Shown<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) device: DeviceArg,
    /// How to see it again.
    pub(crate) replay: &'a str,
}

impl Shown<'_> {
    /// Runs the scenario, and writes its page.
    pub(crate) fn write<S: Subject>(
        &self,
        runner: &mut Runner<S>,
        path: &Path,
    ) -> anyhow::Result<Report> {
        let report = self.run(runner).context("the scenario cannot be run")?;
        let page = page::of_run(self, &report);
        fs::write(path, page).with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(report)
    }

    fn run<S: Subject>(&self, runner: &mut Runner<S>) -> Result<Report, RunError> {
        let options = Options { trace: true, sectors: true, ..Options::default() };
        quietly(|| runner.run(self.scenario, options))
    }

    /// What the device promises.
    fn promises(&self) -> Promises {
        self.device.subject().promises()
    }

    /// What the device is called.
    fn device_name(&self) -> &'static str {
        self.device.name()
    }
}

/// How to replay what `which` names. Not by the path of this program, which is nobody else's.
pub(crate) fn replay_command(which: &ShowArgs) -> String {
    let device = which.device;
    match (&which.file, which.seed) {
        (Some(path), _) => words::replay(path, device),
        (None, seed) => {
            let (seed, profile) = (seed.unwrap_or(0), which.profile);
            format!(
                "blocktwin show --seed {seed} --profile {profile}{} > seed-{seed}.ron\n\
                 {}",
                words::device(device),
                words::replay(Path::new(&format!("seed-{seed}.ron")), device)
            )
        }
    }
}
