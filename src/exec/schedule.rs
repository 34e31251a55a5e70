//! Who runs next.

use super::runnable::Runnable;
use super::task::TaskId;
use crate::rng::{Purpose, Rng};

/// Decides, step by step, which task runs.
///
/// The schedule is the only source of freedom in a run, and has to be a pure function: its answers
/// may depend on its own state (a seed is state) and on the calls it got, in their order, and on
/// nothing else. Then the same schedule gives the same run.
///
/// # The calls
///
/// - [`spawned`](Self::spawned) once for each task, when it is spawned and before it can be among
///   the runnable; for a [detached](super::Spawner::spawn) task, when it gets its slot.
/// - [`is_needless`](Self::is_needless) once for every step in which one task can run and another
///   waits.
/// - [`next`](Self::next) once for every step, after that and right before the step, even if only
///   one task can run. The answer always is carried out.
///
/// The end of a task, and the crash of all, are not reported: the task is just never runnable
/// again, until another is spawned under the same [`TaskId`]. Likewise the clock: a task whose
/// timer is due is runnable like any other.
///
/// That is enough for the usual strategies. A schedule with random priorities (PCT) gives them out
/// in `spawned`, counts calls of `next` for its points of change and answers with the highest. A
/// bounded exhaustive one (DFS) keeps the path of its choices, each a position among so many
/// runnable, replays it as a prefix and moves on to the next path when it is handed to a new
/// [`Runtime`](super::Runtime); [`into_schedule`](super::Runtime::into_schedule) gets it back. A
/// recorder wraps another schedule and notes the answers.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{Runnable, Runtime, Schedule, TaskId, yield_now};
///
/// /// The newest runnable task first.
/// struct LastReady;
///
/// impl Schedule for LastReady {
///     fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
///         runnable.iter().last().unwrap_or(runnable.first())
///     }
/// }
///
/// let order = std::cell::RefCell::new(Vec::new());
/// let mut runtime = Runtime::new(LastReady);
/// let mut executor = runtime.executor();
/// executor.spawn("old", async { order.borrow_mut().push("old") });
/// executor.spawn("new", async { order.borrow_mut().push("new") });
/// executor.run(10)?;
/// assert_eq!(*order.borrow(), ["new", "old"]);
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
pub trait Schedule {
    /// Chooses which of the runnable tasks takes the next step.
    ///
    /// The answer has to be one of `runnable`; any other makes the executor panic.
    fn next(&mut self, runnable: Runnable<'_>) -> TaskId;

    /// Decides whether the next step polls a task that nobody woke.
    ///
    /// If so, [`next`](Self::next) chooses among those, and not among the tasks that can run. It is
    /// asked only if some task can run and another waits, so that a deadlock stays one. Every
    /// future has to bear such a poll.
    ///
    /// Never unless implemented.
    fn is_needless(&mut self) -> bool {
        false
    }

    /// Learns of a new task; whatever was known of an earlier one with this id is void.
    ///
    /// Does nothing unless implemented.
    fn spawned(&mut self, task: TaskId) {
        let _ = task;
    }
}

impl<S: Schedule + ?Sized> Schedule for &mut S {
    fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
        (**self).next(runnable)
    }

    fn is_needless(&mut self) -> bool {
        (**self).is_needless()
    }

    fn spawned(&mut self, task: TaskId) {
        (**self).spawned(task);
    }
}

impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
        (**self).next(runnable)
    }

    fn is_needless(&mut self) -> bool {
        (**self).is_needless()
    }

    fn spawned(&mut self, task: TaskId) {
        (**self).spawned(task);
    }
}

/// Draws the next task from a seed, each runnable one as likely as another.
///
/// Takes one draw from the stream [`Purpose::Schedule`] for a step with a choice, and none where
/// only one task can run: that makes runs of one client cheap, and whether there is a choice is
/// the same in every run of the seed.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{RandomSchedule, Runnable, Schedule};
///
/// let runnable = Runnable::from_bits(0b1111).expect("four tasks");
/// let mut schedule = RandomSchedule::new(42);
/// let mut same = RandomSchedule::new(42);
/// for _ in 0..100 {
///     assert_eq!(schedule.next(runnable), same.next(runnable));
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RandomSchedule {
    rng: Rng,
    /// There are so many steps at most between two needless polls; 0 if there is none at all.
    longest_gap: u32,
    /// The steps until the next needless poll.
    gap: u32,
    /// One byte for each of the gaps after that, lowest first, and how many they are. A draw gives
    /// eight, so that gaps cost next to nothing.
    bytes: (u64, u32),
}

