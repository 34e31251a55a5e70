//! The tasks of one power cycle, and the loop that runs them.

use smallvec::SmallVec;
use std::fmt;
use std::pin::Pin;
use std::task::Context;

use super::clock::Clock;
use super::runtime::{Halt, Runtime};
use super::schedule::{FirstReady, Schedule};
use super::task::{MAX_TASKS, Runnable, TaskId};

/// The short-lived part of the executor: it owns the tasks and runs them.
///
/// Made by [`Runtime::executor`]. Tasks may borrow whatever outlives the executor; they need be
/// neither `Send` nor `'static`.
///
/// Dropping the executor, or [clearing](Self::clear) it, drops the tasks that are left, mid-flight
/// and in ascending order of id. A panic in a task passes through [`run`](Self::run); after that
/// the executor should only be dropped or cleared.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{Outcome, RoundRobin, Runtime, yield_now};
/// use std::cell::Cell;
///
/// let total = Cell::new(0); // borrowed by the tasks, so declared before the executor
/// let mut runtime = Runtime::new(RoundRobin::new());
/// let mut executor = runtime.executor();
/// for name in ["one", "two", "three"] {
///     executor.spawn(name, async {
///         yield_now().await;
///         total.set(total.get() + name.len());
///     });
/// }
/// assert_eq!(executor.run(100)?, Outcome::Finished);
/// assert_eq!(total.get(), 11);
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
pub struct Executor<'a, S> {
    runtime: &'a mut Runtime<S>,
    /// By slot, as far as slots were ever used. Few are inline, so that a new executor allocates
    /// nothing. They are dropped in ascending order, which is what the documentation promises.
    tasks: SmallVec<[Option<Task<'a>>; 8]>,
    /// A bit is set when its slot is given to a task, and cleared when the task ends.
    live: u64,
    /// A bit is set when its task is spawned or woken, and cleared when it is polled. The bits of
    /// free slots mean nothing.
    ready: u64,
}

struct Task<'a> {
    name: &'a str,
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl<'a, S: Schedule> Executor<'a, S> {
    pub(super) fn new(runtime: &'a mut Runtime<S>) -> Self {
        Self { runtime, tasks: SmallVec::new(), live: 0, ready: 0 }
    }

    /// Adds a task, runnable from the start. It is polled by [`run`](Self::run) only.
    ///
    /// The name is for errors and need not be unique.
    ///
    /// # Panics
    ///
    /// If [`MAX_TASKS`] tasks are alive already.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// let task = executor.spawn("client", async {});
    /// assert_eq!(task.index(), 0);
    /// ```
    pub fn spawn(&mut self, name: &'a str, future: impl Future<Output = ()> + 'a) -> TaskId {
        let free = Runnable::from_bits(!self.live).map(Runnable::first);
        let Some(task) = free else {
            panic!("cannot spawn \"{name}\": {MAX_TASKS} tasks are alive already");
        };
        let slot = Some(Task { name, future: Box::pin(future) });
        match self.tasks.get_mut(task.index()) {
            Some(free) => *free = slot,
            // Free slots are given away lowest first, so that it is the next.
            None => self.tasks.push(slot),
        }
        self.live |= task.bit();
        self.ready |= task.bit();
        self.runtime.wakeups.prepare(task);
        self.runtime.schedule.spawned(task);
        task
    }

    /// Runs the tasks, for `step_limit` steps at most.
    ///
    /// Gives [`Outcome::Finished`] when all tasks have ended, at once if there are none, and
    /// [`Outcome::Halted`] when one asked to [halt](Halt::request).
    ///
    /// Whatever stopped it, nothing is lost: tasks that are left stay where they are, and another
    /// call carries on. To run with a limit of 5 twice is to run with one of 10.
    ///
    /// # Errors
    ///
    /// - [`ExecError::Deadlock`] when tasks are left, but none can run and none sleeps.
    /// - [`ExecError::StepLimit`] when another step would be needed and the limit is reached.
    ///
    /// # Panics
    ///
    /// If a task panics, or the schedule chooses a task that cannot run.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{ExecError, FirstReady, Outcome, Runtime, yield_now};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", yield_now());
    ///
    /// let error = executor.run(1).unwrap_err();
    /// assert_eq!(error.to_string(), "not finished after 1 steps; alive: client");
    /// assert_eq!(executor.run(1)?, Outcome::Finished);
    /// # Ok::<(), ExecError>(())
    /// ```
    pub fn run(&mut self, step_limit: u64) -> Result<Outcome, ExecError> {
        let mut left = step_limit;
        loop {
            if self.runtime.halt.take() {
                return Ok(Outcome::Halted);
            }
            if self.live == 0 {
                return Ok(Outcome::Finished);
            }
            self.runtime.clock.fire_due();
            self.ready |= self.runtime.wakeups.collect();
            let Some(runnable) = Runnable::from_bits(self.ready & self.live) else {
                if self.runtime.clock.jump() {
                    continue;
                }
                return Err(ExecError::Deadlock { stuck: self.names() });
            };
            if left == 0 {
                return Err(ExecError::StepLimit { limit: step_limit, alive: self.names() });
            }
            left -= 1;
            self.step(runnable);
        }
    }

    /// Polls one of the runnable tasks once.
    #[inline]
    fn step(&mut self, runnable: Runnable) {
        let runtime = &mut *self.runtime;
        let task = runtime.schedule.next(runnable);
        assert!(runnable.contains(task), "the schedule chose {task}, which cannot run");
        // Before the poll: a task that is woken while it is polled has to run again.
        self.ready &= !task.bit();
        runtime.steps += 1;
        let slot = &mut self.tasks[task.index()];
        let mut context = Context::from_waker(runtime.wakeups.waker(task));
        if let Some(Task { future, .. }) = slot
            && future.as_mut().poll(&mut context).is_ready()
        {
            self.live &= !task.bit();
            *slot = None;
        }
        runtime.clock.tick();
    }

    /// Drops all tasks in ascending order of id: the machine crashes and is switched on again.
    ///
    /// This is the same as dropping the executor and taking a new one, for tasks that borrow
    /// nothing that has to change in between: clock, steps and schedule go on.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{ExecError, FirstReady, Outcome, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// executor.spawn("stuck", std::future::pending());
    /// assert!(matches!(executor.run(10), Err(ExecError::Deadlock { .. })));
    ///
    /// executor.clear();
    /// assert_eq!(executor.run(10)?, Outcome::Finished);
    /// # Ok::<(), ExecError>(())
    /// ```
    pub fn clear(&mut self) {
        self.live = 0;
        self.ready = 0;
        for slot in &mut self.tasks {
            *slot = None;
        }
        // After the tasks, as one may ask to halt on its way out. Wake-ups can stay: a new task
        // is runnable anyhow.
        self.runtime.halt.take();
    }

    /// Counts the steps that all executors of the runtime took, as [`Runtime::steps`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", async {});
    /// executor.run(10)?;
    /// assert_eq!(executor.steps(), 1);
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn steps(&self) -> u64 {
        self.runtime.steps()
    }

    /// Gives a handle of the virtual clock, as [`Runtime::clock`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// let clock = executor.clock();
    /// executor.spawn("sleeper", async move { clock.sleep(10).await });
    /// executor.run(10)?;
    /// assert_eq!(executor.clock().now(), 11);
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn clock(&self) -> Clock {
        self.runtime.clock()
    }

    /// Gives a handle by which a task can stop the run, as [`Runtime::halt`] does.
    ///
    /// # Examples
    ///
    /// See [`Halt`].
    pub fn halt(&self) -> Halt {
        self.runtime.halt()
    }
}

