//! What a device finds when it is opened: files by name, tasks, time, and memory for transfers.

use super::calls::Transferred;
use super::direct::Direct;
use super::directory::{FileId, NameId};
use super::operations::{Caller, Cause};
use super::state::{Descriptor, State};
use super::{Answer, Call, Shared};
use crate::device::BufferAllocator;
use crate::exec::{Clock, JoinHandle, Sleep, Spawner, yield_now};
use crate::file::BackingFile;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The name of the one file of a device that has just one.
pub const DISK: &str = "disk";

/// The number of this name, in every run.
pub(super) const DISK_NAME: NameId = 0;

#[doc = include_str!("world.md")]
#[derive(Clone, Debug)]
pub struct World {
    shared: Arc<Shared>,
    boot: u32,
    spawner: Spawner,
    clock: Clock,
    heap: BufferAllocator,
}

impl World {
    pub(super) fn new(
        shared: Arc<Shared>,
        spawner: Spawner,
        clock: Clock,
        heap: BufferAllocator,
    ) -> Self {
        let boot = shared.boot.load(Ordering::Relaxed);
        Self { shared, boot, spawner, clock, heap }
    }

    fn handle(&self, descriptor: Descriptor) -> SimFile {
        SimFile { shared: Arc::clone(&self.shared), boot: self.boot, descriptor }
    }

    async fn call<T>(
        &self,
        work: impl FnOnce(&mut State, Caller) -> Answer<T> + Send,
    ) -> io::Result<T> {
        self.shared.call(self.boot, work).await
    }

    /// The file [`DISK`], already open, as a launcher hands a device its one file. This is not a
    /// raw call, so no fault is injected.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such file, because a [`create`] of your own did not make it. If the
    /// power has failed since this world was handed out, an error without an errno.
    ///
    /// [`create`]: crate::lockstep::Subject::create
    pub fn disk(&self) -> io::Result<SimFile> {
        self.shared.check_boot(self.boot)?;
        let mut state = self.shared.lock();
        let file = state.directory.get(DISK_NAME).ok_or(rustix::io::Errno::NOENT)?;
        let descriptor = state.descriptor(file);
        drop(state);
        Ok(self.handle(descriptor))
    }

    /// Opens the file `name`.
    ///
    /// # Errors
    ///
    /// As `open(2)`: `ENOENT` if there is no such file, `EIO` if one is injected.
    pub async fn open(&self, name: &str) -> io::Result<SimFile> {
        let opened = self.call(|state, caller| state.open(caller, name, false)).await;
        opened.map(|descriptor| self.handle(descriptor))
    }

    /// Makes an empty file `name`, and opens it. Sync it, or the directory, to keep its name
    /// through a power failure.
    ///
    /// # Errors
    ///
    /// As `open(2)` with `O_CREAT | O_EXCL`: `EEXIST` if there is such a file already, and
    /// `ENOSPC`, `EDQUOT` or `EIO` if one is injected.
    pub async fn create(&self, name: &str) -> io::Result<SimFile> {
        let created = self.call(|state, caller| state.open(caller, name, true)).await;
        created.map(|descriptor| self.handle(descriptor))
    }

