//! Block devices: the contract, and the real one.
//!
//! [`Device`] is an asynchronous block device; [`FileBackedDevice`] is one that keeps its blocks in
//! a file, by positional I/O. Everything is [`Send`], so that the device that is simulated is the
//! device that runs in production.
//!
//! # The contract
//!
//! Offsets and lengths are in bytes. A **sector** (512 or 4096 bytes) is the unit of atomicity, a
//! **block** what offsets and lengths are multiples of. What every device promises:
//!
//! 1. **Bad requests are errors, never panics, and change nothing.** Misaligned, out of range (also
//!    where offset and length overflow), a write to a read-only device, anything after close. A
//!    request of no bytes is checked like any other, and is then `Ok`. The device never grows or
//!    shrinks the range that it serves.
//! 2. **Read your writes.** After a write has returned `Ok`, every later read sees it, or what was
//!    written later.
//! 3. **Old or new.** A write that failed, was cancelled (its future dropped) or was cut off by a
//!    crash leaves every sector old or new, each on its own, and never a mixture inside one. Nor do
//!    two writes that overlap in time mix inside a sector, also where the kernel transferred an odd
//!    number of bytes. *One thing no device over a plain file can do:* where the kernel has stopped
//!    a write inside a sector, that sector is torn in the page cache from then on until it is
//!    written again. A device that goes on has to write it from its first byte. A device that then
//!    meets an error has to try this one sector once more before it gives up. Only where this too
//!    is refused, or where the write is dropped at that moment, is the one sector unspecified.
//!    A read that overlaps a write *in time* may see any byte of it old or new; one that begins
//!    after the write has ended sees whole sectors. Once a read has shown the new sector, even
//!    while the write is under way, a read that begins later shows it too. A dropped write may land
//!    late, where its call is on another thread or in a ring; but never over a newer write that has
//!    returned `Ok`, and not after a flush, barrier or close has returned that was called after the
//!    drop.
//! 4. **Flush makes durable.** When [`flush`](Device::flush) returns `Ok`, everything that had
//!    completed before flush was *called* is durable, and so is whatever a read that had returned
//!    by then has shown, be it of a write that was dropped. [`WriteOptions::fua`] means the same
//!    for that one write. [`close`](Device::close) waits for the requests under way, flushes, and
//!    may be called again. A request made after close was called may get [`DeviceError::Closed`],
//!    and one made after it has returned always does. After close has returned, no raw call of the
//!    device is under way, and none is made any more.
//! 5. **Barriers order.** No write issued after [`barrier`](Device::barrier) has returned `Ok` may
//!    become durable before those that had completed when it was called, and what reads had shown
//!    by then, even of writes that were dropped or cut off, or from before it was opened. So a
//!    device whose barrier is no sync has to sync when it is opened after a kill: what it finds may
//!    not be durable. A plain file has no cheaper ordering than `fdatasync(2)`; a barrier that does
//!    nothing is a bug.
//! 6. **A failed sync ends all promises,** whatever its errno. The data may be lost although the
//!    page cache still shows it, and the kernel reports this once. Every write, flush, barrier and
//!    trim made after such a failure was returned fails with [`DeviceError::SyncFailed`], until the
//!    device is opened again. If the request that made the sync was dropped before it heard of the
//!    failure, then the next flush, FUA write, barrier or close returns the error of the sync or
//!    `SyncFailed`. Reads go on, and close still closes. A second flush that says `Ok` is the
//!    classic lie. Barriers that had returned `Ok` before are kept until the device is opened
//!    again.
//! 7. **Transient conditions are absorbed**: `EINTR`, short reads, short writes. **Everything else
//!    is surfaced**, with its errno: none is swallowed and none is invented. A write of which the
//!    kernel takes nothing is [`DeviceError::WriteZero`]. `EAGAIN` of a write may be absorbed or
//!    surfaced. After a failed read, write or trim the device stays usable.
//! 8. **Trim** leaves the contents of its range unspecified until they are written again. It is
//!    checked like a write, never reaches outside its range, and never comes back over a later
//!    write. [`TrimMode`] says what it does to the file. Where the file system cannot punch holes,
//!    the hint may be dropped: the trim returns `Ok` and changes nothing.
//! 9. **A file shorter than the device** ([`FileBackedDevice::new_with_block_count`]) reads as
//!    zeros past its end.
//! 10. **Transfer buffers** come from a heap of fixed size.
//!     [`allocate_buffer`](Device::allocate_buffer) waits while the heap is full, first come, first
//!     served, without a lost wake-up, a leak where a future is dropped, or an overlap; a request
//!     larger than the heap is an error at once.
//! 11. **One writer.** [`FileBackedDevice::open`] takes an advisory lock on the file, exclusive, or
//!     shared where read-only, and accepts block special files as well.
//! 12. **Zeros.** After [`write_zeroes`](Device::write_zeroes) has returned `Ok`, reads show zeros;
//!     it is a write in every other respect (clauses 1 to 7), of any length. It may give the space
//!     of its range back only where [`may_unmap`](ZeroOptions::may_unmap) says so.
//! 13. **Extents.** What [`next_data`](Device::next_data) leaves out reads as zeros, unless it is
//!     written while the call is under way or later. What it tells of may be zeros all the same.
//! 14. **Drain** waits for all requests that are under way when it is called, those included whose
//!     calls go on although they were dropped. It makes nothing durable, and keeps nobody from
//!     making requests: whoever needs a device that is still makes none meanwhile.
//!
//! **Invariant:** nothing here knows of the model or of the simulation, and there is no test hook.

