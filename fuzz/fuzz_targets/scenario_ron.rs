//! Any text is a scenario or an error, and a scenario is printed as what is read again.
#![no_main]
#![forbid(unsafe_code)]

use blocktwin::scenario::{parse, print};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(scenario) => assert_eq!(parse(&print(&scenario)).as_ref(), Ok(&scenario)),
        Err(error) => assert!(error.line >= 1 && error.column >= 1, "{error}"),
    }
});
