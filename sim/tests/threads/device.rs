//! The device: every read shows what it may, whoever was dropped.

use super::checker::{Checker, SECTOR, index};
use super::drops::perhaps;
use super::{TASKS, duration, run};
use blocktwin::device::{
    BufferAllocator, BufferSource, Device, DeviceError, DeviceOptions, FileBackedDevice,
    WriteOptions, ZeroOptions,
};
use blocktwin::file::BackingFile;
use blocktwin::rng::{Purpose, Rng};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// So few that requests meet.
const SECTORS: u64 = 96;

/// The longest request, in sectors.
const LONGEST: u64 = 12;

/// So little that requests wait for buffers.
const HEAP: usize = 64 << 10;

/// Between looks at the whole device.
const APART: Duration = Duration::from_millis(50);

/// So long a call that nobody waits for may take to do its harm.
const LATE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
    Barrier,
    Drain,
    Trim,
    Zeros,
    Extents,
}

/// How often each is made.
const KINDS: [(Kind, u32); 8] = [
    (Kind::Read, 40),
    (Kind::Write, 35),
    (Kind::Flush, 3),
    (Kind::Barrier, 2),
    (Kind::Drain, 2),
    (Kind::Trim, 10),
    (Kind::Zeros, 10),
    (Kind::Extents, 4),
];

#[derive(Clone, Copy, Debug)]
struct Request {
    kind: Kind,
    sector: u64,
    count: u64,
    fua: bool,
    /// Where its buffer is in two pieces, and whether the space of zeros may be given back. Pieces
    /// are not of the heap: a device may copy them to a buffer of the heap, and who held one while
    /// waiting for another could wait for ever.
    split: Option<usize>,
}

impl Request {
    fn draw(rng: &mut Rng) -> Self {
        let (kinds, weights): (Vec<_>, Vec<_>) = KINDS.into_iter().unzip();
        let kind = kinds[rng.weighted(&weights)];
        let count = rng.between(1, LONGEST);
        let sector = rng.below(SECTORS - count + 1);
        let bytes = count * SECTOR as u64;
        let split = rng.chance(1, 4).then(|| index(rng.below(bytes)));
        Self { kind, sector, count, fua: rng.chance(1, 16), split }
    }
}

struct Run<F: BackingFile> {
    device: FileBackedDevice<F>,
    checker: Checker,
    /// Requests share it, and whoever looks at the whole device has it for himself.
    gate: RwLock<()>,
    closing: AtomicBool,
    stop: AtomicBool,
    done: AtomicU64,
    dropped: AtomicU64,
}

impl<F: BackingFile> Run<F> {
    /// Makes a request, and checks what it shows.
    async fn perform(self: Arc<Self>, request: Request) -> Result<(), String> {
        let _shared = self.gate.read().await;
        let outcome = match request.kind {
            Kind::Read => self.read(request).await?,
            Kind::Flush | Kind::Barrier | Kind::Drain => {
                let begun = self.checker.sync();
                let synced = match request.kind {
                    Kind::Flush => self.device.flush().await,
                    Kind::Barrier => self.device.barrier().await,
                    _ => self.device.drain().await,
                };
                synced.map(|()| self.checker.synced(begun))
            }
            Kind::Write | Kind::Trim | Kind::Zeros => self.change(request).await,
            Kind::Extents => self.extents(request).await?,
        };
        match outcome {
            Err(DeviceError::Closed) if self.closing.load(Ordering::SeqCst) => Ok(()),
            outcome => outcome.map_err(|error| format!("{request:?}: {error}")),
        }
    }

