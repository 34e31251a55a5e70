//! Futures that are dropped while their call is under way, on real threads.

use super::Make;
use crate::device::{Buffer, Device, DeviceError, DeviceOptions, FileBackedDevice, WriteOptions};
use crate::file::BackingFile;
use futures::executor::block_on;
use futures::task::noop_waker_ref;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tempfile::{NamedTempFile, tempfile};

/// The tests named, over each file whose calls may outlive their future.
macro_rules! over_each {
    ($($test:ident)*) => {
        #[cfg(feature = "blocking")]
        mod pool_file {
            $(#[test]
            fn $test() {
                super::$test(|file| Ok(crate::file::PoolFile::new(file)));
            })*
        }

        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        mod ring_file {
            $(#[test]
            fn $test() {
                if crate::file::tests::has_ring() {
                    super::$test(crate::file::RingFile::new);
                }
            })*
        }

        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        mod ring_only {
            $(#[test]
            fn $test() {
                if crate::file::tests::has_ring() {
                    super::$test(|file| crate::file::RingFile::with(file, false));
                }
            })*
        }
    };
}

over_each! {
    dropped_writes_land_neither_late_nor_torn
    a_dropped_read_leaves_the_callers_memory_alone
    a_thread_may_exit_with_calls_under_way
    a_dropped_file_has_let_go
}

const BLOCK: usize = 4096;
const SECTOR: usize = 512;
const SECTORS: usize = 80 * BLOCK / SECTOR;

/// Polls a future `polls` times, and drops it unless it is ready.
fn poll_and_drop<T>(future: impl Future<Output = T>, polls: u64) -> Option<T> {
    let mut future = pin!(future);
    for poll in 0..polls {
        if let Poll::Ready(answer) =
            future.as_mut().poll(&mut Context::from_waker(noop_waker_ref()))
        {
            return Some(answer);
        }
        (0..poll * 50).for_each(|_| std::hint::spin_loop());
    }
    None
}

/// One thread, with blocks of its own, and what each of their sectors may hold.
struct Client<F: BackingFile> {
    device: Arc<FileBackedDevice<F>>,
    rng: ChaCha8Rng,
    start: usize,
    possible: Vec<Vec<u64>>,
    version: u64,
    buffer: Buffer,
    dropped: u32,
}