mod allocator;
mod buffer;
mod defaults;
mod dynamic;
mod error;
mod file_backed;
mod geometry;
mod in_flight;
mod open;
mod options;
mod pointer;
mod source;
mod suspend;
mod sync_latch;
mod waiters;

#[cfg(test)]
mod tests;

pub use allocator::{BufferAllocator, BufferFuture};
pub use buffer::{Buffer, BufferRef, MutableBufferRef};
pub use dynamic::DynDevice;
pub use error::{DeviceError, GeometryError, OpenError};
pub use file_backed::FileBackedDevice;
pub use geometry::Geometry;
pub use options::{DeviceOptions, OddEnd, TrimMode, WriteOptions, ZeroOptions};
pub use source::BufferSource;
pub use sync_latch::SyncLatch;

use std::future::{Future, ready};
use std::ops::Range;

/// An asynchronous block device; the [module documentation](self) is its contract, clause by
/// clause.
///
/// Requests may be made concurrently, also on overlapping ranges. Dropping a future cancels the
/// request; what a cancelled write leaves is clause 3. A future may be dropped at any moment:
/// before its first poll, and after it was woken too, when a lock, a buffer or an answer was handed
/// to it that it has not seen yet. Every poll may come with another waker, of which only the last
/// one is good, and a poll may come that nobody asked for.
///
/// A `&D`, `Box<D>` or `Arc<D>` is a device if `D` is one. There is no `dyn Device`; use
/// [`DynDevice`] instead.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Device, DeviceError, FileBackedDevice, WriteOptions};
/// use futures::executor::block_on;
///
/// block_on(async {
///     let file = tempfile::tempfile()?;
///     let device = FileBackedDevice::new_with_block_count(file, 4096, 16)?;
///     let mut buffer = device.allocate_buffer(4096).await?;
///     buffer.as_mut_slice().fill(7);
///     device.write(8192, buffer.as_ref(), WriteOptions::default()).await?;
///     device.flush().await?;
///     device.read(8192, buffer.as_mut()).await?;
///     assert!(buffer.as_slice().iter().all(|&byte| byte == 7));
///     device.close().await
/// })?;
/// # Ok::<(), DeviceError>(())
/// ```
pub trait Device: Send + Sync {
    /// The shape of the device; it does not change while the device is open.
    fn geometry(&self) -> Geometry;

    /// Whether writes and trims are refused.
    fn is_read_only(&self) -> bool;

    /// A transfer buffer of `size` bytes, as soon as the heap has room (clause 10).
    ///
    /// The future gives [`DeviceError::BufferTooLarge`] where the heap could never give as much.
    fn allocate_buffer(&self, size: usize) -> BufferFuture;

    /// Fills `buffer` from `offset` (bytes) on.
    ///
    /// # Errors
    ///
    /// A bad request (clause 1), or what the file answered (clause 7). The contents of `buffer` are
    /// then unspecified.
    fn read(
        &self,
        offset: u64,
        buffer: MutableBufferRef<'_>,
    ) -> impl Future<Output = Result<(), DeviceError>> + Send;

