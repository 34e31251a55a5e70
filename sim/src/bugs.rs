//! The score: which planted bugs the default campaign finds, and how soon.

use crate::campaign::{in_parallel, now, processors};
use crate::cli::{BugsArgs, Format};
use crate::zoo::{ZooDevice, catalogue};
use crate::{Status, complain, failure, say};
use anyhow::Context;
use blocktwin::disk::Medium;
use blocktwin::lockstep::{Budget, Options, Runner, Shrunk, quietly, scenarios_for};
use blocktwin::model::Kind;
use blocktwin::scenario::{Profile, Scenario, generate_for};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

/// From one base seed to the next.
const BASE: u64 = 1_000_000;

/// So many runs a scenario is shrunk with, at most.
const SHRINKING: u32 = 8_000;

/// How a bug was found from one base seed.
struct Catch {
    scenarios: u64,
    seconds: f64,
    kind: Kind,
    scenario: Scenario,
}

/// What is said of a bug: medians over the base seeds.
struct Row {
    entry: &'static ZooDevice,
    /// None where it was not found from every base seed.
    median: Option<Catch>,
    /// From so many it was.
    found: usize,
    /// Operations of the smallest scenario that shows it.
    shrunk_ops: Option<usize>,
}

pub(crate) fn run(args: &BugsArgs) -> anyhow::Result<Status> {
    if args.list {
        say(list().trim_end())?;
        return Ok(Status::Passed);
    }
    let mut bugs: Vec<&ZooDevice> = catalogue().filter(|it| it.is_bug()).collect();
    if !args.names.is_empty() {
        bugs.clone_from(&args.names);
    }
    let rows = hunt_all(args, &bugs)?;
    say(&match args.format {
        Format::Human => human(&rows),
        Format::Json => json(&rows).to_string(),
    })?;
    let missed: Vec<_> = rows.iter().filter(|row| row.median.is_none()).collect();
    if missed.is_empty() {
        return Ok(Status::Passed);
    }
    let names: Vec<_> = missed.iter().map(|row| row.entry.name).collect();
    complain(&format!("canary not caught: {}", names.join(", ")));
    Ok(Status::Broken)
}

/// Hunts each bug on one processor, and several bugs at once.
fn hunt_all(args: &BugsArgs, bugs: &[&'static ZooDevice]) -> anyhow::Result<Vec<Row>> {
    let (next, progress) = (AtomicUsize::new(0), ProgressBar::new(bugs.len() as u64));
    let hunted = in_parallel(processors(), || {
        let mut rows = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&entry) = bugs.get(index) else { return anyhow::Ok(rows) };
            rows.push((index, hunt(args, entry)?));
            progress.inc(1);
        }
    });
    progress.finish_and_clear();
    let mut rows = Vec::new();
    for hunted in hunted {
        rows.extend(hunted?);
    }
    rows.sort_by_key(|&(index, _)| index);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn hunt(args: &BugsArgs, entry: &'static ZooDevice) -> anyhow::Result<Row> {
    let mut catches = Vec::new();
    for base in 0..args.bases {
        catches.extend(hunt_from(args, entry, base * BASE)?);
    }
    let found = catches.len();
    let honest = catches.iter().find(|it| lies(&it.scenario) == 0).map(|it| it.scenario.clone());
    let complete = found as u64 == args.bases;
    let median = if complete { median(catches) } else { None };
    // What a lying medium does may show a bug in another light than its own.
    let telling = median.as_ref().map(|it| match honest {
        Some(honest) if lies(&it.scenario) > 0 => honest,
        _ => it.scenario.clone(),
    });
    let telling = telling.filter(|_| !args.no_shrink);
    let smallest = telling.map(|it| smallest(entry, &it)).transpose()?;
    let smallest = smallest.flatten();
    if let (Some(directory), Some(Shrunk { scenario, report, .. })) = (&args.save, &smallest) {
        failure::replace(directory, entry.name, scenario, report)?;
    }
    let shrunk_ops = smallest.map(|smallest| smallest.scenario.steps.len());
    Ok(Row { entry, median, found, shrunk_ops })
}

