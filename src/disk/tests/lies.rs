//! A medium that lies, and one that cannot read what it holds.

use super::*;
use std::collections::BTreeSet;

/// What an operation reads of `count` sectors from `sector` on, each by its first byte, and the
/// sectors that it is told to be unreliable.
#[track_caller]
fn look(disk: &SimDisk, faults: &[Fault], sector: usize, count: usize) -> (Vec<u8>, Vec<u64>) {
    let mut buffer = vec![0xee; count * SECTOR];
    let read = async { disk.file().read_at(&mut buffer, at(sector)).await };
    let (read, mut report) = run(disk, faults, read);
    assert_eq!((read.unwrap(), report.met.as_slice()), (buffer.len(), faults));
    report.unreliable.sort_unstable();
    (buffer.chunks(SECTOR).map(|sector| sector[0]).collect(), report.unreliable.to_vec())
}

/// Asserts what every read sees and is told from now on.
#[track_caller]
fn assert_holds(disk: &SimDisk, seen: &[u8], wrong: &[u64]) {
    assert_eq!(look(disk, &[], 0, 8), (seen.to_vec(), wrong.to_vec()));
    let damaged = (0..8).filter(|&sector| disk.is_damaged(sector));
    assert_eq!(damaged.collect::<Vec<_>>(), wrong);
}

/// Faults of a write of twos to sectors 2 and 3 over ones: what is there then, and what is wrong.
const WRITES: [(FaultKind, [u8; 8], &[u64]); 7] = [
    (FaultKind::BitFlip(0), [1, 1, 3, 2, 1, 1, 1, 1], &[2]),
    (FaultKind::BitFlip(8 * 3 * 512 + 1), [1, 1, 2, 0, 1, 1, 1, 1], &[3]),
    (FaultKind::LostWrite, [1; 8], &[2, 3]),
    (FaultKind::MisdirectedWrite(2), [1, 1, 1, 1, 2, 2, 1, 1], &[2, 3, 4, 5]),
    (FaultKind::MisdirectedWrite(1), [1, 1, 1, 2, 2, 1, 1, 1], &[2, 3, 4]),
    (FaultKind::MisdirectedWrite(-2), [2, 2, 1, 1, 1, 1, 1, 1], &[0, 1, 2, 3]),
    // One that would leave the file either way goes nowhere.
    (FaultKind::MisdirectedWrite(5), [1; 8], &[2, 3]),
];

/// Makes the write that meets this.
#[track_caller]
fn lie(kind: FaultKind) -> SimDisk {
    let (disk, data) = (ones(), [2; 2 * SECTOR]);
    let (written, report) = run(&disk, &first(kind), disk.file().write_at(&data, at(2)));
    assert_eq!((written.unwrap(), report.met.as_slice()), (data.len(), &first(kind)[..]));
    disk
}

#[test]
fn a_write_that_lies_leaves_sectors_wrong_for_every_reader() {
    for (kind, seen, wrong) in WRITES {
        let disk = lie(kind);
        assert_holds(&disk, &seen, wrong);
        assert_holds(&disk, &seen, wrong);
        assert_eq!(look(&disk, &[], 6, 2), (vec![1, 1], vec![]), "{kind:?}: others are not");
    }
}

#[test]
fn a_lie_is_lost_in_a_crash_or_durable_like_any_write() {
    for (kind, seen, wrong) in WRITES {
        let disk = lie(kind);
        disk.crash(CrashPolicy::None);
        assert_holds(&disk, &[1; 8], &[]);
        for survivors in [CrashPolicy::All, CrashPolicy::None] {
            let disk = lie(kind);
            if survivors == CrashPolicy::None {
                sync(&disk);
            }
            disk.crash(survivors);
            assert_holds(&disk, &seen, wrong);
        }
    }
}

#[test]
fn a_rewrite_heals_and_the_lie_comes_back_where_a_crash_undoes_it() {
    for (kind, seen, wrong) in WRITES {
        for (survivors, undone) in [(CrashPolicy::All, false), (CrashPolicy::None, true)] {
            let disk = lie(kind);
            sync(&disk);
            write(&disk, 0, &[3; 8]);
            assert_holds(&disk, &[3; 8], &[]);
            disk.crash(survivors);
            if undone {
                assert_holds(&disk, &seen, wrong);
            } else {
                assert_holds(&disk, &[3; 8], &[]);
            }
        }
    }
}

