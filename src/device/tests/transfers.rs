//! Clauses 2, 7 and 9: what is read, and what becomes of the answers of the file.

use super::*;
use Answer::{Claim, Error, Kind, Short};
use std::fs::File;
use std::io::ErrorKind;

const EINTR: Answer = Error(Errno::INTR);

#[test]
fn a_write_is_read_back_by_every_later_read() {
    let device = device();
    for value in 1..=3 {
        assert_eq!(write(&device, 1024, &[value; 2048]), Ok(()));
        assert_eq!(write(&device, 2048, &[value + 10; 1024]), Ok(()));
        let expected = [[0; 2], [value; 2], [value + 10; 2], [0; 2]].concat();
        assert_eq!(sectors(&read(&device, 0, 4096).unwrap()), expected);
    }
}

/// Writes 2048 bytes at 1024 under these answers: the raw calls it takes, and all of it is there.
#[track_caller]
fn assert_written(answers: &[Answer], expected: &[Raw]) {
    let device = device();
    device.file().plan(answers);
    assert_eq!(write(&device, 1024, &[7; 2048]), Ok(()));
    assert_eq!(device.file().raw_calls(), expected);
    assert_eq!(sectors(&device.file().bytes()[..4096]), [0, 0, 7, 7, 7, 7, 0, 0]);
}

#[test]
fn a_short_write_at_an_odd_byte_is_resumed_at_the_sector() {
    assert_written(&[Short(700)], &[Raw::Write(1024, 2048), Raw::Write(1536, 1536)]);
    assert_written(&[Short(1)], &[Raw::Write(1024, 2048), Raw::Write(1024, 2048)]);
    assert_written(&[Short(2047)], &[Raw::Write(1024, 2048), Raw::Write(2560, 512)]);
}

#[test]
fn a_short_write_at_a_sector_boundary_goes_on_behind_it() {
    let calls = [Raw::Write(1024, 2048), Raw::Write(1536, 1536), Raw::Write(2560, 512)];
    assert_written(&[Short(512), Short(1024)], &calls);
}

#[test]
fn an_interrupted_write_goes_on_where_it_was() {
    let calls = [Raw::Write(1024, 2048), Raw::Write(1536, 1536), Raw::Write(1536, 1536)];
    assert_written(&[Short(600), EINTR], &calls);
}

/// Reads 2048 bytes at 1024 under these answers: the raw calls it takes, and all of it is right.
#[track_caller]
fn assert_read(answers: &[Answer], expected: &[Raw]) {
    let device = device();
    let data: Vec<u8> = (0..2048_u32).map(|at| (at % 251) as u8).collect();
    assert_eq!(write(&device, 1024, &data), Ok(()));
    device.file().raw_calls();
    device.file().plan(answers);
    assert_eq!(read(&device, 1024, 2048), Ok(data));
    assert_eq!(device.file().raw_calls(), expected);
}

#[test]
fn a_short_read_is_resumed_where_it_stopped() {
    assert_read(&[Short(700)], &[Raw::Read(1024, 2048), Raw::Read(1724, 1348)]);
    let calls = [Raw::Read(1024, 2048), Raw::Read(1536, 1536), Raw::Read(2560, 512)];
    assert_read(&[Short(512), Short(1024)], &calls);
}

#[test]
fn interruptions_are_absorbed_in_every_call() {
    let trims = [TrimMode::Scribble, TrimMode::PunchHole];
    for device in trims.map(|mode| device_with(DeviceOptions::new(BLOCK).trim(mode), SIZE)) {
        for (request, change) in changes().into_iter().chain(syncs()) {
            device.file().plan(&[EINTR, EINTR, EINTR]);
            assert_eq!(change(&device), Ok(()), "{request}");
        }
        device.file().plan(&[EINTR, EINTR, Short(100), EINTR]);
        assert_eq!(read(&device, 1024, 1024), Ok(vec![0; 1024]));
        device.file().plan(&[EINTR, EINTR]);
        assert_eq!(block_on(device.close()), Ok(()));
    }
    let file = Script::new(SIZE);
    file.plan(&[EINTR, EINTR]);
    let device = block_on(FileBackedDevice::new(file, BLOCK)).unwrap();
    assert_eq!(device.file().raw_calls(), [Raw::Len; 3]);
}

