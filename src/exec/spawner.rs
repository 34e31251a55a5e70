//! How detached tasks come into being.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::home::Home;
use super::join::{self, Job, JoinHandle};

/// A handle for spawning tasks at any moment, for example from within an operation of a device.
///
/// Such a task is _detached_: it belongs to the [`Runtime`](super::Runtime), outlives any
/// [`Executor`](super::Executor), and takes its turns whenever one of them runs. A run does not
/// wait for it.
///
/// Made by [`Runtime::spawner`](super::Runtime::spawner). Clones are cheap and spawn in the same
/// runtime. They are `Send` and `Sync` because devices are; a spawn by another thread counts as a
/// [foreign wake-up](super::Runtime::foreign_wake).
///
/// # Examples
///
/// A device that flushes in the background, and a power cycle that kills it:
///
/// ```
/// use blocktwin::exec::{Outcome, RandomSchedule, Runtime, yield_now};
///
/// let mut runtime = Runtime::new(RandomSchedule::new(42));
/// let (clock, spawner) = (runtime.clock(), runtime.spawner());
/// let mut executor = runtime.executor();
/// executor.spawn("client", async {
///     let clock = clock.clone();
///     spawner.spawn("flusher", async move {
///         loop {
///             clock.sleep(100).await;
///         }
///     });
///     yield_now().await;
/// });
/// assert_eq!(executor.run(1_000)?, Outcome::Finished);
/// drop(executor);
///
/// assert_eq!(runtime.tasks(), ["flusher".into()]);
/// runtime.kill_tasks();
/// assert!(!runtime.has_tasks());
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
#[derive(Clone)]
pub struct Spawner {
    queue: Arc<Queue>,
}

impl Spawner {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Adds a detached task, which can run from the step after the current one.
    ///
    /// Right before that step it gets the lowest free slot. If several tasks were spawned since the
    /// last step, they get their slots in order of spawning. If [`MAX_TASKS`](super::MAX_TASKS)
    /// tasks are alive, it waits in a queue until one of them ends. If the runtime is gone, the
    /// future is dropped at once and the handle gives [`Aborted`](super::Aborted).
    ///
    /// If the task panics, the panic passes through the [run](super::Executor::run) that polls it.
    ///
    /// The name is for errors and need not be unique. Dropping the handle does not end the task.
    ///
    /// # Examples
    ///
    /// See [`JoinHandle`] for a task with an output.
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let runtime = Runtime::new(FirstReady::new());
    /// let handle = runtime.spawner().spawn(format!("worker {}", 3), async {});
    /// assert!(!handle.is_finished()); // nothing runs it
    /// ```
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<Arc<str>>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (job, handle) = join::job(future);
        // A closed queue gives the task back; it is dropped here, while nothing is locked.
        let refused = self.queue.push(DetachedTask { name: name.into(), job });
        drop(refused);
        handle
    }

    /// Drops a future that is not to run, and gives a handle that says so.
    pub(crate) fn refuse<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (job, handle) = join::job(future);
        drop(job);
        handle
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Spawner").field("queued", &self.queue.names()).finish()
    }
}

/// A task that belongs to no executor.
pub(super) struct DetachedTask {
    pub(super) name: Arc<str>,
    pub(super) job: Box<dyn Job>,
}

impl fmt::Debug for DetachedTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(formatter)
    }
}

/// The tasks that were spawned and have no slot yet.
#[derive(Debug)]
pub(super) struct Queue {
    home: Arc<Home>,
    /// The number of tasks in `state`. A step reads this and leaves `state` alone if it is 0.
    /// Stored while `state` is locked.
    length: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tasks: VecDeque<DetachedTask>,
    /// The runtime is gone.
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(home: Arc<Home>) -> Self {
        Self { home, length: AtomicUsize::new(0), state: Mutex::default() }
    }

    /// Adds a task at the end, or gives it back if the queue is closed.
    fn push(&self, task: DetachedTask) -> Option<DetachedTask> {
        self.home.note();
        let mut state = self.lock();
        if state.is_closed {
            return Some(task);
        }
        state.tasks.push_back(task);
        self.length.store(state.tasks.len(), Ordering::Relaxed);
        None
    }

    /// Takes out the oldest task.
    pub(super) fn pop(&self) -> Option<DetachedTask> {
        if self.is_empty() {
            return None;
        }
        let mut state = self.lock();
        let task = state.tasks.pop_front();
        self.length.store(state.tasks.len(), Ordering::Relaxed);
        task
    }

    /// Refuses all tasks from now on.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(Ordering::Relaxed) == 0
    }

    /// Gives the names in order of spawning.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lock().tasks.iter().map(|task| Arc::clone(&task.name)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
