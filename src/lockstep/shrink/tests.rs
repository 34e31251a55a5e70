mod bugs;

use super::*;
use crate::disk::{CrashPolicy, Medium};
use crate::lockstep::FileBacked;
use crate::scenario::{MAX_FAULTS, Op, Profile, Step, generate, generate_for, parse, print};
use bugs::Bug;

const BUGS: [(Bug, Profile, Kind); 10] = [
    (Bug::FlushForgotten, Profile::Durability, Kind::DurabilityLost),
    (Bug::BarrierForgotten, Profile::Durability, Kind::OrderingViolated),
    (Bug::SecondFlushLies, Profile::Heavy, Kind::PoisonIgnored),
    (Bug::FuaIgnored, Profile::Default, Kind::DurabilityLost),
    (Bug::TrimTooLong, Profile::Default, Kind::RangeEscaped),
    (Bug::ShortReadBelieved, Profile::Default, Kind::Torn),
    (Bug::WriteResumedAtOddByte, Profile::Heavy, Kind::Torn),
    (Bug::InterruptionSurfaced, Profile::Heavy, Kind::SpuriousError),
    (Bug::LocksInTwoOrders, Profile::Default, Kind::Hang),
    (Bug::BufferLeaked, Profile::Heavy, Kind::LeakedBuffer),
];

/// The first scenario of the profile that finds the bug, as what it is.
fn found(runner: &mut Runner<Bug>, profile: Profile, kind: Kind) -> Scenario {
    let finds = |scenario: &Scenario| {
        runner.run(scenario, Options::default()).unwrap().verdict.kind() == Some(kind)
    };
    (0..5000).map(|seed| generate(seed, profile)).find(finds).expect("a scenario that finds it")
}

fn shrunk(runner: &mut Runner<Bug>, scenario: &Scenario) -> Shrunk {
    let shrunk = runner.shrink(scenario, Options::default(), Budget::default(), |_| {});
    shrunk.unwrap().expect("a scenario that diverges")
}

#[test]
fn every_bug_shrinks_to_a_few_operations() {
    let mut sizes = BUGS.map(|(bug, profile, kind)| {
        let mut runner = Runner::new(bug, Medium::Memory);
        let scenario = found(&mut runner, profile, kind);
        let Shrunk { scenario: small, report, .. } = shrunk(&mut runner, &scenario);
        assert_eq!(report.verdict.kind(), Some(kind), "{bug:?}");
        assert_eq!((small.seed, &small.note[..]), (scenario.seed, ""));
        let again = Runner::new(bug, Medium::Memory).run(&small, Options::default()).unwrap();
        let expected = small.expect.as_ref().expect("what its run gave");
        assert_eq!(again.digest.to_string(), expected.digest, "{bug:?}");
        assert_eq!(again.verdict.expected(), expected.verdict, "{bug:?}");
        assert_eq!(parse(&print(&small)).as_ref(), Ok(&small), "{bug:?}");
        small.steps.len()
    });
    sizes.sort_unstable();
    assert!(sizes[BUGS.len() / 2] <= 4 && sizes[BUGS.len() - 1] <= 10, "{sizes:?}");
}

#[test]
fn shrinking_is_repeatable_and_ends_where_nothing_is_smaller() {
    for (bug, profile, kind) in [BUGS[1], BUGS[8]] {
        let mut runner = Runner::new(bug, Medium::Memory);
        let scenario = found(&mut runner, profile, kind);
        let small = shrunk(&mut runner, &scenario);
        let again = shrunk(&mut Runner::new(bug, Medium::Memory), &scenario);
        assert_eq!((&small.scenario, small.runs), (&again.scenario, again.runs), "{bug:?}");
        assert_eq!(shrunk(&mut runner, &small.scenario).scenario, small.scenario, "{bug:?}");
    }
}

#[test]
fn a_long_scenario_shrinks_as_far() {
    let mut runner = Runner::new(Bug::FlushForgotten, Medium::Memory);
    let mut scenario = found(&mut runner, Profile::Durability, Kind::DurabilityLost);
    let mut calm: Vec<_> =
        (0..).flat_map(|seed| generate(seed, Profile::Heavy).steps).take(1000).collect();
    for step in calm.iter_mut().filter(|step| matches!(step.op, Op::Flush | Op::Close)) {
        step.op = Op::Barrier;
    }
    let length = scenario.device.block_size.into();
    let lossy = [
        Op::Crash(CrashPolicy::None),
        Op::write(0, length),
        Op::Flush,
        Op::Crash(CrashPolicy::None),
    ];
    scenario.steps = calm.into_iter().chain(lossy.map(Step::new)).collect();
    // Under some schedules another client meets a fault late, and the last write is refused.
    let mut loses = |schedule: &u64| {
        let scheduled = Scenario { schedule: *schedule, ..scenario.clone() };
        let report = runner.run(&scheduled, Options::default()).unwrap();
        report.verdict.kind() == Some(Kind::DurabilityLost)
    };
    scenario.schedule = (0..100).find(&mut loses).expect("a schedule under which it is made");
    let small = shrunk(&mut runner, &scenario);
    assert!(small.scenario.steps.len() <= 4, "{small:#?}");
}