#[test]
fn a_crash_can_leave_the_lie_between_two_right_contents() {
    let left = (0..20).map(|seed| {
        let disk = lie(FaultKind::BitFlip(0));
        write(&disk, 2, &[4]);
        disk.crash(CrashPolicy::OneKept(seed));
        let (seen, wrong) = look(&disk, &[], 2, 1);
        (seen[0], !wrong.is_empty())
    });
    let left: BTreeSet<_> = left.collect();
    assert_eq!(left, [(3, true), (4, false)].into());
}

/// Changes a few bytes of sectors 2 and 3, which are wrong otherwise.
type Touch = fn(&SimFile) -> io::Result<()>;

const TOUCHES: [Touch; 3] = [
    |file| block_on(file.write_at(&[9; 500], at(3) - 250)).map(drop),
    |file| block_on(file.punch_hole(at(3) - 250, 500)),
    |file| block_on(file.write_at(&[9; 600], at(2) + 400)).map(drop),
];

#[test]
fn a_rewrite_of_a_part_heals_nothing() {
    for touch in TOUCHES {
        let disk = lie(FaultKind::LostWrite);
        touch(&disk.file()).unwrap();
        assert_eq!(look(&disk, &[], 0, 8).1, [2, 3]);
        sync(&disk);
        touch(&disk.file()).unwrap();
        disk.crash(CrashPolicy::None);
        assert_eq!(look(&disk, &[], 0, 8).1, [2, 3], "nor does undoing it");
    }
}

#[test]
fn a_hole_and_the_end_of_the_file_heal_what_they_cover() {
    let disk = lie(FaultKind::LostWrite);
    block_on(disk.file().punch_hole(at(2), at(1))).unwrap();
    assert_holds(&disk, &[1, 1, 0, 1, 1, 1, 1, 1], &[3]);
    block_on(disk.file().set_len(at(3) + 10)).unwrap();
    block_on(disk.file().set_len(SIZE)).unwrap();
    assert_holds(&disk, &[1, 1, 0, 1, 0, 0, 0, 0], &[3]);
    block_on(disk.file().set_len(at(3))).unwrap();
    block_on(disk.file().set_len(SIZE)).unwrap();
    assert_holds(&disk, &[1, 1, 0, 0, 0, 0, 0, 0], &[]);
}

#[test]
fn a_torn_and_abandoned_sector_stays_as_wrong_as_it_was() {
    let disk = lie(FaultKind::LostWrite);
    sync(&disk);
    disk.begin(OP, &first(FaultKind::ShortWrite(100)));
    as_op(&disk, OP, disk.file().write_at(&[3; SECTOR], at(2))).unwrap();
    disk.end(OP, true);
    assert_eq!(look(&disk, &[], 0, 8).1, [2, 3]);
    disk.crash(CrashPolicy::None);
    assert_holds(&disk, &[1; 8], &[2, 3]);
}

#[test]
fn a_lost_write_grows_the_file_as_any_write() {
    let disk = disk();
    let lost = first(FaultKind::LostWrite);
    run(&disk, &lost, disk.file().write_at(&[2; SECTOR], SIZE)).0.unwrap();
    assert_eq!(sectors(&disk), [0; 9]);
    assert_eq!(look(&disk, &[], 7, 2).1, [8]);
}

/// Faults of a read of sectors 2 to 4, which hold 3, 20 and 5, and durably 3, 4 and 5.
const READS: [(FaultKind, [u8; 3], &[u64]); 6] = [
    (FaultKind::BitFlip(8 * 512), [3, 21, 5], &[3]),
    (FaultKind::MisdirectedRead(1), [20, 5, 6], &[2, 3, 4]),
    (FaultKind::MisdirectedRead(-1), [2, 3, 20], &[2, 3, 4]),
    (FaultKind::MisdirectedRead(4), [7, 8, 0], &[2, 3, 4]),
    (FaultKind::MisdirectedRead(-3), [3, 20, 5], &[]),
    (FaultKind::StaleRead, [3, 4, 5], &[3]),
];

/// What [`READS`] find.
fn numbered() -> SimDisk {
    let disk = disk();
    write(&disk, 0, &[1, 2, 3, 4, 5, 6, 7, 8]);
    sync(&disk);
    write(&disk, 3, &[20]);
    disk
}

