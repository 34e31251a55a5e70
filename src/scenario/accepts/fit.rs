//! Changing a scenario to the nearest that a device can take.

use super::Accepts;
use super::places::Places;
use super::sizes::scaled_rest;
use crate::device::Geometry;
use crate::disk::{CrashPolicy, Fault, FaultClass, FaultKind};
use crate::model::Request;
use crate::scenario::{DeviceSpec, MAX_TRANSFER, Op, Scenario, Step};

impl Accepts {
    /// Changes a scenario to the nearest that the device can take; then [`check`](Self::check)
    /// passes. What the device can take already stays as it is.
    ///
    /// * Requests keep their numbers of blocks when blocks get larger or smaller. When the device
    ///   gets smaller, long stretches in which no request begins or ends are shortened, so that
    ///   what overlapped overlaps still, if there is room.
    /// * A request that the device has to serve stays one, and so does one that it has to refuse.
    /// * Where the device takes no request of zero bytes, such a request gets one block.
    /// * Faults that are not drawn for the device are removed, and so are dropped futures and power
    ///   failures; a power failure as an operation becomes a reopening.
    /// * If anything changes, the scenario expects nothing any more.
    ///
    /// If the device takes nothing at all, this changes what it can, and `check` still fails.
    ///
    /// ```
    /// use blocktwin::scenario::{Accepts, Op, Profile, Step, generate};
    ///
    /// let mut scenario = generate(7, Profile::Default);
    /// let block = u64::from(scenario.device.block_size);
    /// scenario.device.block_count = 4;
    /// scenario.steps = vec![Step::new(Op::Read { offset: 3 * block, length: block })];
    /// Accepts::anything().block_sizes(65536..=65536).fit(&mut scenario);
    /// assert_eq!(scenario.steps[0].op, Op::Read { offset: 3 * 65536, length: 65536 });
    /// ```
    pub fn fit(&self, scenario: &mut Scenario) {
        let from = scenario.device;
        let mut to = self.nearest(&from);
        let moves = Moves::new(&from, &to, &scenario.steps);
        if let Some(moves) = &moves {
            let blocks = moves.places.place(from.file_length / moves.from.block);
            to.file_length = self.nearest_file(&from, &to, blocks);
        }
        let mut changed = to != from;
        scenario.device = to;
        for step in &mut scenario.steps {
            let fitted = self.fit_step(step, moves.as_ref(), &to);
            if fitted != *step {
                *step = fitted;
                changed = true;
            }
        }
        if changed {
            scenario.expect = None;
        }
    }

    fn fit_step(&self, step: &Step, moves: Option<&Moves>, spec: &DeviceSpec) -> Step {
        let mut step = step.clone();
        if let Some(moves) = moves {
            step.op = moves.op(step.op);
            step.faults.iter_mut().for_each(|fault| fault.kind = moves.kind(fault.kind));
        }
        step.op = self.fit_op(step.op, spec);
        if !step.faults.is_empty() {
            let fit = |fault: Fault| {
                let kind = self.fit_fault(fault.kind, step.op, spec)?;
                Some(Fault { kind, ..fault })
            };
            step.faults = step.faults.iter().copied().filter_map(fit).collect();
        }
        if step.dropped().is_some_and(|class| !self.takes_drop(class)) {
            step.keep();
        }
        let crashes = step.crash_at.filter(|&(_, policy)| self.takes_crash_in(step.op, policy));
        step.crash_at = crashes.map(|(at, survivors)| (at, self.fit_survivors(survivors)));
        step
    }

    /// Whether futures may be dropped at such a moment.
    pub(in crate::scenario) fn takes_drop(&self, class: FaultClass) -> bool {
        self.takes(FaultClass::Dropped) && self.takes(class)
    }

