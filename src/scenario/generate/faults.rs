//! Which faults an operation meets.

use super::super::{DeviceSpec, Op, Step};
use super::{Generator, Swarm};
use crate::disk::{Dirty, Fault, FaultKind};
use crate::model::Request;

/// A kind of fault whose parameters are still to be drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    Interrupted,
    ShortRead,
    ShortWrite,
    Eio,
    Enospc,
    EnospcFor,
    Edquot,
    Efbig,
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
pub(super) const HONEST: [Draft; 13] = [
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

impl Generator {
    /// One fault, or several in a row.
    pub(super) fn faults(&mut self, swarm: &Swarm, device: &DeviceSpec, step: &mut Step) {
        let length = step.op.request().and_then(Request::span).map_or(0, |it| it.1);
        let syncs = matches!(step.op, Op::Flush | Op::Barrier | Op::Close | Op::Reopen);
        let count = if self.faults.chance(1, 3) { self.faults.between(2, 4) } else { 1 };
        let first = u32::try_from(self.faults.weighted(&[6, 2, 1, 1])).unwrap_or(0);
        for (call, _) in (first..).zip(0..count) {
            let draft = *self.faults.pick(&swarm.kinds);
            let draft = if syncs && self.faults.chance(1, 2) { Draft::SyncFailed } else { draft };
            let kind = self.kind(draft, device, length);
            step.faults.push(Fault { call, kind });
        }
    }

    fn kind(&mut self, draft: Draft, device: &DeviceSpec, length: u64) -> FaultKind {
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
        match draft {
            Draft::Interrupted => FaultKind::Interrupted,
            Draft::ShortRead => FaultKind::ShortRead(count),
            Draft::ShortWrite => FaultKind::ShortWrite(count),
            Draft::Eio => FaultKind::Eio,
            Draft::Enospc => FaultKind::Enospc,
            Draft::EnospcFor => FaultKind::EnospcFor(few),
            Draft::Edquot => FaultKind::Edquot,
            Draft::Efbig => FaultKind::Efbig,
            Draft::WriteZero => FaultKind::WriteZero,
            Draft::SyncFailed => FaultKind::SyncFailed(match rng.below(3) {
                0 => Dirty::Kept,
                1 => Dirty::Dropped,
                _ => Dirty::Partly(rng.next_u64() >> 32),
            }),
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
