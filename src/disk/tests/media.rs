//! Memory and a real file beneath: no difference in what a run sees.

use super::*;
use crate::device::BufferSource;
use crate::exec::FirstReady;
use crate::rng::{Purpose, Rng};
use std::fs::File;
use tempfile::TempDir;

/// The same calls on two disks.
struct Twins {
    disks: [SimDisk; 2],
    rng: Rng,
    op: u32,
}

impl Twins {
    fn new(seed: u64, directory: &TempDir) -> Self {
        let media = [Medium::Memory, Medium::in_directory(directory).unwrap()];
        let disks = media.map(SimDisk::new);
        disks.iter().for_each(|disk| disk.reset(512, SIZE, SIZE).unwrap());
        Self { disks, rng: Rng::new(seed, Purpose::Operations), op: 0 }
    }

    /// A range, not always of whole sectors.
    fn range(&mut self) -> (u64, usize) {
        let unit = if self.rng.chance(3, 4) { SECTOR as u64 } else { 1 };
        let offset = self.rng.below(2 * SIZE / unit) * unit;
        let most = 4 * SECTOR as u64 / unit;
        (offset, usize::try_from(self.rng.between(1, most) * unit).unwrap())
    }

    fn fault(&mut self) -> Vec<Fault> {
        let (count, seed) = (u32::try_from(self.rng.below(2048)).unwrap(), self.rng.next_u64());
        let dirty = *self.rng.pick(&[Dirty::Kept, Dirty::Dropped, Dirty::Partly(seed)]);
        let by = i32::try_from(self.rng.below(16)).unwrap() - 8;
        let kinds = [
            FaultKind::Interrupted,
            FaultKind::ShortRead(count),
            FaultKind::ShortWrite(count),
            FaultKind::Eio,
            FaultKind::Enospc,
            FaultKind::EnospcFor(count % 4),
            FaultKind::Edquot,
            FaultKind::Efbig,
            FaultKind::WriteZero,
            FaultKind::SyncFailed(dirty),
            FaultKind::WritebackFailed,
            FaultKind::BitFlip(count),
            FaultKind::LostWrite,
            FaultKind::MisdirectedWrite(by),
            FaultKind::MisdirectedRead(by),
            FaultKind::StaleRead,
            FaultKind::LatentSector(count),
            FaultKind::Latency(count % 4),
            FaultKind::LateReturn(count % 4),
        ];
        if self.rng.chance(1, 2) { vec![] } else { first(*self.rng.pick(&kinds)).into() }
    }

    fn survivors(&mut self) -> CrashPolicy {
        let seed = self.rng.next_u64();
        *self.rng.pick(&[
            CrashPolicy::All,
            CrashPolicy::None,
            CrashPolicy::Random(seed),
            CrashPolicy::Runs(seed),
            CrashPolicy::NewestKept,
            CrashPolicy::NewestLost,
            CrashPolicy::OneKept(seed),
            CrashPolicy::OneLost(seed),
            CrashPolicy::Mask(seed),
            CrashPolicy::TornBytes(seed),
            CrashPolicy::Garbage(seed),
            CrashPolicy::Unreadable(seed),
        ])
    }

    /// One raw call, or a crash, or more of an operation, on both.
    fn step(&mut self) {
        let (offset, length) = self.range();
        let (faults, value) = (self.fault(), u8::try_from(self.rng.between(1, 255)).unwrap());
        let weights = [30, 40, 8, 3, 4, 8, 4];
        let (choice, seed) = (self.rng.weighted(&weights), self.rng.next_u64());
        // A crash has ended it.
        let end = self.rng.chance(3, 4) && choice != 6;
        let survivors = self.survivors();
        self.op += 1;
        for disk in &self.disks {
            let (file, mut buffer) = (disk.file(), vec![value; length]);
            disk.begin(self.op, &faults);
            as_op(disk, self.op, async {
                // What they answer is in the journal.
                match choice {
                    0 => drop(file.read_at(&mut buffer, offset).await),
                    1 => drop(file.write_at(&buffer, offset).await),
                    2 => drop(file.sync_data().await),
                    3 => drop(file.len().await),
                    4 => drop(file.set_len(offset).await),
                    5 => drop(file.punch_hole(offset, length as u64).await),
                    _ => drop(disk.crash(survivors)),
                }
            });
            if end {
                disk.end(self.op, seed.is_multiple_of(2));
            }
        }
    }

    /// Fails where the two differ in anything that can be seen.
    #[track_caller]
    fn assert_same(&self, seed: u64) {
        let [memory, file] = self.disks.each_ref().map(|disk| {
            let mut journal = Vec::new();
            disk.drain_journal(|&raw, _| journal.push(raw));
            (journal, contents(disk))
        });
        assert_eq!(memory.0, file.0, "seed {seed}, operation {}", self.op);
        assert!(memory.1 == file.1, "seed {seed}: contents differ after operation {}", self.op);
    }
}

/// What is to be seen of a sector: its bytes or an error number, and whether it is damaged.
type Sector = (Result<Vec<u8>, Option<i32>>, bool);