    fn fit_op(&self, op: Op, spec: &DeviceSpec) -> Op {
        match op {
            Op::Crash(survivors) if !self.takes(survivors.class()) => return Op::Reopen,
            Op::Crash(survivors) => return Op::Crash(self.fit_survivors(survivors)),
            _ => {}
        }
        let (Some((offset, 0)), false) = (span(op), self.takes_zero_length()) else { return op };
        let block = u64::from(spec.block_size);
        // At the end of the device there is no room for a block; beyond, the request is refused.
        let end = spec.size();
        let offset = if offset == end { end.saturating_sub(block) } else { offset };
        with_span(op, (offset, block))
    }

    fn fit_survivors(&self, survivors: CrashPolicy) -> CrashPolicy {
        if !survivors.is_beyond_contract() || self.takes_crashes_beyond_contract() {
            return survivors;
        }
        // What they do to the sectors that they do not damage.
        CrashPolicy::Random(survivors.code().1)
    }

    fn fit_fault(&self, kind: FaultKind, op: Op, spec: &DeviceSpec) -> Option<FaultKind> {
        match kind {
            _ if !self.takes_fault(kind) => None,
            FaultKind::ShortWrite(count) => {
                self.short_write(count, op, spec.sector_size).map(FaultKind::ShortWrite)
            }
            _ => Some(kind),
        }
    }

    /// How many bytes a write takes in a [`FaultKind::ShortWrite`] of `count` bytes, or `None` if
    /// the operation only writes one sector, of which the device takes no part.
    pub(in crate::scenario) fn short_write(
        &self,
        count: u32,
        op: Op,
        sector_size: u32,
    ) -> Option<u32> {
        if self.takes_odd_short_writes() {
            return Some(count);
        }
        if let Op::Write { length, .. } = op
            && length <= sector_size.into()
        {
            return None;
        }
        Some((count / sector_size).max(1).saturating_mul(sector_size))
    }

    /// Whether the power may fail, or the process die, in the midst of this operation.
    pub(in crate::scenario) fn takes_crash_in(&self, op: Op, policy: CrashPolicy) -> bool {
        let opens = matches!(op, Op::Reopen | Op::Crash(_));
        self.takes(policy.class()) && (!opens || self.takes(FaultClass::CrashInOpen))
    }
}

/// Offset and length of a request, in bytes.
fn span(op: Op) -> Option<(u64, u64)> {
    op.request().and_then(Request::span)
}

fn with_span(op: Op, (offset, length): (u64, u64)) -> Op {
    match op {
        Op::Read { .. } => Op::Read { offset, length },
        Op::Write { fua, data, .. } => Op::Write { offset, length, fua, data },
        Op::Trim { fua, .. } => Op::Trim { offset, length, fua },
        _ => op,
    }
}

/// How requests change when the device does.
struct Moves {
    from: Frame,
    to: Frame,
    places: Places,
}

/// What of a device its requests depend on.
struct Frame {
    geometry: Geometry,
    /// Bytes of a block.
    block: u64,
    /// Blocks of the device.
    count: u64,
    /// Blocks of the largest transfer.
    largest: u64,
}

impl Frame {
    /// `None` if there can be no such device.
    fn of(spec: &DeviceSpec) -> Option<Self> {
        let (geometry, block) = (spec.geometry().ok()?, u64::from(spec.block_size));
        // The heap is rounded up to whole blocks, and gives the power of two that it holds.
        let largest = 1 << u64::from(spec.heap).div_ceil(block).checked_ilog2()?;
        Some(Self { geometry, block, count: spec.block_count, largest })
    }

    fn serves(&self, (offset, length): (u64, u64)) -> bool {
        self.geometry.check(offset, length).is_ok()
    }

    /// The last offset, in blocks.
    fn last(&self) -> u64 {
        u64::MAX / self.block
    }
}

impl Moves {
    /// `None` if requests stay as they are.
    fn new(from: &DeviceSpec, to: &DeviceSpec, steps: &[Step]) -> Option<Self> {
        let sizes = |it: &DeviceSpec| (it.block_size, it.block_count, it.heap);
        if sizes(from) == sizes(to) {
            return None;
        }
        let file = from.file_length / u64::from(from.block_size.max(1));
        let (from, to) = (Frame::of(from)?, Frame::of(to)?);
        let served = steps.iter().filter_map(|step| span(step.op)).filter(|&it| from.serves(it));
        let edges = served.flat_map(|(offset, length)| {
            let [start, end] = [offset, offset + length].map(|it| it / from.block);
            [start, end]
        });
        let places = Places::new(from.count, to.count, edges.chain([file]));
        Some(Self { from, to, places })
    }