    async fn read(&self, request: Request) -> Result<Result<(), DeviceError>, String> {
        let offset = request.sector * SECTOR as u64;
        let length = index(request.count) * SECTOR;
        let (mut own, mut buffer);
        let bytes = if request.split.is_some() {
            own = vec![0xee; length];
            &mut own[..]
        } else {
            buffer = self.device.allocate_buffer(length).await.map_err(|it| it.to_string())?;
            buffer.as_mut_slice()
        };
        let reading = self.checker.read(request.sector..request.sector + request.count);
        let read = match request.split {
            Some(at) => {
                let (low, high) = bytes.split_at_mut(at);
                self.device.read_vectored(offset, &mut [low.into(), high.into()]).await
            }
            None => self.device.read(offset, bytes.into()).await,
        };
        if read.is_ok() {
            reading.check(bytes).map_err(|found| format!("{request:?}: {found}"))?;
        }
        Ok(read)
    }

    /// What is left out of the extents reads as zeros.
    async fn extents(&self, request: Request) -> Result<Result<(), DeviceError>, String> {
        let offset = request.sector * SECTOR as u64;
        let reading = self.checker.read(request.sector..SECTORS);
        let next = match self.device.next_data(offset).await {
            Ok(next) => next,
            Err(error) => return Ok(Err(error)),
        };
        let gap = next.map_or(SECTORS * SECTOR as u64, |next| next.start) - offset;
        reading.check(&vec![0; index(gap)]).map_err(|found| format!("{request:?}: {found}"))?;
        Ok(Ok(()))
    }

    async fn change(&self, request: Request) -> Result<(), DeviceError> {
        let Request { kind, sector, count, fua, split } = request;
        let (offset, length) = (sector * SECTOR as u64, count * SECTOR as u64);
        let size = if kind == Kind::Write { index(length) } else { 0 };
        let (mut own, mut buffer);
        let bytes = if split.is_some() {
            own = vec![0; size];
            &mut own[..]
        } else {
            buffer = self.device.allocate_buffer(size).await?;
            buffer.as_mut_slice()
        };
        let change = self.checker.change(sector..sector + count, kind != Kind::Write);
        for (sector, bytes) in (sector..).zip(bytes.chunks_exact_mut(SECTOR)) {
            bytes.copy_from_slice(&change.content.bytes(sector));
        }
        let (bytes, options) = (&*bytes, WriteOptions { fua });
        let done = match (kind, split) {
            (Kind::Write, Some(at)) => {
                let (low, high) = bytes.split_at(at);
                self.device.write_vectored(offset, &[low.into(), high.into()], options).await
            }
            (Kind::Write, None) => self.device.write(offset, bytes.into(), options).await,
            (Kind::Trim, _) if fua => self.device.trim_fua(offset, length).await,
            (Kind::Trim, _) => self.device.trim(offset, length).await,
            _ => {
                let options = ZeroOptions { fua, may_unmap: split.is_some() };
                self.device.write_zeroes(offset, length, options).await
            }
        };
        match done {
            // A trim may be dropped, as it is a hint. Otherwise it punches a hole.
            Ok(()) => change.done(kind == Kind::Trim),
            // Zeros may be several requests beneath, of which some were made.
            Err(DeviceError::Closed) if kind != Kind::Zeros && !fua => change.refused(),
            Err(_) => drop(change),
        }
        done
    }

