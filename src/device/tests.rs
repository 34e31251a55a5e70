//! The contract, clause by clause, as [`FileBackedDevice`] keeps it.

mod close;
mod open;
mod opening;
mod pointers;
mod requests;
mod script;
mod sync;
mod tearing;
mod transfers;
mod trim;
mod vectored;
mod zeros;

use self::script::{Answer, Raw, Script};
use super::*;
use crate::exec::block_on;
use rustix::io::Errno;

/// Bytes of a sector, of a block, and of the device that most tests use.
const SECTOR: usize = 512;
const BLOCK: u32 = 1024;
const SIZE: usize = 8192;

/// A device over a whole file of zeros, whose trims are writes.
fn device() -> FileBackedDevice<Script> {
    device_with(DeviceOptions::new(BLOCK).trim(TrimMode::Scribble), SIZE)
}

/// A device over a file of `file_length` zeros.
#[track_caller]
fn device_with(options: DeviceOptions, file_length: usize) -> FileBackedDevice<Script> {
    let options = options.transfer_heap(1 << 16);
    let device = block_on(FileBackedDevice::with_options(Script::new(file_length), options));
    let device = device.unwrap_or_else(|error| panic!("no device: {error}"));
    device.file().raw_calls();
    device
}

fn write(device: &impl Device, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
    block_on(device.write(offset, data.into(), WriteOptions::default()))
}

fn write_fua(device: &impl Device, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
    block_on(device.write(offset, data.into(), WriteOptions::FUA))
}

const ZERO_FUA: ZeroOptions = ZeroOptions { fua: true, may_unmap: true };

/// Zeros over the first block.
fn write_zeroes(device: &impl Device, options: ZeroOptions) -> Result<(), DeviceError> {
    block_on(device.write_zeroes(0, BLOCK.into(), options))
}

/// In pieces of 100 bytes, and an empty one.
fn write_vectored(device: &impl Device, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
    let mut pieces: Vec<BufferRef<'_>> = data.chunks(100).map(BufferRef::from).collect();
    pieces.insert(1, [][..].into());
    block_on(device.write_vectored(offset, &pieces, WriteOptions::default()))
}

/// What the device holds there.
fn read(device: &impl Device, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
    let mut buffer = vec![0xee; length];
    block_on(device.read(offset, buffer.as_mut_slice().into()))?;
    Ok(buffer)
}

/// The error that the device makes of an error of the file.
fn io_error(errno: Errno) -> DeviceError {
    std::io::Error::from(errno).into()
}

/// Each sector's only byte.
#[track_caller]
fn sectors(bytes: &[u8]) -> Vec<u8> {
    let whole = |sector: &[u8]| sector.iter().all(|&byte| byte == sector[0]);
    let one = |(number, sector): (usize, &[u8])| {
        assert!(whole(sector), "sector {number} is torn");
        sector[0]
    };
    bytes.chunks(SECTOR).enumerate().map(one).collect()
}

/// Requests of every kind that changes something or makes it durable, on the first block.
type Change<D> = (&'static str, fn(&D) -> Result<(), DeviceError>);

fn changes<D: Device>() -> [Change<D>; 9] {
    [
        ("write", |device| write(device, 0, &[9; BLOCK as usize])),
        ("write of no bytes", |device| write(device, 0, &[])),
        ("write with fua", |device| write_fua(device, 0, &[9; BLOCK as usize])),
        ("trim", |device| block_on(device.trim(0, BLOCK.into()))),
        ("trim of no bytes", |device| block_on(device.trim(0, 0))),
        ("trim with fua", |device| block_on(device.trim_fua(0, BLOCK.into()))),
        ("zeros", |device| write_zeroes(device, ZeroOptions::default())),
        ("zeros with fua", |device| write_zeroes(device, ZERO_FUA)),
        ("vectored write", |device| write_vectored(device, 0, &[9; BLOCK as usize])),
    ]
}

fn syncs<D: Device>() -> [Change<D>; 2] {
    [("flush", |device| block_on(device.flush())), ("barrier", |device| block_on(device.barrier()))]
}
