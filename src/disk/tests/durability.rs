//! What is visible, what a sync makes durable, and what a crash leaves.

use super::*;
use crate::exec::{ExecError, Outcome, RoundRobin, Runtime};
use std::collections::BTreeSet;

#[test]
fn a_write_is_visible_at_once_and_lost_until_synced() {
    let disk = disk();
    write(&disk, 1, &[7, 8]);
    assert_eq!(sectors(&disk), [0, 7, 8, 0, 0, 0, 0, 0]);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk), [0; 8]);
}

#[test]
fn what_was_synced_survives_every_crash() {
    for sync_all in [false, true] {
        let disk = disk();
        let file = disk.file();
        write(&disk, 1, &[7, 8]);
        block_on(async { if sync_all { file.sync_all().await } else { file.sync_data().await } })
            .unwrap();
        write(&disk, 2, &[9]);
        disk.crash(CrashPolicy::None);
        assert_eq!(sectors(&disk), [0, 7, 8, 0, 0, 0, 0, 0]);
    }
}

/// A sync, and a write that takes effect in its middle.
fn write_during_sync(faults: &[Fault]) -> SimDisk {
    let disk = disk();
    write(&disk, 0, &[1, 1]);
    disk.begin(OP, faults);
    let file = disk.file();
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    executor.spawn("sync", async {
        assert_eq!(within(&disk, OP, file.sync_data()).await.is_err(), !faults.is_empty());
    });
    executor.spawn("write", async {
        assert_eq!(file.write_at(&[2; 2 * SECTOR], at(1)).await.unwrap(), 2 * SECTOR);
    });
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    drop(executor);
    let order: Vec<_> = journal(&disk).iter().map(|raw| raw.call).collect();
    assert_eq!(order, [Call::Write, Call::Write, Call::Sync], "the write is in the middle");
    disk.end(OP, false);
    disk
}

fn journal(disk: &SimDisk) -> Vec<RawCall> {
    let mut journal = Vec::new();
    disk.drain_journal(|&raw, _| journal.push(raw));
    journal
}

#[test]
fn a_sync_covers_only_what_was_written_before_it_began() {
    let disk = write_during_sync(&[]);
    assert_eq!(sectors(&disk)[..4], [1, 2, 2, 0]);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[..4], [1, 1, 0, 0]);
}

#[test]
fn a_failed_sync_drops_only_what_was_written_before_it_began() {
    let disk = write_during_sync(&first(FaultKind::SyncFailed(Dirty::Dropped)));
    sync(&disk);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[..4], [0, 2, 2, 0]);
}

#[test]
fn a_sync_that_a_crash_cuts_off_has_promised_nothing() {
    let disk = disk();
    write(&disk, 0, &[1]);
    let (file, mut runtime) = (disk.file(), Runtime::new(RoundRobin::new()));
    let mut executor = runtime.executor();
    executor.spawn("sync", async { file.sync_data().await.unwrap() });
    assert!(matches!(executor.run(2), Err(ExecError::StepLimit { .. })));
    drop(executor);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[0], 0);
}

/// Everything that a crash can leave in the first two sectors, over many seeds.
fn outcomes(survivors: fn(u64) -> CrashPolicy, history: impl Fn(&SimDisk)) -> BTreeSet<[u8; 2]> {
    let left = |seed| {
        let disk = disk();
        history(&disk);
        disk.crash(survivors(seed));
        let sectors = sectors(&disk);
        assert_eq!(sectors[2..], [0; 6], "nobody touched these");
        [sectors[0], sectors[1]]
    };
    (0..200).map(left).collect()
}

#[test]
fn a_crash_leaves_every_sector_on_its_own_as_any_content_it_had() {
    let history = |disk: &SimDisk| {
        write(disk, 0, &[1, 1]);
        sync(disk);
        write(disk, 0, &[2, 2]);
        write(disk, 0, &[3]);
    };
    let every = [1, 2, 3].into_iter().flat_map(|one| [[one, 1], [one, 2]]).collect();
    assert_eq!(outcomes(CrashPolicy::Random, history), every);
    assert_eq!(outcomes(CrashPolicy::Runs, history), every);
    assert_eq!(outcomes(|_| CrashPolicy::All, history), [[3, 2]].into());
    assert_eq!(outcomes(|_| CrashPolicy::None, history), [[1, 1]].into());
}

#[test]
fn what_a_crash_has_left_is_durable() {
    for seed in 0..20 {
        let disk = disk();
        write(&disk, 0, &[1, 2, 3, 4]);
        disk.crash(CrashPolicy::Random(seed));
        let left = sectors(&disk);
        write(&disk, 0, &[9, 9, 9, 9]);
        disk.crash(CrashPolicy::None);
        assert_eq!(sectors(&disk), left);
    }
}

#[test]
fn a_crash_ends_the_operations_that_were_under_way() {
    let disk = disk();
    disk.begin(OP, &[Fault { call: 1, kind: FaultKind::Eio }]);
    disk.enter(OP);
    write(&disk, 0, &[1]);
    disk.crash(CrashPolicy::All);
    assert_eq!(disk.enter(OP), 0, "nobody is being polled");
    disk.begin(OP, &[]);
    write(&disk, 0, &[1]);
    assert_eq!(disk.end(OP, true).calls, 1, "and the fault is no more");
}

#[test]
fn all_files_of_a_disk_are_the_same_one() {
    let disk = disk();
    let (one, other) = (disk.file(), disk.file().clone());
    block_on(one.write_at(&[7; SECTOR], 0)).unwrap();
    let mut buffer = [0; SECTOR];
    assert_eq!(block_on(other.read_at(&mut buffer, 0)).unwrap(), SECTOR);
    assert_eq!(buffer, [7; SECTOR]);
}

#[test]
fn a_reset_begins_with_durable_zeros() {
    let disk = disk();
    write(&disk, 0, &[1, 2]);
    sync(&disk);
    disk.begin(OP, &[]);
    disk.enter(OP);
    write(&disk, 1, &[3]);
    disk.reset(512, 2 * SIZE, SIZE).unwrap();
    disk.begin(OP, &[]);
    assert_eq!(disk.end(OP, false).calls, 0);
    assert_eq!(journal(&disk), []);
    assert_eq!(sectors(&disk), [0; 16]);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk), [0; 16]);
}

#[test]
fn the_journal_tells_of_every_raw_call_once() {
    let disk = disk();
    let file = disk.file();
    let (_, report) = run(&disk, &[Fault { call: 1, kind: FaultKind::Eio }], async {
        file.write_at(&[1; SECTOR], at(2)).await.unwrap();
        file.punch_hole(at(1), at(2)).await.unwrap_err();
        file.sync_data().await.unwrap();
    });
    assert_eq!(report.calls, 3);
    assert_eq!(length(&disk), SIZE);
    let raw = |op, call, (offset, length), result, fault| RawCall {
        caller: Caller { op, task: 0 },
        name: 0,
        new_name: 0,
        call,
        offset,
        length,
        result,
        fault,
    };
    let expected = [
        raw(OP, Call::Write, (1024, 512), Ok(512), None),
        raw(OP, Call::Punch, (512, 1024), Err(5), Some(FaultClass::Eio)),
        raw(OP, Call::Sync, (0, 0), Ok(0), None),
        raw(0, Call::Length, (0, 0), Ok(SIZE), None),
    ];
    assert_eq!(journal(&disk), expected);
    assert_eq!(journal(&disk), []);
}
