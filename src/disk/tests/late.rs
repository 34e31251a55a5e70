//! What comes late: failures of writing back, and calls that others overtake.

use super::*;
use crate::exec::{Outcome, RoundRobin, Runtime};

/// A sync by operation `op`.
fn sync_by(disk: &SimDisk, op: u32) -> (io::Result<()>, CallReport) {
    disk.begin(op, &[]);
    let synced = as_op(disk, op, disk.file().sync_data());
    (synced, disk.end(op, false))
}

/// Ones, over which twos are written to sector `sector` by a write that is never written back, and
/// to sector 3 by an honest one.
#[track_caller]
fn not_written_back(sector: usize) -> SimDisk {
    let (disk, data) = (ones(), [2; SECTOR]);
    let written = async { disk.file().write_at(&data, at(sector)).await };
    let (written, report) = run(&disk, &first(FaultKind::WritebackFailed), written);
    assert_eq!((written.unwrap(), report.met.len()), (SECTOR, 0), "the write knows nothing");
    write(&disk, 3, &[2]);
    assert_eq!((sectors(&disk)[sector], sectors(&disk)[3]), (2, 2));
    disk
}

#[track_caller]
fn assert_told(disk: &SimDisk, op: u32) {
    let (synced, report) = sync_by(disk, op);
    assert_errno(synced, Errno::IO);
    assert_eq!(report.met.as_slice(), first(FaultKind::WritebackFailed));
}

#[test]
fn a_failure_of_writing_back_is_told_once_to_whoever_syncs_next() {
    let disk = not_written_back(2);
    assert_told(&disk, 7);
    for op in [OP, 7, 8] {
        let (synced, report) = sync_by(&disk, op);
        assert!(synced.is_ok() && report.met.is_empty());
    }
    assert_eq!(sectors(&disk)[2..4], [2, 2], "all of it is visible");
    disk.crash(CrashPolicy::All);
    assert_eq!(sectors(&disk)[2..4], [1, 2], "the rest was made durable");
}

#[test]
fn what_was_not_written_back_is_lost_without_a_sync_as_well() {
    let disk = not_written_back(2);
    disk.crash(CrashPolicy::All);
    assert_eq!(sectors(&disk)[2..4], [1, 2]);
    assert!(sync_by(&disk, OP).0.is_ok(), "nor is there anything to be told any more");
}

#[test]
fn what_is_written_over_it_is_written_back() {
    let disk = not_written_back(2);
    write(&disk, 2, &[3]);
    assert_told(&disk, OP);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[2..4], [3, 2]);
}

#[test]
fn growth_is_durable_though_its_data_was_not_written_back() {
    let disk = not_written_back(8);
    assert_told(&disk, OP);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk), [1, 1, 1, 2, 1, 1, 1, 1, 0]);
}

#[test]
fn an_interrupted_sync_tells_nothing() {
    let disk = not_written_back(2);
    let interrupted = run(&disk, &first(FaultKind::Interrupted), disk.file().sync_data());
    assert_errno(interrupted.0, Errno::INTR);
    assert_told(&disk, 2);
}

#[test]
fn two_failures_of_one_sync_are_told_at_once() {
    let disk = not_written_back(2);
    let kind = FaultKind::SyncFailed(Dirty::Kept);
    let (synced, report) = run(&disk, &first(kind), disk.file().sync_data());
    assert_errno(synced, Errno::IO);
    assert_eq!(report.met.as_slice(), first(kind));
    assert!(sync_by(&disk, OP).0.is_ok());
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[2..4], [1, 2]);
}

/// Two writes of one sector at the same time, the first of which meets `kind`: what is there in the
/// end, and the report of the first.
#[track_caller]
fn race(kind: FaultKind) -> (u8, CallReport) {
    let (disk, mut runtime) = (disk(), Runtime::new(RoundRobin::new()));
    disk.begin(1, &first(kind));
    disk.begin(2, &[]);
    let (one, two) = (disk.file(), disk.file());
    let mut executor = runtime.executor();
    executor.spawn("one", async {
        within(&disk, 1, one.write_at(&[1; SECTOR], 0)).await.unwrap();
        within(&disk, 1, one.len()).await.unwrap();
    });
    executor.spawn("two", async {
        within(&disk, 2, two.write_at(&[2; SECTOR], 0)).await.unwrap();
        within(&disk, 2, two.write_at(&[3; SECTOR], 0)).await.unwrap();
    });
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    drop(executor);
    let report = disk.end(1, false);
    (sectors(&disk)[0], report)
}

#[test]
fn latency_lets_others_take_effect_before() {
    let (left, report) = race(FaultKind::Latency(5));
    assert_eq!(left, 1);
    assert_eq!((report.overtaken, report.met.as_slice()), (1, &first(FaultKind::Latency(5))[..]));
}

#[test]
fn a_late_return_lets_others_take_effect_after() {
    let (left, report) = race(FaultKind::LateReturn(5));
    assert_eq!(left, 3);
    let met = first(FaultKind::LateReturn(5));
    assert_eq!((report.overtaken, report.met.as_slice()), (1, &met[..]));
}

#[test]
fn a_delay_where_nobody_else_is_about_is_overtaken_by_nobody() {
    for kind in [FaultKind::Latency(5), FaultKind::LateReturn(5)] {
        let disk = disk();
        let (written, report) = run(&disk, &first(kind), disk.file().write_at(&[1; SECTOR], 0));
        assert_eq!(written.unwrap(), SECTOR);
        assert_eq!((report.overtaken, report.met.as_slice()), (0, &first(kind)[..]));
        assert_eq!(sectors(&disk)[0], 1);
    }
}

#[test]
fn every_descriptor_that_was_open_is_told_of_a_failure_once() {
    let disk = ones();
    let [first_open, second_open] = [(); 2].map(|()| disk.file());
    let failing = async { first_open.sync_data().await };
    let (synced, _) = run(&disk, &first(FaultKind::SyncFailed(Dirty::Dropped)), failing);
    assert_errno(synced, Errno::IO);
    block_on(first_open.sync_data()).unwrap();
    // One that is opened after somebody was told has nothing to hear.
    block_on(disk.file().sync_data()).unwrap();
    assert_errno(block_on(second_open.sync_data()), Errno::IO);
    block_on(second_open.sync_data()).unwrap();
}

#[test]
fn a_failure_that_nobody_was_told_of_is_told_to_whoever_opens_the_file_next() {
    let disk = not_written_back(2);
    disk.crash(CrashPolicy::Kill);
    assert_errno(block_on(disk.file().sync_data()), Errno::IO);
    block_on(disk.file().sync_data()).unwrap();
}
