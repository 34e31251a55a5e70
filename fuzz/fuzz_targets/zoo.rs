//! Any scenario on a device of the zoo, planted bugs and all: how soon does fuzzing find them?
//!
//! The environment names the device, as in `BLOCKTWIN_DEVICE=barrier-late`; `.ci/power` does that.
#![no_main]
#![forbid(unsafe_code)]

#[path = "../../sim/src/zoo/mod.rs"]
#[expect(dead_code, unused_imports, reason = "only the subjects are needed here")]
mod zoo;

use blocktwin::disk::Medium;
use blocktwin::lockstep::{Runner, scenarios_for};
use blocktwin::scenario::{Accepts, Scenario};
use blocktwin_fuzz::{Flavour, crossover, judge_on, mutate};
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::cell::RefCell;
use zoo::BugSubject;

/// The variable that names the device.
const DEVICE: &str = "BLOCKTWIN_DEVICE";

thread_local! {
    /// The device, and which scenarios are for it.
    static RUNNER: RefCell<(Runner<BugSubject>, Accepts)> = RefCell::new(runner());
}

fn runner() -> (Runner<BugSubject>, Accepts) {
    let name = std::env::var(DEVICE).unwrap_or_default();
    let entry = zoo::find(&name);
    let entry = entry.unwrap_or_else(|| panic!("{DEVICE}: no device is called \"{name}\""));
    let accepts = scenarios_for(&entry.subject());
    (Runner::new(entry.subject(), Medium::Memory), accepts)
}

fuzz_target!(|scenario: Scenario| {
    let mut scenario = scenario;
    RUNNER.with_borrow_mut(|(runner, accepts)| {
        accepts.fit(&mut scenario);
        judge_on(runner, &scenario);
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed, Flavour::Usual, fuzzer_mutate)
});

fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    crossover(one, other, out, seed)
});
