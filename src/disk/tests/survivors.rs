//! The policies by which a crash chooses, one by one.

use super::*;
use std::collections::BTreeSet;

/// Three raw calls over ones: twos in sectors 0 and 1, threes in 1 and 2, a four in 3.
fn three_calls() -> SimDisk {
    let disk = ones();
    write(&disk, 0, &[2, 2]);
    write(&disk, 1, &[3, 3]);
    write(&disk, 3, &[4]);
    disk
}

/// What the sectors held since they were durable.
const CONTENTS: [&[u8]; 8] = [&[1, 2], &[1, 2, 3], &[1, 3], &[1, 4], &[1], &[1], &[1], &[1]];

/// What a crash leaves of the first four sectors.
#[track_caller]
fn left(survivors: CrashPolicy) -> [u8; 4] {
    let disk = three_calls();
    disk.crash(survivors);
    let sectors = sectors(&disk);
    assert_eq!(sectors[4..], [1; 4]);
    [sectors[0], sectors[1], sectors[2], sectors[3]]
}

/// The same, over many seeds.
fn ever_left(survivors: fn(u64) -> CrashPolicy) -> BTreeSet<[u8; 4]> {
    (0..60).map(|seed| left(survivors(seed))).collect()
}

#[test]
fn only_the_newest_call_is_kept_or_lost() {
    assert_eq!(left(CrashPolicy::NewestKept), [1, 1, 1, 4]);
    assert_eq!(left(CrashPolicy::NewestLost), [2, 3, 3, 1]);
}

#[test]
fn only_one_call_is_kept_or_lost_and_it_may_be_any() {
    let kept = [[2, 2, 1, 1], [1, 3, 3, 1], [1, 1, 1, 4]];
    assert_eq!(ever_left(CrashPolicy::OneKept), kept.into());
    let lost = [[1, 3, 3, 4], [2, 2, 1, 4], [2, 3, 3, 1]];
    assert_eq!(ever_left(CrashPolicy::OneLost), lost.into());
}

#[test]
fn a_mask_says_which_unsynced_sectors_are_kept() {
    assert_eq!(left(CrashPolicy::Mask(0b0101)), [2, 1, 3, 1]);
    assert_eq!(left(CrashPolicy::Mask(0b1010)), [1, 3, 1, 4]);
    let disk = disk();
    disk.reset(512, 70 * at(1), 70 * at(1)).unwrap();
    write(&disk, 0, &[1; 70]);
    disk.crash(CrashPolicy::Mask(0b10));
    let sectors = sectors(&disk);
    let kept: Vec<_> = (0..70).filter(|&sector| sectors[sector] == 1).collect();
    assert_eq!(kept, [1, 65], "counted modulo 64");
}

#[test]
fn of_a_mask_the_length_counts_first() {
    for (mask, expected) in
        [(0b01, &[0; 9][..]), (0b10, &[0; 8]), (0b11, &[0, 0, 0, 0, 0, 0, 0, 0, 1])]
    {
        let disk = disk();
        write(&disk, 8, &[1]);
        disk.crash(CrashPolicy::Mask(mask));
        assert_eq!(sectors(&disk), expected, "{mask:b}");
    }
}

/// What a crash beyond the contract leaves: each sector's bytes, if it can be read, and whether it
/// is damaged. Checks that the others are sound.
#[track_caller]
fn damage(survivors: CrashPolicy) -> Vec<Option<Vec<u8>>> {
    let disk = three_calls();
    disk.crash(survivors);
    let mut damaged = Vec::new();
    for (sector, contents) in CONTENTS.iter().enumerate() {
        let mut buffer = vec![0; SECTOR];
        let read = async { disk.file().read_at(&mut buffer, at(sector)).await };
        let (read, report) = run(&disk, &[], read);
        if disk.is_damaged(sector as u64) {
            assert!(sector < 4, "sector {sector} was not unsynced");
            let told = report.unreliable.as_slice() == [sector as u64];
            assert!(told || read.is_err(), "whoever reads it is told");
            damaged.push(read.ok().map(|_| buffer));
        } else {
            let whole = buffer.iter().all(|&byte| byte == buffer[0]);
            let sound = whole && contents.contains(&buffer[0]);
            assert!(sound && read.is_ok() && report.unreliable.is_empty(), "sector {sector}");
        }
    }
    damaged
}

/// All damage of many crashes.
#[track_caller]
fn ever_damaged(survivors: fn(u64) -> CrashPolicy) -> Vec<Option<Vec<u8>>> {
    let damaged: Vec<_> = (0..30).flat_map(|seed| damage(survivors(seed))).collect();
    assert!((30..90).contains(&damaged.len()), "{} of 120", damaged.len());
    damaged
}

#[test]
fn a_torn_sector_is_new_up_to_a_byte_and_another_content_from_there_on() {
    let mut torn = 0;
    for bytes in ever_damaged(CrashPolicy::TornBytes) {
        let bytes = bytes.unwrap();
        let runs: Vec<_> = bytes.chunk_by(|one, next| one == next).collect();
        assert!(runs.len() <= 2);
        assert!((2..=4).contains(&runs[0][0]), "begins with what was newest");
        torn += usize::from(runs.len() == 2);
    }
    assert!(torn > 10);
}

#[test]
fn garbage_is_nothing_that_was_ever_there() {
    for bytes in ever_damaged(CrashPolicy::Garbage) {
        let bytes = bytes.unwrap();
        assert!(bytes.chunk_by(|one, next| one == next).count() > SECTOR / 2);
    }
}

#[test]
fn what_is_unreadable_stays_so_until_it_is_written() {
    assert!(ever_damaged(CrashPolicy::Unreadable).iter().all(Option::is_none));
    for seed in 0..10 {
        let disk = three_calls();
        disk.crash(CrashPolicy::Unreadable(seed));
        write(&disk, 0, &[5; 4]);
        assert_eq!(sectors(&disk), [5, 5, 5, 5, 1, 1, 1, 1]);
    }
}

#[test]
fn a_kill_loses_nothing_and_makes_nothing_durable() {
    let disk = ones();
    let before = disk.file();
    write(&disk, 2, &[7]);
    let report = disk.crash(CrashPolicy::Kill);
    assert_eq!((report.lost, report.unsynced), (0, true));
    assert_eq!(sectors(&disk)[..4], [1, 1, 7, 1]);
    // What outlived the process reaches nothing.
    block_on(before.write_at(&[9; SECTOR], at(3))).unwrap_err();
    block_on(before.sync_data()).unwrap_err();
    assert_eq!(sectors(&disk)[..4], [1, 1, 7, 1]);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[..4], [1; 4]);
}

#[test]
fn a_sync_after_a_kill_covers_what_was_left() {
    let disk = ones();
    write(&disk, 2, &[7]);
    disk.crash(CrashPolicy::Kill);
    sync(&disk);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[..4], [1, 1, 7, 1]);
}
