//! An operation's future, and what happens to it from outside.

use crate::disk::{CrashPolicy, FaultClass};
use crate::scenario::{DropOn, Step};
use std::future::{Future, poll_fn};
use std::pin::Pin;
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

/// Whether the future of a step is made and never polled.
pub(super) fn is_never_polled(step: &Step) -> bool {
    step.dropped() == Some(FaultClass::DroppedUnpolled)
}

/// Runs `future`, which is suspended only as often as `step` allows.
///
/// A poll that nobody asked for suspends it like any other. So what is to happen at a suspension
/// may happen after such a poll, and a scenario need not say which it is.
pub(super) fn disturbed<T>(
    step: &Step,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Ended<T>> {
    let mut suspended = 0;
    let dropped_at = step.drop_at.filter(|_| step.drop_on == DropOn::Suspension);
    // Before it is suspended at all, it is for the caller to drop.
    let dropped_after = step.drop_at.filter(|&at| at > 0 && step.drop_on == DropOn::NextPoll);
    poll_fn(move |context| {
        if dropped_after == Some(suspended) {
            return Poll::Ready(Ended::Dropped);
        }
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ended::Done(output));
        }
        suspended += 1;
        match step.crash_at {
            Some((at, policy)) if at == suspended => Poll::Ready(Ended::Crashed(policy)),
            _ if dropped_at == Some(suspended) => Poll::Ready(Ended::Dropped),
            _ => Poll::Pending,
        }
    })
}
