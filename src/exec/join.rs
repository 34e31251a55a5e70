//! Handles of detached tasks.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A handle of a [detached](super::Spawner::spawn) task: a future that gives the task's output.
///
/// Dropping it does nothing to the task.
///
/// # Panics
///
/// If it is polled again after it gave the output.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{RandomSchedule, Runtime, yield_now};
///
/// let mut runtime = Runtime::new(RandomSchedule::new(42));
/// let spawner = runtime.spawner();
/// let mut executor = runtime.executor();
/// executor.spawn("client", async move {
///     let sum = spawner.spawn("worker", async {
///         yield_now().await;
///         40 + 2
///     });
///     assert_eq!(sum.await, Ok(42));
/// });
/// executor.run(100)?;
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
pub struct JoinHandle<T> {
    end: Arc<End<T>>,
}

impl<T> JoinHandle<T> {
    /// Ends the task at its next turn: its future is dropped then, and the handle gives
    /// [`Aborted`].
    ///
    /// That turn is a step like any other. Does nothing if the task has ended. A task that aborts
    /// itself and then ends in the same poll gives its output as usual.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{Aborted, FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let flusher = runtime.spawner().spawn("flusher", std::future::pending::<()>());
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", async {
    ///     flusher.abort();
    ///     assert_eq!(flusher.await, Err(Aborted));
    /// });
    /// executor.run(10)?;
    /// assert!(!executor.has_tasks());
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn abort(&self) {
        self.end.is_aborted.store(true, Ordering::Relaxed);
        // The lock orders this with `introduce`: either the task's waker is here already, or the
        // task has no slot yet and its first poll sees the flag.
        let waker = match &*self.end.lock() {
            Progress::Running { task, .. } => task.clone(),
            Progress::Ended(_) | Progress::Joined => None,
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells whether the task has ended, by itself or because it was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let flusher = runtime.spawner().spawn("flusher", std::future::pending::<()>());
    /// assert!(!flusher.is_finished());
    /// runtime.kill_tasks();
    /// assert!(flusher.is_finished());
    /// ```
    pub fn is_finished(&self) -> bool {
        !matches!(*self.end.lock(), Progress::Running { .. })
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Aborted>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A waker may run any code, so it is cloned and dropped while nothing is locked.
        let waker = context.waker().clone();
        let mut progress = self.end.lock();
        if let Progress::Running { joiner, .. } = &mut *progress {
            let replaced = joiner.replace(waker);
            drop(progress);
            drop(replaced);
            return Poll::Pending;
        }
        let ended = mem::replace(&mut *progress, Progress::Joined);
        drop(progress);
        let Progress::Ended(result) = ended else {
            panic!("a JoinHandle was polled after it gave the output");
        };
        Poll::Ready(result)
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("JoinHandle");
        debug.field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// What a [`JoinHandle`] gives if the task was dropped before its end.
///
/// The task was [aborted](JoinHandle::abort) or [killed](super::Runtime::kill_tasks), or its
/// runtime was dropped.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::Aborted;
///
/// assert_eq!(Aborted.to_string(), "the task was dropped before its end");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task was dropped before its end")]
pub struct Aborted;

/// What a detached task and its handle share.
struct End<T> {
    is_aborted: AtomicBool,
    progress: Mutex<Progress<T>>,
}

enum Progress<T> {
    Running {
        /// Wakes the task, to be aborted; set when it gets its slot. It has to be one that no poll
        /// makes stale.
        task: Option<Waker>,
        /// Wakes the task that polled the handle last.
        joiner: Option<Waker>,
    },
    Ended(Result<T, Aborted>),
    /// The handle gave the output away.
    Joined,
}

impl<T> End<T> {
    fn lock(&self) -> MutexGuard<'_, Progress<T>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns how to wake the task.
    fn introduce(&self, waker: Waker) {
        if let Progress::Running { task, .. } = &mut *self.lock() {
            *task = Some(waker);
        }
    }

    /// Notes how the task ended, unless that is known, and wakes the joiner.
    fn finish(&self, result: Result<T, Aborted>) {
        let mut progress = self.lock();
        if !matches!(*progress, Progress::Running { .. }) {
            return;
        }
        let before = mem::replace(&mut *progress, Progress::Ended(result));
        drop(progress);
        if let Progress::Running { joiner: Some(joiner), .. } = before {
            joiner.wake();
        }
    }
}

/// A future that runs on its own: a detached task, whatever its output.
pub(super) trait Job: Send {
    /// Learns how to wake the task, once, before the first poll.
    fn introduce(&self, waker: Waker);

    /// Polls the future; when this is ready, it has ended or was aborted, and is dropped.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// Wraps a future and gives the handle of it.
pub(super) fn job<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> (Box<dyn Job>, JoinHandle<T>) {
    let progress = Mutex::new(Progress::Running { task: None, joiner: None });
    let end = Arc::new(End { is_aborted: AtomicBool::new(false), progress });
    let job = Detached { future: Some(Box::pin(future)), end: EndOnDrop(Arc::clone(&end)) };
    (Box::new(job), JoinHandle { end })
}

/// The fields are dropped in this order: the handle learns of the end when the future is gone.
struct Detached<F: Future> {
    /// There until it has ended.
    future: Option<Pin<Box<F>>>,
    end: EndOnDrop<F::Output>,
}

impl<F: Future<Output: Send> + Send> Job for Detached<F> {
    fn introduce(&self, waker: Waker) {
        self.end.0.introduce(waker);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let end = &self.end.0;
        let result = if end.is_aborted.load(Ordering::Relaxed) {
            Err(Aborted)
        } else {
            match self.future.as_mut().map(|future| future.as_mut().poll(context)) {
                Some(Poll::Ready(output)) => Ok(output),
                Some(Poll::Pending) => return Poll::Pending,
                None => return Poll::Ready(()),
            }
        };
        self.future = None;
        end.finish(result);
        Poll::Ready(())
    }
}

struct EndOnDrop<T>(Arc<End<T>>);

impl<T> Drop for EndOnDrop<T> {
    fn drop(&mut self) {
        self.0.finish(Err(Aborted));
    }
}
