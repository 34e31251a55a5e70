//! How large a scenario may be, so that running it takes bounded time and memory.
//!
//! The limits are about what a run may cost at most, worked out from the scenario alone. A run that
//! keeps to them takes about a second and 256 MiB at most, in a release build and on a device that
//! moves no more than it is asked to. They leave room: of a million seeds a few would go over, and
//! [`generate`](super::generate) ends those before they do.

use super::{
    DeviceSpec, MAX_CLIENTS, MAX_FAULTS, MAX_STEPS, MAX_TRANSFER, Op, Scenario, Step, Trim,
};
use crate::device::Geometry;
use crate::disk::{Fault, FaultKind};
use crate::model::Request;
use std::collections::BTreeSet;

/// Most bytes that all trims of a scenario together may cover, but for those that the device has to
/// refuse: 64 MiB.
pub const MAX_TRIMMED: u64 = 64 << 20;

/// Most bytes of memory that a scenario may take for its files and for what a crash may bring back:
/// 192 MiB. The latter counts since the last operation that is a crash.
pub const MAX_HELD: u64 = 192 << 20;

/// Most bytes that a scenario may move: those that are read and written, and those that are read
/// back each time that the device is opened. 1 GiB.
pub const MAX_MOVED: u64 = 1 << 30;

/// Most times that a scenario may make a run look at a sector's history: a change looks at those
/// before it, and a sync and a crash at all that may be unsynced.
pub const MAX_LOOKS: u64 = 500_000_000;

/// Most steps that all delays of a scenario together may take.
pub const MAX_DELAY: u64 = 4_000_000;

/// The file is kept in pieces of so many bytes. The twin keeps less beside them.
const PIECE: u64 = 16 << 10;

/// What a scenario has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    Steps,
    Client,
    Faults,
    Transfer,
    Heap,
    Trimmed,
    Held,
    Moved,
    Looks,
    Delay,
}

/// The scenario is too large to be simulated, for the reason that this says in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too large to simulate: {}", self.reason())]
pub struct TooLarge {
    /// The operation that goes over the limit; 0 where it is none.
    op: usize,
    excess: Excess,
    found: u64,
}

impl TooLarge {
    fn reason(&self) -> String {
        let Self { op, excess, found } = self;
        match excess {
            Excess::Steps => format!("{found} operations; a scenario may have {MAX_STEPS}"),
            Excess::Client => {
                format!("operation {op} is made by client {found}; the last is {}", MAX_CLIENTS - 1)
            }
            Excess::Faults => {
                format!("operation {op} meets {found} faults; an operation may meet {MAX_FAULTS}")
            }
            Excess::Transfer => format!(
                "operation {op} transfers {found} bytes; an operation may transfer {}",
                2 * MAX_TRANSFER
            ),
            Excess::Heap => format!("a heap of {found} bytes; a heap may have {MAX_TRANSFER}"),
            Excess::Trimmed => format!(
                "the trims up to operation {op} cover {found} bytes; all trims of a scenario \
                 together may cover {MAX_TRIMMED}"
            ),
            Excess::Held => format!(
                "up to operation {op} the file and what a crash may bring back take {found} bytes \
                 of memory; a scenario may take {MAX_HELD}"
            ),
            Excess::Moved => format!(
                "up to operation {op} up to {found} bytes are read, written and read back; a \
                 scenario may move {MAX_MOVED}"
            ),
            Excess::Looks => format!(
                "up to operation {op} earlier changes of sectors are looked at up to {found} \
                 times; a scenario may do so {MAX_LOOKS} times"
            ),
            Excess::Delay => format!(
                "the delays up to operation {op} take {found} steps; all delays of a scenario \
                 together may take {MAX_DELAY}"
            ),
        }
    }
}

/// What the operations so far may cost at most. It is worked out for every run, so it is quick:
/// numbers that do not change are worked out once, and nothing is divided.
struct Cost<'a> {
    device: &'a DeviceSpec,
    geometry: Geometry,
    sector_bits: u32,
    /// Bytes of the largest transfer that may begin.
    heap: u64,
    /// Bytes of the device, in whole pieces.
    size: u64,
    trimmed: u64,
    delay: u64,
    moved: u64,
    looks: u64,
    /// Since the last crash: changes, and the bytes that they replaced.
    changes: u64,
    replaced: u64,
    /// Bytes of the file that were changed since the last crash, and ever.
    changed: u64,
    touched: u64,
    /// The pieces that were touched, if they are counted one by one.
    pieces: Option<BTreeSet<u64>>,
}

