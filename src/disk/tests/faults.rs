//! What a fault does, where, and to whom.

use super::*;
use std::collections::BTreeSet;

/// One raw call of a kind, of two sectors from sector 1 on where it has a range.
async fn make(call: Call, file: &SimFile) -> io::Result<u64> {
    let mut buffer = [9; 2 * SECTOR];
    match call {
        Call::Read => file.read_at(&mut buffer, at(1)).await.map(|count| count as u64),
        Call::Write => file.write_at(&buffer, at(1)).await.map(|count| count as u64),
        Call::Sync => file.sync_data().await.map(|()| 0),
        Call::Length => file.len().await,
        Call::SetLength => file.set_len(at(2)).await.map(|()| 0),
        Call::Punch => file.punch_hole(at(1), at(2)).await.map(|()| 0),
        _ => unreachable!("no call of a file"),
    }
}

const CALLS: [Call; 6] =
    [Call::Read, Call::Write, Call::Sync, Call::Length, Call::SetLength, Call::Punch];

const NOT_SYNC: &[Call] = &[Call::Read, Call::Write, Call::SetLength, Call::Punch, Call::Length];

/// The kinds that fail a call: which errno, and which calls.
const LOUD: [(FaultKind, Errno, &[Call]); 14] = [
    (
        FaultKind::Interrupted,
        Errno::INTR,
        &[Call::Read, Call::Write, Call::Sync, Call::SetLength, Call::Punch],
    ),
    (FaultKind::Eio, Errno::IO, NOT_SYNC),
    (FaultKind::Enospc, Errno::NOSPC, &[Call::Write, Call::Punch]),
    (FaultKind::EnospcFor(0), Errno::NOSPC, &[Call::Write, Call::Punch]),
    (FaultKind::Edquot, Errno::DQUOT, &[Call::Write, Call::Punch]),
    (FaultKind::Efbig, Errno::FBIG, &[Call::Write, Call::SetLength]),
    (FaultKind::SyncFailed(Dirty::Kept), Errno::IO, &[Call::Sync]),
    (FaultKind::SyncEnospc(Dirty::Kept), Errno::NOSPC, &[Call::Sync]),
    (FaultKind::SyncEdquot(Dirty::Kept), Errno::DQUOT, &[Call::Sync]),
    (FaultKind::EioStays, Errno::IO, NOT_SYNC),
    (FaultKind::ReadOnlyStays, Errno::ROFS, &[Call::Write, Call::SetLength, Call::Punch]),
    (FaultKind::Again, Errno::AGAIN, &[Call::Write]),
    (FaultKind::PunchUnsupported, Errno::OPNOTSUPP, &[Call::Punch]),
    (FaultKind::EioLanded(0), Errno::IO, &[Call::Write]),
];

#[test]
fn a_loud_fault_gives_its_errno_and_has_no_effect() {
    for (kind, errno, calls) in LOUD {
        for &call in calls {
            let disk = ones();
            let (result, report) = run(&disk, &first(kind), make(call, &disk.file()));
            assert_errno(result, errno);
            assert_eq!(report.met.as_slice(), first(kind), "{call:?}");
            disk.reopened();
            assert_eq!(sectors(&disk), [1; 8], "{kind:?} of {call:?}");
        }
    }
}

#[test]
fn a_fault_does_not_fire_where_it_does_not_apply() {
    let silent: [(FaultKind, &[Call]); 12] = [
        (FaultKind::ShortRead(100), &[Call::Read]),
        (FaultKind::ShortWrite(100), &[Call::Write]),
        (FaultKind::ShortRead(1024), &[]),
        (FaultKind::ShortWrite(0), &[]),
        (FaultKind::WriteZero, &[Call::Write]),
        (FaultKind::WritebackFailed, &[Call::Write]),
        (FaultKind::LostWrite, &[Call::Write]),
        (FaultKind::MisdirectedWrite(1), &[Call::Write]),
        (FaultKind::MisdirectedRead(1), &[Call::Read]),
        (FaultKind::StaleRead, &[Call::Read]),
        (FaultKind::BitFlip(0), &[Call::Read, Call::Write]),
        (FaultKind::LatentSector(0), &[Call::Read, Call::Write]),
    ];
    let loud = LOUD.map(|(kind, _, calls)| (kind, calls));
    for (kind, applies) in loud.into_iter().chain(silent) {
        for call in CALLS.into_iter().filter(|call| !applies.contains(call)) {
            let (faulty, sound) = (ones(), ones());
            let (result, report) = run(&faulty, &first(kind), make(call, &faulty.file()));
            let expected = block_on(make(call, &sound.file())).unwrap();
            assert_eq!(result.ok(), Some(expected), "{kind:?} of {call:?}");
            assert_eq!(report.met.as_slice(), []);
            assert_eq!(bytes(&faulty), bytes(&sound));
        }
    }
}