impl<S> Executor<'_, S> {
    /// Gives the names of all tasks that are alive, in order of id.
    #[cold]
    fn names(&self) -> Vec<String> {
        self.tasks.iter().flatten().map(|task| task.name.to_owned()).collect()
    }
}

impl<S> fmt::Debug for Executor<'_, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Executor").field("tasks", &self.names()).finish_non_exhaustive()
    }
}

/// How a run ended that did not fail.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{FirstReady, Outcome, Runtime};
///
/// let mut runtime = Runtime::new(FirstReady::new());
/// let mut executor = runtime.executor();
/// executor.spawn("client", async {});
/// match executor.run(100)? {
///     Outcome::Finished => println!("all clients are done"),
///     Outcome::Halted => println!("the power is gone"),
/// }
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All tasks ran to their end.
    Finished,
    /// Someone asked to [halt](Halt::request); tasks may be left mid-flight.
    Halted,
}

/// Why a run could not go on.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{FirstReady, Runtime};
///
/// let mut runtime = Runtime::new(FirstReady::new());
/// let mut executor = runtime.executor();
/// executor.spawn("reader", std::future::pending());
/// executor.spawn("writer", std::future::pending());
/// let error = executor.run(100).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "deadlock: no task can run and none sleeps; stuck: reader, writer",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// Tasks are left, but all of them wait for something that nobody is going to do.
    #[error("deadlock: no task can run and none sleeps; stuck: {}", stuck.join(", "))]
    Deadlock {
        /// The names of the tasks that wait, in order of id.
        stuck: Vec<String>,
    },
    /// The run took as many steps as it may, and tasks are left.
    #[error("not finished after {limit} steps; alive: {}", alive.join(", "))]
    StepLimit {
        /// How many steps the run was allowed.
        limit: u64,
        /// The names of the tasks that are left, in order of id.
        alive: Vec<String>,
    },
}

/// Runs one future to its end and gives its output, on a runtime of its own.
///
/// For examples and plain tests. The future may wake itself, as [`yield_now`](super::yield_now)
/// does, but with nobody else around it has nobody to wait for.
///
/// # Panics
///
/// If the future waits for something that never comes (a deadlock), or panics.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{block_on, yield_now};
///
/// let answer = block_on(async {
///     yield_now().await;
///     42
/// });
/// assert_eq!(answer, 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut output = None;
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn("block_on", async { output = Some(future.await) });
    let end = executor.run(u64::MAX);
    drop(executor);
    match (end, output) {
        (Ok(_), Some(output)) => output,
        (Ok(_), None) => unreachable!("a finished task left its output"),
        (Err(error), _) => panic!("{error}"),
    }
}
