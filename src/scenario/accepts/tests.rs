mod fitted;
mod generated;

use super::*;
use crate::disk::CrashPolicy;
use crate::scenario::{Op, Profile, Step, VERSION};

/// Everything the format can say.
fn unconstrained() -> Accepts {
    Accepts::file_backed()
}

/// Devices that can do less, each in its own way; and their names.
fn devices() -> Vec<(&'static str, Accepts)> {
    let any = unconstrained;
    let native = || any().sector_sizes(&[4096]).blocks(8..=1024);
    let classes = |classes: &[FaultClass]| any().without_faults(classes);
    let not_synced =
        [FaultClass::SyncFailedKept, FaultClass::SyncFailedDropped, FaultClass::WritebackFailed];
    vec![
        ("anything that stops at sectors", Accepts::anything()),
        ("4 KiB native", native()),
        ("one block size", any().block_sizes(65536..=65536)),
        ("large blocks", any().block_sizes(65536..)),
        ("small blocks", any().block_sizes(..1000)),
        ("small sectors", any().sector_sizes(&[512]).block_sizes(1000..5000)),
        ("three blocks", any().blocks(3..=3)),
        ("one block", any().blocks(..2)),
        ("many blocks", any().blocks(1000..)),
        ("landmarks", any().blocks(1 << 20..1 << 33)),
        ("a large heap", any().heap(1 << 20..)),
        ("an odd heap", any().heap(1_000_001..=1_000_003)),
        ("a small heap", any().heap(..=2048)),
        ("the largest heap", any().heap(32 << 20..)),
        ("writable", any().read_only(false)),
        ("no empty requests", any().zero_length(false)),
        ("punches holes", any().trims(&[Trim::PunchHole])),
        ("whole files", any().short_files(false)),
        ("no damage", any().crashes_beyond_contract(false)),
        ("no crash", classes(&[FaultClass::Crash, FaultClass::Dropped])),
        ("no crash while opening", classes(&[FaultClass::CrashInOpen])),
        ("few sync failures", classes(&not_synced)),
        ("no fault", classes(&FaultClass::ALL)),
        (
            "little",
            native()
                .block_sizes(8192..=16384)
                .blocks(5..=6)
                .heap(16384..=20000)
                .zero_length(false)
                .read_only(false)
                .trims(&[Trim::Ignore])
                .short_files(false)
                .odd_short_writes(false)
                .crashes_beyond_contract(false)
                .without_faults(&[FaultClass::Eio, FaultClass::ShortRead]),
        ),
    ]
}

/// Devices that take nothing, and what they are refused with.
fn impossible_devices() -> Vec<(&'static str, Accepts)> {
    let any = unconstrained;
    vec![
        ("the device takes no sector size at all", any().sector_sizes(&[])),
        ("the device takes no sector size at all", any().sector_sizes(&[513])),
        ("the device takes no block size at all", any().block_sizes(513..=1023)),
        ("the device takes no block size at all", any().block_sizes(..512)),
        ("the device takes no block size at all", any().sector_sizes(&[4096]).block_sizes(..=2048)),
        ("the device takes no number of blocks at all", any().blocks(0..1)),
        ("the device takes no number of blocks at all", any().blocks(u64::MAX..)),
        ("the device takes no size of a heap at all", any().heap(..512)),
        ("the device takes no trim mode at all", any().trims(&[])),
        ("", any().block_sizes(65536..).heap(..65536)),
        ("", any().block_sizes(65536..).blocks(1 << 50..)),
    ]
}

/// A scenario of a device of eight blocks.
fn scenario(steps: &[Op]) -> Scenario {
    let device = DeviceSpec {
        sector_size: 512,
        block_size: 1024,
        block_count: 8,
        file_length: 8192,
        heap: 4096,
        trim: Trim::Scribble,
        read_only: false,
        used: false,
    };
    let steps = steps.iter().copied().map(Step::new).collect();
    let (version, note) = (VERSION, String::new());
    Scenario {
        version,
        note,
        seed: None,
        device,
        schedule: 0,
        salt: 0,
        in_pieces: false,
        steps,
        expect: None,
    }
}

