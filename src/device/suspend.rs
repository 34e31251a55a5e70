//! A pause between two pieces of a long request.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Lets other tasks of the executor run, and then goes on.
pub(super) fn suspend() -> impl Future<Output = ()> + Send {
    let mut suspended = false;
    poll_fn(move |context| {
        if suspended {
            return Poll::Ready(());
        }
        suspended = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