    /// Opens the file `name`, and makes an empty one if there is none.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub async fn open_or_create(&self, name: &str) -> io::Result<SimFile> {
        match self.open(name).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(name).await,
            opened => opened,
        }
    }

    /// Gives the file `from` the name `to`, at once and as a whole. A file that had this name loses
    /// it.
    ///
    /// # Errors
    ///
    /// As `rename(2)`: `ENOENT` if there is no `from`, and `ENOSPC`, `EDQUOT` or `EIO` if one is
    /// injected.
    pub async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(|state, caller| state.rename(caller, from, to)).await
    }

    /// Removes the name of a file.
    ///
    /// # Errors
    ///
    /// As `unlink(2)`: `ENOENT` if there is no such file, `EIO` if one is injected.
    pub async fn unlink(&self, name: &str) -> io::Result<()> {
        self.call(|state, caller| state.unlink(caller, name)).await
    }

    /// Makes every change of the directory durable that had returned before this call.
    ///
    /// # Errors
    ///
    /// As `fsync(2)`: `EINTR`, after which it may be called again, and `EIO`. After `EIO` a second
    /// call may return `Ok` without effect; see [`BackingFile::sync_all`].
    pub async fn sync_directory(&self) -> io::Result<()> {
        self.shared.sync(self.boot, None).await
    }

    /// The names of all files, in ascending order.
    ///
    /// # Errors
    ///
    /// As `readdir(3)`: `EIO` if it is injected.
    pub async fn list(&self) -> io::Result<Vec<String>> {
        self.call(State::list).await
    }

    /// Starts a task. It lives until it ends, until it is [aborted](JoinHandle::abort), or until
    /// the power fails. If you drop the handle, the task goes on by itself, even after the device
    /// was closed and dropped. Use this instead of threads and other runtimes' `spawn`, which do
    /// not run in the simulation.
    ///
    /// To stop a task and be sure that it makes no more raw calls, abort it and await its handle.
    /// Raw calls of the task meet faults, and if one fails, a request that is in flight may return
    /// its error. If a sync of the task fails, the next flush, `fua` write, barrier or close has to
    /// tell of it.
    ///
    /// If the power has failed since this world was handed out, nothing is started: the future is
    /// dropped, and the handle gives [`Aborted`](crate::exec::Aborted).
    ///
    /// Traces and reports show the name.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<Arc<str>>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        if !self.shared.is_current(self.boot) {
            return Spawner::refuse(future);
        }
        let name = name.into();
        let task = self.shared.add_task(Arc::clone(&name));
        let shared = Arc::clone(&self.shared);
        self.spawner.spawn(name, async move {
            let caller = Caller::task(task);
            shared.attribute(caller, future).await
        })
    }

    /// Waits for this many ticks of the virtual clock. Each step of a task takes one tick, so a raw
    /// call takes one or a few, and a whole scenario some hundreds. A device that in production
    /// does something every second should do it every ten ticks or so here. Use this instead of
    /// another runtime's timer.
    pub fn sleep(&self, ticks: u64) -> Sleep {
        self.clock.sleep(ticks)
    }

    /// Waits until the virtual clock shows `tick`.
    pub fn sleep_until(&self, tick: u64) -> Sleep {
        self.clock.sleep_until(tick)
    }

    /// What the virtual clock shows, in ticks.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// A raw call in which the disk's own code panics.
    #[cfg(test)]
    pub(crate) async fn broken_call(&self) -> io::Result<()> {
        self.call(|_, _| panic!("something is believed that is not so")).await
    }

    /// The heap that [`Device::allocate_buffer`](crate::device::Device::allocate_buffer) has to
    /// take transfer buffers from. It has as many bytes as the scenario asks for, rounded up to
    /// whole blocks.
    pub fn heap(&self) -> BufferAllocator {
        self.heap.clone()
    }
}

/// An open file of a [`World`]. Use it through [`BackingFile`], as you would use
/// [`std::fs::File`].
///
/// It works like a file descriptor: it keeps working if the file is renamed or its name is removed.
/// After a power failure or a kill every call on it returns an error. Clones are the same open
/// file. If writing back fails, the next sync of each open file says so, once.
#[derive(Clone, Debug)]
pub struct SimFile {
    shared: Arc<Shared>,
    boot: u32,
    descriptor: Descriptor,
}

impl SimFile {
    pub(super) fn first(shared: &Arc<Shared>) -> Self {
        let boot = shared.boot.load(Ordering::Relaxed);
        let descriptor = shared.lock().descriptor(0);
        Self { shared: Arc::clone(shared), boot, descriptor }
    }

    fn call<T: Send>(
        &self,
        work: impl FnOnce(&mut State, Caller, FileId) -> Answer<T> + Send,
    ) -> impl Future<Output = io::Result<T>> + Send {
        let file = self.descriptor.file;
        self.shared.call(self.boot, move |state, caller| work(state, caller, file))
    }

