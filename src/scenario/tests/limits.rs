//! Each limit refuses what is over it, by name, and takes what is just within it.

use crate::disk::{CrashPolicy, Fault, FaultKind};
use crate::scenario::limits::{MAX_DELAY, MAX_HELD, MAX_LOOKS, MAX_MOVED, MAX_TRIMMED};
use crate::scenario::{
    MAX_STEPS, MAX_TRANSFER, Op, Profile, Scenario, Step, Trim, decode, generate,
};

const MIB: u64 = 1 << 20;

/// A device of 8 GiB in blocks of 4 KiB, with a heap of 32 MiB.
fn large(steps: Vec<Step>) -> Scenario {
    let mut scenario = generate(1, Profile::Default);
    let device = &mut scenario.device;
    (device.sector_size, device.block_size, device.block_count) = (512, 4096, 1 << 21);
    (device.file_length, device.heap, device.read_only) = (0, 32 << 20, false);
    device.trim = Trim::Scribble;
    Scenario { steps, ..scenario }
}

fn write(offset: u64, length: u64) -> Step {
    Step::new(Op::write(offset, length))
}

fn trim(offset: u64, length: u64) -> Step {
    Step::new(Op::trim(offset, length))
}

fn read(length: u64) -> Step {
    Step::new(Op::Read { offset: 0, length })
}

/// The last of these operations goes over a limit, for which `says` stands, and without it there is
/// none.
#[track_caller]
fn goes_over(mut scenario: Scenario, says: &str) {
    let op = scenario.steps.len();
    let text = scenario.check_size().unwrap_err().to_string();
    assert!(text.starts_with("too large to simulate: ") && text.lines().count() == 1, "{text}");
    assert!(text.contains(says) && text.contains(&format!("operation {op} ")), "{text}");
    scenario.steps.pop();
    assert_eq!(scenario.check_size(), Ok(()));
}

#[test]
fn trims_cover_so_much() {
    let scenario = large(vec![trim(0, 32 * MIB), trim(0, 32 * MIB), trim(0, 4096)]);
    goes_over(scenario, &format!("together may cover {MAX_TRIMMED}"));
}

#[test]
fn what_is_written_and_what_it_replaces_fit_memory() {
    let mut steps: Vec<Step> = (0..3).map(|at| write(at * 32 * MIB, 32 * MIB)).collect();
    steps.push(write(96 * MIB, 4096));
    goes_over(large(steps.clone()), &format!("may take {MAX_HELD}"));
    // What a power failure has decided cannot be brought back.
    steps.insert(2, Step::new(Op::Crash(CrashPolicy::None)));
    assert_eq!(large(steps).check_size(), Ok(()));
}

#[test]
fn small_writes_far_from_each_other_take_whole_pieces() {
    let far = |at: u64| write(at * MIB / 2, 4096);
    let count = MAX_HELD / ((16 << 10) + 4096);
    goes_over(large((0..=count).map(far).collect()), "take");
    let near = (0..=count).map(|at| write(at % 8 * 4096, 4096)).collect();
    assert_eq!(large(near).check_size(), Ok(()), "the same pieces again and again");
}

#[test]
fn what_a_hole_and_a_misdirected_write_replace_counts() {
    let mut holes = large(vec![write(0, 32 * MIB), write(32 * MIB, 32 * MIB), trim(0, 64 * MIB)]);
    holes.device.trim = Trim::PunchHole;
    assert_eq!(holes.check_size(), Ok(()));
    holes.steps.push(write(0, 4096));
    goes_over(holes, &format!("may take {MAX_HELD}"));
    let mut astray = write(0, 32 * MIB);
    astray.faults.push(Fault { call: 0, kind: FaultKind::MisdirectedWrite(1) });
    let twice = large(vec![write(64 * MIB, 32 * MIB), write(0, 32 * MIB), write(0, 4096), astray]);
    goes_over(twice, &format!("may take {MAX_HELD}"));
}

#[test]
fn so_much_is_read_and_read_back() {
    let reads = usize::try_from(MAX_MOVED / MAX_TRANSFER).unwrap();
    let says = format!("may move {MAX_MOVED}");
    goes_over(large(vec![read(MAX_TRANSFER); reads + 1]), &says);
    // Reopening reads back all that was written.
    let mut steps = vec![write(0, 32 * MIB - 32768); 1];
    steps.extend(vec![Step::new(Op::Reopen); reads]);
    goes_over(large(steps), &says);
    // A power failure, also one amid an operation, what has changed since the last.
    let mut failure = Step::new(Op::Flush);
    failure.crash_at = Some((1, CrashPolicy::None));
    let mut steps = vec![write(0, 32 * MIB - 32768)];
    steps.extend(vec![failure; reads]);
    goes_over(large(steps), &says);
    let mut steps = vec![write(0, 32 * MIB)];
    steps.extend(vec![Step::new(Op::Crash(CrashPolicy::None)); 2 * reads]);
    assert_eq!(large(steps).check_size(), Ok(()));
}