#[track_caller]
fn refused(accepts: &Accepts, scenario: &Scenario) -> String {
    accepts.check(scenario).expect_err("not accepted").to_string()
}

#[test]
fn what_is_not_accepted_is_said_in_a_line() {
    let any = Accepts::anything;
    let plain = scenario(&[Op::Flush, Op::Read { offset: 0, length: 0 }]);
    assert_eq!(any().check(&plain), Ok(()));
    let (mut short, mut locked) = (plain.clone(), plain.clone());
    (short.device.file_length, locked.device.read_only) = (8191, true);
    for (accepts, scenario, line) in [
        (
            any().sector_sizes(&[4096]),
            &plain,
            "the device takes sectors of 4096 bytes; the scenario has 512",
        ),
        (
            any().block_sizes(4096..=65536),
            &plain,
            "the device takes blocks of 4096 to 65536 bytes; the scenario has 1024",
        ),
        (any().blocks(9..), &plain, "the device takes at least 9 blocks; the scenario has 8"),
        (any().blocks(3..=3), &plain, "the device takes exactly 3 blocks; the scenario has 8"),
        (
            any().heap(..=2048),
            &plain,
            "the device takes a heap of at most 2048 bytes; the scenario has 4096",
        ),
        (any().trims(&[Trim::Ignore]), &plain, "the device does not take the trim mode Scribble"),
        (
            any().read_only(false),
            &locked,
            "the device cannot be opened read-only; the scenario opens it so",
        ),
        (
            any().short_files(false),
            &short,
            "the device takes no file that is shorter than itself; the scenario has 8191 of 8192 \
             bytes",
        ),
        (
            any().zero_length(false),
            &plain,
            "the device takes no request of zero bytes; operation 2 is one",
        ),
    ] {
        assert_eq!(refused(&accepts, scenario), line);
    }
}

#[test]
fn a_device_that_cannot_be_is_refused_and_made_possible() {
    let changes: [fn(&mut DeviceSpec); 7] = [
        |it| it.block_count = 0,
        |it| it.block_count = u64::MAX,
        |it| it.block_size = 0,
        |it| it.block_size = 1000,
        |it| it.sector_size = 0,
        |it| it.file_length = u64::MAX,
        |it| it.heap = 512,
    ];
    for change in changes {
        let mut impossible = scenario(&[Op::Flush, Op::Read { offset: 0, length: 1024 }]);
        change(&mut impossible.device);
        refused(&unconstrained(), &impossible);
        unconstrained().fit(&mut impossible);
        assert_eq!(unconstrained().check(&impossible), Ok(()), "{:?}", impossible.device);
    }
}

#[test]
fn a_device_that_takes_nothing_is_named() {
    for (line, accepts) in impossible_devices() {
        let scenario = scenario(&[]);
        let refused = refused(&accepts, &scenario);
        assert!(line.is_empty() || refused == line, "{refused}");
    }
}

#[test]
fn faults_are_taken_by_their_class() {
    let without = Accepts::anything().without_faults(&[FaultClass::Eio]);
    assert!(!without.takes_fault(FaultKind::Eio) && without.takes_fault(FaultKind::Enospc));
    assert!(without.takes_fault(FaultKind::ShortWrite(1)));
    assert!(!without.takes_odd_short_writes() && unconstrained().takes_odd_short_writes());
    assert_eq!(Accepts::default(), Accepts::anything());
}

#[test]
fn what_was_said_last_holds() {
    let said = unconstrained().sector_sizes(&[]).block_sizes(..0).heap(..0).trims(&[]);
    let said = said.without_faults(&FaultClass::ALL).blocks(..0);
    let taken_back = said.sector_sizes(&[4096, 512, 7]).block_sizes(..).heap(..).blocks(..);
    let taken_back = taken_back.trims(&TRIMS).without_faults(&[]);
    assert_eq!(taken_back, unconstrained());
}
