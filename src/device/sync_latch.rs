//! Syncs that belong to the device: one at a time, shared by those that wait for it, and a failure
//! that nobody can overhear.

use super::DeviceError;
use super::waiters::{Ticket, Waiters, wake_all};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// A sync under way.
type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Syncs one at a time, and none after one has failed (clause 6).
///
/// The kernel reports a failed sync once, and to one caller. Three callers must not miss it:
///
/// * one whose own sync comes second. Its sync would return `Ok`, so it has to wait until the first
///   has had its answer;
/// * one that comes after a request that was dropped. Between the moment when a sync has failed and
///   the moment when its answer arrives, the request that waits for it may be dropped. So it is the
///   latch that keeps a sync under way, not the request, and whoever syncs next waits for its
///   answer first;
/// * one that [shares](Self::share) the sync of another. All of them get its error.
///
/// No lock is held while a sync is under way. A request that is dropped takes nothing with it: the
/// others that wait for the same sync keep it going.
///
/// Use it in a device of yours:
///
/// ```
/// use blocktwin::device::SyncLatch;
/// use blocktwin::exec::block_on;
/// use std::sync::Arc;
///
/// let (file, latch) = (Arc::new(tempfile::tempfile()?), SyncLatch::default());
/// let sync = || {
///     let file = Arc::clone(&file);
///     async move { file.sync_data() }
/// };
/// block_on(latch.share(sync))?;
/// latch.check()?; // before every write and trim
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct SyncLatch {
    /// Set when a sync fails; never cleared, as nobody can tell what the file still holds.
    failed: AtomicBool,
    syncs: Mutex<Syncs>,
}

/// Syncs are numbered from 1, in the order in which they begin.
///
/// Whoever waits polls the sync that is under way, and it wakes whoever polled it last. So one who
/// is dropped wakes the others, and one who finds that the sync has ended wakes them too.
#[derive(Default)]
struct Syncs {
    /// The last one that was begun.
    begun: u64,
    /// The last one that succeeded.
    succeeded: u64,
    /// How the last one failed.
    failure: Option<DeviceError>,
    /// The one that is under way, also if all who waited for it were dropped. It is not here while
    /// somebody polls it.
    running: Option<Running>,
    polling: bool,
    /// Whose own the last one is.
    owner: Option<Ticket>,
    /// A signal has interrupted the last one, and its owner has to make it again.
    interrupted: bool,
    waiters: Waiters,
}

/// Which syncs do for a caller.
enum Needs {
    /// The first that begins from now on.
    Next,
    /// Any that is numbered like this or higher.
    From(u64),
    /// Its own, which has this number once it has begun.
    Own(Option<u64>),
}

impl Needs {
    fn are_met(&self, succeeded: u64) -> bool {
        match *self {
            Self::From(number) | Self::Own(Some(number)) => succeeded >= number,
            Self::Next | Self::Own(None) => false,
        }
    }
}

/// Who waits. When it is dropped, nobody misses it.
struct Waiter<'a> {
    latch: &'a SyncLatch,
    ticket: Ticket,
    /// It was suspended once at least, and has no answer yet.
    waits: bool,
    /// It polls the sync that is under way.
    polls: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        let mut syncs = self.latch.syncs();
        if self.polls {
            // The file has panicked. What it has synced nobody knows.
            syncs.polling = false;
            syncs.failure = Some(DeviceError::SyncFailed);
            self.latch.failed.store(true, Ordering::Release);
        }
        if syncs.owner == Some(self.ticket) {
            // Nobody has to make it again.
            (syncs.owner, syncs.interrupted) = (None, false);
        }
        let own = syncs.waiters.take(self.ticket);
        let others = syncs.waiters.take_all();
        drop(syncs);
        drop(own);
        // The sync may be about to wake this one.
        wake_all(others);
    }
}

impl SyncLatch {
    /// Whether a write may go ahead.
    ///
    /// # Errors
    ///
    /// [`DeviceError::SyncFailed`] if a sync has failed.
    pub fn check(&self) -> Result<(), DeviceError> {
        if self.has_failed() { Err(DeviceError::SyncFailed) } else { Ok(()) }
    }

