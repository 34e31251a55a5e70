//! Tells what comes from another thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The thread that a runtime belongs to, and whether another one meddled with its tasks.
///
/// Threads are told apart by numbers that they draw when they first need one. Which number a
/// thread gets is up to the machine; only whether two are the same is ever looked at, and that only
/// for the text of an error.
#[derive(Debug)]
pub(super) struct Home {
    /// The thread that made the runtime. A runtime is not `Send`, so it is the one that runs it.
    thread: u64,
    meddled: AtomicBool,
}

impl Home {
    pub(super) fn new() -> Self {
        Self { thread: this_thread(), meddled: AtomicBool::new(false) }
    }

    /// Takes note of a wake-up or a spawn, which is foreign if this is another thread.
    #[inline]
    pub(super) fn note(&self) {
        if this_thread() != self.thread {
            self.meddled.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn meddled(&self) -> bool {
        self.meddled.load(Ordering::Relaxed)
    }
}

/// Gives the number of this thread, which no other thread of the process has.
#[inline]
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        /// 0 until this thread needs its number.
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
