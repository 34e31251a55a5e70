//! A harness that uses the disk wrongly is told so.

use super::*;
use crate::exec::{FirstReady, Runtime};

#[test]
#[should_panic(expected = "operation 1 begins again without having ended")]
fn an_operation_begins_once() {
    let disk = disk();
    disk.begin(1, &[]);
    disk.begin(1, &[]);
}

#[test]
#[should_panic(expected = "operation 1 is to meet 33 faults: 32 at most")]
fn an_operation_meets_as_many_faults_as_are_counted() {
    disk().begin(1, &[Fault { call: 0, kind: FaultKind::Eio }; 33]);
}

#[test]
fn every_one_of_the_most_faults_is_met() {
    let disk = disk();
    let faults: Vec<Fault> = (0..32).map(|call| Fault { call, kind: FaultKind::Eio }).collect();
    let (_, report) = run(&disk, &faults, async {
        for _ in 0..32 {
            disk.file().write_at(&[1; SECTOR], 0).await.unwrap_err();
        }
    });
    assert_eq!(report.met.as_slice(), faults);
}

#[test]
#[should_panic(expected = "operation 2 ends, but it has not begun")]
fn only_what_has_begun_ends() {
    let disk = disk();
    disk.begin(1, &[]);
    disk.end(2, false);
}

#[test]
#[should_panic(expected = "operation 1 ends, but it has not begun, or has ended")]
fn an_operation_ends_once() {
    let disk = disk();
    disk.begin(1, &[]);
    disk.end(1, false);
    disk.end(1, false);
}

#[test]
#[should_panic(expected = "or the power failed")]
fn an_operation_does_not_end_after_the_power_failed() {
    let disk = disk();
    disk.begin(1, &[]);
    disk.crash(CrashPolicy::All);
    disk.end(1, true);
}

#[test]
#[should_panic(expected = "a raw call is made by operation 7, which is not under way")]
fn only_what_has_begun_makes_raw_calls() {
    let disk = disk();
    drop(block_on(disk.attribute(7, disk.file().write_at(&[1; SECTOR], 0))));
}

#[test]
#[should_panic(expected = "a raw call is made by operation 7, which is not under way")]
fn only_what_has_begun_syncs() {
    let disk = disk();
    disk.enter(7);
    sync(&disk);
}

#[test]
#[should_panic(expected = "a disk with sectors of 0 bytes")]
fn a_sector_is_not_empty() {
    disk().format(0, Rules::default());
}

#[test]
fn sectors_have_a_size_that_there_is() {
    for (size, is_one) in [(8, false), (16, true), (512, true), (513, false), (1 << 17, false)] {
        let formatted = std::panic::catch_unwind(|| drop(disk().reset(size, 0, 0)));
        assert_eq!(formatted.is_ok(), is_one, "{size}");
    }
}

#[test]
#[should_panic(expected = "the disk has no file: make one")]
fn a_disk_without_files_has_no_first_one() {
    SimDisk::new(Medium::Memory).file();
}

#[test]
#[should_panic(expected = "no file was ever called by the name of number 9")]
fn an_unknown_name_is_none() {
    disk().name(9);
}

#[test]
fn tasks_have_the_numbers_that_they_were_given() {
    let (disk, runtime) = (disk(), Runtime::new(FirstReady::new()));
    let heap = BufferAllocator::new(512, crate::device::BufferSource::new(512));
    disk.world(&runtime, heap).spawn("only", async {});
    assert_eq!(&*disk.task(1), "only");
    for unknown in [0, 2] {
        let name = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disk.task(unknown)));
        assert!(name.is_err(), "{unknown}");
    }
}
