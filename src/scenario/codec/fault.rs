//! Faults and survivors as numbers.

use crate::disk::{CrashPolicy, Dirty, Fault, FaultKind};

/// Kinds of faults that tell have numbers up to this one; the numbers of those beyond the last are
/// mapped to them, up to [`LAST_FAULT`], and above that there is none.
const HONEST: u8 = 13;
const LAST_KIND: u8 = 21;
/// The kinds that stay until the device is opened again. Numbers between were mapped to others
/// before there were these.
const ENOSPC_STAYS: u8 = 0x40;
const WRITE_ZERO_STAYS: u8 = 0x41;
const TORN_READ: u8 = 0x42;
const AGAIN: u8 = 0x43;
const PUNCH_UNSUPPORTED: u8 = 0x44;
const EIO_LANDED: u8 = 0x45;
const READ_ONLY_STAYS: u8 = 0x46;
const EIO_STAYS: u8 = 0x47;
/// Three each: kept, dropped, and partly written.
const SYNC_ENOSPC: u8 = 0x48;
const SYNC_EDQUOT: u8 = 0x4b;
const SIZE_LIMIT: u8 = 0x4e;
const FIRST_MAPPED: u8 = LAST_KIND + 1;
const LAST_FAULT: u8 = 0x3f;

/// More raw calls an operation hardly makes; higher numbers are mapped to fewer calls.
const CALLS: u8 = 16;
const FIRST_CALLS: u8 = 4;

/// Numbers of bytes, bits and sectors that do not fit are mapped below this.
const COUNTS: u64 = 8192;

/// Most steps that a call is delayed by, or calls that find no space.
const FEW: u64 = 64;

/// A distance in sectors that does not fit is mapped to less than this, either way.
const FAR: i32 = 8;

/// The fault of these numbers, if it is one.
pub(super) fn fault(kind: u8, call: u8, parameter: u64) -> Option<Fault> {
    let call = if call < CALLS { call } else { call % FIRST_CALLS };
    Some(Fault { call: u32::from(call), kind: kind_of(kind, parameter)? })
}

/// The numbers are part of the format: they are never changed, nor used again.
fn kind_of(code: u8, parameter: u64) -> Option<FaultKind> {
    let count = u32::try_from(parameter).unwrap_or_else(|_| low(parameter % COUNTS + 1));
    let code = match code {
        1..=LAST_KIND => code,
        FIRST_MAPPED..=LAST_FAULT => 1 + code % HONEST,
        ENOSPC_STAYS => return Some(FaultKind::EnospcStays),
        WRITE_ZERO_STAYS => return Some(FaultKind::WriteZeroStays),
        TORN_READ => return Some(FaultKind::TornRead(count)),
        AGAIN => return Some(FaultKind::Again),
        PUNCH_UNSUPPORTED => return Some(FaultKind::PunchUnsupported),
        EIO_LANDED => return Some(FaultKind::EioLanded(parameter)),
        READ_ONLY_STAYS => return Some(FaultKind::ReadOnlyStays),
        EIO_STAYS => return Some(FaultKind::EioStays),
        SYNC_ENOSPC..SYNC_EDQUOT => {
            return Some(FaultKind::SyncEnospc(dirty(code - SYNC_ENOSPC, parameter)));
        }
        SYNC_EDQUOT..SIZE_LIMIT => {
            return Some(FaultKind::SyncEdquot(dirty(code - SYNC_EDQUOT, parameter)));
        }
        SIZE_LIMIT => return Some(FaultKind::SizeLimit(count)),
        _ => return None,
    };
    let few = if parameter <= FEW { low(parameter) } else { low(parameter % FEW) };
    Some(match code {
        1 => FaultKind::Interrupted,
        2 => FaultKind::ShortRead(count),
        3 => FaultKind::ShortWrite(count),
        4 => FaultKind::Eio,
        5 => FaultKind::Enospc,
        6 => FaultKind::EnospcFor(few),
        7 => FaultKind::WriteZero,
        8..=10 => FaultKind::SyncFailed(dirty(code - 8, parameter)),
        11 => FaultKind::WritebackFailed,
        12 => FaultKind::Latency(few),
        13 => FaultKind::LateReturn(few),
        14 => FaultKind::Edquot,
        15 => FaultKind::Efbig,
        16 => FaultKind::BitFlip(count),
        17 => FaultKind::LostWrite,
        18 => FaultKind::MisdirectedWrite(distance(parameter)),
        19 => FaultKind::MisdirectedRead(distance(parameter)),
        20 => FaultKind::StaleRead,
        _ => FaultKind::LatentSector(count),
    })
}

