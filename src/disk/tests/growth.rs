//! The length of the file: growth, shrinking, holes and the limit.

use super::*;
use std::collections::BTreeSet;

/// The sectors after a crash, over many seeds.
fn outcomes(history: impl Fn(&SimDisk)) -> BTreeSet<Vec<u8>> {
    let left = |seed| {
        let disk = disk();
        history(&disk);
        disk.crash(CrashPolicy::Random(seed));
        sectors(&disk)
    };
    (0..100).map(left).collect()
}

#[test]
fn growth_is_lost_or_kept_whatever_becomes_of_the_data() {
    let left = outcomes(|disk| {
        write(disk, 7, &[1]);
        sync(disk);
        write(disk, 7, &[2, 3]);
    });
    let expected: [&[u8]; 6] = [&[1], &[2], &[1, 0], &[1, 3], &[2, 0], &[2, 3]];
    let expected = expected.map(|end| [&[0; 7], end].concat());
    assert_eq!(left, expected.into());
}

#[test]
fn growth_by_setting_the_length_is_lost_or_kept_too() {
    let left = outcomes(|disk| block_on(disk.file().set_len(2 * SIZE)).unwrap());
    assert_eq!(left, [vec![0; 8], vec![0; 16]].into());
}

#[test]
fn synced_growth_survives() {
    let disk = disk();
    write(&disk, 8, &[1]);
    sync(&disk);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

/// A file whose growth and data a failed sync was to make durable.
fn failed_growth(dirty: Dirty) -> SimDisk {
    let disk = disk();
    write(&disk, 8, &[1]);
    write(&disk, 0, &[2]);
    let fails = first(FaultKind::SyncFailed(dirty));
    run(&disk, &fails, disk.file().sync_data()).0.unwrap_err();
    disk
}

#[test]
fn no_failed_sync_makes_growth_durable() {
    for dirty in [Dirty::Kept, Dirty::Dropped].into_iter().chain((0..20).map(Dirty::Partly)) {
        let disk = failed_growth(dirty);
        disk.crash(CrashPolicy::None);
        assert_eq!(length(&disk), SIZE, "{dirty:?}");
    }
}

#[test]
fn growth_stays_dirty_where_a_failed_sync_drops_the_data() {
    let disk = failed_growth(Dirty::Dropped);
    sync(&disk);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk), [0; 9]);
}

/// What is left of a file that ended inside its sector 8, where that sector was written whole.
fn outcomes_at_the_edge(then: impl Fn(&SimDisk, u64)) -> BTreeSet<(u64, u8)> {
    let left = |seed| {
        let disk = disk();
        disk.reset(512, SIZE + 100, 2 * SIZE).unwrap();
        write(&disk, 8, &[7]);
        then(&disk, seed);
        disk.crash(CrashPolicy::Random(seed));
        (length(&disk) - SIZE, sectors(&disk)[8])
    };
    (0..100).map(left).collect()
}

#[test]
fn a_sector_at_the_old_end_is_not_torn_where_growth_is_lost() {
    let expected = [(100, 0), (512, 0), (512, 7)].into();
    assert_eq!(outcomes_at_the_edge(|_, _| {}), expected);
    let fail_partly = |disk: &SimDisk, seed| {
        let fails = first(FaultKind::SyncFailed(Dirty::Partly(seed)));
        run(disk, &fails, disk.file().sync_data()).0.unwrap_err();
    };
    assert_eq!(outcomes_at_the_edge(fail_partly), [(100, 0), (512, 0)].into());
}

