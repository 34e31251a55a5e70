//! A file whose calls go through a ring of the kernel.

mod at_once;
mod call;
mod kernel;
mod slab;
mod slots;

use self::at_once::AtOnce;
use self::call::Call;
use self::kernel::{Ring, Worker};
use self::slab::Memory;
use self::slots::Operation;
use super::{BackingFile, memory, system};
use io_uring::types::FsyncFlags;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// A file whose calls go through `io_uring`, so that no thread of an executor waits for a disk.
///
/// It suits Linux, and many requests at a time: those that are made together are given to the
/// kernel together. What needs no waiting is done at once, without the ring (`RWF_NOWAIT`): reads
/// of what is in the page cache, and where the file system can, writes to it. So is everything on a
/// file system in memory (tmpfs), which cannot say what would have to wait. Each file has a ring of
/// its own, a thread that has it to itself, and 4 MiB of memory, registered with the kernel where
/// the user may lock that much.
///
/// The length, holes and alignment are asked for directly, and so is a new length set: these are
/// about metadata, and seldom wait for a disk.
///
/// # Dropped futures
///
/// A call owns its memory, so that a dropped future leaves the caller's alone. One that the kernel
/// has goes on; one that was not submitted yet is not made any more. Changes of the same bytes wait
/// for it, syncs wait for every such change, and [`settle`](BackingFile::settle) waits for all.
/// Dropping the file blocks the thread until none is left.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Device, DeviceOptions, FileBackedDevice};
/// use blocktwin::file::RingFile;
/// use futures::executor::block_on;
///
/// let file = tempfile::NamedTempFile::new()?;
/// file.as_file().set_len(1 << 20)?;
/// let options = DeviceOptions::new(4096);
/// # if let Err(error) = RingFile::new(file.reopen()?) {
/// #     eprintln!("skipped, as there is no io_uring: {error}");
/// #     return Ok(());
/// # }
/// let device = FileBackedDevice::open_with(&file, options, RingFile::new)?;
/// block_on(async {
///     let mut buffer = device.allocate_buffer(4096).await?;
///     device.read(8192, buffer.as_mut()).await?;
///     device.close().await
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RingFile {
    ring: Arc<Ring>,
    reads: AtOnce,
    writes: AtOnce,
    /// No call waits for a disk.
    is_in_memory: bool,
    /// `None` while dropped.
    thread: Option<JoinHandle<()>>,
}

impl RingFile {
    /// Makes the calls on `file` through a ring.
    ///
    /// # Errors
    ///
    /// As `io_uring_setup(2)`: `ENOSYS` where the kernel has no ring, `EPERM` where it is not
    /// allowed, `ENOMEM`; of kind `Unsupported` where the kernel is older than 5.13. As
    /// `eventfd(2)` and `pthread_create(3)`.
    pub fn new(file: File) -> io::Result<Self> {
        // Direct I/O always has to wait, and then does, also where it is asked not to.
        let is_buffered = system::alignment(&file).is_ok_and(|alignment| alignment == 1);
        Self::with(file, is_buffered)
    }

    /// With `tries` off, every call takes the way through the ring.
    pub(super) fn with(file: File, tries: bool) -> io::Result<Self> {
        let worker = Worker::new(file)?;
        let ring = Arc::clone(&worker.ring);
        let thread = Builder::new().name("ring-file".into()).spawn(move || worker.run())?;
        let [reads, writes] = [tries; 2].map(AtOnce::new);
        let is_in_memory = tries && at_once::is_in_memory(&ring.file);
        Ok(Self { ring, reads, writes, is_in_memory, thread: Some(thread) })
    }

    async fn read(&self, pieces: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        check(offset)?;
        let attempt = || at_once::read(&self.ring.file, pieces, offset, self.is_in_memory);
        if let Some(count) = self.reads.attempt(attempt) {
            return Ok(count);
        }
        let length = memory::total(pieces.iter().map(|piece| piece.len()));
        let operation = Operation::read(Memory::new(self.ring.slab.as_ref(), length), offset);
        let (count, memory) = Call::new(&self.ring, operation, None).await?;
        memory::scatter(&memory.as_slice()[..count], pieces);
        Ok(count)
    }

    async fn write(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        check(offset)?;
        let length = memory::total(pieces.iter().map(|piece| piece.len()));
        let change = memory::bytes(offset, length as u64);
        self.ring.orphans.overlapping(change.clone()).await;
        let attempt = || at_once::write(&self.ring.file, pieces, offset, self.is_in_memory);
        if let Some(count) = self.writes.attempt(attempt) {
            return Ok(count);
        }
        let mut memory = Memory::new(self.ring.slab.as_ref(), length);
        memory::gather(pieces, memory.as_mut_slice());
        let operation = Operation::write(memory, offset);
        let (count, _) = Call::new(&self.ring, operation, Some(change)).await?;
        Ok(count)
    }

    async fn sync(&self, flags: FsyncFlags) -> io::Result<()> {
        self.ring.orphans.changes().await;
        if self.is_in_memory {
            return self.ring.file.sync_all();
        }
        Call::new(&self.ring, Operation::sync(flags), None).await?;
        Ok(())
    }

    async fn fallocate(&self, mode: i32, offset: u64, length: u64) -> io::Result<()> {
        let change = memory::bytes(offset, length);
        self.ring.orphans.overlapping(change.clone()).await;
        let operation = Operation::fallocate(mode | libc::FALLOC_FL_KEEP_SIZE, offset, length);
        Call::new(&self.ring, operation, Some(change)).await?;
        Ok(())
    }
}

