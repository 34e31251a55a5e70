//! Any text is refused, or run within the limits, and then the real device agrees with its twin.
#![no_main]
#![forbid(unsafe_code)]

use blocktwin_fuzz::text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    text(bytes);
});
