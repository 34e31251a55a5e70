//! Where an operation is.

use super::super::{DeviceSpec, MAX_TRANSFER};
use std::array;

/// Most blocks and bytes of a request that is to be served.
const MOST_BLOCKS: u64 = 64;
const MOST_BYTES: u64 = 1 << 20;

/// Most blocks of an exact range that is not refused.
const MOST_EXACT: u64 = 2048;

/// A request whose length was too large has fewer blocks than this.
const FEW: u64 = 8;

/// From here on, requests are such as the device has to refuse.
const REFUSED: u8 = 0xf8;

/// So many places there are to be near to.
const ANCHORS: usize = 5;

/// Where a request is, in three bytes.
pub(super) struct Place {
    /// Near which of the anchors, or how it is to be wrong.
    pub(super) near: u8,
    pub(super) blocks: u8,
    /// Blocks from the anchor, wrapping around the end of the device.
    pub(super) distance: u8,
}

/// Blocks near which devices go wrong, of the `places` at which a request fits: the first, the
/// last, the end of the file, the middle, and 4 GiB in sectors of 512 bytes.
fn anchors(device: &DeviceSpec, places: u64) -> [u64; ANCHORS] {
    let end = device.file_length / u64::from(device.block_size);
    let near = [0, places, end, places / 2, (1 << 32) / 512];
    array::from_fn(|at| near[at].saturating_sub(8) % places)
}

/// Most blocks of a request that fits the device and its heap.
fn most(device: &DeviceSpec) -> u64 {
    let block = u64::from(device.block_size);
    let heap = u64::from(device.heap);
    MOST_BLOCKS.min(device.block_count).min(heap / block).min(MOST_BYTES / block).max(1)
}

/// Offset and length in bytes.
pub(super) fn decode(place: &Place, device: &DeviceSpec) -> (u64, u64) {
    let block = u64::from(device.block_size);
    let (blocks, most) = (u64::from(place.blocks), most(device));
    let blocks = if blocks <= most { blocks } else { 1 + blocks % most.min(FEW) };
    let places = device.block_count - blocks + 1;
    let anchor = anchors(device, places)[usize::from(place.near) % ANCHORS];
    let offset = (anchor + u64::from(place.distance)) % places * block;
    let length = blocks * block;
    if place.near >= REFUSED {
        return refused(place, device, offset, length);
    }
    (offset, length)
}

/// A request that is wrong, by a number of ways.
fn refused(place: &Place, device: &DeviceSpec, offset: u64, length: u64) -> (u64, u64) {
    let block = u64::from(device.block_size);
    let size = device.block_count * block;
    let odd = 1 + u64::from(place.distance) % (block - 1);
    let length = length.max(block);
    match place.near - REFUSED {
        0 => (offset + odd, length),
        1 => (offset, length + odd),
        2 => (size, length),
        3 => (size - block, length + block),
        4 => (u64::MAX - (block - 1), length),
        5 => (0, beyond(device)),
        6 => (1 << 63, length),
        _ => (size - length, length + 1),
    }
}

/// The bytes for a request, if it is one that is to be served.
pub(super) fn encode(device: &DeviceSpec, offset: u64, length: u64) -> Option<Place> {
    let range = device.geometry().ok()?.check(offset, length).ok()?;
    let block = u64::from(device.block_size);
    let (start, blocks) = (range.start / block, length / block);
    let places = device.block_count - blocks + 1;
    let distances = anchors(device, places).map(|anchor| (start + places - anchor) % places);
    let near = distances.iter().position(|&distance| u8::try_from(distance).is_ok())?;
    let place = Place {
        near: u8::try_from(near).ok()?,
        blocks: u8::try_from(blocks).ok().filter(|_| blocks <= most(device))?,
        distance: u8::try_from(distances[near]).ok()?,
    };
    Some(place)
}

/// An exact range, in bytes: as it is, but for what would take too long.
pub(super) fn exact(
    (offset, length): (u64, u64),
    transfers: bool,
    device: &DeviceSpec,
) -> (u64, u64) {
    let block = u64::from(device.block_size);
    let length = if transfers { length % (2 * MAX_TRANSFER + 1) } else { length };
    let fits = device.geometry().is_ok_and(|it| it.check(offset, length).is_ok());
    let heap = u64::from(device.heap);
    // Beyond the heap a transfer is refused; a trim is not, and may take that long.
    let bounded = if transfers { length > heap } else { length == beyond(device) };
    let longest = (MOST_EXACT * block).min(MAX_TRANSFER);
    (offset, if fits && !bounded && length > longest { length % longest } else { length })
}

/// A length for which the heap has no buffer.
fn beyond(device: &DeviceSpec) -> u64 {
    u64::from(device.heap).next_power_of_two() + u64::from(device.block_size)
}