/// Refuses an offset that is negative to the kernel: to a ring, -1 is the cursor of the file.
///
/// # Errors
///
/// `EINVAL`.
fn check(offset: u64) -> io::Result<()> {
    if i64::try_from(offset).is_err() {
        return Err(rustix::io::Errno::INVAL.into());
    }
    Ok(())
}

impl Drop for RingFile {
    fn drop(&mut self) {
        self.ring.end();
        let Some(thread) = self.thread.take() else { return };
        #[expect(clippy::disallowed_methods, reason = "a real thread, never in a simulation")]
        let own = std::thread::current().id();
        // A waker may drop the file on the thread of the ring. That one ends by itself.
        if thread.thread().id() != own {
            let _ = thread.join();
        }
    }
}

impl BackingFile for RingFile {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read(&mut [IoSliceMut::new(buffer)], offset).await
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.write(&[IoSlice::new(buffer)], offset).await
    }

    async fn read_vectored_at(
        &self,
        pieces: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> io::Result<usize> {
        self.read(pieces, offset).await
    }

    async fn write_vectored_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.write(pieces, offset).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.sync(FsyncFlags::DATASYNC).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.sync(FsyncFlags::empty()).await
    }

    async fn len(&self) -> io::Result<u64> {
        system::length(&self.ring.file)
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.ring.orphans.overlapping(length..u64::MAX).await;
        self.ring.file.set_len(length)
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.fallocate(libc::FALLOC_FL_PUNCH_HOLE, offset, length).await
    }

    async fn zero_range(&self, offset: u64, length: u64) -> io::Result<()> {
        self.fallocate(libc::FALLOC_FL_ZERO_RANGE, offset, length).await
    }

    async fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        system::next_data(&self.ring.file, offset)
    }

    async fn alignment(&self) -> io::Result<u32> {
        system::alignment(&self.ring.file)
    }

    async fn settle(&self) {
        self.ring.orphans.all().await;
    }
}

impl fmt::Debug for RingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingFile").field("file", &self.ring.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::task::noop_waker_ref;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Whether a future is not ready, however often it is polled.
    fn waits<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> bool {
        let mut context = Context::from_waker(noop_waker_ref());
        (0..10_000).all(|_| future.as_mut().poll(&mut context).is_pending())
    }

    fn ring_file() -> Option<RingFile> {
        crate::file::tests::has_ring()
            .then(|| RingFile::new(tempfile::tempfile().unwrap()).unwrap())
    }

    #[test]
    fn changes_of_the_same_bytes_and_syncs_wait_for_an_orphan() {
        let Some(file) = ring_file() else { return };
        let orphan = file.ring.orphans.adopt(Some(0..512));
        let mut write: Pin<Box<dyn Future<Output = _>>> = Box::pin(file.write_at(&[7; 512], 511));
        let mut others: [Pin<Box<dyn Future<Output = io::Result<()>>>>; 5] = [
            Box::pin(file.punch_hole(0, 1)),
            Box::pin(file.zero_range(0, 1)),
            Box::pin(file.set_len(100)),
            Box::pin(file.sync_data()),
            Box::pin(file.sync_all()),
        ];
        let mut settle: Pin<Box<dyn Future<Output = ()>>> = Box::pin(file.settle());
        assert!(waits(&mut write) && others.iter_mut().all(waits) && waits(&mut settle));
        assert_eq!(block_on(file.write_at(&[7; 512], 512)).unwrap(), 512, "other bytes");
        assert_eq!(block_on(file.read_at(&mut [0], 0)).unwrap(), 1, "a read");
        file.ring.orphans.ended(orphan);
        assert_eq!(block_on(write).unwrap(), 512);
        for other in others {
            match block_on(other) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                done => done.unwrap(),
            }
        }
        block_on(settle);
    }

    #[test]
    fn on_a_file_system_in_memory_nothing_waits() {
        let Ok(file) = tempfile::tempfile_in("/dev/shm") else {
            return eprintln!("skipped: this machine has no /dev/shm");
        };
        if !crate::file::tests::has_ring() {
            return;
        }
        let file = RingFile::new(file).unwrap();
        assert!(file.is_in_memory);
        let once = |mut future: Pin<Box<dyn Future<Output = io::Result<usize>> + '_>>| {
            future.as_mut().poll(&mut Context::from_waker(noop_waker_ref()))
        };
        let mut buffer = [0; 512];
        assert!(matches!(once(Box::pin(file.write_at(&[7; 512], 0))), Poll::Ready(Ok(512))));
        assert!(matches!(once(Box::pin(file.read_at(&mut buffer, 0))), Poll::Ready(Ok(512))));
        assert_eq!(buffer, [7; 512]);
        let sync = async { file.sync_data().await.map(|()| 0) };
        assert!(matches!(once(Box::pin(sync)), Poll::Ready(Ok(0))));
        assert_eq!(block_on(file.read_at(&mut buffer, 512)).unwrap(), 0, "the end of the file");
        let refused = block_on(file.write_at(&[7; 512], (1 << 63) - 100));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_was_not_submitted_is_not_made_and_what_was_is_an_orphan() {
        let Some(file) = ring_file() else { return };
        let mut write = Box::pin(file.write_at(&[7; 512], 0));
        let mut context = Context::from_waker(noop_waker_ref());
        assert!(write.as_mut().poll(&mut context).is_pending());
        drop(write);
        assert_eq!(block_on(file.len()).unwrap(), 0);
        assert_eq!(file.ring.state().slots.in_kernel(), 0);
        // Nobody looks for it but the thread.
        for _ in 0..100 {
            let mut sync = Box::pin(file.sync_all());
            (0..2).for_each(|_| {
                let _ = sync.as_mut().poll(&mut context);
            });
            drop(sync);
            block_on(file.settle());
            assert_eq!(file.ring.state().slots.in_kernel(), 0);
        }
    }
}