    /// Writes `buffer` from `offset` (bytes) on.
    ///
    /// # Errors
    ///
    /// A bad request (clause 1), what the file answered (clause 7), or [`DeviceError::SyncFailed`]
    /// (clause 6). Sectors are then old or new (clause 3).
    fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> impl Future<Output = Result<(), DeviceError>> + Send;

    /// Makes everything that completed before this call durable (clause 4).
    ///
    /// # Errors
    ///
    /// What the file answered, and then or later [`DeviceError::SyncFailed`] (clause 6).
    fn flush(&self) -> impl Future<Output = Result<(), DeviceError>> + Send;

    /// Keeps later writes from becoming durable before those that completed before this call
    /// (clause 5).
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    fn barrier(&self) -> impl Future<Output = Result<(), DeviceError>> + Send;

    /// Tells the device that `length` bytes at `offset` are no longer needed (clause 8).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write). Sectors of the range are then old or unspecified.
    fn trim(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<(), DeviceError>> + Send;

    /// As [`trim`](Self::trim), and what it did is durable when it returns. Unless a device says
    /// otherwise, it trims and then flushes.
    ///
    /// # Errors
    ///
    /// As `trim` and [`flush`](Self::flush).
    fn trim_fua(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<(), DeviceError>> + Send {
        defaults::trim_fua(self, offset, length)
    }

    /// Writes zeros over `length` bytes at `offset` (clause 12). Unless a device says otherwise,
    /// this is a write; several, one behind the other, of more than 8 MiB. Then the device may be
    /// closed between two of them.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write). Sectors of the range are then old or zeros.
    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
        options: ZeroOptions,
    ) -> impl Future<Output = Result<(), DeviceError>> + Send {
        defaults::write_zeroes(self, offset, length, options)
    }

    /// Fills several buffers from `offset` (bytes) on, one behind the other. Their lengths add up
    /// to a multiple of the block size, and may be any. Unless a device says otherwise, this is one
    /// read into memory of its own, and a copy.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_vectored(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
    ) -> impl Future<Output = Result<(), DeviceError>> + Send {
        defaults::read_vectored(self, offset, buffers)
    }

    /// Writes several buffers from `offset` (bytes) on, one behind the other, as one write. Their
    /// lengths add up to a multiple of the block size, and may be any. Unless a device says
    /// otherwise, this is a copy to memory of its own, and one write.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn write_vectored(
        &self,
        offset: u64,
        buffers: &[BufferRef<'_>],
        options: WriteOptions,
    ) -> impl Future<Output = Result<(), DeviceError>> + Send {
        defaults::write_vectored(self, offset, buffers, options)
    }

    /// The first bytes at or after `offset` that may be something else than zeros, up to the next
    /// bytes that are known to be zeros; `None` where there are none (clause 13). Ends of ranges
    /// are multiples of the block size. Unless a device says otherwise, everything is data.
    ///
    /// # Errors
    ///
    /// [`DeviceError::OutOfRange`] past the end of the device, and what the file answered.
    fn next_data(
        &self,
        offset: u64,
    ) -> impl Future<Output = Result<Option<Range<u64>>, DeviceError>> + Send {
        async move { defaults::next_data(self.geometry(), offset) }
    }

    /// Waits for the requests that are under way when it is called, and for what is left of those
    /// that were dropped (clause 14). What a snapshot or a migration calls, before it looks at the
    /// file. Unless a device says otherwise, it cannot.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Io`] of kind `Unsupported` where the device cannot, [`DeviceError::Closed`].
    fn drain(&self) -> impl Future<Output = Result<(), DeviceError>> + Send {
        ready(Err(std::io::Error::from(std::io::ErrorKind::Unsupported).into()))
    }

    /// Refuses every later request, waits for those under way, and flushes (clause 4). Once a close
    /// has flushed, another does nothing.
    ///
    /// A request is under way from the first poll of its future until the future is ready or
    /// dropped, so one that is neither polled nor dropped keeps close waiting. If the future of a
    /// close is dropped, the device stays closed, and another close flushes it.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); the device is closed all the same.
    fn close(&self) -> impl Future<Output = Result<(), DeviceError>> + Send;
}
