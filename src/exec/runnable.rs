//! The set of tasks that a schedule chooses from.

use std::fmt;
use std::iter::{self, FusedIterator};
use std::slice;

use super::task::TaskId;

/// The tasks that can run next: one at least, in order of [`TaskId`].
///
/// This is all that a [`Schedule`](super::Schedule) gets to see. It does not tell who was woken
/// first, nor how often, as that must not matter.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::Runnable;
///
/// // Bit n stands for task n.
/// let runnable = Runnable::from_bits(0b1011).expect("three tasks");
/// let indices: Vec<_> = runnable.iter().map(|task| task.index()).collect();
/// assert_eq!(indices, [0, 1, 3]);
/// ```
#[derive(Clone, Copy)]
pub struct Runnable<'a> {
    /// Bit n stands for task n. There is a bit here or in `more`.
    first: u64,
    /// Bit n of word m stands for task 64 (m + 1) + n.
    more: &'a [u64],
}

impl Runnable<'static> {
    /// Makes the set of all tasks whose bit is set, or `None` if none is.
    ///
    /// It covers the first 64 tasks only. The executor does not need it; it is for tests of
    /// schedules.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::Runnable;
    ///
    /// assert!(Runnable::from_bits(0).is_none());
    /// ```
    #[inline]
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self { first: bits, more: &[] })
    }
}

impl<'a> Runnable<'a> {
    /// Makes the set of all tasks whose bit is set in the first or a further word.
    pub(super) fn from_words(first: u64, more: &'a [u64]) -> Option<Self> {
        let is_empty = first == 0 && more.iter().all(|&word| word == 0);
        (!is_empty).then_some(Self { first, more })
    }

    /// Counts the tasks: between 1 and [`MAX_TASKS`](super::MAX_TASKS).
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::Runnable;
    ///
    /// assert_eq!(Runnable::from_bits(0b1011).map(Runnable::count), Some(3));
    /// ```
    #[inline]
    pub fn count(self) -> usize {
        count_ones(self.first) + self.more.iter().copied().map(count_ones).sum::<usize>()
    }

    /// Tells whether `task` can run.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::Runnable;
    ///
    /// let runnable = Runnable::from_bits(0b10).expect("one task");
    /// assert!(runnable.contains(runnable.first()));
    /// ```
    #[inline]
    pub fn contains(self, task: TaskId) -> bool {
        self.word(task.word()) & task.bit() != 0
    }

    /// Gives the task with the lowest id.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::Runnable;
    ///
    /// let runnable = Runnable::from_bits(0b1010).expect("two tasks");
    /// assert_eq!(runnable.first().index(), 1);
    /// ```
    #[inline]
    pub fn first(self) -> TaskId {
        TaskId::lowest(0, self.first).unwrap_or_else(|| self.first_from_word(1))
    }

    /// Gives the task at `position` in order of id, or `None` from [`count`](Self::count) on.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::Runnable;
    ///
    /// let runnable = Runnable::from_bits(0b1010).expect("two tasks");
    /// assert_eq!(runnable.nth(1).map(|task| task.index()), Some(3));
    /// assert_eq!(runnable.nth(2), None);
    /// ```
    #[inline]
    pub fn nth(self, position: usize) -> Option<TaskId> {
        let mut position = position;
        for (number, mut word) in self.words().enumerate() {
            if position < count_ones(word) {
                for _ in 0..position {
                    word &= word - 1;
                }
                return TaskId::lowest(number, word);
            }
            position -= count_ones(word);
        }
        None
    }

    /// Gives the first task after `task` in order of id, or the first of all where there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::Runnable;
    ///
    /// let runnable = Runnable::from_bits(0b1010).expect("two tasks");
    /// let first = runnable.first();
    /// let second = runnable.after(first);
    /// assert_eq!(second.index(), 3);
    /// assert_eq!(runnable.after(second), first);
    /// ```
    #[inline]
    pub fn after(self, task: TaskId) -> TaskId {
        let later = self.word(task.word()) & task.later_bits();
        TaskId::lowest(task.word(), later).unwrap_or_else(|| self.first_from_word(task.word() + 1))
    }

    /// Goes through the tasks in order of id.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::Runnable;
    ///
    /// let runnable = Runnable::from_bits(0b110).expect("two tasks");
    /// assert!(runnable.iter().is_sorted());
    /// ```
    #[inline]
    pub fn iter(self) -> RunnableIter<'a> {
        RunnableIter { number: 0, word: self.first, more: self.more.iter() }
    }

    /// Gives the first task in word `number` or a later one, or the first of all where there is
    /// none.
    fn first_from_word(self, number: usize) -> TaskId {
        let later = self.words().enumerate().skip(number);
        let mut tasks = later.chain(self.words().enumerate());
        let first = tasks.find_map(|(number, word)| TaskId::lowest(number, word));
        first.expect("one task at least can run")
    }

    fn words(self) -> impl Iterator<Item = u64> {
        iter::once(self.first).chain(self.more.iter().copied())
    }

    /// Gives word `number`, which is empty where there is none.
    #[inline]
    fn word(self, number: usize) -> u64 {
        match number.checked_sub(1) {
            None => self.first,
            Some(index) => self.more.get(index).copied().unwrap_or(0),
        }
    }
}

