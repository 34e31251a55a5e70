//! A moment in which others go ahead.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits this many times for the executor to choose the task again.
///
/// It is the executor's `yield_now`, which this module must not know.
#[derive(Debug)]
pub(super) struct Pause(pub(super) u64);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0.checked_sub(1) {
            None => Poll::Ready(()),
            Some(left) => {
                self.0 = left;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
