//! Syncs that belong to the device: one at a time, shared by those that wait for it, and a failure
//! that nobody can overhear.

use super::DeviceError;
use futures::FutureExt;
use futures::future::Shared;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A sync under way, which whoever waits for it keeps going. It answers `false` if a signal
/// interrupted it.
type Running = Shared<Pin<Box<dyn Future<Output = Result<bool, DeviceError>> + Send>>>;

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
#[derive(Default)]
struct Syncs {
    /// The last one that was begun.
    begun: u64,
    /// The last one that succeeded.
    succeeded: u64,
    /// The last one that was begun, until somebody has heard its answer. All who wait for it may
    /// have been dropped.
    running: Option<Running>,
}

/// Which syncs do for a caller.
enum Needs {
    /// Any that is numbered like this or higher.
    From(u64),
    /// Only one that it has begun itself.
    Own,
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
        self.share_from(self.next(), sync).await
    }

    /// The number of the first sync that begins from now on. What is under way has begun before,
    /// and may miss what was written since.
    pub(super) fn next(&self) -> u64 {
        self.syncs().begun + 1
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
        self.wait(Needs::Own, sync).await
    }

    async fn wait<F>(&self, needs: Needs, mut sync: impl FnMut() -> F) -> Result<(), DeviceError>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        loop {
            let (number, begins, running) = {
                let mut syncs = self.syncs();
                if matches!(needs, Needs::From(number) if syncs.succeeded >= number) {
                    return Ok(());
                }
                self.check()?;
                let begins = syncs.running.is_none();
                syncs.begun += u64::from(begins);
                let number = syncs.begun;
                (number, begins, syncs.running.get_or_insert_with(|| running(sync())).clone())
            };
            let answer = running.await;
            let succeeded = self.heard(number, answer)?;
            if begins && succeeded {
                return Ok(());
            }
        }
    }

    /// A caller has heard the answer of a sync: the first, or another who waited for it.
    fn heard(&self, number: u64, answer: Result<bool, DeviceError>) -> Result<bool, DeviceError> {
        let mut syncs = self.syncs();
        if answer.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        let succeeded = answer?;
        if succeeded {
            syncs.succeeded = syncs.succeeded.max(number);
        }
        if syncs.begun == number {
            syncs.running = None;
        }
        Ok(succeeded)
    }

    fn syncs(&self) -> MutexGuard<'_, Syncs> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn running<F>(sync: F) -> Running
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let answer = sync.map(|answer| match answer {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error.into()),
    });
    answer.boxed().shared()
}

impl fmt::Debug for SyncLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncLatch").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}
