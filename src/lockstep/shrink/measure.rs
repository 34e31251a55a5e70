//! How large a scenario is, for the person who has to understand it.

use crate::disk::{CrashPolicy, Dirty, Fault, FaultKind};
use crate::model::Data;
use crate::scenario::{DropOn, Op, Scenario, Step};

/// The size of a scenario. The fields are compared in this order, so that nothing that comes first
/// is ever traded for something that comes later. No scenario has endlessly many smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Measure {
    /// Operations.
    steps: u64,
    /// Clients, and the sum of their numbers over all operations.
    clients: (u8, u64),
    /// Faults, dropped futures, and crashes inside of operations.
    disturbances: u64,
    /// Sector size, block size and block count of the device.
    geometry: (u32, u32, u64),
    /// Of the rest of the device: how far the file is from being as long as the device or empty,
    /// the trim mode, whether it is read-only, and the size of the heap. Whether transfers are in
    /// pieces.
    settings: (bool, u64, u8, bool, u32, bool),
    /// The sum of all lengths in bytes.
    bytes: u128,
    /// The sum of all offsets in bytes.
    offsets: u128,
    /// The sum of the ranks of operations, faults and policies of what survives.
    ranks: u64,
    /// The sum of the numbers that go with faults and crashes.
    parameters: u128,
    /// The seed of the schedule, and what tells the contents from others.
    seeds: (u64, u64),
}

impl Measure {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let (device, steps) = (&scenario.device, &scenario.steps);
        let size = device.size();
        let file = match device.file_length {
            whole if whole == size => 0,
            length => length.saturating_add(1),
        };
        let spans = || steps.iter().filter_map(|step| step.op.request()?.span());
        Self {
            steps: steps.len() as u64,
            clients: (scenario.clients(), steps.iter().map(|it| u64::from(it.client)).sum()),
            disturbances: steps.iter().map(disturbances).sum(),
            geometry: (device.sector_size, device.block_size, device.block_count),
            settings: (
                device.used,
                file,
                device.trim as u8,
                device.read_only,
                device.heap,
                scenario.in_pieces,
            ),
            bytes: spans().map(|(_, length)| u128::from(length)).sum(),
            offsets: spans().map(|(offset, _)| u128::from(offset)).sum(),
            ranks: steps.iter().map(rank).sum(),
            parameters: steps.iter().map(parameters).sum(),
            seeds: (scenario.schedule, scenario.salt),
        }
    }
}

fn disturbances(step: &Step) -> u64 {
    let others = u64::from(step.drop_at.is_some()) + u64::from(step.crash_at.is_some());
    step.faults.len() as u64 + others
}

/// What survives crashes of this step.
fn survivors(step: &Step) -> impl Iterator<Item = CrashPolicy> {
    let whole = match step.op {
        Op::Crash(survivors) => Some(survivors),
        _ => None,
    };
    whole.into_iter().chain(step.crash_at.map(|(_, survivors)| survivors))
}

fn rank(step: &Step) -> u64 {
    let fua = matches!(step.op, Op::Write { fua: true, .. });
    let unusual = u64::from(step.op.data() != Data::Unique);
    let crashes: u64 = survivors(step).map(rank_of_policy).sum();
    let faults: u64 = step.faults.iter().map(|fault| fault.kind.class() as u64).sum();
    let early = u64::from(step.drop_on == DropOn::NextPoll);
    u64::from(fua) + unusual + crashes + faults + early
}

/// The place of a policy when the easiest to understand come first.
fn rank_of_policy(survivors: CrashPolicy) -> u64 {
    match survivors {
        CrashPolicy::None => 0,
        CrashPolicy::All => 1,
        CrashPolicy::NewestKept => 2,
        CrashPolicy::NewestLost => 3,
        CrashPolicy::Mask(_) => 4,
        CrashPolicy::OneKept(_) => 5,
        CrashPolicy::OneLost(_) => 6,
        CrashPolicy::Runs(_) => 7,
        CrashPolicy::Random(_) => 8,
        CrashPolicy::TornBytes(_) => 9,
        CrashPolicy::Garbage(_) => 10,
        CrashPolicy::Unreadable(_) => 11,
        CrashPolicy::Kill => 12,
    }
}

fn parameters(step: &Step) -> u128 {
    let of_fault = |fault: &Fault| u128::from(fault.call) + u128::from(parameter(fault.kind));
    let faults: u128 = step.faults.iter().map(of_fault).sum();
    let crashes: u128 = survivors(step).map(|survivors| u128::from(survivors.code().1)).sum();
    let suspensions = step.drop_at.into_iter().chain(step.crash_at.map(|(at, _)| at));
    faults + crashes + suspensions.map(u128::from).sum::<u128>()
}

/// The number that goes with a kind of fault; backwards counts as further than forwards.
fn parameter(kind: FaultKind) -> u64 {
    match kind {
        FaultKind::ShortRead(number)
        | FaultKind::ShortWrite(number)
        | FaultKind::TornRead(number)
        | FaultKind::EnospcFor(number)
        | FaultKind::BitFlip(number)
        | FaultKind::LatentSector(number)
        | FaultKind::Latency(number)
        | FaultKind::LateReturn(number) => number.into(),
        FaultKind::MisdirectedWrite(sectors) | FaultKind::MisdirectedRead(sectors) => {
            2 * u64::from(sectors.unsigned_abs()) + u64::from(sectors < 0)
        }
        FaultKind::EioLanded(landed) => landed,
        kind if let Some(Dirty::Partly(seed)) = kind.dirty() => seed,
        _ => 0,
    }
}
