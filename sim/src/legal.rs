//! The controls: devices without a bug, each under a campaign of its own. None may be accused, and
//! each has to be put to the test.

use crate::campaign::{
    Failure, Findings, Group, catch_interrupts, in_parallel, is_interrupted, processors,
};
use crate::cli::{DeviceArg, Format, LegalArgs, RunArgs};
use crate::signature::Signature;
use crate::summary::{crashes_that_lost, grouped};
use crate::zoo::ZooDevice;
use crate::{Status, complain, distinct, say};
use anyhow::Context;
use blocktwin::disk::Medium;
use blocktwin::lockstep::{DynSubject, Options, Report, Runner, Verdict, quietly, scenarios_for};
use blocktwin::scenario::{Accepts, generate_for};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A worker takes this many seeds of a device at a time.
const BATCH: u64 = 100;

/// Below this directory each accused device has one, with its scenario.
const DIRECTORY: &str = "failures";

/// Why a device is not run.
const REAL_FILE: &str = "it keeps its data in a real file of its own, and never touches its world";

/// What the scenarios of one device gave.
struct Control {
    device: DeviceArg,
    findings: Findings,
    /// Every scenario was run.
    is_whole: bool,
}

pub(crate) fn run(args: &LegalArgs) -> anyhow::Result<Status> {
    if args.seeds.end == u64::MAX {
        anyhow::bail!("--seeds needs an end, as in 0..2000");
    }
    let (run, skipped) = devices(args);
    catch_interrupts()?;
    let controls = campaign(args, &run)?;
    let text = match args.format {
        Format::Human => human(&controls, &skipped),
        Format::Json => json(&controls, &skipped).to_string(),
    };
    let accused: Vec<String> =
        controls.iter().filter_map(|it| it.explanation(args, Path::new(DIRECTORY))).collect();
    match args.format {
        Format::Human => say(&[vec![text], accused].concat().join("\n\n"))?,
        Format::Json => {
            accused.iter().for_each(|one| complain(one));
            say(&text)?;
        }
    }
    let vacuous: Vec<String> = controls.iter().filter_map(Control::vacuous).collect();
    vacuous.iter().for_each(|one| complain(one));
    if controls.is_empty() {
        complain("nothing was tested: every device was skipped");
    }
    Ok(match () {
        () if !vacuous.is_empty() || controls.is_empty() => Status::Broken,
        () if controls.iter().any(|it| it.findings.divergences() > 0) => Status::Diverged,
        () if is_interrupted() => Status::Interrupted,
        () => Status::Passed,
    })
}

/// The devices to run, the real one first, and those to skip.
fn devices(args: &LegalArgs) -> (Vec<DeviceArg>, Vec<DeviceArg>) {
    let all = || DeviceArg::legal().collect();
    let names = if args.names.is_empty() { all() } else { args.names.clone() };
    names.into_iter().partition(|device| !device.0.is_some_and(ZooDevice::leaves_world))
}

/// What all workers share.
struct Campaign<'a> {
    args: &'a LegalArgs,
    devices: &'a [DeviceArg],
    /// The seeds of a device, in parts.
    batches: Vec<Range<u64>>,
    /// How many batches were taken, of all devices, one device after the other.
    taken: AtomicUsize,
    failed: AtomicBool,
    progress: ProgressBar,
    findings: Vec<Mutex<Findings>>,
}

/// Runs the scenarios of all devices, on all processors.
fn campaign(args: &LegalArgs, devices: &[DeviceArg]) -> anyhow::Result<Vec<Control>> {
    let Range { start, end } = args.seeds;
    let step = usize::try_from(BATCH).unwrap_or(usize::MAX);
    let batches = (start..end).step_by(step).map(|at| at..at.saturating_add(BATCH).min(end));
    let total = (end - start).saturating_mul(devices.len() as u64);
    let campaign = Campaign {
        args,
        devices,
        batches: batches.collect(),
        taken: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        progress: progress(total),
        findings: devices.iter().map(|_| Mutex::default()).collect(),
    };
    let jobs = args.jobs.map_or_else(processors, usize::from);
    let worked = in_parallel(jobs, || {
        campaign.work().inspect_err(|_| campaign.failed.store(true, Ordering::Relaxed))
    });
    campaign.progress.finish_and_clear();
    worked.into_iter().collect::<anyhow::Result<()>>()?;
    let controls = devices.iter().zip(campaign.findings).map(|(&device, findings)| {
        let mut findings = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_whole = findings.stats.scenarios == end - start;
        findings.interrupted = !is_whole;
        Control { device, findings, is_whole }
    });
    Ok(controls.collect())
}

