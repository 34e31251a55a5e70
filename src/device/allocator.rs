//! Who gets which part of the transfer heap, and when.

mod units;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use self::units::{Units, order_of};
use super::buffer::Buffer;
use super::error::DeviceError;
use super::source::{BufferSource, Region};

/// The smallest block that can be the unit of a heap, in bytes.
const MIN_BLOCK_SIZE: usize = 512;

/// A heap of transfer buffers, which makes those wait that it cannot serve yet.
///
/// * A request waits while the heap is too full for it. Requests are served strictly in the order
///   in which they arrive, which is when their future is first polled: a newcomer queues behind
///   those who wait, even where its own buffer would fit. So a large request is never starved.
/// * A future may be dropped at any time. It loses its place, or gives back the buffer that was
///   meant for it, and those behind it move up. (Forgotten instead, it keeps what it has.)
/// * Two live buffers never overlap. The place of a buffer depends on nothing but the calls that
///   came before: it is the lowest that is free.
///
/// A buffer takes from the heap the smallest power of two of blocks that holds it, at a multiple of
/// as many. Taking and returning one allocates nothing as long as no one waits.
///
/// This is a handle: clones of it are the same heap. Every buffer has one, so that a buffer may
/// outlive the device that it is for, as in a task of its own.
///
/// # Examples
///
/// ```
/// use blocktwin::device::{BufferAllocator, BufferSource};
/// use futures::FutureExt;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let allocator = BufferAllocator::new(512, BufferSource::new(8192));
/// let mut large = allocator.allocate_buffer(8000).now_or_never().ok_or("has to wait")??;
/// large.as_mut_slice().fill(7);
///
/// // The heap is full, so the next request waits until a buffer is dropped.
/// let mut next = allocator.allocate_buffer(100);
/// assert!((&mut next).now_or_never().is_none());
/// drop(large);
/// let small = next.now_or_never().ok_or("has to wait")??;
/// assert_eq!((small.len(), small.range()), (100, 0..100));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BufferAllocator(Arc<Shared>);

struct Shared {
    block_size: usize,
    size: usize,
    largest: usize,
    state: Mutex<State>,
}

impl BufferAllocator {
    /// Manages the memory of `source` in units of `block_size` bytes.
    ///
    /// # Panics
    ///
    /// If `block_size` is not a power of two of at least 512 bytes, or if the size of the source
    /// is not a multiple of it, or zero.
    #[must_use]
    pub fn new(block_size: usize, source: BufferSource) -> Self {
        assert!(
            block_size.is_power_of_two() && block_size >= MIN_BLOCK_SIZE,
            "block size {block_size} is not a power of two of at least {MIN_BLOCK_SIZE}"
        );
        let size = source.size();
        assert!(
            size > 0 && size.is_multiple_of(block_size),
            "a heap of {size} bytes is not one or more blocks of {block_size} bytes"
        );
        let block_shift = block_size.trailing_zeros();
        let largest = block_size << (size >> block_shift).ilog2();
        let state = State {
            block_shift,
            source,
            units: Units::new(size >> block_shift),
            waiting: VecDeque::new(),
            granted: VecDeque::new(),
            next_ticket: 0,
        };
        Self(Arc::new(Shared { block_size, size, largest, state: Mutex::new(state) }))
    }

    /// The unit of the heap, in bytes.
    #[must_use]
    pub fn block_size(&self) -> usize {
        self.0.block_size
    }

    /// The size of the whole heap, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// The largest buffer that an empty heap can give, in bytes: the largest power of two of
    /// blocks that fits.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.0.largest
    }

    /// How much of the heap is free right now, in bytes; not necessarily in one piece.
    ///
    /// A buffer counts with the whole blocks that it takes, from the moment it is granted.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.lock().units.free_units() * self.0.block_size
    }

    /// Asks for a buffer of exactly `size` bytes, and waits for it where necessary.
    ///
    /// An empty buffer is there at once, and takes nothing from the heap.
    ///
    /// # Errors
    ///
    /// The future answers [`DeviceError::BufferTooLarge`], at once, if `size` is more than
    /// [`largest`](Self::largest).
    pub fn allocate_buffer(&self, size: usize) -> BufferFuture {
        BufferFuture { allocator: self.clone(), size, ticket: None }
    }

    /// A buffer of exactly `size` bytes, or `None` if one would have to wait for it, or for ever.
    #[must_use]
    pub fn try_allocate(&self, size: usize) -> Option<Buffer> {
        let region = if size == 0 {
            Region::default()
        } else if size <= self.0.largest {
            self.lock().grant_newcomer(size)?
        } else {
            return None;
        };
        Some(Buffer::new(self.clone(), region))
    }

    /// Takes back the memory of a buffer.
    pub(super) fn release(&self, region: Region) {
        let wakers = {
            let mut state = self.lock();
            state.reclaim(region);
            if state.waiting.is_empty() {
                return;
            }
            state.serve()
        };
        wake(wakers);
    }

    // A panic under the lock is a bug found by an assertion, which leaves a loan at worst. It has
    // been reported where it happened; poisoning would only turn clean-up into an abort.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BufferAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferAllocator")
            .field("block_size", &self.0.block_size)
            .field("size", &self.0.size)
            .finish_non_exhaustive()
    }
}

