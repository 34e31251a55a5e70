//! The command line.

mod examples;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use values::{DeviceArg, Format, MediumArg, ProfileArg, RunFormat, Shard};

use crate::zoo::ZooDevice;
use clap::{ArgGroup, Args, Parser, Subcommand, value_parser};
use clap_complete::Shell;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use values::{parse_bug, parse_duration, parse_legal, parse_seeds};

/// More threads no machine is served by, and some cannot even be started.
const MOST_JOBS: i64 = 1024;

/// Deterministic simulation testing for block storage.
///
/// Runs a real file-backed block device in lockstep with an in-memory twin, under a seeded
/// executor, while files fail beneath it and the power goes. After every operation the two are
/// compared.
#[derive(Debug, Parser)]
#[command(name = "blocktwin", version, after_help = examples::PROGRAM)]
pub(crate) struct Cli {
    /// Without a command: `run`, for about ten seconds.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a campaign of scenarios from seeds.
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// Run scenarios from files.
    ///
    /// A file does not name its device: give the one that it was found with as --device. A scenario
    /// of a device of your own, from `blocktwin::lockstep::check`, is replayed by a test of yours:
    /// `Check::new(YourDevice).replay(include_str!("found.ron"))`.
    #[command(after_help = examples::REPLAY)]
    Replay(ReplayArgs),
    /// Find the smallest scenario that diverges as this one does.
    #[command(after_help = examples::SHRINK)]
    Shrink(ShrinkArgs),
    /// Print a scenario.
    #[command(after_help = examples::SHOW)]
    Show(ShowArgs),
    /// Make a page of what happened in a scenario, for a browser.
    #[command(after_help = examples::REPORT)]
    Report(ReportArgs),
    /// Hunt the planted bugs, and tell which were found and how soon.
    #[command(after_help = examples::BUGS)]
    Bugs(BugsArgs),
    /// Run every legal device as a control: an accusation is a mistake of this program.
    #[command(after_help = examples::LEGAL)]
    Legal(LegalArgs),
    /// Measure checked operations a second, beside bare system calls and what others use.
    #[command(after_help = examples::BENCH)]
    Bench(BenchArgs),
    /// Turn fuzz inputs into regressions and back, and check them all.
    #[command(after_help = examples::CORPUS)]
    Corpus {
        /// What to do.
        #[command(subcommand)]
        command: CorpusCommand,
    },
    /// Print the completion script of a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page.
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}

#[derive(Args, Debug, Default)]
pub(crate) struct RunArgs {
    /// The seeds, as in 0..1000 (the last one excluded) or 1000.. (with --for).
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub(crate) seeds: Option<Range<u64>>,

    /// Stop after this long, as in 60s, 10m or 1h. Without --seeds the default is 10s.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) time: Option<Duration>,

    /// Only every Nth seed, beginning with the Ith: for a campaign on N machines.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,

    /// How many scenarios to run at once. By default one for each processor.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=MOST_JOBS))]
    pub(crate) jobs: Option<u16>,

    /// What holds the bytes: memory, tmpfs, or files in a directory.
    #[arg(long, value_name = "memory|tmpfs|DIR", default_value = "tmpfs")]
    pub(crate) medium: MediumArg,

    /// The device: `file`, or any of `blocktwin bugs --list`.
    #[arg(long, value_name = "NAME", default_value = "file")]
    pub(crate) device: DeviceArg,

    /// What kind of scenarios.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: ProfileArg,

    /// Run every scenario twice, and compare the digests.
    #[arg(long)]
    pub(crate) double_run: bool,

    /// It is an error (3) if a kind of fault or a clause of the contract was never exercised.
    #[arg(long)]
    pub(crate) strict: bool,

    /// How to print the summary: for people, as one JSON object, or as JUnit XML, with a test case
    /// for the campaign and one for each distinct failure.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: RunFormat,

    /// Where to write the summary. By default it is printed.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Go on after a divergence, and save one scenario of each distinct failure here: the lowest
    /// seed of those with the same verdict, operation and place. Without it the campaign ends with
    /// the first divergence, which is saved in `failures`.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,

    /// Write a page about the campaign too, for a browser; and beside it one of what diverged.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Show and save a divergence as it was found, and not the smallest scenario of its kind.
    #[arg(long)]
    pub(crate) no_shrink: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Scenario files (.ron), or fuzz inputs.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The device: `file`, or any of `blocktwin bugs --list`.
    #[arg(long, value_name = "NAME", default_value = "file")]
    pub(crate) device: DeviceArg,

    /// Print every event.
    #[arg(long)]
    pub(crate) trace: bool,

    /// Run each scenario twice, and compare the digests.
    #[arg(long)]
    pub(crate) double_run: bool,

    /// What holds the bytes: memory, tmpfs, or files in a directory.
    #[arg(long, value_name = "memory|tmpfs|DIR", default_value = "memory")]
    pub(crate) medium: MediumArg,
}