/// How many of its faults are lies of the medium.
fn lies(scenario: &Scenario) -> usize {
    let faults = scenario.steps.iter().flat_map(|step| &step.faults);
    faults.filter(|fault| fault.kind.is_silent()).count()
}

/// The smallest scenario that shows the bug.
fn smallest(entry: &ZooDevice, scenario: &Scenario) -> anyhow::Result<Option<Shrunk>> {
    let mut runner = Runner::new(entry.subject(), Medium::Memory);
    let (options, budget) = (Options::default(), Budget { runs: SHRINKING });
    Ok(quietly(|| runner.shrink(scenario, options, budget, |_| ()))?)
}

fn hunt_from(args: &BugsArgs, entry: &ZooDevice, base: u64) -> anyhow::Result<Option<Catch>> {
    let started = now();
    let accepts = scenarios_for(&entry.subject());
    let mut runner = Runner::new(entry.subject(), Medium::Memory);
    for scenarios in 1..=args.scenarios {
        let seed = base + scenarios - 1;
        let scenario = generate_for(seed, Profile::Default, &accepts);
        let report = quietly(|| runner.run(&scenario, Options::default()));
        let report = report.with_context(|| format!("seed {seed} on device {}", entry.name))?;
        if let Some(kind) = report.verdict.kind() {
            let seconds = started.elapsed().as_secs_f64();
            return Ok(Some(Catch { scenarios, seconds, kind, scenario }));
        }
        if started.elapsed() >= args.budget {
            break;
        }
    }
    Ok(None)
}

/// The median number of scenarios with its verdict, and the median of the seconds.
fn median(mut catches: Vec<Catch>) -> Option<Catch> {
    let middle = catches.len() / 2;
    catches.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    let seconds = catches.get(middle)?.seconds;
    catches.sort_by_key(|it| it.scenarios);
    Some(Catch { seconds, ..catches.swap_remove(middle) })
}

fn list() -> String {
    let mut text = String::new();
    for ZooDevice { name, class, origin, .. } in catalogue() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<41}{:<13}{origin}", class.name());
    }
    text
}

fn human(rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<41}{:<13}{:>9}{:>10}{:>5}  verdict",
        "bug", "class", "scenarios", "seconds", "ops"
    );
    for Row { entry, median, found, shrunk_ops } in rows {
        let (name, class) = (entry.name, entry.class.name());
        let ops = shrunk_ops.map_or_else(|| "-".to_owned(), |ops| ops.to_string());
        let _ = match median {
            Some(Catch { scenarios, seconds, kind, .. }) => {
                writeln!(text, "{name:<41}{class:<13}{scenarios:>9}{seconds:>10.4}{ops:>5}  {kind}")
            }
            None => writeln!(text, "{name:<41}{class:<13}NOT FOUND, but from {found} base seeds"),
        };
    }
    let found = rows.iter().filter(|row| row.median.is_some()).count();
    let _ = write!(text, "\n{found} of {} found", rows.len());
    let mut all: Vec<f64> =
        rows.iter().filter_map(|row| Some(row.median.as_ref()?.seconds)).collect();
    all.sort_by(f64::total_cmp);
    if let Some(seconds) = all.get(all.len() / 2) {
        let _ = write!(text, ", half of them within {seconds:.4} s");
    }
    text
}

fn json(rows: &[Row]) -> Value {
    let bugs: Vec<Value> = rows
        .iter()
        .map(|Row { entry, median, shrunk_ops, .. }| {
            let median = median.as_ref();
            json!({
                "name": entry.name,
                "class": entry.class.name(),
                "found": median.is_some(),
                "scenarios": median.map(|it| it.scenarios),
                "seconds": median.map(|it| it.seconds),
                "shrunk_ops": shrunk_ops,
                "verdict": median.map(|it| it.kind.name()),
            })
        })
        .collect();
    let found = rows.iter().filter(|row| row.median.is_some()).count();
    json!({ "bugs": bugs, "found": found, "total": rows.len() })
}
