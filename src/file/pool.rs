//! A file whose calls are made on a pool of threads.

use super::memory::{self, Block};
use super::orphans::Orphans;
use super::{BackingFile, system};
use blocking::{Task, unblock};
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// A file whose calls are made on the thread pool of the crate [`blocking`], so that no thread of
/// an executor waits for a disk.
///
/// It suits any executor, any file and any Unix. A call costs two changes of thread, and a copy of
/// what it transfers: on a fast disk, or where most is in the page cache, a ring is cheaper, and a
/// plain [`File`] on a thread of its own as well.
///
/// # Dropped futures
///
/// A call owns its memory, so that a dropped future leaves the caller's alone. One that a thread
/// has begun goes on; one that still waits for a thread is not made any more. Changes of the same
/// bytes wait for it, syncs wait for every such change, and [`settle`](BackingFile::settle) waits
/// for all. Dropping the file blocks the thread until none is left.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Device, DeviceOptions, FileBackedDevice};
/// use blocktwin::file::PoolFile;
/// use futures::executor::block_on;
///
/// let file = tempfile::NamedTempFile::new()?;
/// file.as_file().set_len(1 << 20)?;
/// let options = DeviceOptions::new(4096);
/// let device = FileBackedDevice::open_with(&file, options, |file| Ok(PoolFile::new(file)))?;
/// block_on(async {
///     let mut buffer = device.allocate_buffer(4096).await?;
///     device.read(8192, buffer.as_mut()).await?;
///     device.close().await
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PoolFile {
    file: Arc<File>,
    orphans: Arc<Orphans>,
}

impl PoolFile {
    /// Makes the calls on `file` on the pool.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file: Arc::new(file), orphans: Arc::default() }
    }

    /// Makes a call on the pool. One that changes bytes is made once no orphan does that.
    async fn call<T: Send + 'static>(
        &self,
        change: Option<Range<u64>>,
        call: impl FnOnce(&File) -> T + Send + 'static,
    ) -> T {
        if let Some(bytes) = &change {
            self.orphans.overlapping(bytes.clone()).await;
        }
        let state = Arc::new(Mutex::new(State::UnderWay));
        let ended = Ended { state: Arc::clone(&state), orphans: Arc::clone(&self.orphans) };
        let under_way = UnderWay { file: Arc::clone(&self.file), _ended: ended };
        let task = unblock(move || {
            // Moved as a whole, so that its fields are dropped in their order.
            let under_way = under_way;
            call(&under_way.file)
        });
        Call { task, state, change, orphans: &self.orphans }.await
    }

    async fn read(&self, pieces: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let mut block = Block::new(memory::total(pieces.iter().map(|piece| piece.len())));
        let read = move |file: &File| {
            let count = FileExt::read_at(file, block.as_mut_slice(), offset)?;
            Ok((count, block))
        };
        let (count, block): (usize, Block) = self.call(None, read).await.map_err(io_error)?;
        memory::scatter(&block.as_slice()[..count], pieces);
        Ok(count)
    }

    async fn write(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut block = Block::new(memory::total(pieces.iter().map(|piece| piece.len())));
        memory::gather(pieces, block.as_mut_slice());
        let change = memory::bytes(offset, block.as_slice().len() as u64);
        let write = move |file: &File| FileExt::write_at(file, block.as_slice(), offset);
        self.call(Some(change), write).await
    }
}

/// For the compiler, which has to be told the type of the error.
fn io_error(error: io::Error) -> io::Error {
    error
}

/// How a call and its future stand to each other.
enum State {
    UnderWay,
    Ended,
    /// The future was dropped, and the call goes on as the orphan of this number.
    Orphaned(u64),
}

/// What a call has in hand. The file goes first: once the call has ended, nobody holds it.
struct UnderWay {
    file: Arc<File>,
    _ended: Ended,
}

/// Tells that the call has ended, or is not made any more.
struct Ended {
    state: Arc<Mutex<State>>,
    orphans: Arc<Orphans>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *state, State::Ended);
        drop(state);
        if let State::Orphaned(number) = before {
            self.orphans.ended(number);
        }
    }
}

