//! Lockstep simulation: the default campaign, as `blocktwin bugs` runs it.

use crate::stand::Hunt;
use blocktwin::disk::Medium;
use blocktwin::lockstep::{Options, Runner, Verdict, scenarios_for};
use blocktwin::scenario::{Profile, generate_for};

/// From one base seed to the next.
const BASE: u64 = 1_000_000;

/// What is wrong with the device, if that is found in time.
pub(crate) fn hunt(hunt: &Hunt) -> Option<String> {
    let accepts = scenarios_for(&hunt.under());
    let mut runner = Runner::new(hunt.under(), Medium::Memory);
    for seed in hunt.seed * BASE.. {
        let scenario = generate_for(seed, Profile::Default, &accepts);
        let report = runner.run(&scenario, Options::default());
        let report = report.expect("memory holds every scenario");
        if let Verdict::Diverged(divergence) = report.verdict {
            return Some(divergence.violation.sentence);
        }
        if hunt.is_over() {
            break;
        }
    }
    None
}
