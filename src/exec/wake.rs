//! Wake-ups as bits of one word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use super::task::TaskId;

/// The wakers of all slots, and the word in which they report.
///
/// A wake-up sets a bit. Bits have neither order nor number, so that nothing depends on how often
/// or in which order tasks were woken.
#[derive(Debug)]
pub(super) struct Wakeups {
    /// A bit is set when its slot is woken, and cleared when the executor collects it.
    woken: Arc<AtomicU64>,
    /// By slot, made when a slot is first used and kept for good: a waker that outlives its task
    /// is then at worst a spurious poll of whoever has the slot next, which every future must bear.
    wakers: Vec<Waker>,
}

impl Wakeups {
    pub(super) fn new() -> Self {
        Self { woken: Arc::default(), wakers: Vec::new() }
    }

    /// Makes sure that `task` has a waker.
    pub(super) fn prepare(&mut self, task: TaskId) {
        while let Some(slot) = TaskId::new(self.wakers.len())
            && slot <= task
        {
            self.wakers.push(Waker::from(Arc::new(WakeSlot {
                woken: Arc::clone(&self.woken),
                bit: slot.bit(),
            })));
        }
    }

    /// Gives the waker of `task`, which was [prepared](Self::prepare).
    pub(super) fn waker(&self, task: TaskId) -> &Waker {
        &self.wakers[task.index()]
    }

    /// Takes the bits of all that were woken since the last call.
    #[inline]
    pub(super) fn collect(&self) -> u64 {
        // The plain load spares a locked instruction where nobody was woken. Acquire pairs with
        // the release in `wake_by_ref`, as whoever wakes from another thread may have stored
        // something for the task first.
        if self.woken.load(Ordering::Relaxed) == 0 {
            0
        } else {
            self.woken.swap(0, Ordering::Acquire)
        }
    }
}

/// What is inside the [`Waker`] of a slot.
struct WakeSlot {
    woken: Arc<AtomicU64>,
    bit: u64,
}

impl Wake for WakeSlot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.fetch_or(self.bit, Ordering::Release);
    }
}
