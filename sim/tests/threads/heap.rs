//! The heap: buffers do not overlap, and none is lost.

use super::checker::index;
use super::drops::perhaps;
use super::{TASKS, duration, run};
use blocktwin::device::{Buffer, BufferAllocator, BufferSource};
use blocktwin::rng::{Purpose, Rng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

/// So little that tasks wait for each other.
const HEAP: usize = 64 << 10;
const BLOCK: usize = 512;

/// Who is at it, and how far.
struct Run {
    heap: BufferAllocator,
    stop: AtomicBool,
    granted: AtomicU64,
    dropped: AtomicU64,
}

/// Fills a buffer, lets others go on, and looks whether they have touched it.
async fn use_it(rng: &mut Rng, mut buffer: Buffer, tag: u8) {
    buffer.as_mut_slice().fill(tag);
    for _ in 0..rng.below(3) {
        yield_now().await;
    }
    assert!(buffer.as_slice().iter().all(|&byte| byte == tag), "{buffer:?} is somebody else's");
}

async fn work(run: Arc<Run>, task: u64) {
    let mut rng = Rng::new(task, Purpose::Operations);
    let mut tag = 0_u8;
    while !run.stop.load(Ordering::Relaxed) {
        tag = tag.wrapping_add(1);
        // Buffers of several sizes, and most of them small.
        let most = 1 << rng.between(0, 14);
        let size = index(rng.between(0, most));
        let buffer = perhaps(&mut rng, run.heap.allocate_buffer(size)).await;
        match buffer {
            Some(buffer) => {
                run.granted.fetch_add(1, Ordering::Relaxed);
                use_it(&mut rng, buffer.expect("it fits"), tag).await;
            }
            None => {
                run.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(buffer) = run.heap.try_allocate(size) {
            use_it(&mut rng, buffer, !tag).await;
        }
    }
}

#[test]
fn the_heap_keeps_buffers_apart_and_loses_none() {
    let heap = BufferAllocator::new(BLOCK, BufferSource::new(HEAP));
    let (stop, granted, dropped) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let it = Arc::new(Run { heap, stop, granted, dropped });
    run(async {
        let mut tasks: JoinSet<_> = (0..TASKS).map(|task| work(Arc::clone(&it), task)).collect();
        sleep(duration()).await;
        it.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no panic");
        }
    });
    assert_eq!(it.heap.free_bytes(), it.heap.size(), "a buffer was lost");
    assert!(it.heap.try_allocate(it.heap.largest()).is_some(), "the heap is in pieces");
    let (granted, dropped) =
        (it.granted.load(Ordering::Relaxed), it.dropped.load(Ordering::Relaxed));
    println!("{granted} buffers granted, {dropped} requests dropped");
    assert!(granted > 0 && dropped > 0);
}
