//! An operation's future, and what happens to it from outside.

use crate::disk::{SimDisk, Survivors};
use crate::model::OpId;
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
    Crashed(Survivors),
}

/// Runs `future` as the operation `op`: the raw calls that it makes are that operation's, and it is
/// suspended only as often as `step` allows.
pub(super) async fn scoped<T>(
    disk: &SimDisk,
    op: OpId,
    step: &Step,
    future: impl Future<Output = T>,
) -> Ended<T> {
    let mut future = pin!(future);
    let mut suspended = 0;
    poll_fn(|context| {
        let before = disk.enter(op);
        let polled = future.as_mut().poll(context);
        disk.enter(before);
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Ended::Done(output));
        }
        suspended += 1;
        match step.crash_at {
            Some((at, survivors)) if at == suspended => Poll::Ready(Ended::Crashed(survivors)),
            _ if step.drop_at == Some(suspended) => Poll::Ready(Ended::Dropped),
            _ => Poll::Pending,
        }
    })
    .await
}
