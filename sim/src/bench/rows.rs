//! The rows: who does the work.

use super::work::{self, STEPS};
use anyhow::Context;
use blocktwin::disk::Medium;
use blocktwin::lockstep::{FileBacked, Options, Runner, Verdict};
use blocktwin_peers::{Bare, DirFile, FaultFile, Harness, MemFile, Shape};
use std::path::Path;

/// The clients of blocktwin's rows.
const CLIENTS: u64 = 4;

/// The seed of all rows.
const SEED: u64 = 1;

/// Somebody who does the work.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) medium: &'static str,
    /// What it leaves out.
    pub(super) without: &'static str,
    /// Does so many operations.
    pub(super) work: Box<dyn FnMut(u64)>,
}

/// Every row of a device, bare system calls first. Files are in `directory`.
pub(super) fn all(shape: work::Shape, directory: &Path) -> anyhow::Result<Vec<Row>> {
    let of = Shape {
        block_size: usize::try_from(shape.block_size)?,
        blocks: usize::try_from(shape.blocks)?,
    };
    let file = || {
        let file = DirFile::new(directory, of.size());
        file.with_context(|| format!("{}: cannot make a file there", directory.display()))
    };
    let (nothing, no_calls) = ("-", "system calls");
    let mut rows = vec![
        row("bare system calls", "file", "any check, model, loss or fault", bare(file()?, of)),
        row("hand-written harness", "file", nothing, by_hand(file()?, of)),
        row("blocktwin", "file", nothing, checked(Medium::in_directory(directory)?, shape)),
        row("bare copies", "memory", "and system calls", bare(MemFile::new(of.size()), of)),
        row("hand-written harness", "memory", no_calls, by_hand(MemFile::new(of.size()), of)),
    ];
    #[cfg(feature = "peers")]
    rows.push(row(
        "turmoil's file system",
        "memory",
        "system calls, short writes, EINTR, holes, directed faults",
        blocktwin_peers::TurmoilFile::harness(of, SEED)?,
    ));
    rows.push(row("blocktwin", "memory", no_calls, checked(Medium::Memory, shape)));
    Ok(rows)
}

fn row(
    name: &'static str,
    medium: &'static str,
    without: &'static str,
    work: impl FnMut(u64) + 'static,
) -> Row {
    Row { name, medium, without, work: Box::new(work) }
}

fn bare<F: blocktwin_peers::RawFile + 'static>(file: F, shape: Shape) -> impl FnMut(u64) {
    let mut bare = Bare::new(file, shape, SEED);
    move |count| (0..count).for_each(|_| bare.step().expect("the file works"))
}

fn by_hand<F: blocktwin_peers::RawFile + 'static>(file: F, shape: Shape) -> impl FnMut(u64) {
    let file = FaultFile::new(file, shape.block_size, shape.size());
    let mut harness = Harness::new(file, shape, SEED);
    move |count| (0..count).for_each(|_| harness.step())
}

/// Scenarios of [`STEPS`] operations, each made, run in lockstep, traced and read back.
fn checked(medium: Medium, shape: work::Shape) -> impl FnMut(u64) {
    let mut runner = Runner::new(FileBacked, medium);
    let mut seed = SEED;
    move |count| {
        for _ in 0..count.div_ceil(STEPS as u64) {
            let scenario = work::scenario(seed, shape, CLIENTS);
            let report = runner.run(&scenario, Options::default()).expect("the medium holds it");
            assert_eq!(report.verdict, Verdict::Pass);
            seed += 1;
        }
    }
}
