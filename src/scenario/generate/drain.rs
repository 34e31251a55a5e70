//! Drains between the operations of a scenario.

use super::super::{Op, Scenario, Step};
use crate::rng::Rng;

impl Scenario {
    /// In one of eight scenarios, the device is drained now and then, and more often where a
    /// request was dropped just before, of which a call may still be under way.
    pub(super) fn drain_in_between(&mut self, rng: &mut Rng) {
        if !rng.chance(1, 8) {
            return;
        }
        let clients = u64::from(self.clients()).max(1);
        let mut steps = Vec::with_capacity(self.steps.len() * 2);
        for step in self.steps.drain(..) {
            let odds = if step.drop_at.is_some() { 2 } else { 8 };
            steps.push(step);
            if rng.chance(1, odds) {
                let client = u8::try_from(rng.below(clients)).unwrap_or(0);
                steps.push(Step { client, ..Step::new(Op::Drain) });
            }
        }
        self.steps = steps;
    }
}
