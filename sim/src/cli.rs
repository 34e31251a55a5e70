//! The command line.

mod values;

pub(crate) use values::{DeviceArg, Format, MediumArg, ProfileArg, Shard};

use crate::zoo::Specimen;
use clap::{Args, Parser, Subcommand, value_parser};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use values::{parse_bug, parse_duration, parse_seeds};

/// More threads no machine is served by, and some cannot even be started.
const MOST_JOBS: i64 = 1024;

/// Deterministic simulation testing for block storage.
///
/// Runs a real file-backed block device in lockstep with an in-memory twin, under a seeded
/// executor, while files fail beneath it and the power goes. After every operation the two are
/// compared.
#[derive(Debug, Parser)]
#[command(name = "blocktwin", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Without a command: `run`, for about ten seconds.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  blocktwin                                  a campaign of about ten seconds
  blocktwin run --seeds 0..100000 --medium memory
  blocktwin run --for 1h --profile heavy --format json > summary.json
  blocktwin run --shard 2/8 --for 10m        the second of eight machines
  blocktwin show --seed 42                   the scenario of a seed
  blocktwin replay failures/*.ron --trace    what happened, event by event
  blocktwin shrink found.ron -o small.ron    the smallest scenario that shows the same
  blocktwin bugs                             how soon it finds bugs that were planted
  blocktwin run --device write-back          a legal device that is not the usual one

Exit status:
  0  every scenario passed
  1  a device diverged from its twin, or a file from what it expects
  2  bad input or usage; nothing to shrink, as the scenario passes
  3  the harness itself is broken: not repeatable, unexercised (--strict), or a bug not found
  130  interrupted; what was done so far has been reported";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a campaign of scenarios from seeds.
    Run(RunArgs),
    /// Run scenarios from files.
    Replay(ReplayArgs),
    /// Find the smallest scenario that diverges as this one does.
    Shrink(ShrinkArgs),
    /// Print a scenario.
    Show(ShowArgs),
    /// Hunt the planted bugs, and tell which were found and how soon.
    Bugs(BugsArgs),
    /// Turn fuzz inputs into regressions and back, and check them all.
    Corpus {
        /// What to do.
        #[command(subcommand)]
        command: CorpusCommand,
    },
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

    /// How to print the summary.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// Where to save the scenario of a divergence.
    #[arg(long, value_name = "DIR", default_value = "failures")]
    pub(crate) save: PathBuf,

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
#[group(required = true, multiple = false, id = "which")]
pub(crate) struct ShowArgs {
    /// A scenario file (.ron), or a fuzz input.
    #[arg(value_name = "FILE", group = "which")]
    pub(crate) file: Option<PathBuf>,

    /// The scenario of this seed.
    #[arg(long, value_name = "N", group = "which")]
    pub(crate) seed: Option<u64>,

    /// What kind of scenario the seed is to give.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: ProfileArg,
}

#[derive(Args, Debug)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    pub(crate) which: ShowArgs,

    /// Where to write the smallest scenario. By default it is printed.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The device under test: the real one, or one of `blocktwin bugs --list`.
    #[arg(long, value_name = "NAME", default_value = "file", hide_default_value = true)]
    pub(crate) device: DeviceArg,
}

#[derive(Args, Debug)]
pub(crate) struct BugsArgs {
    /// Only these. Without a name, all that are planted.
    #[arg(value_name = "NAME", value_parser = parse_bug)]
    pub(crate) names: Vec<&'static Specimen>,

    /// Print what is in the zoo, and hunt nothing.
    #[arg(long)]
    pub(crate) list: bool,

    /// So long a bug is hunted from each base seed.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    pub(crate) budget: Duration,

    /// So many scenarios a bug is hunted with from each base seed, at most.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub(crate) scenarios: u64,

    /// Where to save the smallest scenario of each bug.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,

    /// From so many base seeds each bug is hunted: 0, 1000000 and so on.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = value_parser!(u64).range(1..=99))]
    pub(crate) bases: u64,

    /// How to print the table.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CorpusCommand {
    /// Run every file, and compare verdicts, digests and the number of files.
    Check(CheckArgs),
    /// Write down the digests of the fuzz inputs, which `check` compares.
    Record(RecordArgs),
    /// Make regressions of fuzz inputs: decode, confirm, and save with verdict and digest.
    Import(ImportArgs),
    /// Make fuzz inputs of scenarios.
    Export(ExportArgs),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nonsense_is_refused() {
        for seeds in ["5..5", "7..3", "x..y", "5", "..", "-1..5"] {
            assert!(parse_seeds(seeds).is_err(), "{seeds}");
        }
        assert_eq!(parse_seeds("5..6"), Ok(5..6));
        for time in ["0s", "", "s", "5d", "1.5h", "99999999999999999999h"] {
            assert!(parse_duration(time).is_err(), "{time}");
        }
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for shard in ["0/4", "5/4", "1", "a/b", "1/0"] {
            assert!(shard.parse::<Shard>().is_err(), "{shard}");
        }
    }

    #[test]
    fn shards_split_a_range_without_overlap() {
        let mut seeds: Vec<u64> = (1..=3)
            .map(|index| format!("{index}/3").parse::<Shard>().unwrap())
            .flat_map(|shard| (0..).map_while(move |n| shard.seed(10, n).filter(|&it| it < 110)))
            .collect();
        seeds.sort_unstable();
        assert_eq!(seeds, (10..110).collect::<Vec<_>>());
    }
}
