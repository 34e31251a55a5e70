//! An operation's future, and what happens to it from outside.

use crate::disk::CrashPolicy;
use crate::scenario::Step;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// How an operation's future ended.
pub(super) enum Ended<T> {
    /// By itself.
    Done(T),
    /// It was dropped.
    Dropped,
    /// The power fails while it is under way.
    Crashed(CrashPolicy),
}

/// Runs `future`, which is suspended only as often as `step` allows.
pub(super) async fn disturbed<T>(step: &Step, future: impl Future<Output = T>) -> Ended<T> {
    let mut future = pin!(future);
    let mut suspended = 0;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ended::Done(output));
        }
        suspended += 1;
        match step.crash_at {
            Some((at, policy)) if at == suspended => Poll::Ready(Ended::Crashed(policy)),
            _ if step.drop_at == Some(suspended) => Poll::Ready(Ended::Dropped),
            _ => Poll::Pending,
        }
    })
    .await
}
