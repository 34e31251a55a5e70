//! Variants of a scenario that a device must not be able to tell by what it holds in the end.

use super::{Op, Scenario, Step};

impl Scenario {
    /// The same clients, interleaved by another seed.
    #[must_use]
    pub fn with_schedule(&self, seed: u64) -> Self {
        Self { schedule: seed, expect: None, ..self.clone() }
    }

    /// Without the faults that a device has to absorb: interruptions, short transfers and delays.
    /// The others stay pinned to the same calls, of which there may be fewer.
    #[must_use]
    pub fn without_transients(&self) -> Self {
        let mut scenario = Self { expect: None, ..self.clone() };
        for step in &mut scenario.steps {
            step.faults.retain(|fault| !fault.kind.is_transient());
        }
        scenario
    }

    /// With every write in pieces of one block, one after another; and for each operation, which
    /// one it was before, both from 1. Writes that have to be refused stay whole, and those that
    /// hardly fit the heap. What disturbs a write disturbs its first piece.
    ///
    /// ```
    /// use blocktwin::scenario::{Op, Profile, Step, generate};
    ///
    /// let mut scenario = generate(1, Profile::Default);
    /// let block = u64::from(scenario.device.block_size);
    /// (scenario.device.block_count, scenario.device.heap) = (4, 32 << 20);
    /// let write = Op::write(block, 2 * block);
    /// scenario.steps = vec![Step::new(Op::Flush), Step::new(write)];
    /// let (split, origins) = scenario.split_writes();
    /// assert_eq!(split.steps[2].op, Op::write(2 * block, block));
    /// assert_eq!(origins, [1, 2, 2]);
    /// ```
    #[must_use]
    pub fn split_writes(&self) -> (Self, Vec<u32>) {
        let (mut steps, mut origins) = (Vec::new(), Vec::new());
        for (step, origin) in self.steps.iter().zip(1..) {
            steps.push(step.clone());
            if let Op::Write { offset, length, fua, data } = step.op
                && self.is_splittable(offset, length)
            {
                let block = u64::from(self.device.block_size);
                let pieces = (offset..offset + length).step_by(self.device.block_size as usize);
                let pieces = pieces.map(|offset| Op::Write { offset, length: block, fua, data });
                let undisturbed = pieces.map(|op| Step { client: step.client, ..Step::new(op) });
                let whole = steps.len() - 1;
                steps.splice(whole.., undisturbed);
                steps[whole] = Step { op: steps[whole].op, ..step.clone() };
            }
            origins.resize(steps.len(), origin);
        }
        (Self { steps, expect: None, ..self.clone() }, origins)
    }

    fn is_splittable(&self, offset: u64, length: u64) -> bool {
        let geometry = self.device.geometry();
        let served = geometry.is_ok_and(|geometry| geometry.check(offset, length).is_ok());
        // The heap gives at least the power of two that it holds.
        served && length > 0 && 2 * length <= u64::from(self.device.heap)
    }
}
