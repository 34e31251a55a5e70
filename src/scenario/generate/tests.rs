use super::*;
use crate::scenario::MAX_TRANSFER;
use std::sync::LazyLock;

static ANYTHING: LazyLock<Accepts> = LazyLock::new(|| Accepts::anything().odd_short_writes(true));

/// Many scenarios' generators, each with what it has drawn for device and swarm.
fn generators() -> impl Iterator<Item = (Generator<'static>, Swarm, DeviceSpec)> {
    let of = |profile| (0..1000).map(move |seed| (profile, seed));
    Profile::ALL.into_iter().flat_map(of).map(|(profile, seed)| {
        let mut generator = Generator::new(seed, &ANYTHING);
        let large = generator.large();
        let device = generator.device(profile, large);
        let swarm = generator.swarm(profile, &device, large);
        (generator, swarm, device)
    })
}

#[test]
fn a_request_that_is_meant_to_be_good_is_good() {
    for (mut generator, swarm, device) in generators() {
        let geometry = device.geometry().unwrap();
        for _ in 0..20 {
            let (offset, length) = generator.range(&swarm, &device);
            let checked = geometry.check(offset, length);
            assert!(checked.is_ok() && length <= MAX_TRANSFER, "{checked:?} {device:?}");
        }
    }
}

#[test]
fn a_request_that_is_meant_to_be_bad_is_bad() {
    for (mut generator, swarm, device) in generators() {
        let geometry = device.geometry().unwrap();
        for _ in 0..20 {
            let op = generator.bad(&swarm, &device);
            let (offset, length) = op.request().and_then(Request::span).unwrap();
            // What the device could serve, were its heap not too small, is refused by the heap.
            let refused = geometry.check(offset, length).is_err();
            assert!(refused || length > u64::from(device.heap), "{op:?} {device:?}");
        }
    }
}

/// A campaign of a million scenarios of each legal device has met one such.
#[test]
fn a_swarm_of_nothing_but_failed_syncs_has_no_faults_while_the_device_stays_open() {
    let mut found = 0;
    for (mut generator, mut swarm, device) in generators().take(200) {
        swarm.kinds = vec![Draft::SyncFailed];
        (swarm.steps, swarm.open_for, swarm.faults) = (100, 90, 1024);
        found += generator.steps(&swarm, &device).len();
    }
    assert_eq!(found, 20_000);
}

#[test]
fn what_a_swarm_leaves_out_does_not_occur() {
    let mut left_out = 0;
    for (mut generator, swarm, device) in generators() {
        let bad = DRAWS.iter().position(|&draw| draw == Draw::Bad).unwrap();
        let steps = generator.steps(&swarm, &device);
        if swarm.weights[bad] > 0 || swarm.weights.iter().all(|&weight| weight == 0) {
            continue;
        }
        left_out += 1;
        let geometry = device.geometry().unwrap();
        let spans = steps.iter().filter_map(|step| step.op.request()?.span());
        for (offset, length) in spans {
            assert!(geometry.check(offset, length).is_ok(), "{offset} {length} {device:?}");
        }
    }
    assert!(left_out > 100, "{left_out}");
}
