//! Any bytes are a scenario, and what was decoded is encoded again.
#![no_main]
#![forbid(unsafe_code)]

use blocktwin::scenario::{decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let scenario = decode(bytes);
    let encoded = encode(&scenario).expect("what was decoded can be encoded");
    assert_eq!(decode(&encoded), scenario);
});
