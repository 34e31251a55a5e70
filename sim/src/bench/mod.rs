//! Checked operations a second, beside bare system calls and what others use, in one run.

mod rows;
mod work;

use crate::cli::{BenchArgs, Format, MediumArg};
use crate::{Status, complain, say};
use indicatif::{ProgressBar, ProgressStyle};
use rows::Row;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::fmt::Write;
use work::Shape;

/// Rounds, in which the rows take turns.
const ROUNDS: usize = 5;

/// Operations between two looks at the clock.
const BATCH: u64 = 1024;

/// The devices.
const SHAPES: [Shape; 2] = [
    Shape { block_size: 512, blocks: 128, longest: 8 },
    Shape { block_size: 4096, blocks: 64, longest: 8 },
];

/// What was measured of a row: operations a second, and that by those of the first row.
struct Measured {
    row: Row,
    speed: f64,
    ratio: f64,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<Status> {
    let directory = args.dir.clone().or_else(|| MediumArg::Tmpfs.directory());
    let directory = directory.unwrap_or_else(std::env::temp_dir);
    let seconds = args.time.as_secs_f64();
    let mut tables = Vec::new();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new(0).with_style(style);
    for shape in SHAPES {
        let rows = rows::all(shape, &directory)?;
        progress.inc_length((rows.len() * ROUNDS) as u64);
        tables.push((shape, measure(rows, seconds, &progress)));
    }
    progress.finish_and_clear();
    say(&match args.format {
        Format::Human => human(&tables),
        Format::Json => json(&tables).to_string(),
    })?;
    if !cfg!(feature = "peers") {
        complain(
            "turmoil's file system is left out; with it: cargo run --release --features peers",
        );
    }
    Ok(Status::Passed)
}

/// Each row's median round, by the processor time of this process.
fn measure(mut rows: Vec<Row>, seconds: f64, progress: &ProgressBar) -> Vec<Measured> {
    let mut rounds = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for (row, rounds) in rows.iter_mut().zip(&mut rounds) {
            progress.set_message(row.name);
            rounds.push(round(row, seconds / ROUNDS as f64));
            progress.inc(1);
        }
    }
    let speeds: Vec<f64> = rounds.into_iter().map(median).collect();
    let bare = speeds.first().copied().unwrap_or(1.0);
    let measured = rows.into_iter().zip(speeds);
    measured.map(|(row, speed)| Measured { row, speed, ratio: speed / bare }).collect()
}

fn round(row: &mut Row, seconds: f64) -> f64 {
    let started = processor_time();
    let mut done = 0;
    loop {
        (row.work)(BATCH);
        done += BATCH;
        let passed = processor_time() - started;
        if passed >= seconds {
            return done as f64 / passed;
        }
    }
}

fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

fn human(tables: &[(Shape, Vec<Measured>)]) -> String {
    let tables = tables.iter().map(|(shape, rows)| {
        let mut text = format!(
            "{} blocks of {} bytes\n{:<28}{:<8}{:>14}{:>8}  {}",
            shape.blocks, shape.block_size, "", "medium", "operations/s", "ratio", "without"
        );
        for Measured { row, speed, ratio } in rows {
            let (name, medium, without) = (row.name, row.medium, row.without);
            let _ = write!(text, "\n{name:<28}{medium:<8}{speed:>14.0}{ratio:>8.2}  {without}");
        }
        text
    });
    tables.collect::<Vec<_>>().join("\n\n")
}

fn json(tables: &[(Shape, Vec<Measured>)]) -> serde_json::Value {
    let rows = tables.iter().flat_map(|(shape, rows)| {
        rows.iter().map(|Measured { row, speed, ratio }| {
            json!({
                "name": row.name,
                "medium": row.medium,
                "block_size": shape.block_size,
                "ops_per_second": speed,
                "ratio": ratio,
            })
        })
    });
    json!({ "rows": rows.collect::<Vec<_>>() })
}