/// A bar on a terminal, nothing elsewhere.
fn progress(scenarios: u64) -> ProgressBar {
    let bar = ProgressBar::new(scenarios);
    let template = "{bar:40} {human_pos}/{human_len} scenarios, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// A device, as one worker runs it.
struct Worker {
    device: usize,
    accepts: Accepts,
    runner: Runner<Box<dyn DynSubject>>,
}

impl Campaign<'_> {
    /// What one worker does.
    fn work(&self) -> anyhow::Result<()> {
        let mut worker: Option<Worker> = None;
        loop {
            let at = self.taken.fetch_add(1, Ordering::Relaxed);
            // There is one batch at least.
            let (device, batch) = (at / self.batches.len(), at % self.batches.len());
            if device >= self.devices.len() {
                return Ok(());
            }
            let one = match worker.take().filter(|it| it.device == device) {
                Some(one) => worker.insert(one),
                None => worker.insert(Worker::new(device, self.devices[device])),
            };
            for seed in self.batches[batch].clone() {
                if is_interrupted() || self.failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                self.scenario(one, seed)?;
                self.progress.inc(1);
            }
        }
    }

    fn scenario(&self, worker: &mut Worker, seed: u64) -> anyhow::Result<()> {
        let scenario = generate_for(seed, self.args.profile.0, &worker.accepts);
        let report = quietly(|| worker.runner.run(&scenario, Options::default()));
        let name = self.devices[worker.device].name();
        let report: Report = report.with_context(|| format!("seed {seed} on device {name}"))?;
        let findings = &self.findings[worker.device];
        let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.stats.add(&report.stats);
        if let Verdict::Diverged(divergence) = &report.verdict {
            let signature = Signature::of(&scenario, divergence);
            let first = Failure { seed, scenario, report };
            findings.add_group(signature, Group { seeds: 1, first });
        }
        Ok(())
    }
}

impl Worker {
    fn new(device: usize, which: DeviceArg) -> Self {
        let subject = which.subject();
        let accepts = scenarios_for(&subject);
        Self { device, accepts, runner: Runner::new(subject, Medium::Memory) }
    }
}

impl Control {
    /// That nothing was tested, in a line, if so.
    fn vacuous(&self) -> Option<String> {
        let vacuity = self.findings.vacuity()?;
        Some(format!("device {}: {vacuity}", self.device.name()))
    }

    /// What the device is accused of first, if anything: shrunk, and saved in `directory` for
    /// replay.
    fn explanation(&self, args: &LegalArgs, directory: &Path) -> Option<String> {
        let groups = self.findings.failures.iter();
        let (&signature, first) = groups.min_by_key(|(_, group)| group.first.seed)?;
        let Failure { seed, scenario, report } = &first.first;
        let first = Failure { seed: *seed, scenario: scenario.clone(), report: report.clone() };
        let failures = [(signature, Group { seeds: 1, first })].into();
        let only = Findings { failures, ..Findings::default() };
        let name = self.device.name();
        let run = RunArgs {
            device: self.device,
            profile: args.profile,
            save: Some(directory.join(name)),
            ..RunArgs::default()
        };
        let mut runner = Runner::new(self.device.subject(), Medium::Memory);
        let found = distinct::collect(&mut runner, &only, &run);
        let [found] = &*found else { unreachable!("there is one") };
        Some(format!("device {name}, seed {seed} {}", found.explanation(&run)))
    }

    /// How it ended, in a word.
    fn verdict(&self) -> &'static str {
        match self.findings.divergences() {
            0 if !self.is_whole => "interrupted",
            0 if self.findings.vacuity().is_some() => "VACUOUS",
            0 => "passed",
            _ => "ACCUSED",
        }
    }
}