#[test]
fn a_write_that_takes_nothing_says_so() {
    let disk = ones();
    let fault = first(FaultKind::WriteZero);
    let (written, report) = run(&disk, &fault, make(Call::Write, &disk.file()));
    assert_eq!((written.unwrap(), report.met.as_slice()), (0, &fault[..]));
    assert_eq!(sectors(&disk), [1; 8]);
}

/// Makes a raw call of operation `op`, which plans no faults of its own.
fn innocent(disk: &SimDisk, op: u32, call: Call) -> (io::Result<u64>, CallReport) {
    disk.begin(op, &[]);
    let result = as_op(disk, op, make(call, &disk.file()));
    (result, disk.end(op, false))
}

#[test]
fn a_full_disk_is_full_for_everybody_and_for_so_many_calls() {
    let disk = ones();
    run(&disk, &first(FaultKind::EnospcFor(2)), make(Call::Write, &disk.file())).0.unwrap_err();
    for (op, call, left) in [(2, Call::Write, 1), (3, Call::Punch, 0)] {
        for needs_none in [Call::Read, Call::Sync, Call::Length] {
            let (result, report) = innocent(&disk, op, needs_none);
            assert!(result.is_ok() && report.met.is_empty(), "{needs_none:?}");
        }
        let (result, report) = innocent(&disk, op, call);
        assert_errno(result, Errno::NOSPC);
        assert_eq!(report.met.as_slice(), first(FaultKind::EnospcFor(left)));
    }
    assert_eq!(sectors(&disk), [1; 8]);
    assert_eq!(innocent(&disk, 4, Call::Write).0.unwrap(), 2 * SECTOR as u64);
}

#[test]
fn a_crash_makes_room_on_a_full_disk() {
    let disk = ones();
    run(&disk, &first(FaultKind::EnospcFor(9)), make(Call::Write, &disk.file())).0.unwrap_err();
    disk.crash(CrashPolicy::All);
    assert!(innocent(&disk, 2, Call::Write).0.is_ok());
}

#[test]
fn a_short_transfer_stops_at_any_byte() {
    for count in [1, 511, 512, 513, 1023] {
        let disk = ones();
        let (kind, many) = (FaultKind::ShortWrite(count), count as usize);
        let (written, report) = run(&disk, &first(kind), make(Call::Write, &disk.file()));
        assert_eq!((written.unwrap(), report.met.as_slice()), (count.into(), &first(kind)[..]));
        let expected = [vec![1; 512], vec![9; many], vec![1; WHOLE - 512 - many]].concat();
        assert_eq!(bytes(&disk), expected);

        let mut buffer = [8; 2 * SECTOR];
        let read = async { disk.file().read_at(&mut buffer, at(1)).await };
        let (read, _) = run(&disk, &first(FaultKind::ShortRead(count)), read);
        assert_eq!(read.unwrap(), many);
        assert_eq!(buffer.as_slice(), [vec![9; many], vec![8; 1024 - many]].concat());
    }
}

#[test]
fn a_fault_is_pinned_to_one_call_of_one_operation() {
    let disk = disk();
    disk.begin(1, &[Fault { call: 1, kind: FaultKind::Eio }]);
    disk.begin(2, &[Fault { call: 0, kind: FaultKind::Enospc }]);
    let file = disk.file();
    let write = |op| as_op(&disk, op, make(Call::Write, &file));
    assert!(write(0).is_ok(), "nobody's call");
    assert!(write(1).is_ok());
    assert_errno(write(2), Errno::NOSPC);
    assert_errno(write(1), Errno::IO);
    assert!(write(1).is_ok() && write(2).is_ok(), "each fault comes once");
    let (one, two) = (disk.end(1, false), disk.end(2, false));
    assert_eq!((one.calls, two.calls), (3, 2));
    assert_eq!(one.met.as_slice(), [Fault { call: 1, kind: FaultKind::Eio }]);
    assert_eq!(two.met.as_slice(), [Fault { call: 0, kind: FaultKind::Enospc }]);
}

#[test]
fn of_several_faults_of_a_call_the_first_that_applies_is_met() {
    let disk = disk();
    let kinds = [FaultKind::ShortRead(1), FaultKind::Enospc, FaultKind::Eio];
    let faults = kinds.map(|kind| Fault { call: 0, kind });
    let (result, report) = run(&disk, &faults, make(Call::Write, &disk.file()));
    assert_errno(result, Errno::NOSPC);
    assert_eq!(report.met.as_slice(), &faults[1..2]);
}