    /// Makes requests until it is told to stop.
    async fn work(self: Arc<Self>, task: u64) -> Result<(), String> {
        let mut rng = Rng::new(task, Purpose::Operations);
        while !self.stop.load(Ordering::Relaxed) {
            let request = Request::draw(&mut rng);
            match perhaps(&mut rng, Arc::clone(&self).perform(request)).await {
                Some(done) => {
                    done?;
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Looks at the whole device while no request is under way.
    async fn settle(&self) -> Result<(), String> {
        let _alone = self.gate.write().await;
        self.device.flush().await.map_err(|error| error.to_string())?;
        let first = self.all().await?;
        self.checker.settle(&first)?;
        sleep(Duration::from_millis(1)).await;
        // What was dropped has landed before the flush, or not at all.
        if self.all().await? == first { Ok(()) } else { Err("it changes by itself".to_owned()) }
    }

    async fn all(&self) -> Result<Vec<u8>, String> {
        let mut all = vec![0; index(SECTORS) * SECTOR];
        let read = self.device.read(0, all[..].as_mut().into()).await;
        read.map(|()| all).map_err(|error| error.to_string())
    }
}

/// The bytes of the file, past the device.
fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; index(SECTORS) * SECTOR];
    file.read_exact_at(&mut bytes, 0).expect("the file is as long");
    bytes
}

/// Puts a device over a new file under stress, and closes it while it is; what went wrong.
async fn stress<F: BackingFile>(
    make: impl FnOnce(File) -> io::Result<F>,
    how_long: Duration,
) -> Result<(), String> {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(SECTORS * SECTOR as u64).expect("room");
    let beneath = make(file.try_clone().expect("a handle")).expect("a file of its kind");
    let heap = BufferAllocator::new(SECTOR, BufferSource::new(HEAP));
    let options = DeviceOptions::new(512).allocator(heap.clone());
    let device = FileBackedDevice::with_options(beneath, options).await.expect("a device");
    let it = Arc::new(Run {
        device,
        checker: Checker::new(SECTORS),
        gate: RwLock::new(()),
        closing: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        done: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    let mut tasks: JoinSet<_> = (0..TASKS).map(|task| Arc::clone(&it).work(task)).collect();
    let end = Instant::now() + how_long;
    while Instant::now() < end {
        sleep(APART).await;
        it.settle().await?;
        if let Some(ended) = tasks.try_join_next() {
            ended.expect("no panic")?;
        }
    }
    it.closing.store(true, Ordering::SeqCst);
    it.device.close().await.map_err(|error| error.to_string())?;
    let left = bytes_of(&file);
    it.checker.settle(&left).map_err(|found| format!("closed: {found}"))?;
    it.stop.store(true, Ordering::Relaxed);
    for ended in tasks.join_all().await {
        ended?;
    }
    sleep(LATE).await;
    if bytes_of(&file) != left {
        return Err("a call was made after close had returned".to_owned());
    }
    let (done, dropped) = (it.done.load(Ordering::Relaxed), it.dropped.load(Ordering::Relaxed));
    println!("{done} requests done, {dropped} dropped");
    assert!(done > 0 && dropped > 0, "{done} done, {dropped} dropped");
    assert_eq!(heap.free_bytes(), heap.size(), "a buffer was lost");
    Ok(())
}

#[test]
fn the_device_shows_what_it_may_over_a_plain_file() {
    assert_eq!(run(stress(Ok, duration())), Ok(()));
}

#[cfg(feature = "blocking")]
#[test]
fn the_device_shows_what_it_may_over_a_pool() {
    let make = |file| Ok(blocktwin::file::PoolFile::new(file));
    assert_eq!(run(stress(make, duration())), Ok(()));
}

#[cfg(feature = "io-uring")]
#[test]
fn the_device_shows_what_it_may_over_a_ring() {
    assert_eq!(run(stress(blocktwin::file::RingFile::new, duration())), Ok(()));
}

/// A file that forgets a write now and then.
struct Forgetful {
    file: File,
    writes: AtomicU64,
}

impl BackingFile for Forgetful {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        BackingFile::read_at(&self.file, buffer, offset).await
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.write_vectored_at(&[IoSlice::new(buffer)], offset).await
    }

    async fn write_vectored_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        if self.writes.fetch_add(1, Ordering::Relaxed) % 512 == 511 {
            return Ok(pieces.iter().map(|piece| piece.len()).sum());
        }
        BackingFile::write_vectored_at(&self.file, pieces, offset).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        BackingFile::sync_data(&self.file).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        BackingFile::sync_all(&self.file).await
    }

    async fn len(&self) -> io::Result<u64> {
        BackingFile::len(&self.file).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        BackingFile::set_len(&self.file, length).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        BackingFile::punch_hole(&self.file, offset, length).await
    }
}

#[test]
fn a_write_that_is_forgotten_is_found() {
    let make = |file| Ok(Forgetful { file, writes: AtomicU64::new(0) });
    let found = run(stress(make, duration())).expect_err("it forgets");
    assert!(found.contains("holds (write, sector)"), "{found}");
}
