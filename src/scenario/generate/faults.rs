//! Which faults an operation meets.

use super::super::{DeviceSpec, Op, Step};
use super::{Generator, Swarm};
use crate::disk::{Dirty, Fault, FaultClass, FaultKind};
use crate::model::Request;
use crate::rng::Rng;

/// A kind of fault whose parameters are still to be drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    Interrupted,
    ShortRead,
    ShortWrite,
    TornRead,
    Eio,
    Enospc,
    EnospcFor,
    Edquot,
    Efbig,
    EioLanded,
    Again,
    PunchUnsupported,
    WriteZero,
    SyncFailed,
    WritebackFailed,
    Latency,
    LateReturn,
    BitFlip,
    LostWrite,
    MisdirectedWrite,
    MisdirectedRead,
    StaleRead,
    LatentSector,
}

/// Faults that tell, or that only take time.
pub(super) const HONEST: [Draft; 17] = [
    Draft::Interrupted,
    Draft::ShortRead,
    Draft::ShortWrite,
    Draft::Eio,
    Draft::Enospc,
    Draft::EnospcFor,
    Draft::Edquot,
    Draft::Efbig,
    Draft::WriteZero,
    Draft::SyncFailed,
    Draft::WritebackFailed,
    Draft::Latency,
    Draft::LateReturn,
    Draft::TornRead,
    Draft::EioLanded,
    Draft::Again,
    Draft::PunchUnsupported,
];

/// Faults of the medium itself. Only a few scenarios have them, as they excuse the sectors that
/// they hit from being checked.
pub(super) const MEDIA: [Draft; 6] = [
    Draft::BitFlip,
    Draft::LostWrite,
    Draft::MisdirectedWrite,
    Draft::MisdirectedRead,
    Draft::StaleRead,
    Draft::LatentSector,
];

/// The classes of a failed sync, by what becomes of unsynced data.
const SYNC_FAILURES: [FaultClass; 3] =
    [FaultClass::SyncFailedKept, FaultClass::SyncFailedDropped, FaultClass::SyncFailedPartly];

impl Draft {
    /// The classes of faults that come of this.
    pub(super) fn classes(self) -> &'static [FaultClass] {
        match self {
            Self::Interrupted => &[FaultClass::Interrupted],
            Self::ShortRead => &[FaultClass::ShortRead],
            Self::ShortWrite => &[FaultClass::ShortWrite],
            Self::TornRead => &[FaultClass::TornRead],
            Self::Eio => &[FaultClass::Eio, FaultClass::EioStays, FaultClass::ReadOnlyStays],
            Self::Enospc => &[FaultClass::Enospc],
            Self::EioLanded => &[FaultClass::EioLanded],
            Self::Again => &[FaultClass::Again],
            Self::PunchUnsupported => &[FaultClass::PunchUnsupported],
            Self::EnospcFor => &[FaultClass::EnospcFor, FaultClass::EnospcStays],
            Self::Edquot => &[FaultClass::Edquot],
            Self::Efbig => &[FaultClass::Efbig, FaultClass::SizeLimit],
            Self::WriteZero => &[FaultClass::WriteZero, FaultClass::WriteZeroStays],
            Self::SyncFailed => &SYNC_FAILURES,
            Self::WritebackFailed => &[FaultClass::WritebackFailed],
            Self::Latency => &[FaultClass::Latency],
            Self::LateReturn => &[FaultClass::LateReturn],
            Self::BitFlip => &[FaultClass::BitFlip],
            Self::LostWrite => &[FaultClass::LostWrite],
            Self::MisdirectedWrite => &[FaultClass::MisdirectedWrite],
            Self::MisdirectedRead => &[FaultClass::MisdirectedRead],
            Self::StaleRead => &[FaultClass::StaleRead],
            Self::LatentSector => &[FaultClass::LatentSector],
        }
    }
}

