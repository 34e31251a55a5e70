//! The contract, and the failures that the device is told to have.

use crate::device::{Device, DeviceError, Geometry, WriteOptions};
use crate::exec::block_on;
use crate::model::{Failure, Keep, ModelDevice, ModelOptions, Weak};
use futures::task::noop_waker_ref;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

mod crashes;
mod driver;
mod lockstep;
mod log;
mod mistakes;
mod weak;

const BLOCK: u64 = 1024;
const SIZE: u64 = 8 * BLOCK;
const PLAIN: WriteOptions = WriteOptions { fua: false };

fn device() -> ModelDevice {
    device_with(0, Weak::ALL)
}

/// One without weak forms.
fn strong() -> ModelDevice {
    device_with(0, Weak::NONE)
}

fn device_with(seed: u64, weak: Weak) -> ModelDevice {
    let options = ModelOptions { seed, weak };
    ModelDevice::with_options(Geometry::new(512, 1024, 8).unwrap(), options)
}

#[track_caller]
fn write(device: &ModelDevice, offset: u64, byte: u8, blocks: usize, options: WriteOptions) {
    let data = vec![byte; blocks * 1024];
    block_on(device.write(offset, data[..].into(), options)).unwrap();
}

#[track_caller]
fn read(device: &ModelDevice, offset: u64, blocks: usize) -> Vec<u8> {
    let mut data = vec![0x5a; blocks * 1024];
    block_on(device.read(offset, (&mut data[..]).into())).unwrap();
    data
}

/// Of each sector the byte that fills it.
#[track_caller]
fn sectors(device: &ModelDevice, offset: u64, blocks: usize) -> Vec<u8> {
    let data = read(device, offset, blocks);
    let whole = |sector: &[u8]| sector.iter().all(|&byte| byte == sector[0]);
    assert!(data.chunks(512).all(whole), "a torn sector");
    data.chunks(512).map(|sector| sector[0]).collect()
}

/// The answers to a read, a write and a trim.
fn all_three(device: &ModelDevice, offset: u64, length: usize) -> [Result<(), DeviceError>; 3] {
    let mut data = vec![7; length];
    [
        block_on(device.write(offset, data[..].into(), PLAIN)),
        block_on(device.read(offset, (&mut data[..]).into())),
        block_on(device.trim(offset, length as u64)),
    ]
}

#[test]
fn bad_requests_are_refused_and_change_nothing() {
    let device = device();
    for (offset, length) in [(512, 1024), (0, 512), (1, 0), (u64::MAX, 1024)] {
        let error = DeviceError::Misaligned { offset, length: length as u64, block_size: 1024 };
        assert_eq!(all_three(&device, offset, length), [Err(error); 3]);
    }
    let last = u64::MAX - 1023;
    for (offset, length) in [(SIZE, 1024), (SIZE - BLOCK, 2048), (last, 1024), (last, 0)] {
        let error = DeviceError::OutOfRange { offset, length: length as u64, size: SIZE };
        assert_eq!(all_three(&device, offset, length), [Err(error); 3]);
    }
    assert_eq!(all_three(&device, SIZE, 0), [Ok(()); 3]);
    assert_eq!(sectors(&device, 0, 8), [0; 16]);
}

#[test]
fn a_closed_device_refuses_everything_but_closing() {
    let mut device = device();
    write(&device, 0, 1, 1, PLAIN);
    block_on(device.close()).unwrap();
    assert_eq!(all_three(&device, 0, 1024), [Err(DeviceError::Closed); 3]);
    assert_eq!(block_on(device.flush()), Err(DeviceError::Closed));
    assert_eq!(block_on(device.barrier()), Err(DeviceError::Closed));
    let planned = device.fail_next(Failure::SyncKept);
    assert_eq!(block_on(device.close()), Ok(()));
    assert_eq!(planned.met_by(), None, "another close does nothing");
    device.crash(1);
    assert_eq!(sectors(&device, 0, 1), [1, 1]);
}

#[test]
fn a_read_sees_what_was_written() {
    let device = device();
    assert!(!device.is_read_only());
    write(&device, BLOCK, 1, 3, PLAIN);
    write(&device, 2 * BLOCK, 2, 1, PLAIN);
    assert_eq!(sectors(&device, 0, 5), [0, 0, 1, 1, 2, 2, 1, 1, 0, 0]);
}

/// What is there after a crash, for many seeds, each time on a new device.
fn crashes(weak: Weak, prepare: impl Fn(&ModelDevice)) -> Vec<Vec<u8>> {
    let after = |seed| {
        let mut device = device_with(seed, weak);
        prepare(&device);
        device.crash(seed);
        sectors(&device, 0, 8)
    };
    (0..64).map(after).collect()
}

