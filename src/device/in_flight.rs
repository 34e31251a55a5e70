//! The requests that are in flight, and closes that wait for them to end.
//!
//! One atomic word holds whether the device is closed and how many requests are in flight. The two
//! have to be in *one* word. If they were two, a request could look at the flag and find the device
//! open, close could then set the flag and find a count of 0, and the request would count itself
//! only after that, and run on a device whose close has returned. With one word, there is an order
//! in which all changes happen:
//!
//! * [`begin`](InFlight::begin) counts a request only if, in the same change, the device is open.
//! * [`close`](InFlight::close) sets the flag, which is never cleared.
//!
//! So a request either comes before close in that order, and close sees it in the count; or it
//! comes after, and finds the flag. From close on the count only falls: once it is 0, it stays 0.
//!
//! No wake-up is lost either. A close looks at the count and leaves its waker under one lock. The
//! request that takes the count of a closed device to 0 takes the lock *after* that, and wakes all
//! wakers. If it has the lock before a close does, that close finds the count at 0; otherwise, it
//! finds the waker of that close.

use super::DeviceError;
use super::waiters::{Ticket, Waiters, wake_all};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The flag in the state. The count of requests is in the bits above it.
const CLOSED: u64 = 1;

/// One request in the state. As a forgotten one is never taken off again, this has to be a count
/// that cannot overflow.
const REQUEST: u64 = 2;

/// Counts the requests of a device, until it is closed.
///
/// The lock is taken when the device is closing only.
#[derive(Default)]
pub(super) struct InFlight {
    state: AtomicU64,
    /// The closes that wait.
    waiting: Mutex<Waiters>,
}

impl InFlight {
    /// Admits a request, which is in flight until the value is dropped.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Closed`] if the device is closed.
    pub(super) fn begin(&self) -> Result<Request<'_>, DeviceError> {
        let counted = |state| (state & CLOSED == 0).then_some(state + REQUEST);
        match self.state.fetch_update(Ordering::Acquire, Ordering::Acquire, counted) {
            Ok(_) => Ok(Request(self)),
            Err(_) => Err(DeviceError::Closed),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Admits no more requests from now on. The future is ready when none is in flight: at once, if
    /// that is so already.
    pub(super) fn close(&self) -> Idle<'_> {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        Idle { in_flight: self, ticket: None }
    }

    /// Acquires what every request did before it ended, once all have.
    fn is_idle(&self) -> bool {
        self.state.load(Ordering::Acquire) < REQUEST
    }

    fn waiting(&self) -> MutexGuard<'_, Waiters> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight.
#[must_use = "the request ends when this is dropped"]
pub(super) struct Request<'a>(&'a InFlight);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let InFlight { state, .. } = self.0;
        if state.fetch_sub(REQUEST, Ordering::Release) == REQUEST | CLOSED {
            let wakers = self.0.waiting().take_all();
            // Without the lock: what is woken may take it.
            wake_all(wakers);
        }
    }
}

/// Waits until no request is in flight.
#[must_use = "futures do nothing unless polled"]
pub(super) struct Idle<'a> {
    in_flight: &'a InFlight,
    /// Given when it had to wait for the first time.
    ticket: Option<Ticket>,
}

impl Future for Idle<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let in_flight = self.in_flight;
        let mut waiting = in_flight.waiting();
        if in_flight.is_idle() {
            return Poll::Ready(());
        }
        let ticket = *self.ticket.get_or_insert_with(|| waiting.new_ticket());
        let outdated = waiting.register(ticket, cx.waker());
        drop(waiting);
        // Without the lock: dropping a waker may drop a task, and with it a request.
        drop(outdated);
        Poll::Pending
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let outdated = self.in_flight.waiting().take(ticket);
        // Without the lock, as in `poll`.
        drop(outdated);
    }
}

#[cfg(test)]
mod tests;
