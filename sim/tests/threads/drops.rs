//! Ways for a future to end before it is ready.

use blocktwin::rng::Rng;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

/// Has `future` run to its end more often than not; what it was ready with, if it was.
pub(crate) async fn perhaps<T: Send + 'static>(
    rng: &mut Rng,
    future: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    match rng.below(8) {
        0 => polls(future, rng.below(4)).await,
        1 => aborted(future, rng.below(4)).await,
        2 => timeout(Duration::from_micros(rng.below(2000)), future).await.ok(),
        // On another thread, with luck.
        3 => joined(tokio::spawn(future)).await,
        _ => Some(future.await),
    }
}

/// Polls it so often at most.
async fn polls<T>(future: impl Future<Output = T>, mut polls: u64) -> Option<T> {
    let mut future = pin!(future);
    let polled = poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        if polls == 0 {
            // The last one is not to wait for a wake-up.
            return match future.as_mut().poll(cx) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending => Poll::Ready(None),
            };
        }
        future.as_mut().poll(cx).map(Some)
    });
    polled.await
}

/// A task that is aborted soon, from another one.
async fn aborted<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
    yields: u64,
) -> Option<T> {
    let task = tokio::spawn(future);
    for _ in 0..yields {
        yield_now().await;
    }
    task.abort();
    joined(task).await
}

/// What a task has returned, unless it was aborted or its runtime is on its way down.
async fn joined<T>(task: JoinHandle<T>) -> Option<T> {
    match task.await {
        Ok(value) => Some(value),
        Err(error) if error.is_cancelled() => None,
        Err(error) => panic!("{error}"),
    }
}
