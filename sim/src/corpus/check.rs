//! Replays of the whole corpus: whether each file gives what it is kept for.

#[path = "../../../fuzz/src/buffers.rs"]
#[expect(unreachable_pub, reason = "in the crate of the fuzz targets it is public")]
mod buffers;

use super::digests::{Digests, SUFFIX};
use crate::cli::{CheckArgs, DeviceArg, RecordArgs};
use crate::{Status, complain, failure, github, input, say, zoo};
use anyhow::{Context, bail};
use blocktwin::disk::Medium;
use blocktwin::lockstep::{
    DynSubject, FileBacked, Options, Report, Runner, Subject, Verdict, quietly, scenarios_for,
};
use blocktwin::scenario::{Accepts, Scenario};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// How many files each directory of the corpus holds at least.
pub(super) const COUNT: &str = "COUNT";

/// The directory of scenarios that show planted bugs.
const KNOWN_BUGS: &str = "known_bugs";

/// The directory of inputs that are no scenarios, but uses of a transfer heap.
const ALLOCATOR: &str = "fuzz/allocator";

/// A directory of the corpus.
pub(super) struct Directory {
    pub(super) name: String,
    pub(super) least: usize,
    pub(super) files: Vec<PathBuf>,
}

impl Directory {
    /// Every directory that is counted.
    pub(super) fn all(root: &Path) -> anyhow::Result<Vec<Self>> {
        let count = root.join(COUNT);
        let recorded = fs::read_to_string(&count);
        let recorded = recorded.with_context(|| {
            let count = count.display();
            format!("{count}: cannot be read, and every corpus has one: it counts the files")
        })?;
        let directory = |line: &str| {
            let parts = line.split_once(' ').map(|(name, number)| (name, number.trim().parse()));
            let Some((name, Ok(least))) = parts else {
                bail!("{}: \"{line}\" is not a directory and a number", count.display());
            };
            let files = files(&root.join(name))?;
            Ok(Self { name: name.to_owned(), least, files })
        };
        recorded.lines().map(directory).collect()
    }

    /// Whether its files are scenarios that say nothing of what they give.
    pub(super) fn has_digests(&self) -> bool {
        self.name.starts_with("fuzz/") && self.name != ALLOCATOR
    }

