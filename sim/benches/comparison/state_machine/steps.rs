//! Which devices there are, and what happens to them.

use blocktwin::disk::{CrashPolicy, Dirty, Fault, FaultKind};
use blocktwin::scenario::{DeviceSpec, Trim};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;

/// One transition: an operation, and what its first raw calls meet.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) faults: Vec<Fault>,
}

/// What is done. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Read { offset: u64, length: u64 },
    Write { offset: u64, length: u64, fua: bool },
    Trim { offset: u64, length: u64 },
    Flush,
    Barrier,
    Reopen,
    Crash(CrashPolicy),
}

/// Sizes of devices near which arithmetic goes wrong, in bytes.
const LANDMARKS: [u64; 4] = [1 << 31, 1 << 32, 1 << 40, 1 << 44];

/// Devices of the sizes that the default campaign has.
pub(super) fn specs() -> impl Strategy<Value = DeviceSpec> {
    let sectors = prop_oneof![7 => Just(512_u32), 1 => Just(4096)];
    let shift = select(&[0, 0, 0, 0, 1, 2, 3, 3, 3][..]);
    let small = select(&[4_u64, 8, 16, 64][..]).prop_flat_map(|most| (Just(0), 1..=most));
    let size = prop_oneof![7 => small, 1 => (select(&LANDMARKS[..]), 0..64_u64)];
    let heap = prop_oneof![1..=8_u32, Just(256)];
    let trim = select(&[Trim::Scribble, Trim::Scribble, Trim::PunchHole, Trim::Ignore][..]);
    let rest = (0..8_u8, any::<u64>(), heap, trim, 0..64_u8);
    (sectors, shift, size, rest).prop_map(|(sector_size, shift, size, rest)| {
        let (kind, cut, heap, trim, writable) = rest;
        let block_size = sector_size << shift;
        let block_count = size.0 / u64::from(block_size) + size.1;
        let bytes = block_count * u64::from(block_size);
        let file_length = match kind {
            0..=4 => bytes,
            5 => 0,
            6 => cut % block_count * u64::from(block_size),
            _ => cut % bytes.min(1 << 20),
        };
        let (heap, read_only) = (heap * block_size, writable == 0);
        DeviceSpec {
            sector_size,
            block_size,
            block_count,
            file_length,
            heap,
            trim,
            read_only,
            used: false,
        }
    })
}

/// The most that one buffer can hold, in blocks.
pub(super) fn longest(spec: &DeviceSpec) -> u32 {
    let blocks = spec.heap / spec.block_size;
    1 << blocks.ilog2()
}

pub(super) fn steps(spec: &DeviceSpec) -> BoxedStrategy<Step> {
    let spans = || spans(spec);
    let write = |fua| move |(offset, length)| Op::Write { offset, length, fua };
    let trim = |(offset, length)| Op::Trim { offset, length };
    let read = |(offset, length)| Op::Read { offset, length };
    let bad = bad_spans(spec);
    let op = prop_oneof![
        30 => spans().prop_map(read),
        30 => spans().prop_map(write(false)),
        4 => spans().prop_map(write(true)),
        6 => spans().prop_map(trim),
        8 => Just(Op::Flush),
        4 => Just(Op::Barrier),
        3 => Just(Op::Reopen),
        5 => survivors().prop_map(Op::Crash),
        1 => bad.clone().prop_map(read),
        1 => bad.clone().prop_map(write(false)),
        1 => bad.prop_map(trim),
    ];
    (op, faults()).prop_map(|(op, faults)| Step { op, faults }).boxed()
}

/// Offset and length of what the device has to serve, often at an edge.
fn spans(spec: &DeviceSpec) -> impl Strategy<Value = (u64, u64)> + use<> {
    let (block, count) = (u64::from(spec.block_size), spec.block_count);
    let most = u64::from(longest(spec).min(32)).min(count);
    let length = prop_oneof![3 => Just(1), 2 => 1..=most.min(4), 1 => 1..=most];
    (length, 0..6_u8, any::<u64>()).prop_map(move |(length, place, at)| {
        let room = count - length;
        let first = match place {
            0 => 0,
            1 => room,
            2 => room - room.min(at % 8),
            _ => at % (room + 1).min(256),
        };
        (first * block, length * block)
    })
}

/// Offset and length of what the device has to refuse.
fn bad_spans(spec: &DeviceSpec) -> impl Strategy<Value = (u64, u64)> + Clone + use<> {
    let (block, size) = (u64::from(spec.block_size), spec.block_count * u64::from(spec.block_size));
    let last = u64::MAX - (block - 1);
    let (odd, middle) = (block / 2, size / 2);
    select(vec![
        (size, block),
        (last, block),
        (1 << 63, block),
        (odd, block),
        (middle, odd),
        (1, 1),
    ])
}

fn survivors() -> impl Strategy<Value = CrashPolicy> {
    prop_oneof![
        4 => (0..u64::from(u32::MAX)).prop_map(CrashPolicy::Random),
        1 => Just(CrashPolicy::None),
        1 => Just(CrashPolicy::All),
    ]
}

/// A transfer that is short, interrupted or fails, or a sync that does.
fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let count = prop_oneof![1..512_u32, select(&[512_u32, 1024, 4096][..]), 1..16_384_u32];
    let kinds = count.prop_flat_map(|count| {
        select(vec![
            vec![FaultKind::Interrupted],
            vec![FaultKind::ShortRead(count)],
            vec![FaultKind::ShortWrite(count)],
            vec![FaultKind::ShortWrite(count), FaultKind::Eio],
            vec![FaultKind::Eio],
            vec![FaultKind::Enospc],
            vec![FaultKind::SyncFailed(Dirty::Kept)],
            vec![FaultKind::SyncFailed(Dirty::Dropped)],
        ])
    });
    let faults = (0..3_u32, kinds)
        .prop_map(|(first, kinds)| (first..).zip(kinds).map(|(call, kind)| Fault { call, kind }));
    prop_oneof![
        5 => Just(Vec::new()),
        1 => faults.prop_map(Iterator::collect),
    ]
}