#[test]
fn a_crash_leaves_each_unsynced_sector_old_or_new() {
    let ends = crashes(Weak::ALL, |device| {
        write(device, 0, 1, 2, WriteOptions::FUA);
        write(device, 0, 2, 2, PLAIN);
        write(device, 0, 3, 1, PLAIN);
    });
    let seen = |at: usize| [0, 1, 2, 3].map(|byte| ends.iter().any(|end| end[at] == byte));
    assert_eq!(seen(0), [false, true, true, true]);
    assert_eq!(seen(3), [false, true, true, false]);
    assert!(ends.iter().any(|end| end[2] != end[3]), "sectors are independent");
    assert!(ends.iter().all(|end| end[4..] == [0; 12]));
}

#[test]
fn what_was_synced_survives() {
    type Sync = fn(&ModelDevice) -> Result<(), DeviceError>;
    let syncs: [Sync; 3] = [
        |device| block_on(device.flush()),
        |device| block_on(device.barrier()),
        |device| block_on(device.close()),
    ];
    for sync in syncs {
        let ends = crashes(Weak { barrier: false, ..Weak::ALL }, |device| {
            write(device, 0, 1, 8, PLAIN);
            sync(device).unwrap();
        });
        assert!(ends.iter().all(|end| *end == [1; 16]));
    }
}

#[test]
fn a_fua_write_is_durable_and_only_that_one() {
    let ends = crashes(Weak::ALL, |device| {
        write(device, 0, 1, 2, PLAIN);
        write(device, BLOCK, 2, 1, WriteOptions::FUA);
    });
    assert!(ends.iter().all(|end| end[2..4] == [2, 2]));
    assert!(ends.iter().any(|end| end[0] == 0) && ends.iter().any(|end| end[0] == 1));
}

#[test]
fn what_a_crash_has_left_stays() {
    let mut device = device();
    write(&device, 0, 1, 8, PLAIN);
    device.crash(3);
    let left = sectors(&device, 0, 8);
    for seed in 0..16 {
        device.crash(seed);
        assert_eq!(sectors(&device, 0, 8), left);
    }
}

#[test]
fn a_trim_stays_in_its_range_and_never_comes_back() {
    let trimmed = |device: &ModelDevice| {
        write(device, 0, 1, 8, WriteOptions::FUA);
        block_on(device.trim(2 * BLOCK, 2 * BLOCK)).unwrap();
    };
    for (weak, scribbles) in [(Weak::ALL, true), (Weak::NONE, false)] {
        let ends = crashes(weak, trimmed);
        for end in &ends {
            assert_eq!((&end[..4], &end[8..]), (&[1; 4][..], &[1; 8][..]));
        }
        let seen = [0, 1, 0xab].map(|byte| ends.iter().any(|end| end[4] == byte));
        assert_eq!(seen, [true, true, scribbles]);
    }
    let ends = crashes(Weak::ALL, |device| {
        trimmed(device);
        write(device, 2 * BLOCK, 2, 2, WriteOptions::FUA);
    });
    assert!(ends.iter().all(|end| end[4..8] == [2; 4]));
}

#[test]
fn a_huge_device_costs_only_what_is_touched() {
    let count = 1 << 52;
    let mut device = ModelDevice::new(Geometry::new(512, 1024, count).unwrap());
    let last = (count - 1) * BLOCK;
    write(&device, last, 1, 1, WriteOptions::FUA);
    block_on(device.trim(0, last)).unwrap();
    device.crash(0);
    assert_eq!(sectors(&device, last - BLOCK, 2), [0, 0, 1, 1]);
}

#[test]
fn a_buffer_comes_from_the_heap_or_is_refused_at_once() {
    let device = device();
    assert_eq!(block_on(device.allocate_buffer(4096)).unwrap().len(), 4096);
    let refused = block_on(device.allocate_buffer(1 << 30)).map(drop);
    assert!(matches!(refused, Err(DeviceError::BufferTooLarge { .. })), "{refused:?}");
}

const ENOSPC: i32 = 28;

fn error(errno: i32) -> DeviceError {
    io::Error::from_raw_os_error(errno).into()
}

