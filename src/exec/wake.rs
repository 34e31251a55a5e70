//! Wake-ups as bits of words.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use super::home::Home;
use super::task::TaskId;

/// The wakers of all slots, and the words in which they report.
///
/// A wake-up sets a bit. Bits have neither order nor number, so that nothing depends on how often
/// or in which order tasks were woken.
///
/// Every poll has a waker of its own, and only the one of the last poll sets the bit. Nobody can
/// tell two wakers of which no clone was kept apart, so a new one is needed only after a poll that
/// kept a clone. The one that was kept becomes a spare when its last clone is dropped. So polls
/// allocate nothing once there are as many spares as clones that are kept at a time.
#[derive(Debug)]
pub(super) struct Wakeups {
    home: Arc<Home>,
    /// The word of the first 64 slots.
    first: Arc<Word>,
    /// The words of the slots from 64 on, as far as such slots were ever used.
    more: Vec<Arc<Word>>,
    /// By slot, made when a slot is first used and kept for good.
    slots: Vec<SlotWakers>,
}

/// The wakers of a slot.
#[derive(Debug)]
struct SlotWakers {
    /// That of the last poll, or of the poll to come.
    current: OwnWaker,
    /// Those of earlier polls.
    spare: Vec<OwnWaker>,
}

/// Most wakers that a slot keeps to use them again. More are in use only if a task keeps the wakers
/// of many polls.
const MOST_SPARE: usize = 8;

/// A waker, and a way to see whether clones of it were kept.
#[derive(Debug)]
struct OwnWaker {
    slot: Arc<WakeSlot>,
    waker: Waker,
}

impl OwnWaker {
    fn new(word: &Arc<Word>, bit: u64) -> Self {
        let slot = Arc::new(WakeSlot { word: Arc::clone(word), bit: AtomicU64::new(bit) });
        Self { waker: Waker::from(Arc::clone(&slot)), slot }
    }

    /// Whether somebody has a clone of the waker. The two references of this do not count.
    #[inline]
    fn was_kept(&self) -> bool {
        Arc::strong_count(&self.slot) > 2
    }
}

impl SlotWakers {
    /// Makes another waker the current one. A wake-up by the one before does nothing any more.
    #[cold]
    fn renew(&mut self) {
        let unused = self.spare.iter().position(|spare| !spare.was_kept());
        let next = match unused {
            Some(index) => self.spare.swap_remove(index),
            None => OwnWaker::new(&self.current.slot.word, 0),
        };
        let last = mem::replace(&mut self.current, next);
        let bit = last.slot.bit.swap(0, Ordering::Relaxed);
        self.current.slot.bit.store(bit, Ordering::Relaxed);
        if self.spare.len() < MOST_SPARE {
            self.spare.push(last);
        }
    }
}

impl Wakeups {
    pub(super) fn new(home: Arc<Home>) -> Self {
        let first = Arc::new(Word::new(&home));
        Self { home, first, more: Vec::new(), slots: Vec::new() }
    }

    /// Makes sure that `task` has a waker.
    #[inline]
    pub(super) fn prepare(&mut self, task: TaskId) {
        if task.index() >= self.slots.len() {
            self.make_up_to(task);
        }
    }

    #[cold]
    fn make_up_to(&mut self, task: TaskId) {
        while let Some(slot) = TaskId::new(self.slots.len())
            && slot <= task
        {
            let word = self.word(slot);
            let current = OwnWaker::new(&word, slot.bit());
            self.slots.push(SlotWakers { current, spare: Vec::new() });
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

    /// Gives the waker for a poll of `task`, which was [prepared](Self::prepare). Those of earlier
    /// polls are stale from now on.
    #[inline]
    pub(super) fn next_waker(&mut self, task: TaskId) -> &Waker {
        let slot = &mut self.slots[task.index()];
        if slot.current.was_kept() {
            slot.renew();
        }
        &slot.current.waker
    }

    /// Gives a waker that stays good for as long as `task`, which was [prepared](Self::prepare), is
    /// alive. After that it may cost whoever has the slot by then a poll that nobody needs.
    pub(super) fn steady_waker(&self, task: TaskId) -> Waker {
        OwnWaker::new(&self.slots[task.index()].current.slot.word, task.bit()).waker
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
    /// A bit is set when its slot is woken, and cleared when the executor collects it. Only the
    /// runtime's thread changes this, so that it needs no locked instruction.
    woken: AtomicU64,
    /// The same for wake-ups by other threads.
    foreign: AtomicU64,
    home: Arc<Home>,
}

impl Word {
    fn new(home: &Arc<Home>) -> Self {
        Self { woken: AtomicU64::new(0), foreign: AtomicU64::new(0), home: Arc::clone(home) }
    }

    #[inline]
    fn collect(&self) -> u64 {
        let woken = self.woken.load(Ordering::Relaxed);
        self.woken.store(0, Ordering::Relaxed);
        // The plain load spares a locked instruction where nobody was woken. Acquire pairs with
        // the release in `wake`, as whoever wakes from another thread may have stored something
        // for the task first.
        if self.foreign.load(Ordering::Relaxed) == 0 {
            woken
        } else {
            woken | self.foreign.swap(0, Ordering::Acquire)
        }
    }

    #[inline]
    fn wake(&self, bit: u64) {
        if self.home.note() {
            self.woken.store(self.woken.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
        } else {
            self.foreign.fetch_or(bit, Ordering::Release);
        }
    }
}

/// What is inside a [`Waker`] of a slot.
#[derive(Debug)]
struct WakeSlot {
    word: Arc<Word>,
    /// That of the slot, or none if this is not of the last poll. Relaxed is enough: it is changed
    /// by the runtime's thread, and what another thread does with a waker that turns stale
    /// meanwhile has no order anyway.
    bit: AtomicU64,
}

impl Wake for WakeSlot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.word.wake(self.bit.load(Ordering::Relaxed));
    }
}
