//! Wake-ups as bits of words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use super::home::Home;
use super::task::TaskId;

/// The wakers of all slots, and the words in which they report.
///
/// A wake-up sets a bit. Bits have neither order nor number, so that nothing depends on how often
/// or in which order tasks were woken.
#[derive(Debug)]
pub(super) struct Wakeups {
    home: Arc<Home>,
    /// The word of the first 64 slots.
    first: Arc<Word>,
    /// The words of the slots from 64 on, as far as such slots were ever used.
    more: Vec<Arc<Word>>,
    /// By slot, made when a slot is first used and kept for good: a waker that outlives its task
    /// is then at worst a spurious poll of whoever has the slot next, which every future must bear.
    wakers: Vec<Waker>,
}

impl Wakeups {
    pub(super) fn new(home: Arc<Home>) -> Self {
        let first = Arc::new(Word::new(&home));
        Self { home, first, more: Vec::new(), wakers: Vec::new() }
    }

    /// Makes sure that `task` has a waker.
    #[inline]
    pub(super) fn prepare(&mut self, task: TaskId) {
        if task.index() >= self.wakers.len() {
            self.make_up_to(task);
        }
    }

    #[cold]
    fn make_up_to(&mut self, task: TaskId) {
        while let Some(slot) = TaskId::new(self.wakers.len())
            && slot <= task
        {
            let word = self.word(slot);
            self.wakers.push(Waker::from(Arc::new(WakeSlot { word, bit: slot.bit() })));
        }
    }

    fn word(&mut self, slot: TaskId) -> Arc<Word> {
        let Some(index) = slot.word().checked_sub(1) else {
            return Arc::clone(&self.first);
        };
        // Slots get their wakers in order, so that at most one word is missing.
        if index == self.more.len() {
            self.more.push(Arc::new(Word::new(&self.home)));
        }
        Arc::clone(&self.more[index])
    }

    /// Gives the waker of `task`, which was [prepared](Self::prepare).
    pub(super) fn waker(&self, task: TaskId) -> &Waker {
        &self.wakers[task.index()]
    }

    /// Takes the bits of all among the first 64 slots that were woken since the last call.
    #[inline]
    pub(super) fn collect_first(&self) -> u64 {
        self.first.collect()
    }

    /// Takes the bits of all others, word by word.
    pub(super) fn collect_more(&self) -> impl Iterator<Item = u64> {
        self.more.iter().map(|word| word.collect())
    }
}

/// The wake-ups of 64 slots.
#[derive(Debug)]
struct Word {
    /// A bit is set when its slot is woken, and cleared when the executor collects it.
    woken: AtomicU64,
    home: Arc<Home>,
}

impl Word {
    fn new(home: &Arc<Home>) -> Self {
        Self { woken: AtomicU64::new(0), home: Arc::clone(home) }
    }

    #[inline]
    fn collect(&self) -> u64 {
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
    word: Arc<Word>,
    bit: u64,
}

impl Wake for WakeSlot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.word.home.note();
        self.word.woken.fetch_or(self.bit, Ordering::Release);
    }
}