#[test]
fn an_error_of_the_length_is_surfaced() {
    let file = Script::new(SIZE);
    file.plan(&[Error(Errno::IO)]);
    let device = block_on(FileBackedDevice::new(file, BLOCK));
    assert_eq!(device.err(), Some(io_error(Errno::IO)));
}

#[test]
fn a_write_of_which_the_kernel_takes_nothing_is_write_zero() {
    let device = device();
    device.file().plan(&[Claim(0)]);
    assert_eq!(write(&device, 0, &[7; 1024]), Err(DeviceError::WriteZero));
    assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
}

#[test]
fn errors_keep_their_errno_and_leave_the_device_usable() {
    let device = device();
    for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::ROFS] {
        let requests: [Change<FileBackedDevice<Script>>; 3] = [
            ("write", |device| write(device, 0, &[7; 2048])),
            ("trim", |device| block_on(device.trim(0, 2048))),
            ("read", |device| read(device, 0, 2048).map(|_| ())),
        ];
        for (name, request) in requests {
            for answers in [&[Error(errno)][..], &[Short(512), Error(errno)]] {
                device.file().plan(answers);
                assert_eq!(request(&device), Err(io_error(errno)), "{name}: {answers:?}");
                assert_eq!(request(&device), Ok(()), "{name} after {errno}");
            }
        }
        assert_eq!(block_on(device.flush()), Ok(()));
    }
}

#[test]
fn an_error_without_errno_keeps_its_kind() {
    let checksum = DeviceError::Io { kind: ErrorKind::InvalidData, errno: None };
    for (kind, expected) in [
        (ErrorKind::InvalidData, checksum),
        (ErrorKind::WriteZero, DeviceError::WriteZero),
        (ErrorKind::UnexpectedEof, DeviceError::UnexpectedEof),
    ] {
        let device = device();
        device.file().plan(&[Kind(kind), Kind(kind), Kind(kind), Kind(kind)]);
        assert_eq!(write(&device, 0, &[7; 1024]), Err(expected));
        assert_eq!(read(&device, 0, 1024), Err(expected));
        assert_eq!(block_on(device.trim(0, 1024)), Err(expected));
        assert_eq!(block_on(device.flush()), Err(expected));
        assert_eq!(block_on(device.flush()), Err(DeviceError::SyncFailed));
    }
}

#[test]
fn an_interruption_without_errno_is_absorbed() {
    let device = device();
    for (request, change) in changes().into_iter().chain(syncs()) {
        device.file().plan(&[Kind(ErrorKind::Interrupted)]);
        assert_eq!(change(&device), Ok(()), "{request}");
    }
}

#[test]
fn a_file_that_claims_more_than_was_asked_is_an_error_and_no_panic() {
    let device = device();
    let refused = DeviceError::Io { kind: ErrorKind::InvalidData, errno: None };
    for claim in [1025, 1 << 20, usize::MAX] {
        device.file().plan(&[Claim(claim)]);
        assert_eq!(write(&device, 1024, &[7; 1024]), Err(refused));
        device.file().plan(&[Claim(claim)]);
        assert_eq!(read(&device, 1024, 1024), Err(refused));
        device.file().plan(&[Short(512), Claim(513)]);
        assert_eq!(write(&device, 1024, &[7; 1024]), Err(refused), "behind what was done");
        device.file().plan(&[Short(512), Claim(513)]);
        assert_eq!(read(&device, 1024, 1024), Err(refused), "behind what was done");
    }
}

#[test]
fn what_stops_the_kernel_inside_a_sector_is_surfaced() {
    for errno in [Errno::FBIG, Errno::NOSPC, Errno::IO] {
        let device = device();
        let answers = [vec![Short(700)], [Short(200)].repeat(17), vec![Error(errno)]].concat();
        device.file().plan(&answers);
        assert_eq!(write(&device, 1024, &[7; 1024]), Err(io_error(errno)));
        let calls = device.file().raw_calls();
        // The sector is never written in two parts while that could mix it with a neighbour's.
        assert!(calls[1..18].iter().all(|&call| call == Raw::Write(1536, 512)));
        assert_eq!(calls[18..], [Raw::Write(1736, 312), Raw::Write(1536, 512)], "{errno}");
    }
}