#[test]
fn a_read_that_lies_does_so_once_and_harms_nothing() {
    for (kind, seen, wrong) in READS {
        let disk = numbered();
        assert_eq!(look(&disk, &first(kind), 2, 3), (seen.to_vec(), wrong.to_vec()), "{kind:?}");
        assert_holds(&disk, &[1, 2, 3, 20, 5, 6, 7, 8], &[]);
    }
}

#[test]
fn a_stale_read_of_a_part_gives_that_part() {
    let (disk, mut buffer) = (numbered(), [0; 700]);
    let read = async { disk.file().read_at(&mut buffer, at(3) - 100).await };
    assert_eq!(run(&disk, &first(FaultKind::StaleRead), read).0.unwrap(), 700);
    let expected = [[3; 100].as_slice(), &[4; SECTOR], &[5; 88]].concat();
    assert_eq!(buffer.as_slice(), expected);
}

/// A read of one sector.
fn read_sector(disk: &SimDisk, sector: usize) -> (io::Result<usize>, CallReport) {
    run(disk, &[], async { disk.file().read_at(&mut [0; SECTOR], at(sector)).await })
}

/// Asserts that of all sectors just these cannot be read.
#[track_caller]
fn assert_unreadable(disk: &SimDisk, unreadable: &[usize]) {
    for sector in 0..8 {
        let (read, report) = read_sector(disk, sector);
        assert_eq!(disk.is_damaged(sector as u64), unreadable.contains(&sector));
        if unreadable.contains(&sector) {
            assert_errno(read, Errno::IO);
            assert_eq!(report.met.as_slice(), first(FaultKind::LatentSector(0)));
        } else {
            assert_eq!((read.unwrap(), report.met.is_empty()), (SECTOR, true), "{sector}");
        }
    }
}

/// Ones, where a read of sectors 2 to 4 has just broken sector 3.
#[track_caller]
fn latent() -> SimDisk {
    let (disk, mut buffer) = (ones(), [0; 3 * SECTOR]);
    let read = async { disk.file().read_at(&mut buffer, at(2)).await };
    let (read, report) = run(&disk, &first(FaultKind::LatentSector(1)), read);
    assert_eq!(read.unwrap(), SECTOR, "the kernel gives what comes before the bad sector");
    assert!(report.met.is_empty(), "and has told nobody so far");
    disk
}

#[test]
fn a_sector_that_cannot_be_read_ends_a_read_before_it() {
    assert_unreadable(&latent(), &[3]);
    let disk = ones();
    let written = async { disk.file().write_at(&[2; 2 * SECTOR], at(5)).await };
    let (written, report) = run(&disk, &first(FaultKind::LatentSector(3)), written);
    assert_eq!((written.unwrap(), report.met.len()), (2 * SECTOR, 0));
    assert_unreadable(&disk, &[6]);
}

#[test]
fn a_sector_that_cannot_be_read_stays_so_until_it_is_written() {
    for survivors in [CrashPolicy::All, CrashPolicy::None, CrashPolicy::Random(1)] {
        let disk = latent();
        sync(&disk);
        disk.crash(survivors);
        assert_unreadable(&disk, &[3]);
        write(&disk, 2, &[7, 7]);
        assert_eq!(sectors(&disk), [1, 1, 7, 7, 1, 1, 1, 1]);
    }
    let disk = latent();
    block_on(disk.file().punch_hole(at(3), at(1))).unwrap();
    assert_eq!(sectors(&disk), [1, 1, 1, 0, 1, 1, 1, 1]);
}

#[test]
fn a_write_that_does_not_reach_a_bad_sector_does_not_heal_it() {
    for touch in TOUCHES {
        let disk = latent();
        touch(&disk.file()).unwrap();
        assert_unreadable(&disk, &[3]);
    }
    let disk = latent();
    let lost = first(FaultKind::LostWrite);
    run(&disk, &lost, disk.file().write_at(&[2; SECTOR], at(3))).0.unwrap();
    assert_errno(read_sector(&disk, 3).0, Errno::IO);
}

#[test]
fn a_write_that_would_leave_the_file_is_misdirected_the_other_way() {
    let disk = lie(FaultKind::MisdirectedWrite(-3));
    assert_holds(&disk, &[1, 1, 1, 1, 1, 2, 2, 1], &[2, 3, 5, 6]);
}
