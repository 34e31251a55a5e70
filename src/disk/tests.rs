//! The promises of the simulated disk, one test each.

mod direct;
mod durability;
mod faults;
mod growth;
mod late;
mod lies;
mod media;
mod outlived;
mod protocol;
mod survivors;
mod torn;
mod watched;
mod world;

use super::*;
use crate::exec::block_on;
use crate::file::BackingFile;
use rustix::io::Errno;
use std::future::poll_fn;
use std::pin::pin;

const SECTOR: usize = 512;
const WHOLE: usize = 8 * SECTOR;
const SIZE: u64 = WHOLE as u64;

/// An operation, where a test has only one.
const OP: u32 = 1;

/// A disk in memory with a file of eight sectors of zeros.
fn disk() -> SimDisk {
    let disk = SimDisk::new(Medium::Memory);
    disk.reset(512, SIZE, SIZE).unwrap();
    disk
}

/// A disk of ones, all durable.
#[track_caller]
fn ones() -> SimDisk {
    let disk = disk();
    write(&disk, 0, &[1; 8]);
    sync(&disk);
    disk
}

/// Where a sector begins.
fn at(sector: usize) -> u64 {
    (sector * SECTOR) as u64
}

/// Fills sectors from `first` on with one value each.
#[track_caller]
fn write(disk: &SimDisk, first: usize, values: &[u8]) {
    let data: Vec<u8> = values.iter().flat_map(|&value| [value; SECTOR]).collect();
    assert_eq!(block_on(disk.file().write_at(&data, at(first))).unwrap(), data.len());
}

#[track_caller]
fn sync(disk: &SimDisk) {
    block_on(disk.file().sync_data()).unwrap();
}

#[track_caller]
fn length(disk: &SimDisk) -> u64 {
    block_on(disk.file().len()).unwrap()
}

/// All bytes of the file.
#[track_caller]
fn bytes(disk: &SimDisk) -> Vec<u8> {
    let length = usize::try_from(length(disk)).unwrap();
    let mut bytes = vec![0xee; length + SECTOR];
    assert_eq!(block_on(disk.file().read_at(&mut bytes, 0)).unwrap(), length);
    bytes.truncate(length);
    bytes
}

/// The only value of each sector; the last sector may be a part of one.
#[track_caller]
fn sectors(disk: &SimDisk) -> Vec<u8> {
    let one = |(number, sector): (usize, &[u8])| {
        let whole = sector.iter().all(|&byte| byte == sector[0]);
        assert!(whole, "sector {number} is torn");
        sector[0]
    };
    bytes(disk).chunks(SECTOR).enumerate().map(one).collect()
}

/// The raw calls of operation `op`, also where others take their turns in between.
async fn within<T>(disk: &SimDisk, op: u32, calls: impl Future<Output = T>) -> T {
    let mut calls = pin!(calls);
    poll_fn(|context| {
        let before = disk.enter(op);
        let polled = calls.as_mut().poll(context);
        disk.enter(before);
        polled
    })
    .await
}

/// Makes raw calls of operation `op`, which goes on after them.
fn as_op<T>(disk: &SimDisk, op: u32, calls: impl Future<Output = T>) -> T {
    block_on(within(disk, op, calls))
}

/// Makes the raw calls of one operation, which meets `faults`.
fn run<T>(disk: &SimDisk, faults: &[Fault], calls: impl Future<Output = T>) -> (T, CallReport) {
    disk.begin(OP, faults);
    let output = as_op(disk, OP, calls);
    (output, disk.end(OP, false))
}

/// A fault of the first raw call.
fn first(kind: FaultKind) -> [Fault; 1] {
    [Fault { call: 0, kind }]
}

#[track_caller]
fn assert_errno<T: std::fmt::Debug>(result: io::Result<T>, errno: Errno) {
    assert_eq!(result.unwrap_err().raw_os_error(), Some(errno.raw_os_error()));
}
