//! Scenarios that are generated for a device.

use super::*;
use crate::scenario::{generate, generate_for, parse, print};

/// Requests, and how many of them the device has to refuse, of seeds 0 to 499 in thousandths.
fn share_refused(accepts: &Accepts, profile: Profile) -> u64 {
    let (mut requests, mut refused) = (0, 0);
    for seed in 0..500 {
        let scenario = generate_for(seed, profile, accepts);
        let geometry = scenario.device.geometry().unwrap();
        let spans = scenario.steps.iter().filter_map(|step| step.op.request()?.span());
        for (offset, length) in spans {
            requests += 1;
            refused += u64::from(geometry.check(offset, length).is_err());
        }
    }
    refused * 1000 / requests
}

#[test]
fn about_one_request_in_twenty_has_to_be_refused() {
    let usual = share_refused(&unconstrained(), Profile::Default);
    assert!((40..60).contains(&usual), "{usual}");
    for (name, accepts) in devices() {
        let share = share_refused(&accepts, Profile::Default);
        assert!((25..=80).contains(&share), "{name}: {share}");
    }
}

#[test]
fn what_is_generated_is_accepted() {
    for (name, accepts) in devices() {
        for profile in Profile::ALL {
            for seed in 0..80 {
                let scenario = generate_for(seed, profile, &accepts);
                assert_eq!(accepts.check(&scenario), Ok(()), "{name} {profile:?} {seed}");
                let mut fitted = scenario.clone();
                accepts.fit(&mut fitted);
                assert_eq!(fitted, scenario, "{name} {profile:?} {seed}");
                if seed % 40 == 0 {
                    assert_eq!(parse(&print(&scenario)), Ok(scenario), "{name}");
                }
            }
        }
    }
}

#[test]
fn without_constraints_every_seed_gives_the_usual() {
    for profile in Profile::ALL {
        let usual = Accepts::anything().odd_short_writes(true);
        let same = |seed| generate_for(seed, profile, &usual) == generate(seed, profile);
        assert!((0..50).all(same), "{profile:?}");
    }
}

#[test]
fn a_device_that_takes_nothing_gets_what_it_can() {
    for (line, accepts) in impossible_devices() {
        for seed in 0..50 {
            let scenario = generate_for(seed, Profile::Default, &accepts);
            assert!(scenario.device.geometry().is_ok(), "{line}");
            refused(&accepts, &scenario);
        }
    }
}

/// The devices that are generated for `accepts`.
fn specs(accepts: &Accepts) -> Vec<DeviceSpec> {
    (0..300).map(|seed| generate_for(seed, Profile::Default, accepts).device).collect()
}

#[test]
fn devices_within_limits_differ() {
    let distinct = |accepts: &Accepts, of: fn(&DeviceSpec) -> u64| {
        specs(accepts).iter().map(of).collect::<BTreeSet<_>>().len()
    };
    let native = unconstrained().sector_sizes(&[4096]).blocks(8..=1024);
    assert_eq!(distinct(&native, |it| it.block_size.into()), 4);
    assert!(distinct(&native, |it| it.block_count) > 30);
    assert_eq!(distinct(&unconstrained().block_sizes(65536..), |it| it.block_size.into()), 4);
    let large = |it: &DeviceSpec| it.block_count * u64::from(it.block_size) >= 1 << 31;
    assert!(!specs(&native).iter().any(large));
    assert!(specs(&unconstrained().blocks(8..)).iter().any(large));
}

#[test]
fn short_writes_of_whole_sectors_still_occur() {
    let native = Accepts::anything().sector_sizes(&[4096]);
    let scenarios = (0..300).map(|seed| generate_for(seed, Profile::Heavy, &native));
    let shorts = scenarios.map(|scenario| {
        let faults = scenario.steps.iter().flat_map(|step| &step.faults);
        let shorts = faults.filter(|it| matches!(it.kind, FaultKind::ShortWrite(_)));
        shorts.count()
    });
    assert!(shorts.sum::<usize>() > 100);
}