/// The longest gaps between needless polls, in steps in which a task waits: a quarter of the seeds
/// has each.
const LONGEST_GAPS: [u32; 4] = [0, 256, 64, 16];

impl RandomSchedule {
    /// Makes the schedule of `seed`.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{RandomSchedule, Runtime};
    ///
    /// let runtime = Runtime::new(RandomSchedule::new(42));
    /// ```
    #[inline]
    pub fn new(seed: u64) -> Self {
        let rng = Rng::new(seed, Purpose::Schedule);
        Self { rng, longest_gap: 0, gap: u32::MAX, bytes: (0, 0) }
    }

    /// Makes the schedule of `seed`, which now and then polls a task that nobody woke.
    ///
    /// The seed says how often: never with one seed in four, and otherwise once in 8, 32 or 128
    /// steps in which a task waits, on average. If it were always the same, a device that lost a
    /// wake-up could count on being polled again. If it were never or rarely, no device would be
    /// put to the test.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{RandomSchedule, Schedule};
    ///
    /// let mut schedule = RandomSchedule::with_needless_polls(1);
    /// assert!((0..1_000).any(|_| schedule.is_needless()));
    /// let mut schedule = RandomSchedule::with_needless_polls(0);
    /// assert!((0..1_000).all(|_| !schedule.is_needless()));
    /// ```
    #[inline]
    pub fn with_needless_polls(seed: u64) -> Self {
        let longest_gap = LONGEST_GAPS[(seed % 4) as usize];
        // The first gaps take no draw, so that a short run of one task needs none. A product, as
        // the seeds that people choose are small numbers.
        let bytes = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 8);
        let mut schedule = Self { longest_gap, bytes, ..Self::new(seed) };
        schedule.next_gap();
        schedule
    }

    #[cold]
    fn next_gap(&mut self) -> bool {
        if self.longest_gap == 0 {
            self.gap = u32::MAX;
            return false;
        }
        let (bytes, count) = match self.bytes {
            (_, 0) => (self.rng.next_u64(), 8),
            left => left,
        };
        self.bytes = (bytes >> 8, count - 1);
        let [byte, ..] = bytes.to_le_bytes();
        self.gap = 1 + u32::from(byte) * self.longest_gap / 256;
        true
    }
}

impl Schedule for RandomSchedule {
    #[inline]
    fn is_needless(&mut self) -> bool {
        self.gap -= 1;
        self.gap == 0 && self.next_gap()
    }

    #[inline]
    fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
        let count = runnable.count() as u64;
        if count == 1 {
            return runnable.first();
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than MAX_TASKS")]
        let position = self.rng.below(count) as usize;
        runnable.nth(position).unwrap_or_else(|| runnable.first())
    }
}

/// Runs the tasks in turn: the next one is the first runnable with a greater id, or the first of
/// all.
///
/// Fair, free of randomness and easy to follow in a log.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{RoundRobin, Runnable, Schedule};
///
/// let runnable = Runnable::from_bits(0b101).expect("two tasks");
/// let mut schedule = RoundRobin::new();
/// let turns: Vec<_> = (0..4).map(|_| schedule.next(runnable).index()).collect();
/// assert_eq!(turns, [0, 2, 0, 2]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    /// Who ran last; set when the first step was taken.
    last: Option<TaskId>,
}

impl RoundRobin {
    /// Makes a schedule that begins with the first task.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{RoundRobin, Runtime};
    ///
    /// let runtime = Runtime::new(RoundRobin::new());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Schedule for RoundRobin {
    #[inline]
    fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
        let task = self.last.map_or_else(|| runnable.first(), |last| runnable.after(last));
        self.last = Some(task);
        task
    }
}

/// Runs the first runnable task, in order of id.
///
/// A task runs on until it has to wait, with as few changes as can be, which makes this the
/// schedule to shrink towards. Not fair: a task that spins on [`yield_now`](super::yield_now)
/// keeps the later ones from running, up to the limit of steps.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{FirstReady, Runnable, Schedule};
///
/// let runnable = Runnable::from_bits(0b110).expect("two tasks");
/// let mut schedule = FirstReady::new();
/// assert_eq!(schedule.next(runnable).index(), 1);
/// assert_eq!(schedule.next(runnable).index(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FirstReady(());

impl FirstReady {
    /// Makes the schedule. It has no state.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let runtime = Runtime::new(FirstReady::new());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Schedule for FirstReady {
    #[inline]
    fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
        runnable.first()
    }
}
