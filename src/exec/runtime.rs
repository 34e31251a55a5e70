//! What outlives a power cycle.

use std::cell::Cell;
use std::rc::Rc;

use super::clock::Clock;
use super::executor::Executor;
use super::schedule::Schedule;
use super::wake::Wakeups;

/// The long-lived part of the executor: schedule, clock, wakers and the count of steps.
///
/// Tasks live in an [`Executor`], which borrows the runtime. One after another can do so, and each
/// carries on where the last one ended; see the [module documentation](super).
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{RandomSchedule, Runtime};
///
/// let mut runtime = Runtime::new(RandomSchedule::new(42));
/// for _power_cycle in 0..3 {
///     let mut executor = runtime.executor();
///     executor.spawn("client", async { /* as far as it gets */ });
///     executor.run(1_000)?;
/// }
/// assert_eq!(runtime.steps(), 3);
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
#[derive(Debug)]
pub struct Runtime<S> {
    pub(super) schedule: S,
    pub(super) clock: Clock,
    pub(super) halt: Halt,
    pub(super) wakeups: Wakeups,
    pub(super) steps: u64,
}

impl<S: Schedule> Runtime<S> {
    /// Makes a runtime at tick 0, before its first step.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{RoundRobin, Runtime, Schedule};
    ///
    /// // The schedule can be chosen at run time, too.
    /// let schedule: Box<dyn Schedule> = Box::new(RoundRobin::new());
    /// let runtime = Runtime::new(schedule);
    /// assert_eq!(runtime.steps(), 0);
    /// ```
    pub fn new(schedule: S) -> Self {
        Self {
            schedule,
            clock: Clock::new(),
            halt: Halt { requested: Rc::default() },
            wakeups: Wakeups::new(),
            steps: 0,
        }
    }

    /// Gives an executor without tasks: the machine is switched on.
    ///
    /// A [request to halt](Halt::request) from before this call is void. Does not allocate.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Outcome, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// assert_eq!(runtime.executor().run(0)?, Outcome::Finished);
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn executor(&mut self) -> Executor<'_, S> {
        self.halt.take();
        Executor::new(self)
    }

    /// Gives a handle of the virtual clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let clock = runtime.clock();
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", async {});
    /// executor.run(1)?;
    /// assert_eq!(clock.now(), 1);
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Gives a handle by which a task can stop the run.
    ///
    /// # Examples
    ///
    /// See [`Halt`].
    pub fn halt(&self) -> Halt {
        self.halt.clone()
    }

    /// Counts the steps that all executors of this runtime took.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime, yield_now};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// executor.spawn("two steps", yield_now());
    /// executor.run(10)?;
    /// drop(executor);
    /// assert_eq!(runtime.steps(), 2);
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Shows the schedule.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{Runnable, Runtime, Schedule, TaskId};
    ///
    /// struct Recorder(Vec<TaskId>);
    ///
    /// impl Schedule for Recorder {
    ///     fn next(&mut self, runnable: Runnable) -> TaskId {
    ///         self.0.push(runnable.first());
    ///         runnable.first()
    ///     }
    /// }
    ///
    /// let mut runtime = Runtime::new(Recorder(Vec::new()));
    /// let mut executor = runtime.executor();
    /// let task = executor.spawn("client", async {});
    /// executor.run(10)?;
    /// drop(executor);
    /// assert_eq!(runtime.schedule().0, [task]);
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn schedule(&self) -> &S {
        &self.schedule
    }

    /// Gives the schedule back.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let runtime = Runtime::new(FirstReady::new());
    /// // Time starts over, the schedule does not.
    /// let again = Runtime::new(runtime.into_schedule());
    /// assert_eq!(again.clock().now(), 0);
    /// ```
    pub fn into_schedule(self) -> S {
        self.schedule
    }
}

/// A handle by which a task stops the run at once, as a loss of power would.
///
/// Clones are cheap and stop the same run.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{FirstReady, Outcome, Runtime};
/// use std::future::pending;
///
/// let mut runtime = Runtime::new(FirstReady::new());
/// let halt = runtime.halt();
/// let mut executor = runtime.executor();
/// executor.spawn("crash", async move {
///     halt.request();
///     // The task itself goes on until it waits. So let it wait for good.
///     pending::<()>().await;
/// });
/// executor.spawn("bystander", async { unreachable!("stopped before") });
/// assert_eq!(executor.run(10)?, Outcome::Halted);
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Halt {
    /// Set when a stop is asked for, cleared when a run has stopped for it or a new executor
    /// begins.
    requested: Rc<Cell<bool>>,
}

impl Halt {
    /// Stops the run as soon as the task that is being polled waits or ends.
    ///
    /// No other task takes a step; [`run`](Executor::run) gives
    /// [`Outcome::Halted`](super::Outcome::Halted), even if no task is left. A request between two
    /// runs of an executor stops the later one before its first step. Asking twice is asking once.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Outcome, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let halt = runtime.halt();
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", async {});
    ///
    /// halt.request();
    /// assert_eq!(executor.run(10)?, Outcome::Halted);
    /// assert_eq!(executor.run(10)?, Outcome::Finished); // one request stops one run
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn request(&self) {
        self.requested.set(true);
    }

    #[inline]
    pub(super) fn take(&self) -> bool {
        self.requested.take()
    }
}