/// What becomes of unsynced data, by number.
fn dirty(code: u8, seed: u64) -> Dirty {
    match code {
        0 => Dirty::Kept,
        1 => Dirty::Dropped,
        _ => Dirty::Partly(seed),
    }
}

/// The number of what becomes of unsynced data, counted from `first`, and its parameter.
fn dirty_numbers(first: u8, dirty: Dirty) -> (u8, u64) {
    match dirty {
        Dirty::Kept => (first, 0),
        Dirty::Dropped => (first + 1, 0),
        Dirty::Partly(seed) => (first + 2, seed),
    }
}

/// The number and the parameter of a kind.
pub(super) fn numbers(kind: FaultKind) -> (u8, u64) {
    let bits = |sectors: i32| u64::from(sectors.cast_unsigned());
    match kind {
        FaultKind::Interrupted => (1, 0),
        FaultKind::ShortRead(count) => (2, count.into()),
        FaultKind::ShortWrite(count) => (3, count.into()),
        FaultKind::Eio => (4, 0),
        FaultKind::Enospc => (5, 0),
        FaultKind::EnospcFor(calls) => (6, calls.into()),
        FaultKind::WriteZero => (7, 0),
        FaultKind::SyncFailed(dirty) => dirty_numbers(8, dirty),
        FaultKind::SyncEnospc(dirty) => dirty_numbers(SYNC_ENOSPC, dirty),
        FaultKind::SyncEdquot(dirty) => dirty_numbers(SYNC_EDQUOT, dirty),
        FaultKind::Again => (AGAIN, 0),
        FaultKind::PunchUnsupported => (PUNCH_UNSUPPORTED, 0),
        FaultKind::EioLanded(landed) => (EIO_LANDED, landed),
        FaultKind::ReadOnlyStays => (READ_ONLY_STAYS, 0),
        FaultKind::EioStays => (EIO_STAYS, 0),
        FaultKind::WritebackFailed => (11, 0),
        FaultKind::Latency(steps) => (12, steps.into()),
        FaultKind::LateReturn(steps) => (13, steps.into()),
        FaultKind::Edquot => (14, 0),
        FaultKind::Efbig => (15, 0),
        FaultKind::SizeLimit(fits) => (SIZE_LIMIT, fits.into()),
        FaultKind::BitFlip(bit) => (16, bit.into()),
        FaultKind::LostWrite => (17, 0),
        FaultKind::MisdirectedWrite(sectors) => (18, bits(sectors)),
        FaultKind::MisdirectedRead(sectors) => (19, bits(sectors)),
        FaultKind::StaleRead => (20, 0),
        FaultKind::LatentSector(sector) => (21, sector.into()),
        FaultKind::EnospcStays => (ENOSPC_STAYS, 0),
        FaultKind::WriteZeroStays => (WRITE_ZERO_STAYS, 0),
        FaultKind::TornRead(count) => (TORN_READ, count.into()),
    }
}

/// A number of sectors, as the bits of an `i32`.
fn distance(parameter: u64) -> i32 {
    match u32::try_from(parameter) {
        Ok(bits) => bits.cast_signed(),
        Err(_) => low(parameter % 16).cast_signed() - FAR,
    }
}

/// A number that is small.
fn low(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The policies that the contract knows have numbers below this; those that are no policy's are
/// mapped to them.
const WITHIN_CONTRACT: u8 = 9;

/// The policy of this number, as [`CrashPolicy::code`] has it.
pub(super) fn survivors(code: u8, seed: u64) -> CrashPolicy {
    let mapped = || CrashPolicy::from_code((code % WITHIN_CONTRACT).into(), seed);
    CrashPolicy::from_code(code.into(), seed).or_else(mapped).unwrap_or(CrashPolicy::None)
}