impl Generator<'_> {
    /// One fault, or several in a row.
    pub(super) fn faults(&mut self, swarm: &Swarm, device: &DeviceSpec, step: &mut Step) {
        let length = step.op.request().and_then(Request::span).map_or(0, |it| it.1);
        let syncs = matches!(step.op, Op::Flush | Op::Barrier | Op::Close | Op::Reopen);
        let count = if self.faults.chance(1, 3) { self.faults.between(2, 4) } else { 1 };
        let first = self.first_call();
        if self.accepts.takes_odd_short_writes() && self.faults.chance(1, 16) {
            return self.torn_and_refused(swarm, device, step, length);
        }
        for (call, _) in (first..).zip(0..count) {
            let draft = *self.faults.pick(&swarm.kinds);
            let fails = syncs && self.faults.chance(1, 2) && self.sync_failures().next().is_some();
            let draft = if fails { Draft::SyncFailed } else { draft };
            let kind = self.kind(draft, device, length);
            let kind = match kind {
                FaultKind::ShortWrite(count) => self.short_write(count, swarm, device, step.op),
                _ => Some(kind),
            };
            step.faults.extend(kind.map(|kind| Fault { call, kind }));
        }
    }

    /// Short writes, one after another, and then refusals: what a disk that fills up does to a
    /// write that goes on, or that is made of several.
    fn torn_and_refused(
        &mut self,
        swarm: &Swarm,
        device: &DeviceSpec,
        step: &mut Step,
        length: u64,
    ) {
        let shorts = self.faults.between(1, 2);
        let refusals = self.faults.between(2, 3);
        let taken = |draft: Draft| swarm.kinds.contains(&draft);
        if !taken(Draft::ShortWrite) || !taken(Draft::Eio) {
            return;
        }
        for (call, at) in (0..).zip(0..shorts + refusals) {
            let draft = if at < shorts { Draft::ShortWrite } else { Draft::Eio };
            let kind = self.kind(draft, device, length);
            step.faults.push(Fault { call, kind });
        }
    }

    /// Which raw call of an operation is the first to meet a fault: an early one, and now and then
    /// a late one of a device that makes many.
    fn first_call(&mut self) -> u32 {
        let late = self.accepts.makes_many_calls() && self.faults.chance(1, 4);
        let first = match late {
            true => self.faults.between(4, 15),
            false => self.faults.weighted(&[6, 2, 1, 1]) as u64,
        };
        u32::try_from(first).unwrap_or(0)
    }

    /// The failures of a sync that the device takes.
    fn sync_failures(&self) -> impl Iterator<Item = FaultClass> {
        SYNC_FAILURES.into_iter().filter(|&class| self.accepts.takes(class))
    }

    /// A write that stops short where the device takes it; another fault of the swarm, if there is
    /// any, for a request of a single sector that cannot stop inside it.
    fn short_write(
        &mut self,
        count: u32,
        swarm: &Swarm,
        device: &DeviceSpec,
        op: Op,
    ) -> Option<FaultKind> {
        if let Some(count) = self.accepts.short_write(count, op, device.sector_size) {
            return Some(FaultKind::ShortWrite(count));
        }
        let is_other = |draft: &Draft| *draft != Draft::ShortWrite;
        let others: Vec<Draft> = swarm.kinds.iter().copied().filter(is_other).collect();
        if others.is_empty() {
            return None;
        }
        let draft = *self.faults.pick(&others);
        let length = op.request().and_then(Request::span).map_or(0, |it| it.1);
        Some(self.kind(draft, device, length))
    }

    /// Now and then a future is dropped when a call of it has taken effect and not answered yet.
    /// Half of the syncs among these calls fail, and nobody is there to hear of it.
    pub(super) fn drop_after_the_effect(&mut self, device: &DeviceSpec, step: &mut Step) {
        let late = self.crash.chance(1, 3) && self.accepts.takes(FaultClass::LateReturn);
        let steps = u32::try_from(self.crash.between(3, 8)).unwrap_or(3);
        if !late || !step.faults.is_empty() {
            return;
        }
        let syncs = step.op.request().is_some_and(Request::makes_durable) || step.op == Op::Reopen;
        let fails = syncs && self.crash.chance(1, 2) && self.sync_failures().next().is_some();
        // The sync of an FUA write comes after its data.
        let call = match fails {
            true => u32::from(matches!(step.op, Op::Write { .. })),
            false => u32::try_from(self.crash.weighted(&[5, 2, 1, 1])).unwrap_or(0),
        };
        if fails {
            let kind = self.kind(Draft::SyncFailed, device, 0);
            step.faults.push(Fault { call, kind });
        }
        step.faults.push(Fault { call, kind: FaultKind::LateReturn(steps) });
        step.drop_at = Some(steps - 1 + call * 2);
    }

    fn kind(&mut self, draft: Draft, device: &DeviceSpec, length: u64) -> FaultKind {
        let failures: Vec<FaultClass> = self.sync_failures().collect();
        let rng = &mut self.faults;
        // Often at the edge of a sector, or a byte beside it.
        let sector = u64::from(device.sector_size);
        let count = match rng.below(4) {
            0 => rng.between(1, length.max(2) - 1),
            1 => sector * rng.between(1, (length / sector).max(1)),
            2 => sector * rng.between(1, (length / sector).max(1)) - 1,
            _ => sector * rng.below((length / sector).max(1)) + rng.between(1, sector - 1),
        };
        let count = u32::try_from(count).unwrap_or(1);
        let few = u32::try_from(rng.between(1, 6)).unwrap_or(1);
        let near = i32::try_from(few).unwrap_or(1) * if rng.chance(1, 2) { 1 } else { -1 };
        // Now and then a fault stays until the device is opened again.
        let lasting = rng.chance(1, 8);
        let stays = |class| lasting && self.accepts.takes(class);
        let half = rng.chance(1, 2);
        let unsupported = rng.chance(1, 4);
        match draft {
            Draft::Interrupted => FaultKind::Interrupted,
            Draft::ShortRead => FaultKind::ShortRead(count),
            Draft::ShortWrite => FaultKind::ShortWrite(count),
            Draft::TornRead => FaultKind::TornRead(count),
            Draft::Eio if half && stays(FaultClass::EioStays) => FaultKind::EioStays,
            Draft::Eio if stays(FaultClass::ReadOnlyStays) => FaultKind::ReadOnlyStays,
            Draft::Eio => FaultKind::Eio,
            Draft::EioLanded => FaultKind::EioLanded(landed(rng)),
            Draft::Again => FaultKind::Again,
            Draft::PunchUnsupported if unsupported => FaultKind::PunchUnsupported,
            // It is rare, as it leaves nobody to say what a trim has done.
            Draft::PunchUnsupported => FaultKind::Interrupted,
            Draft::Enospc => FaultKind::Enospc,
            Draft::EnospcFor if stays(FaultClass::EnospcStays) => FaultKind::EnospcStays,
            Draft::EnospcFor => FaultKind::EnospcFor(few),
            Draft::Edquot => FaultKind::Edquot,
            Draft::Efbig if stays(FaultClass::SizeLimit) => FaultKind::SizeLimit(count),
            Draft::Efbig => FaultKind::Efbig,
            Draft::WriteZero if stays(FaultClass::WriteZeroStays) => FaultKind::WriteZeroStays,
            Draft::WriteZero => FaultKind::WriteZero,
            Draft::SyncFailed => {
                let dirty = match rng.pick(&failures) {
                    FaultClass::SyncFailedKept => Dirty::Kept,
                    FaultClass::SyncFailedDropped => Dirty::Dropped,
                    _ => Dirty::Partly(rng.next_u64() >> 32),
                };
                match rng.weighted(&[6, 1, 1]) {
                    1 if self.accepts.takes(FaultClass::SyncEnospc) => FaultKind::SyncEnospc(dirty),
                    2 if self.accepts.takes(FaultClass::SyncEdquot) => FaultKind::SyncEdquot(dirty),
                    _ => FaultKind::SyncFailed(dirty),
                }
            }
            Draft::WritebackFailed => FaultKind::WritebackFailed,
            Draft::Latency => FaultKind::Latency(few),
            Draft::LateReturn => FaultKind::LateReturn(few),
            Draft::BitFlip => FaultKind::BitFlip(count),
            Draft::LostWrite => FaultKind::LostWrite,
            Draft::MisdirectedWrite => FaultKind::MisdirectedWrite(near),
            Draft::MisdirectedRead => FaultKind::MisdirectedRead(near),
            Draft::StaleRead => FaultKind::StaleRead,
            Draft::LatentSector => FaultKind::LatentSector(count),
        }
    }
}

/// Which sectors of a failed write have landed: all, all but one, only one, or any.
fn landed(rng: &mut Rng) -> u64 {
    let one = 1 << rng.below(8);
    match rng.weighted(&[3, 2, 1, 2]) {
        0 => u64::MAX,
        1 => !one,
        2 => one,
        _ => rng.next_u64() >> 32,
    }
}