/// Adds, and stays at the largest number if there is no larger one.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

impl<'a> Cost<'a> {
    fn new(device: &'a DeviceSpec, geometry: Geometry, pieces: Option<BTreeSet<u64>>) -> Self {
        Self {
            device,
            geometry,
            sector_bits: geometry.sector_size().trailing_zeros(),
            heap: u64::from(device.heap).next_multiple_of(device.block_size.into()),
            size: geometry.size().div_ceil(PIECE).saturating_mul(PIECE),
            trimmed: 0,
            delay: 0,
            moved: 0,
            looks: 0,
            changes: 0,
            replaced: 0,
            changed: 0,
            touched: 0,
            pieces,
        }
    }

    /// Adds what `step` costs.
    fn add(&mut self, step: &Step) {
        add(&mut self.delay, delays(step));
        let request = step.op.request();
        if let Some(request) = request
            && let Some((offset, length)) = request.span()
            && length > 0
            && self.geometry.check(offset, length).is_ok()
        {
            self.serve(request, offset, length, step);
        }
        let replaced = self.replaced >> self.sector_bits;
        if request.is_none_or(Request::makes_durable) {
            add(&mut self.looks, replaced);
        }
        if step.op == Op::Reopen {
            add(&mut self.moved, self.touched);
        }
        let is_crash = matches!(step.op, Op::Crash(_));
        if is_crash || step.crash_at.is_some() {
            add(&mut self.moved, self.changed);
            add(&mut self.looks, 8 * replaced);
        }
        if is_crash {
            (self.changes, self.replaced, self.changed) = (0, 0, 0);
        }
    }

    /// Adds what a request costs that the device does not have to refuse.
    fn serve(&mut self, request: Request, offset: u64, length: u64, step: &Step) {
        let is_trim = matches!(request, Request::Trim { .. });
        let clears = is_trim || step.op.data().zeroes().is_some();
        // What is larger than the heap never begins.
        if !clears && length > self.heap {
            return;
        }
        if clears {
            add(&mut self.trimmed, length);
        }
        if !is_trim || self.device.trim == Trim::Scribble {
            add(&mut self.moved, length);
        }
        if step.faults.iter().any(|fault| fault.kind == FaultKind::StaleRead) {
            add(&mut self.looks, self.replaced >> self.sector_bits);
        }
        if !request.is_change() || self.device.read_only {
            return;
        }
        add(&mut self.looks, (length >> self.sector_bits).saturating_mul(self.changes));
        self.changes += 1;
        self.touch(offset, length);
        match self.device.trim {
            Trim::Ignore if is_trim => {}
            Trim::PunchHole if is_trim => {
                add(&mut self.replaced, length.min(self.touched));
                add(&mut self.looks, self.touched / PIECE);
            }
            _ => {
                // A misdirected write changes two places.
                let places = 1 + u64::from(step.faults.iter().any(|it| it.kind.is_silent()));
                add(&mut self.replaced, places.saturating_mul(length));
            }
        }
    }

    /// A range of the file is changed, or may be.
    fn touch(&mut self, offset: u64, length: u64) {
        let whole = (length / PIECE + 2).saturating_mul(PIECE);
        self.changed = self.changed.saturating_add(whole).min(self.size);
        self.touched = match &mut self.pieces {
            None => self.touched.saturating_add(whole).min(self.size),
            Some(pieces) => {
                let (first, end) = (offset / PIECE, (offset + length).div_ceil(PIECE));
                // More of them are too many anyhow.
                pieces.extend(first..end.min(first + MAX_HELD / PIECE + 1));
                pieces.len() as u64 * PIECE
            }
        };
    }

    /// What there is too much of, and how much.
    fn excess(&self) -> Option<(Excess, u64)> {
        let held = self.replaced.saturating_add(self.touched);
        [
            (Excess::Trimmed, self.trimmed, MAX_TRIMMED),
            (Excess::Held, held, MAX_HELD),
            (Excess::Moved, self.moved, MAX_MOVED),
            (Excess::Looks, self.looks, MAX_LOOKS),
            (Excess::Delay, self.delay, MAX_DELAY),
        ]
        .into_iter()
        .find_map(|(excess, found, most)| (found > most).then_some((excess, found)))
    }
}

