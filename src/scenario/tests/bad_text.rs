//! Every text that is no scenario is an error that says where and why, and never a panic.

use crate::rng::{Purpose, Rng};
use crate::scenario::{MAX_STEPS, ScenarioError, parse, print};

const GOOD: &str = "(
    version: 1,
    device: (sector_size: 512, block_size: 4096, block_count: 16, file_length: 65536, heap: 8192),
    schedule: 1,
    salt: 2,
    steps: [
        (op: Write(offset: 0, length: 4096), faults: [(call: 0, kind: Eio)]),
        (client: 1, op: Flush, drop_at: Some(1), crash_at: Some((2, Random(3)))),
        (op: Crash(All)),
    ],
)
";

/// The error about `GOOD` with one thing replaced; where it has to be at, and what it has to say.
#[track_caller]
fn refused(good: &str, bad: &str, line: usize, reason: &str) -> ScenarioError {
    assert!(GOOD.contains(good), "{good}");
    let error = parse(&GOOD.replace(good, bad)).unwrap_err();
    assert!(error.reason.contains(reason), "{error}");
    assert_eq!(error.line, line, "{error}");
    assert!(error.column >= 1, "{error}");
    let says = format!("line {line}, column {}: {}", error.column, error.reason);
    assert_eq!(error.to_string(), says);
    error
}

#[test]
fn the_good_text_is_good() {
    let scenario = parse(GOOD).unwrap();
    assert_eq!(scenario.steps.len(), 3);
    assert_eq!(parse(&print(&scenario)), Ok(scenario));
}

#[test]
fn nothing_is_no_scenario() {
    for text in ["", " ", "\n\t \n"] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.to_string(), "line 1, column 1: the file is empty");
    }
}

#[test]
fn a_truncated_text_is_an_error_or_all_there() {
    let scenario = parse(GOOD).unwrap();
    for whole in [GOOD.to_owned(), print(&scenario)] {
        let text = whole.trim_end();
        for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
            let error = parse(&text[..end]).expect_err(&text[..end]);
            assert!(error.line >= 1 && error.column >= 1 && !error.reason.is_empty(), "{error}");
            assert!(error.line <= text[..end].lines().count() + 1, "{error}");
        }
        assert_eq!(parse(text).as_ref(), Ok(&scenario));
    }
}

#[test]
fn another_version_is_named_before_anything_it_may_have_changed() {
    let error = refused("version: 1", "version: 7", 2, "version 7 is unknown");
    assert_eq!(error.column, 5);
    assert!(error.reason.contains("version 1"), "{error}");
    refused("version: 1", "version: 0", 2, "version 0 is unknown");
    refused("version: 1", "version: 7,\n    colour: Red(3)", 2, "version 7 is unknown");
    refused("(\n    version: 1", "(colour: [Red(hue: 3)],\n    version: 7", 2, "version 7");
    refused("    version: 1,\n", "", 10, "version");
    refused("version: 1", "version: -1", 2, "");
    refused("version: 1", "version: 4294967296", 2, "");
}

#[test]
fn a_device_that_cannot_be_is_refused() {
    for (good, bad, reason) in [
        ("sector_size: 512", "sector_size: 0", "sector size 0"),
        ("sector_size: 512", "sector_size: 513", "sector size 513"),
        ("sector_size: 512", "sector_size: 8192", "sector size 8192"),
        ("block_size: 4096", "block_size: 0", "block size 0"),
        ("block_size: 4096", "block_size: 4095", "power of two"),
        ("block_size: 4096", "block_size: 256", "block size 256"),
        ("block_count: 16", "block_count: 0", "no blocks"),
        ("block_count: 16", "block_count: 18446744073709551615", "i64::MAX"),
        ("block_count: 16", "block_count: 2251799813685248", "i64::MAX"),
        ("file_length: 65536", "file_length: 65537", "65537 bytes under a device of 65536"),
        ("file_length: 65536", "file_length: 1114113, used: true", "at most 1114112"),
        ("heap: 8192", "heap: 0", "heap of 0"),
        ("heap: 8192", "heap: 4095", "heap of 4095"),
        ("heap: 8192", "heap: 33554433", "heap of 33554433"),
        ("heap: 8192", "heap: 4294967296", ""),
        ("heap: 8192", "heap: 8192, trim: Shred", "Shred"),
    ] {
        refused(good, bad, 3, reason);
    }
}

#[test]
fn a_device_at_the_edge_of_what_can_be_is_taken() {
    for (good, bad) in [
        ("block_count: 16", "block_count: 2251799813685247"),
        ("file_length: 65536", "file_length: 0"),
        ("file_length: 65536", "file_length: 1114112, used: true"),
        ("heap: 8192", "heap: 4096"),
        ("heap: 8192", "heap: 33554432"),
        ("block_size: 4096", "block_size: 4096, read_only: true"),
    ] {
        assert!(parse(&GOOD.replace(good, bad)).is_ok(), "{bad}");
    }
}

