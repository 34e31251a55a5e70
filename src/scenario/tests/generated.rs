//! The generator reaches everything, and gives the same for the same seed.

use crate::disk::{CrashPolicy, FaultClass, FaultKind};
use crate::scenario::{
    DeviceSpec, DropOn, MAX_FAULTS, MAX_TRANSFER, Op, Profile, Scenario, Step, Trim, generate,
    parse, print,
};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Many scenarios of every profile, made once for all tests.
static SCENARIOS: LazyLock<Vec<(Profile, Scenario)>> = LazyLock::new(|| {
    let of = |profile| (0..1500).map(move |seed| (profile, generate(seed, profile)));
    Profile::ALL.into_iter().flat_map(of).collect()
});

fn scenarios(profile: Profile) -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().filter(move |it| it.0 == profile).map(|(_, scenario)| scenario)
}

/// What `name` gives for anything that any scenario of `profile` has.
fn occurring<T: Ord>(profile: Profile, name: impl Fn(&Scenario) -> Vec<T>) -> BTreeSet<T> {
    scenarios(profile).flat_map(name).collect()
}

fn op_name(op: Op) -> &'static str {
    match op {
        Op::Read { .. } => "read",
        Op::Write { fua: false, .. } => "write",
        Op::Write { fua: true, .. } => "fua",
        Op::Trim { fua: false, .. } => "trim",
        Op::Trim { fua: true, .. } => "fua trim",
        Op::Flush => "flush",
        Op::Barrier => "barrier",
        Op::Drain => "drain",
        Op::Close => "close",
        Op::Reopen => "reopen",
        Op::Crash(_) => "crash",
    }
}

fn survivors_name(survivors: CrashPolicy) -> &'static str {
    match survivors {
        CrashPolicy::All => "all",
        CrashPolicy::None => "none",
        CrashPolicy::Random(_) => "random",
        CrashPolicy::Runs(_) => "runs",
        CrashPolicy::NewestKept => "newest kept",
        CrashPolicy::NewestLost => "newest lost",
        CrashPolicy::OneKept(_) => "one kept",
        CrashPolicy::OneLost(_) => "one lost",
        CrashPolicy::Mask(_) => "mask",
        CrashPolicy::TornBytes(_) => "torn",
        CrashPolicy::Garbage(_) => "garbage",
        CrashPolicy::Unreadable(_) => "unreadable",
        CrashPolicy::Kill => "kill",
    }
}

fn survivors_of(step: &Step) -> impl Iterator<Item = CrashPolicy> {
    let whole = if let Op::Crash(survivors) = step.op { Some(survivors) } else { None };
    whole.into_iter().chain(step.crash_at.map(|(_, survivors)| survivors))
}

#[test]
fn the_same_seed_gives_the_same_scenario_and_another_another() {
    for profile in Profile::ALL {
        for seed in 0..100 {
            let scenario = generate(seed, profile);
            assert_eq!(scenario, generate(seed, profile));
            assert_ne!(scenario.steps, generate(seed + 1, profile).steps);
            assert_eq!(scenario.seed, Some(seed));
        }
        let other = Profile::ALL.into_iter().find(|&other| other != profile).unwrap();
        assert_ne!(generate(7, profile), generate(7, other));
    }
}

#[test]
fn every_operation_occurs() {
    let all = [
        "barrier", "close", "crash", "drain", "flush", "fua", "fua trim", "read", "reopen", "trim",
        "write",
    ];
    for profile in Profile::ALL {
        let found = occurring(profile, |it| it.steps.iter().map(|it| op_name(it.op)).collect());
        assert_eq!(Vec::from_iter(found), all, "{profile:?}");
    }
}

#[test]
fn every_fault_occurs() {
    let faults = |it: &Scenario| -> Vec<FaultClass> {
        it.steps.iter().flat_map(|step| &step.faults).map(|fault| fault.kind.class()).collect()
    };
    // What is not a fault of a raw call is tested beside it.
    let from_outside = [
        FaultClass::Dropped,
        FaultClass::DroppedUnpolled,
        FaultClass::DroppedAwake,
        FaultClass::Crash,
        FaultClass::CrashInOpen,
        FaultClass::Kill,
    ];
    let mut of_calls = FaultClass::ALL.to_vec();
    of_calls.retain(|class| !from_outside.contains(class));
    for profile in Profile::ALL {
        assert_eq!(Vec::from_iter(occurring(profile, faults)), of_calls, "{profile:?}");
    }
}

#[test]
fn every_crash_occurs() {
    let crashes = |it: &Scenario| -> Vec<&str> {
        it.steps.iter().flat_map(survivors_of).map(survivors_name).collect()
    };
    let disturbances = |it: &Scenario| -> Vec<(bool, bool)> {
        it.steps.iter().map(|it| (it.drop_at.is_some(), it.crash_at.is_some())).collect()
    };
    for profile in Profile::ALL {
        let found = occurring(profile, crashes);
        let beyond = ["torn", "garbage", "unreadable"];
        let (within, damaging): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|name| !beyond.contains(name));
        assert_eq!(within.len(), 10, "{profile:?}: {within:?}");
        let expected = if profile == Profile::Hostile { 3 } else { 0 };
        assert_eq!(damaging.len(), expected, "{profile:?}: {damaging:?}");
        assert_eq!(occurring(profile, disturbances).len(), 4, "{profile:?}");
    }
}

