//! The ring itself, which the kernel shares.
//!
//! # Who owns what
//!
//! Any thread may submit, and any thread may look at the completions, each under a lock of its own.
//! So the ring is not set up for a single issuer, nor with deferred task work, which only that one
//! may run. Nor are interrupts saved by cooperative task work: what one thread has submitted,
//! another may wait for, while the first one computes.
//!
//! The kernel works on memory that lies in a slot, from the moment when its entry is pushed to that
//! when its completion is seen. In between the slot lends it to nobody and is not freed, whatever
//! becomes of the future. The thread of the ring ends once the kernel has nothing any more.
//!
//! # Who looks
//!
//! A future whose call may be over looks for itself, as it is with what is in the page cache. The
//! thread of the ring looks for those that wait; while there is none it sleeps.
#![expect(unsafe_code, reason = "a queue shared with the kernel; argued at every block")]

use super::slab::{Memory, PIECE, Slab};
use super::slots::{Leftovers, Operation, Slots};
use crate::file::memory::Block;
use crate::file::orphans::Orphans;
use io_uring::types::{Fixed, FsyncFlags, SubmitArgs};
use io_uring::{IoUring, Probe, opcode};
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// The size of the submission queue. That of completions is twice as large, and so never full.
const ENTRIES: u32 = 256;

/// How many operations there may be: with the one that ends the ring, they fit the queue.
const SLOTS: u32 = ENTRIES - 1;

/// The longest that a completion waits for others, in microseconds.
const MOMENT: u32 = 100;

/// Marks the completion that only wakes the thread.
const NO_SLOT: u64 = u64::MAX;

/// The registered file.
const FILE: Fixed = Fixed(0);

impl Operation {
    pub(super) fn read(mut memory: Memory, offset: u64) -> Self {
        let (length, index) = (length(&memory), memory.index());
        let first = memory.as_mut_slice().as_mut_ptr();
        let entry = match index {
            Some(index) => {
                opcode::ReadFixed::new(FILE, first, length, index).offset(offset).build()
            }
            None => opcode::Read::new(FILE, first, length).offset(offset).build(),
        };
        Self { entry, memory }
    }

    pub(super) fn write(memory: Memory, offset: u64) -> Self {
        let (length, first) = (length(&memory), memory.as_slice().as_ptr());
        let entry = match memory.index() {
            Some(index) => {
                opcode::WriteFixed::new(FILE, first, length, index).offset(offset).build()
            }
            None => opcode::Write::new(FILE, first, length).offset(offset).build(),
        };
        Self { entry, memory }
    }

    pub(super) fn sync(flags: FsyncFlags) -> Self {
        let entry = opcode::Fsync::new(FILE).flags(flags).build();
        Self { entry, memory: Memory::Block(Block::new(0)) }
    }

    pub(super) fn fallocate(mode: i32, offset: u64, length: u64) -> Self {
        let entry = opcode::Fallocate::new(FILE, length).offset(offset).mode(mode).build();
        Self { entry, memory: Memory::Block(Block::new(0)) }
    }
}

fn length(memory: &Memory) -> u32 {
    let Ok(length) = u32::try_from(memory.as_slice().len()) else {
        unreachable!("a transfer has less than 2 GiB")
    };
    length
}

/// What the lock guards.
pub(super) struct State {
    pub(super) slots: Slots,
    /// The thread sleeps, as nobody waits.
    sleeps: bool,
    /// The file was dropped.
    ends: bool,
}

/// A ring, with one file.
pub(super) struct Ring {
    uring: IoUring,
    /// Also guards the submission queue.
    state: Mutex<State>,
    /// Guards the completion queue. Taken before the state.
    reaping: Mutex<()>,
    /// Notified where the thread sleeps, and somebody waits.
    watched: Condvar,
    /// `None` where nothing could be registered.
    pub(super) slab: Option<Arc<Slab>>,
    pub(super) orphans: Orphans,
    pub(super) file: File,
}

