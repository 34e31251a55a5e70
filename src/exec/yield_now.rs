//! The scheduling point.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Lets the schedule choose again: the task stays runnable, and waits for its next turn.
///
/// This is where interleavings come from. Code that never waits runs in one step, and no other
/// task sees its middle.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{RoundRobin, Runtime, yield_now};
/// use std::cell::RefCell;
///
/// let order = RefCell::new(String::new());
/// let client = async |letter: char| {
///     order.borrow_mut().push(letter);
///     yield_now().await;
///     order.borrow_mut().push(letter.to_ascii_uppercase());
/// };
/// let mut runtime = Runtime::new(RoundRobin::new());
/// let mut executor = runtime.executor();
/// executor.spawn("a", client('a'));
/// executor.spawn("b", client('b'));
/// executor.run(10)?;
/// assert_eq!(*order.borrow(), "abAB");
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`]: wakes its task and waits once, then is done.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{YieldNow, block_on, yield_now};
///
/// let point: YieldNow = yield_now();
/// block_on(point); // two polls: one that waits, one that is done
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
