//! Any bytes are a scenario, and a scenario is bytes again.

mod format;

use super::{FLAVOUR, HEADER, MOST_STEPS, RECORD, decode, encode, same_run};
use crate::disk::FaultClass;
use crate::lockstep::{Verdict, run};
use crate::rng::{Purpose, Rng};
use crate::scenario::{DropOn, MAX_CLIENTS, Op, Profile, Scenario, Step, generate, parse, print};
use arbitrary::{Arbitrary, Unstructured};

/// Random bytes, so many of them.
fn random(rng: &mut Rng, length: usize) -> Vec<u8> {
    (0..length.div_ceil(8)).flat_map(|_| rng.next_u64().to_le_bytes()).take(length).collect()
}

/// Random bytes of many lengths, with and without small numbers and the durability flavour.
fn inputs(count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|seed| {
        let mut rng = Rng::new(seed, Purpose::Operations);
        let length = usize::try_from(rng.below(4096)).unwrap();
        let mut bytes = random(&mut rng, length);
        if seed % 2 == 1 {
            for byte in bytes.iter_mut().step_by(RECORD) {
                *byte %= 16;
            }
        }
        if let Some(flavour) = bytes.get_mut(FLAVOUR).filter(|_| seed % 3 == 0) {
            *flavour = 1;
        }
        bytes
    })
}

#[track_caller]
fn assert_round_trip(scenario: &Scenario) {
    let bytes = encode(scenario).unwrap_or_else(|| panic!("no bytes: {}", print(scenario)));
    assert!(same_run(&decode(&bytes), scenario));
    assert_eq!(bytes.len() % RECORD, 0);
}

#[test]
fn what_random_bytes_decode_to_is_encoded_again() {
    for bytes in inputs(1000) {
        assert_round_trip(&decode(&bytes));
    }
}

#[test]
fn what_random_bytes_decode_to_may_be_parsed() {
    for bytes in inputs(150) {
        let scenario = decode(&bytes);
        assert_eq!(parse(&print(&scenario)).as_ref(), Ok(&scenario));
    }
}

#[test]
fn every_generated_scenario_is_encoded() {
    for profile in Profile::ALL {
        for seed in 0..1500 {
            assert_round_trip(&generate(seed, profile));
        }
    }
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let generated = generate(1, Profile::Default);
    let changes: [fn(&mut Scenario); 8] = [
        |it| (it.steps[0].drop_at, it.steps[0].drop_on) = (Some(25), DropOn::NextPoll),
        |it| (it.steps[0].drop_at, it.steps[0].drop_on) = (Some(0), DropOn::Suspension),
        |it| it.steps = vec![Step::new(Op::Flush); MOST_STEPS + 1],
        |it| it.steps[0].drop_at = Some(1000),
        |it| it.steps[0].client = MAX_CLIENTS,
        |it| it.device.block_count = 0,
        |it| it.device.block_size = 0,
        |it| it.version += 1,
    ];
    for change in changes {
        let mut scenario = generated.clone();
        change(&mut scenario);
        assert_eq!(encode(&scenario), None, "{scenario:?}");
    }
}

/// The numbers up to 127 have always meant this; those from 128 on meant nothing once.
#[test]
fn a_byte_says_when_a_future_is_dropped() {
    for number in 0..=u8::MAX {
        let mut bytes = [0; HEADER + RECORD];
        bytes[HEADER + 5] = number;
        let step = decode(&bytes).steps.remove(0);
        let expected = match number {
            1..=24 => (Some(u32::from(number)), DropOn::Suspension),
            128..=152 => (Some(u32::from(number) - 128), DropOn::NextPoll),
            _ => (None, DropOn::Suspension),
        };
        assert_eq!((step.drop_at, step.drop_on), expected, "{number}");
        assert_round_trip(&decode(&bytes));
    }
}

#[test]
fn a_record_is_an_operation() {
    for seed in 0..100 {
        let bytes = random(&mut Rng::new(seed, Purpose::Operations), HEADER + 100 * RECORD);
        let count = decode(&bytes).steps.len();
        assert!((90..=100).contains(&count), "{count}");
    }
    let many = vec![0xff; HEADER + 2 * MOST_STEPS * RECORD];
    assert_eq!(decode(&many).steps.len(), MOST_STEPS);
}

#[test]
fn without_bytes_all_is_boring() {
    let nothing = decode(&[]);
    assert_eq!(nothing, decode(&[0; HEADER]));
    assert_eq!(nothing.device.file_length, nothing.device.geometry().unwrap().size());
    let boring = decode(&[0; HEADER + 1]).steps;
    assert_eq!(boring, [Step::new(Op::Read { offset: 0, length: 0 })]);
}

#[test]
fn every_first_byte_is_a_version() {
    let mut bytes = encode(&generate(3, Profile::Heavy)).unwrap();
    let scenario = decode(&bytes);
    for version in 0..=u8::MAX {
        bytes[0] = version;
        assert_eq!(decode(&bytes), scenario);
    }
}

#[test]
fn random_scenarios_do_something_and_pass() {
    let (mut served, mut requests, mut faults, mut crashes) = (0, 0, 0, 0);
    for bytes in inputs(150) {
        let scenario = decode(&bytes);
        let geometry = scenario.device.geometry().unwrap();
        for (offset, length) in scenario.steps.iter().filter_map(|it| it.op.request()?.span()) {
            requests += 1;
            served += usize::from(length > 0 && geometry.check(offset, length).is_ok());
        }
        let report = run(&scenario).unwrap();
        assert_eq!(report.verdict, Verdict::Pass, "{}", print(&scenario));
        faults +=
            FaultClass::ALL.iter().map(|&it| report.stats.faults_of(it).injected).sum::<u64>();
        crashes += report.stats.crashes;
    }
    assert!(served * 10 > requests * 8, "{served} of {requests}");
    assert!(faults > 100 && crashes > 100, "{faults} faults, {crashes} crashes");
}

#[test]
fn a_fuzzer_prints_the_scenario() {
    for bytes in inputs(20) {
        let scenario = decode(&bytes);
        let mut unstructured = Unstructured::new(&bytes);
        assert_eq!(Scenario::arbitrary(&mut unstructured).as_ref(), Ok(&scenario));
        assert!(unstructured.is_empty());
        let rest = Scenario::arbitrary_take_rest(Unstructured::new(&bytes));
        assert_eq!(rest, Ok(scenario));
    }
}