impl Ring {
    /// # Errors
    ///
    /// Where the kernel has no ring, or one that lacks a call.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let uring = IoUring::new(ENTRIES)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let codes = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fallocate::CODE];
        if !codes.into_iter().all(|code| probe.is_supported(code)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        uring.submitter().register_files(&[file.as_raw_fd()])?;
        let slab = register(&uring).map(Arc::new);
        let state = State { slots: Slots::new(SLOTS), sleeps: false, ends: false };
        Ok(Self {
            uring,
            state: Mutex::new(state),
            reaping: Mutex::default(),
            watched: Condvar::new(),
            slab,
            orphans: Orphans::default(),
            file,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is queued into the submission queue. Whether something is in there.
    pub(super) fn push_queued(&self, state: &mut State) -> bool {
        // SAFETY: this is the only place, with `push_nothing` and `is_unsubmitted`, that looks at
        // the submission queue, and all of them have the state in hand, which is behind its lock.
        let mut queue = unsafe { self.uring.submission_shared() };
        // SAFETY: the entry was made with the memory that lies in the slot beside it, or has none.
        // The slot keeps it, unless it is leaked, until the kernel has answered.
        state.slots.push_queued(|entry| unsafe { queue.push(entry) }.is_ok());
        !queue.is_empty()
    }

    /// Puts an operation that does nothing into the submission queue.
    fn push_nothing(&self, _state: &mut State) {
        // SAFETY: as in `push_queued`.
        let mut queue = unsafe { self.uring.submission_shared() };
        let entry = opcode::Nop::new().build().user_data(NO_SLOT);
        // SAFETY: it has no memory. There is room, as the slots leave one place.
        let _ = unsafe { queue.push(&entry) };
    }

    /// Whether the kernel has yet to take something from the submission queue.
    pub(super) fn is_unsubmitted(&self, _state: &mut State) -> bool {
        // SAFETY: as in `push_queued`.
        !unsafe { self.uring.submission_shared() }.is_empty()
    }

    /// Has the kernel take what is in the submission queue: usually all.
    pub(super) fn submit(&self) {
        // The kernel takes nothing where it is short of memory. Whoever waits for what is then left
        // in the queue sees that, and submits it again.
        let _ = self.uring.submit();
    }

    /// Submits until the kernel has taken all: where nobody is left to do it later.
    pub(super) fn submit_all(&self) {
        while self.is_unsubmitted(&mut self.state()) {
            if self.uring.submit().is_err() {
                std::thread::yield_now();
            }
        }
    }

    /// Looks at the completions, unless somebody does that already.
    pub(super) fn try_reap(&self) {
        match self.reaping.try_lock() {
            Ok(turn) => self.reap(turn),
            Err(TryLockError::Poisoned(turn)) => self.reap(turn.into_inner()),
            // It may have looked too early. Then the thread looks again, as somebody waits.
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Looks at the completions, and wakes those who wait for them.
    fn reap(&self, turn: MutexGuard<'_, ()>) {
        let mut leftovers = Leftovers::default();
        // SAFETY: this is the only place that looks at the completion queue, and it has the turn.
        let mut queue = unsafe { self.uring.completion_shared() };
        if !queue.is_empty() {
            let mut state = self.state();
            for entry in &mut queue {
                if let Ok(index) = u32::try_from(entry.user_data()) {
                    state.slots.complete(index, entry.result(), &mut leftovers);
                }
            }
        }
        drop(queue);
        drop(turn);
        let Leftovers { wakers, orphans, .. } = leftovers;
        for number in orphans {
            calmly(|| self.orphans.ended(number));
        }
        for waker in wakers {
            calmly(|| waker.wake());
        }
    }

    /// Wakes the thread, if it sleeps, as somebody waits from now on.
    pub(super) fn notify(&self, state: &mut State) {
        if mem::take(&mut state.sleeps) {
            self.watched.notify_one();
        }
    }

    /// What the thread does, until the file was dropped and the kernel has nothing any more.
    pub(super) fn run(&self) {
        while self.sleep() {
            if self.wait().is_err_and(|error| is_short(&error)) {
                #[expect(clippy::disallowed_methods, reason = "a real ring, never simulated")]
                std::thread::sleep(Duration::from_millis(1));
            }
            self.reap(self.reaping.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits for a completion, and a moment for others: half of those under way. Where the kernel
    /// hands operations to threads of its own, they end one by one, and a change of thread for each
    /// costs more than the operation. After that moment any completion ends the wait.
    fn wait(&self) -> io::Result<usize> {
        let want = self.state().slots.in_kernel() / 2;
        // One wait does both since Linux 6.12.
        if want > 1 && self.uring.params().is_feature_min_timeout() {
            let moment = SubmitArgs::new().min_wait_usec(MOMENT);
            match self.uring.submitter().submit_with_args(want, &moment) {
                // Nothing has come in that moment.
                Err(error) if error.raw_os_error() == Some(libc::ETIME) => {}
                done => return done,
            }
        }
        self.uring.submit_and_wait(1)
    }

    /// Sleeps until somebody waits; `false` where the thread is to end.
    fn sleep(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.ends && state.slots.in_kernel() == 0 {
                return false;
            }
            if state.ends || state.slots.is_watched() {
                return true;
            }
            state.sleeps = true;
            state = self.watched.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeps = false;
        }
    }

    /// Has the thread end once the kernel has nothing any more.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ends = true;
        // It may wait for completions that others have seen before it.
        self.push_nothing(&mut state);
        self.notify(&mut state);
        drop(state);
        self.submit_all();
    }
}

/// Wakes somebody. A waker that panics is no reason for the others to sleep on.
fn calmly(wake: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(wake));
}

/// Whether the kernel is short of something, so that a thread had better try again later.
fn is_short(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::Interrupted
}

/// Registers memory with the ring; `None` where the user may not lock as much.
fn register(uring: &IoUring) -> Option<Slab> {
    let slab = Slab::new();
    let vector = |first: std::ptr::NonNull<u8>| libc::iovec {
        iov_base: first.as_ptr().cast(),
        iov_len: PIECE,
    };
    let vectors: Vec<_> = slab.pieces().map(vector).collect();
    // SAFETY: the memory is there until the slab is dropped, and the ring drops it last. The kernel
    // works on it only where an operation says so.
    unsafe { uring.submitter().register_buffers(&vectors) }.ok()?;
    Some(slab)
}

impl Drop for Ring {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.slots.in_kernel() > 0 {
            // The thread has panicked. What the kernel works on is never freed.
            state.slots.forget();
            mem::forget(self.slab.take());
        }
        // Closing the ring would do that later, and the lock on the file would be held until then.
        let _ = self.uring.submitter().unregister_files();
        let _ = self.uring.submitter().unregister_buffers();
    }
}
