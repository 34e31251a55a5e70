//! Clause 3: every sector is old or new.

use super::*;
use crate::exec::{Outcome, RandomSchedule, Runtime};
use Answer::{Claim, Error, Short};
use futures::FutureExt;

/// Writes sevens over two blocks of zeros under these answers: it fails with `error` after raw
/// calls of these (offset, length), and the sectors hold `expected`.
#[track_caller]
fn assert_failed(
    answers: &[Answer],
    error: DeviceError,
    calls: &[(u64, usize)],
    expected: [u8; 4],
) {
    let device = device();
    device.file().plan(answers);
    assert_eq!(write(&device, 0, &[7; 2048]), Err(error));
    let calls: Vec<_> = calls.iter().map(|&(offset, length)| Raw::Write(offset, length)).collect();
    assert_eq!(device.file().raw_calls(), calls);
    assert_eq!(sectors(&device.file().bytes()[..2048]), expected);
    assert_eq!(write(&device, 0, &[7; 2048]), Ok(()), "the device stays usable");
}

#[test]
fn a_torn_sector_is_tried_once_more_before_its_write_fails() {
    let calls = [(0, 2048), (512, 1536), (512, 512)];
    let answers = [Short(700), Error(Errno::NOSPC)];
    assert_failed(&answers, io_error(Errno::NOSPC), &calls, [7, 7, 0, 0]);
    assert_failed(&[Short(700), Claim(0)], DeviceError::WriteZero, &calls, [7, 7, 0, 0]);
}

#[test]
fn a_write_that_fails_between_sectors_is_not_tried_again() {
    let answers = [Short(512), Error(Errno::IO)];
    assert_failed(&answers, io_error(Errno::IO), &[(0, 2048), (512, 1536)], [7, 0, 0, 0]);
    assert_failed(&[Error(Errno::IO)], io_error(Errno::IO), &[(0, 2048)], [0; 4]);
}

#[test]
fn a_sector_that_was_torn_and_then_completed_is_left_alone() {
    let answers = [Short(700), Short(512), Error(Errno::IO)];
    let calls = [(0, 2048), (512, 1536), (1024, 1024)];
    assert_failed(&answers, io_error(Errno::IO), &calls, [7, 7, 0, 0]);
}

#[test]
fn the_last_try_absorbs_what_is_transient() {
    let answers = [Short(700), Error(Errno::IO), Error(Errno::INTR), Short(100)];
    let calls = [(0, 2048), (512, 1536), (512, 512), (512, 512), (512, 512)];
    assert_failed(&answers, io_error(Errno::IO), &calls, [7, 7, 0, 0]);
}

#[test]
fn the_error_that_stopped_a_write_outlives_that_of_the_last_try() {
    for refused in [Error(Errno::IO), Claim(0)] {
        let device = device();
        device.file().plan(&[Short(700), Error(Errno::NOSPC), refused]);
        assert_eq!(write(&device, 0, &[7; 2048]), Err(io_error(Errno::NOSPC)));
        assert_eq!(device.file().raw_calls().len(), 3, "{refused:?}");
    }
}

#[test]
fn a_sector_of_4096_bytes_is_resumed_and_finished_as_a_whole() {
    let options = DeviceOptions::new(4096).sector_size(4096);
    let device = device_with(options, SIZE);
    device.file().plan(&[Short(5000), Error(Errno::NOSPC)]);
    assert_eq!(write(&device, 0, &[7; SIZE]), Err(io_error(Errno::NOSPC)));
    let calls = [Raw::Write(0, SIZE), Raw::Write(4096, 4096), Raw::Write(4096, 4096)];
    assert_eq!(device.file().raw_calls(), calls);
    assert_eq!(device.file().bytes(), [7; SIZE]);
}

/// Two writes of the same two blocks, and a reader, with a file that keeps stopping at odd bytes.
fn race(seed: u64) -> Vec<u8> {
    let device = device();
    device.file().plan(&[Short(700), Short(300), Short(1300), Short(513), Short(1)]);
    let mut runtime = Runtime::new(RandomSchedule::new(seed));
    let mut executor = runtime.executor();
    for data in [[1; 2048], [2; 2048]] {
        let device = &device;
        executor.spawn("writer", async move {
            device.write(0, data.as_slice().into(), WriteOptions::default()).await.unwrap();
        });
    }
    assert_eq!(executor.run(1000), Ok(Outcome::Finished));
    drop(executor);
    sectors(&read(&device, 0, 2048).unwrap())
}

#[test]
fn overlapping_writes_do_not_mix_inside_a_sector() {
    let outcomes: Vec<_> = (0..200).map(race).collect();
    assert!(outcomes.iter().flatten().all(|&sector| sector == 1 || sector == 2));
    let both = |outcome: &&Vec<u8>| outcome.contains(&1) && outcome.contains(&2);
    assert!(outcomes.iter().any(|outcome| both(&outcome)), "the writes never interleaved");
}

#[test]
fn a_cancelled_write_leaves_every_sector_old_or_new() {
    let mut seen = Vec::new();
    for polls in 0..8 {
        let device = device();
        device.file().plan(&[Short(512), Short(1024), Error(Errno::INTR)]);
        let mut request =
            Box::pin(device.write(0, [7; 4096].as_slice().into(), WriteOptions::default()));
        let ended = (0..polls).any(|_| request.as_mut().now_or_never().is_some());
        drop(request);
        let written = sectors(&device.file().bytes()[..4096]);
        assert!(written.is_sorted_by(|one, next| one >= next), "{written:?}");
        assert_eq!(ended, written == [7; 8]);
        seen.push(written.iter().filter(|&&sector| sector == 7).count());
        assert_eq!(write(&device, 0, &[8; 4096]), Ok(()), "the device stays usable");
    }
    assert_eq!(seen, [0, 0, 1, 3, 3, 8, 8, 8]);
}
