//! The command line.

use crate::zoo::{self, Specimen};
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
  blocktwin shrink found.ron -o small.ron    the smallest scenario that shows the same
  blocktwin bugs                             how soon it finds bugs that were planted
  blocktwin run --device write-back          a legal device that is not the usual one

Exit status:
  0  every scenario passed
  1  a device diverged from its twin, or a file from what it expects
  2  bad input or usage; nothing to shrink, as the scenario passes
  3  the harness itself is broken: a run was not repeatable, --strict found something unexercised,
     or a planted bug was not found
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
    /// Scenario files (.ron).
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
    /// A scenario file (.ron).
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

    /// From so many base seeds each bug is hunted: 0, 1000000 and so on.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = value_parser!(u64).range(1..=99))]
    pub(crate) bases: u64,

    /// How to print the table.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// The device under test; none is the real one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeviceArg(pub(crate) Option<&'static Specimen>);

impl FromStr for DeviceArg {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "file" { Ok(Self(None)) } else { parse_specimen(name).map(Some).map(Self) }
    }
}

fn parse_specimen(name: &str) -> Result<&'static Specimen, String> {
    let unknown = || format!("no device is called \"{name}\"; see blocktwin bugs --list");
    zoo::find(name).ok_or_else(unknown)
}

fn parse_bug(name: &str) -> Result<&'static Specimen, String> {
    let specimen = parse_specimen(name)?;
    let legal = || format!("{name} is legal; see blocktwin run --device {name}");
    Some(specimen).filter(|it| it.is_bug()).ok_or_else(legal)
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
