//! The few positional calls a device makes on a file.
//!
//! [`BackingFile`] is the seam between a device and what lies beneath it. Production code stands on
//! [`std::fs::File`]; a simulation puts [`SimFile`](crate::disk::SimFile) in its place and the
//! device above cannot tell. Each call behaves as the kernel's: it may transfer fewer bytes than
//! asked for, and it may fail.
//!
//! **Invariant:** this module knows nothing else of the crate.

use std::fs::File;
use std::future::{Future, ready};
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

#[cfg(any(feature = "blocking", all(feature = "io-uring", target_os = "linux")))]
mod memory;
#[cfg(any(feature = "blocking", all(feature = "io-uring", target_os = "linux")))]
mod orphans;
#[cfg(feature = "blocking")]
mod pool;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod ring;
pub(crate) mod system;

#[cfg(test)]
mod tests;

#[cfg(feature = "blocking")]
pub use pool::PoolFile;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub use ring::RingFile;

/// A file as a block device uses one: by position, without a cursor.
///
/// Futures rather than plain calls, so that every raw call is a place where an executor may switch
/// to another task: a write that resumes after a short count then really interleaves with its
/// neighbours. The futures of [`std::fs::File`] are ready at once.
///
/// # Dropping a future
///
/// A call whose future is dropped may have taken effect, or not, or in part; nobody hears of its
/// answer. Where an implementation hands calls to another thread or to a ring, the call may even go
/// on by itself and take effect *later*, after newer calls. Each method says what that leaves.
///
/// A device over such a file is still held to clause 3 of the [contract](crate::device): what a
/// dropped request has yet to write must not land over a newer write that has returned `Ok`, nor
/// after a flush, barrier or close that was called after the drop has returned. So it has to keep
/// the call in hand, and have later requests on these bytes wait for it. In the simulation a task
/// that the device [spawns](crate::disk::World::spawn) makes such calls: they outlive the request
/// that asked for them. The calls of [`SimFile`](crate::disk::SimFile) itself, and of
/// [`std::fs::File`], end with their future.
///
/// Or the file keeps them in hand, as `PoolFile` and `RingFile` do: its later changes of these
/// bytes wait, and so do its syncs. Then a device only has to [`settle`](Self::settle) at the end.
///
/// Offsets and lengths are in bytes. No method may be retried *inside* an implementation: `EINTR`
/// and short counts are for the device to see.
///
/// # Example
///
/// ```
/// use blocktwin::exec::block_on;
/// use blocktwin::file::BackingFile;
///
/// let file = tempfile::tempfile()?;
/// let written = block_on(BackingFile::write_at(&file, b"hello", 3))?;
/// assert_eq!(written, 5);
/// assert_eq!(block_on(BackingFile::len(&file))?, 8);
/// # std::io::Result::Ok(())
/// ```
#[expect(clippy::len_without_is_empty, reason = "a length in bytes, which may fail to be told")]
pub trait BackingFile: Send + Sync + 'static {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 means the end of the file.
    ///
    /// # Errors
    ///
    /// As `pread(2)`, `EINTR` and `EIO` among them.
    ///
    /// # If the future is dropped
    ///
    /// Any part of the buffer may have been written. No more of it is once the future is gone: the
    /// buffer is only borrowed.
    fn read_at(
        &self,
        buffer: &mut [u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes up to `buffer.len()` bytes at `offset`, which grows the file where they reach past
    /// its end. The bytes counted by the result are visible to every later read, but not yet
    /// durable.
    ///
    /// # Errors
    ///
    /// As `pwrite(2)`, `EINTR`, `EIO`, `ENOSPC` and `EFBIG` among them. An error means that no byte
    /// of *this call* counts; any part of them may have landed all the same.
    ///
    /// # If the future is dropped
    ///
    /// Each sector holds what it held or what was to be written, and the file may have grown. Which
    /// of it may change later, if the call goes on by itself; then it has a copy of the data.
    fn write_at(
        &self,
        buffer: &[u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// As [`read_at`](Self::read_at), into several pieces of memory, one behind the other. The
    /// count is of all of them together, and may end inside any.
    ///
    /// Unless an implementation says otherwise, this is one read into memory of its own, and a
    /// copy. No more than [`MOST_PIECES`] are given to the kernel.
    ///
    /// # Errors
    ///
    /// As `preadv(2)`.
    fn read_vectored_at(
        &self,
        pieces: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        async move {
            let mut whole = vec![0; pieces.iter().map(|piece| piece.len()).sum()];
            let count = self.read_at(&mut whole, offset).await?;
            let mut rest = whole.get(..count).unwrap_or(&whole);
            for piece in pieces {
                let (here, behind) = rest.split_at(rest.len().min(piece.len()));
                piece[..here.len()].copy_from_slice(here);
                rest = behind;
            }
            Ok(count)
        }
    }

    /// As [`write_at`](Self::write_at), of several pieces of memory, one behind the other. The
    /// count is of all of them together, and may end inside any.
    ///
    /// Unless an implementation says otherwise, this is a copy to memory of its own, and one write.
    /// No more than [`MOST_PIECES`] are given to the kernel.
    ///
    /// # Errors
    ///
    /// As `pwritev(2)`.
    fn write_vectored_at(
        &self,
        pieces: &[IoSlice<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        async move {
            let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            self.write_at(&whole, offset).await
        }
    }

    /// Makes all writes that returned before this call durable, with as much metadata as reading
    /// them back needs: the length of the file, but not its times.
    ///
    /// # Errors
    ///
    /// As `fdatasync(2)`. After any error but `EINTR` the data may be lost although reads still
    /// show it, and a second call may return `Ok` without writing anything.
    ///
    /// # If the future is dropped
    ///
    /// The sync may have failed, and the kernel has then reported that: no later sync does. Whoever
    /// drops one has to take it for failed, or keep it until it answers; a
    /// [`SyncLatch`](crate::device::SyncLatch) does that.
    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// As [`sync_data`](Self::sync_data), with all metadata.
    ///
    /// # Errors
    ///
    /// As `fsync(2)`; see [`sync_data`](Self::sync_data).
    fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// The length of the file in bytes; the capacity where it is a block special file.
    ///
    /// # Errors
    ///
    /// As `fstat(2)`, or `lseek(2)` on a block special file.
    ///
    /// # If the future is dropped
    ///
    /// Nothing has changed.
    fn len(&self) -> impl Future<Output = io::Result<u64>> + Send;

    /// Cuts the file to `length` bytes, or extends it with zeros that take no space.
    ///
    /// # Errors
    ///
    /// As `ftruncate(2)`, `EFBIG` and `EINTR` among them.
    ///
    /// # If the future is dropped
    ///
    /// The file has the old length or the new one, now or later.
    fn set_len(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes `length` bytes at `offset` read as zeros and gives their space back, without changing
    /// the length of the file.
    ///
    /// # Errors
    ///
    /// As `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`, `EOPNOTSUPP` where the
    /// file system cannot.
    ///
    /// # If the future is dropped
    ///
    /// Each sector of the range holds what it held or zeros, now or later.
    fn punch_hole(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes `length` bytes at `offset` read as zeros and keeps space for them, without changing
    /// the length of the file. Unless an implementation says otherwise, it is not supported.
    ///
    /// # Errors
    ///
    /// As `fallocate(2)` with `FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE`, `EOPNOTSUPP` where the
    /// file system cannot.
    ///
    /// # If the future is dropped
    ///
    /// Each sector of the range holds what it held or zeros, now or later.
    fn zero_range(
        &self,
        _offset: u64,
        _length: u64,
    ) -> impl Future<Output = io::Result<()>> + Send {
        ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// The first bytes at or after `offset` that may hold something else than zeros, up to the next
    /// hole; `None` where only holes follow. Unless an implementation says otherwise, a file has no
    /// holes.
    ///
    /// # Errors
    ///
    /// As `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`.
    ///
    /// # If the future is dropped
    ///
    /// Nothing has changed.
    fn next_data(
        &self,
        offset: u64,
    ) -> impl Future<Output = io::Result<Option<Range<u64>>>> + Send {
        async move {
            let end = self.len().await?;
            Ok((offset < end).then_some(offset..end))
        }
    }

    /// What the offset, length and address of a transfer have to be multiples of, in bytes: 1
    /// unless the file was opened for direct I/O.
    ///
    /// # Errors
    ///
    /// As `fcntl(2)` with `F_GETFL` and `statx(2)`.
    fn alignment(&self) -> impl Future<Output = io::Result<u32>> + Send {
        ready(Ok(1))
    }

    /// Waits for the calls that go on although their future was dropped. Ready at once where calls
    /// end with their future, as they do unless an implementation says otherwise.
    fn settle(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// The most pieces of memory that one call transfers: `IOV_MAX` of Linux.
pub const MOST_PIECES: usize = 1024;

/// The system calls themselves, one each.
///
/// They **block the thread** that polls them until the kernel answers. That suits a thread of one's
/// own for each device, a program without an executor, or a file on a fast device; on an executor
/// with other work to do, every other task of that thread waits as long. There, use a file that
/// does not block: `PoolFile`, of a thread pool (feature `blocking`), or `RingFile`, of a ring on
/// Linux (feature `io-uring`).
///
/// ```
/// use blocktwin::device::{Device, FileBackedDevice};
/// use futures::executor::block_on;
///
/// let device = FileBackedDevice::new_with_block_count(tempfile::tempfile()?, 4096, 16)?;
/// block_on(device.close())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl BackingFile for File {
    fn read_at(
        &self,
        buffer: &mut [u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        ready(FileExt::read_at(self, buffer, offset))
    }

    fn write_at(
        &self,
        buffer: &[u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        ready(FileExt::write_at(self, buffer, offset))
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send {
        ready(File::sync_data(self))
    }

    fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send {
        ready(File::sync_all(self))
    }

    fn len(&self) -> impl Future<Output = io::Result<u64>> + Send {
        ready(system::length(self))
    }

    fn set_len(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        ready(File::set_len(self, length))
    }

    fn punch_hole(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        ready(system::punch_hole(self, offset, length))
    }

    fn read_vectored_at(
        &self,
        pieces: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        ready(system::read_vectored(self, pieces, offset))
    }

    fn write_vectored_at(
        &self,
        pieces: &[IoSlice<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        ready(system::write_vectored(self, pieces, offset))
    }

    fn zero_range(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        ready(system::zero_range(self, offset, length))
    }

    fn next_data(
        &self,
        offset: u64,
    ) -> impl Future<Output = io::Result<Option<Range<u64>>>> + Send {
        ready(system::next_data(self, offset))
    }

    fn alignment(&self) -> impl Future<Output = io::Result<u32>> + Send {
        ready(system::alignment(self))
    }
}

/// So that a file can be kept in hand while a device uses it.
impl<F: BackingFile> BackingFile for Arc<F> {
    fn read_at(
        &self,
        buffer: &mut [u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        F::read_at(self, buffer, offset)
    }

    fn write_at(
        &self,
        buffer: &[u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        F::write_at(self, buffer, offset)
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send {
        F::sync_data(self)
    }

    fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send {
        F::sync_all(self)
    }

    fn len(&self) -> impl Future<Output = io::Result<u64>> + Send {
        F::len(self)
    }

    fn set_len(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        F::set_len(self, length)
    }

    fn punch_hole(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        F::punch_hole(self, offset, length)
    }

    fn read_vectored_at(
        &self,
        pieces: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        F::read_vectored_at(self, pieces, offset)
    }

    fn write_vectored_at(
        &self,
        pieces: &[IoSlice<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        F::write_vectored_at(self, pieces, offset)
    }

    fn zero_range(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        F::zero_range(self, offset, length)
    }

    fn next_data(
        &self,
        offset: u64,
    ) -> impl Future<Output = io::Result<Option<Range<u64>>>> + Send {
        F::next_data(self, offset)
    }

    fn alignment(&self) -> impl Future<Output = io::Result<u32>> + Send {
        F::alignment(self)
    }

    fn settle(&self) -> impl Future<Output = ()> + Send {
        F::settle(self)
    }
}
