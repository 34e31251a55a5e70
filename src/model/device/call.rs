//! A request under way: when it suspends, and how it ends.

use super::ModelDevice;
use super::failure::Failure;
use super::journal::RequestEnd;
use super::pause::Pause;
use super::state::State;
use crate::device::{BufferRef, DeviceError};
use crate::model::request::Request;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};

/// A request that has begun. If it is dropped before it was [answered](Self::answer), its future
/// was.
pub(super) struct InFlight<'a> {
    device: &'a ModelDevice,
    request: Request,
    number: u64,
    /// The number of changes that were made before it.
    pub(super) mark: u64,
    answered: bool,
}

impl<'a> InFlight<'a> {
    /// A request is made, and refused if it has to be.
    pub(super) fn begin(device: &'a ModelDevice, request: Request) -> Result<Self, DeviceError> {
        let mut state = device.lock();
        check_boot(device, &state)?;
        let number = state.journal.begin(request);
        if let Err(error) = admit(&state, request) {
            state.journal.end(number, RequestEnd::Answered(Err(error)));
            return Err(error);
        }
        if request == Request::Close {
            state.closed = true;
        } else if request != Request::Drain {
            state.in_flight += 1;
        }
        Ok(Self { device, request, number, mark: state.changes, answered: false })
    }

    /// Lets others go ahead, between `least` and `most` times.
    pub(super) async fn suspend(&self, least: u64, most: u64) {
        let times = {
            let mut state = self.device.lock();
            let suspends = state.weak.suspends && state.boot == self.device.boot;
            if suspends { state.schedule.between(least, most) } else { 0 }
        };
        Pause(times).await;
    }

    /// Waits for every request, but for closes and drains.
    pub(super) async fn wait_for_others(&self) {
        poll_fn(|context| {
            let mut state = self.device.lock();
            if state.in_flight == 0 || state.boot != self.device.boot {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|waiting| waiting.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Takes effect, if the power has not failed meanwhile. What others have left in the air may
    /// land just before.
    pub(super) fn effect<T>(
        &self,
        effect: impl FnOnce(&mut State, u64) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let mut state = self.device.lock();
        check_boot(self.device, &state)?;
        state.drift(4, false);
        effect(&mut state, self.number)
    }

    /// Makes durable what `sync` does, unless it is to fail. Nothing that was dropped lands later.
    pub(super) fn sync(&self, sync: impl FnOnce(&mut State, u64)) -> Result<(), DeviceError> {
        self.effect(|state, number| {
            if self.request.is_sync() {
                state.drift(2, true);
            }
            state.check_sync()?;
            let failure = state.failures.take(number, self.request, true);
            state.sync(failure, |state| sync(state, number))
        })
    }

    /// The error of the failure that the request is to have, if one is planned. A request of no
    /// bytes is always `Ok`.
    pub(super) fn failure(&self, state: &mut State) -> Option<DeviceError> {
        if matches!(self.request.span(), Some((_, 0))) {
            return None;
        }
        match state.failures.take(self.number, self.request, false)? {
            Failure::Read(errno) | Failure::Write(errno) | Failure::Trim(errno) => {
                Some(io::Error::from_raw_os_error(errno).into())
            }
            Failure::SyncKept | Failure::SyncDropped | Failure::SyncPartly(_) => None,
        }
    }

    /// Suspends, and then answers, if the power has not failed meanwhile.
    pub(super) async fn answer(
        mut self,
        result: Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        self.suspend(0, 2).await;
        check_boot(self.device, &self.device.lock())?;
        self.answered = true;
        self.end(RequestEnd::Answered(result));
        result
    }

    fn end(&self, end: RequestEnd) {
        let mut state = self.device.lock();
        if state.boot != self.device.boot {
            return;
        }
        state.journal.end(self.number, end);
        if !matches!(self.request, Request::Close | Request::Drain) {
            state.in_flight -= 1;
        }
        let waiting = if state.in_flight == 0 { state.waiting.split_off(0) } else { Vec::new() };
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.end(RequestEnd::Dropped);
        }
    }
}

/// Why the device refuses a request, if it does.
fn admit(state: &State, request: Request) -> Result<(), DeviceError> {
    if state.closed && request != Request::Close {
        return Err(DeviceError::Closed);
    }
    if let Some((offset, length)) = request.span() {
        state.geometry.check(offset, length)?;
    }
    let after_failed_sync =
        matches!(request, Request::Read { .. } | Request::Drain | Request::Close);
    if after_failed_sync { Ok(()) } else { state.check_sync() }
}

/// Whether the handle is of the time since the power failed last.
fn check_boot(device: &ModelDevice, state: &State) -> Result<(), DeviceError> {
    if state.boot == device.boot {
        return Ok(());
    }
    Err(io::Error::other("the device was opened before the power failed").into())
}

/// The sectors that a write has still to write. If it is dropped, they may land later.
pub(super) struct Landing<'a, 'b> {
    call: &'a InFlight<'b>,
    first: u64,
    size: usize,
    data: BufferRef<'a>,
    /// The sectors that were not written, by number.
    pending: Vec<u64>,
}

impl<'a, 'b> Landing<'a, 'b> {
    /// All of `data` is to be written from `offset` on, both in whole sectors.
    pub(super) fn new(call: &'a InFlight<'b>, offset: u64, data: BufferRef<'a>) -> Self {
        let size = call.device.geometry.sector_size();
        let first = offset / u64::from(size);
        let count = data.len() as u64 / u64::from(size);
        let pending = (first..first + count).collect();
        Self { call, first, size: size as usize, data, pending }
    }

    fn bytes(&self, sector: u64) -> &'a [u8] {
        let at = usize::try_from(sector - self.first).unwrap_or(usize::MAX);
        self.data.as_slice().chunks_exact(self.size).nth(at).unwrap_or_default()
    }

    fn land(&self, state: &mut State, sectors: &[u64]) {
        for &sector in sectors {
            state.store(self.call.number, sector, self.bytes(sector));
        }
    }

    /// Writes some of the sectors, perhaps all. With `fails`, as a write that fails, which leaves
    /// nothing to be written.
    pub(super) fn begin(&mut self, state: &mut State, fails: bool) {
        let (mut now, mut later) = (std::mem::take(&mut self.pending), Vec::new());
        match (fails, state.weak) {
            (true, weak) if !weak.failed_write => now.clear(),
            (true, _) => match state.chance.below(4) {
                0 => now.clear(),
                1 => {}
                _ => (now, _) = state.split(&now),
            },
            (false, weak) if weak.suspends && state.chance.chance(1, 2) => {
                (now, later) = state.split(&now);
            }
            (false, _) => {}
        }
        self.land(state, &now);
        self.pending = later;
    }

    /// Whether something is still to be written.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes the rest.
    pub(super) fn finish(&mut self, state: &mut State) {
        let rest = std::mem::take(&mut self.pending);
        self.land(state, &rest);
    }
}

impl Drop for Landing<'_, '_> {
    fn drop(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut state = self.call.device.lock();
        if state.boot == self.call.device.boot {
            let sectors = self.pending.iter().map(|&sector| (sector, self.bytes(sector)));
            state.set_adrift(self.call.number, sectors.collect());
        }
    }
}