/// Two unsynced sectors of twos over ones, and a sync that fails.
fn failed_sync(disk: &SimDisk, dirty: Dirty) {
    write(disk, 0, &[2, 2]);
    let (result, report) =
        run(disk, &first(FaultKind::SyncFailed(dirty)), make(Call::Sync, &disk.file()));
    assert_errno(result, Errno::IO);
    assert_eq!(report.met.as_slice(), first(FaultKind::SyncFailed(dirty)));
    assert_eq!(sectors(disk)[..3], [2, 2, 1], "all of it stays visible");
}

/// What a crash leaves of the first two sectors.
fn left(disk: &SimDisk, survivors: CrashPolicy) -> [u8; 2] {
    disk.crash(survivors);
    let sectors = sectors(disk);
    assert_eq!(sectors[2..], [1; 6]);
    [sectors[0], sectors[1]]
}

#[test]
fn what_a_failed_sync_kept_is_dirty_as_before() {
    for (again, expected) in [(false, [1, 1]), (true, [2, 2])] {
        let disk = ones();
        failed_sync(&disk, Dirty::Kept);
        if again {
            sync(&disk);
        }
        assert_eq!(left(&disk, CrashPolicy::None), expected);
    }
}

#[test]
fn what_a_failed_sync_dropped_is_lost_unless_written_again() {
    let disk = ones();
    failed_sync(&disk, Dirty::Dropped);
    sync(&disk);
    assert_eq!(left(&disk, CrashPolicy::All), [1, 1], "the second sync said Ok and lied");
    failed_sync(&disk, Dirty::Dropped);
    write(&disk, 1, &[3]);
    sync(&disk);
    assert_eq!(left(&disk, CrashPolicy::None), [1, 3]);
}

#[test]
fn what_a_failed_sync_did_not_write_of_a_part_is_lost() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let disk = ones();
        failed_sync(&disk, Dirty::Partly(seed));
        sync(&disk);
        seen.insert(left(&disk, CrashPolicy::All));
    }
    assert_eq!(seen, [[1, 1], [1, 2], [2, 1], [2, 2]].into());
}

#[test]
fn what_one_failed_sync_dropped_is_not_written_by_part_of_another() {
    for seed in 0..50 {
        let disk = ones();
        failed_sync(&disk, Dirty::Dropped);
        write(&disk, 1, &[3]);
        let partly = first(FaultKind::SyncFailed(Dirty::Partly(seed)));
        run(&disk, &partly, make(Call::Sync, &disk.file())).0.unwrap_err();
        let left = left(&disk, CrashPolicy::All);
        assert!(left == [1, 1] || left == [1, 3], "{left:?}");
    }
}

#[test]
fn a_write_may_fail_and_land_as_a_whole_or_in_part() {
    for (landed, expected) in [(u64::MAX, [2; 4]), (0b101, [2, 1, 2, 1]), (!0b10, [2, 1, 2, 2])] {
        let disk = ones();
        let data = [2; 4 * SECTOR];
        let write = async { disk.file().write_at(&data, 0).await };
        let (result, report) = run(&disk, &first(FaultKind::EioLanded(landed)), write);
        assert_errno(result, Errno::IO);
        assert_eq!(report.met.len(), 1);
        assert_eq!(sectors(&disk)[..5], [&expected[..], &[1]].concat());
        // It is unsynced like any other.
        disk.crash(CrashPolicy::None);
        assert_eq!(sectors(&disk), [1; 8]);
    }
}

#[test]
fn what_stays_stays_until_the_device_is_opened_again() {
    for kind in [FaultKind::EioStays, FaultKind::ReadOnlyStays] {
        let disk = ones();
        run(&disk, &first(kind), make(Call::Write, &disk.file())).0.unwrap_err();
        for call in [Call::Write, Call::Punch, Call::SetLength] {
            run(&disk, &[], make(call, &disk.file())).0.unwrap_err();
        }
        let reads = run(&disk, &[], make(Call::Read, &disk.file())).0;
        assert_eq!(reads.is_ok(), kind == FaultKind::ReadOnlyStays);
        sync(&disk);
        disk.reopened();
        run(&disk, &[], make(Call::Write, &disk.file())).0.unwrap();
    }
}

#[test]
fn a_file_system_that_cannot_punch_never_can() {
    let disk = ones();
    let unsupported = first(FaultKind::PunchUnsupported);
    run(&disk, &unsupported, make(Call::Punch, &disk.file())).0.unwrap_err();
    disk.crash(CrashPolicy::All);
    disk.reopened();
    let punched = run(&disk, &[], make(Call::Punch, &disk.file())).0;
    assert_errno(punched, Errno::OPNOTSUPP);
}