#[test]
fn every_moment_to_drop_a_future_occurs() {
    let drops = |it: &Scenario| -> Vec<(FaultClass, Option<u32>)> {
        let dropped = |step: &Step| Some((step.dropped()?, step.drop_at.filter(|&at| at <= 4)));
        it.steps.iter().filter_map(dropped).collect()
    };
    for profile in Profile::ALL {
        let found = occurring(profile, drops);
        assert!(found.contains(&(FaultClass::DroppedUnpolled, Some(0))), "{profile:?}: {found:?}");
        for at in 1..=4 {
            for class in [FaultClass::Dropped, FaultClass::DroppedAwake] {
                assert!(found.contains(&(class, Some(at))), "{profile:?}: {found:?}");
            }
        }
    }
}

#[test]
fn every_number_of_clients_occurs() {
    // Not every client of many has a step.
    let clients = |it: &Scenario| {
        let number = it.clients();
        vec![
            [5, 6, 7, 8, 9, 12, 16]
                .into_iter()
                .find(|&most| number > 4 && number <= most)
                .unwrap_or(number),
        ]
    };
    for profile in [Profile::Default, Profile::Durability] {
        assert_eq!(
            Vec::from_iter(occurring(profile, clients)),
            [1, 2, 3, 4, 6, 8, 12, 16],
            "{profile:?}"
        );
    }
    assert!(occurring(Profile::Heavy, clients).contains(&4));
}

#[test]
fn every_kind_of_device_occurs() {
    type IsSo = fn(&DeviceSpec) -> bool;
    let traits: [(&str, IsSo); 12] = [
        ("sectors of 512 bytes", |it| it.sector_size == 512),
        ("sectors of 4096 bytes", |it| it.sector_size == 4096),
        ("blocks of several sectors", |it| it.block_size > it.sector_size),
        ("one block", |it| it.block_count == 1),
        ("16 TiB and more", |it| it.geometry().unwrap().size() >= 1 << 44),
        ("an empty file", |it| it.file_length == 0),
        ("a full file", |it| it.file_length == it.geometry().unwrap().size()),
        ("a file that ends inside a sector", |it| it.file_length % 512 != 0),
        ("a heap of one block", |it| it.heap == it.block_size),
        ("read-only", |it| it.read_only),
        ("holes", |it| it.trim == Trim::PunchHole),
        ("no trims", |it| it.trim == Trim::Ignore),
    ];
    let devices: Vec<DeviceSpec> = scenarios(Profile::Default).map(|it| it.device).collect();
    for (name, is_so) in traits {
        let count = devices.iter().filter(|device| is_so(device)).count();
        assert!((1..devices.len()).contains(&count), "{name}: {count}");
    }
}

#[test]
fn what_is_generated_is_what_may_be_parsed() {
    for (profile, scenario) in &*SCENARIOS {
        let device = &scenario.device;
        assert!(device.geometry().is_ok() && device.block_count > 0, "{device:?}");
        assert!((8..=5000).contains(&scenario.steps.len()));
        for step in &scenario.steps {
            assert!(step.faults.len() <= MAX_FAULTS, "{step:?}");
            let never = step.drop_at == Some(0) && step.drop_on == DropOn::Suspension;
            assert!(!never && (step.drop_at.is_some() || step.drop_on == DropOn::Suspension));
            if let Op::Read { length, .. } | Op::Write { length, .. } = step.op {
                assert!(length <= 2 * MAX_TRANSFER, "{step:?}");
            }
        }
        if scenario.seed.is_some_and(|seed| seed % 50 == 0) {
            assert_eq!(parse(&print(scenario)).as_ref(), Ok(scenario), "{profile:?}");
        }
    }
}

#[test]
fn most_requests_are_served_and_some_are_refused() {
    for profile in Profile::ALL {
        let (mut served, mut refused) = (0, 0);
        for scenario in scenarios(profile) {
            let geometry = scenario.device.geometry().unwrap();
            let spans = scenario.steps.iter().filter_map(|step| step.op.request()?.span());
            for (offset, length) in spans {
                let good = geometry.check(offset, length).is_ok();
                *if good { &mut served } else { &mut refused } += 1;
            }
        }
        assert!(refused * 50 > served && refused * 5 < served, "{profile:?} {refused}/{served}");
    }
}

#[test]
fn a_device_that_refuses_everything_is_soon_opened_again() {
    let is_failure = |step: &Step| {
        let sync_failed = |kind| matches!(kind, FaultKind::SyncFailed(_));
        step.op == Op::Close || step.faults.iter().any(|fault| sync_failed(fault.kind))
    };
    let opens = |step: &Step| matches!(step.op, Op::Reopen | Op::Crash(_));
    for (profile, scenario) in &*SCENARIOS {
        let drains = |step: &&Step| step.op == Op::Drain;
        let steps: Vec<&Step> = scenario.steps.iter().filter(|step| !drains(step)).collect();
        for (at, _) in steps.iter().enumerate().filter(|(_, step)| is_failure(step)) {
            let Some(soon) = steps.get(at + 1..at + 8) else { continue };
            assert!(soon.iter().any(|step| opens(step)), "{profile:?} {:?} {at}", scenario.seed);
        }
    }
}

#[test]
fn short_transfers_stop_at_odd_bytes_and_at_sectors() {
    let shorts = |it: &Scenario| -> Vec<bool> {
        let kinds = it.steps.iter().flat_map(|step| &step.faults).map(|fault| fault.kind);
        let counts = kinds.filter_map(|kind| match kind {
            FaultKind::ShortRead(count) | FaultKind::ShortWrite(count) => Some(count),
            _ => None,
        });
        counts.inspect(|&count| assert!(count > 0)).map(|count| count % 512 == 0).collect()
    };
    assert_eq!(occurring(Profile::Default, shorts).len(), 2);
}