#[derive(Args, Debug, Default)]
#[command(group(ArgGroup::new("which").required(true)))]
pub(crate) struct ShowArgs {
    /// A scenario file (.ron), or a fuzz input.
    #[arg(value_name = "FILE", group = "which")]
    pub(crate) file: Option<PathBuf>,

    /// The scenario of this seed.
    #[arg(long, value_name = "N", group = "which")]
    pub(crate) seed: Option<u64>,

    /// What kind of scenario the seed is to give.
    #[arg(long, value_enum, default_value_t, conflicts_with = "file")]
    pub(crate) profile: ProfileArg,

    /// The device that the scenario is for: `file`, or any of `blocktwin bugs --list`. A seed gives
    /// only what the device accepts.
    #[arg(long, value_name = "NAME", default_value = "file", hide_default_value = true)]
    pub(crate) device: DeviceArg,
}

#[derive(Args, Debug)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    pub(crate) which: ShowArgs,

    /// Where to write the smallest scenario. By default it is printed.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) which: ShowArgs,

    /// Where to write the page.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub(crate) output: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct BugsArgs {
    /// Only these. Without a name, all that are planted.
    #[arg(value_name = "NAME", value_parser = parse_bug)]
    pub(crate) names: Vec<&'static ZooDevice>,

    /// Print what is in the zoo, and hunt nothing.
    #[arg(long)]
    pub(crate) list: bool,

    /// Time to hunt each bug from each base seed.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    pub(crate) budget: Duration,

    /// Most scenarios to hunt each bug with from each base seed.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub(crate) scenarios: u64,

    /// Where to save the smallest scenario of each bug.
    #[arg(long, value_name = "DIR", conflicts_with = "no_shrink")]
    pub(crate) save: Option<PathBuf>,

    /// Do not look for the smallest scenario of each bug, which takes most of the time.
    #[arg(long)]
    pub(crate) no_shrink: bool,

    /// Number of base seeds to hunt each bug from: 0, 1000000 and so on.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = value_parser!(u64).range(1..=99))]
    pub(crate) bases: u64,

    /// How to print the table.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct LegalArgs {
    /// Only these: `file`, or those that `blocktwin bugs --list` calls legal. Without a name, all.
    #[arg(value_name = "NAME", value_parser = parse_legal)]
    pub(crate) names: Vec<DeviceArg>,

    /// The seeds that each device runs, as in 0..2000 (the last one excluded).
    #[arg(long, value_name = "A..B", value_parser = parse_seeds, default_value = "0..2000")]
    pub(crate) seeds: Range<u64>,

    /// What kind of scenarios.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: ProfileArg,

    /// How many scenarios to run at once. By default one for each processor.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=MOST_JOBS))]
    pub(crate) jobs: Option<u16>,

    /// How to print the table.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// The processor time that each row has, as in 2s or 1m.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "2s")]
    pub(crate) time: Duration,

    /// The directory of the files. By default it is on tmpfs where there is one.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// How to print the table.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CorpusCommand {
    /// Run every file, and compare verdicts, digests and the number of files.
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Write down the digests of the fuzz inputs, which `check` compares.
    #[command(after_help = examples::RECORD)]
    Record(RecordArgs),
    /// Make regressions of fuzz inputs: decode, confirm, and save with verdict and digest.
    #[command(after_help = examples::IMPORT)]
    Import(ImportArgs),
    /// Make fuzz inputs of scenarios.
    #[command(after_help = examples::EXPORT)]
    Export(ExportArgs),
    /// Remove fuzz inputs that are the same scenario as a shorter one.
    #[command(after_help = examples::PRUNE)]
    Prune(PruneArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The corpus.
    #[arg(default_value = "corpus", value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// The device: `file`, or a legal one of `blocktwin bugs --list`, which passes every scenario.
    #[arg(long, value_name = "NAME", default_value = "file")]
    pub(crate) device: DeviceArg,
}

#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    /// The corpus.
    #[arg(default_value = "corpus", value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct PruneArgs {
    /// The corpus.
    #[arg(default_value = "corpus", value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Only say what would be removed.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// Fuzz inputs, as in fuzz/artifacts/lockstep/crash-*.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Where to save them.
    #[arg(short = 'o', long = "output", value_name = "DIR", default_value = "corpus/regressions")]
    pub(crate) directory: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Scenario files (.ron).
    #[arg(value_name = "FILE", required_unless_present = "seeds")]
    pub(crate) files: Vec<PathBuf>,

    /// The scenarios of these seeds too, as in 0..100.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub(crate) seeds: Option<Range<u64>>,

    /// What kind of scenarios the seeds are to give.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: ProfileArg,

    /// Where to save them.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Where to write a page for every command. By default the page of the program is printed.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
