//! The requests that are in flight, and those who wait for them to end: closes and drains.
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
//! A drain waits for the requests that began before it, and not for those that begin while it
//! waits: there may always be some. So the word has two counts, of requests of even and of odd
//! *epochs*, and the parity of the present one. A drain begins the next epoch and waits for the old
//! count to be 0. Before that it waits for the other count to be 0, if an earlier drain still waits
//! for it; so all requests in flight are of the present epoch or the one before, and a drain may
//! wait for some that began while an earlier one waited.
//!
//! No wake-up is lost either. Whoever waits looks at the counts and leaves a waker under one lock.
//! The request that takes a count to 0 for which somebody may wait takes the lock *after* that, and
//! wakes all wakers. If it has the lock before a close does, that close finds the count at 0;
//! otherwise, it finds the waker of that close.

use super::DeviceError;
use super::waiters::{Ticket, Waiters, wake_all};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The flag in the state.
const CLOSED: u64 = 1;

/// The parity of the present epoch in the state.
const ODD: u64 = 2;

/// Where in the state the counts of requests are, of even epochs and of odd ones.
const COUNTS: [u32; 2] = [2, 33];

/// The most requests of one epoch. Only futures that were forgotten come near.
const MOST: u64 = (1 << 31) - 1;

/// How many requests are in flight that began in an epoch of this parity.
fn count(state: u64, parity: usize) -> u64 {
    state >> COUNTS[parity] & MOST
}

/// The parity of the present epoch.
fn parity(state: u64) -> usize {
    usize::from(state & ODD != 0)
}

/// Counts the requests of a device, until it is closed.
///
/// The lock is taken by closes and drains only, and by the last request that they wait for.
#[derive(Default)]
pub(super) struct InFlight {
    state: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    waiters: Waiters,
    /// The present epoch.
    epoch: u64,
}

impl InFlight {
    /// Admits a request, which is in flight until the value is dropped.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Closed`] if the device is closed.
    pub(super) fn begin(&self) -> Result<Request<'_>, DeviceError> {
        let counted = |state| {
            let parity = parity(state);
            let admits = state & CLOSED == 0 && count(state, parity) < MOST;
            admits.then(|| state + (1 << COUNTS[parity]))
        };
        match self.state.fetch_update(Ordering::Acquire, Ordering::Acquire, counted) {
            Ok(before) => Ok(Request { in_flight: self, parity: parity(before) }),
            Err(state) if state & CLOSED == 0 => {
                Err(io::Error::from(io::ErrorKind::QuotaExceeded).into())
            }
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
        Idle { in_flight: self, since: None, ticket: None }
    }

    /// The future is ready when no request is in flight that began before this call.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Closed`] if the device is closed.
    pub(super) fn drain(&self) -> Result<Idle<'_>, DeviceError> {
        if self.is_closed() {
            return Err(DeviceError::Closed);
        }
        let since = Some(self.waiting().epoch);
        Ok(Idle { in_flight: self, since, ticket: None })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires what every request did before it ended, once all have that are waited for.
    fn is_idle(&self, waiting: &mut Waiting, since: Option<u64>) -> bool {
        let state = self.state.load(Ordering::Acquire);
        let Some(since) = since else {
            return count(state, 0) == 0 && count(state, 1) == 0;
        };
        if waiting.epoch == since && count(state, 1 - parity(state)) == 0 {
            waiting.epoch += 1;
            self.state.fetch_xor(ODD, Ordering::AcqRel);
        }
        let state = self.state.load(Ordering::Acquire);
        match waiting.epoch - since {
            0 => false,
            1 => count(state, 1 - parity(state)) == 0,
            _ => true,
        }
    }
}

/// A request in flight.
#[must_use = "the request ends when this is dropped"]
pub(super) struct Request<'a> {
    in_flight: &'a InFlight,
    /// Of the epoch in which it began.
    parity: usize,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let Self { in_flight, parity: began } = *self;
        let before = in_flight.state.fetch_sub(1 << COUNTS[began], Ordering::Release);
        let is_last = count(before, began) == 1;
        if is_last && (before & CLOSED != 0 || parity(before) != began) {
            let wakers = in_flight.waiting().waiters.take_all();
            // Without the lock: what is woken may take it.
            wake_all(wakers);
        }
    }
}

/// Waits until no request is in flight.
#[must_use = "futures do nothing unless polled"]
pub(super) struct Idle<'a> {
    in_flight: &'a InFlight,
    /// Of those that began up to this epoch; of all, for a close.
    since: Option<u64>,
    /// Given when it had to wait for the first time.
    ticket: Option<Ticket>,
}

impl Future for Idle<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let in_flight = self.in_flight;
        let mut waiting = in_flight.waiting();
        if in_flight.is_idle(&mut waiting, self.since) {
            return Poll::Ready(());
        }
        let ticket = *self.ticket.get_or_insert_with(|| waiting.waiters.new_ticket());
        let outdated = waiting.waiters.register(ticket, cx.waker());
        drop(waiting);
        // Without the lock: dropping a waker may drop a task, and with it a request.
        drop(outdated);
        Poll::Pending
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let outdated = self.in_flight.waiting().waiters.take(ticket);
        // Without the lock, as in `poll`.
        drop(outdated);
    }
}

#[cfg(test)]
mod tests;
