//! The names of tasks, and sets of them.

use std::fmt;
use std::iter::FusedIterator;
use std::num::NonZeroU64;

/// How many tasks an [`Executor`](super::Executor) can have at a time.
///
/// The set of those that can run is one machine word, which is what makes a step cheap.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{MAX_TASKS, TaskId};
///
/// assert!(TaskId::new(MAX_TASKS - 1).is_some());
/// assert!(TaskId::new(MAX_TASKS).is_none());
/// ```
pub const MAX_TASKS: usize = 64;

/// Names a task among those that are alive in one executor.
///
/// It is the number of the slot that the task occupies: the lowest that was free when the task was
/// [spawned](super::Executor::spawn), starting with 0. When the task has ended, the slot and with
/// it the name is free for another.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{FirstReady, Runtime};
///
/// let mut runtime = Runtime::new(FirstReady::new());
/// let mut executor = runtime.executor();
/// let first = executor.spawn("first", async {});
/// let second = executor.spawn("second", async {});
/// assert!(first < second);
/// assert_eq!((second.index(), second.to_string()), (1, "task 1".to_string()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(u8);

impl TaskId {
    /// Gives the name of the slot `index`, or `None` from [`MAX_TASKS`] on.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::TaskId;
    ///
    /// assert_eq!(TaskId::new(3).map(TaskId::index), Some(3));
    /// assert_eq!(TaskId::new(64), None);
    /// ```
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|_| index < MAX_TASKS).map(Self)
    }

    /// Gives the number of the slot, which is less than [`MAX_TASKS`].
    ///
    /// Small and dense: a schedule can keep what it knows about tasks in an array.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{MAX_TASKS, TaskId};
    ///
    /// let mut turns = [0; MAX_TASKS];
    /// if let Some(task) = TaskId::new(5) {
    ///     turns[task.index()] += 1;
    /// }
    /// assert_eq!(turns[5], 1);
    /// ```
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Gives the set that holds only this task.
    #[inline]
    pub(super) fn bit(self) -> u64 {
        1 << self.0
    }

    /// Gives the lowest member of a set.
    #[inline]
    pub(super) fn lowest(bits: NonZeroU64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a bit number is less than 64")]
        Self(bits.trailing_zeros() as u8)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "task {}", self.0)
    }
}

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
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Runnable(NonZeroU64);

impl Runnable {
    /// Makes the set of all tasks whose bit is set, or `None` if none is.
    ///
    /// The executor does this for itself; it is public for tests of schedules.
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
        NonZeroU64::new(bits).map(Self)
    }

    /// Counts the tasks: between 1 and [`MAX_TASKS`].
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
        self.0.get().count_ones() as usize
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
        self.0.get() & task.bit() != 0
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
        TaskId::lowest(self.0)
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
        self.iter().nth(position)
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
        // Two shifts, as one by 64 would overflow.
        let later = self.0.get() & ((u64::MAX << task.0) << 1);
        NonZeroU64::new(later).map_or_else(|| self.first(), TaskId::lowest)
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
    pub fn iter(self) -> RunnableIter {
        RunnableIter { rest: self.0.get() }
    }
}

impl IntoIterator for Runnable {
    type Item = TaskId;
    type IntoIter = RunnableIter;

    fn into_iter(self) -> RunnableIter {
        self.iter()
    }
}

impl fmt::Debug for Runnable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// Goes through the tasks of a [`Runnable`] in order of id; see [`Runnable::iter`].
#[derive(Clone, Debug)]
pub struct RunnableIter {
    rest: u64,
}

impl Iterator for RunnableIter {
    type Item = TaskId;

    #[inline]
    fn next(&mut self) -> Option<TaskId> {
        let task = NonZeroU64::new(self.rest).map(TaskId::lowest)?;
        self.rest &= self.rest - 1;
        Some(task)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.rest.count_ones() as usize;
        (count, Some(count))
    }
}

impl ExactSizeIterator for RunnableIter {}

impl FusedIterator for RunnableIter {}

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
    fn debug_shows_the_members() {
        let runnable = Runnable::from_bits(0b101).unwrap();
        assert_eq!(format!("{runnable:?}"), "{TaskId(0), TaskId(2)}");
    }
}
