//! The tasks of one power cycle, and the loop that runs them.

use smallvec::SmallVec;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use super::clock::Clock;
use super::halt::Halt;
use super::outcome::{ExecError, Outcome};
use super::runtime::Runtime;
use super::schedule::Schedule;
use super::spawner::Spawner;
use super::task::{MAX_TASKS, TaskId};

/// The short-lived part of the executor: it owns the tasks and runs them.
///
/// Made by [`Runtime::executor`]. Tasks may borrow whatever outlives the executor; they need be
/// neither `Send` nor `'static`. It also runs the [detached](Spawner::spawn) tasks of the runtime,
/// which it does not own.
///
/// Dropping the executor, or [clearing](Self::clear) it, drops the tasks that are left, mid-flight
/// and in ascending order of id. A panic in a task passes through [`run`](Self::run); after that
/// the executor should only be dropped or cleared, and the detached tasks be
/// [killed](Runtime::kill_tasks).
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
    /// How many of `tasks` are there.
    alive: usize,
}

struct Task<'a> {
    name: &'a str,
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl<'a, S: Schedule> Executor<'a, S> {
    pub(super) fn new(runtime: &'a mut Runtime<S>) -> Self {
        Self { runtime, tasks: SmallVec::new(), alive: 0 }
    }

    /// Adds a task, runnable from the start. It is polled by [`run`](Self::run) only.
    ///
    /// The name is for errors and need not be unique.
    ///
    /// # Panics
    ///
    /// If [`MAX_TASKS`] tasks are alive already, detached ones included.
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
        let Some(task) = self.runtime.slots.lowest_free() else {
            panic!("cannot spawn \"{name}\": {MAX_TASKS} tasks are alive already");
        };
        let slot = Some(Task { name, future: Box::pin(future) });
        // Free slots are given away lowest first, but detached tasks may have those in between.
        while self.tasks.len() < task.index() {
            self.tasks.push(None);
        }
        match self.tasks.get_mut(task.index()) {
            Some(free) => *free = slot,
            None => self.tasks.push(slot),
        }
        self.alive += 1;
        self.runtime.slots.take(task, false);
        self.runtime.wakeups.prepare(task);
        self.runtime.schedule.spawned(task);
        task
    }

    /// Runs the tasks, for `step_limit` steps at most, those of detached tasks included.
    ///
    /// Gives [`Outcome::Finished`] when all tasks that were spawned on this executor have ended, at
    /// once if there are none, whatever the detached ones do. Gives [`Outcome::Halted`] when one
    /// asked to [halt](Halt::request).
    ///
    /// Whatever stopped it, nothing is lost: tasks that are left stay where they are, and another
    /// call carries on. To run with a limit of 5 twice is to run with one of 10.
    ///
    /// # Errors
    ///
    /// - [`ExecError::Deadlock`] when tasks are left, but no task can run and none sleeps. A
    ///   detached task that sleeps again and again keeps the run going, up to the limit.
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
        self.runtime.polled = None;
        self.runtime.polled_name = None;
        let mut left = step_limit;
        loop {
            if self.runtime.halt.take() {
                return Ok(Outcome::Halted);
            }
            if self.alive == 0 {
                return Ok(Outcome::Finished);
            }
            let runtime = &mut *self.runtime;
            runtime.clock.fire_due();
            runtime.admit();
            let Some((runnable, waits)) = runtime.slots.runnable(&runtime.wakeups) else {
                if runtime.clock.jump() {
                    continue;
                }
                return Err(ExecError::Deadlock { stuck: self.names() });
            };
            if left == 0 {
                return Err(ExecError::StepLimit { limit: step_limit, alive: self.names() });
            }
            left -= 1;
            let among = if waits && runtime.schedule.is_needless() {
                runtime.needless_polls += 1;
                runtime.slots.waiting()
            } else {
                runnable
            };
            let task = runtime.schedule.next(among);
            assert!(among.contains(task), "the schedule chose {task}, which cannot run");
            self.step(task);
        }
    }

    /// Polls a task once.
    #[inline]
    fn step(&mut self, task: TaskId) {
        let runtime = &mut *self.runtime;
        // Before the poll: a task that is woken while it is polled has to run again.
        runtime.slots.begin_poll(task);
        runtime.steps += 1;
        runtime.polled = Some(task);
        if let Some(slot) = self.tasks.get_mut(task.index())
            && let Some(Task { future, .. }) = slot
        {
            let mut context = Context::from_waker(runtime.wakeups.next_waker(task));
            if future.as_mut().poll(&mut context).is_ready() {
                runtime.slots.free(task);
                self.alive -= 1;
                *slot = None;
            }
        } else {
            runtime.poll_detached(task);
        }
        runtime.polled = None;
        runtime.clock.tick();
    }

    /// Drops all tasks in ascending order of id: the machine crashes and is switched on again.
    ///
    /// This is the same as dropping the executor and taking a new one, for tasks that borrow
    /// nothing that has to change in between: clock, steps, schedule and detached tasks go on.
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
        self.keep_polled();
        self.runtime.slots.free_scoped();
        self.alive = 0;
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

    /// Gives a handle by which detached tasks can be spawned, as [`Runtime::spawner`] does.
    ///
    /// # Examples
    ///
    /// See [`Spawner`].
    pub fn spawner(&self) -> Spawner {
        self.runtime.spawner()
    }

    /// Gives the names of the detached tasks that are alive, as [`Runtime::tasks`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", async {}); // not detached
    /// executor.spawner().spawn("flusher", async {});
    /// assert_eq!(executor.tasks(), ["flusher".into()]);
    /// ```
    pub fn tasks(&self) -> Vec<Arc<str>> {
        self.runtime.tasks()
    }

    /// Tells whether any detached task is alive, as [`Runtime::has_tasks`] does.
    pub fn has_tasks(&self) -> bool {
        self.runtime.has_tasks()
    }

    /// Gives the name of the task that panicked, as [`Runtime::polling`] does.
    pub fn polling(&self) -> Option<Arc<str>> {
        self.polled_name().or_else(|| self.runtime.polling())
    }

    /// Tells whether another thread woke or spawned a task, as [`Runtime::foreign_wake`] does.
    pub fn foreign_wake(&self) -> bool {
        self.runtime.foreign_wake()
    }
}

impl<S> Executor<'_, S> {
    /// Gives the names of all tasks that are alive: those of the executor in order of id, then the
    /// detached ones in order of spawning.
    #[cold]
    fn names(&self) -> Vec<String> {
        let scoped = self.tasks.iter().flatten().map(|task| task.name.to_owned());
        let detached = self.runtime.detached.names().into_iter();
        scoped.chain(detached.map(|name| name.as_ref().to_owned())).collect()
    }

    /// Gives the name of the task that panicked, if it is of this executor and still there.
    fn polled_name(&self) -> Option<Arc<str>> {
        let slot = self.tasks.get(self.runtime.polled?.index())?;
        slot.as_ref().map(|task| Arc::from(task.name))
    }

    /// Remembers the name of the task that panicked beyond the task's end.
    fn keep_polled(&mut self) {
        if let Some(name) = self.polled_name() {
            self.runtime.keep_polled(name);
        }
    }
}

impl<S> Drop for Executor<'_, S> {
    fn drop(&mut self) {
        self.keep_polled();
    }
}

impl<S> fmt::Debug for Executor<'_, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Executor").field("tasks", &self.names()).finish_non_exhaustive()
    }
}