#[test]
fn an_operation_that_cannot_be_is_refused() {
    let nine = format!("faults: [{}]", "(call: 0, kind: Eio), ".repeat(9));
    let long = format!("length: {}", (64 << 20) + 512);
    refused("client: 1", "client: 16", 8, "client 16");
    refused("client: 1", "client: 256", 8, "");
    refused("client: 1", "client: -1", 8, "");
    refused("faults: [(call: 0, kind: Eio)]", &nine, 7, "9 faults");
    refused("length: 4096", &long, 7, "67109376 bytes in one transfer");
    refused("kind: Eio", "kind: Ebadf", 7, "Ebadf");
    refused("op: Flush", "op: Fsync", 8, "Fsync");
    refused("Random(3)", "Most", 8, "Most");
    refused("offset: 0, ", "", 7, "offset");
    refused("offset: 0", "offset: 18446744073709551616", 7, "");
}

#[test]
fn an_operation_at_the_edge_of_what_can_be_is_taken() {
    let eight = format!("faults: [{}]", "(call: 0, kind: Eio), ".repeat(8));
    for (good, bad) in [
        ("client: 1", "client: 15"),
        ("faults: [(call: 0, kind: Eio)]", &*eight),
        ("length: 4096", "length: 67108864"),
        ("op: Flush", "op: Trim(offset: 18446744073709551615, length: 18446744073709551615)"),
    ] {
        assert!(parse(&GOOD.replace(good, bad)).is_ok(), "{bad}");
    }
}

#[test]
fn an_unknown_field_is_refused_wherever_it_is() {
    refused("salt: 2", "salt: 2, pepper: 3", 5, "pepper");
    refused("heap: 8192", "heap: 8192, stack: 1", 3, "stack");
    refused("op: Flush", "op: Flush, colour: 1", 8, "colour");
    refused("call: 0", "call: 0, hang_up: 1", 7, "hang_up");
    refused("length: 4096", "length: 4096, width: 1", 7, "width");
    refused("salt: 2", "salt: 2, salt: 2", 5, "salt");
    refused("salt: 2", "salt: 2, expect: Some((verdict: Fail(Rusty), digest: \"\"))", 5, "Rusty");
}

#[test]
fn as_many_operations_as_there_may_be_and_one_more() {
    let with = |count: usize| {
        let steps = "(op: Flush),".repeat(count - 1);
        parse(&GOOD.replace("(op: Crash(All)),", "").replacen("(op", &(steps + "(op"), 1))
    };
    assert_eq!(with(MAX_STEPS - 1).unwrap().steps.len(), MAX_STEPS);
    let error = with(MAX_STEPS).unwrap_err();
    assert_eq!((error.line, error.column), (6, 5));
    assert_eq!(error.reason, "more than 100000 operations: that many are the most");
}

#[test]
fn what_comes_after_the_scenario_is_refused() {
    for more in ["x", ")", "(version: 1)"] {
        let error = parse(&format!("{GOOD}{more}")).unwrap_err();
        assert_eq!((error.line, error.column), (11, 2), "{error}");
    }
}

#[test]
fn garbage_is_refused() {
    let deep = "(".repeat(100_000);
    let deep_field = format!("(version: 1, x: {}", "[".repeat(100_000));
    let odd =
        ["\0", "\u{feff}\u{1f4be}", "[]", "7", "\"", "(version: \"1\")", "/*", "#![enable(x)]"];
    for text in odd.into_iter().chain([&*deep, &*deep_field]) {
        let error = parse(text).unwrap_err();
        assert!(error.line >= 1 && error.column >= 1 && !error.reason.is_empty(), "{error}");
    }
}

#[test]
fn no_changed_byte_makes_it_panic() {
    let mut rng = Rng::new(5, Purpose::Operations);
    let mut refused = 0;
    for _ in 0..3000 {
        let mut bytes = GOOD.as_bytes().to_vec();
        for _ in 0..rng.between(1, 3) {
            let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
            bytes[at] = u8::try_from(rng.below(256)).unwrap();
        }
        match parse(&String::from_utf8_lossy(&bytes)) {
            Ok(scenario) => assert_eq!(parse(&print(&scenario)), Ok(scenario)),
            Err(error) => {
                refused += 1;
                assert!(error.line >= 1 && error.column >= 1, "{error}");
            }
        }
    }
    assert!((1500..3000).contains(&refused), "{refused}");
}
