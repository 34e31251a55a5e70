//! Which slots are taken, and which of their tasks can run.

use super::runnable::Runnable;
use super::task::{MAX_TASKS, TaskId};
use super::wake::Wakeups;

/// The state of all slots, as sets of bits.
///
/// The first 64 slots are one word of each set, inline. A further word is added when one of its
/// slots is first used, and is kept. A run of few tasks never needs one.
#[derive(Debug, Default)]
pub(super) struct Slots {
    first: Word,
    more: Vec<Word>,
    /// Scratch space: which slots of `more` can run, or wait. As long as `more`.
    runnable: Vec<u64>,
}

/// The state of 64 slots.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// A bit is set when its slot is given to a task, and cleared when the task ends.
    live: u64,
    /// Those of `live` whose task is detached.
    detached: u64,
    /// A bit is set when its task is spawned or woken, and cleared when it is polled. The bits of
    /// free slots mean nothing.
    ready: u64,
}

impl Slots {
    /// Gives the lowest free slot, or `None` if [`MAX_TASKS`] are taken.
    #[inline]
    pub(super) fn lowest_free(&self) -> Option<TaskId> {
        TaskId::lowest(0, !self.first.live).or_else(|| self.lowest_free_of_more())
    }

    #[cold]
    fn lowest_free_of_more(&self) -> Option<TaskId> {
        let free = |(word, number): (&Word, usize)| TaskId::lowest(number, !word.live);
        let known = self.more.iter().zip(1..).find_map(free);
        known.or_else(|| TaskId::new((self.more.len() + 1) * 64))
    }

    /// Takes a free slot for a task that can run at once.
    pub(super) fn take(&mut self, slot: TaskId, is_detached: bool) {
        debug_assert!(slot.index() < MAX_TASKS);
        if self.more.len() < slot.word() {
            self.grow();
        }
        let word = self.word_mut(slot);
        word.live |= slot.bit();
        word.ready |= slot.bit();
        if is_detached {
            word.detached |= slot.bit();
        }
    }

    /// Adds a word: free slots are given away lowest first, so that one is enough.
    #[cold]
    fn grow(&mut self) {
        self.more.push(Word::default());
        self.runnable.push(0);
    }

    /// Frees the slot of a task that has ended.
    #[inline]
    pub(super) fn free(&mut self, slot: TaskId) {
        let word = self.word_mut(slot);
        word.live &= !slot.bit();
        word.detached &= !slot.bit();
    }

    /// Frees the slots of all tasks that are not detached.
    pub(super) fn free_scoped(&mut self) {
        self.first.live = self.first.detached;
        for word in &mut self.more {
            word.live = word.detached;
        }
    }

    /// Notes that the task is about to be polled. It runs again only if it is woken after this.
    #[inline]
    pub(super) fn begin_poll(&mut self, slot: TaskId) {
        self.word_mut(slot).ready &= !slot.bit();
    }

    /// Collects the wake-ups and gives the tasks that can run, if there are any, and whether
    /// another one is alive that nobody woke.
    #[inline]
    pub(super) fn runnable(&mut self, wakeups: &Wakeups) -> Option<(Runnable<'_>, bool)> {
        self.first.ready |= wakeups.collect_first();
        let Word { live, ready, .. } = self.first;
        if self.more.is_empty() {
            Some((Runnable::from_bits(ready & live)?, live & !ready != 0))
        } else {
            self.runnable_of_many(wakeups)
        }
    }

    fn runnable_of_many(&mut self, wakeups: &Wakeups) -> Option<(Runnable<'_>, bool)> {
        let Word { live, ready, .. } = self.first;
        let mut waiting = live & !ready;
        let words = self.more.iter_mut().zip(&mut self.runnable);
        for ((word, runnable), woken) in words.zip(wakeups.collect_more()) {
            word.ready |= woken;
            *runnable = word.ready & word.live;
            waiting |= word.live & !word.ready;
        }
        Some((Runnable::from_words(ready & live, &self.runnable)?, waiting != 0))
    }

    /// Gives the tasks that nobody woke: those that were alive when the runnable ones were
    /// collected, and are not among them. There has to be one.
    #[cold]
    pub(super) fn waiting(&mut self) -> Runnable<'_> {
        let waiting = |word: &Word| word.live & !word.ready;
        for (word, scratch) in self.more.iter().zip(&mut self.runnable) {
            *scratch = waiting(word);
        }
        let waiting = Runnable::from_words(waiting(&self.first), &self.runnable);
        waiting.expect("one task at least waits")
    }

    #[inline]
    fn word_mut(&mut self, slot: TaskId) -> &mut Word {
        match slot.word().checked_sub(1) {
            None => &mut self.first,
            Some(index) => &mut self.more[index],
        }
    }
}