    fn op(&self, op: Op) -> Op {
        let Some(old) = span(op) else { return op };
        let block = self.from.block;
        let transfers = !matches!(op, Op::Trim { .. });
        let blocks = (old.0 / block, old.1 / block);
        let mut new = if !old.0.is_multiple_of(block) || !old.1.is_multiple_of(block) {
            self.misaligned(old)
        } else if !self.from.serves(old) {
            self.beyond(old, blocks)
        } else if transfers && blocks.1 > self.from.largest {
            // It stays too large for the heap.
            (self.places.place(blocks.0) * self.to.block, self.too_large(blocks.1))
        } else {
            self.served(blocks, if transfers { self.to.largest } else { u64::MAX })
        };
        if transfers {
            // More than any heap gives, and no more than a scenario may ask for.
            let (most, rest) = (2 * MAX_TRANSFER, new.1 % self.to.block);
            new.1 = if new.1 > most { most - self.to.block + rest } else { new.1 };
        }
        with_span(op, new)
    }

    fn too_large(&self, blocks: u64) -> u64 {
        blocks.max(self.to.largest + 1).saturating_mul(self.to.block)
    }

    /// A request that the device serves, of at most this many blocks.
    fn served(&self, (start, length): (u64, u64), longest: u64) -> (u64, u64) {
        let (mut first, end) = (self.places.place(start), self.places.place(start + length));
        let mut blocks = (end - first).min(longest);
        if blocks == 0 && length > 0 {
            (first, blocks) = (first.min(self.to.count - 1), 1);
        }
        (first * self.to.block, blocks * self.to.block)
    }

    /// A request that is refused as it is no multiple of a block.
    fn misaligned(&self, (offset, length): (u64, u64)) -> (u64, u64) {
        let (from, to) = (self.from.block, self.to.block);
        let at = |blocks: u64, rest: u64| {
            let start = blocks.min(self.to.last()) * to;
            // The rest is less than a block.
            start + if from == to { rest } else { scaled_rest(rest, from, to) }
        };
        let blocks = offset / from;
        let first = if blocks > self.from.count { blocks } else { self.places.place(blocks) };
        (at(first, offset % from), at(length / from, length % from))
    }

    /// A request that is refused as it is not in the device: what it has to do with the end of the
    /// device, or of all numbers, stays so.
    fn beyond(&self, old: (u64, u64), (start, length): (u64, u64)) -> (u64, u64) {
        let (from, to) = (&self.from, &self.to);
        let bytes = |blocks: u64| blocks.min(to.last()) * to.block;
        if old.0.checked_add(old.1).is_none() {
            let first = to.last().saturating_sub(from.last() - start);
            return (bytes(first), bytes(length));
        }
        let kept = (bytes(start), bytes(length));
        let from_end = (start + to.count).saturating_sub(from.count);
        let moved = (bytes(from_end), bytes(length));
        let near_end = start <= from.count && (to.count < from.count || to.serves(kept));
        let found = [if near_end { moved } else { kept }, moved];
        let refused = found.into_iter().find(|&it| !to.serves(it));
        refused.unwrap_or((bytes(to.count + 1), bytes(length)))
    }

    /// A transfer stops at the corresponding byte.
    fn kind(&self, kind: FaultKind) -> FaultKind {
        let scaled = |count: u32| {
            let scaled = u64::from(count) * self.to.block / self.from.block;
            let least = u32::from(count > 0);
            u32::try_from(scaled).unwrap_or(u32::MAX).max(least)
        };
        match kind {
            FaultKind::ShortRead(count) => FaultKind::ShortRead(scaled(count)),
            FaultKind::ShortWrite(count) => FaultKind::ShortWrite(scaled(count)),
            _ => kind,
        }
    }
}
