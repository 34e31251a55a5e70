//! The simulated disk: a file that fails, and loses what was not synced, exactly as it is told to.
//!
//! [`SimFile`] is a [`BackingFile`]: a device stands on it as on a [`std::fs::File`] and cannot
//! tell. [`SimDisk`] is the hand that holds it: it plans the faults of each operation, reports what
//! they did, and lets the power fail. Beneath lies a [`Medium`], memory or a real file.
//!
//! # Semantics
//!
//! * A write is visible at once, and *unsynced* until a sync that began after it has returned `Ok`.
//!   Growth of the file is an unsynced change of its own.
//! * A [crash](SimDisk::crash) leaves every unsynced sector, each on its own, as its durable
//!   content or as any content that it had since: [`Survivors`] says which. No sector is left as a
//!   mixture.
//! * A [fault](Fault) is pinned to a raw call of one operation, so that it stays where it is when
//!   other operations are taken away.
//! * A short write may stop inside a sector, which is then visible torn. Such a sector is not
//!   written to the medium, by a sync or a crash, while the operation is still under way: the
//!   kernel's page cache would have to write it back in just that moment. Once the operation has
//!   ended, it counts as an unsynced change like any other.
//! * Every raw call is a scheduling point before it takes effect, a sync also in its middle.
//!
#![doc = include_str!("faults.md")]

mod calls;
mod crash;
mod fault;
mod lies;
mod medium;
mod state;
mod undo;
mod watch;

#[cfg(test)]
mod tests;

pub use crash::Survivors;
pub use fault::{Call, Dirty, Fault, FaultClass, FaultKind};
pub use medium::Medium;
pub use state::{CallReport, RawCall};
pub use watch::Held;

use crate::exec::yield_now;
use crate::file::BackingFile;
use state::State;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the disk and the files on it share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Whose future is being polled; 0 is nobody's.
    current: AtomicU32,
    /// Raw calls were made since the journal was drained.
    called: AtomicBool,
}

impl Shared {
    /// Has a raw call take effect, which is noted in the journal.
    fn effect<T>(&self, mut state: MutexGuard<'_, State>, work: impl FnOnce(&mut State) -> T) -> T {
        self.called.store(true, Ordering::Relaxed);
        work(&mut state)
    }

    /// A panic of the device leaves nothing half done here: raw calls do not call back.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A simulated disk with one file, for the harness.
///
/// # Example
///
/// A write that was not synced, and a power failure:
///
/// ```
/// use blocktwin::disk::{Medium, SimDisk, Survivors};
/// use blocktwin::exec::block_on;
/// use blocktwin::file::BackingFile;
///
/// let disk = SimDisk::new(Medium::Memory);
/// disk.reset(512, 4096, 4096)?;
/// block_on(disk.file().write_at(&[7; 1024], 0))?;
/// block_on(disk.file().sync_data())?;
/// block_on(disk.file().write_at(&[8; 1024], 512))?;
/// disk.crash(Survivors::None);
///
/// let mut buffer = [0; 1536];
/// block_on(disk.file().read_at(&mut buffer, 0))?;
/// assert_eq!((buffer[512], buffer[1024]), (7, 0));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

impl SimDisk {
    /// A disk with an empty file, on `medium`.
    pub fn new(medium: Medium) -> Self {
        let state = Mutex::new(State::new(medium));
        Self {
            shared: Arc::new(Shared {
                state,
                current: AtomicU32::new(0),
                called: AtomicBool::new(false),
            }),
        }
    }

    /// Begins anew with a file of `length` zeros, in bytes, all of them durable. `limit` is where
    /// the device's part of the file ends, in bytes; [`CallReport::escaped`] tells of more.
    ///
    /// # Errors
    ///
    /// Where the medium refuses the length.
    pub fn reset(&self, sector_size: u32, length: u64, limit: u64) -> io::Result<()> {
        self.shared.current.store(0, Ordering::Relaxed);
        self.shared.lock().reset(sector_size, length, limit)
    }

    /// The file, for a device. All files of a disk are openings of the same one.
    pub fn file(&self) -> SimFile {
        SimFile { shared: Arc::clone(&self.shared) }
    }

    /// The operation `op`, not 0, is about to make raw calls, which meet `faults`.
    pub fn begin(&self, op: u32, faults: &[Fault]) {
        self.shared.lock().begin(op, faults);
    }

    /// From now on raw calls are made by `op`, or by no operation where 0. Gives who did before.
    pub fn enter(&self, op: u32) -> u32 {
        // No swap: there is one thread, and a locked instruction for every poll adds up.
        let before = self.shared.current.load(Ordering::Relaxed);
        self.shared.current.store(op, Ordering::Relaxed);
        before
    }

