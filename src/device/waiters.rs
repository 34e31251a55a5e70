//! Wakers of those who wait for the same thing.

use std::mem;
use std::task::Waker;

/// Tells those who wait apart; from 1.
pub(super) type Ticket = u64;

/// The wakers of those who wait, each with the ticket of its owner, so that one who is dropped can
/// take its own away.
///
/// It lives behind a lock. What its methods give back has to be dropped or woken without the lock:
/// dropping a waker may drop a task, and with it somebody who takes the lock.
#[derive(Default)]
pub(super) struct Waiters {
    pub(super) wakers: Vec<(Ticket, Waker)>,
    /// The ticket given last.
    last_ticket: Ticket,
}

impl Waiters {
    pub(super) fn new_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// From now on this is the waker of the ticket. Gives the outdated one.
    #[must_use = "it has to be dropped without the lock"]
    pub(super) fn register(&mut self, ticket: Ticket, waker: &Waker) -> Option<Waker> {
        match self.wakers.iter_mut().find(|&&mut (owner, _)| owner == ticket) {
            Some((_, old)) => Some(mem::replace(old, waker.clone())),
            None => {
                self.wakers.push((ticket, waker.clone()));
                None
            }
        }
    }

    /// Removes the waker of this ticket.
    #[must_use = "it has to be dropped without the lock"]
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Waker> {
        let index = self.wakers.iter().position(|&(owner, _)| owner == ticket)?;
        Some(self.wakers.remove(index).1)
    }

    /// Removes all wakers, in the order in which their owners began to wait.
    #[must_use = "they have to be woken without the lock"]
    pub(super) fn take_all(&mut self) -> Vec<(Ticket, Waker)> {
        // Of none, the memory stays for the next.
        if self.wakers.is_empty() { Vec::new() } else { mem::take(&mut self.wakers) }
    }
}

/// Wakes them.
pub(super) fn wake_all(wakers: Vec<(Ticket, Waker)>) {
    wakers.into_iter().for_each(|(_, waker)| waker.wake());
}