/// A request for a [`Buffer`]; see [`BufferAllocator::allocate_buffer`].
///
/// It is in the queue from its first poll on. Once it was ready, another poll asks anew.
#[derive(Debug)]
#[must_use = "a request is not made before it is polled"]
pub struct BufferFuture {
    allocator: BufferAllocator,
    size: usize,
    /// Its place in the queue, while it has one.
    ticket: Option<u64>,
}

impl Future for BufferFuture {
    type Output = Result<Buffer, DeviceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { allocator, size, ticket } = &*self;
        let (size, ticket) = (*size, *ticket);
        if size == 0 {
            return Poll::Ready(Ok(Buffer::new(allocator.clone(), Region::default())));
        }
        if size > allocator.largest() {
            let heap = allocator.largest();
            return Poll::Ready(Err(DeviceError::BufferTooLarge { requested: size, heap }));
        }
        let mut state = allocator.lock();
        let region = match ticket {
            Some(ticket) => state.collect(ticket),
            None => state.grant_newcomer(size),
        };
        if let Some(region) = region {
            drop(state);
            let buffer = Buffer::new(allocator.clone(), region);
            self.ticket = None;
            return Poll::Ready(Ok(buffer));
        }
        let (place, outdated) = match ticket {
            Some(ticket) => (ticket, state.update_waker(ticket, cx.waker())),
            None => (state.enqueue(size, cx.waker()), None),
        };
        drop(state);
        self.ticket = Some(place);
        // Only now: dropping a waker may drop a task, and with it a buffer, which takes the lock.
        drop(outdated);
        Poll::Pending
    }
}

impl Drop for BufferFuture {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let (removed, wakers) = {
            let mut state = self.allocator.lock();
            (state.leave(ticket), state.serve())
        };
        wake(wakers);
        // Without the lock, as in `poll`.
        drop(removed);
    }
}

/// Wakers to be called once the lock is free: what they wake may take it.
type Wakers = SmallVec<[Waker; 4]>;

fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(Waker::wake);
}

/// A request in the queue.
struct Waiter {
    ticket: u64,
    size: usize,
    waker: Waker,
}

/// A buffer for a request that has left the queue, but does not know it yet.
struct Grant {
    ticket: u64,
    region: Region,
}

/// What the lock protects.
///
/// Whenever the lock is free, the first who waits does not fit: whatever frees memory or changes
/// the front of the queue calls [`serve`](Self::serve) before it unlocks.
struct State {
    /// The block size as a power of two: divisions would take as long as the locks.
    block_shift: u32,
    source: BufferSource,
    units: Units,
    /// In order of arrival, which is the order of the tickets.
    waiting: VecDeque<Waiter>,
    /// In order of the tickets too, as they are granted in that order.
    granted: VecDeque<Grant>,
    next_ticket: u64,
}

impl State {
    fn grant(&mut self, size: usize) -> Option<Region> {
        let unit = self.units.take(self.order(size))?;
        Some(self.source.lend(unit << self.block_shift, size))
    }

    /// As [`grant`](Self::grant), but not ahead of those who wait.
    fn grant_newcomer(&mut self, size: usize) -> Option<Region> {
        if self.waiting.is_empty() { self.grant(size) } else { None }
    }

    fn reclaim(&mut self, region: Region) {
        let range = region.range();
        self.source.restore(region);
        self.units.give_back(range.start >> self.block_shift, self.order(range.len()));
    }

    /// The order of the smallest block that holds `size > 0` bytes.
    fn order(&self, size: usize) -> u8 {
        order_of(((size - 1) >> self.block_shift) + 1)
    }

    /// Grants what fits, from the front of the queue, and returns who has to hear of it.
    fn serve(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        while let Some(size) = self.waiting.front().map(|waiter| waiter.size)
            && let Some(region) = self.grant(size)
            && let Some(Waiter { ticket, waker, .. }) = self.waiting.pop_front()
        {
            self.granted.push_back(Grant { ticket, region });
            wakers.push(waker);
        }
        wakers
    }

    fn enqueue(&mut self, size: usize, waker: &Waker) -> u64 {
        let ticket = self.next_ticket;
        self.waiting.push_back(Waiter { ticket, size, waker: waker.clone() });
        self.next_ticket += 1;
        ticket
    }

    /// The grant for this ticket, if there is one by now.
    fn collect(&mut self, ticket: u64) -> Option<Region> {
        let index = self.granted.binary_search_by_key(&ticket, |grant| grant.ticket).ok()?;
        self.granted.remove(index).map(|grant| grant.region)
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }

    /// Replaces the waker of one who waits, and returns it for dropping without the lock.
    fn update_waker(&mut self, ticket: u64, waker: &Waker) -> Option<Waker> {
        let index = self.position(ticket)?;
        let current = &mut self.waiting[index].waker;
        (!current.will_wake(waker)).then(|| mem::replace(current, waker.clone()))
    }

    /// Gives up a ticket: its grant goes back to the heap, or its place in the queue is removed
    /// and returned for dropping without the lock.
    fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        if let Some(region) = self.collect(ticket) {
            self.reclaim(region);
            return None;
        }
        let index = self.position(ticket)?;
        self.waiting.remove(index)
    }
}

#[cfg(test)]
mod tests;