fn human(controls: &[Control], skipped: &[DeviceArg]) -> String {
    let mut text = format!(
        "{:<41}{:>10}{:>12}{:>14}{:>14}\n",
        "device", "scenarios", "divergences", "raw calls", "lossy crashes"
    );
    for control in controls {
        let Findings { stats, .. } = &control.findings;
        let (name, verdict) = (control.device.name(), control.verdict());
        let divergences = grouped(control.findings.divergences());
        let (scenarios, calls) = (grouped(stats.scenarios), grouped(stats.calls));
        let lost = grouped(crashes_that_lost(stats));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:<41}{scenarios:>10}{divergences:>12}{calls:>14}{lost:>14}  {verdict}"
        );
    }
    for device in skipped {
        let _ = writeln!(text, "{:<41}SKIPPED: {REAL_FILE}", device.name());
    }
    let accused = controls.iter().filter(|it| it.findings.divergences() > 0).count();
    let _ = write!(text, "\n{accused} of {} legal devices accused", controls.len());
    if !skipped.is_empty() {
        let _ = write!(text, "; {} more skipped, which says nothing about them", skipped.len());
    }
    if is_interrupted() {
        text += "; interrupted";
    }
    text
}

fn json(controls: &[Control], skipped: &[DeviceArg]) -> Value {
    let devices: Vec<Value> = controls
        .iter()
        .map(|Control { device, findings, .. }| {
            json!({
                "name": device.name(),
                "scenarios": findings.stats.scenarios,
                "divergences": findings.divergences(),
                "calls": findings.stats.calls,
                "crashes_that_lost": crashes_that_lost(&findings.stats),
                "vacuous": findings.vacuity().map(|vacuity| vacuity.to_string()),
            })
        })
        .collect();
    let skipped: Vec<Value> =
        skipped.iter().map(|it| json!({"name": it.name(), "reason": REAL_FILE})).collect();
    let divergences: u64 = controls.iter().map(|it| it.findings.divergences()).sum();
    let interrupted = is_interrupted();
    json!({
        "devices": devices,
        "skipped": skipped,
        "run": controls.len(),
        "divergences": divergences,
        "interrupted": interrupted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ProfileArg;
    use crate::zoo;

    fn arguments(jobs: u16) -> LegalArgs {
        let (names, profile, format) = (Vec::new(), ProfileArg::default(), Format::Human);
        LegalArgs { names, seeds: 0..250, profile, jobs: Some(jobs), format }
    }

    fn device(name: &str) -> DeviceArg {
        DeviceArg(zoo::find(name))
    }

    /// As if it were legal, so that there is something to accuse.
    #[test]
    fn an_accusation_is_shrunk_and_can_be_replayed_whatever_the_number_of_jobs() {
        let devices = [device("file"), device("copy-off-by-one")];
        let mut told = Vec::new();
        for jobs in [1, 3] {
            let directory = tempfile::tempdir().unwrap();
            let args = arguments(jobs);
            let controls = campaign(&args, &devices).unwrap();
            let [real, wrong] = &*controls else { panic!("{}", controls.len()) };
            assert_eq!((real.verdict(), wrong.verdict()), ("passed", "ACCUSED"));
            assert!(real.explanation(&args, directory.path()).is_none());
            let text = wrong.explanation(&args, directory.path()).unwrap();
            let text = anstream::adapter::strip_str(&text).to_string();
            let place = directory.path().display().to_string();
            let parts = [
                "device copy-off-by-one, seed 0 DIVERGED: ",
                "\n\nshrunk from ",
                "\n\nreplay with:\n",
                " --device copy-off-by-one ",
                &place,
            ];
            let places = parts.map(|part| text.find(part).unwrap_or_else(|| panic!("{text}")));
            assert!(places.is_sorted(), "{text}");
            let table = json(&controls, &[]);
            assert_eq!(table["divergences"], wrong.findings.divergences());
            assert_eq!(table["devices"][0]["divergences"], 0);
            assert!(human(&controls, &[]).ends_with("\n1 of 2 legal devices accused"));
            told.push((table.to_string(), text.replace(&place, "")));
        }
        assert_eq!(told[0], told[1]);
    }

    #[test]
    fn a_device_that_never_touches_its_world_is_vacuous() {
        let controls = campaign(&arguments(2), &[device("by-name")]).unwrap();
        let said = controls[0].vacuous().unwrap();
        assert!(said.starts_with("device by-name: nothing was tested: "), "{said}");
        assert_eq!(controls[0].verdict(), "VACUOUS");
    }
}