#[test]
fn a_scenario_that_passes_is_not_shrunk() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let scenario = generate(1, Profile::Default);
    let mut runs = 0;
    let shrunk = runner.shrink(&scenario, Options::default(), Budget::default(), |_| runs += 1);
    assert!(shrunk.unwrap().is_none());
    assert_eq!(runs, 0);
}

#[test]
fn a_budget_is_kept_and_progress_told() {
    let mut runner = Runner::new(Bug::FlushForgotten, Medium::Memory);
    let scenario = found(&mut runner, Profile::Durability, Kind::DurabilityLost);
    for runs in [0, 1, 2, 20] {
        let mut told = Vec::new();
        let (budget, options) = (Budget { runs }, Options { trace: true, ..Options::default() });
        let shrunk = runner.shrink(&scenario, options, budget, |it| told.push(it)).unwrap();
        let shrunk = shrunk.expect("a scenario that diverges");
        assert_eq!(shrunk.runs, runs.max(1));
        assert_eq!(told.len() as u64 + 1, shrunk.runs.into());
        assert!(told.windows(2).all(|two| two[0].steps >= two[1].steps), "{told:?}");
        assert!(!shrunk.report.trace.is_empty());
    }
}

/// How small a scenario is for whoever reads it: operations, clients, and what disturbs them.
fn size(Shrunk { scenario, .. }: &Shrunk) -> (usize, u8, usize) {
    let disturbances = |step: &Step| {
        step.faults.len()
            + usize::from(step.drop_at.is_some())
            + usize::from(step.crash_at.is_some())
    };
    let disturbances = scenario.steps.iter().map(disturbances).sum();
    (scenario.steps.len(), scenario.clients(), disturbances)
}

#[test]
fn a_device_that_takes_less_shrinks_as_far() {
    let native = Accepts::file_backed().sector_sizes(&[4096]).blocks(8..);
    let is_rare = |bug| matches!(bug, Bug::ShortReadBelieved | Bug::WriteResumedAtOddByte);
    for (bug, profile, kind) in BUGS.into_iter().filter(|&(bug, ..)| !is_rare(bug)) {
        let mut runner = Runner::new(bug, Medium::Memory);
        let finds = |scenario: &Scenario| {
            runner.run(scenario, Options::default()).unwrap().verdict.kind() == Some(kind)
        };
        let generated = (0..).map(|seed| generate_for(seed, profile, &native));
        let scenario = generated.take(100).find(finds).expect("a scenario that finds it");
        let free = shrunk(&mut runner, &scenario);
        let (options, budget) = (Options::default(), Budget::default());
        let small = runner.shrink_for(&native, &scenario, options, budget, |_| {}).unwrap();
        let small = small.expect("a scenario that diverges");
        assert_eq!(native.check(&small.scenario), Ok(()), "{bug:?}");
        let device = small.scenario.device;
        let sizes = (device.block_size, device.block_count, device.file_length);
        assert_eq!(sizes, (4096, 8, 32768), "{bug:?}");
        assert_eq!(size(&small), size(&free), "{bug:?} {:?}", small.scenario.steps);
    }
}

/// Whatever is tried is a scenario that could stand in a file.
#[test]
fn candidates_are_scenarios() {
    for profile in Profile::ALL {
        for seed in 0..3 {
            let scenario = generate(seed, profile);
            let steps = scenario.steps.iter().flat_map(|it| simpler::steps(it, &scenario.device));
            let replaced = Scenario { steps: steps.collect(), ..scenario.clone() };
            assert!(replaced.steps.iter().all(|step| step.faults.len() <= MAX_FAULTS));
            let anything = Accepts::file_backed();
            let candidates = simpler::scenarios(&scenario, &anything).into_iter();
            for candidate in candidates.chain([replaced]) {
                assert_eq!(parse(&print(&candidate)), Ok(candidate), "seed {seed}");
            }
        }
    }
}

/// A device that says it has read what it has not shows whatever was in the buffer before.
#[test]
fn what_an_earlier_run_left_in_a_buffer_changes_nothing() {
    let runner = || Runner::new(Bug::ReadsNothing, Medium::Memory);
    let mut used = runner();
    for seed in 0..100 {
        let mut scenario = generate(seed, Profile::Durability);
        used.run(&scenario, Options::default()).unwrap();
        // What is read back, though nothing was ever written.
        scenario.steps.clear();
        let [fresh, again] = [&mut runner(), &mut used]
            .map(|runner| runner.run(&scenario, Options::default()).unwrap());
        assert_eq!(fresh.verdict, again.verdict, "seed {seed}");
        assert_eq!(fresh.digest, again.digest, "seed {seed}");
    }
}
