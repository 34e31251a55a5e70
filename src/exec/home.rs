//! Notices wake-ups from other threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The thread that a runtime belongs to, and whether another thread ever woke one of its tasks.
///
/// Each thread draws a number when it first needs one. Which number it gets is up to the machine;
/// the code only ever compares two of them, and only the text of an error depends on the result.
#[derive(Debug)]
pub(super) struct Home {
    /// The number of the thread that made the runtime. A `Runtime` is not `Send` (its `Halt` is
    /// not), so this is also the thread that runs it.
    thread: u64,
    saw_foreign: AtomicBool,
}

impl Home {
    pub(super) fn new() -> Self {
        Self { thread: this_thread(), saw_foreign: AtomicBool::new(false) }
    }

    /// Notes a wake-up or a spawn: it is foreign if this is another thread. Tells whether it is
    /// not.
    #[inline]
    pub(super) fn note(&self) -> bool {
        let is_home = this_thread() == self.thread;
        if !is_home {
            self.saw_foreign.store(true, Ordering::Relaxed);
        }
        is_home
    }

    pub(super) fn saw_foreign(&self) -> bool {
        self.saw_foreign.load(Ordering::Relaxed)
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
