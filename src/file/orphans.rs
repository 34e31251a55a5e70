//! Calls that go on although their future was dropped, and those who wait for them to end.
//!
//! Only these calls are here: a call whose future lives is its owner's concern. A later change of
//! the same bytes waits, so that the orphan does not land over it; a sync waits for every orphan
//! that changes anything, as nothing may land after it that was dropped before.
//!
//! While there is no orphan, to look costs one atomic load. That may be `Acquire` only: whoever has
//! to wait for an orphan was called after the drop had returned, which had counted it.

use std::future::Future;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The calls of one file that go on although their future was dropped.
#[derive(Default)]
pub(super) struct Orphans {
    /// How many there are. Written under the lock.
    count: AtomicUsize,
    table: Mutex<Table>,
    /// Notified when the last one has ended.
    none_left: Condvar,
}

#[derive(Default)]
struct Table {
    /// Orphans are numbered from 1, in the order in which they were dropped.
    last: u64,
    calls: Vec<Orphan>,
    /// Those who wait, each with its ticket.
    waiters: Vec<(u64, Waker)>,
    last_ticket: u64,
}

struct Orphan {
    number: u64,
    /// The bytes that it may change; of a read or a sync, none.
    change: Option<Range<u64>>,
}

/// Which orphans somebody waits for.
enum Which {
    /// Those that change any of these bytes.
    Overlapping(Range<u64>),
    /// Those up to this number that change anything.
    ChangesUpTo(u64),
    /// Those up to this number.
    UpTo(u64),
}

impl Which {
    fn includes(&self, orphan: &Orphan) -> bool {
        match (self, &orphan.change) {
            (Self::Overlapping(bytes), Some(change)) => {
                change.start < bytes.end && bytes.start < change.end
            }
            (Self::ChangesUpTo(last), Some(_)) | (Self::UpTo(last), _) => orphan.number <= *last,
            (Self::Overlapping(_) | Self::ChangesUpTo(_), None) => false,
        }
    }
}

impl Orphans {
    /// The future of a call was dropped while the call is under way. Gives the number under which
    /// its end has to be [told](Self::ended).
    pub(super) fn adopt(&self, change: Option<Range<u64>>) -> u64 {
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        table.calls.push(Orphan { number, change });
        self.count.store(table.calls.len(), Ordering::Release);
        number
    }

    /// The call of this number has ended, and has let go of everything.
    pub(super) fn ended(&self, number: u64) {
        let mut table = self.table();
        table.calls.retain(|orphan| orphan.number != number);
        self.count.store(table.calls.len(), Ordering::Release);
        if table.calls.is_empty() {
            self.none_left.notify_all();
        }
        // Orphans are few, and so are those who wait: each looks for itself.
        let waiters = mem::take(&mut table.waiters);
        drop(table);
        waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Waits until no orphan is left that changes any of these bytes.
    pub(super) fn overlapping(&self, bytes: Range<u64>) -> Wait<'_> {
        self.wait(|_| Which::Overlapping(bytes))
    }

    /// Waits for the changes that are orphans now.
    pub(super) fn changes(&self) -> Wait<'_> {
        self.wait(Which::ChangesUpTo)
    }

    /// Waits for all that are orphans now.
    pub(super) fn all(&self) -> Wait<'_> {
        self.wait(Which::UpTo)
    }

    fn wait(&self, which: impl FnOnce(u64) -> Which) -> Wait<'_> {
        // Usually there is none, and then the lock is not taken either.
        let any = self.count.load(Ordering::Acquire) > 0;
        let which = any.then(|| which(self.table().last));
        Wait { orphans: self, which, ticket: None }
    }

    /// Blocks the thread until there is no orphan.
    pub(super) fn wait_blocking(&self) {
        let mut table = self.table();
        while !table.calls.is_empty() {
            table = self.none_left.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes the waker of this ticket away, which has to be dropped without the lock.
    fn take(&mut self, ticket: Option<u64>) -> Option<Waker> {
        let index = self.waiters.iter().position(|&(owner, _)| Some(owner) == ticket)?;
        Some(self.waiters.swap_remove(index).1)
    }
}

/// Waits for orphans; nothing is handed to it, so that it may be dropped at any time.
#[must_use = "futures do nothing unless polled"]
pub(super) struct Wait<'a> {
    orphans: &'a Orphans,
    /// `None` where there was nothing to wait for.
    which: Option<Which>,
    /// Given when it had to wait for the first time.
    ticket: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(which) = &self.which else { return Poll::Ready(()) };
        let mut table = self.orphans.table();
        let outdated = table.take(self.ticket);
        let waits = table.calls.iter().any(|orphan| which.includes(orphan));
        if waits {
            let ticket = self.ticket.unwrap_or_else(|| {
                table.last_ticket += 1;
                table.last_ticket
            });
            table.waiters.push((ticket, context.waker().clone()));
            self.ticket = Some(ticket);
        }
        // Without the lock: dropping a waker may drop a task, and with it a call.
        drop(table);
        drop(outdated);
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let outdated = self.orphans.table().take(self.ticket);
            // Without the lock, as in `poll`.
            drop(outdated);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_change_waits_for_overlapping_changes_only() {
        let orphans = Orphans::default();
        let read = orphans.adopt(None);
        let change = orphans.adopt(Some(512..1024));
        assert!(orphans.overlapping(0..512).now_or_never().is_some());
        assert!(orphans.overlapping(1024..2048).now_or_never().is_some());
        let mut wait = orphans.overlapping(1023..1024);
        assert!((&mut wait).now_or_never().is_none());
        orphans.ended(read);
        assert!((&mut wait).now_or_never().is_none());
        orphans.ended(change);
        assert!(wait.now_or_never().is_some());
        assert!(orphans.table().waiters.is_empty());
    }

    #[test]
    fn a_sync_waits_for_all_changes_and_for_no_later_one() {
        let orphans = Orphans::default();
        let (first, second) = (orphans.adopt(Some(0..1)), orphans.adopt(Some(7..8)));
        let (mut changes, mut all) = (orphans.changes(), orphans.all());
        let later = orphans.adopt(Some(0..1));
        orphans.ended(first);
        assert!((&mut changes).now_or_never().is_none());
        orphans.ended(second);
        assert!((&mut changes).now_or_never().is_some());
        assert!((&mut all).now_or_never().is_some());
        assert!(orphans.all().now_or_never().is_none());
        assert!(orphans.table().waiters.is_empty(), "who is dropped waits no longer");
        orphans.ended(later);
        orphans.wait_blocking();
    }

    #[test]
    fn to_settle_is_to_wait_for_reads_too() {
        let orphans = Orphans::default();
        let read = orphans.adopt(None);
        assert!(orphans.changes().now_or_never().is_some());
        assert!(orphans.all().now_or_never().is_none());
        orphans.ended(read);
        assert!(orphans.all().now_or_never().is_some());
    }
}
