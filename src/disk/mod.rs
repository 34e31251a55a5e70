//! The simulated disk: files that fail, and lose what was not synced, exactly as they are told to.
//!
//! A device is opened in a [`World`]: files by name, tasks of its own, a virtual clock, and the
//! heap of transfer buffers. [`SimFile`] is an open file there. It implements
//! [`BackingFile`](crate::file::BackingFile) as [`std::fs::File`] does, so a device cannot tell
//! them apart. [`SimDisk`] is the harness's side: it plans the faults of each operation, reports
//! what they did, and lets the power fail. The bytes lie in a [`Medium`], memory or real files.
//!
//! The disk also keeps the facts that a device is judged by. Each raw call that fails is a
//! [`Cause`]: who made it, a request or a task, on which bytes, with which errno, and whether it
//! was a sync. What a request answered is compared with the causes of its time.
//!
//! # Semantics
//!
//! * A write is visible at once, and *unsynced* until a sync that began after it has returned `Ok`.
//!   Growth of the file is an unsynced change of its own.
//! * A [crash](SimDisk::crash) leaves every unsynced sector, each on its own, as its durable
//!   content or as any content that it had since: [`CrashPolicy`] says which. No sector is left as
//!   a mixture.
//! * A [kill](CrashPolicy::Kill) ends the process alone. What was unsynced stays visible and
//!   unsynced.
//! * A [fault](Fault) is pinned to a raw call of one operation, so that it stays where it is when
//!   other operations are taken away.
//! * A short write may stop inside a sector, which is then visible torn. Such a sector is not
//!   written to the medium, by a sync or a crash, while the operation is still under way: the
//!   kernel's page cache would have to write it back in just that moment. Once the operation has
//!   ended, it counts as an unsynced change like any other.
//! * Every raw call is a scheduling point before it takes effect, a sync also in its middle.
//!
#![doc = include_str!("faults.md")]
#![doc = include_str!("kernel.md")]

mod calls;
mod crash;
mod direct;
mod directory;
mod fault;
mod inode;
mod lies;
mod medium;
mod operations;
mod state;
mod undo;
mod watch;
mod world;

#[cfg(test)]
mod tests;

pub use crash::CrashPolicy;
pub use direct::Misaligned;
pub use fault::{Call, Dirty, Fault, FaultClass, FaultKind};
pub use medium::Medium;
pub use operations::{CallReport, Caller, Cause, Ending, FailedSync, Rules};
pub use state::{CrashReport, RawCall};
pub use watch::SectorState;
pub use world::{DISK, SimFile, World};

use crate::device::BufferAllocator;
use crate::exec::{Runtime, Schedule};
use directory::Names;
use state::State;
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a raw call answers, and the cause that this is for requests to fail.
type Answer<T> = (io::Result<T>, Option<Cause>);

/// What the disk, the world and the files on it share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Apart from the state, so that a trace can name what is about.
    names: Arc<Mutex<Names>>,
    /// Whose future is being polled: a packed [`Caller`].
    current: AtomicU64,
    /// Raw calls were made since the journal was drained.
    called: AtomicBool,
    /// How often the power has failed: a handle from before reaches nothing.
    boot: AtomicU32,
    /// Raw calls that were made and have not answered.
    under_way: AtomicU32,
    /// The names of the tasks that were ever spawned; the first has number 1.
    tasks: Mutex<Vec<Arc<str>>>,
}

impl Shared {
    /// Has a raw call take effect, which is recorded in the journal.
    fn effect<T>(&self, state: &mut State, work: impl FnOnce(&mut State) -> T) -> T {
        self.called.store(true, Ordering::Relaxed);
        work(state)
    }

    /// A panic of the device leaves nothing half done here: raw calls do not call back.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caller(&self) -> Caller {
        Caller::unpack(self.current.load(Ordering::Relaxed))
    }

    /// From now on raw calls are made by `caller`. Gives who made them before.
    fn enter(&self, caller: Caller) -> Caller {
        // No swap: there is one thread, and a locked instruction for every poll adds up.
        let before = self.caller();
        self.current.store(caller.pack(), Ordering::Relaxed);
        before
    }

    /// A new task; gives its number.
    fn add_task(&self, name: Arc<str>) -> u32 {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(name);
        u32::try_from(tasks.len()).expect("fewer than 2^32 tasks are spawned")
    }
}

