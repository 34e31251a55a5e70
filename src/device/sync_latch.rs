//! One sync of a file at a time, and a failure that nobody can overhear.

use super::DeviceError;
use futures::lock::Mutex;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

/// A sync that was begun.
type Begun = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Syncs one at a time, and none after one has failed (clause 6).
///
/// The kernel reports a failed sync once, and to one caller. Two callers must not miss it:
///
/// * one whose own sync comes second. Its sync would return `Ok`, so it has to wait until the first
///   has had its answer;
/// * one that comes after a request that was dropped. Between the moment when a sync has failed and
///   the moment when its answer arrives, the request that waits for it may be dropped. So it is the
///   latch that keeps a sync under way, not the request, and whoever syncs next waits for its
///   answer first.
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
/// block_on(latch.sync(sync))?;
/// latch.check()?; // before every write and trim
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct SyncLatch {
    /// Set when a sync fails; never cleared, as nobody can tell what the file still holds.
    failed: AtomicBool,
    /// Held during a sync. A sync is left here if the request that waited for it was dropped.
    begun: Mutex<Option<Begun>>,
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

    /// Makes a sync by calling `sync`, again for as long as signals interrupt it. First waits for
    /// the sync of another request, also if that was dropped.
    ///
    /// # Errors
    ///
    /// The error of the sync; that of the sync of a request that was dropped before it heard of
    /// it; [`DeviceError::SyncFailed`] if an earlier one failed.
    pub async fn sync<F>(&self, mut sync: impl FnMut() -> F) -> Result<(), DeviceError>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.sync_once(&AtomicBool::new(false), &mut sync).await
    }

    /// As [`sync`](Self::sync), but does nothing if `done` is set when its turn has come, and sets
    /// it if the sync succeeds.
    pub(super) async fn sync_once<F>(
        &self,
        done: &AtomicBool,
        sync: &mut impl FnMut() -> F,
    ) -> Result<(), DeviceError>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let mut begun = self.begun.lock().await;
        if begun.is_some() {
            self.end(&mut begun).await?;
        }
        if done.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check()?;
        loop {
            *begun = Some(Box::pin(sync()));
            if self.end(&mut begun).await? {
                done.store(true, Ordering::Release);
                return Ok(());
            }
        }
    }

    /// Waits for the sync that was begun. False if a signal interrupted it.
    async fn end(&self, begun: &mut Option<Begun>) -> Result<bool, DeviceError> {
        let Some(sync) = begun else { return Ok(false) };
        let answer = sync.await;
        *begun = None;
        match answer {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => {
                self.failed.store(true, Ordering::Release);
                Err(error.into())
            }
        }
    }
}

impl fmt::Debug for SyncLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncLatch").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}
