//! The promises of the allocator, one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use futures::FutureExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request and the count of its wake-ups.
struct Request {
    future: BufferFuture,
    count: Arc<Count>,
}

impl Request {
    /// Arrives, and has to wait.
    fn queued(allocator: &BufferAllocator, size: usize) -> Self {
        let mut request =
            Self { future: allocator.allocate_buffer(size), count: Arc::new(Count::default()) };
        assert!(request.poll().is_none(), "{size} bytes have to wait");
        request
    }

    fn poll(&mut self) -> Option<Buffer> {
        let waker = Waker::from(Arc::clone(&self.count));
        match self.future.poll_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(buffer) => Some(buffer.unwrap()),
            Poll::Pending => None,
        }
    }

    fn woken(&self) -> usize {
        self.count.get()
    }
}

fn heap(size: usize) -> BufferAllocator {
    BufferAllocator::new(512, BufferSource::new(size))
}

fn ask(allocator: &BufferAllocator, size: usize) -> Result<Buffer, DeviceError> {
    allocator.allocate_buffer(size).now_or_never().unwrap()
}

#[test]
fn sizes_are_exact_and_memory_is_rounded_up() {
    let allocator = heap(16 * 512);
    let buffer = ask(&allocator, 1025).unwrap();
    assert_eq!((buffer.len(), buffer.range()), (1025, 0..1025));
    assert_eq!(allocator.free_bytes(), 12 * 512);
    drop(buffer);
    assert_eq!(allocator.free_bytes(), allocator.size());
}

#[test]
fn too_large_and_empty_requests_do_not_queue() {
    let allocator = heap(3 * 512);
    let [block, size, largest] = [allocator.block_size(), allocator.size(), allocator.largest()];
    assert_eq!([block, size, largest], [512, 1536, 1024]);
    let _full = ask(&allocator, 1024).unwrap();
    let waiting = Request::queued(&allocator, 1024);
    let error = DeviceError::BufferTooLarge { requested: 1025, heap: 1024 };
    assert_eq!(ask(&allocator, 1025).unwrap_err(), error);
    assert!(ask(&allocator, usize::MAX).is_err());
    assert!(allocator.try_allocate(1025).is_none());
    let empty = ask(&allocator, 0).unwrap();
    assert!(empty.is_empty() && allocator.try_allocate(0).is_some());
    assert_eq!((empty.range(), waiting.woken(), allocator.free_bytes()), (0..0, 0, 512));
}

#[test]
fn service_is_in_order_of_arrival() {
    let allocator = heap(4 * 512);
    let full = ask(&allocator, 1024).unwrap();
    let mut large = Request::queued(&allocator, 2048);
    // It would fit, but it came later.
    let mut small = Request::queued(&allocator, 512);
    assert!(allocator.try_allocate(512).is_none());
    drop(full);
    assert_eq!((large.woken(), small.woken()), (1, 0));
    assert!(small.poll().is_none());
    drop(large.poll().unwrap());
    assert_eq!((large.woken(), small.woken()), (1, 1));
    assert_eq!(small.poll().unwrap().range(), 0..512);
}

#[test]
fn one_release_can_serve_many_who_collect_in_any_order() {
    let allocator = heap(8 * 512);
    let full = ask(&allocator, 4096).unwrap();
    let mut requests: Vec<_> = (0..9).map(|_| Request::queued(&allocator, 512)).collect();
    drop(full);
    let woken: Vec<_> = requests.iter().map(Request::woken).collect();
    assert_eq!(woken, [1, 1, 1, 1, 1, 1, 1, 1, 0]);
    let mut buffers: Vec<_> =
        [7, 3, 0, 5, 1, 6, 2, 4].map(|index: usize| requests[index].poll().unwrap()).into();
    assert_eq!(buffers[1].range(), 3 * 512..4 * 512);
    assert!(requests[8].poll().is_none());
    buffers.swap_remove(1);
    assert_eq!(requests[8].poll().unwrap().range(), 3 * 512..4 * 512);
}

#[test]
fn a_large_request_that_leaves_lets_the_smaller_ones_through() {
    let allocator = heap(4 * 512);
    let _held = ask(&allocator, 512).unwrap();
    let large = Request::queued(&allocator, 2048);
    let mut small = Request::queued(&allocator, 512);
    let mut medium = Request::queued(&allocator, 1024);
    let last = Request::queued(&allocator, 512);
    drop(large);
    assert_eq!((small.woken(), medium.woken(), last.woken()), (1, 1, 0));
    assert_eq!(small.poll().unwrap().range(), 512..1024);
    assert_eq!(medium.poll().unwrap().range(), 1024..2048);
    // Both were dropped at once, so the last one has its grant as well.
    assert_eq!(last.woken(), 1);
}

#[test]
fn a_grant_that_nobody_collects_goes_to_the_next() {
    let allocator = heap(2 * 512);
    let full = ask(&allocator, 1024).unwrap();
    let first = Request::queued(&allocator, 1024);
    let middle = Request::queued(&allocator, 1024);
    let mut last = Request::queued(&allocator, 1024);
    drop(full);
    assert_eq!((first.woken(), allocator.free_bytes()), (1, 0));
    drop(middle);
    drop(first);
    assert_eq!(last.woken(), 1);
    assert!(last.poll().is_some());
    assert_eq!(allocator.free_bytes(), 1024);
}

