//! Small inputs that were once judged wrongly, each with the device and the answer that is right.

use std::path::Path;
use std::process::Command;

/// The file, the device it is run on, the exit code, and what the program says.
const CASES: &[(&str, &str, i32, &str)] = &[
    // Every torn sector was tried again.
    ("parallel-retries", "sectors-in-parallel", 0, "passed"),
    ("parallel-gives-up", "parallel-gives-up", 1, "DIVERGED: torn sector"),
    // An attempt that covers the torn sector is an attempt at it.
    ("restart-after-short", "restart-after-short", 0, "passed"),
    // The error reached the request whose bytes failed.
    ("combining-error", "flat-combining", 0, "passed"),
    // The disk lied about the neighbour, and no device can know.
    ("page-rewrites-lie", "pages-of-eight", 0, "passed"),
    ("page-misdirected-read", "pages-of-eight", 0, "passed"),
    // Close waits for the write.
    ("close-in-flight", "file", 0, "passed"),
    // The read has shown what the flush then had to make durable.
    ("dropped-and-landed", "dirty-mark", 0, "passed"),
    ("dropped-and-landed", "dirty-mark-after-the-write", 1, "DIVERGED: durability lost"),
    // What a read has in hand is not mended by a write that ends before it.
    ("misread-in-flight", "actor", 0, "passed"),
    ("misread-in-flight", "elevator", 0, "passed"),
    ("misread-under-write-in-flight", "cache-write-through", 0, "passed"),
    ("page-misread-under-write-in-flight", "pages-of-eight", 0, "passed"),
    ("page-misread-then-crash", "pages-of-eight", 0, "passed"),
    // A cause may be in the same page.
    ("page-error-beside-request", "pages-of-eight", 0, "passed"),
    // An entry that is durable stays.
    ("name-over-dropped-entry", "extent-files", 0, "passed"),
    ("log-over-dropped-entry", "log-structured", 0, "passed"),
    // A close that failed may be tried again.
    ("close-again-after-failure", "trim-by-map", 0, "passed"),
    // Opening the device again is what ends a fault that stays.
    ("stays-through-opening", "log-structured", 0, "passed"),
    ("stays-through-opening", "superblock-by-rename", 0, "passed"),
    // Refusals count from the first tear of a sector on.
    ("torn-mended-torn-again", "write-through", 0, "passed"),
    // A write that a size limit stops short of a torn sector is an attempt at it too.
    ("restart-at-size-limit", "restart-after-short", 0, "passed"),
    // What cannot be simulated in bounded time and memory is refused, and the limit named.
    ("trim-4g", "file", 2, "all trims of a scenario together may cover 67108864"),
    ("trim-1g-scribble", "file", 2, "all trims of a scenario together may cover 67108864"),
    ("trim-8e", "file", 2, "all trims of a scenario together may cover 67108864"),
];

#[test]
fn every_case_is_judged_rightly() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for &(name, device, code, says) in CASES {
        let file = directory.join(name).with_extension("ron");
        let mut program = Command::new(env!("CARGO_BIN_EXE_blocktwin"));
        let output = program.args(["replay", "--device", device]).arg(file).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{name} on {device}: {text}");
        assert!(text.contains(says), "{name} on {device}: {text}");
    }
}

#[test]
fn every_case_is_run() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for file in directory.read_dir().unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap().to_owned();
        assert!(CASES.iter().any(|(name, ..)| *name == stem), "{stem} is on no device");
    }
}
