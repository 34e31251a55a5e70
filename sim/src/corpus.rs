//! The corpus: fuzz inputs become regressions, and scenarios become fuzz inputs.

use crate::cli::{CorpusCommand, DeviceArg, ExportArgs, ImportArgs, PruneArgs};
use crate::zoo::{self, Specimen};
use crate::{Status, failure, github, input, say};
use anyhow::{Context, bail};
use blocktwin::disk::Medium;
use blocktwin::lockstep::{Budget, FileBacked, Options, Report, Runner, Verdict, quietly};
use blocktwin::scenario::{Scenario, decode, encode, generate};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

/// How many files each directory of the corpus holds at least.
const COUNT: &str = "COUNT";

/// The directory of scenarios that show planted bugs.
const KNOWN_BUGS: &str = "known_bugs";

/// The directories of fuzz inputs.
const INPUTS: &str = "fuzz/";

/// Most seeds that are exported at once.
const MOST_SEEDS: u64 = 100_000;

pub(crate) fn run(command: &CorpusCommand) -> anyhow::Result<Status> {
    match command {
        CorpusCommand::Check(args) => check(&args.directory),
        CorpusCommand::Import(args) => import(args),
        CorpusCommand::Export(args) => export(args),
        CorpusCommand::Prune(args) => prune(args),
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
    let profile = args.profile.0;
    for seed in seeds {
        let name = format!("{}-{seed}", profile.name());
        export_one(&generate(seed, profile), &directory.join(name))?;
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

/// Replays every file of every directory that is counted, and compares the number of files.
fn check(root: &Path) -> anyhow::Result<Status> {
    let mut status = Status::Passed;
    for (name, least) in counts(root)? {
        let files = files(&root.join(&name))?;
        let check = if name == KNOWN_BUGS { check_known } else { check_one };
        for path in &files {
            status = status.max(check(path)?);
        }
        say(&format!("{}: {} files, {least} at least", root.join(&name).display(), files.len()))?;
        if files.len() < least {
            status = status.max(Status::Diverged);
        }
    }
    Ok(status)
}

/// The directories that are counted, each with how many files it is to hold at least.
fn counts(root: &Path) -> anyhow::Result<Vec<(String, usize)>> {
    let path = root.join(COUNT);
    let recorded = fs::read_to_string(&path);
    let recorded = recorded.with_context(|| format!("{}: cannot be read", path.display()))?;
    let parse = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    let wrong = |line| format!("{}: \"{line}\" is not a directory and a number", path.display());
    recorded.lines().map(|line| parse(line).with_context(|| wrong(line))).collect()
}

/// Removes fuzz inputs that are the same scenario as a shorter one, and lowers the counts.
fn prune(args: &PruneArgs) -> anyhow::Result<Status> {
    let root = &args.directory;
    let mut counts = counts(root)?;
    for (name, least) in counts.iter_mut().filter(|(name, _)| name.starts_with(INPUTS)) {
        let directory = root.join(&name);
        let left = prune_one(&directory, args.dry_run)?;
        *least = left.min(*least);
    }
    if !args.dry_run {
        let text: String = counts.iter().map(|(name, least)| format!("{name} {least}\n")).collect();
        let path = root.join(COUNT);
        fs::write(&path, text).with_context(|| cannot_write(&path))?;
    }
    Ok(Status::Passed)
}

/// Tells how many files are left.
fn prune_one(directory: &Path, dry_run: bool) -> anyhow::Result<usize> {
    let mut inputs = Vec::new();
    for path in files(directory)? {
        let bytes =
            fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        inputs.push((bytes.len(), path, bytes));
    }
    inputs.sort();
    let mut kept: BTreeMap<Vec<u8>, PathBuf> = BTreeMap::new();
    let before = inputs.len();
    for (_, path, bytes) in inputs {
        // The one encoding of what may have many.
        let scenario = encode(&decode(&bytes)).unwrap_or(bytes);
        match kept.entry(scenario) {
            Entry::Vacant(entry) => drop(entry.insert(path)),
            Entry::Occupied(entry) => {
                say(&format!("{}: the same as {}", path.display(), entry.get().display()))?;
                if !dry_run {
                    fs::remove_file(&path).with_context(|| cannot_write(&path))?;
                }
            }
        }
    }
    let (left, would) = (kept.len(), if dry_run { " would be" } else { "" });
    say(&format!("{}: {} of {before} files{would} pruned", directory.display(), before - left))?;
    Ok(left)
}

/// The files in a directory, in order of their names.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("{}: cannot be read", directory.display());
    let entries = fs::read_dir(directory).with_context(cannot)?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|it| it.path())).collect();
    let mut paths = paths.with_context(cannot)?;
    paths.sort();
    Ok(paths)
}

/// A scenario that shows a planted bug, for which the file is named: it shows that bug, and the
/// real device passes it.
fn check_known(path: &Path) -> anyhow::Result<Status> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let Some(specimen) = zoo::find(&name) else {
        bail!("{}: no planted bug is called \"{name}\"", path.display());
    };
    let scenario = input::scenario(path)?;
    let mut runner = Runner::new(specimen.subject(), Medium::Memory);
    let shown = quietly(|| runner.run(&scenario, Options::default()))?;
    let real = report(&scenario)?;
    let (verdict, digest) = (shown.verdict.expected(), shown.digest.to_string());
    let as_expected =
        scenario.expect.as_ref().is_some_and(|it| it.verdict == verdict && it.digest == digest);
    if as_expected && real.verdict == Verdict::Pass {
        return Ok(Status::Passed);
    }
    differs(path, &shown, Some(specimen))
}

fn check_one(path: &Path) -> anyhow::Result<Status> {
    let scenario = input::scenario(path)?;
    let report = report(&scenario).with_context(|| format!("{}", path.display()))?;
    let (verdict, digest) = (report.verdict.expected(), report.digest.to_string());
    let as_expected = match &scenario.expect {
        Some(expected) => expected.verdict == verdict && expected.digest == digest,
        // Fuzz inputs say nothing: they pass.
        None => report.verdict == Verdict::Pass,
    };
    if as_expected { Ok(Status::Passed) } else { differs(path, &report, None) }
}

/// A file that does not give what it is to give.
fn differs(
    path: &Path,
    report: &Report,
    specimen: Option<&'static Specimen>,
) -> anyhow::Result<Status> {
    let (verdict, digest) = (report.verdict.expected(), report.digest);
    let what = format!("{verdict:?}, digest {digest}");
    let command = failure::replay_command(path, &DeviceArg(specimen));
    say(&format!("{}: {what}; see\n{command}", path.display()))?;
    github::error(Some(path), "not as expected", &format!("{what}; see {command}"));
    Ok(Status::Diverged)
}
