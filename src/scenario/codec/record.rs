//! The records: what the clients do, and what happens to them.

use super::super::{DeviceSpec, DropOn, MAX_FAULTS, Op, Step};
use super::RECORD;
use super::bytes::{Reader, Writer, put};
use super::fault::{fault, numbers, survivors};
use super::header::Header;
use super::place::{self, Place};
use crate::disk::CrashPolicy;
use crate::model::{Data, Request};

/// What a record does. The numbers are part of the format: they are never changed, nor used again.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Code {
    Read = 0,
    Write = 1,
    FuaWrite = 2,
    Trim = 3,
    Flush = 4,
    Barrier = 5,
    Close = 6,
    Reopen = 7,
    Crash = 8,
    /// One more fault for the operation before.
    MoreFaults = 9,
    /// The exact range of the operation before.
    Range = 10,
    /// When the power fails in the operation before, and what survives.
    Failure = 11,
    WriteZeros = 12,
    FuaWriteZeros = 13,
    WritePattern = 14,
    FuaWritePattern = 15,
    WriteSparse = 16,
    FuaWriteSparse = 17,
    Zeroes = 18,
    FuaZeroes = 19,
    Unmap = 20,
    FuaUnmap = 21,
    Drain = 22,
    FuaTrim = 23,
}

const CODES: [Code; 24] = [
    Code::Read,
    Code::Write,
    Code::FuaWrite,
    Code::Trim,
    Code::Flush,
    Code::Barrier,
    Code::Close,
    Code::Reopen,
    Code::Crash,
    Code::MoreFaults,
    Code::Range,
    Code::Failure,
    Code::WriteZeros,
    Code::FuaWriteZeros,
    Code::WritePattern,
    Code::FuaWritePattern,
    Code::WriteSparse,
    Code::FuaWriteSparse,
    Code::Zeroes,
    Code::FuaZeroes,
    Code::Unmap,
    Code::FuaUnmap,
    Code::Drain,
    Code::FuaTrim,
];

/// What the numbers beyond do, modulo 16: a bit of everything, and with the durability flavour
/// mostly writes, syncs and crashes.
const USUAL: &[u8; 16] = b"rrrrwwwwwufftbox";
const DURABILITY: &[u8; 16] = b"rrwwwwwuufffbbxx";

/// So many bits of a parameter fit beside an operation; one more record has space for all.
const PARAMETER_BITS: u32 = 48;

/// Most suspensions before a future is dropped or the power fails; larger numbers mean never.
const MOST_SUSPENSIONS: u8 = 24;

/// Added to the suspensions before a future is dropped, if it is dropped instead of its next poll.
const NEXT_POLL: u8 = 0x80;

impl Code {
    fn new(number: u8, durability: bool) -> Self {
        if let Some(&code) = CODES.get(usize::from(number)) {
            return code;
        }
        let usual = if durability { DURABILITY } else { USUAL };
        match usual[usize::from(number % 16)] {
            b'r' => Self::Read,
            b'w' => Self::Write,
            b'u' => Self::FuaWrite,
            b't' => Self::Trim,
            b'f' => Self::Flush,
            b'b' => Self::Barrier,
            b'o' => Self::Reopen,
            _ => Self::Crash,
        }
    }
}

/// The operation of a record, or `None` where it belongs to the one before, `last`.
pub(super) fn decode(bytes: Reader<'_>, header: &Header, last: Option<&mut Step>) -> Option<Step> {
    let code = Code::new(bytes.byte(0), header.durability);
    let Some(op) = operation(code, bytes, &header.device) else {
        if let Some(step) = last {
            extend(step, code, bytes, &header.device);
        }
        return None;
    };
    let first = fault(bytes.byte(16), bytes.byte(17), bytes.number(18, 6));
    let (drop_at, drop_on) = dropped(bytes.byte(5));
    Some(Step {
        client: bytes.byte(1) % header.clients,
        op,
        faults: first.into_iter().collect(),
        drop_at,
        drop_on,
        crash_at: suspensions(bytes.byte(6)).map(|at| (at, survivors_in(bytes))),
    })
}

