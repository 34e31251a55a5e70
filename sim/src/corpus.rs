//! The corpus: fuzz inputs become regressions, and scenarios become fuzz inputs.

mod check;
mod digests;
mod prune;

use crate::cli::{CorpusCommand, DeviceArg, ExportArgs, ImportArgs};
use crate::{Status, failure, input, say};
use anyhow::{Context, bail};
use blocktwin::disk::Medium;
use blocktwin::lockstep::{
    Budget, FileBacked, Options, Report, Runner, Verdict, quietly, scenarios_for,
};
use blocktwin::scenario::{Scenario, encode, generate_for};
use std::fs;
use std::path::Path;

/// Most seeds that are exported at once.
const MOST_SEEDS: u64 = 100_000;

pub(crate) fn run(command: &CorpusCommand) -> anyhow::Result<Status> {
    match command {
        CorpusCommand::Check(args) => check::run(args),
        CorpusCommand::Record(args) => check::record(args),
        CorpusCommand::Import(args) => import(args),
        CorpusCommand::Export(args) => export(args),
        CorpusCommand::Prune(args) => prune::run(args),
    }
}

fn report(scenario: &Scenario) -> anyhow::Result<Report> {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    Ok(quietly(|| runner.run(scenario, Options::default()))?)
}

/// The smallest scenario with the same kind of divergence.
fn shrunk(found: Scenario) -> anyhow::Result<Scenario> {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let (options, budget) = (Options::default(), Budget::default());
    let shrunk = quietly(|| runner.shrink(&found, options, budget, |_| ()))?;
    Ok(shrunk.map_or(found, |shrunk| shrunk.scenario))
}

fn import(args: &ImportArgs) -> anyhow::Result<Status> {
    let mut status = Status::Passed;
    for path in &args.files {
        status = status.max(import_one(path, &args.directory)?);
    }
    Ok(status)
}

fn import_one(path: &Path, directory: &Path) -> anyhow::Result<Status> {
    let shown = path.display();
    let found = input::scenario(path)?;
    let confirmed = report(&found).with_context(|| format!("{shown}: cannot be run"))?;
    if confirmed.verdict == Verdict::Pass {
        // Perhaps it has been mended since; what passes is as good a regression.
        say(&format!("{shown}: passes"))?;
    }
    let scenario = if confirmed.verdict == Verdict::Pass { found } else { shrunk(found)? };
    let given = report(&scenario)?;
    let name = name(&given.verdict, &given.digest.to_string());
    let saved = failure::save(directory, &name, &scenario, &given)?;
    let command = failure::replay_command(&saved, &DeviceArg::default());
    say(&format!("{shown}: {}, replay with:\n{command}", saved.display()))?;
    Ok(if given.verdict == Verdict::Pass { Status::Passed } else { Status::Diverged })
}

/// What a scenario is called until somebody finds a better name: its verdict, and the beginning of
/// its digest.
fn name(verdict: &Verdict, digest: &str) -> String {
    let what = verdict.kind().map_or_else(|| "passes".to_owned(), |kind| kind.to_string());
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let what: String = what.chars().map(plain).collect();
    let words: Vec<&str> = what.split_whitespace().chain(digest.get(..8)).collect();
    words.join("-")
}

fn export(args: &ExportArgs) -> anyhow::Result<Status> {
    let directory = &args.output;
    fs::create_dir_all(directory).with_context(|| cannot_write(directory))?;
    for path in &args.files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        export_one(&input::scenario(path)?, &directory.join(name.as_ref()))?;
    }
    let seeds = args.seeds.clone().unwrap_or(0..0);
    if seeds.end - seeds.start > MOST_SEEDS {
        bail!("--seeds: more than {MOST_SEEDS} files are no corpus");
    }
    let (profile, accepts) = (args.profile.0, scenarios_for(&FileBacked));
    for seed in seeds {
        let name = format!("{}-{seed}", profile.name());
        export_one(&generate_for(seed, profile, &accepts), &directory.join(name))?;
    }
    Ok(Status::Passed)
}

fn export_one(scenario: &Scenario, path: &Path) -> anyhow::Result<()> {
    let bytes = encode(scenario);
    let bytes = bytes.with_context(|| format!("{}: no fuzz input says that", path.display()))?;
    fs::write(path, bytes).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}