    /// This open file with `O_DIRECT`, as `fcntl(2)` sets it; clones that were made before stay
    /// buffered. Transfers have to be aligned to the sector of the disk. This is not a raw call.
    ///
    /// A read or write whose offset or length is not a multiple of the alignment fails with
    /// `EINVAL`, without effect. No failure of the disk explains that, so a request that answers it
    /// has a *spurious error*. See [direct I/O](World#direct-io) for what else changes.
    ///
    /// ```
    /// use blocktwin::disk::{Medium, SimDisk};
    /// use blocktwin::exec::block_on;
    /// use blocktwin::file::BackingFile;
    ///
    /// let disk = SimDisk::new(Medium::Memory);
    /// disk.reset(512, 4096, 4096)?;
    /// let file = disk.file().direct();
    /// assert_eq!(block_on(file.write_at(&[7; 512], 1024))?, 512);
    /// let refused = block_on(file.write_at(&[7; 100], 1024)).unwrap_err();
    /// assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn direct(self) -> Self {
        let sector_size = self.shared.lock().sector_size;
        self.direct_aligned(sector_size as u64)
    }

    /// As [`direct`](Self::direct), with an alignment of this many bytes: that of the file, which
    /// may be more than a sector of the device. In production `statx(2)` tells it, with
    /// `STATX_DIOALIGN` since Linux 6.1, as `stx_dio_offset_align`.
    ///
    /// # Panics
    ///
    /// If `alignment` is no power of two.
    #[must_use]
    pub fn direct_aligned(mut self, alignment: u64) -> Self {
        self.descriptor.direct = Some(Direct::new(alignment));
        self
    }

    /// What offsets and lengths of transfers have to be multiples of, in bytes, as `statx(2)` with
    /// `STATX_DIOALIGN` would tell; `None` if the file is not open for [direct](Self::direct) I/O.
    pub fn direct_alignment(&self) -> Option<u64> {
        self.descriptor.direct.map(Direct::alignment)
    }

    async fn clear(&self, call: Call, offset: u64, length: u64) -> io::Result<()> {
        self.call(|state, caller, file| state.clear((caller, call), file, offset, length)).await
    }
}

/// A call on several pieces of memory is one call, with one count, on all that they hold.
impl BackingFile for SimFile {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let of = self.descriptor;
        let read = self.call(|state, caller, _| state.read(caller, of, buffer, offset));
        let Transferred { count, torn_at } = read.await?;
        if let Some(at) = torn_at {
            let rest = &mut buffer[at..count];
            self.shared
                .read_rest(self.boot, self.descriptor.file, rest, offset + at as u64)
                .await?;
        }
        Ok(count)
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let of = self.descriptor;
        self.call(|state, caller, _| state.write(caller, of, buffer, offset)).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.shared.sync(self.boot, Some(self.descriptor)).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.shared.sync(self.boot, Some(self.descriptor)).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.call(State::len).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.call(|state, caller, file| state.set_len(caller, file, length)).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.clear(Call::Punch, offset, length).await
    }

    async fn zero_range(&self, offset: u64, length: u64) -> io::Result<()> {
        self.clear(Call::Zero, offset, length).await
    }

    fn alignment(&self) -> impl Future<Output = io::Result<u32>> + Send {
        let alignment = self.direct_alignment().unwrap_or(1);
        ready(Ok(u32::try_from(alignment).unwrap_or(u32::MAX)))
    }
}

/// The raw call of whoever has outlived the power under which it opened its file or was handed its
/// world.
#[cold]
fn outlived() -> io::Error {
    io::Error::other("this file or world is from before the power failed")
}

