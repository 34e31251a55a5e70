//! Transfer buffers: none overlaps another, none leaks, and nobody waits for what is there.
#![no_main]
#![forbid(unsafe_code)]

use blocktwin_fuzz::buffers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| buffers(bytes));
