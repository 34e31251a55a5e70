//! Bytes choose the seed and the profile of a scenario; the real device has to agree with its twin.
#![no_main]
#![forbid(unsafe_code)]

use arbitrary::{Arbitrary, Unstructured};
use blocktwin::lockstep::{Verdict, run};
use blocktwin::scenario::{Profile, generate};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let (Ok(seed), Ok(profile)) = (u64::arbitrary(&mut bytes), bytes.choose(&Profile::ALL)) else {
        return;
    };
    let report = run(&generate(seed, *profile)).expect("a generated scenario runs in memory");
    assert_eq!(report.verdict, Verdict::Pass, "seed {seed}, profile {}", profile.name());
});
