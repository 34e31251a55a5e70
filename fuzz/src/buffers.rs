//! Transfer buffers as bytes say: asked for, given up while waiting, and returned.

use blocktwin::device::{Buffer, BufferAllocator, BufferFuture, BufferSource, DeviceError};
use std::collections::VecDeque;
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
struct Waiter<'a> {
    future: BufferFuture<'a>,
    bell: Arc<Bell>,
}

impl<'a> Waiter<'a> {
    fn poll(&mut self) -> Poll<Result<Buffer<'a>, DeviceError>> {
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
    held: Vec<Buffer<'a>>,
    waiting: VecDeque<Waiter<'a>>,
}

/// Uses a heap as `bytes` say: the first is its size, and each pair of the others an action.
///
/// # Panics
///
/// If buffers overlap or leak, or somebody waits for what is there.
pub fn buffers(bytes: &[u8]) {
    let Some((&blocks, actions)) = bytes.split_first() else { return };
    let source = BufferSource::new((1 + usize::from(blocks % 32)) * BLOCK);
    let allocator = BufferAllocator::new(BLOCK, source);
    let (held, waiting) = (Vec::new(), VecDeque::new());
    let mut users = Users { allocator: &allocator, held, waiting };
    for action in actions.chunks_exact(2) {
        let number = usize::from(action[1]);
        match action[0] % 4 {
            0 | 1 => users.ask(number * (1 + usize::from(action[0] / 4))),
            2 if !users.held.is_empty() => drop(users.held.remove(number % users.held.len())),
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
        users.held.remove(0);
        users.serve();
        users.check();
    }
    assert!(users.waiting.is_empty(), "{} wait for an empty heap", users.waiting.len());
    assert_eq!(allocator.free_bytes(), allocator.size(), "a leak");
}

impl Users<'_> {
    fn ask(&mut self, size: usize) {
        let future = self.allocator.allocate_buffer(size);
        let mut waiter = Waiter { future, bell: Arc::default() };
        match waiter.poll() {
            Poll::Ready(Ok(buffer)) => {
                assert_eq!(buffer.len(), size);
                self.held.push(buffer);
            }
            Poll::Ready(Err(error)) => assert!(size > self.allocator.largest(), "{error}"),
            Poll::Pending => self.waiting.push_back(waiter),
        }
    }

    /// Those who were woken take their buffers; they are the first in the queue.
    fn serve(&mut self) {
        while self.waiting.front().is_some_and(Waiter::is_woken) {
            let mut waiter = self.waiting.pop_front().expect("the front");
            let Poll::Ready(Ok(buffer)) = waiter.poll() else { panic!("woken for nothing") };
            self.held.push(buffer);
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
