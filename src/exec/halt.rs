//! How a task stops the run.

use std::cell::Cell;
use std::rc::Rc;

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
    /// begins. The `Rc` also keeps a runtime on one thread, which `home.rs` relies on.
    requested: Rc<Cell<bool>>,
}

impl Halt {
    pub(super) fn new() -> Self {
        Self { requested: Rc::default() }
    }

    /// Stops the run as soon as the task that is being polled waits or ends.
    ///
    /// No other task takes a step; [`run`](super::Executor::run) gives
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