fn count_ones(word: u64) -> usize {
    word.count_ones() as usize
}

impl<'a> IntoIterator for Runnable<'a> {
    type Item = TaskId;
    type IntoIter = RunnableIter<'a>;

    fn into_iter(self) -> RunnableIter<'a> {
        self.iter()
    }
}

impl PartialEq for Runnable<'_> {
    fn eq(&self, other: &Self) -> bool {
        // Not the words themselves: there may be more of them than there are tasks for.
        self.iter().eq(other.iter())
    }
}

impl Eq for Runnable<'_> {}

impl fmt::Debug for Runnable<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// Goes through the tasks of a [`Runnable`] in order of id; see [`Runnable::iter`].
#[derive(Clone, Debug)]
pub struct RunnableIter<'a> {
    /// The number of `word`.
    number: usize,
    /// What is left of the current word.
    word: u64,
    /// The words after it.
    more: slice::Iter<'a, u64>,
}

impl Iterator for RunnableIter<'_> {
    type Item = TaskId;

    #[inline]
    fn next(&mut self) -> Option<TaskId> {
        while self.word == 0 {
            self.word = *self.more.next()?;
            self.number += 1;
        }
        let task = TaskId::lowest(self.number, self.word);
        self.word &= self.word - 1;
        task
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let later: usize = self.more.clone().copied().map(count_ones).sum();
        let count = count_ones(self.word) + later;
        (count, Some(count))
    }
}

impl ExactSizeIterator for RunnableIter<'_> {}

impl FusedIterator for RunnableIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(bits: u64) -> Vec<usize> {
        Runnable::from_bits(bits).into_iter().flatten().map(TaskId::index).collect()
    }

    #[test]
    fn members_come_in_order() {
        assert_eq!(indices(0), []);
        assert_eq!(indices(1 << 63 | 1 << 7 | 1), [0, 7, 63]);
        assert_eq!(indices(u64::MAX), (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn after_wraps_at_the_last_task() {
        let runnable = Runnable::from_bits(1 << 63 | 1 << 7).unwrap();
        let (seven, last) = (TaskId::new(7).unwrap(), TaskId::new(63).unwrap());
        assert_eq!(runnable.after(seven), last);
        assert_eq!(runnable.after(last), seven);
    }

    #[test]
    fn the_iterator_knows_its_length() {
        let mut iter = Runnable::from_bits(0b1011).unwrap().iter();
        assert_eq!(iter.len(), 3);
        iter.next();
        assert_eq!(iter.len(), 2);
    }

    #[test]
    fn all_words_count() {
        let more = [0, 1 << 63 | 1 << 5, 0, 1];
        let runnable = Runnable::from_words(1 << 7, &more).unwrap();
        let members = [7, 128 + 5, 128 + 63, 256].map(|index| TaskId::new(index).unwrap());
        assert_eq!(runnable.iter().collect::<Vec<_>>(), members);
        assert_eq!((runnable.count(), runnable.iter().len()), (4, 4));
        assert_eq!(runnable.first(), members[0]);
        for (position, task) in members.into_iter().enumerate() {
            assert!(runnable.contains(task));
            assert_eq!(runnable.nth(position), Some(task));
            assert_eq!(runnable.after(task), members[(position + 1) % 4]);
        }
        assert_eq!(runnable.nth(4), None);
        for index in [0, 64, 127, 128 + 6, 257, 1_000] {
            assert!(!runnable.contains(TaskId::new(index).unwrap()));
        }
        assert_eq!(runnable.after(TaskId::new(64).unwrap()), members[1]);
        assert_eq!(runnable.after(TaskId::new(1_000).unwrap()), members[0]);
    }

    #[test]
    fn empty_words_make_no_difference() {
        assert_eq!(Runnable::from_words(0, &[0, 0]), None);
        assert_eq!(Runnable::from_words(5, &[0, 0]), Runnable::from_bits(5));
        let late = Runnable::from_words(0, &[0, 2]).unwrap();
        assert_eq!(late.first(), TaskId::new(129).unwrap());
        assert_eq!(late.after(late.first()), late.first());
    }

    #[test]
    fn debug_shows_the_members() {
        let runnable = Runnable::from_bits(0b101).unwrap();
        assert_eq!(format!("{runnable:?}"), "{TaskId(0), TaskId(2)}");
    }
}
