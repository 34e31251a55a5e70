//! What of a device outlives it: files beside its own, and the machine's memory of it.

use super::real_file;
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{Device, DynDevice};
use blocktwin::scenario::DeviceSpec;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Blocks by number.
pub(super) type Blocks = BTreeMap<u64, Box<[u8]>>;

/// Lives as long as a run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    openings: AtomicU32,
    crashes: AtomicU32,
    /// Set while the device is open; a crash leaves it set.
    open: AtomicBool,
    /// How much of the device is in use, in bytes, as its header says.
    pub(super) header: AtomicU64,
    /// A cache that was kept.
    kept: Mutex<Blocks>,
    /// A real file, where the device has one.
    file: OnceLock<Arc<File>>,
}

impl Memory {
    /// The device is being opened.
    pub(super) fn opened(&self) {
        self.openings.fetch_add(1, Ordering::Relaxed);
        if self.open.swap(true, Ordering::Relaxed) {
            self.crashes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The device was closed in order.
    pub(super) fn closed(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    /// Whether whoever opened it last has not closed it.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// How often it was opened without having been closed.
    pub(super) fn crashes(&self) -> u32 {
        self.crashes.load(Ordering::Relaxed)
    }

    /// Whether this is not the first time that it is open.
    pub(super) fn is_reopened(&self) -> bool {
        self.openings.load(Ordering::Relaxed) > 1
    }

    /// The real file of the run, which is as empty as its disk when it is first asked for.
    pub(super) async fn file(&self, spec: &DeviceSpec) -> io::Result<&Arc<File>> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = real_file::create(spec).await?;
        Ok(self.file.get_or_init(|| file))
    }

    pub(super) fn keep(&self, blocks: &Blocks) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone_from(blocks);
    }

    pub(super) fn kept(&self) -> Blocks {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Notes when the device is closed.
pub(super) struct OpenLog {
    inner: DynDevice,
    memory: Arc<Memory>,
}

impl OpenLog {
    pub(super) fn new(inner: DynDevice, memory: Arc<Memory>) -> Self {
        Self { inner, memory }
    }
}

impl Wrapper for OpenLog {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn drain(&self) -> Answer {
        self.inner.drain().await
    }

    async fn close(&self) -> Answer {
        let closed = self.inner.close().await;
        self.memory.closed();
        closed
    }
}
