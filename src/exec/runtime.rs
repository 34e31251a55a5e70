//! What outlives a power cycle.

use std::sync::Arc;
use std::task::Context;

use super::clock::Clock;
use super::detached::Detached;
use super::executor::Executor;
use super::halt::Halt;
use super::home::Home;
use super::schedule::Schedule;
use super::slots::Slots;
use super::spawner::{Queue, Spawner};
use super::task::TaskId;
use super::wake::Wakeups;

/// The long-lived part of the executor: schedule, clock, wakers, detached tasks and the count of
/// steps.
///
/// Tasks live in an [`Executor`], which borrows the runtime. One after another can do so, and each
/// carries on where the last one ended; see the [module documentation](super). Only those tasks
/// that were spawned by a [`Spawner`] live here. Dropping the runtime [kills](Self::kill_tasks)
/// them.
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
    pub(super) home: Arc<Home>,
    pub(super) wakeups: Wakeups,
    /// Of all tasks, those of the executor as well.
    pub(super) slots: Slots,
    pub(super) detached: Detached,
    pub(super) steps: u64,
    pub(super) needless_polls: u64,
    /// The task that is being polled; left when it panics, until it is dropped or the next run.
    pub(super) polled: Option<TaskId>,
    /// The name of the task that panicked; set when that is dropped.
    pub(super) polled_name: Option<Arc<str>>,
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
        let home = Arc::new(Home::new());
        Self {
            schedule,
            clock: Clock::new(),
            halt: Halt::new(),
            wakeups: Wakeups::new(Arc::clone(&home)),
            slots: Slots::default(),
            detached: Detached::new(Queue::new(Arc::clone(&home))),
            home,
            steps: 0,
            needless_polls: 0,
            polled: None,
            polled_name: None,
        }
    }

    /// Gives an executor without tasks of its own: the machine is switched on.
    ///
    /// The detached tasks that are alive go on when it runs.
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
        self.slots.free_scoped();
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

    /// Gives a handle by which detached tasks can be spawned.
    ///
    /// # Examples
    ///
    /// See [`Spawner`].
    pub fn spawner(&self) -> Spawner {
        Spawner::new(Arc::clone(self.detached.queue()))
    }

    /// Drops all detached tasks mid-flight.
    ///
    /// Those with a slot are dropped first, in ascending order of [id](super::TaskId), then those
    /// that were spawned since the last step, in order of spawning. What a task spawns while it is
    /// dropped is dropped as well, until none is left. The handles give
    /// [`Aborted`](super::Aborted).
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{Aborted, FirstReady, Runtime, block_on};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let flusher = runtime.spawner().spawn("flusher", std::future::pending::<()>());
    /// runtime.kill_tasks();
    /// assert!(!runtime.has_tasks());
    /// assert_eq!(block_on(flusher), Err(Aborted));
    /// ```
    pub fn kill_tasks(&mut self) {
        if let Some(name) = self.polled.and_then(|task| self.detached.name(task)) {
            self.keep_polled(name);
        }
        self.detached.kill(|task| self.slots.free(task));
    }

    /// Gives the names of the detached tasks that are alive, in order of spawning.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let runtime = Runtime::new(FirstReady::new());
    /// runtime.spawner().spawn("flusher", async {});
    /// runtime.spawner().spawn("trimmer", async {});
    /// assert_eq!(runtime.tasks(), ["flusher".into(), "trimmer".into()]);
    /// ```
    pub fn tasks(&self) -> Vec<Arc<str>> {
        self.detached.names()
    }

    /// Tells whether any detached task is alive. Cheap.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let runtime = Runtime::new(FirstReady::new());
    /// assert!(!runtime.has_tasks());
    /// runtime.spawner().spawn("flusher", async {});
    /// assert!(runtime.has_tasks());
    /// ```
    pub fn has_tasks(&self) -> bool {
        !self.detached.is_empty()
    }

    /// Gives the name of the task that panicked, after a panic passed through
    /// [`run`](Executor::run), and `None` after any other end of a run.
    ///
    /// The name is kept until the next run, even if the executor or the task is dropped first.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let run = AssertUnwindSafe(|| {
    ///     let mut executor = runtime.executor();
    ///     executor.spawn("client", async {});
    ///     executor.spawn("clumsy", async { panic!("oops") });
    ///     executor.run(10)
    /// });
    /// assert!(catch_unwind(run).is_err());
    /// assert_eq!(runtime.polling().as_deref(), Some("clumsy"));
    /// ```
    pub fn polling(&self) -> Option<Arc<str>> {
        self.polled_name.clone().or_else(|| self.detached.name(self.polled?))
    }

    /// Tells whether a thread other than the runtime's ever woke or spawned one of its tasks.
    ///
    /// The runtime's thread is the one that made it. Its own wake-ups never count, be they within a
    /// run or between two.
    ///
    /// The machine decides when such a wake-up arrives, so the run may not repeat. Use this to
    /// explain that, not to steer a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime, yield_now};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", yield_now());
    /// executor.run(10)?;
    /// drop(executor);
    /// assert!(!runtime.foreign_wake());
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn foreign_wake(&self) -> bool {
        self.home.saw_foreign()
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

    /// Counts those steps that polled a task which nobody had woken, as
    /// [the schedule](Schedule::is_needless) wanted it.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// assert_eq!(Runtime::new(FirstReady::new()).needless_polls(), 0);
    /// ```
    pub fn needless_polls(&self) -> u64 {
        self.needless_polls
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

impl<S: Schedule> Runtime<S> {
    /// Gives slots to the tasks that were spawned since the last step.
    #[inline]
    pub(super) fn admit(&mut self) {
        if !self.detached.queue().is_empty() {
            self.admit_queued();
        }
    }

    #[cold]
    fn admit_queued(&mut self) {
        while let Some(slot) = self.slots.lowest_free()
            && let Some(task) = self.detached.queue().pop()
        {
            self.slots.take(slot, true);
            self.wakeups.prepare(slot);
            task.job.introduce(self.wakeups.steady_waker(slot));
            self.detached.admit(slot, task);
            self.schedule.spawned(slot);
        }
    }

    /// Polls a detached task once.
    pub(super) fn poll_detached(&mut self, task: TaskId) {
        let mut context = Context::from_waker(self.wakeups.next_waker(task));
        if self.detached.poll(task, &mut context).is_ready() {
            self.slots.free(task);
            drop(self.detached.remove(task));
        }
    }
}

impl<S> Runtime<S> {
    /// Remembers the name of the task that panicked, as the task is about to be dropped.
    #[cold]
    pub(super) fn keep_polled(&mut self, name: Arc<str>) {
        self.polled = None;
        self.polled_name = Some(name);
    }
}
