//! The header: the device, the schedule and the salt.

use super::super::{DeviceSpec, MAX_BEYOND, MAX_CLIENTS, MAX_TRANSFER, Scenario, Trim};
use super::bytes::{Reader, put};
use super::{FLAVOUR, FORMAT};

/// What the header says.
pub(super) struct Header {
    pub(super) device: DeviceSpec,
    pub(super) schedule: u64,
    pub(super) salt: u64,
    pub(super) in_pieces: bool,
    /// Clients of higher numbers are mapped to these.
    pub(super) clients: u8,
    /// Random records are mostly syncs and crashes.
    pub(super) durability: bool,
}

/// Sizes of devices near which arithmetic goes wrong, in bytes.
const LANDMARKS: [u64; 4] = [1 << 31, 1 << 32, 1 << 40, 1 << 44];

/// Most blocks of a small device, without and with the durability flavour.
const SMALL: u64 = 64;
const FEW: u64 = 8;

/// How the number of blocks is meant: from here on it is counted from a landmark, and the last
/// value says that it is exact.
const LANDMARK: u8 = 0xe0;
const EXACT: u8 = 0xff;

/// How the length of the file is meant: as long as the device, nothing, or, from here on, exact.
const WHOLE_FILE: u8 = 0;
const EMPTY_FILE: u8 = 0xa0;
const EXACT_FILE: u8 = 0xc0;

/// Most bytes of a file whose length was too large for the device.
const MOST_FILE: u64 = 1 << 20;

/// Most blocks of a heap that is not exact.
const HEAP: u64 = 8;
const WHOLE_HEAP: u64 = 256;

const TRIMS: [Trim; 3] = [Trim::Scribble, Trim::PunchHole, Trim::Ignore];

pub(super) fn decode(bytes: Reader<'_>) -> Header {
    let durability = bytes.byte(FLAVOUR) == 1;
    let sector_size = if matches!(bytes.byte(1), 1 | 0xe0..) { 4096 } else { 512 };
    let block_size = sector_size << (bytes.byte(2) % 4);
    let block_count = block_count(bytes, block_size, durability);
    let size = block_count * u64::from(block_size);
    let used = bytes.byte(30) == 1;
    let device = DeviceSpec {
        sector_size,
        block_size,
        block_count,
        file_length: file_length(bytes, size, used),
        heap: heap(bytes.number(24, 4), block_size),
        trim: TRIMS[usize::from(bytes.byte(3)) % TRIMS.len()],
        read_only: bytes.byte(4) == 1,
        used,
    };
    let clients = match bytes.byte(28) {
        0 => MAX_CLIENTS,
        more => 1 + more % 4,
    };
    let (schedule, salt) = (bytes.number(32, 8), bytes.number(40, 8));
    let in_pieces = bytes.byte(31) == 1;
    Header { device, schedule, salt, in_pieces, clients, durability }
}

fn block_count(bytes: Reader<'_>, block_size: u32, durability: bool) -> u64 {
    let (meant, number) = (bytes.byte(5), bytes.number(8, 8));
    let block = u64::from(block_size);
    let most = i64::MAX.cast_unsigned() / block;
    match meant {
        _ if durability => 1 + number % FEW,
        EXACT => 1 + number % most,
        LANDMARK.. => LANDMARKS[usize::from(meant) % LANDMARKS.len()] / block + number % SMALL,
        _ => 1 + number % SMALL,
    }
}

fn file_length(bytes: Reader<'_>, size: u64, used: bool) -> u64 {
    let number = bytes.number(16, 8);
    let beyond = if used { MAX_BEYOND } else { 0 };
    let most = size.saturating_add(beyond).min(i64::MAX.cast_unsigned());
    match bytes.byte(6) {
        WHOLE_FILE..EMPTY_FILE => size,
        EMPTY_FILE..EXACT_FILE => 0,
        _ if number <= most => number,
        _ => number % (size.min(MOST_FILE) + 1),
    }
}

fn heap(number: u64, block_size: u32) -> u32 {
    let block = u64::from(block_size);
    let bytes = match number {
        0 => WHOLE_HEAP * block,
        _ if (block..=MAX_TRANSFER).contains(&number) => number,
        _ => (1 + number % HEAP) * block,
    };
    u32::try_from(bytes).unwrap_or(block_size)
}

pub(super) fn encode(scenario: &Scenario, bytes: &mut [u8]) {
    let device = &scenario.device;
    let block = device.block_size.max(1);
    bytes[0] = FORMAT;
    bytes[1] = u8::from(device.sector_size == 4096);
    let bits = (block / device.sector_size.max(1)).trailing_zeros();
    bytes[2] = u8::try_from(bits).unwrap_or(0);
    bytes[3] = device.trim as u8;
    bytes[4] = u8::from(device.read_only);
    bytes[30] = u8::from(device.used);
    bytes[31] = u8::from(scenario.in_pieces);
    bytes[5] = if device.block_count <= SMALL { 0 } else { EXACT };
    put(bytes, 8, 8, device.block_count.wrapping_sub(1));
    let whole = device.block_count.checked_mul(u64::from(block)) == Some(device.file_length);
    bytes[6] = if whole { WHOLE_FILE } else { EXACT_FILE };
    put(bytes, 16, 8, device.file_length);
    put(bytes, 24, 4, u64::from(device.heap));
    put(bytes, 32, 8, scenario.schedule);
    put(bytes, 40, 8, scenario.salt);
}
