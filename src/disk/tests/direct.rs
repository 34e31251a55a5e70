//! Descriptors with `O_DIRECT`.

use super::*;
use FaultKind::{Eio, LatentSector, ShortRead, ShortWrite, TornRead, WritebackFailed};
use futures::FutureExt;

/// Two sectors.
const ALIGNMENT: usize = 1024;

fn direct(disk: &SimDisk) -> SimFile {
    disk.file().direct_aligned(1024)
}

fn journal(disk: &SimDisk) -> Vec<RawCall> {
    let mut journal = Vec::new();
    disk.drain_journal(|&raw, _| journal.push(raw));
    journal
}

/// A read and a write of `length` bytes at `offset`, as operations that meet nothing.
fn transfer(disk: &SimDisk, offset: u64, length: usize) -> [io::Result<usize>; 2] {
    let (file, mut buffer) = (direct(disk), vec![7; length]);
    let read = block_on(file.read_at(&mut buffer, offset));
    [read, block_on(file.write_at(&vec![7; length], offset))]
}

#[test]
fn the_alignment_is_a_sector_unless_it_is_said_to_be_more() {
    let disk = disk();
    assert_eq!(disk.file().direct_alignment(), None);
    assert_eq!(disk.file().direct().direct_alignment(), Some(512));
    assert_eq!(direct(&disk).clone().direct_alignment(), Some(1024));
}

#[test]
#[should_panic(expected = "direct I/O is aligned to 3000 bytes; it must be a power of two")]
fn an_alignment_that_no_disk_has_is_refused() {
    let _ = disk().file().direct_aligned(3000);
}

#[test]
fn what_is_not_aligned_is_refused_without_effect_and_is_recorded() {
    let disk = ones();
    journal(&disk);
    for (offset, length) in [(0, 100), (0, SECTOR), (512, ALIGNMENT), (1, ALIGNMENT), (1024, 1536)]
    {
        for result in transfer(&disk, offset, length) {
            assert_errno(result, Errno::INVAL);
        }
        for (raw, call) in journal(&disk).iter().zip([Call::Read, Call::Write]) {
            let told = (raw.call, raw.offset, raw.length, raw.result, raw.fault);
            assert_eq!(told, (call, offset, length as u64, Err(22), None));
        }
    }
    assert_eq!(sectors(&disk), [1; 8]);
    for result in transfer(&disk, 1024, 2048) {
        assert_eq!(result.unwrap(), 2048);
    }
    assert_eq!(sectors(&disk), [1, 1, 7, 7, 7, 7, 1, 1]);
}

#[test]
fn a_call_that_is_refused_counts_and_meets_no_fault_and_is_told_of() {
    let disk = disk();
    let ((), report) = run(&disk, &[0, 1].map(|call| Fault { call, kind: Eio }), async {
        let file = direct(&disk);
        assert_errno(file.write_at(&[7; 100], 512).await, Errno::INVAL);
        assert_errno(file.write_at(&[7; ALIGNMENT], 0).await, Errno::IO);
    });
    assert_eq!((report.calls, &*report.met), (2, &[Fault { call: 1, kind: Eio }][..]));
    let misaligned = report.misaligned.expect("the first call was");
    assert_eq!(
        misaligned.to_string(),
        "the raw call pwrite of 100 bytes at 512 was not aligned to 1024 bytes: EINVAL"
    );
}

#[test]
fn a_call_that_is_refused_is_a_cause_for_nobody_but_everybody_is_told_of_it() {
    let disk = SimDisk::new(Medium::Memory);
    disk.format(512, Rules { own_calls: false, ..Rules::default() });
    disk.shared.lock().open(Caller::default(), DISK, true).0.unwrap();
    block_on(disk.file().set_len(SIZE)).unwrap();
    (1..=2).for_each(|op| disk.begin(op, &[]));
    for result in as_op(&disk, 1, async { transfer(&disk, 512, ALIGNMENT) }) {
        assert_errno(result, Errno::INVAL);
    }
    for op in 1..=2 {
        let report = disk.end(op, false);
        assert_eq!(report.causes, []);
        assert_eq!(report.misaligned.map(|it| (it.call, it.offset)), Some((Call::Read, 512)));
    }
}

#[test]
fn nothing_is_transferred_at_the_end_of_the_file_whatever_is_asked_for() {
    let disk = disk();
    block_on(disk.file().set_len(1500)).unwrap();
    let read = |offset, length| block_on(direct(&disk).read_at(&mut vec![0; length], offset));
    assert_eq!(read(0, 4096).unwrap(), 1500, "up to the end");
    assert_eq!(read(1024, ALIGNMENT).unwrap(), 476);
    for (offset, length) in [(1500, 100), (1501, 7), (2048, 1), (9000, 1024), (3, 0)] {
        assert_eq!(read(offset, length).unwrap(), 0);
    }
    assert_errno(read(1024, 476), Errno::INVAL);
    assert_errno(block_on(direct(&disk).write_at(&[7; 512], 1500)), Errno::INVAL);
    assert_eq!(block_on(direct(&disk).write_at(&[7; 1024], 1024)).unwrap(), 1024);
    assert_eq!(length(&disk), 2048);
}

