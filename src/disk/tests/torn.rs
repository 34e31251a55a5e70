//! Short writes that stop inside a sector.

use super::*;
use FaultKind::{Eio, Enospc, Interrupted, ShortWrite};

/// Where the writes stop: inside sector 2.
const STOP: u32 = 700;

/// Makes write `op` of sevens over sectors 1 to 4 stop inside sector 2.
fn tear(disk: &SimDisk, op: u32, then: &[FaultKind]) {
    let kinds = [ShortWrite(STOP)].iter().chain(then);
    let faults: Vec<_> = (0..).zip(kinds).map(|(call, &kind)| Fault { call, kind }).collect();
    disk.begin(op, &faults);
    let written = as_op(disk, op, disk.file().write_at(&[7; 4 * SECTOR], at(1)));
    assert_eq!(written.unwrap(), STOP as usize);
}

/// `op` writes sectors of sevens from the torn one on.
fn resume(disk: &SimDisk, op: u32, count: usize) -> io::Result<usize> {
    as_op(disk, op, disk.file().write_at(&vec![7; count * SECTOR], at(2)))
}

/// The file where sector 2 is torn.
fn torn() -> Vec<u8> {
    let mut expected = vec![0; WHOLE];
    expected[SECTOR..SECTOR + STOP as usize].fill(7);
    expected
}

#[test]
fn a_torn_sector_is_visible_torn() {
    let disk = disk();
    tear(&disk, OP, &[]);
    assert_eq!(bytes(&disk), torn());
}

#[test]
fn a_torn_sector_is_not_written_while_its_operation_is_under_way() {
    for synced in [false, true] {
        let disk = disk();
        write(&disk, 2, &[3]);
        tear(&disk, OP, &[]);
        if synced {
            sync(&disk);
        }
        disk.crash(CrashPolicy::All);
        assert_eq!(sectors(&disk)[..4], [0, 7, 3, 0]);
    }
}

#[test]
fn another_sync_does_not_keep_older_contents_from_being_durable() {
    let disk = disk();
    write(&disk, 2, &[3]);
    tear(&disk, OP, &[]);
    sync(&disk);
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[..4], [0, 7, 3, 0]);
}

#[test]
fn a_sector_left_torn_is_an_unsynced_change_like_any_other() {
    let left = |synced, survivors| {
        let disk = disk();
        tear(&disk, OP, &[]);
        sync(&disk);
        disk.end(OP, false);
        if synced {
            sync(&disk);
        }
        disk.crash(survivors);
        bytes(&disk)
    };
    assert_eq!(left(false, CrashPolicy::All), torn());
    assert_eq!(left(true, CrashPolicy::None), torn());
    let mut old = torn();
    old[2 * SECTOR..].fill(0);
    assert_eq!(left(false, CrashPolicy::None), old, "what it was before");
}

#[test]
fn a_sector_that_was_completed_is_whole_whatever_survives() {
    for seed in 0..20 {
        let disk = disk();
        tear(&disk, OP, &[]);
        assert_eq!(resume(&disk, OP, 3).unwrap(), 3 * SECTOR);
        disk.crash(CrashPolicy::Random(seed));
        assert!(sectors(&disk)[2..5].iter().all(|&sector| sector == 0 || sector == 7));
    }
}

#[test]
fn another_write_over_a_torn_sector_makes_it_whole() {
    let disk = disk();
    tear(&disk, OP, &[]);
    write(&disk, 2, &[4]);
    assert_eq!(sectors(&disk)[..4], [0, 7, 4, 0]);
    assert_eq!(disk.end(OP, true).torn.as_slice(), [], "nothing is torn any more");
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk), [0; 8]);
}

#[test]
fn a_hole_over_a_torn_sector_makes_it_whole() {
    let disk = disk();
    tear(&disk, OP, &[]);
    block_on(disk.file().punch_hole(at(2), at(1))).unwrap();
    assert_eq!(sectors(&disk)[..4], [0, 7, 0, 0]);
    assert_eq!(disk.end(OP, true).torn.as_slice(), []);
}

/// Which sectors are reported torn where a write was stopped, and its next writes from there on
/// meet `then`: first all that is left, and then the torn sector alone.
fn reported(then: &[FaultKind], given_up: bool) -> Vec<u64> {
    let disk = disk();
    tear(&disk, OP, then);
    for count in [3, 1].into_iter().take(then.len()) {
        resume(&disk, OP, count).unwrap_err();
    }
    disk.end(OP, given_up).unmendable.to_vec()
}

