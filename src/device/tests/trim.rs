//! Clause 8: trim, mode by mode.

use super::*;
use crate::exec::{RoundRobin, Runtime, yield_now};
use std::cell::RefCell;

const SCRIBBLE: u8 = 0xab;

fn trimmer(trim: TrimMode, file_length: usize) -> FileBackedDevice<Script> {
    let blocks = file_length as u64 / u64::from(BLOCK);
    let options = DeviceOptions::new(BLOCK).trim(trim).block_count(blocks);
    let device = device_with(options, file_length);
    assert_eq!(write(&device, 0, &vec![7; file_length]), Ok(()));
    device.file().raw_calls();
    device
}

/// Trims all but the first and the last block, which are untouched; the rest is `expected`.
#[track_caller]
fn assert_trims(device: &impl Device, expected: u8) {
    let (size, block) = (device.geometry().size(), u64::from(BLOCK));
    assert_eq!(block_on(device.trim(block, size - 2 * block)), Ok(()));
    let after = sectors(&read(device, 0, usize::try_from(size).unwrap()).unwrap());
    let middle = after.len() - 4;
    assert_eq!(after, [vec![7; 2], vec![expected; middle], vec![7; 2]].concat());
}

#[test]
fn scribbling_overwrites_its_range_and_nothing_else() {
    assert_trims(&trimmer(TrimMode::Scribble, SIZE), SCRIBBLE);
    // Longer than one piece of it, and no multiple.
    assert_trims(&trimmer(TrimMode::Scribble, 200 << 10), SCRIBBLE);
}

#[test]
fn punching_makes_one_hole_of_exactly_its_range() {
    let device = trimmer(TrimMode::PunchHole, SIZE);
    assert_trims(&device, 0);
    let punches = |call: &Raw| matches!(call, Raw::Punch(..));
    let calls: Vec<_> = device.file().raw_calls().into_iter().filter(punches).collect();
    assert_eq!(calls, [Raw::Punch(1024, SIZE as u64 - 2048)]);
}

#[test]
fn ignoring_does_nothing_after_the_checks() {
    let device = trimmer(TrimMode::Ignore, SIZE);
    assert_eq!(block_on(device.trim(1024, 1024)), Ok(()));
    let size = SIZE as u64;
    let refused = DeviceError::OutOfRange { offset: size, length: 1024, size };
    assert_eq!(block_on(device.trim(size, 1024)), Err(refused));
    assert_eq!(device.file().raw_calls(), []);
}

#[test]
fn a_trim_of_no_bytes_makes_no_raw_call() {
    for mode in [TrimMode::Scribble, TrimMode::PunchHole] {
        let device = trimmer(mode, SIZE);
        assert_eq!(block_on(device.trim(1024, 0)), Ok(()));
        assert_eq!(device.file().raw_calls(), [], "{mode:?}");
    }
}

#[test]
fn a_later_write_is_there_for_good() {
    for mode in [TrimMode::Scribble, TrimMode::PunchHole, TrimMode::Ignore] {
        let device = trimmer(mode, SIZE);
        assert_eq!(block_on(device.trim(0, SIZE as u64)), Ok(()));
        assert_eq!(write(&device, 1024, &[8; 1024]), Ok(()));
        assert_eq!(block_on(device.flush()), Ok(()));
        assert_eq!(read(&device, 1024, 1024), Ok(vec![8; 1024]), "{mode:?}");
    }
}

#[test]
fn a_scribble_that_fails_half_way_leaves_sectors_old_or_trimmed() {
    let device = trimmer(TrimMode::Scribble, SIZE);
    device.file().plan(&[Answer::Short(700), Answer::Error(Errno::NOSPC)]);
    assert_eq!(block_on(device.trim(0, 2048)), Err(io_error(Errno::NOSPC)));
    assert_eq!(sectors(&device.file().bytes()[..2048]), [SCRIBBLE, SCRIBBLE, 7, 7]);
}

#[test]
fn where_no_hole_can_be_punched_the_hint_is_dropped_for_good() {
    let device = trimmer(TrimMode::PunchHole, SIZE);
    device.file().plan(&[Answer::Error(Errno::INTR), Answer::Error(Errno::OPNOTSUPP)]);
    for _ in 0..2 {
        assert_eq!(block_on(device.trim(1024, 1024)), Ok(()));
    }
    let calls = device.file().raw_calls();
    assert_eq!(calls[calls.len() - 2..], [Raw::Punch(1024, 1024); 2], "none after the answer");
    // It is still checked like any other.
    assert!(block_on(device.trim(SIZE as u64, 1024)).is_err());
}

#[test]
fn a_real_file_keeps_its_length_under_a_hole() {
    let file = tempfile::tempfile().unwrap();
    let options = DeviceOptions::new(BLOCK).trim(TrimMode::PunchHole).block_count(8);
    let beneath = file.try_clone().unwrap();
    let device = block_on(FileBackedDevice::with_options(beneath, options)).unwrap();
    assert_eq!(write(&device, 0, &[7; SIZE]), Ok(()));
    assert_trims(&device, 0);
    assert_eq!(block_on(device.trim(SIZE as u64 - 1024, 1024)), Ok(()));
    assert_eq!(file.metadata().unwrap().len(), SIZE as u64);
}

#[test]
fn a_trim_punches_a_hole_unless_another_mode_is_asked_for() {
    assert_trims(&trimmer(TrimMode::default(), SIZE), 0);
}

#[test]
fn a_trim_with_fua_is_followed_by_a_sync() {
    for (mode, calls) in [
        (TrimMode::PunchHole, &[Raw::Punch(1024, 1024), Raw::Sync][..]),
        (TrimMode::Scribble, &[Raw::Write(1024, 1024), Raw::Sync]),
        (TrimMode::Ignore, &[Raw::Sync]),
    ] {
        let device = trimmer(mode, SIZE);
        assert_eq!(block_on(device.trim_fua(1024, 1024)), Ok(()));
        assert_eq!(device.file().raw_calls(), calls);
    }
}

#[test]
fn a_long_scribble_lets_others_run_between_its_pieces() {
    let device = trimmer(TrimMode::Scribble, 256 << 10);
    let order = RefCell::new(Vec::new());
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    executor.spawn("trim", async {
        device.trim(0, 256 << 10).await.unwrap();
        order.borrow_mut().push("trim");
    });
    executor.spawn("other", async {
        // As often as the trim is suspended by its four raw calls, and once for a piece.
        for _ in 0..5 {
            yield_now().await;
        }
        order.borrow_mut().push("other");
    });
    executor.run(100).unwrap();
    drop(executor);
    assert_eq!(order.into_inner(), ["other", "trim"]);
}
