//! The future of an operation.

use super::kernel::{Ring, State};
use super::slab::Memory;
use super::slots::Operation;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};

/// How many operations are submitted at the latest. Before that, at the second poll of one of them.
const BATCH: usize = 32;

/// An operation and its answer, with the memory that it owned.
///
/// The first poll only queues it, and asks for another: so that whatever else the executor has to
/// do right now joins the batch. The second one submits all, and looks whether they are over.
pub(super) struct Call<'a> {
    ring: &'a Ring,
    stage: Stage,
    /// The bytes that it may change.
    change: Option<Range<u64>>,
}

enum Stage {
    /// It has no slot yet, and this ticket if it waits for one.
    New(Option<Operation>, Option<u64>),
    Slot(u32),
    Over,
}

impl<'a> Call<'a> {
    pub(super) fn new(ring: &'a Ring, operation: Operation, change: Option<Range<u64>>) -> Self {
        Self { ring, stage: Stage::New(Some(operation), None), change }
    }

    /// A slot for the operation, in which it is queued.
    fn queue(&mut self, state: &mut State, context: &Context<'_>) -> Queued {
        let Stage::New(operation, ticket) = &mut self.stage else { return Queued::default() };
        let (index, outdated) = state.slots.claim(ticket, context.waker());
        let Some(index) = index else {
            return Queued { waits: true, first: false, _outdated: outdated };
        };
        let Some(operation) = operation.take() else { unreachable!("it is queued once") };
        state.slots.queue(index, operation);
        self.stage = Stage::Slot(index);
        Queued { waits: false, first: state.slots.queued() < BATCH, _outdated: outdated }
    }

    /// The answer, if it is there; else the lock back.
    fn answer<'s>(
        &mut self,
        mut state: MutexGuard<'s, State>,
    ) -> Result<Answer, MutexGuard<'s, State>> {
        let Stage::Slot(index) = self.stage else { unreachable!("polled after it was ready") };
        let Some((result, operation, next)) = state.slots.answer(index) else { return Err(state) };
        drop(state);
        self.stage = Stage::Over;
        if let Some(next) = next {
            next.wake();
        }
        let Some(Operation { memory, .. }) = operation else { unreachable!("it had a slot") };
        match usize::try_from(result) {
            Ok(count) => Ok(Ok((count, memory))),
            Err(_) => Ok(Err(io::Error::from_raw_os_error(result.wrapping_neg()))),
        }
    }
}

/// A count, and the memory.
type Answer = io::Result<(usize, Memory)>;

/// What became of an operation that was to be queued.
#[derive(Default)]
struct Queued {
    /// There is no slot.
    waits: bool,
    /// Others may join.
    first: bool,
    /// To be dropped without the lock: that may drop a task, and with it a call.
    _outdated: Option<Waker>,
}

impl Future for Call<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let ring = self.ring;
        let mut state = ring.state();
        if let Stage::New(..) = self.stage {
            let queued = self.queue(&mut state, context);
            if queued.waits || queued.first {
                drop(state);
                if queued.first {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            drop(state);
            drop(queued);
            state = ring.state();
        }
        let mut state = match self.answer(state) {
            Ok(answer) => return Poll::Ready(answer),
            Err(state) => state,
        };
        let unsubmitted = ring.push_queued(&mut state);
        drop(state);
        if unsubmitted {
            ring.submit();
        }
        ring.try_reap();
        let mut state = match self.answer(ring.state()) {
            Ok(answer) => return Poll::Ready(answer),
            Err(state) => state,
        };
        let Stage::Slot(index) = self.stage else { unreachable!("it has no answer yet") };
        let outdated = state.slots.watch(index, context.waker());
        ring.notify(&mut state);
        let unsubmitted = state.slots.queued() > 0 || ring.is_unsubmitted(&mut state);
        drop(state);
        drop(outdated);
        if unsubmitted {
            // The kernel was short of memory, or another has just queued something.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let ring = self.ring;
        match self.stage {
            Stage::New(_, None) | Stage::Over => {}
            Stage::New(_, Some(ticket)) => {
                let (own, next) = ring.state().slots.give_up(ticket);
                drop(own);
                if let Some(next) = next {
                    next.wake();
                }
            }
            Stage::Slot(index) => {
                let mut state = ring.state();
                let change = self.change.take();
                let abandoned = state.slots.abandon(index, || ring.orphans.adopt(change));
                if abandoned.orphaned {
                    ring.notify(&mut state);
                }
                drop(state);
                if abandoned.orphaned {
                    ring.submit_all();
                }
                if let Some(next) = abandoned.next {
                    next.wake();
                }
            }
        }
    }
}
