//! A mark says whether anything was written since the last sync; a flush that finds none skips the
//! sync, as QEMU does for guests that flush all the time.
//!
//! A write may be in the file before it returns, and also if it never does. So the mark is set when
//! a write ends, however it ends; and while one is under way, a flush always syncs. What was
//! written and not synced before the device was opened has no mark, so opening it syncs.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    AfterTheWrite,
    ClearedAfterSync,
    NotRestored,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        DirtyMark,
        "dirty-mark",
        Legal,
        None,
        "QEMU's write generation: a flush of what is clean costs nothing"
    ),
    device!(
        DirtyMark,
        "dirty-mark-after-the-write",
        Durability,
        Some(Bug::AfterTheWrite),
        "the mark is set when a write returns, and one that was dropped never does"
    ),
    device!(
        DirtyMark,
        "dirty-mark-cleared-late",
        Durability,
        Some(Bug::ClearedAfterSync),
        "what was written during the sync is taken for clean: classic"
    ),
    device!(
        DirtyMark,
        "dirty-mark-not-restored",
        Durability,
        Some(Bug::NotRestored),
        "the mark is cleared for a sync that is then cancelled: async classic"
    ),
];

struct DirtyMark(Option<Bug>);

struct Marked {
    file: SimFile,
    latch: Latch,
    dirty: AtomicBool,
    /// Writes under way.
    writes: AtomicU32,
    flushing: Mutex<()>,
    bug: Option<Bug>,
}

impl Subject for DirtyMark {
    type Device = Shell<Marked>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Marked>, DeviceError> {
        let (file, latch) = (world.disk()?, Latch::default());
        latch.sync(&file).await?;
        let marked = Marked {
            file,
            latch: latch.clone(),
            dirty: AtomicBool::new(false),
            writes: AtomicU32::new(0),
            flushing: Mutex::default(),
            bug: self.0,
        };
        Shell::new(marked, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().in_place().trim(TrimEffect::Nothing).contained().clean_close()
    }
}

/// A write is under way for as long as this lives.
struct Writing<'a>(&'a Marked);

impl<'a> Writing<'a> {
    fn new(marked: &'a Marked) -> Self {
        marked.writes.fetch_add(1, Ordering::Relaxed);
        Self(marked)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.dirty.store(true, Ordering::Relaxed);
        self.0.writes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sets the mark again unless the sync for which it was cleared has succeeded.
struct Restore<'a>(Option<&'a AtomicBool>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        if let Some(dirty) = self.0 {
            dirty.store(true, Ordering::Relaxed);
        }
    }
}

impl Store for Marked {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        read_full(&self.file, data, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        if self.bug == Some(Bug::AfterTheWrite) {
            write_full(&self.file, data, offset).await?;
            self.dirty.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let _writing = Writing::new(self);
        write_full(&self.file, data, offset).await
    }

    async fn flush(&self) -> Answer {
        let _one_at_a_time = self.flushing.lock().await;
        let written = self.writes.load(Ordering::Relaxed) > 0;
        if !written && !self.dirty.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut restore = Restore(Some(&self.dirty));
        if self.bug == Some(Bug::NotRestored) {
            restore.0 = None;
        }
        self.latch.sync(&self.file).await?;
        restore.0 = None;
        if self.bug == Some(Bug::ClearedAfterSync) {
            self.dirty.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}
