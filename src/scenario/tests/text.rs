//! What is printed can be read, by [`parse`] and by people.

use crate::disk::{CrashPolicy, Dirty, Fault, FaultClass, FaultKind};
use crate::model::Kind;
use crate::scenario::{
    DeviceSpec, DropOn, Expectation, ExpectedVerdict, Op, Profile, Scenario, Step, Trim, VERSION,
    generate, parse, print,
};

#[track_caller]
fn round_trips(scenario: &Scenario) -> String {
    let text = print(scenario);
    match parse(&text) {
        Ok(parsed) => assert_eq!(parsed, *scenario, "{text}"),
        Err(error) => panic!("{error}\n{text}"),
    }
    text
}

/// One step with everything a step can have.
fn disturbed() -> Step {
    let kinds = [
        FaultKind::Interrupted,
        FaultKind::ShortRead(1),
        FaultKind::ShortWrite(u32::MAX),
        FaultKind::Eio,
        FaultKind::Enospc,
        FaultKind::SyncFailed(Dirty::Kept),
        FaultKind::SyncFailed(Dirty::Dropped),
        FaultKind::SyncFailed(Dirty::Partly(u64::MAX)),
    ];
    Step {
        client: 15,
        op: Op::fua_write(u64::MAX, 512),
        faults: (0..).zip(kinds).map(|(call, kind)| Fault { call, kind }).collect(),
        drop_at: Some(u32::MAX),
        drop_on: DropOn::NextPoll,
        crash_at: Some((0, CrashPolicy::Runs(u64::MAX))),
    }
}

/// A scenario in which nothing is left at its default.
fn elaborate() -> Scenario {
    Scenario {
        version: VERSION,
        note: "symptom: \"x\"\ncause: 'y' \\ steps: [\nfix: déjà vu\t\u{1f4be}".to_owned(),
        seed: Some(u64::MAX),
        device: DeviceSpec {
            sector_size: 4096,
            block_size: 8192,
            block_count: (1 << 50) - 1,
            file_length: 12345,
            heap: 8192,
            trim: Trim::PunchHole,
            read_only: true,
            used: true,
        },
        schedule: u64::MAX,
        salt: u64::MAX,
        in_pieces: false,
        steps: vec![disturbed()],
        expect: Some(Expectation { verdict: ExpectedVerdict::Pass, digest: "00ff".to_owned() }),
    }
}

#[test]
fn what_was_generated_reads_as_it_was_printed() {
    for profile in Profile::ALL {
        for seed in 0..500 {
            round_trips(&generate(seed, profile));
        }
    }
}

#[test]
fn whatever_a_scenario_can_hold_reads_as_it_was_printed() {
    let mut scenario = elaborate();
    let survivors =
        [CrashPolicy::All, CrashPolicy::None, CrashPolicy::Random(7), CrashPolicy::Runs(8)];
    let crashes = survivors.map(Op::Crash);
    let others = [Op::Flush, Op::Barrier, Op::Close, Op::Reopen];
    scenario.steps.extend(crashes.into_iter().chain(others).map(Step::new));
    round_trips(&scenario);
    for kind in Kind::ALL {
        let verdict = ExpectedVerdict::Fail(kind);
        scenario.expect = Some(Expectation { verdict, digest: String::new() });
        round_trips(&scenario);
    }
    for trim in [Trim::Scribble, Trim::PunchHole, Trim::Ignore] {
        scenario.device.trim = trim;
        round_trips(&scenario);
    }
    scenario.steps.clear();
    round_trips(&scenario);
}

#[test]
fn an_operation_is_a_line() {
    for seed in 0..100 {
        let scenario = generate(seed, Profile::Heavy);
        let text = round_trips(&scenario);
        let lines = text.lines().filter(|line| line.contains("op:"));
        let steps: Vec<Step> =
            lines.map(|line| ron::from_str(line.trim().trim_end_matches(',')).unwrap()).collect();
        assert_eq!(steps, scenario.steps);
    }
}

/// What was written when futures were only dropped at suspensions.
#[test]
fn what_older_files_say_of_a_drop_is_what_they_meant() {
    let step = |text: &str| ron::from_str::<Step>(text).unwrap();
    let dropped = step("(op: Flush, drop_at: Some(3))");
    assert_eq!((dropped.drop_at, dropped.drop_on), (Some(3), DropOn::Suspension));
    assert_eq!(dropped.dropped(), Some(FaultClass::Dropped));
    let awake = step("(op: Flush, drop_at: Some(3), drop_on: NextPoll)");
    assert_eq!(awake.dropped(), Some(FaultClass::DroppedAwake));
    let never = step("(op: Flush, drop_at: Some(0), drop_on: NextPoll)");
    assert_eq!(never.dropped(), Some(FaultClass::DroppedUnpolled));
}

#[test]
fn what_is_as_usual_is_not_printed() {
    let text = round_trips(&Scenario {
        note: String::new(),
        seed: None,
        expect: None,
        steps: vec![Step::new(Op::write(0, 512))],
        ..elaborate()
    });
    for absent in ["note", "seed", "expect", "client", "faults", "drop", "crash_at", "fua"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert!(text.contains("    (op: Write(offset: 0, length: 512)),"), "{text}");
}

#[test]
fn people_may_leave_out_what_is_as_usual_and_write_comments() {
    let text = "// A regression.
        (version: 1, schedule: 2, salt: 3, /* the shape */
         device: (sector_size: 512, block_size: 512, block_count: 4, file_length: 0, heap: 512),
         steps: [(op: Flush), (client: 2, op: Read(offset: 0, length: 512))])";
    let scenario = parse(text).unwrap();
    assert_eq!((scenario.device.trim, scenario.device.read_only), (Trim::Scribble, false));
    assert_eq!((scenario.clients(), scenario.steps.len()), (3, 2));
    round_trips(&scenario);
}