#[test]
fn sectors_do_not_change_again_without_end() {
    let says = format!("may do so {MAX_LOOKS} times");
    let mut scenario = large(vec![write(0, 4096); 11_181]);
    goes_over(scenario.clone(), &says);
    scenario.steps.insert(5000, Step::new(Op::Crash(CrashPolicy::None)));
    assert_eq!(scenario.check_size(), Ok(()));
    let stale = Fault { call: 0, kind: FaultKind::StaleRead };
    for looks in [Step::new(Op::Flush), Step { faults: vec![stale], ..read(4096) }] {
        let mut steps = vec![write(0, 32 * MIB)];
        steps.extend(vec![looks; 7630]);
        goes_over(large(steps), &says);
    }
}

#[test]
fn delays_do_not_add_up_without_end() {
    let delayed = |steps| {
        let fault = Fault { call: 0, kind: FaultKind::Latency(steps) };
        Step { faults: vec![fault; 2], ..Step::new(Op::Flush) }
    };
    let half = u32::try_from(MAX_DELAY / 2).unwrap();
    goes_over(large(vec![delayed(half), delayed(1)]), &format!("together may take {MAX_DELAY}"));
    goes_over(large(vec![delayed(u32::MAX)]), "take 8589934590 steps");
}

#[test]
fn what_the_format_does_not_allow_is_not_run_either() {
    let client = Step { client: 16, ..Step::new(Op::Flush) };
    goes_over(large(vec![client]), "is made by client 16; the last is 15");
    let fault = Fault { call: 0, kind: FaultKind::Eio };
    let faults = Step { faults: vec![fault; 9], ..Step::new(Op::Flush) };
    goes_over(large(vec![faults]), "meets 9 faults; an operation may meet 8");
    goes_over(large(vec![read(2 * MAX_TRANSFER + 1)]), "transfers 67108865 bytes");
    let mut scenario = large(vec![Step::new(Op::Barrier); MAX_STEPS]);
    assert_eq!(scenario.check_size(), Ok(()));
    scenario.steps.push(Step::new(Op::Barrier));
    let text = scenario.check_size().unwrap_err().to_string();
    assert!(text.ends_with("100001 operations; a scenario may have 100000"), "{text}");
    let mut scenario = large(Vec::new());
    scenario.device.heap += 1;
    let text = scenario.check_size().unwrap_err().to_string();
    assert!(text.ends_with("a heap of 33554433 bytes; a heap may have 33554432"), "{text}");
}

#[test]
fn what_the_device_refuses_costs_nothing() {
    let beyond = large(Vec::new()).device.geometry().unwrap().size();
    let refused = [trim(beyond, beyond), trim(1, 8 << 30), write(0, 2 * MAX_TRANSFER)];
    let steps = refused.into_iter().cycle().take(3000).collect();
    assert_eq!(large(steps).check_size(), Ok(()));
}

/// A seed that would go over a limit ends before; that is so rare that nobody misses it.
#[test]
fn what_seeds_give_is_within_the_limits() {
    for profile in Profile::ALL {
        for seed in 0..2_000 {
            assert_eq!(generate(seed, profile).check_size(), Ok(()), "{profile:?} {seed}");
        }
    }
}

#[test]
fn what_goes_over_a_limit_ends_before() {
    let mut scenario = large(vec![trim(0, 64 * MIB), read(4096), trim(0, 4096), read(4096)]);
    scenario.end_in_time();
    assert_eq!(scenario.steps, [trim(0, 64 * MIB), read(4096)]);
}

#[test]
fn what_fuzzers_give_is_within_the_limits_nearly_always() {
    let mut rng = crate::rng::Rng::new(1, crate::rng::Purpose::Operations);
    let mut refused = 0;
    for _ in 0..2000 {
        let length = rng.between(48, 4096);
        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        refused += u32::from(decode(&bytes).check_size().is_err());
    }
    assert!(refused < 20, "{refused} of 2000");
}