#[test]
fn a_write_that_is_to_be_tried_again_is_but_not_for_ever() {
    let again = Error(Errno::AGAIN);
    let calls = [Raw::Write(1024, 2048), Raw::Write(1536, 1536), Raw::Write(1536, 1536)];
    assert_written(&[Short(512), again], &calls);
    let device = device();
    device.file().answer_for_ever(again);
    assert_eq!(write(&device, 0, &[7; 1024]), Err(io_error(Errno::AGAIN)));
}

#[test]
fn a_file_that_is_stuck_inside_a_sector_for_ever_is_given_up() {
    for most in [1, 511] {
        let device = device();
        device.file().answer_for_ever(Short(most));
        assert_eq!(write(&device, 0, &[7; 1024]), Err(DeviceError::WriteZero));
        // The first try and sixteen more, a look for what is wrong, and then as many of the torn
        // sector alone.
        assert_eq!(device.file().raw_calls().len(), 17 + 1 + 16);
        assert_eq!(read(&device, 0, 1024).map(|_| ()), Ok(()), "byte by byte");
    }
}

#[test]
fn a_transfer_that_gets_ahead_is_never_given_up() {
    // Ten times too little in each of sixteen sectors, and then the whole sector.
    let answers = [[Short(100)].repeat(10), vec![Short(512)]].concat().repeat(16);
    let device = device();
    device.file().plan(&answers);
    assert_eq!(write(&device, 0, &[7; SIZE]), Ok(()));
    assert_eq!(device.file().raw_calls().len(), 16 * 11);
    device.file().plan(&[Short(100)].repeat(80));
    assert_eq!(read(&device, 0, SIZE), Ok(vec![7; SIZE]));
    assert_eq!(device.file().raw_calls().len(), 81);
}

/// A device of 8192 bytes over a real file of this length that holds sevens.
fn real(file_length: usize) -> (File, FileBackedDevice) {
    let file = tempfile::tempfile().unwrap();
    assert_eq!(
        block_on(crate::file::BackingFile::write_at(&file, &vec![7; file_length], 0)).unwrap(),
        file_length
    );
    let device = FileBackedDevice::new_with_block_count(file.try_clone().unwrap(), BLOCK, 8);
    (file, device.unwrap())
}

#[test]
fn past_the_end_of_a_short_file_there_are_zeros() {
    for file_length in [0, 1, 512, 700, 1024, 4095, SIZE] {
        let (file, device) = real(file_length);
        let expected = [vec![7; file_length], vec![0; SIZE - file_length]].concat();
        assert_eq!(read(&device, 0, SIZE).as_ref(), Ok(&expected), "{file_length}");
        assert_eq!(read(&device, 1024, 2048).as_deref(), Ok(&expected[1024..3072]));
        assert_eq!(file.metadata().unwrap().len(), file_length as u64, "reading grew the file");
    }
}

#[test]
fn a_short_file_grows_no_further_than_it_is_written() {
    let (file, device) = real(700);
    assert_eq!(write(&device, 2048, &[8; 1024]), Ok(()));
    assert_eq!(file.metadata().unwrap().len(), 3072);
    let expected = [vec![7; 700], vec![0; 1348], vec![8; 1024], vec![0; 5120]].concat();
    assert_eq!(read(&device, 0, SIZE), Ok(expected));
}

#[test]
fn a_file_that_was_cut_under_a_device_of_its_size_is_an_unexpected_end() {
    for file_length in [0, 512, 700, 1024, 4096] {
        let device = device();
        device.file().truncate(file_length);
        assert_eq!(read(&device, 0, SIZE), Err(DeviceError::UnexpectedEof), "{file_length}");
    }
    let (file, _) = real(SIZE);
    let device = block_on(FileBackedDevice::new(file.try_clone().unwrap(), BLOCK)).unwrap();
    file.set_len(3000).unwrap();
    assert_eq!(read(&device, 2048, 1024), Err(DeviceError::UnexpectedEof));
    assert_eq!(read(&device, 0, 2048), Ok(vec![7; 2048]));
}
