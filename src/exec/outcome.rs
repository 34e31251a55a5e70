//! How a run ends.

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
    /// All tasks of the executor ran to their end. Detached ones may be left.
    Finished,
    /// Someone asked to [halt](super::Halt::request); tasks may be left mid-flight.
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
        /// The names of the tasks that wait: first those of the executor, in order of id, then
        /// the detached ones, in order of spawning.
        stuck: Vec<String>,
    },
    /// The run took as many steps as it may, and tasks are left.
    #[error("not finished after {limit} steps; alive: {}", alive.join(", "))]
    StepLimit {
        /// How many steps the run was allowed.
        limit: u64,
        /// The names of the tasks that are left, in the same order.
        alive: Vec<String>,
    },
}