    /// `op` makes no more raw calls: reports what they met. `given_up` where the operation had no
    /// chance to go on, as its future was dropped.
    pub fn end(&self, op: u32, given_up: bool) -> CallReport {
        self.shared.lock().end(op, given_up)
    }

    /// The power fails and comes back. Operations under way are no more. Tells how many sectors,
    /// the length of the file counting as one, are not what they were last.
    pub fn crash(&self, survivors: Survivors) -> u64 {
        self.shared.current.store(0, Ordering::Relaxed);
        self.shared.lock().crash(survivors)
    }

    /// Whether a sector cannot be trusted to hold what was written to it last: silently wrong, or
    /// beyond reading.
    pub fn is_damaged(&self, sector: u64) -> bool {
        let state = self.shared.lock();
        state.wrong.contains(&sector) || state.latent.contains(&sector)
    }

    /// From now on until the next [`reset`](Self::reset), takes note of what raw calls and crashes
    /// leave in the sectors, or does not. That costs a copy of every sector that changes.
    pub fn watch(&self, on: bool) {
        self.shared.lock().watch(on);
    }

    /// Hands over the raw calls made since the last time, in order; each with the sectors that it
    /// has changed, where they are [watched](Self::watch).
    pub fn drain_journal(&self, mut each: impl FnMut(&RawCall, &[Held])) {
        // Most often nothing is new, and a load is all that it costs.
        if !self.shared.called.load(Ordering::Relaxed) {
            return;
        }
        self.shared.called.store(false, Ordering::Relaxed);
        self.shared.lock().drain(&mut each);
    }

    /// [`end`](Self::end) and [`drain_journal`](Self::drain_journal) in one.
    pub fn end_noting(
        &self,
        op: u32,
        given_up: bool,
        mut each: impl FnMut(&RawCall, &[Held]),
    ) -> CallReport {
        self.shared.called.store(false, Ordering::Relaxed);
        let mut state = self.shared.lock();
        let report = state.end(op, given_up);
        state.drain(&mut each);
        report
    }

    /// The sectors that the last crash has changed, where they are [watched](Self::watch) and the
    /// raw calls before it have been handed over.
    pub fn take_crashed(&self) -> Vec<Held> {
        self.shared.lock().watch.as_mut().map(|watch| watch.take_rest()).unwrap_or_default()
    }

    /// A failure of the medium itself since the last [`reset`](Self::reset): the disk is full, say.
    /// It is nobody's fault, and makes whatever the run found worthless.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.shared.lock().broken.take()
    }
}

/// A simulated file, for the device.
#[derive(Clone, Debug)]
pub struct SimFile {
    shared: Arc<Shared>,
}

impl SimFile {
    /// A raw call: waits for the executor to choose it, and then has the file to itself.
    async fn call<T>(&self, work: impl FnOnce(&mut State, u32) -> T + Send) -> T {
        yield_now().await;
        let shared = &*self.shared;
        let op = shared.current.load(Ordering::Relaxed);
        let (before, after) = {
            let mut state = shared.lock();
            match state.delays(op) {
                (0, 0) => return shared.effect(state, |state| work(state, op)),
                delays => delays,
            }
        };
        self.wait(op, before).await;
        let done = shared.effect(shared.lock(), |state| work(state, op));
        self.wait(op, after).await;
        done
    }

    /// Lets others go ahead for so many steps.
    async fn wait(&self, op: u32, steps: u32) {
        if steps == 0 {
            return;
        }
        let before = self.shared.lock().calls;
        for _ in 0..steps {
            yield_now().await;
        }
        let mut state = self.shared.lock();
        let overtaken = state.calls > before;
        state.delayed(op, overtaken);
    }

    async fn sync(&self) -> io::Result<()> {
        let (mark, fault) = self.call(State::begin_sync).await?;
        yield_now().await;
        let op = self.shared.current.load(Ordering::Relaxed);
        self.shared.effect(self.shared.lock(), |state| state.end_sync(op, mark, fault))
    }
}

impl BackingFile for SimFile {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(|state, op| state.read(op, buffer, offset)).await
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.call(|state, op| state.write(op, buffer, offset)).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.sync().await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.sync().await
    }

    async fn len(&self) -> io::Result<u64> {
        self.call(State::len).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.call(|state, op| state.set_len(op, length)).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.call(|state, op| state.punch(op, offset, length)).await
    }
}
