//! Transfer buffers as bytes say: asked for, given up while waiting, and returned.

use blocktwin::device::{Buffer, BufferAllocator, BufferFuture, BufferRef, BufferSource};
use blocktwin::device::{DeviceError, MutableBufferRef};
use std::collections::VecDeque;
use std::ops::Bound::{Excluded, Unbounded};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Bytes of a unit of the heap.
const BLOCK: usize = 512;

/// Tells whether it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody who waits for a buffer.
struct Waiter {
    future: BufferFuture,
    bell: Arc<Bell>,
}

impl Waiter {
    fn poll(&mut self) -> Poll<Result<Buffer, DeviceError>> {
        let waker = Waker::from(Arc::clone(&self.bell));
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.bell.0.load(Ordering::Relaxed)
    }
}

/// Everybody who has a buffer, or waits for one in this order.
struct Users<'a> {
    allocator: &'a BufferAllocator,
    held: Vec<Buffer>,
    waiting: VecDeque<Waiter>,
}

/// What a buffer is filled with, which tells its place.
fn tag(buffer: BufferRef<'_>) -> u8 {
    let blocks = buffer.range().start / BLOCK;
    u8::try_from(blocks % 256).unwrap_or_default()
}

/// Fills what is lent, half by half.
fn fill(whole: MutableBufferRef<'_>, tag: u8) {
    if whole.len() <= BLOCK {
        whole.into_slice().fill(tag);
        return;
    }
    let (middle, start) = (whole.len() / 2, whole.range().start);
    let (low, high) = whole.split_at_mut(middle);
    assert_eq!((low.range().end, high.range().start), (start + middle, start + middle));
    fill(low, tag);
    fill(high, tag);
}

/// Whether nobody else has written to it.
fn holds(whole: BufferRef<'_>, tag: u8) -> bool {
    if whole.len() <= BLOCK {
        return whole.as_slice().iter().all(|&byte| byte == tag);
    }
    let (low, high) = whole.split_at(whole.len() / 2);
    holds(low, tag) && holds(high, tag)
}

/// Uses a heap as `bytes` say: the first is its size, and each pair of the others an action.
///
/// # Panics
///
/// If buffers overlap, change or leak, or somebody waits for what is there.
pub fn buffers(bytes: &[u8]) {
    let Some((&blocks, actions)) = bytes.split_first() else { return };
    let source = BufferSource::new((1 + usize::from(blocks % 32)) * BLOCK);
    let allocator = BufferAllocator::new(BLOCK, source);
    let (held, waiting) = (Vec::new(), VecDeque::new());
    let mut users = Users { allocator: &allocator, held, waiting };
    for action in actions.chunks_exact(2) {
        let number = usize::from(action[1]);
        match action[0] % 4 {
            0 => users.ask(number * (1 + usize::from(action[0] / 4))),
            1 => users.take(number * (1 + usize::from(action[0] / 4))),
            2 if !users.held.is_empty() => users.give_back(number % users.held.len()),
            3 if !users.waiting.is_empty() => {
                drop(users.waiting.remove(number % users.waiting.len()));
            }
            _ => {}
        }
        users.serve();
        users.check();
    }
    // Whoever waits is served as others leave.
    while !users.held.is_empty() {
        users.give_back(0);
        users.serve();
        users.check();
    }
    assert!(users.waiting.is_empty(), "{} wait for an empty heap", users.waiting.len());
    assert_eq!(allocator.free_bytes(), allocator.size(), "a leak");
}

impl<'a> Users<'a> {
    fn ask(&mut self, size: usize) {
        let future = self.allocator.allocate_buffer(size);
        let mut waiter = Waiter { future, bell: Arc::default() };
        match waiter.poll() {
            Poll::Ready(Ok(buffer)) => {
                assert_eq!(buffer.len(), size);
                self.hold(buffer);
            }
            Poll::Ready(Err(error)) => assert!(size > self.allocator.largest(), "{error}"),
            Poll::Pending => self.waiting.push_back(waiter),
        }
    }

    /// Asks for what is there at once, or not at all.
    fn take(&mut self, size: usize) {
        let taken = self.allocator.try_allocate(size);
        if size > self.allocator.largest() || (size > 0 && !self.waiting.is_empty()) {
            assert!(taken.is_none(), "{size} bytes ahead of those who wait");
        }
        if let Some(buffer) = taken {
            self.hold(buffer);
        }
    }

    /// Whoever gets a buffer fills it, and finds in each part what is there.
    fn hold(&mut self, mut buffer: Buffer) {
        let (place, tag) = (format!("({:?})", buffer.range()), tag(buffer.as_ref()));
        assert_eq!(format!("{buffer:?}"), format!("Buffer{place}"));
        fill(buffer.subslice_mut(..), tag);
        let whole = buffer.as_mut();
        assert_eq!(format!("{whole:?}"), format!("MutableBufferRef{place}"));
        if !whole.is_empty() {
            let (low, high) = whole.split_at(1);
            assert_eq!(low.range(), whole.subslice(..=0).range());
            assert_eq!(high.range(), whole.subslice((Excluded(0), Unbounded)).range());
        }
        let whole = BufferRef::from(whole);
        assert_eq!(format!("{whole:?}"), format!("BufferRef{place}"));
        assert!(holds(whole, tag));
        self.held.push(buffer);
    }

    fn give_back(&mut self, index: usize) {
        let buffer = self.held.remove(index);
        let tag = tag(buffer.as_ref());
        assert!(holds(buffer.subslice(..), tag), "somebody else wrote to {buffer:?}");
    }

    /// Those who were woken take their buffers; they are the first in the queue.
    fn serve(&mut self) {
        while self.waiting.front().is_some_and(Waiter::is_woken) {
            let mut waiter = self.waiting.pop_front().expect("the front");
            let Poll::Ready(Ok(buffer)) = waiter.poll() else { panic!("woken for nothing") };
            self.hold(buffer);
        }
        assert!(!self.waiting.iter().any(Waiter::is_woken), "served out of order");
    }

    fn check(&mut self) {
        self.held.sort_by_key(|buffer| buffer.range().start);
        let filled: Vec<_> =
            self.held.iter().map(Buffer::range).filter(|range| !range.is_empty()).collect();
        let apart = filled.windows(2).all(|pair| pair[0].end <= pair[1].start);
        assert!(apart, "overlapping buffers: {filled:?}");
        assert!(filled.last().is_none_or(|range| range.end <= self.allocator.size()));
        // A buffer takes the smallest power of two of blocks that holds it.
        let taken = filled.iter().map(|range| range.len().div_ceil(BLOCK).next_power_of_two());
        let taken = taken.sum::<usize>() * BLOCK;
        assert_eq!(self.allocator.free_bytes() + taken, self.allocator.size(), "a leak");
        if self.held.is_empty() {
            assert!(self.waiting.is_empty(), "the heap is empty, and somebody waits");
        }
    }
}