/// Bytes that a sector may have.
const SECTOR_SIZES: RangeInclusive<u32> = 16..=65536;

/// A simulated disk, for the harness.
///
/// # Example
///
/// A write that was not synced, and a power failure:
///
/// ```
/// use blocktwin::disk::{CrashPolicy, Medium, SimDisk};
/// use blocktwin::exec::block_on;
/// use blocktwin::file::BackingFile;
///
/// let disk = SimDisk::new(Medium::Memory);
/// disk.reset(512, 4096, 4096)?;
/// block_on(disk.file().write_at(&[7; 1024], 0))?;
/// block_on(disk.file().sync_data())?;
/// block_on(disk.file().write_at(&[8; 1024], 512))?;
/// disk.crash(CrashPolicy::None);
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
    /// A disk without files, on `medium`.
    pub fn new(medium: Medium) -> Self {
        let names = Arc::default();
        let shared = Shared {
            state: Mutex::new(State::new(medium, Arc::clone(&names))),
            names,
            current: AtomicU64::new(0),
            called: AtomicBool::new(false),
            boot: AtomicU32::new(0),
            under_way: AtomicU32::new(0),
            tasks: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins anew without files. `sector_size` is in bytes.
    ///
    /// # Panics
    ///
    /// If `sector_size` is no power of two from 16 to 65536.
    pub fn format(&self, sector_size: u32, rules: Rules) {
        assert!(
            sector_size.is_power_of_two() && SECTOR_SIZES.contains(&sector_size),
            "a disk with sectors of {sector_size} bytes: a power of two from 16 to 65536 is needed"
        );
        self.power_off();
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.state.clear_poison();
        let mut state = self.shared.lock();
        state.format(sector_size, rules);
        assert_eq!(state.name_id(DISK), world::DISK_NAME, "it is the first name of every run");
    }

    /// Begins anew with one file, [`DISK`], of `length` zeros, in bytes, all of them durable.
    /// `limit` is where the device's part of the file ends, in bytes; [`CallReport::escaped`] tells
    /// of more.
    ///
    /// # Errors
    ///
    /// Where the medium refuses the length.
    ///
    /// # Panics
    ///
    /// As [`format`](Self::format).
    pub fn reset(&self, sector_size: u32, length: u64, limit: u64) -> io::Result<()> {
        self.format(sector_size, Rules { limit, ..Rules::default() });
        let mut state = self.shared.lock();
        state.open(Caller::default(), DISK, true).0?;
        state.set_len(Caller::default(), 0, length).0?;
        let failed = state.take_medium_error();
        state.settle();
        failed.map_or(Ok(()), Err)
    }

    /// Makes everything that was done so far durable, and forgets that it was done: how a device
    /// finds the world when it is first opened.
    pub fn settle(&self) {
        self.shared.lock().settle();
    }

    /// Puts `bytes` at `offset` of the first file, if it has one: what was there before anybody
    /// opened it. That is nobody's raw call. [Settle](Self::settle) the disk after it.
    pub fn put(&self, offset: u64, bytes: &[u8]) {
        self.shared.lock().put(offset, bytes);
    }

    /// The world of this disk as a device finds it from now until the power fails, with the tasks
    /// and the clock of `runtime`.
    pub fn world<S: Schedule>(&self, runtime: &Runtime<S>, heap: BufferAllocator) -> World {
        let shared = Arc::clone(&self.shared);
        World::new(shared, runtime.spawner(), runtime.clock(), heap)
    }

    /// The first file that was made, open.
    ///
    /// # Panics
    ///
    /// If none was made since the last [`format`](Self::format).
    pub fn file(&self) -> SimFile {
        let is_made = !self.shared.lock().files.is_empty();
        assert!(is_made, "the disk has no file: make one with SimDisk::reset or World::create");
        SimFile::first(&self.shared)
    }

    /// The operation `op` is about to make raw calls, which meet `faults`. 0 stands for the harness
    /// itself, which may also make calls without this.
    ///
    /// # Panics
    ///
    /// If `op` has begun and not [ended](Self::end), or meets more than 32 faults.
    pub fn begin(&self, op: u32, faults: &[Fault]) {
        self.shared.lock().operations.begin(op, faults);
    }

    /// From now on raw calls are made by `op`, or by no operation where 0. Gives who did before.
    /// [`attribute`](Self::attribute) does this for a whole future. A raw call in the name of an
    /// operation that has not [begun](Self::begin), or has ended, panics.
    pub fn enter(&self, op: u32) -> u32 {
        self.shared.enter(Caller::request(op)).op
    }

    /// The future `future`, whose raw calls are those of the operation `op`, whoever else runs in
    /// between. So a harness of one's own tells whose raw call met which fault:
    ///
    /// ```
    /// use blocktwin::disk::{Fault, FaultKind, Medium, SimDisk};
    /// use blocktwin::exec::block_on;
    /// use blocktwin::file::BackingFile;
    ///
    /// let disk = SimDisk::new(Medium::Memory);
    /// disk.reset(512, 4096, 4096)?;
    /// disk.begin(1, &[Fault { call: 0, kind: FaultKind::Eio }]);
    /// let file = disk.file();
    /// let written = block_on(disk.attribute(1, file.write_at(&[7; 512], 0)));
    /// assert!(written.is_err());
    /// assert_eq!(disk.end(1, false).met.len(), 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn attribute<T>(
        &self,
        op: u32,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = T> {
        self.shared.attribute(Caller::request(op), future)
    }

    /// `op` makes no more raw calls: reports what they met. `given_up` where the operation had no
    /// chance to go on, as its future was dropped.
    ///
    /// # Panics
    ///
    /// If `op` has not [begun](Self::begin), has ended already, or was ended by a
    /// [crash](Self::crash), a [`settle`](Self::settle) or a [`format`](Self::format).
    pub fn end(&self, op: u32, given_up: bool) -> CallReport {
        let mut report = Box::default();
        let ending = if given_up { Ending::Dropped } else { Ending::Ok };
        self.shared.lock().end(op, ending, &mut report);
        *report
    }

    /// The power fails and comes back, or the process dies. Operations under way are no more and
    /// must not be [ended](Self::end); tasks are for the runtime to [kill](Runtime::kill_tasks),
    /// before this.
    pub fn crash(&self, policy: CrashPolicy) -> CrashReport {
        self.power_off();
        self.shared.lock().crash(policy)
    }

    fn power_off(&self) {
        self.shared.current.store(0, Ordering::Relaxed);
        self.shared.under_way.store(0, Ordering::Relaxed);
        let boot = self.shared.boot.load(Ordering::Relaxed);
        let next = boot.checked_add(1).expect("the power fails fewer than 2^32 times");
        self.shared.boot.store(next, Ordering::Relaxed);
    }

    /// The device has answered a close: from now on raw calls are out of place, until it is
    /// [opened again](Self::reopened).
    pub fn closed(&self) {
        self.shared.lock().closed = true;
    }

    /// A close is under way, perhaps after another that has failed: until it has answered too, the
    /// device may make raw calls.
    pub fn closing(&self) {
        self.shared.lock().closed = false;
    }

    /// The device was closed and dropped, and will be opened again; the machine runs on.
    pub fn reopened(&self) {
        self.shared.lock().reopened();
    }

    /// While set, raw calls meet no fault that was planned for them.
    pub fn calm(&self, on: bool) {
        self.shared.lock().operations.calm = on;
    }

    /// The first raw call that took effect although the device was [closed](Self::closed) and
    /// not opened again.
    pub fn stray_call(&self) -> Option<RawCall> {
        self.shared.lock().stray
    }

    /// How many such calls there were since the last [`format`](Self::format).
    pub fn stray_calls(&self) -> u64 {
        self.shared.lock().strays
    }

    /// How many raw calls were made since the last [`settle`](Self::settle).
    pub fn calls(&self) -> u64 {
        self.shared.lock().calls
    }

    /// How many tasks were spawned since the last [`format`](Self::format).
    pub fn tasks(&self) -> u64 {
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// How many raw calls were made and have not answered.
    pub fn calls_under_way(&self) -> u32 {
        self.shared.under_way.load(Ordering::Relaxed)
    }

    /// Whether code of the disk's has panicked since the last [`format`](Self::format): a raw call,
    /// say, which only the device can make.
    pub(crate) fn has_panicked(&self) -> bool {
        self.shared.state.is_poisoned()
    }

    /// Whether a sector of the first file cannot be trusted to hold what was written to it last:
    /// silently wrong, or beyond reading.
    pub fn is_damaged(&self, sector: u64) -> bool {
        let state = self.shared.lock();
        let file = state.files.first();
        file.is_some_and(|it| it.corrupted.contains(&sector) || it.latent.contains(&sector))
    }

    /// Whether any sector of any file is silently wrong, or beyond reading.
    pub fn is_harmed(&self) -> bool {
        let state = self.shared.lock();
        state.files.iter().any(|file| !file.corrupted.is_empty() || !file.latent.is_empty())
    }

    /// The name of this number, of a file.
    ///
    /// # Panics
    ///
    /// If no file was ever called so since the last [`format`](Self::format).
    pub fn name(&self, name: u32) -> Arc<str> {
        self.shared.names.lock().unwrap_or_else(PoisonError::into_inner).name(name)
    }

    /// The name of this number, of a task; they are counted from 1.
    ///
    /// # Panics
    ///
    /// If no such task was spawned since the last [`format`](Self::format).
    pub fn task(&self, task: u32) -> Arc<str> {
        let tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (task as usize).checked_sub(1).and_then(|at| tasks.get(at)).cloned();
        name.unwrap_or_else(|| panic!("no task has the number {task}; they count from 1"))
    }

    /// From now on until the next [`reset`](Self::reset), records what raw calls and crashes leave
    /// in the sectors of the first file, or does not. That costs a copy of every sector that
    /// changes.
    pub fn watch(&self, on: bool) {
        self.shared.lock().watch(on);
    }

    /// Hands over the raw calls made since the last time, in order; each with the sectors that it
    /// has changed, where they are [watched](Self::watch).
    pub fn drain_journal(&self, mut each: impl FnMut(&RawCall, &[SectorState])) {
        // Most often nothing is new, and a load is all that it costs.
        if !self.shared.called.load(Ordering::Relaxed) {
            return;
        }
        self.shared.called.store(false, Ordering::Relaxed);
        self.shared.lock().drain(&mut each);
    }

    /// [`end`](Self::end) and [`drain_journal`](Self::drain_journal) in one, in the memory of an
    /// earlier report.
    ///
    /// # Panics
    ///
    /// As [`end`](Self::end).
    pub fn end_noting(
        &self,
        op: u32,
        ending: Ending,
        report: &mut Box<CallReport>,
        mut each: impl FnMut(&RawCall, &[SectorState]),
    ) {
        self.shared.called.store(false, Ordering::Relaxed);
        let mut state = self.shared.lock();
        state.end(op, ending, report);
        state.drain(&mut each);
    }

    /// What tasks have met since the last time; nothing without tasks.
    pub fn take_task_faults(&self) -> Vec<FaultKind> {
        std::mem::take(&mut self.shared.lock().operations.met_by_tasks)
    }

    /// The syncs that have failed since the last time, in the order in which they were answered.
    /// Only without [`Rules::own_calls`].
    pub fn take_failed_syncs(&self) -> Vec<FailedSync> {
        std::mem::take(&mut self.shared.lock().operations.failed_syncs)
    }

    /// The sectors of the first file of which reads got something silently wrong since the last
    /// time. Only without [`Rules::own_calls`]; otherwise see [`CallReport::unreliable`].
    pub fn take_unreliable(&self) -> Vec<u64> {
        std::mem::take(&mut self.shared.lock().operations.unreliable)
    }

    /// The sectors that the last crash has changed, where they are [watched](Self::watch) and the
    /// raw calls before it have been handed over.
    pub fn take_crashed(&self) -> Vec<SectorState> {
        self.shared.lock().watch.as_mut().map(|watch| watch.take_rest()).unwrap_or_default()
    }

    /// A failure of the medium itself since the last [`format`](Self::format): the disk is full,
    /// say. It is nobody's fault, and makes whatever the run found worthless.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.shared.lock().take_medium_error()
    }
}