#[test]
fn a_request_fails_as_it_is_told_to_and_only_the_next_of_its_sort() {
    let device = strong();
    write(&device, 0, 1, 2, PLAIN);
    // In another order than they are met in.
    let failures = [Failure::Trim(5), Failure::Read(5), Failure::Write(ENOSPC), Failure::Read(4)];
    let planned = failures.map(|failure| device.fail_next(failure));
    block_on(device.flush()).unwrap();
    let refused = all_three(&device, 512, 1024);
    assert!(refused.iter().all(|it| matches!(it, Err(DeviceError::Misaligned { .. }))));
    let failed = [error(ENOSPC), error(5), error(5)].map(Err);
    assert_eq!(all_three(&device, 0, 2048), failed);
    let read = block_on(device.read(0, (&mut [0; 1024][..]).into()));
    assert_eq!(read, Err(error(4)));
    assert!(planned.iter().all(|it| it.met_by().is_some()));
    assert_eq!(sectors(&device, 0, 3), [1, 1, 1, 1, 0, 0], "nothing of the write or of the trim");
    assert_eq!(all_three(&device, 0, 2048), [Ok(()); 3]);
}

#[test]
fn a_crash_keeps_what_it_is_told_to() {
    for (keep, left) in [(Keep::All, 3), (Keep::None, 1)] {
        let mut device = device();
        write(&device, 0, 1, 8, WriteOptions::FUA);
        write(&device, 0, 2, 8, PLAIN);
        write(&device, 0, 3, 8, PLAIN);
        device.crash_with(keep);
        assert_eq!(sectors(&device, 0, 8), [left; 16]);
        device.crash_with(Keep::None);
        assert_eq!(sectors(&device, 0, 8), [left; 16], "it is durable now");
    }
}

type Request = fn(&ModelDevice) -> Result<(), DeviceError>;

/// Whatever syncs.
const SYNCS: [Request; 4] = [
    |device| block_on(device.flush()),
    |device| block_on(device.barrier()),
    |device| block_on(device.close()),
    |device| block_on(device.write(0, (&[2; 1024][..]).into(), WriteOptions::FUA)),
];

/// A device of ones, with twos in block 0 that `sync` could not sync.
#[track_caller]
fn unsynced(failure: Failure, sync: Request) -> ModelDevice {
    let device = device();
    write(&device, 0, 1, 8, WriteOptions::FUA);
    write(&device, 0, 2, 1, PLAIN);
    let planned = device.fail_next(failure);
    assert_eq!(sync(&device), Err(error(5)));
    assert!(planned.met_by().is_some());
    device
}

#[test]
fn after_a_failed_sync_only_reads_go_on_until_the_device_is_opened_again() {
    for failure in [Failure::SyncKept, Failure::SyncDropped] {
        for sync in SYNCS {
            let mut device = unsynced(failure, sync);
            let closed = block_on(device.flush()) == Err(DeviceError::Closed);
            if !closed {
                let failed = Err(DeviceError::SyncFailed);
                assert_eq!(all_three(&device, 0, 1024), [failed, Ok(()), failed]);
                assert_eq!([SYNCS[0](&device), SYNCS[1](&device)], [failed; 2]);
                assert_eq!(sectors(&device, 0, 2), [2, 2, 1, 1], "it is still visible");
            }
            assert_eq!(block_on(device.close()), Err(DeviceError::SyncFailed));
            device.crash_with(Keep::All);
            assert_eq!(SYNCS[3](&device), Ok(()), "it is open");
            assert_eq!(SYNCS[2](&device), Ok(()));
        }
    }
}

#[test]
fn what_a_failed_sync_dropped_is_lost_and_what_it_kept_may_be() {
    for sync in SYNCS {
        for (failure, keep, left) in [
            (Failure::SyncKept, Keep::All, 2),
            (Failure::SyncKept, Keep::None, 1),
            (Failure::SyncDropped, Keep::All, 1),
            (Failure::SyncDropped, Keep::None, 1),
        ] {
            let mut device = unsynced(failure, sync);
            device.crash_with(keep);
            assert_eq!(sectors(&device, 0, 2), [left, left, 1, 1], "{failure:?}, {keep:?}");
        }
    }
}

#[test]
fn a_crash_ends_what_was_to_fail() {
    let mut device = device();
    let failures = [Failure::Read(5), Failure::Write(5), Failure::Trim(5), Failure::SyncKept];
    let planned = failures.map(|failure| device.fail_next(failure));
    device.crash_with(Keep::All);
    assert_eq!(all_three(&device, 0, 1024), [Ok(()); 3]);
    assert!(planned.iter().all(|it| it.met_by().is_none()));
    assert_eq!(block_on(device.flush()), Ok(()));
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(noop_waker_ref()))
}

/// Polls a future until it is ready. Quicker than a runtime.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
}
