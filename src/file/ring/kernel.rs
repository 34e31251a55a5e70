//! The ring itself, which the kernel shares, and its thread.
//!
//! # Who owns what
//!
//! One thread has the ring to itself: it submits, it waits, it looks at the completions. So the
//! kernel may do its part of the work in that thread only, and only when it asks for completions
//! (`IORING_SETUP_DEFER_TASKRUN`); otherwise it would interrupt whoever has submitted, for every
//! operation. Everybody else only has to do with the slots, under their lock.
//!
//! The kernel works on memory that lies in a slot, from the moment when its entry is pushed to that
//! when its completion is seen. In between the slot lends it to nobody and is not freed, whatever
//! becomes of the future. The thread ends once the kernel has nothing any more.
//!
//! # Who waits for whom
//!
//! The thread sleeps while the kernel has nothing. Otherwise it waits in the kernel for a
//! completion, or for a [call](Ring::call) by an event. Where it has woken others, it first gives
//! them a moment to come with their next operations: these then go to the kernel together, and
//! meanwhile more completions gather, which the kernel need not tell one by one.
#![expect(unsafe_code, reason = "a queue shared with the kernel; argued at every block")]

use super::slab::{Memory, PIECE, Slab};
use super::slots::{Leftovers, Operation, Slots};
use crate::file::memory::Block;
use crate::file::orphans::Orphans;
use io_uring::types::{Fd, Fixed, FsyncFlags};
use io_uring::{IoUring, Probe, cqueue, opcode};
use rustix::event::{EventfdFlags, eventfd};
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// The size of the submission queue. That of completions is twice as large, and so never full.
const ENTRIES: u32 = 256;

/// How many operations there may be: with the poll for events, they fit the queue.
const SLOTS: u32 = ENTRIES - 1;

/// The longest that completions wait for the next operations of those who were woken before.
const MOMENT: Duration = Duration::from_micros(50);

/// Marks the completions that only say that the thread was called.
const CALLED: u64 = u64::MAX;

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
    thread: Whereabouts,
    /// The thread was called, as what is queued is to be made now.
    is_called: bool,
    /// The file was dropped.
    ends: bool,
}

/// Where the thread is, and so how it is called.
#[derive(Clone, Copy)]
enum Whereabouts {
    /// Before it waits again, it looks whether it was called.
    AtWork,
    Asleep,
    InKernel,
}

/// What a file shares with its thread.
pub(super) struct Ring {
    state: Mutex<State>,
    /// Notified to call the thread where it sleeps.
    called: Condvar,
    /// Signalled to call the thread where it waits in the kernel.
    event: OwnedFd,
    /// `None` where nothing could be registered.
    pub(super) slab: Option<Arc<Slab>>,
    pub(super) orphans: Orphans,
    pub(super) file: File,
}

impl Ring {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread make what is queued.
    pub(super) fn call(&self, mut state: MutexGuard<'_, State>) {
        state.is_called = true;
        let thread = mem::replace(&mut state.thread, Whereabouts::AtWork);
        drop(state);
        match thread {
            Whereabouts::AtWork => {}
            Whereabouts::Asleep => self.called.notify_one(),
            Whereabouts::InKernel => {
                // It fails only where 2^64 signals were not taken.
                let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
            }
        }
    }

    /// Has the thread end once the kernel has nothing any more.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ends = true;
        self.call(state);
    }

    /// Wakes those whose operations have ended. Whether there were any.
    ///
    /// Whoever is woken may get this processor at once. So that it does not fall asleep again after
    /// each one, with a change of thread for the next, it takes the others along where it
    /// [has its answer](Slots::all_to_wake).
    fn wake_one_by_one(&self) -> bool {
        let mut any = false;
        while let Some(waker) = self.next_to_wake() {
            any = true;
            calmly(|| waker.wake());
        }
        any
    }

    /// A function, so that the lock is released on return.
    fn next_to_wake(&self) -> Option<Waker> {
        self.state().slots.next_to_wake()
    }

    /// Sleeps until the thread is called. While the kernel has something, it does so for a moment
    /// only, and only if somebody was woken and more than one operation is left.
    fn wait_for_call(&self, has_woken: bool) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while !state.is_called && !state.ends {
            let left = state.slots.in_kernel();
            if left == 1 || left > 1 && !has_woken {
                break;
            }
            state.thread = Whereabouts::Asleep;
            if left == 0 {
                state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.called.wait_timeout(state, MOMENT);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() {
                break;
            }
        }
        state
    }
}

/// The ring, in the hands of its thread.
pub(super) struct Worker {
    uring: IoUring,
    pub(super) ring: Arc<Ring>,
    /// The kernel watches the event.
    watches: bool,
}