    fn digests(&self, root: &Path) -> PathBuf {
        root.join(format!("{}{SUFFIX}", self.name))
    }
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

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Replays every file of every directory that is counted, and compares the number of files.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Status> {
    let subject = args.device.subject();
    let accepts = scenarios_for(&subject);
    let runner = Runner::new(subject, Medium::Memory);
    let mut check = Check { device: args.device, accepts, runner };
    let mut status = Status::Passed;
    for directory in Directory::all(&args.directory)? {
        let Directory { name, least, files } = &directory;
        let digests = recorded(&args.directory, &directory)?;
        for path in files {
            status = status.max(check.file(name, path, &digests)?);
        }
        let names: Vec<String> = files.iter().map(|path| name_of(path)).collect();
        for missing in digests.missing(&names) {
            say(&format!("{name}/{missing}: recorded, and not there"))?;
            status = Status::Diverged;
        }
        let shown = args.directory.join(name);
        say(&format!("{}: {} files, {least} at least", shown.display(), files.len()))?;
        if files.len() < *least {
            status = status.max(Status::Diverged);
        }
    }
    Ok(status)
}

/// What is recorded of a directory, if anything is to be.
fn recorded(root: &Path, directory: &Directory) -> anyhow::Result<Digests> {
    if !directory.has_digests() {
        return Ok(Digests::default());
    }
    let path = directory.digests(root);
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("{}: cannot be read", path.display()))?;
    Digests::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

/// Replays files on one device.
struct Check {
    device: DeviceArg,
    accepts: Accepts,
    runner: Runner<Box<dyn DynSubject>>,
}

impl Check {
    fn file(&mut self, directory: &str, path: &Path, digests: &Digests) -> anyhow::Result<Status> {
        if directory == ALLOCATOR {
            return uses_buffers(path);
        }
        let mut scenario = input::scenario(path)?;
        if self.device.0.is_some() {
            // The corpus is the real device's; another one gets the nearest that it accepts.
            self.accepts.fit(&mut scenario);
        }
        let report = replay(&mut self.runner, path, &scenario)?;
        let found = if self.device.0.is_some() || directory == KNOWN_BUGS {
            // The trace of another device, or of a device without the bug, is another one.
            passes(&report)
        } else if let Some(expected) = &scenario.expect {
            let (verdict, digest) = (report.verdict.expected(), report.digest.to_string());
            let met = expected.verdict == verdict && expected.digest == digest;
            if met { Ok(()) } else { Err(format!("{verdict:?}, digest {digest}")) }
        } else {
            let digest = report.digest.to_string();
            passes(&report).and_then(|()| digests.check(&name_of(path), &digest))
        };
        if let Err(found) = found {
            return differs(path, &found, &self.device);
        }
        let is_known = directory == KNOWN_BUGS && self.device.0.is_none();
        if is_known { shows_its_bug(path, &scenario) } else { Ok(Status::Passed) }
    }
}

fn replay<S: Subject>(
    runner: &mut Runner<S>,
    path: &Path,
    scenario: &Scenario,
) -> anyhow::Result<Report> {
    let report = quietly(|| runner.run(scenario, Options::default()));
    report.with_context(|| format!("{}", path.display()))
}

fn passes(report: &Report) -> Result<(), String> {
    match report.verdict {
        Verdict::Pass => Ok(()),
        _ => Err(format!("{:?}, digest {}", report.verdict.expected(), report.digest)),
    }
}

/// A scenario that shows the planted bug for which the file is named, as it says.
fn shows_its_bug(path: &Path, scenario: &Scenario) -> anyhow::Result<Status> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let Some(entry) = zoo::find(&name) else {
        bail!("{}: no planted bug is called \"{name}\"", path.display());
    };
    let shown = replay(&mut Runner::new(entry.subject(), Medium::Memory), path, scenario)?;
    let (verdict, digest) = (shown.verdict.expected(), shown.digest.to_string());
    if scenario.expect.as_ref().is_some_and(|it| it.verdict == verdict && it.digest == digest) {
        return Ok(Status::Passed);
    }
    differs(path, &format!("{verdict:?}, digest {digest}"), &DeviceArg(Some(entry)))
}

/// A file that does not give what it is to give.
fn differs(path: &Path, found: &str, device: &DeviceArg) -> anyhow::Result<Status> {
    let command = failure::replay_command(path, device);
    say(&format!("{}: {found}; see\n{command}", path.display()))?;
    github::error(Some(path), "not as expected", &format!("{found}; see {command}"));
    Ok(Status::Diverged)
}

/// A use of a transfer heap, which panics where the heap is wrong.
fn uses_buffers(path: &Path) -> anyhow::Result<Status> {
    let bytes = fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    if catch_unwind(|| buffers::buffers(&bytes)).is_ok() {
        return Ok(Status::Passed);
    }
    say(&format!("{}: the transfer heap is wrong", path.display()))?;
    Ok(Status::Diverged)
}

/// Records the digest of every fuzz input. One that diverges is no input to keep.
pub(super) fn record(args: &RecordArgs) -> anyhow::Result<Status> {
    let mut status = Status::Passed;
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    for directory in Directory::all(&args.directory)?.iter().filter(|it| it.has_digests()) {
        let mut digests = Digests::default();
        for path in &directory.files {
            let report = replay(&mut runner, path, &input::scenario(path)?)?;
            if let Err(found) = passes(&report) {
                complain(&format!("{}: {found}; not recorded", path.display()));
                status = Status::Diverged;
                continue;
            }
            digests.extend([(name_of(path), report.digest.to_string())]);
        }
        let path = directory.digests(&args.directory);
        let written = fs::write(&path, digests.to_string());
        written.with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(status)
}
