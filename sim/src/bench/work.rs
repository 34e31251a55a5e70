//! W: the work that blocktwin, bare system calls and other harnesses are compared on.
//!
//! Operations of 1 to 8 blocks where nothing else is said: 40 % reads, 40 % writes, 8 % flushes,
//! 4 % trims, 3 % crashes and 5 % operations whose first raw call meets a fault.

use blocktwin::disk::{CrashPolicy, Fault, FaultKind};
use blocktwin::rng::{Purpose, Rng};
use blocktwin::scenario::{DeviceSpec, Op, Scenario, Step, Trim, VERSION};

/// Operations of every scenario.
pub(crate) const STEPS: usize = 64;

/// A device, and the most blocks of an operation on it.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) block_size: u32,
    pub(crate) blocks: u64,
    pub(crate) longest: u64,
}

/// The scenario of this seed, of so many clients.
pub(crate) fn scenario(seed: u64, shape: Shape, clients: u64) -> Scenario {
    let Shape { block_size, blocks, .. } = shape;
    let rng = &mut Rng::new(seed, Purpose::Operations);
    let device = DeviceSpec {
        sector_size: 512,
        block_size,
        block_count: blocks,
        file_length: blocks * u64::from(block_size),
        heap: 256 << 10,
        trim: Trim::Scribble,
        read_only: false,
        used: false,
    };
    Scenario {
        version: VERSION,
        note: String::new(),
        seed: None,
        device,
        steps: (0..STEPS).map(|_| step(rng, shape, clients)).collect(),
        schedule: seed,
        salt: seed,
        in_pieces: false,
        expect: None,
    }
}

fn step(rng: &mut Rng, shape: Shape, clients: u64) -> Step {
    let block = u64::from(shape.block_size);
    let length = rng.between(1, shape.longest);
    let (offset, length) = (rng.between(0, shape.blocks - length) * block, length * block);
    let change = Op::write(offset, length);
    let drawn = rng.weighted(&[40, 40, 8, 4, 3, 5]);
    let op = match drawn {
        0 => change,
        1 => Op::Read { offset, length },
        2 => Op::Flush,
        3 => Op::trim(offset, length),
        4 => Op::Crash(CrashPolicy::Random(rng.next_u64())),
        _ => *rng.pick(&[change, Op::Read { offset, length }]),
    };
    let mut step = Step { client: u8::try_from(rng.below(clients)).unwrap_or(0), ..Step::new(op) };
    if drawn == 5 {
        let short = match op {
            Op::Write { .. } => FaultKind::ShortWrite(512),
            _ => FaultKind::ShortRead(512),
        };
        let kind = *rng.pick(&[short, FaultKind::Interrupted, FaultKind::Eio]);
        step.faults.push(Fault { call: 0, kind });
    }
    step
}
