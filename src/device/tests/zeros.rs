//! Clauses 12 to 14: zeros, what is known to be zeros, and drains. A cache that writes through.

use super::*;
use crate::exec::RoundRobin;
use crate::file::BackingFile;
use script::Answer::{Error, Slow};

const LENGTH: u64 = 4096;

/// A device full of sevens.
fn full() -> FileBackedDevice<Script> {
    let device = device_with(DeviceOptions::new(BLOCK), SIZE);
    assert_eq!(write(&device, 0, &[7; SIZE]), Ok(()));
    device.file().raw_calls();
    device
}

/// Zeros from the second block on, and the raw calls of that.
#[track_caller]
fn zeroed(device: &FileBackedDevice<Script>, options: ZeroOptions) -> Vec<Raw> {
    assert_eq!(block_on(device.write_zeroes(1024, LENGTH, options)), Ok(()));
    let calls = device.file().raw_calls();
    let after = sectors(&read(device, 0, SIZE).unwrap());
    device.file().raw_calls();
    assert_eq!(after, [[7; 2].as_slice(), &[0; 8], &[7; 6]].concat());
    calls
}

#[test]
fn zeros_are_made_by_the_file_system_in_one_call() {
    let keep = ZeroOptions { fua: false, may_unmap: false };
    assert_eq!(zeroed(&full(), keep), [Raw::Zero(1024, LENGTH)]);
    let fua = ZeroOptions { fua: true, may_unmap: false };
    assert_eq!(zeroed(&full(), fua), [Raw::Zero(1024, LENGTH), Raw::Sync]);
    let unmap = ZeroOptions { fua: false, may_unmap: true };
    assert_eq!(zeroed(&full(), unmap), [Raw::Punch(1024, LENGTH)]);
}

#[test]
fn where_the_file_system_cannot_they_are_written() {
    let device = full();
    device.file().plan(&[Error(Errno::INTR), Error(Errno::OPNOTSUPP), Error(Errno::OPNOTSUPP)]);
    let unmap = ZeroOptions { fua: false, may_unmap: true };
    let write = Raw::Write(1024, 4096);
    let zero = Raw::Zero(1024, LENGTH);
    let punch = Raw::Punch(1024, LENGTH);
    assert_eq!(zeroed(&device, unmap), [punch, punch, zero, write]);
    // It is not asked again.
    assert_eq!(zeroed(&device, unmap), [write]);
}

#[test]
fn an_error_of_zeros_is_surfaced() {
    for options in [ZERO_FUA, ZeroOptions::default()] {
        let device = full();
        device.file().plan(&[Error(Errno::NOSPC)]);
        let refused = block_on(device.write_zeroes(0, LENGTH, options));
        assert_eq!(refused, Err(io_error(Errno::NOSPC)));
        assert_eq!(block_on(device.write_zeroes(0, LENGTH, options)), Ok(()));
    }
}

#[test]
fn a_failed_sync_of_zeros_ends_all_promises() {
    let device = full();
    device.file().plan(&[Answer::Right, Error(Errno::IO)]);
    assert_eq!(write_zeroes(&device, ZERO_FUA), Err(io_error(Errno::IO)));
    assert_eq!(write_zeroes(&device, ZERO_FUA), Err(DeviceError::SyncFailed));
}

#[test]
fn zeros_are_checked_like_a_write() {
    let device = full();
    let size = SIZE as u64;
    let refused = DeviceError::OutOfRange { offset: size, length: 1024, size };
    assert_eq!(block_on(device.write_zeroes(size, 1024, ZERO_FUA)), Err(refused));
    let refused = DeviceError::Misaligned { offset: 1, length: 1024, block_size: BLOCK };
    assert_eq!(block_on(device.write_zeroes(1, 1024, ZERO_FUA)), Err(refused));
    assert_eq!(block_on(device.write_zeroes(0, 0, ZERO_FUA)), Ok(()));
    assert_eq!(device.file().raw_calls(), []);
    let device = device_with(DeviceOptions::new(BLOCK).read_only(true), SIZE);
    assert_eq!(write_zeroes(&device, ZERO_FUA), Err(DeviceError::ReadOnly));
}

