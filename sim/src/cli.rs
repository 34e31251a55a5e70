//! The command line.

use blocktwin::scenario::Profile;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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

Exit status:
  0  every scenario passed
  1  a device diverged from its twin, or a file from what it expects
  2  bad input or usage
  3  the harness itself is broken: a run was not repeatable, or --strict found something unexercised
  130  interrupted; what was done so far has been reported";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a campaign of scenarios from seeds.
    Run(RunArgs),
    /// Run scenarios from files.
    Replay(ReplayArgs),
    /// Print a scenario.
    Show(ShowArgs),
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
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Scenario files (.ron), or fuzz inputs.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

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

#[derive(Args, Debug)]
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

#[derive(Debug, Subcommand)]
pub(crate) enum CorpusCommand {
    /// Run every file, and compare verdicts, digests and the number of files.
    Check(CheckArgs),
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

/// How to print a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object.
    Json,
}

/// [`Profile`], as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProfileArg(pub(crate) Profile);

impl std::fmt::Display for ProfileArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

impl ValueEnum for ProfileArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [ProfileArg; Profile::ALL.len()] = {
            let mut all = [ProfileArg(Profile::Default); Profile::ALL.len()];
            let mut at = 0;
            while at < all.len() {
                all[at] = ProfileArg(Profile::ALL[at]);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

/// What holds the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum MediumArg {
    /// Memory only.
    Memory,
    /// A file in memory: every raw call is a system call, and none waits for a disk.
    #[default]
    Tmpfs,
    /// A file in this directory.
    Directory(PathBuf),
}

impl FromStr for MediumArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            // An unset variable in a script, and not the current directory.
            "" => Err("neither a medium nor a directory"),
            "memory" => Ok(Self::Memory),
            "tmpfs" => Ok(Self::Tmpfs),
            directory => Ok(Self::Directory(directory.into())),
        }
    }
}

/// One of several parts of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Which, from 0.
    pub(crate) index: u64,
    /// Of how many.
    pub(crate) count: u64,
}

impl Shard {
    /// All of it.
    pub(crate) const WHOLE: Self = Self { index: 0, count: 1 };

    /// The `n`th seed of this shard, of a campaign that begins with `first`.
    pub(crate) fn seed(self, first: u64, n: u64) -> Option<u64> {
        first.checked_add(self.index)?.checked_add(n.checked_mul(self.count)?)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not I/N with I from 1 to N");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let index: u64 = index.parse().map_err(|_| wrong())?;
        let count: u64 = count.parse().map_err(|_| wrong())?;
        if index == 0 || index > count {
            return Err(wrong());
        }
        Ok(Self { index: index - 1, count })
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let (start, end) = text.split_once("..").ok_or("expected A..B, as in 0..1000")?;
    let number = |part: &str| part.parse().map_err(|_| format!("\"{part}\" is not a seed"));
    let start = number(start)?;
    let end = if end.is_empty() { u64::MAX } else { number(end)? };
    if start >= end {
        return Err("the range holds no seed".to_owned());
    }
    Ok(start..end)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time such as 60s, 10m or 1h");
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    match seconds {
        Some(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
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