/// Whether a step is such as the format allows.
fn check_step(step: &Step) -> Result<(), (Excess, u64)> {
    let transferred = match step.op {
        Op::Read { length, .. } | Op::Write { length, .. } => length,
        _ => 0,
    };
    if step.client >= MAX_CLIENTS {
        Err((Excess::Client, step.client.into()))
    } else if step.faults.len() > MAX_FAULTS {
        Err((Excess::Faults, step.faults.len() as u64))
    } else if transferred > 2 * MAX_TRANSFER {
        Err((Excess::Transfer, transferred))
    } else {
        Ok(())
    }
}

impl Scenario {
    /// Whether running this takes bounded time and memory. A file is held to less when it is
    /// [read](super::parse).
    ///
    /// # Errors
    ///
    /// If it goes over one of the limits that begin with `MAX_`, with the operation that does so.
    pub fn check_size(&self) -> Result<(), TooLarge> {
        self.check_surveyed(&Survey::of(&self.steps))
    }

    /// The same, where the steps have been looked at already.
    pub(crate) fn check_surveyed(&self, survey: &Survey) -> Result<(), TooLarge> {
        let Ok(geometry) = self.device.geometry() else { return Ok(()) };
        let too_large = |op, (excess, found)| TooLarge { op, excess, found };
        if self.steps.len() > MAX_STEPS {
            return Err(too_large(0, (Excess::Steps, self.steps.len() as u64)));
        }
        if u64::from(self.device.heap) > MAX_TRANSFER {
            return Err(too_large(0, (Excess::Heap, self.device.heap.into())));
        }
        if survey.is_well_formed && survey.delay <= MAX_DELAY && self.is_clearly_small(&geometry) {
            return Ok(());
        }
        let checked = self.check_cost(Cost::new(&self.device, geometry, None));
        // That was quick, and may have counted some pieces of the file often.
        checked
            .or_else(|_| self.check_cost(Cost::new(&self.device, geometry, Some(BTreeSet::new()))))
    }

    /// Whether its operations can be served in bounded time and memory whatever they transfer. That
    /// is so of most, and takes no look at them.
    fn is_clearly_small(&self, geometry: &Geometry) -> bool {
        let heap = u64::from(self.device.heap).next_multiple_of(self.device.block_size.into());
        let (steps, size) = (self.steps.len() as u64, geometry.size());
        let bytes = steps.saturating_mul(heap.max(size).max(PIECE));
        let looks = (bytes >> geometry.sector_size().trailing_zeros()) + size / PIECE + 1;
        bytes <= MAX_TRIMMED
            && bytes.saturating_mul(3) <= MAX_HELD.min(MAX_MOVED)
            && looks.saturating_mul(20 * steps) <= MAX_LOOKS
    }

    fn check_cost(&self, mut cost: Cost<'_>) -> Result<(), TooLarge> {
        for (step, op) in self.steps.iter().zip(1..) {
            let checked = check_step(step).map_or_else(Some, |()| {
                cost.add(step);
                cost.excess()
            });
            if let Some((excess, found)) = checked {
                return Err(TooLarge { op, excess, found });
            }
        }
        Ok(())
    }

    /// Ends it before the first operation that goes over a limit.
    pub(super) fn end_in_time(&mut self) {
        if let Err(TooLarge { op, .. }) = self.check_size() {
            self.steps.truncate(op.saturating_sub(1));
        }
    }
}

/// What a run has to know of all steps before it makes the first, in one pass over them.
pub(crate) struct Survey {
    /// One more than the highest number of a client.
    pub(crate) clients: u8,
    /// How many steps of the executor all delays together take.
    pub(crate) delay: u64,
    /// The file system may answer that it cannot punch holes.
    pub(crate) cannot_punch: bool,
    /// Every step is such as the format allows.
    is_well_formed: bool,
}

impl Survey {
    pub(crate) fn of(steps: &[Step]) -> Self {
        let mut all = Self { clients: 0, delay: 0, cannot_punch: false, is_well_formed: true };
        for step in steps {
            all.clients = all.clients.max(step.client.saturating_add(1));
            all.is_well_formed &= check_step(step).is_ok();
            if !step.faults.is_empty() {
                add(&mut all.delay, delays(step));
                let cannot = |fault: &Fault| fault.kind == FaultKind::PunchUnsupported;
                all.cannot_punch |= step.faults.iter().any(cannot);
            }
        }
        all
    }
}

/// How many steps the delays of a step take.
fn delays(step: &Step) -> u64 {
    let delays = step.faults.iter().map(|fault| match fault.kind {
        FaultKind::Latency(steps) | FaultKind::LateReturn(steps) => u64::from(steps),
        _ => 0,
    });
    delays.fold(0, u64::saturating_add)
}