#[test]
fn data_is_told_in_whole_blocks_and_never_left_out() {
    let device = device_with(DeviceOptions::new(BLOCK), SIZE);
    assert_eq!(block_on(device.next_data(0)), Ok(None));
    assert_eq!(write(&device, 2048, &[[0; 1000].as_slice(), &[1; 24]].concat()), Ok(()));
    assert_eq!(block_on(device.next_data(0)), Ok(Some(2048..3072)));
    assert_eq!(block_on(device.next_data(2048)), Ok(Some(2048..3072)));
    assert_eq!(block_on(device.next_data(3072)), Ok(None));
    let size = SIZE as u64;
    assert_eq!(block_on(device.next_data(size)), Ok(None));
    let refused = DeviceError::OutOfRange { offset: size + 1, length: 0, size };
    assert_eq!(block_on(device.next_data(size + 1)), Err(refused));
}

#[test]
fn where_the_file_cannot_tell_everything_is_data() {
    let device = device();
    device.file().plan(&[Error(Errno::INTR), Error(Errno::INVAL), Error(Errno::OPNOTSUPP)]);
    assert_eq!(block_on(device.next_data(1024)), Ok(Some(1024..SIZE as u64)));
    assert_eq!(block_on(device.next_data(1024)), Ok(Some(1024..SIZE as u64)));
    device.file().plan(&[Error(Errno::IO)]);
    assert_eq!(block_on(device.next_data(1024)), Err(io_error(Errno::IO)));
}

#[test]
fn what_a_file_has_past_the_device_is_not_its_data() {
    let device = device_with(DeviceOptions::new(BLOCK).block_count(2), SIZE);
    block_on(device.file().write_at(&[1; 512], 4096)).unwrap();
    assert_eq!(block_on(device.next_data(0)), Ok(None));
}

#[test]
fn a_drain_waits_for_the_request_before_it() {
    let device = device();
    device.file().plan(&[Slow(9)]);
    let ended = close::run(RoundRobin::new(), &device, &["write", "drain"]);
    assert_eq!(ended, [("write", Ok(())), ("drain", Ok(()))]);
    assert_eq!(block_on(device.close()), Ok(()));
    assert_eq!(block_on(device.drain()), Err(DeviceError::Closed));
}

#[test]
fn a_device_that_writes_through_syncs_every_change() {
    let device = device_with(DeviceOptions::new(BLOCK).write_through(true), SIZE);
    for (name, change) in changes() {
        assert_eq!(change(&device), Ok(()));
        let syncs = device.file().raw_calls().iter().filter(|&&call| call == Raw::Sync).count();
        assert_eq!(syncs, usize::from(!name.ends_with("of no bytes")), "{name}");
    }
}

#[test]
fn zeros_of_a_real_file_are_holes_where_that_is_allowed() {
    for may_unmap in [true, false] {
        let file = tempfile::tempfile().unwrap();
        let device = block_on(FileBackedDevice::with_options(
            file.try_clone().unwrap(),
            DeviceOptions::new(4096).block_count(64),
        ));
        let device = device.unwrap();
        assert_eq!(block_on(device.next_data(0)), Ok(None));
        assert_eq!(write(&device, 0, &[7; 64 << 12]), Ok(()));
        assert_eq!(block_on(device.next_data(0)), Ok(Some(0..64 << 12)));
        let options = ZeroOptions { fua: true, may_unmap };
        assert_eq!(block_on(device.write_zeroes(1 << 12, 62 << 12, options)), Ok(()));
        let after = read(&device, 0, 64 << 12).unwrap();
        let ends = |byte: u8| after.iter().filter(|&&it| it == byte).count();
        assert_eq!((ends(7), ends(0)), (2 << 12, 62 << 12));
        assert_eq!(block_on(device.next_data(0)).unwrap().map(|data| data.start), Some(0));
        assert_eq!(file.metadata().unwrap().len(), 64 << 12);
        if may_unmap {
            assert_eq!(block_on(device.next_data(0)), Ok(Some(0..1 << 12)));
            assert_eq!(block_on(device.next_data(1 << 12)), Ok(Some(63 << 12..64 << 12)));
        }
    }
}