/// What a record does, if it does not belong to the one before.
fn operation(code: Code, bytes: Reader<'_>, device: &DeviceSpec) -> Option<Op> {
    let (near, blocks, distance) = (bytes.byte(2), bytes.byte(3), bytes.byte(4));
    let place = Place { near, blocks, distance };
    let write = |fua, data| Op::Write { offset: 0, length: 0, fua, data };
    let op = match code {
        Code::Read => Op::Read { offset: 0, length: 0 },
        Code::Write => write(false, Data::Unique),
        Code::FuaWrite => write(true, Data::Unique),
        Code::WriteZeros => write(false, Data::Zeros),
        Code::FuaWriteZeros => write(true, Data::Zeros),
        Code::WritePattern => write(false, Data::Pattern),
        Code::FuaWritePattern => write(true, Data::Pattern),
        Code::WriteSparse => write(false, Data::Sparse),
        Code::FuaWriteSparse => write(true, Data::Sparse),
        Code::Zeroes => write(false, Data::Zeroed),
        Code::FuaZeroes => write(true, Data::Zeroed),
        Code::Unmap => write(false, Data::Unmapped),
        Code::FuaUnmap => write(true, Data::Unmapped),
        Code::Trim => Op::trim(0, 0),
        Code::FuaTrim => Op::Trim { offset: 0, length: 0, fua: true },
        Code::Drain => Op::Drain,
        Code::Flush => Op::Flush,
        Code::Barrier => Op::Barrier,
        Code::Close => Op::Close,
        Code::Reopen => Op::Reopen,
        Code::Crash => Op::Crash(survivors_in(bytes)),
        Code::MoreFaults | Code::Range | Code::Failure => return None,
    };
    Some(at(op, place::decode(&place, device), device))
}

/// What belongs to the record before.
fn extend(step: &mut Step, code: Code, bytes: Reader<'_>, device: &DeviceSpec) {
    let (first, second) = (bytes.number(8, 8), bytes.number(16, 8));
    match code {
        Code::MoreFaults if step.faults.len() < MAX_FAULTS => {
            step.faults.extend(fault(bytes.byte(1), bytes.byte(2), first));
        }
        Code::Range => step.op = at(step.op, (first, second), device),
        Code::Failure => {
            step.crash_at = suspensions(bytes.byte(6)).map(|at| (at, survivors_in(bytes)));
        }
        _ => {}
    }
}

/// An operation, in a range if it has one.
fn at(mut op: Op, range: (u64, u64), device: &DeviceSpec) -> Op {
    let transfers = !matches!(op, Op::Trim { .. });
    if let Op::Read { offset, length }
    | Op::Write { offset, length, .. }
    | Op::Trim { offset, length, .. } = &mut op
    {
        (*offset, *length) = place::exact(range, transfers, device);
    }
    op
}

/// When the future is dropped, if ever.
fn dropped(number: u8) -> (Option<u32>, DropOn) {
    match number.checked_sub(NEXT_POLL) {
        Some(at @ 0..=MOST_SUSPENSIONS) => (Some(at.into()), DropOn::NextPoll),
        _ => (suspensions(number), DropOn::Suspension),
    }
}

/// After how many suspensions, if ever.
fn suspensions(number: u8) -> Option<u32> {
    (1..=MOST_SUSPENSIONS).contains(&number).then_some(number.into())
}

fn survivors_in(bytes: Reader<'_>) -> CrashPolicy {
    survivors(bytes.byte(7), bytes.number(8, 8))
}