/// What a transfer of three units gives whose call is to meet `kind`, and whether it met it.
fn meeting(kind: FaultKind) -> (usize, bool) {
    let disk = disk();
    let file = direct(&disk);
    let (count, report) = run(&disk, &first(kind), async {
        match kind {
            ShortWrite(_) => file.write_at(&[7; 3 * ALIGNMENT], 1024).await,
            _ => file.read_at(&mut [0; 3 * ALIGNMENT], 1024).await,
        }
    });
    assert_eq!(report.torn.as_slice(), []);
    (count.unwrap(), !report.met.is_empty())
}

#[test]
fn a_transfer_stops_short_only_where_the_next_one_can_go_on() {
    for short in [ShortRead, ShortWrite] {
        assert_eq!(meeting(short(1024)), (1024, true));
        assert_eq!(meeting(short(2500)), (2048, true));
        assert_eq!(meeting(short(1023)), (3072, false), "there is no such place");
    }
}

/// What a read of two units gets of ones that become twos while it is under way, if it is torn at
/// `at`: the first byte of twos.
fn torn_at(at: u32) -> Option<usize> {
    let (disk, mut buffer) = (ones(), [0; 2 * ALIGNMENT]);
    disk.begin(OP, &first(TornRead(at)));
    let file = direct(&disk);
    {
        let mut read = pin!(within(&disk, OP, file.read_at(&mut buffer, 0)));
        assert!(read.as_mut().now_or_never().is_none(), "it waits for its turn");
        let met = read.as_mut().now_or_never().is_none();
        write(&disk, 0, &[2; 8]);
        if met {
            assert_eq!(block_on(read).unwrap(), 2048);
        }
    }
    buffer.iter().position(|&byte| byte == 2)
}

#[test]
fn a_read_is_torn_only_between_sectors() {
    assert_eq!(torn_at(1500), Some(1024));
    assert_eq!(torn_at(1024), Some(1024));
    assert_eq!(torn_at(700), None);
}

#[test]
fn a_read_over_a_sector_that_cannot_be_read_gives_nothing() {
    let disk = ones();
    let read = |length, offset| block_on(direct(&disk).read_at(&mut vec![0; length], offset));
    let (result, _) = run(&disk, &first(LatentSector(3)), async { read(4096, 0) });
    assert_errno(result, Errno::IO);
    assert_errno(read(4096, 0), Errno::IO);
    assert_eq!(read(1024, 0).unwrap(), 1024, "its neighbours are in order");
    let mut buffer = [0; 4096];
    assert_eq!(block_on(disk.file().read_at(&mut buffer, 0)).unwrap(), 1536, "as far as it gets");
}

#[test]
fn nothing_is_left_to_be_written_back() {
    let disk = disk();
    let file = direct(&disk);
    let (written, report) = run(&disk, &first(WritebackFailed), file.write_at(&[7; 1024], 0));
    assert_eq!((written.unwrap(), report.met.len()), (1024, 0));
    block_on(file.sync_data()).unwrap();
    disk.crash(CrashPolicy::None);
    assert_eq!(sectors(&disk)[..3], [7, 7, 0]);
}

#[test]
fn a_direct_write_is_seen_by_all_and_durable_once_it_is_synced() {
    for synced in [false, true] {
        let disk = ones();
        block_on(direct(&disk).write_at(&[7; 1024], 0)).unwrap();
        assert_eq!(sectors(&disk)[..3], [7, 7, 1], "through the page cache");
        write(&disk, 1, &[8]);
        let mut buffer = [0; 1024];
        block_on(direct(&disk).read_at(&mut buffer, 0)).unwrap();
        assert_eq!((buffer[511], buffer[512]), (7, 8), "and the other way round");
        if synced {
            block_on(direct(&disk).sync_data()).unwrap();
        }
        disk.crash(CrashPolicy::None);
        assert_eq!(sectors(&disk)[..3], if synced { [7, 8, 1] } else { [1, 1, 1] });
    }
}

#[test]
fn lengths_and_holes_need_no_alignment() {
    let disk = ones();
    block_on(direct(&disk).punch_hole(512, 512)).unwrap();
    block_on(direct(&disk).set_len(1500)).unwrap();
    assert_eq!((length(&disk), sectors(&disk)), (1500, vec![1, 0, 1]));
}