    /// Whether a sync has failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Waits for a sync that begins after this call, and shares it with all who wait for one then
    /// (group commit). The first of them makes it by calling `sync`, and again for as long as
    /// signals interrupt it. All syncs of the latch have to be of the same file.
    ///
    /// # Errors
    ///
    /// The error of that sync, or of the one before it; [`DeviceError::SyncFailed`] if an earlier
    /// one failed.
    pub async fn share<F>(&self, sync: impl FnMut() -> F) -> Result<(), DeviceError>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        // What is under way has begun before, and may miss what was written since.
        self.wait(Needs::Next, sync).await
    }

    /// The number of the first sync that begins from now on.
    pub(super) fn next(&self) -> u64 {
        self.syncs().next()
    }

    /// As [`share`](Self::share), but waits for the sync of this number or any later one.
    pub(super) async fn share_from<F>(
        &self,
        number: u64,
        sync: impl FnMut() -> F,
    ) -> Result<(), DeviceError>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.wait(Needs::From(number), sync).await
    }

    /// Makes a sync of its own by calling `sync`, again for as long as signals interrupt it. First
    /// waits for the sync of another request, also if that was dropped. For devices with several
    /// files, as the sync of one is not that of another.
    ///
    /// # Errors
    ///
    /// As of [`share`](Self::share).
    pub async fn sync<F>(&self, sync: impl FnMut() -> F) -> Result<(), DeviceError>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.wait(Needs::Own(None), sync).await
    }

    async fn wait<F>(
        &self,
        mut needs: Needs,
        mut sync: impl FnMut() -> F,
    ) -> Result<(), DeviceError>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let mut waiter = Waiter { latch: self, ticket: 0, waits: false, polls: false };
        let answer =
            poll_fn(|context| self.poll(&mut waiter, &mut needs, &mut sync, context)).await;
        waiter.waits = false;
        answer
    }

    /// Begins a sync where that is due, and polls the one that is under way, until one has ended
    /// that does for this waiter.
    fn poll<F>(
        &self,
        waiter: &mut Waiter<'_>,
        needs: &mut Needs,
        sync: &mut impl FnMut() -> F,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), DeviceError>>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let mut syncs = self.syncs();
        if waiter.ticket == 0 {
            waiter.ticket = syncs.waiters.new_ticket();
        }
        if let Needs::Next = needs {
            *needs = Needs::From(syncs.next());
        }
        loop {
            if needs.are_met(syncs.succeeded) {
                return Poll::Ready(Ok(()));
            }
            if let Some(failure) = syncs.failure {
                // Whoever waited for it shares its error.
                let shared = if waiter.waits { failure } else { DeviceError::SyncFailed };
                return Poll::Ready(Err(shared));
            }
            if syncs.running.is_none() && !syncs.polling && syncs.may_begin(waiter.ticket) {
                let number = syncs.begin(Box::pin(sync()));
                if let Needs::Own(own) = needs {
                    *own = Some(number);
                    syncs.owner = Some(waiter.ticket);
                }
            }
            let outdated = syncs.waiters.register(waiter.ticket, context.waker());
            waiter.waits = true;
            let running = syncs.running.take();
            waiter.polls = running.is_some();
            syncs.polling |= waiter.polls;
            // Without the lock, as a file may block the thread.
            drop(syncs);
            drop(outdated);
            let Some(mut running) = running else { return Poll::Pending };
            let polled = running.as_mut().poll(context);
            syncs = self.syncs();
            (syncs.polling, waiter.polls) = (false, false);
            let Poll::Ready(answer) = polled else {
                syncs.running = Some(running);
                return Poll::Pending;
            };
            if syncs.end(answer) {
                self.failed.store(true, Ordering::Release);
            }
            let own = syncs.waiters.take(waiter.ticket);
            let others = syncs.waiters.take_all();
            drop(syncs);
            drop((own, running));
            wake_all(others);
            syncs = self.syncs();
        }
    }

    fn syncs(&self) -> MutexGuard<'_, Syncs> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Syncs {
    /// The number of the first sync that begins from now on.
    fn next(&self) -> u64 {
        self.begun + 1
    }

    /// Whether this waiter may make a sync, with none under way.
    fn may_begin(&self, ticket: Ticket) -> bool {
        !self.interrupted || self.owner == Some(ticket)
    }

    fn begin(&mut self, sync: Running) -> u64 {
        self.running = Some(sync);
        self.begun += u64::from(!self.interrupted);
        (self.owner, self.interrupted) = (None, false);
        self.begun
    }

    /// The sync that was begun last has ended; whether it failed.
    fn end(&mut self, answer: io::Result<()>) -> bool {
        match answer {
            Ok(()) => self.succeeded = self.begun,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.interrupted = self.owner.is_some();
            }
            Err(error) => self.failure = Some(error.into()),
        }
        self.failure.is_some()
    }
}

impl fmt::Debug for SyncLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncLatch").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}
