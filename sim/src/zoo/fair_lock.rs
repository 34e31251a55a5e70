//! A lock that is handed over: whoever releases it gives it to the one who waits longest, who has
//! it before it is polled again. So it has to be careful with wakers, polls and drops.

use super::files::lock;
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{BufferRef, Device, DynDevice, WriteOptions};
use blocktwin::exec::yield_now;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex as Latch;
use std::task::{Context, Poll, Waker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    FirstWakerKept,
    NeedlessPollTakenForTurn,
    TurnLostWhenDropped,
}

/// One write at a time, from one buffer.
pub(super) struct InTurn {
    inner: DynDevice,
    turns: FairLock,
    bounce: Latch<Vec<u8>>,
}

struct FairLock {
    bug: Option<Bug>,
    state: Latch<State>,
}

#[derive(Default)]
struct State {
    is_held: bool,
    /// In order of arrival, each with its ticket.
    waiting: VecDeque<(u64, Waker)>,
    /// Who has the lock and does not know it yet.
    granted: Option<u64>,
    last_ticket: u64,
}

impl State {
    fn enqueue(&mut self, waker: &Waker) -> u64 {
        self.last_ticket += 1;
        self.waiting.push_back((self.last_ticket, waker.clone()));
        self.last_ticket
    }

    /// Waits no longer. Tells whether the lock was granted meanwhile.
    fn leave(&mut self, ticket: u64) -> bool {
        self.waiting.retain(|waiting| waiting.0 != ticket);
        self.granted.take_if(|granted| *granted == ticket).is_some()
    }
}

impl FairLock {
    fn acquire(&self) -> Acquire<'_> {
        Acquire { turns: self, ticket: None }
    }

    fn release(&self) {
        let mut state = lock(&self.state);
        let Some((ticket, waker)) = state.waiting.pop_front() else {
            state.is_held = false;
            return;
        };
        state.granted = Some(ticket);
        drop(state);
        waker.wake();
    }
}

struct Acquire<'a> {
    turns: &'a FairLock,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Turn<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Turn<'a>> {
        let turns = self.turns;
        let mut state = lock(&turns.state);
        let Some(ticket) = self.ticket else {
            if std::mem::replace(&mut state.is_held, true) {
                self.ticket = Some(state.enqueue(context.waker()));
                return Poll::Pending;
            }
            return Poll::Ready(Turn(turns));
        };
        let is_believed = turns.bug == Some(Bug::NeedlessPollTakenForTurn);
        if is_believed || state.granted == Some(ticket) {
            state.leave(ticket);
            self.ticket = None;
            return Poll::Ready(Turn(turns));
        }
        let mine = state.waiting.iter_mut().find(|waiting| waiting.0 == ticket);
        if let Some((_, waker)) = mine.filter(|_| turns.bug != Some(Bug::FirstWakerKept)) {
            waker.clone_from(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let granted = lock(&self.turns.state).leave(ticket);
        if granted && self.turns.bug != Some(Bug::TurnLostWhenDropped) {
            self.turns.release();
        }
    }
}

/// The right to write.
struct Turn<'a>(&'a FairLock);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl InTurn {
    pub(super) fn new(inner: DynDevice, bug: Option<Bug>) -> Self {
        let turns = FairLock { bug, state: Latch::default() };
        Self { inner, turns, bounce: Latch::default() }
    }

    fn fill(&self, data: &[u8]) {
        let mut bounce = lock(&self.bounce);
        bounce.clear();
        bounce.extend_from_slice(data);
    }
}

impl Wrapper for InTurn {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let _turn = self.turns.acquire().await;
        self.fill(buffer.as_slice());
        yield_now().await;
        let mut bounced = lock(&self.bounce).clone();
        bounced.resize(buffer.as_slice().len(), 0);
        self.inner.write(offset, bounced[..].into(), options).await
    }
}
