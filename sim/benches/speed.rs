//! How many checked operations a second, on one core: `cargo bench --bench speed`.
//!
//! Rows run in turn, round by round, and each shows its median round by the processor time of the
//! process, which a busy machine disturbs less than the clock on the wall. Columns: operations and
//! whole scenarios of 64 operations a second, and the ratio to the first row, which makes the same
//! reads and writes on a plain vector and checks nothing.
//!
//! W is 40 % reads, 40 % writes, 8 % flushes, 4 % trims, 3 % crashes and 5 % operations that meet a
//! fault, each of 1 to 8 blocks where nothing else is said. The other mix is what the default
//! campaign draws.
//!
//! `.ci/instructions` counts what the rows of W take under callgrind.

#[path = "../src/bench/work.rs"]
mod work;

use blocktwin::disk::Medium;
use blocktwin::lockstep::{FileBacked, Options, Runner, Verdict};
use blocktwin::scenario::{Op, Profile, Scenario, decode, encode, generate};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use work::{STEPS, Shape};

/// Different scenarios of a row.
const SCENARIOS: usize = 256;

const ROUNDS: usize = 5;

/// Seconds of processor time of a round of a row.
const ROUND: f64 = 0.4;

struct Row {
    name: String,
    /// Does [`STEPS`] operations, of the scenario of this number.
    run: Box<dyn FnMut(usize)>,
    rounds: Vec<f64>,
}

fn main() {
    let small = Shape { block_size: 512, blocks: 128, longest: 8 };
    let single = Shape { longest: 1, ..small };
    let large = Shape { block_size: 4096, blocks: 64, longest: 8 };
    let w = |shape, clients| -> Vec<Scenario> {
        (0..).map(|seed| work::scenario(seed, shape, clients)).take(SCENARIOS).collect()
    };
    let shm = Medium::in_directory("/dev/shm").ok();
    let mut rows = vec![
        raw("vector, 512 B", w(small, 1)),
        checked("W, one block of 512 B", Medium::Memory, w(single, 1)),
        checked("W, 512 B", Medium::Memory, w(small, 1)),
        checked("W, 512 B, 4 clients", Medium::Memory, w(small, 4)),
        fuzzed("W, 512 B, from bytes", &w(small, 1)),
        raw("vector, 4 KiB", w(large, 1)),
        checked("W, 4 KiB", Medium::Memory, w(large, 1)),
        checked("default campaign", Medium::Memory, defaults()),
        fuzzed("default, from bytes", &defaults()),
        generated("default, generated only"),
    ];
    if let Some(shm) = shm {
        rows.push(checked("W, 512 B, on tmpfs", shm, w(small, 1)));
    }
    let only: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    rows.retain(|row| only.is_empty() || only.iter().any(|it| row.name.contains(&**it)));
    if std::env::args().any(|it| it == "--once") {
        // Under callgrind: the same operations in every run.
        return rows.iter_mut().for_each(|row| (0..SCENARIOS).for_each(|number| (row.run)(number)));
    }
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.rounds.push(round(&mut row.run));
        }
    }
    println!("{:24} {:>12} {:>14} {:>8}", "row", "operations/s", "scenarios/s", "ratio");
    let mut first = None;
    for row in &mut rows {
        row.rounds.sort_by(f64::total_cmp);
        let median = row.rounds[ROUNDS / 2];
        let reference = *first.get_or_insert(median);
        let (operations, ratio) = (median * STEPS as f64, median / reference);
        println!("{:24} {operations:12.0} {median:14.0} {ratio:8.4}", row.name);
    }
}

/// Scenarios a second of processor time.
fn round(run: &mut dyn FnMut(usize)) -> f64 {
    let started = processor_time();
    let mut done = 0_u32;
    loop {
        for number in 0..SCENARIOS {
            run(number);
            done += 1;
        }
        let passed = processor_time() - started;
        if passed >= ROUND {
            return f64::from(done) / passed;
        }
    }
}

fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn checked(name: &str, medium: Medium, scenarios: Vec<Scenario>) -> Row {
    let mut runner = Runner::new(FileBacked, medium);
    row(name, move |number| pass(&mut runner, &scenarios[number]))
}

fn fuzzed(name: &str, scenarios: &[Scenario]) -> Row {
    let encoded = |it| encode(it).expect("it can be expressed");
    let inputs: Vec<Vec<u8>> = scenarios.iter().map(encoded).collect();
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    row(name, move |number| pass(&mut runner, &decode(&inputs[number])))
}

fn generated(name: &str) -> Row {
    row(name, |number| drop(black_box(generate(number as u64, Profile::Default))))
}

fn pass(runner: &mut Runner<FileBacked>, scenario: &Scenario) {
    let report = runner.run(scenario, Options::default()).expect("the medium holds it");
    assert_eq!(report.verdict, Verdict::Pass);
}

/// The same reads and writes on a vector.
fn raw(name: &str, scenarios: Vec<Scenario>) -> Row {
    let size = index(scenarios[0].device.file_length);
    let (mut disk, mut buffer) = (vec![0_u8; size], vec![0_u8; size]);
    row(name, move |number| {
        for step in &scenarios[number].steps {
            match step.op {
                Op::Read { offset, length } => {
                    let (offset, length) = (index(offset), index(length));
                    buffer[..length].copy_from_slice(&disk[offset..offset + length]);
                }
                Op::Write { offset, length, .. } => {
                    let (offset, length) = (index(offset), index(length));
                    disk[offset..offset + length].copy_from_slice(&buffer[..length]);
                }
                Op::Crash(_) => buffer.copy_from_slice(&disk),
                _ => {}
            }
            black_box(&mut buffer);
        }
    })
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("small devices only")
}

fn row(name: &str, run: impl FnMut(usize) + 'static) -> Row {
    Row { name: name.to_owned(), run: Box::new(run), rounds: Vec::new() }
}

/// What the default campaign draws, of as many operations.
fn defaults() -> Vec<Scenario> {
    let long = (0..).map(|seed| generate(seed, Profile::Default));
    let mut scenarios: Vec<Scenario> =
        long.filter(|it| it.steps.len() >= STEPS).take(SCENARIOS).collect();
    scenarios.iter_mut().for_each(|scenario| scenario.steps.truncate(STEPS));
    scenarios
}
