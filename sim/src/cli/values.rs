//! The values of arguments.

use crate::zoo::{self, ZooDevice};
use blocktwin::lockstep::{DynSubject, FileBacked};
use blocktwin::scenario::Profile;
use clap::ValueEnum;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The device under test; none is the real one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeviceArg(pub(crate) Option<&'static ZooDevice>);

impl FromStr for DeviceArg {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "file" { Ok(Self(None)) } else { parse_device(name).map(Some).map(Self) }
    }
}

impl DeviceArg {
    pub(crate) fn name(self) -> &'static str {
        self.0.map_or("file", |entry| entry.name)
    }

    /// All devices without a bug, the real one first.
    pub(crate) fn legal() -> impl Iterator<Item = Self> {
        let zoo = zoo::catalogue().filter(|entry| !entry.is_bug()).map(Some);
        [None].into_iter().chain(zoo).map(Self)
    }

    /// The device, where its type does not matter.
    pub(crate) fn subject(self) -> Box<dyn DynSubject> {
        match self.0 {
            None => Box::new(FileBacked),
            Some(entry) => Box::new(entry.subject()),
        }
    }
}

pub(super) fn parse_device(name: &str) -> Result<&'static ZooDevice, String> {
    let unknown = || format!("no device is called \"{name}\"; see blocktwin bugs --list");
    zoo::find(name).ok_or_else(unknown)
}

pub(super) fn parse_bug(name: &str) -> Result<&'static ZooDevice, String> {
    let entry = parse_device(name)?;
    let legal = || format!("{name} is legal; see blocktwin run --device {name}");
    Some(entry).filter(|it| it.is_bug()).ok_or_else(legal)
}

pub(super) fn parse_legal(name: &str) -> Result<DeviceArg, String> {
    let names = || DeviceArg::legal().map(DeviceArg::name).collect::<Vec<_>>().join(", ");
    let unknown = |_| format!("no legal device is called \"{name}\"; there are {}", names());
    let device: DeviceArg = name.parse().map_err(unknown)?;
    let is_bug = device.0.is_some_and(ZooDevice::is_bug);
    let bug = || format!("{name} is a planted bug; see blocktwin bugs {name}");
    Some(device).filter(|_| !is_bug).ok_or_else(bug)
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

/// How to print the summary of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object.
    Json,
    /// XML, for systems that show tests.
    Junit,
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

pub(super) fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let (start, end) = text.split_once("..").ok_or("expected A..B, as in 0..1000")?;
    let number = |part: &str| part.parse().map_err(|_| format!("\"{part}\" is not a seed"));
    let start = number(start)?;
    let end = if end.is_empty() { u64::MAX } else { number(end)? };
    if start >= end {
        return Err("the range holds no seed".to_owned());
    }
    Ok(start..end)
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
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
