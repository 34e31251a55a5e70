//! A plain fuzz loop: random bytes become operations, and a `Vec` says what each read has to give.
//!
//! No fault, no crash, and no notion of what is durable. A finding is a read that differs, an error
//! (nothing here gives cause for one), a panic or a hang. It is the body of a fuzz target without
//! libFuzzer: no coverage guides the bytes, and none of its cost is paid.

use crate::stand::{Hunt, Machine, fitted, message, trim_effect};
use arbitrary::Unstructured;
use blocktwin::device::{Device, DynDevice, WriteOptions};
use blocktwin::lockstep::Subject;
use blocktwin::model::TrimEffect;
use blocktwin::rng::{Purpose, Rng};
use blocktwin::scenario::{DeviceSpec, Trim};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of an input: some 300 operations.
const INPUT: usize = 2 << 10;

/// Between the words of a write, so that no two places of it look alike.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is wrong with the device, if that is found in time.
pub(crate) fn hunt(hunt: &Hunt) -> Option<String> {
    let mut rng = Rng::new(hunt.seed, Purpose::Operations);
    let subject = hunt.under();
    let mut input = [0; INPUT];
    while !hunt.is_over() {
        input.chunks_exact_mut(8).for_each(|it| it.copy_from_slice(&rng.next_u64().to_le_bytes()));
        let fuzzed = catch_unwind(AssertUnwindSafe(|| fuzz(&input, &subject)));
        if let Err(panic) = fuzzed {
            return Some(message(&*panic));
        }
    }
    None
}

/// What `fuzz_target!` would hold.
fn fuzz(input: &[u8], subject: &impl Subject<Device = DynDevice>) {
    let mut bytes = Unstructured::new(input);
    let Ok(spec) = device(&mut bytes) else { return };
    let spec = fitted(&subject.accepts(), spec);
    let machine = Machine::new(subject, &spec);
    let block = spec.block_size as usize;
    let blocks = usize::try_from(spec.block_count).expect("few blocks");
    let size = blocks * block;
    let open = || Shown { device: machine.open(subject, &spec), machine: &machine };
    let mut device = open();
    let mut model = vec![0; size];
    let check_all = |device: &Shown<'_>, model: &[u8]| {
        (0..size).step_by(block).for_each(|at| device.check(model, at..at + block));
    };
    let longest = blocks.min(machine.heap.largest() / block).min(8);
    while let Ok((op, first, length)) = operation(&mut bytes, blocks, longest) {
        let range = first * block..(first + length) * block;
        let (offset, length) = (range.start as u64, range.len() as u64);
        match op {
            0..=5 => device.check(&model, range),
            6..=11 => {
                let fua = op == 11;
                let first = bytes.arbitrary::<u64>().unwrap_or_default();
                for (word, at) in model[range.clone()].chunks_exact_mut(8).zip(0..) {
                    let tag = first.wrapping_add(ODD.wrapping_mul(at));
                    word.copy_from_slice(&tag.to_le_bytes());
                }
                let mut buffer = machine.buffer(&device.device, length);
                buffer.as_mut_slice().copy_from_slice(&model[range]);
                let options = WriteOptions { fua };
                let written = device.device.write(offset, buffer.as_ref(), options);
                machine.finish(written).expect("writes");
            }
            12 => {
                machine.finish(device.device.trim(offset, length)).expect("trims");
                match trim_effect(subject, &spec) {
                    TrimEffect::Scribble => model[range].fill(0xab),
                    TrimEffect::Zeros => model[range].fill(0),
                    TrimEffect::Nothing => {}
                    // Whatever it is from now on.
                    _ => device.read(range.clone(), |bytes| {
                        model[range].copy_from_slice(bytes);
                    }),
                }
            }
            13 => machine.finish(device.device.flush()).expect("flushes"),
            14 => machine.finish(device.device.barrier()).expect("orders"),
            _ => {
                machine.finish(device.device.close()).expect("closes");
                device = open();
                check_all(&device, &model);
            }
        }
    }
    check_all(&device, &model);
}

/// A device of the sizes that the other tools use as well, but for those that no `Vec` holds.
fn device(bytes: &mut Unstructured<'_>) -> arbitrary::Result<DeviceSpec> {
    let sector_size = if bytes.ratio(1, 8)? { 4096 } else { 512 };
    let block_size = sector_size << bytes.choose(&[0, 0, 0, 0, 1, 2, 3, 3, 3])?;
    let most = *bytes.choose(&[4, 8, 16, 64])?;
    let block_count = bytes.int_in_range(1..=most)?;
    let size = block_count * u64::from(block_size);
    let file_length = if bytes.ratio(5, 8)? { size } else { bytes.int_in_range(0..=size)? };
    let heap = if bytes.ratio(1, 2)? { bytes.int_in_range(1..=8)? } else { 256 } * block_size;
    let trim = *bytes.choose(&[Trim::Scribble, Trim::Scribble, Trim::PunchHole, Trim::Ignore])?;
    let read_only = false;
    Ok(DeviceSpec {
        sector_size,
        block_size,
        block_count,
        file_length,
        heap,
        trim,
        read_only,
        used: false,
    })
}

/// The number of an operation, the first block that it is on, and how many there are.
fn operation(
    bytes: &mut Unstructured<'_>,
    blocks: usize,
    longest: usize,
) -> arbitrary::Result<(u8, usize, usize)> {
    if bytes.len() < 12 {
        return Err(arbitrary::Error::NotEnoughData);
    }
    let length = bytes.int_in_range(1..=longest)?;
    let first = bytes.int_in_range(0..=blocks - length)?;
    Ok((bytes.int_in_range(0..=15)?, first, length))
}

/// An open device, to be looked at.
struct Shown<'a> {
    device: DynDevice,
    machine: &'a Machine,
}

impl Shown<'_> {
    fn read(&self, range: Range<usize>, look: impl FnOnce(&[u8])) {
        let Self { device, machine } = self;
        let mut buffer = machine.buffer(device, range.len() as u64);
        machine.finish(device.read(range.start as u64, buffer.as_mut())).expect("reads");
        look(buffer.as_slice());
    }

    fn check(&self, model: &[u8], range: Range<usize>) {
        self.read(range.clone(), |bytes| assert!(bytes == &model[range], "wrong contents"));
    }
}
