//! Many requests under way at once, and one that has to wait for all of them.
//!
//! Clients that draw their operations one by one seldom have ten writes under way, or two late ones
//! before the flush that owes them to nobody. So now and then the first steps of a scenario are
//! just that: writes side by side that take their time, a request of what they all wrote, and reads
//! of it.

use super::super::{Accepts, DeviceSpec, Op, Scenario, Step};
use super::LATE;
use crate::disk::{Fault, FaultClass, FaultKind};
use crate::rng::Rng;

/// Clients that are many.
const MANY: usize = 6;

impl Scenario {
    /// In some scenarios, the first steps become a burst: where there are many clients, or where
    /// the device makes calls that outlive a request.
    pub(super) fn begin_with_burst(&mut self, accepts: &Accepts, rng: &mut Rng) {
        let clients = 1 + self.steps.iter().map(|step| usize::from(step.client)).max().unwrap_or(0);
        let many = clients >= MANY;
        let odds = if accepts.makes_many_calls() { 16 } else { 64 };
        let takes = accepts.takes(FaultClass::Latency) && !self.device.read_only;
        if !rng.chance(1, if many { 2 } else { odds }) || !takes {
            return;
        }
        let writes = if many { clients as u64 } else { rng.between(2, 4) };
        let drops = !many && accepts.takes(FaultClass::Dropped);
        let burst = burst(&self.device, writes, drops, rng);
        if self.steps.len() < burst.len() {
            return;
        }
        // Each client starts with a write of its own, or one client drops them all.
        let of = |at: usize| if drops { 0 } else { at % clients };
        for (at, (step, op)) in self.steps.iter_mut().zip(burst).enumerate() {
            *step = Step { client: u8::try_from(of(at)).unwrap_or(0), ..op };
        }
    }
}

/// The writes, what has to wait for them, and two reads.
fn burst(device: &DeviceSpec, writes: u64, drops: bool, rng: &mut Rng) -> Vec<Step> {
    let block = u64::from(device.block_size);
    let most = device.block_count.min(u64::from(device.heap) / block);
    let blocks = most.min(writes);
    let first = rng.between(0, (device.block_count - blocks).min(8)) * block;
    let all = blocks * block;
    let mut steps: Vec<Step> = (0..writes)
        .map(|at| {
            let mut step = Step::new(Op::write(first + at % blocks * block, block));
            let late = u32::try_from(rng.between(LATE.into(), 24)).unwrap_or(LATE);
            step.faults.push(Fault { call: 0, kind: FaultKind::Latency(late) });
            step.drop_at = drops.then_some(1);
            step
        })
        .collect();
    let waits = match rng.below(4) {
        0 => Op::write(first, all),
        1 => Op::trim(first, all),
        _ => Op::Flush,
    };
    let read = Op::Read { offset: first, length: all };
    steps.extend([waits, read, read].map(Step::new));
    steps
}