impl Worker {
    /// # Errors
    ///
    /// Where the kernel has no ring, or one that lacks a call.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let uring = build()?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let codes = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fallocate::CODE];
        // Nothing else tells whether it can poll for more than one event: both came with 5.13.
        let polls_on = uring.params().is_feature_resource_tagging();
        if !polls_on || !codes.into_iter().all(|code| probe.is_supported(code)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        uring.submitter().register_files(&[file.as_raw_fd()])?;
        let slab = register(&uring).map(Arc::new);
        let state = State {
            slots: Slots::new(SLOTS),
            thread: Whereabouts::AtWork,
            is_called: false,
            ends: false,
        };
        let ring = Ring {
            state: Mutex::new(state),
            called: Condvar::new(),
            event: eventfd(0, EventfdFlags::CLOEXEC)?,
            slab,
            orphans: Orphans::default(),
            file,
        };
        Ok(Self { uring, ring: Arc::new(ring), watches: false })
    }

    /// What the thread does, until the file was dropped and the kernel has nothing any more.
    pub(super) fn run(mut self) {
        let mut has_woken = false;
        // From now on the ring is this thread's. That it is enabled already is no error.
        let _ = self.uring.submitter().register_enable_rings();
        while self.next_batch(has_woken) {
            if self.uring.submit_and_wait(1).is_err_and(|error| is_short(&error)) {
                #[expect(clippy::disallowed_methods, reason = "a real ring, never simulated")]
                std::thread::sleep(Duration::from_millis(1));
            }
            has_woken = self.reap();
        }
    }

    /// Waits for operations, or for the kernel to have some, and puts those that are queued into
    /// the submission queue. `false` where the thread is to end.
    fn next_batch(&mut self, has_woken: bool) -> bool {
        let mut state = self.ring.wait_for_call(has_woken);
        if state.ends && state.slots.in_kernel() == 0 {
            return false;
        }
        let mut queue = self.uring.submission();
        if !self.watches {
            let event = Fd(self.ring.event.as_raw_fd());
            let events = libc::POLLIN as u32;
            let entry = opcode::PollAdd::new(event, events).multi(true).build().user_data(CALLED);
            // SAFETY: it has no memory.
            self.watches = unsafe { queue.push(&entry) }.is_ok();
        }
        // SAFETY: the entry was made with the memory that lies in the slot beside it, or has none.
        // The slot keeps it, unless it is leaked, until the kernel has answered.
        state.slots.push_queued(|entry| unsafe { queue.push(entry) }.is_ok());
        drop(queue);
        state.is_called = state.slots.queued() > 0;
        state.thread = Whereabouts::InKernel;
        true
    }

    /// Looks at the completions, and wakes those who wait for them. Whether there were any.
    fn reap(&mut self) -> bool {
        let mut leftovers = Leftovers::default();
        let mut state = self.ring.state();
        state.thread = Whereabouts::AtWork;
        for entry in self.uring.completion() {
            match u32::try_from(entry.user_data()) {
                Ok(index) => state.slots.complete(index, entry.result(), &mut leftovers),
                Err(_) => self.watches = cqueue::more(entry.flags()),
            }
        }
        // What the kernel has cancelled.
        state.is_called |= leftovers.again;
        drop(state);
        for number in leftovers.orphans.drain(..) {
            calmly(|| self.ring.orphans.ended(number));
        }
        self.ring.wake_one_by_one()
    }
}

/// A ring that belongs to the thread that enables it, where the kernel has that (Linux 6.1).
fn build() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_r_disabled().setup_single_issuer().setup_defer_taskrun();
    builder.build(ENTRIES).or_else(|_| IoUring::new(ENTRIES))
}

/// Wakes somebody. A waker that panics is no reason for the others to sleep on.
pub(super) fn calmly(wake: impl FnOnce()) {
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
    // SAFETY: the memory is there until the slab is dropped, of which the worker owns a share until
    // it has dropped the ring. The kernel works on it only where an operation says so.
    unsafe { uring.submitter().register_buffers(&vectors) }.ok()?;
    Some(slab)
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut state = self.ring.state();
        if state.slots.in_kernel() > 0 {
            // The thread has panicked. What the kernel works on is never freed.
            state.slots.forget();
            mem::forget(self.ring.slab.clone());
        }
        drop(state);
        // Closing the ring would do that later, and the lock on the file would be held until then.
        let _ = self.uring.submitter().unregister_files();
        let _ = self.uring.submitter().unregister_buffers();
    }
}

#[cfg(test)]
mod tests;
