//! The real device against bare system calls and fio, in one run and one table:
//! `cargo bench -p blocktwin-sim --bench device --features blocking,io-uring`.
//!
//! Every column does the same requests on the same file, from the same memory, and the columns take
//! turns, round by round. A ratio is the median over the rounds of the speed of a column by that of
//! bare system calls in the same round, as a busy machine is not equally fast in all.
#![forbid(unsafe_code)]

mod cells;
mod columns;
mod fio;
mod ranges;
mod table;

use anyhow::Context;
use cells::Cell;
use clap::Parser;
use columns::Stand;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::path::PathBuf;

/// Compares the real device with bare system calls and with fio.
#[derive(Parser)]
#[command(name = "device")]
struct Args {
    /// Where the file lies; on tmpfs or a disk of your choice [default: a temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seconds that every column has for a row.
    #[arg(long, default_value_t = 0.4, value_parser = parse_seconds)]
    seconds_per_cell: f64,
    /// All patterns, sizes and depths.
    #[arg(long)]
    full: bool,
    /// A quick try, whose figures mean little.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Only rows whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// What cargo passes. Without it, as under `cargo test --benches`, this is a quick try.
    #[arg(long, hide = true)]
    bench: bool,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && seconds.is_finite());
    seconds.ok_or_else(|| "not a positive number of seconds".to_owned())
}

/// Rounds of a row, and how many of them fio has: it takes long to start.
const ROUNDS: usize = 9;
const FIO_ROUNDS: usize = 3;

/// The names of the columns beside the bare system calls.
const NAMES: [&str; 4] = ["File", "PoolFile", "RingFile", "fio"];

/// What was measured of a row.
struct Row {
    name: String,
    /// Operations a second of bare system calls, or how many milliseconds they took.
    bare: String,
    /// By column, `None` where it has no figure.
    ratios: [Option<f64>; NAMES.len()],
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if args.quick || !args.bench {
        (args.quick, args.seconds_per_cell) = (true, args.seconds_per_cell.min(0.05));
    }
    let dir = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.context("no directory for the file")?;
    let path = dir.path().to_path_buf();
    ctrlc::set_handler(move || {
        let _ = std::fs::remove_dir_all(&path);
        std::process::exit(130);
    })?;
    let named = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(&**only));
    let mut cells = if args.full { cells::all() } else { cells::usual() };
    cells.retain(|cell| named(&cell.name()));
    let whole: Vec<_> = ranges::ALL.into_iter().filter(|range| named(range.name())).collect();

    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new((cells.len() + whole.len()) as u64).with_style(style);
    let mut stand = Stand::new(dir.path(), if args.quick { 16 << 20 } else { 256 << 20 })?;
    let fio = fio::Fio::find();
    let mut rows = Vec::new();
    for cell in cells {
        progress.set_message(cell.name());
        rows.push(measure(&mut stand, cell, &fio, args.seconds_per_cell)?);
        progress.inc(1);
    }
    drop(stand);
    for range in whole {
        progress.set_message(range.name());
        rows.push(ranges::measure(range, dir.path(), if args.quick { 64 << 20 } else { 2 << 30 })?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    // That nobody reads it any more is no failure.
    let _ = write!(std::io::stdout(), "{}", table::print(&rows, &fio));
    Ok(())
}

fn measure(stand: &mut Stand, cell: Cell, fio: &fio::Fio, seconds: f64) -> anyhow::Result<Row> {
    let round = seconds / ROUNDS as f64;
    let (mut bare, mut ratios) = (Vec::new(), [const { Vec::new() }; NAMES.len()]);
    // The first round warms up the memory, the file and the threads of the pool.
    for number in 0..=ROUNDS {
        let reference = stand.bare(cell, round)?;
        let speeds = [
            Some(stand.file(cell, round)?),
            stand.pool(cell, round)?,
            stand.ring(cell, round)?,
            if (1..=FIO_ROUNDS).contains(&number) {
                fio.speed(stand.path(), cell, seconds / FIO_ROUNDS as f64)?
            } else {
                None
            },
        ];
        if number > 0 {
            bare.push(reference);
            for (ratios, speed) in ratios.iter_mut().zip(speeds) {
                ratios.extend(speed.map(|own| own / reference));
            }
        }
    }
    let bare = median(bare).unwrap_or(0.0);
    Ok(Row { name: cell.name(), bare: format!("{bare:.0}/s"), ratios: ratios.map(median) })
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
