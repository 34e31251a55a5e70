//! How long a scenario is, and for how much of it the device stays open.
//!
//! What a device counts since it was opened only overflows where nothing opens it again: a number
//! of eight bits after 256 requests, the entries of a ring after a thousand. So most long scenarios
//! have no crash, kill or reopening before their last tenth. They are cheap, or there could be few
//! of them: mostly one client, a few blocks a request, and few faults.

use super::super::DeviceSpec;
use super::{DRAWS, Draft, Draw, Generator, Swarm};
use crate::disk::Fault;

/// Bytes of the smallest device that is made for large transfers.
pub(super) const LARGE: u64 = 2 << 20;

/// Most blocks of a request that the [byte format](crate::scenario::codec) can say.
const MOST_BLOCKS: u64 = 2048;

impl Generator<'_> {
    /// Draws how many steps a scenario has, and changes the swarm to what goes with it; `large` if
    /// the device was drawn for large transfers.
    pub(super) fn stretch(&mut self, swarm: &mut Swarm, device: &DeviceSpec, large: bool) {
        let rng = &mut self.rng;
        if large && device.size().min(device.heap.into()) >= LARGE {
            // Few steps, as each moves much.
            let most = if rng.chance(1, 3) { 2 * LARGE } else { LARGE * 3 / 4 };
            let longest = rng.between(LARGE / 2, most) / u64::from(device.block_size) + 1;
            swarm.longest = longest.min(MOST_BLOCKS);
            (swarm.large, swarm.steps) = (true, rng.between(8, 12));
            return;
        }
        let (steps, stays_open) = match rng.weighted(&[3900, 100, 16, 4]) {
            0 => (rng.between(8, 96), false),
            1 => (rng.between(97, 600), rng.chance(1, 2)),
            2 => (rng.between(601, 1200), rng.chance(7, 8)),
            _ => (rng.between(1201, 5000), rng.chance(7, 8)),
        };
        swarm.steps = steps;
        if stays_open {
            swarm.open_for = steps - steps / 10;
            swarm.faults = swarm.faults.min(16);
            swarm.drops = swarm.drops.min(16);
            swarm.longest = swarm.longest.min(rng.between(1, 4));
            if rng.chance(3, 4) {
                swarm.clients = 1;
            }
        }
    }
}

impl Swarm {
    /// The swarm of the steps during which the device stays open.
    pub(super) fn while_open(&self) -> Self {
        let mut swarm = self.clone();
        for (weight, draw) in swarm.weights.iter_mut().zip(DRAWS) {
            if matches!(draw, Draw::Close | Draw::Reopen | Draw::Crash) {
                *weight = 0;
            }
        }
        swarm.crashes = 0;
        swarm.kinds.retain(|draft| !matches!(draft, Draft::SyncFailed | Draft::WritebackFailed));
        if swarm.kinds.is_empty() {
            swarm.faults = 0;
        }
        swarm
    }
}

/// Whether a device has to be opened again because of this fault.
pub(super) fn ends_service(fault: &Fault) -> bool {
    fault.kind.fails_sync() || fault.kind.stays()
}
