//! Any scenario: the real device has to agree with its twin.
#![no_main]
#![forbid(unsafe_code)]

use blocktwin::scenario::Scenario;
use blocktwin_fuzz::{Flavour, crossover, judge, mutate};
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|scenario: Scenario| judge(&scenario));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed, Flavour::Usual, fuzzer_mutate)
});

fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    crossover(one, other, out, seed)
});