#[test]
fn a_write_far_past_the_end_leaves_zeros_between() {
    let disk = disk();
    write(&disk, 10, &[1]);
    assert_eq!(sectors(&disk), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn what_was_lost_with_the_end_never_comes_back() {
    for seed in 0..100 {
        let disk = disk();
        write(&disk, 7, &[1, 2, 3]);
        disk.crash(CrashPolicy::Random(seed));
        let (left, old) = (sectors(&disk), length(&disk));
        block_on(disk.file().set_len(2 * SIZE)).unwrap();
        let mut expected = left;
        expected.resize(16, 0);
        assert_eq!(sectors(&disk), expected, "grown again from {old}");
    }
}

#[test]
fn a_file_that_was_cut_reads_as_zeros_where_it_grows_again() {
    let disk = disk();
    write(&disk, 0, &[1; 8]);
    block_on(disk.file().set_len(at(2) + 100)).unwrap();
    assert_eq!(length(&disk), at(2) + 100);
    let expected = [vec![1; 1124], vec![0; WHOLE - 1124]].concat();
    block_on(disk.file().set_len(SIZE)).unwrap();
    assert_eq!(bytes(&disk), expected);
}

#[test]
fn a_cut_is_lost_until_synced() {
    for synced in [false, true] {
        let disk = disk();
        write(&disk, 0, &[1; 8]);
        sync(&disk);
        block_on(disk.file().set_len(at(2))).unwrap();
        if synced {
            sync(&disk);
        }
        disk.crash(CrashPolicy::None);
        assert_eq!(sectors(&disk), vec![1; if synced { 2 } else { 8 }]);
    }
}

#[test]
fn what_a_surviving_cut_took_never_comes_back() {
    for seed in 0..100 {
        let disk = disk();
        write(&disk, 0, &[1; 8]);
        sync(&disk);
        block_on(disk.file().set_len(at(2))).unwrap();
        disk.crash(CrashPolicy::Random(seed));
        let cut = length(&disk) == at(2);
        block_on(disk.file().set_len(SIZE)).unwrap();
        if cut {
            assert_eq!(sectors(&disk), [1, 1, 0, 0, 0, 0, 0, 0], "seed {seed}");
        }
    }
}

#[test]
fn a_hole_reads_as_zeros_and_is_lost_until_synced() {
    for synced in [false, true] {
        let disk = disk();
        write(&disk, 0, &[1; 8]);
        sync(&disk);
        block_on(disk.file().punch_hole(at(2), at(3))).unwrap();
        let punched = [1, 1, 0, 0, 0, 1, 1, 1];
        assert_eq!(sectors(&disk), punched);
        if synced {
            sync(&disk);
        }
        disk.crash(CrashPolicy::None);
        assert_eq!(sectors(&disk), if synced { punched } else { [1; 8] });
    }
}

#[test]
fn a_hole_does_not_change_the_length() {
    let disk = disk();
    write(&disk, 0, &[1; 8]);
    for (offset, length) in [(at(7), at(9)), (at(8), at(1)), (at(20), at(1)), (at(7), u64::MAX)] {
        block_on(disk.file().punch_hole(offset, length)).unwrap();
        assert_eq!(sectors(&disk), [1, 1, 1, 1, 1, 1, 1, 0]);
    }
}

#[test]
fn offsets_that_no_file_can_have_are_refused() {
    for offset in [u64::MAX, u64::MAX - 511, i64::MAX as u64] {
        let disk = disk();
        assert_errno(block_on(disk.file().write_at(&[1; SECTOR], offset)), Errno::INVAL);
        assert_eq!(length(&disk), SIZE);
    }
}

/// What an operation that makes these raw calls is reported to have reached past the limit.
#[track_caller]
fn escaped<T>(disk: &SimDisk, calls: impl Future<Output = io::Result<T>>) -> Option<u64> {
    let (result, report) = run(disk, &[], calls);
    assert!(result.is_ok());
    report.escaped
}

#[test]
fn what_reaches_past_the_limit_is_reported() {
    let (disk, data) = (disk(), [1; 2 * SECTOR]);
    let file = disk.file();
    assert_eq!(escaped(&disk, file.write_at(&data, at(6))), None);
    assert_eq!(escaped(&disk, file.punch_hole(at(6), at(2))), None);
    assert_eq!(escaped(&disk, file.set_len(SIZE)), None);
    assert_eq!(escaped(&disk, file.write_at(&data, at(7))), Some(SIZE));
    assert_eq!(escaped(&disk, file.punch_hole(at(7), at(2))), Some(SIZE));
    // The file has grown by a sector.
    assert_eq!(escaped(&disk, file.set_len(SIZE + 1)), Some(SIZE + 1));
    assert_eq!(escaped(&disk, file.set_len(SIZE)), Some(SIZE));
}