/// The future of a call.
struct Call<'a, T> {
    task: Task<T>,
    state: Arc<Mutex<State>>,
    change: Option<Range<u64>>,
    orphans: &'a Orphans,
}

impl<T> Future for Call<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.task).poll(context)
    }
}

impl<T> Drop for Call<'_, T> {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::UnderWay = *state {
            *state = State::Orphaned(self.orphans.adopt(self.change.take()));
        }
        // The task is dropped next, which takes it back where no thread has begun with it.
    }
}

impl Drop for PoolFile {
    fn drop(&mut self) {
        self.orphans.wait_blocking();
    }
}

impl BackingFile for PoolFile {
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
        self.orphans.changes().await;
        self.call(None, File::sync_data).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.orphans.changes().await;
        self.call(None, File::sync_all).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.call(None, system::length).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.call(Some(length..u64::MAX), move |file| file.set_len(length)).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let change = memory::bytes(offset, length);
        self.call(Some(change), move |file| system::punch_hole(file, offset, length)).await
    }

    async fn zero_range(&self, offset: u64, length: u64) -> io::Result<()> {
        let change = memory::bytes(offset, length);
        self.call(Some(change), move |file| system::zero_range(file, offset, length)).await
    }

    async fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.call(None, move |file| system::next_data(file, offset)).await
    }

    async fn alignment(&self) -> io::Result<u32> {
        self.call(None, system::alignment).await
    }

    async fn settle(&self) {
        self.orphans.all().await;
    }
}

impl fmt::Debug for PoolFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolFile").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::executor::block_on;
    use std::sync::mpsc;

    /// A call that has begun, whose future was dropped, and that ends when the sender is dropped.
    fn orphan(file: &PoolFile, change: Option<Range<u64>>) -> mpsc::Sender<()> {
        let (begun, has_begun) = mpsc::channel();
        let (gate, opened) = mpsc::channel::<()>();
        let call = move |_: &File| {
            begun.send(()).unwrap();
            let _ = opened.recv();
        };
        let mut call = Box::pin(file.call(change, call));
        assert!(call.as_mut().now_or_never().is_none());
        has_begun.recv().unwrap();
        gate
    }

    /// Whether a future is ready after some time.
    fn is_ready(future: &mut (impl Future + Unpin)) -> bool {
        #[expect(clippy::disallowed_methods, reason = "a real pool, in real time")]
        std::thread::sleep(std::time::Duration::from_millis(30));
        future.now_or_never().is_some()
    }

    #[test]
    fn changes_of_the_same_bytes_and_syncs_wait_for_an_orphan() {
        let file = PoolFile::new(tempfile::tempfile().unwrap());
        let gate = orphan(&file, Some(0..512));
        let mut write = Box::pin(file.write_at(&[7; 512], 511));
        let mut punch = Box::pin(file.punch_hole(0, 1));
        let mut cut = Box::pin(file.set_len(100));
        let mut sync = Box::pin(file.sync_data());
        let mut settle = Box::pin(file.settle());
        assert!(write.as_mut().now_or_never().is_none() && !is_ready(&mut write));
        assert!(punch.as_mut().now_or_never().is_none() && !is_ready(&mut punch));
        assert!(cut.as_mut().now_or_never().is_none() && !is_ready(&mut cut));
        assert!(sync.as_mut().now_or_never().is_none() && !is_ready(&mut sync));
        assert!(settle.as_mut().now_or_never().is_none());
        assert_eq!(block_on(file.write_at(&[7; 512], 512)).unwrap(), 512, "other bytes");
        assert_eq!(block_on(file.read_at(&mut [0], 0)).unwrap(), 1, "a read");
        drop(gate);
        assert_eq!(block_on(write).unwrap(), 512);
        block_on(sync).unwrap();
        block_on(settle);
    }

    #[test]
    fn an_orphaned_read_is_in_nobodys_way_and_is_settled() {
        let file = PoolFile::new(tempfile::tempfile().unwrap());
        let gate = orphan(&file, None);
        assert_eq!(block_on(file.write_at(&[7; 512], 0)).unwrap(), 512);
        block_on(file.sync_all()).unwrap();
        let mut settle = Box::pin(file.settle());
        assert!(settle.as_mut().now_or_never().is_none());
        drop(gate);
        block_on(settle);
    }
}
