//! When the thread waits, and for what. Reads of an empty pipe are under way until it is written
//! to.

use super::{Leftovers, MOMENT, Memory, Operation, Ring, Worker};
use crate::file::{BackingFile, RingFile};
use futures::executor::block_on;
use futures::task::noop_waker_ref;
use std::fs::File;
use std::future::Future;
use std::io::{self, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::task::Context;
use std::time::Instant;

/// `None` where the kernel has no ring.
fn pipe() -> Option<(File, PipeWriter)> {
    let (reader, writer) = io::pipe().unwrap();
    crate::file::tests::has_ring().then(|| (File::from(OwnedFd::from(reader)), writer))
}

/// A ring whose kernel has `count` reads, as far as the slots know.
fn worker_with(count: usize) -> Option<Worker> {
    let worker = Worker::new(pipe()?.0).unwrap();
    let mut state = worker.ring.state();
    for _ in 0..count {
        let index = state.slots.claim(&mut None, noop_waker_ref()).0.unwrap();
        state.slots.queue(index, Operation::read(Memory::new(None, 1), 0), noop_waker_ref());
    }
    state.slots.push_queued(|_| true);
    drop(state);
    Some(worker)
}

fn end_reads(ring: &Ring) {
    let mut state = ring.state();
    while let Ok(index) = u32::try_from(state.slots.in_kernel().wrapping_sub(1)) {
        state.slots.complete(index, 0, &mut Leftovers::default());
    }
}

/// How long the thread waits that is not called.
fn waits(worker: &Worker, has_woken: bool) -> std::time::Duration {
    #[expect(clippy::disallowed_methods, reason = "a lower bound, of real time")]
    let started = Instant::now();
    let state = worker.ring.wait_for_call(has_woken);
    assert!(!state.is_called);
    started.elapsed()
}

#[test]
fn whoever_was_woken_has_a_moment_where_more_is_under_way() {
    let Some(worker) = worker_with(2) else { return };
    assert!(waits(&worker, true) >= MOMENT);
    // It would sleep for ever if it slept here.
    waits(&worker, false);
    end_reads(&worker.ring);
    let Some(worker) = worker_with(1) else { return };
    waits(&worker, true);
    end_reads(&worker.ring);
}

#[test]
fn the_thread_sleeps_until_it_is_called_where_the_kernel_has_nothing() {
    let Some(worker) = worker_with(0) else { return };
    let ring = &worker.ring;
    #[expect(clippy::disallowed_methods, reason = "a real thread is what this is about")]
    std::thread::scope(|scope| {
        scope.spawn(|| ring.call(ring.state()));
        assert!(ring.wait_for_call(false).is_called);
    });
    // It was called before it looks.
    assert!(ring.wait_for_call(true).is_called);
}

#[test]
fn the_thread_is_called_while_it_waits_in_the_kernel() {
    let Some((reader, mut writer)) = pipe() else { return };
    let file = RingFile::with(reader, false).unwrap();
    let mut buffer = [0];
    let mut read = Box::pin(file.read_at(&mut buffer, 0));
    let mut context = Context::from_waker(noop_waker_ref());
    for _ in 0..100 {
        assert!(read.as_mut().poll(&mut context).is_pending());
        // A pipe cannot be synced. The answer comes all the same, over and over.
        assert!(block_on(file.sync_all()).is_err());
    }
    writer.write_all(b"x").unwrap();
    assert_eq!(block_on(read).unwrap(), 1);
    assert_eq!(buffer, *b"x");
}
