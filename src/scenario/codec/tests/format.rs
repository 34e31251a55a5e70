//! What the bytes of today say, they have to say next year.

use super::{decode, encode, same_run};
use crate::disk::{CrashPolicy, Dirty, Fault, FaultKind};
use crate::model::Data;
use crate::scenario::{DeviceSpec, Op, Scenario, Step, Trim, VERSION, parse, print};

/// Every operation, kind of fault and policy there is.
fn everything() -> Scenario {
    let kinds = [
        FaultKind::Interrupted,
        FaultKind::ShortRead(513),
        FaultKind::ShortWrite(4095),
        FaultKind::Eio,
        FaultKind::Enospc,
        FaultKind::EnospcFor(3),
        FaultKind::WriteZero,
        FaultKind::SyncFailed(Dirty::Kept),
        FaultKind::SyncFailed(Dirty::Dropped),
        FaultKind::SyncFailed(Dirty::Partly(u64::MAX)),
        FaultKind::WritebackFailed,
        FaultKind::Latency(4),
        FaultKind::LateReturn(5),
        FaultKind::Edquot,
        FaultKind::Efbig,
        FaultKind::BitFlip(77),
        FaultKind::LostWrite,
        FaultKind::MisdirectedWrite(-3),
        FaultKind::MisdirectedRead(3),
        FaultKind::StaleRead,
        FaultKind::LatentSector(1),
    ];
    let ops = [
        Op::Read { offset: 4096, length: 8192 },
        Op::write(16 << 40, 4096),
        Op::fua_write(0, 4095),
        Op::trim(u64::MAX, u64::MAX),
        Op::Flush,
        Op::Barrier,
        Op::Close,
        Op::Reopen,
    ];
    let mut steps: Vec<Step> = ops.map(Step::new).into();
    steps
        .extend(policies().map(|it| Step::new(Op::Crash(it))).into_iter().chain(repeated_writes()));
    steps.push(Step::new(Op::Drain));
    steps.push(Step::new(Op::Trim { offset: 4096, length: 4096, fua: true }));
    for (step, chunk) in steps.iter_mut().zip(kinds.chunks(4)) {
        step.faults = (0..).zip(chunk).map(|(call, &kind)| Fault { call, kind }).collect();
    }
    steps[0].drop_at = Some(2);
    steps[1].crash_at = Some((3, CrashPolicy::Runs(8)));
    steps[9].crash_at = Some((1, CrashPolicy::Random(9)));
    steps[10].client = 15;
    let device = DeviceSpec {
        sector_size: 4096,
        block_size: 4096,
        block_count: (1 << 32) + 1,
        file_length: 12345,
        heap: 16384,
        trim: Trim::PunchHole,
        read_only: true,
        used: false,
    };
    let (note, seed, expect) = (String::new(), None, None);
    Scenario {
        version: VERSION,
        note,
        seed,
        device,
        schedule: 10,
        salt: 11,
        in_pieces: true,
        steps,
        expect,
    }
}

fn policies() -> [CrashPolicy; 12] {
    [
        CrashPolicy::All,
        CrashPolicy::None,
        CrashPolicy::Random(1),
        CrashPolicy::Runs(2),
        CrashPolicy::NewestKept,
        CrashPolicy::NewestLost,
        CrashPolicy::OneKept(3),
        CrashPolicy::OneLost(4),
        CrashPolicy::Mask(u64::MAX),
        CrashPolicy::TornBytes(5),
        CrashPolicy::Garbage(6),
        CrashPolicy::Unreadable(7),
    ]
}

fn repeated_writes() -> impl Iterator<Item = Step> {
    let write = |fua, data| Step::new(Op::Write { offset: 4096, length: 4096, fua, data });
    let data = [Data::Zeros, Data::Pattern, Data::Sparse, Data::Zeroed, Data::Unmapped];
    data.into_iter().flat_map(move |data| [write(false, data), write(true, data)])
}

/// The bytes, as hexadecimal digits: the header, and a line for each record.
fn golden() -> Vec<u8> {
    let digits = include_str!("format.hex").split_whitespace().flat_map(str::chars);
    let digits: Vec<u8> =
        digits.map(|it| u8::try_from(it.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn the_bytes_of_today_are_the_scenario_of_today() {
    let text = include_str!("format.ron");
    let scenario = decode(&golden());
    assert_eq!(parse(text).as_ref(), Ok(&scenario));
    assert!(same_run(&scenario, &everything()));
}

#[test]
fn the_scenario_of_today_is_the_bytes_of_today() {
    let bytes = encode(&everything()).unwrap();
    let digits = |bytes: &[u8]| bytes.iter().map(|it| format!("{it:02x}")).collect::<String>();
    let lines: Vec<String> = bytes.chunks(24).map(digits).collect();
    assert_eq!(bytes, golden(), "\n{}\n", lines.join("\n"));
}

/// What is mapped is of the format as much as what is not: a corpus is full of it.
#[test]
fn numbers_that_are_mapped_stay_mapped() {
    let bytes: Vec<u8> =
        (0..2000_u32).map(|at| at.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect();
    let text = print(&decode(&bytes));
    let digest = twox_hash::XxHash3_128::oneshot(text.as_bytes());
    assert_eq!(digest, 0xd673_6a9f_69e5_57e7_5f32_e691_b3c3_2dc0, "{digest:#034x}");
}