#[test]
fn a_request_that_is_never_polled_has_no_effect() {
    let allocator = heap(2 * 512);
    let never = allocator.allocate_buffer(1024);
    assert_eq!(ask(&allocator, 1024).unwrap().len(), 1024);
    drop(never);
    assert_eq!(allocator.free_bytes(), 1024);
}

#[test]
fn the_latest_waker_is_the_one_that_counts() {
    let allocator = heap(512);
    let full = ask(&allocator, 512).unwrap();
    let mut request = Request::queued(&allocator, 512);
    let old = mem::take(&mut request.count);
    assert!(request.poll().is_none());
    assert_eq!(Arc::strong_count(&old), 1, "the waker that was replaced is dropped");
    drop(full);
    assert_eq!((old.get(), request.woken()), (0, 1));
}

#[test]
fn a_waker_may_own_a_buffer() {
    struct Owner(#[expect(dead_code, reason = "for its drop")] Buffer);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    // Leaked, so that a waker, which is `'static`, can hold one of its buffers.
    let allocator: &'static BufferAllocator = Box::leak(Box::new(heap(1024)));
    for poll_again in [true, false] {
        let waker = Waker::from(Arc::new(Owner(ask(allocator, 512).unwrap())));
        let mut future = allocator.allocate_buffer(1024);
        assert!(future.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        // Either way drops the waker, and so the buffer: a deadlock, if it were under the lock.
        if poll_again {
            assert!(future.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(future.poll_unpin(&mut Context::from_waker(Waker::noop())).is_ready());
        }
        drop(future);
        assert_eq!(allocator.free_bytes(), 1024);
    }
}

#[test]
fn random_use_never_overlaps_and_ends_with_an_empty_heap() {
    for (seed, units) in [(1, 64), (2, 37), (3, 1), (4, 100)] {
        let allocator = heap(units * 512);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut random =
            |below: usize| usize::try_from(rng.next_u64() % u64::try_from(below).unwrap()).unwrap();
        // Every live buffer, with the byte that fills it.
        let mut live: Vec<(Buffer, u8)> = Vec::new();
        for step in 0..5_000 {
            if random(3) > 0 {
                let scale = random(1 + allocator.largest().trailing_zeros() as usize);
                let size = 1 + random(1 << scale);
                let Some(mut buffer) = allocator.try_allocate(size) else {
                    continue;
                };
                let byte = u8::try_from(step % 251).unwrap();
                buffer.as_mut_slice().fill(byte);
                live.push((buffer, byte));
            } else if !live.is_empty() {
                let (buffer, byte) = live.swap_remove(random(live.len()));
                assert!(buffer.as_slice().iter().all(|&each| each == byte), "{:?}", buffer);
            }
            let taken = |buffer: &Buffer| buffer.len().div_ceil(512).next_power_of_two() * 512;
            let sum: usize = live.iter().map(|(buffer, _)| taken(buffer)).sum();
            assert_eq!(allocator.free_bytes(), allocator.size() - sum);
            let mut spans: Vec<_> = live.iter().map(|(buffer, _)| buffer.range().start).collect();
            spans.sort_unstable();
            spans.dedup();
            assert_eq!(spans.len(), live.len());
            for (buffer, _) in &live {
                let end = buffer.range().start + taken(buffer);
                let next = spans.iter().find(|&&start| start > buffer.range().start);
                assert!(end <= *next.unwrap_or(&allocator.size()), "{:?} overlaps", buffer);
            }
        }
        drop(live);
        assert_eq!(ask(&allocator, allocator.largest()).unwrap().len(), allocator.largest());
        assert_eq!(allocator.free_bytes(), allocator.size());
    }
}

#[test]
fn random_queues_serve_in_order_and_lose_no_wake_up() {
    for seed in 0..50 {
        let allocator = heap(13 * 512);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut random =
            |below: usize| usize::try_from(rng.next_u64() % u64::try_from(below).unwrap()).unwrap();
        let mut buffers = Vec::new();
        let mut queue: Vec<Request> = Vec::new();
        for _ in 0..400 {
            match random(4) {
                0 if !buffers.is_empty() => drop(buffers.swap_remove(random(buffers.len()))),
                1 if !queue.is_empty() => drop(queue.remove(random(queue.len()))),
                2 if !queue.is_empty() => {
                    let index = random(queue.len());
                    let woken = queue[index].woken() == 1;
                    let buffer = queue[index].poll();
                    assert_eq!(buffer.is_some(), woken, "granted and woken are the same");
                    if buffer.is_some() {
                        queue.remove(index);
                    }
                    buffers.extend(buffer);
                }
                _ => {
                    let size = 1 + random(allocator.largest());
                    match allocator.try_allocate(size) {
                        Some(buffer) => buffers.push(buffer),
                        None => queue.push(Request::queued(&allocator, size)),
                    }
                }
            }
            // Those who have a grant came before all who have none.
            assert!(queue.is_sorted_by_key(|request| request.woken() == 0));
        }
        drop(buffers);
        for mut request in queue {
            assert!(request.poll().is_some(), "everyone has a turn");
        }
        assert_eq!(allocator.free_bytes(), allocator.size());
    }
}

#[test]
#[should_panic(expected = "not a power of two of at least 512")]
fn the_block_size_is_checked() {
    let _never = BufferAllocator::new(256, BufferSource::new(4096));
}

#[test]
#[should_panic(expected = "is not one or more blocks")]
fn the_heap_is_whole_blocks() {
    let _never = BufferAllocator::new(1024, BufferSource::new(1536));
}