impl<F: BackingFile> Client<F> {
    fn new(device: &Arc<FileBackedDevice<F>>, thread: u64) -> Self {
        let buffer = block_on(device.allocate_buffer(SECTORS * SECTOR)).unwrap();
        Self {
            device: Arc::clone(device),
            rng: ChaCha8Rng::seed_from_u64(thread),
            start: usize::try_from(thread).unwrap() * SECTORS * SECTOR,
            possible: vec![vec![0]; SECTORS],
            version: thread << 32,
            buffer,
            dropped: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    /// Makes a request: to its end, or up to a few polls.
    fn make<T>(&mut self, request: impl Future<Output = Result<T, DeviceError>>) -> Option<T> {
        let polls = match self.below(3) {
            0 => return Some(block_on(request).unwrap()),
            _ => 1 + self.below(5),
        };
        let answer = poll_and_drop(request, polls);
        self.dropped += u32::from(answer.is_none());
        answer.map(Result::unwrap)
    }

    /// Some blocks, as sectors of this client.
    fn range(&mut self) -> std::ops::Range<usize> {
        let blocks = SECTORS * SECTOR / BLOCK;
        let first = usize::try_from(self.below(blocks as u64)).unwrap();
        let most = if self.below(8) == 0 { blocks } else { 3 };
        let count = 1 + usize::try_from(self.below(most as u64)).unwrap();
        let end = blocks.min(first + count);
        first * (BLOCK / SECTOR)..end * (BLOCK / SECTOR)
    }

    fn write(&mut self) {
        let range = self.range();
        if self.write_to(range.clone(), false) {
            return;
        }
        // Right behind a dropped one: this is where it would land late.
        match self.below(4) {
            0 | 1 => {
                self.write_to(range, true);
                self.read(false);
            }
            2 => self.flush(true),
            _ => {}
        }
    }

    /// Whether it came to its end, as it does where it has to.
    fn write_to(&mut self, range: std::ops::Range<usize>, must: bool) -> bool {
        self.version += 1;
        let version = self.version;
        let bytes = range.len() * SECTOR;
        for word in self.buffer.as_mut_slice()[..bytes].as_chunks_mut::<8>().0 {
            *word = version.to_le_bytes();
        }
        let (device, offset) =
            (Arc::clone(&self.device), (self.start + range.start * SECTOR) as u64);
        let options = WriteOptions { fua: self.below(40) == 0 };
        let buffer =
            std::mem::replace(&mut self.buffer, block_on(device.allocate_buffer(0)).unwrap());
        let write = device.write(offset, buffer.subslice(..bytes), options);
        let done = match must {
            true => block_on(write).is_ok(),
            false => self.make(write).is_some(),
        };
        self.buffer = buffer;
        // The memory is the client's again, whatever goes on.
        self.buffer.as_mut_slice()[..bytes].fill(0xee);
        self.changed(range, version, done);
        done
    }

    fn flush(&mut self, must: bool) {
        let device = Arc::clone(&self.device);
        let done = match must {
            true => block_on(device.flush()).is_ok(),
            false => self.make(device.flush()).is_some(),
        };
        if done {
            self.read(true);
            self.read(true);
        }
    }

    fn trim(&mut self) {
        let range = self.range();
        let (device, offset) =
            (Arc::clone(&self.device), (self.start + range.start * SECTOR) as u64);
        let done = self.make(device.trim(offset, (range.len() * SECTOR) as u64)).is_some();
        self.changed(range, 0, done);
    }

    fn changed(&mut self, range: std::ops::Range<usize>, version: u64, done: bool) {
        for possible in &mut self.possible[range] {
            if done {
                possible.clear();
            }
            possible.push(version);
        }
    }

    /// Reads a range. After a flush, nothing lands any more: what it shows is what is there.
    fn read(&mut self, settled: bool) {
        let range = if settled { 0..SECTORS } else { self.range() };
        let bytes = range.len() * SECTOR;
        let (device, offset) =
            (Arc::clone(&self.device), (self.start + range.start * SECTOR) as u64);
        let mut buffer =
            std::mem::replace(&mut self.buffer, block_on(device.allocate_buffer(0)).unwrap());
        let read = device.read(offset, buffer.subslice_mut(..bytes));
        let done = match settled {
            true => block_on(read).is_ok(),
            false => self.make(read).is_some(),
        };
        if done {
            let sectors = buffer.as_slice()[..bytes].chunks_exact(SECTOR);
            for (sector, possible) in sectors.zip(&mut self.possible[range]) {
                let words = sector.as_chunks::<8>().0.iter().map(|&word| u64::from_le_bytes(word));
                let mut words = words.collect::<Vec<_>>();
                assert!(words.iter().all(|word| possible.contains(word)), "{words:?} {possible:?}");
                // A dropped write may be landing right now, sector by sector or byte by byte.
                if settled {
                    words.dedup();
                    assert_eq!(words.len(), 1, "a torn sector");
                    *possible = words;
                }
            }
        }
        self.buffer = buffer;
    }

    fn run(mut self, requests: u32) -> Self {
        for _ in 0..requests {
            match self.below(40) {
                0..20 => self.write(),
                20..24 => self.trim(),
                24..38 => self.read(false),
                _ => self.flush(false),
            }
        }
        assert!(self.dropped > requests / 20, "few were dropped: {}", self.dropped);
        self
    }
}

fn dropped_writes_land_neither_late_nor_torn<F: BackingFile>(make: Make<F>) {
    let named = NamedTempFile::new().unwrap();
    named.as_file().set_len((4 * SECTORS * SECTOR) as u64).unwrap();
    let options = DeviceOptions::new(4096).transfer_heap(16 << 20);
    let device = Arc::new(FileBackedDevice::open_with(&named, options, make).unwrap());
    #[expect(clippy::disallowed_methods, reason = "real threads are what this is about")]
    let clients = std::thread::scope(|scope| {
        let device = &device;
        let threads = [0, 1, 2, 3].map(|n| scope.spawn(move || Client::new(device, n).run(300)));
        threads.map(|thread| thread.join().unwrap())
    });
    block_on(device.close()).unwrap();
    // Once it is closed nothing lands any more.
    let look = || std::fs::read(&named).unwrap();
    let found = look();
    for client in &clients {
        let sectors = found[client.start..].chunks_exact(SECTOR);
        for (sector, possible) in sectors.zip(&client.possible) {
            let first = &sector[..8];
            assert!(sector.chunks_exact(8).all(|word| word == first), "a torn sector");
            assert!(possible.iter().any(|version| first == version.to_le_bytes()));
        }
    }
    drop((clients, device));
    assert!(found == look());
}

fn a_dropped_read_leaves_the_callers_memory_alone<F: BackingFile>(make: Make<F>) {
    let file = tempfile().unwrap();
    FileExt::write_at(&file, &[7; 1 << 20], 0).unwrap();
    let file = make(file).unwrap();
    for round in 0..200 {
        let mut buffer = vec![0; 1 << (10 + round % 11)];
        let answer = poll_and_drop(file.read_at(&mut buffer, 0), round % 5);
        if answer.is_none() {
            assert!(buffer.iter().all(|&byte| byte == 0));
        }
    }
    block_on(file.settle());
}

/// The kernel may cancel what a thread has submitted that exits.
fn a_thread_may_exit_with_calls_under_way<F: BackingFile>(make: Make<F>) {
    let device =
        FileBackedDevice::new_with_block_count(make(tempfile().unwrap()).unwrap(), 4096, 8192);
    let device = device.unwrap();
    let mut buffer = block_on(device.allocate_buffer(512 << 10)).unwrap();
    buffer.as_mut_slice().fill(9);
    for _ in 0..3 {
        let writes = (0..64).map(|block| {
            Box::pin(device.write(block * (512 << 10), buffer.as_ref(), WriteOptions::default()))
        });
        let mut writes = writes.collect::<Vec<_>>();
        #[expect(clippy::disallowed_methods, reason = "real threads are what this is about")]
        let writes = std::thread::scope(|scope| {
            let begin = move || {
                for _ in 0..2 {
                    writes.retain_mut(|write| {
                        let mut context = Context::from_waker(noop_waker_ref());
                        match write.as_mut().poll(&mut context) {
                            Poll::Ready(answer) => answer.map(|()| false).unwrap(),
                            Poll::Pending => true,
                        }
                    });
                }
                writes
            };
            scope.spawn(begin).join().unwrap()
        });
        writes.into_iter().for_each(|write| block_on(write).unwrap());
    }
    block_on(device.close()).unwrap();
}

/// Nobody holds the file, nor changes it, once it was dropped.
fn a_dropped_file_has_let_go<F: BackingFile>(make: Make<F>) {
    let named = NamedTempFile::new().unwrap();
    for round in 0..50 {
        let opened = File::options().write(true).open(&named).unwrap();
        opened.try_lock().unwrap();
        let file = make(opened).unwrap();
        for number in 0..20 {
            let data = vec![1; 4096 << (number % 6)];
            let _: Option<io::Result<usize>> =
                poll_and_drop(file.write_at(&data, number << 18), 1 + round % 4);
        }
    }
}
