//! The future of an operation.

use super::kernel::{Ring, calmly};
use super::slab::Memory;
use super::slots::Operation;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

/// With how many operations the thread is called at the latest. Before that, at the second poll of
/// one of them.
const BATCH: usize = 32;

/// An operation and its answer, with the memory that it owned.
///
/// The first poll only queues it, and asks for another: so that whatever else the executor has to
/// do right now joins the batch. The second one calls the thread, which makes them all.
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
}

/// A count, and the memory.
type Answer = io::Result<(usize, Memory)>;

impl Future for Call<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match &mut self.stage {
            Stage::New(..) => self.queue(context),
            &mut Stage::Slot(index) => self.look(index, context),
            Stage::Over => unreachable!("polled after it was ready"),
        }
    }
}

impl Call<'_> {
    /// Queues the operation, once there is a slot for it.
    fn queue(&mut self, context: &Context<'_>) -> Poll<Answer> {
        let Stage::New(operation, ticket) = &mut self.stage else { unreachable!("it is new") };
        let mut state = self.ring.state();
        let (index, outdated) = state.slots.claim(ticket, context.waker());
        let Some(index) = index else {
            drop(state);
            // Without the lock: that may drop a task, and with it a call.
            drop(outdated);
            return Poll::Pending;
        };
        let Some(operation) = operation.take() else { unreachable!("it is queued once") };
        state.slots.queue(index, operation, context.waker());
        self.stage = Stage::Slot(index);
        if state.slots.queued() < BATCH {
            drop(state);
            context.waker().wake_by_ref();
        } else {
            self.ring.call(state);
        }
        drop(outdated);
        Poll::Pending
    }

    /// The answer, if it is there.
    fn look(&mut self, index: u32, context: &Context<'_>) -> Poll<Answer> {
        let mut state = self.ring.state();
        let Some((result, operation, next)) = state.slots.answer(index) else {
            let outdated = state.slots.watch(index, context.waker());
            if state.slots.queued() > 0 {
                self.ring.call(state);
            } else {
                drop(state);
            }
            drop(outdated);
            return Poll::Pending;
        };
        let others = state.slots.all_to_wake();
        drop(state);
        self.stage = Stage::Over;
        for waker in others.into_iter().chain(next) {
            calmly(|| waker.wake());
        }
        let Some(Operation { memory, .. }) = operation else { unreachable!("it had a slot") };
        Poll::Ready(match usize::try_from(result) {
            Ok(count) => Ok((count, memory)),
            Err(_) => Err(io::Error::from_raw_os_error(result.wrapping_neg())),
        })
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
                drop(state);
                if let Some(next) = abandoned.next {
                    next.wake();
                }
            }
        }
    }
}
