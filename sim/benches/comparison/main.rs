//! What lockstep simulation buys: the planted bugs under three tools, in one run and one table.
//!
//! `cargo bench -p blocktwin-sim --bench comparison`; `docs/COMPARISON.md` tells what the tools are
//! and what the table means.
#![forbid(unsafe_code)]

mod fuzz_loop;
mod lockstep;
mod stand;
mod state_machine;
mod table;
#[path = "../../src/zoo/mod.rs"]
#[expect(dead_code, unused_imports, reason = "origins are not told here, and tests are not run")]
mod zoo;

use clap::Parser;
use indicatif::ProgressBar;
use stand::Hunt;
use std::io::Write;
use std::process::ExitCode;
use zoo::{ZooDevice, catalogue};

/// Compares what finds the planted bugs, and how soon, on one processor.
#[derive(Parser)]
#[command(name = "comparison")]
struct Args {
    /// Planted bugs or legal devices; all of them unless named. Of those named, tells what each
    /// tool complained of.
    #[arg(value_parser = parse_device)]
    names: Vec<&'static ZooDevice>,
    /// Seconds of processor time that a tool has for a bug, from each base seed.
    #[arg(long, default_value_t = 1.0, value_parser = parse_seconds)]
    seconds: f64,
    /// What cargo passes. Without it, as under `cargo test --benches`, this is a quick try.
    #[arg(long, hide = true)]
    bench: bool,
}

fn parse_device(name: &str) -> Result<&'static ZooDevice, String> {
    zoo::find(name).ok_or_else(|| format!("no device is called \"{name}\""))
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && seconds.is_finite());
    seconds.ok_or_else(|| "not a positive number of seconds".to_owned())
}

/// A way to hunt: gives what is wrong with the device, if that is found in time.
type Tool = fn(&Hunt) -> Option<String>;

const TOOLS: [Tool; 3] = [lockstep::hunt, state_machine::hunt, fuzz_loop::hunt];

/// Base seeds of a hunt. A bug is found if it is from most of them.
const SEEDS: u64 = 3;

/// What one tool made of one device.
struct Find {
    /// Seconds until it was found, the median over the base seeds.
    seconds: Option<f64>,
    /// The first complaint.
    complaint: Option<String>,
}

/// What every tool made of one device.
struct Row {
    /// The real device where it is none.
    entry: Option<&'static ZooDevice>,
    finds: [Find; TOOLS.len()],
}

impl Row {
    fn bug(&self) -> Option<&'static ZooDevice> {
        self.entry.filter(|entry| entry.is_bug())
    }

    /// Whether a tool has accused a device that is legal.
    fn is_false(&self) -> bool {
        self.bug().is_none() && self.finds.iter().any(|find| find.complaint.is_some())
    }
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if !args.bench {
        args.names = catalogue().take(1).collect();
        args.seconds = 0.01;
    }
    let mut devices: Vec<_> = args.names.iter().copied().map(Some).collect();
    if devices.is_empty() {
        devices.extend(catalogue().map(Some).chain([None]));
    }
    let progress = ProgressBar::new((devices.len() * TOOLS.len()) as u64);
    let row = |entry| {
        let finds = TOOLS.map(|tool| {
            let find = hunt(tool, entry, args.seconds);
            progress.inc(1);
            find
        });
        Row { entry, finds }
    };
    let rows: Vec<Row> = devices.into_iter().map(row).collect();
    progress.finish_and_clear();
    let table = table::print(&rows, args.seconds, !args.names.is_empty());
    // That nobody reads it any more is no failure.
    let _ = writeln!(std::io::stdout(), "{table}");
    ExitCode::from(u8::from(rows.iter().any(Row::is_false)))
}

/// Hunts from every base seed, until it is clear that most of them will not do. A legal device is
/// hunted from all.
fn hunt(tool: Tool, entry: Option<&'static ZooDevice>, budget: f64) -> Find {
    let is_bug = entry.is_some_and(ZooDevice::is_bug);
    let (mut times, mut missed, mut complaint) = (Vec::new(), 0, None);
    for seed in 0..SEEDS {
        let hunt = Hunt::new(entry, seed, budget);
        let found = blocktwin::lockstep::quietly(|| tool(&hunt));
        times.push(if found.is_some() { hunt.elapsed() } else { f64::INFINITY });
        missed += u64::from(found.is_none());
        complaint = complaint.or(found);
        if is_bug && 2 * missed > SEEDS {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let seconds = Some(median).filter(|_| 2 * missed < SEEDS);
    Find { seconds, complaint }
}