impl Shared {
    /// What the raw calls made by `future` are made by.
    pub(super) async fn attribute<T>(&self, caller: Caller, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            let before = self.enter(caller);
            let polled = future.as_mut().poll(context);
            self.enter(before);
            polled
        })
        .await
    }

    /// A raw call: waits for the executor to choose it, and then has the files to itself.
    async fn call<T>(
        &self,
        boot: u32,
        work: impl FnOnce(&mut State, Caller) -> Answer<T> + Send,
    ) -> io::Result<T> {
        let _under_way = UnderWay::new(self, boot);
        yield_now().await;
        self.check_boot(boot)?;
        let caller = self.caller();
        let (before, after) = {
            let mut state = self.lock();
            match state.delays(caller) {
                (0, 0) => {
                    let (result, cause) = self.effect(&mut state, |state| work(state, caller));
                    if let Some(cause) = cause {
                        state.note_cause(&cause);
                    }
                    return result;
                }
                delays => delays,
            }
        };
        self.wait(boot, caller, before).await?;
        let (result, cause) = self.effect(&mut self.lock(), |state| work(state, caller));
        // Told when the call answers, or when nobody is there to hear it any more.
        let _told = cause.map(|cause| Told { shared: self, boot, cause });
        self.wait(boot, caller, after).await?;
        result
    }

    /// Lets others go ahead for so many steps. Fails if the power does meanwhile.
    async fn wait(&self, boot: u32, caller: Caller, steps: u32) -> io::Result<()> {
        if steps == 0 {
            return Ok(());
        }
        let before = self.lock().calls;
        for _ in 0..steps {
            yield_now().await;
        }
        // The operation of this number is another one by now.
        self.check_boot(boot)?;
        let mut state = self.lock();
        let overtaken = state.calls > before;
        state.delayed(caller, overtaken);
        Ok(())
    }

    async fn read_rest(
        &self,
        boot: u32,
        file: FileId,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<()> {
        let _under_way = UnderWay::new(self, boot);
        yield_now().await;
        self.check_boot(boot)?;
        self.lock().read_rest(self.caller(), file, buffer, offset);
        Ok(())
    }

    async fn sync(&self, boot: u32, of: Option<Descriptor>) -> io::Result<()> {
        let _under_way = UnderWay::new(self, boot);
        yield_now().await;
        self.check_boot(boot)?;
        let caller = self.caller();
        let (before, after) = self.lock().delays(caller);
        self.wait(boot, caller, before).await?;
        let file = of.map(|it| it.file);
        let begun = self.effect(&mut self.lock(), |state| state.begin_sync(caller, file));
        let syncing = begun?;
        yield_now().await;
        self.check_boot(boot)?;
        // Another request may have taken over a sync whose own request was dropped.
        let caller = self.caller();
        let (result, cause) =
            self.effect(&mut self.lock(), |state| state.end_sync(caller, of, &syncing));
        let _told = cause.map(|cause| Told { shared: self, boot, cause });
        self.wait(boot, caller, after).await?;
        result
    }

    fn check_boot(&self, boot: u32) -> io::Result<()> {
        if self.is_current(boot) { Ok(()) } else { Err(outlived()) }
    }

    /// Whether the power has not failed since this boot.
    fn is_current(&self, boot: u32) -> bool {
        self.boot.load(Ordering::Relaxed) == boot
    }
}

/// Tells of a failed call when it is dropped.
struct Told<'a> {
    shared: &'a Shared,
    boot: u32,
    cause: Cause,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        // What failed before the power did explains nothing that comes after.
        if self.shared.is_current(self.boot) {
            self.shared.lock().note_cause(&self.cause);
        }
    }
}

/// A raw call is under way for as long as this lives and the power does not fail.
struct UnderWay<'a> {
    shared: &'a Shared,
    boot: u32,
}

impl<'a> UnderWay<'a> {
    fn new(shared: &'a Shared, boot: u32) -> Self {
        if shared.is_current(boot) {
            // One thread runs, and a locked instruction for every call adds up.
            let calls = shared.under_way.load(Ordering::Relaxed);
            shared.under_way.store(calls + 1, Ordering::Relaxed);
        }
        Self { shared, boot }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // A power failure has ended those from before it, and counts anew.
        if self.shared.is_current(self.boot) {
            let calls = self.shared.under_way.load(Ordering::Relaxed);
            // To panic in a panic would end the process.
            assert!(calls > 0 || std::thread::panicking(), "a call ends that has not begun");
            self.shared.under_way.store(calls.saturating_sub(1), Ordering::Relaxed);
        }
    }
}
