//! A run of one future.

use super::runtime::Runtime;
use super::schedule::FirstReady;

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