/// What is to be seen of each sector of the file.
fn contents(disk: &SimDisk) -> Vec<Sector> {
    let one = |sector: usize| {
        let mut buffer = vec![0; SECTOR];
        let read = block_on(disk.file().read_at(&mut buffer, at(sector)));
        let seen = read.map(|count| buffer[..count].to_vec()).map_err(|it| it.raw_os_error());
        (seen, disk.is_damaged(sector as u64))
    };
    let length = usize::try_from(length(disk)).unwrap();
    (0..length.div_ceil(SECTOR)).map(one).collect()
}

#[test]
fn memory_and_a_real_file_cannot_be_told_apart() {
    let directory = TempDir::new().unwrap();
    for seed in 0..20 {
        let mut twins = Twins::new(seed, &directory);
        for _ in 0..300 {
            twins.step();
            twins.assert_same(seed);
        }
        for disk in &twins.disks {
            assert!(disk.take_failure().is_none());
        }
    }
}

#[test]
fn a_real_file_has_no_name_to_be_left_behind() {
    let directory = TempDir::new().unwrap();
    let disk = SimDisk::new(Medium::in_directory(&directory).unwrap());
    disk.reset(512, SIZE, SIZE).unwrap();
    write(&disk, 0, &[1]);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn the_bytes_really_go_to_the_file() {
    let real = tempfile::tempfile().unwrap();
    let disk = SimDisk::new(Medium::File(real.try_clone().unwrap()));
    disk.reset(512, SIZE, SIZE).unwrap();
    write(&disk, 1, &[1, 2]);
    let mut buffer = [0; 3 * SECTOR];
    std::os::unix::fs::FileExt::read_exact_at(&real, &mut buffer, 0).unwrap();
    assert_eq!([buffer[0], buffer[SECTOR], buffer[2 * SECTOR]], [0, 1, 2]);
    disk.crash(CrashPolicy::None);
    std::os::unix::fs::FileExt::read_exact_at(&real, &mut buffer, 0).unwrap();
    assert_eq!(buffer, [0; 3 * SECTOR], "survivors are written back");
}

/// A disk whose medium takes no writes.
fn read_only_medium() -> SimDisk {
    let named = tempfile::NamedTempFile::new().unwrap();
    named.as_file().set_len(SIZE).unwrap();
    SimDisk::new(Medium::File(File::open(named.path()).unwrap()))
}

#[track_caller]
fn assert_failure(disk: &SimDisk, errno: Errno) {
    assert_errno(disk.take_failure().map_or(Ok(()), Err), errno);
}

#[test]
fn a_failure_of_the_medium_is_reported_once_and_never_as_an_answer() {
    let disk = read_only_medium();
    disk.reset(512, SIZE, SIZE).unwrap_err();
    write(&disk, 0, &[1]);
    assert_failure(&disk, Errno::BADF);
    assert!(disk.take_failure().is_none());
    block_on(disk.file().set_len(SIZE)).unwrap();
    assert_failure(&disk, Errno::INVAL);
    disk.crash(CrashPolicy::None);
    assert_failure(&disk, Errno::BADF);
}

#[test]
fn a_medium_that_takes_no_length_cannot_be_reset() {
    assert_errno(read_only_medium().reset(512, SIZE, SIZE), Errno::INVAL);
}

#[test]
fn a_file_that_is_used_again_holds_nothing_of_before() {
    let real = tempfile::tempfile().unwrap();
    let disk = SimDisk::new(Medium::File(real.try_clone().unwrap()));
    // The same length, another one, and one behind which something was.
    for length in [SIZE, SIZE, 2 * SIZE, SIZE, 4 << 20, SIZE] {
        disk.reset(512, length, length).unwrap();
        assert_eq!(real.metadata().unwrap().len(), length);
        let mut buffer = vec![1; usize::try_from(length).unwrap()];
        std::os::unix::fs::FileExt::read_exact_at(&real, &mut buffer, 0).unwrap();
        assert!(buffer.iter().all(|&byte| byte == 0));
        write(&disk, 0, &[1, 2, 3]);
        write(&disk, usize::try_from(length).unwrap() / SECTOR - 1, &[4]);
        assert!(disk.take_failure().is_none());
    }
    // A file that is not of that length at once.
    disk.format(512, Rules::default());
    block_on(async {
        let runtime = Runtime::new(FirstReady::new());
        let world = disk.world(&runtime, BufferAllocator::new(512, BufferSource::new(512)));
        let file = world.create(DISK).await.unwrap();
        assert_eq!(file.write_at(&[9; SECTOR], 2 * SECTOR as u64).await.unwrap(), SECTOR);
    });
    let mut buffer = [1; 2 * SECTOR];
    std::os::unix::fs::FileExt::read_exact_at(&real, &mut buffer, 0).unwrap();
    assert_eq!(buffer, [0; 2 * SECTOR]);
    assert_eq!(real.metadata().unwrap().len(), 3 * SECTOR as u64);
}