#[test]
fn a_torn_sector_is_reported_only_where_no_device_could_have_helped_it() {
    assert_eq!(reported(&[], false), [], "the device gave up too early");
    assert_eq!(reported(&[Enospc], false), [], "it could have tried the sector alone");
    assert_eq!(reported(&[Enospc, Eio], false), [2]);
    assert_eq!(reported(&[], true), [2], "its future was dropped");
    assert_eq!(reported(&[Interrupted, Enospc], false), [], "an interruption is no refusal");
}

#[test]
fn a_write_elsewhere_that_is_refused_excuses_nothing() {
    let disk = disk();
    tear(&disk, OP, &[Eio, Eio]);
    for _ in 0..2 {
        as_op(&disk, OP, disk.file().write_at(&[7; SECTOR], at(3))).unwrap_err();
    }
    assert_eq!(disk.end(OP, false).unmendable.as_slice(), []);
}

#[test]
fn a_read_reports_the_torn_sectors_that_it_met() {
    let disk = disk();
    tear(&disk, OP, &[]);
    let mut buffer = [0; 2 * SECTOR];
    for (sector, expected) in [(0, &[][..]), (1, &[2][..]), (2, &[2][..]), (3, &[][..])] {
        disk.begin(2, &[]);
        as_op(&disk, 2, disk.file().read_at(&mut buffer, at(sector))).unwrap();
        assert_eq!(disk.end(2, false).torn.as_slice(), expected, "from sector {sector} on");
    }
}

#[test]
fn a_sector_torn_by_two_is_under_way_until_both_have_ended() {
    let disk = disk();
    write(&disk, 2, &[3]);
    sync(&disk);
    tear(&disk, 1, &[]);
    tear(&disk, 2, &[]);
    disk.end(1, false);
    sync(&disk);
    disk.crash(CrashPolicy::All);
    assert_eq!(sectors(&disk)[..4], [0, 7, 3, 0]);
}

#[test]
fn a_torn_sector_that_grew_the_file_is_zeros_while_it_is_under_way() {
    let disk = disk();
    disk.begin(OP, &first(ShortWrite(STOP)));
    as_op(&disk, OP, disk.file().write_at(&[7; 2 * SECTOR], at(8))).unwrap();
    let end = SIZE + u64::from(STOP);
    assert_eq!(length(&disk), end);
    disk.crash(CrashPolicy::All);
    assert_eq!((length(&disk), sectors(&disk)[8..].to_vec()), (end, vec![7, 0]));
}

#[test]
fn a_killed_process_leaves_its_torn_sectors_torn() {
    let disk = disk();
    tear(&disk, OP, &[]);
    disk.crash(CrashPolicy::Kill);
    assert_eq!(bytes(&disk), torn());
    // Nobody mends it, so it may be written back as it is.
    disk.crash(CrashPolicy::All);
    assert_eq!(bytes(&disk), torn());
}

#[test]
fn a_limit_of_the_size_stops_every_write_until_the_device_is_opened_again() {
    let disk = disk();
    disk.begin(OP, &first(FaultKind::SizeLimit(STOP)));
    let whole = || as_op(&disk, OP, disk.file().write_at(&[7; 4 * SECTOR], at(1)));
    assert_eq!(whole().unwrap(), STOP as usize);
    assert_eq!(bytes(&disk), torn());
    // However often, and whoever tries.
    for _ in 0..20 {
        assert_eq!(resume(&disk, OP, 2).unwrap(), STOP as usize - SECTOR);
    }
    let limit = at(1) + u64::from(STOP);
    for offset in [limit, at(4)] {
        assert_errno(as_op(&disk, OP, disk.file().write_at(&[7; 9], offset)), Errno::FBIG);
    }
    // What ends before the limit is written.
    assert_eq!(as_op(&disk, OP, disk.file().write_at(&[7; SECTOR], at(1))).unwrap(), SECTOR);
    let report = disk.end(OP, false);
    assert_eq!(report.met.len(), 23);
    assert_eq!(report.unmendable.as_slice(), [2], "nobody gets that sector whole");
    disk.reopened();
    write(&disk, 1, &[7; 4]);
}

#[test]
fn a_sector_at_the_limit_is_excused_once_it_was_tried_again() {
    for (tries, excused) in [(0, false), (1, true), (5, true)] {
        let disk = disk();
        disk.begin(OP, &first(FaultKind::SizeLimit(STOP)));
        as_op(&disk, OP, disk.file().write_at(&[7; 4 * SECTOR], at(1))).unwrap();
        for _ in 0..tries {
            resume(&disk, OP, 1).unwrap();
        }
        assert_eq!(disk.end(OP, false).unmendable.is_empty(), !excused, "{tries} more tries");
    }
}