/// Appends the records of a step. What fits into none becomes something else.
pub(super) fn encode(step: &Step, device: &DeviceSpec, bytes: &mut Writer) {
    let code = code_of(step.op);
    let whole = if let Op::Crash(survivors) = step.op { Some(survivors) } else { None };
    let failure = step.crash_at.filter(|&(_, it)| whole.is_some_and(|whole| whole != it));
    let span = step.op.request().and_then(Request::span);
    let place = span.map(|(offset, length)| place::encode(device, offset, length));
    let first = step.faults.first().filter(|it| numbers(it.kind).1 >> PARAMETER_BITS == 0);

    let record = new(bytes, code);
    record[1] = step.client;
    if let Some(Some(place)) = &place {
        record[2..5].copy_from_slice(&[place.near, place.blocks, place.distance]);
    }
    record[5] = match step.drop_on {
        DropOn::Suspension => step.drop_at.map_or(0, byte),
        DropOn::NextPoll => step.drop_at.map_or(0, |at| byte(at).saturating_add(NEXT_POLL)),
    };
    if failure.is_none() {
        put_failure(record, step.crash_at);
    }
    if let Some(survivors) = whole {
        put_survivors(record, survivors);
    }
    if let Some(fault) = first {
        let (kind, parameter) = numbers(fault.kind);
        record[16..18].copy_from_slice(&[kind, byte(fault.call)]);
        put(record, 18, 6, parameter);
    }
    for fault in &step.faults[usize::from(first.is_some())..] {
        let (kind, parameter) = numbers(fault.kind);
        let record = new(bytes, Code::MoreFaults);
        record[1..3].copy_from_slice(&[kind, byte(fault.call)]);
        put(record, 8, 8, parameter);
    }
    if let (Some((offset, length)), Some(None)) = (span, &place) {
        let record = new(bytes, Code::Range);
        put(record, 8, 8, offset);
        put(record, 16, 8, length);
    }
    if failure.is_some() {
        put_failure(new(bytes, Code::Failure), failure);
    }
}

fn code_of(op: Op) -> Code {
    match op {
        Op::Read { .. } => Code::Read,
        Op::Write { fua, data, .. } => match (data, fua) {
            (Data::Unique, false) => Code::Write,
            (Data::Unique, true) => Code::FuaWrite,
            (Data::Zeros, false) => Code::WriteZeros,
            (Data::Zeros, true) => Code::FuaWriteZeros,
            (Data::Pattern, false) => Code::WritePattern,
            (Data::Pattern, true) => Code::FuaWritePattern,
            (Data::Sparse, false) => Code::WriteSparse,
            (Data::Sparse, true) => Code::FuaWriteSparse,
            (Data::Zeroed, false) => Code::Zeroes,
            (Data::Zeroed, true) => Code::FuaZeroes,
            (Data::Unmapped, false) => Code::Unmap,
            (Data::Unmapped, true) => Code::FuaUnmap,
        },
        Op::Trim { fua: false, .. } => Code::Trim,
        Op::Trim { fua: true, .. } => Code::FuaTrim,
        Op::Flush => Code::Flush,
        Op::Barrier => Code::Barrier,
        Op::Drain => Code::Drain,
        Op::Close => Code::Close,
        Op::Reopen => Code::Reopen,
        Op::Crash(_) => Code::Crash,
    }
}

fn new(bytes: &mut Writer, code: Code) -> &mut [u8] {
    let record = bytes.append(RECORD);
    record[0] = code as u8;
    record
}

fn put_failure(record: &mut [u8], crash_at: Option<(u32, CrashPolicy)>) {
    if let Some((at, survivors)) = crash_at {
        record[6] = byte(at);
        put_survivors(record, survivors);
    }
}

fn put_survivors(record: &mut [u8], survivors: CrashPolicy) {
    let (code, seed) = survivors.code();
    record[7] = u8::try_from(code).unwrap_or(u8::MAX);
    put(record, 8, 8, seed);
}

/// A number that is to fit; where it does not, it becomes another, and is found to be.
fn byte(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
