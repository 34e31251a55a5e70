//! The names of tasks.

use std::fmt;

/// How many tasks can be alive at a time, those of an [`Executor`](super::Executor) and the
/// detached ones of its [`Runtime`](super::Runtime) together.
///
/// The set of those that can run is one machine word for every 64 slots that were ever used, which
/// is what makes a step cheap.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{MAX_TASKS, TaskId};
///
/// assert!(TaskId::new(MAX_TASKS - 1).is_some());
/// assert!(TaskId::new(MAX_TASKS).is_none());
/// ```
pub const MAX_TASKS: usize = 4096;

/// Names a task among those that are alive.
///
/// It is the number of the slot that the task occupies: the lowest that was free when the task was
/// [spawned](super::Executor::spawn), starting with 0. A [detached](super::Spawner::spawn) task
/// gets its slot right before the next step. When the task has ended, the slot and with it the name
/// is free for another.
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
pub struct TaskId(u16);

impl TaskId {
    /// Gives the name of the slot `index`, or `None` from [`MAX_TASKS`] on.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::TaskId;
    ///
    /// assert_eq!(TaskId::new(3).map(TaskId::index), Some(3));
    /// assert_eq!(TaskId::new(4096), None);
    /// ```
    pub fn new(index: usize) -> Option<Self> {
        u16::try_from(index).ok().filter(|_| index < MAX_TASKS).map(Self)
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

    /// Gives the number of the word, each of 64 tasks, that the task is in.
    #[inline]
    pub(super) fn word(self) -> usize {
        self.index() / 64
    }

    /// Gives the set that holds only this task, as its word.
    #[inline]
    pub(super) fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }

    /// Gives the set of all tasks of the same word with a greater id.
    #[inline]
    pub(super) fn later_bits(self) -> u64 {
        // Two shifts, as one by 64 would overflow.
        (u64::MAX << (self.0 % 64)) << 1
    }

    /// Gives the lowest member of a set that is word number `word`, if it has any.
    #[inline]
    pub(super) fn lowest(word: usize, bits: u64) -> Option<Self> {
        if bits == 0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than MAX_TASKS")]
        Some(Self((word * 64) as u16 + bits.trailing_zeros() as u16))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "task {}", self.0)
    }
}
