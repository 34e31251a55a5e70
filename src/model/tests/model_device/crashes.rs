//! What crashes and restarts leave, and what they end.

use super::weak::seen;
use super::*;
use crate::model::RequestEnd;
use std::collections::BTreeSet;

#[test]
fn what_was_in_flight_when_the_power_failed_errs_and_changes_nothing() {
    for polls in 1..=4 {
        for seed in 0..50 {
            let mut device = device_with(seed, Weak::ALL);
            write(&device, 0, 1, 8, WriteOptions::FUA);
            let old = device.clone();
            let mut writing = pin!(old.write(0, (&[2; 8192][..]).into(), PLAIN));
            let mut closing = pin!(old.close());
            let answered = (0..polls).any(|_| poll(writing.as_mut()).is_ready());
            let _ = poll(closing.as_mut());
            device.crash_with(Keep::None);
            assert_eq!(sectors(&device, 0, 8), [1; 16]);
            if !answered {
                assert!(matches!(block_on(writing), Err(DeviceError::Io { errno: None, .. })));
            }
            assert!(matches!(block_on(closing), Err(DeviceError::Io { errno: None, .. })));
            assert!(all_three(&old, 0, 1024).iter().all(Result::is_err));
            assert_eq!(sectors(&device, 0, 8), [1; 16]);
            let cut_off = device.take_journal().iter().any(|it| it.end == RequestEnd::CutOff);
            assert!(cut_off, "the close was in flight");
            block_on(device.close()).unwrap();
        }
    }
}

#[test]
fn every_policy_keeps_the_order_of_barriers() {
    let policies = |seed| {
        let seeded = [Keep::Random, Keep::Runs, Keep::OneKept, Keep::OneLost, Keep::Mask];
        let plain = [Keep::All, Keep::None, Keep::NewestKept, Keep::NewestLost];
        seeded.map(|keep| keep(seed)).into_iter().chain(plain)
    };
    for seed in 0..64 {
        for keep in policies(seed) {
            let mut device = device_with(seed, Weak::ALL);
            for byte in 1..=6 {
                write(&device, u64::from(byte % 3) * BLOCK, byte, 2, PLAIN);
                if byte % 2 == 0 {
                    block_on(device.barrier()).unwrap();
                }
            }
            // Blocks by epoch: 1 at 1 and 2, 2 at 2 and 3 | 3 at 0 and 1, 4 at 1 and 2 | 5 at 2 and
            // 3, 6 at 0 and 1.
            device.crash_with(keep);
            let end = sectors(&device, 0, 4);
            let newest = *end.iter().max().unwrap();
            let least: [u8; 8] = match newest {
                5.. => [3, 3, 4, 4, 4, 4, 2, 2],
                3.. => [0, 0, 1, 1, 2, 2, 2, 2],
                _ => [0; 8],
            };
            let kept = end.iter().zip(least).all(|(&is, least)| is >= least);
            assert!(kept, "{keep:?} left {end:?}");
        }
    }
}

#[test]
fn policies_about_one_request_keep_or_lose_just_that_one() {
    let after = |keep| {
        let mut device = device_with(3, Weak::ALL);
        for block in 0..3_u8 {
            write(&device, u64::from(block) * BLOCK, block + 1, 1, PLAIN);
        }
        device.crash_with(keep);
        let end = sectors(&device, 0, 3);
        [end[0], end[2], end[4]]
    };
    assert_eq!(after(Keep::NewestKept), [0, 0, 3]);
    assert_eq!(after(Keep::NewestLost), [1, 2, 0]);
    let kept = seen(|seed| after(Keep::OneKept(seed)));
    assert_eq!(kept, BTreeSet::from([[1, 0, 0], [0, 2, 0], [0, 0, 3]]));
    let lost = seen(|seed| after(Keep::OneLost(seed)));
    assert_eq!(lost, BTreeSet::from([[0, 2, 3], [1, 0, 3], [1, 2, 0]]));
    assert_eq!(after(Keep::Mask(0b11_00_11)), [1, 0, 3]);
}

#[test]
fn only_policies_beyond_the_contract_damage_sectors() {
    let prepared = |seed| {
        let device = device_with(seed, Weak::ALL);
        write(&device, 0, 1, 8, WriteOptions::FUA);
        write(&device, 0, 2, 8, PLAIN);
        device
    };
    let is_whole = |data: &[u8]| data.chunks(512).all(|it| it == [1; 512] || it == [2; 512]);
    let mut unreadable = prepared(1);
    unreadable.crash_with(Keep::Unreadable(1));
    let failed = block_on(unreadable.read(0, (&mut [0; 8192][..]).into()));
    assert_eq!(failed, Err(error(5)));
    write(&unreadable, 0, 3, 8, PLAIN);
    assert_eq!(sectors(&unreadable, 0, 8), [3; 16]);
    for keep in [Keep::TornBytes(1), Keep::Garbage(1), Keep::Random(1)] {
        let mut device = prepared(1);
        device.crash_with(keep);
        assert_eq!(is_whole(&read(&device, 0, 8)), keep == Keep::Random(1), "{keep:?}");
    }
}

#[test]
fn a_part_that_a_failed_sync_made_durable_keeps_the_order() {
    let left = seen(|seed| {
        let mut device = device_with(seed, Weak::ALL);
        write(&device, 0, 1, 1, PLAIN);
        block_on(device.barrier()).unwrap();
        write(&device, BLOCK, 2, 1, PLAIN);
        let _ = device.fail_next(Failure::SyncPartly(seed));
        assert_eq!(block_on(device.flush()), Err(error(5)));
        assert_eq!(sectors(&device, 0, 2), [1, 1, 2, 2], "it is still visible");
        device.crash_with(Keep::All);
        sectors(&device, 0, 2)
    });
    assert!(left.iter().all(|it| it[2..] == [0, 0] || it[..2] == [1, 1]), "{left:?}");
    assert!(left.len() > 4, "{left:?}");
}

#[test]
fn what_lands_after_a_failed_sync_does_not_outlive_what_was_dropped_before_it() {
    let mut device = device();
    write(&device, 0, 1, 1, PLAIN);
    block_on(device.barrier()).unwrap();
    let handle = device.clone();
    let mut writing = pin!(handle.write(BLOCK, (&[2; 1024][..]).into(), PLAIN));
    assert!(poll(writing.as_mut()).is_pending());
    let _ = device.fail_next(Failure::SyncDropped);
    assert_eq!(block_on(device.flush()), Err(error(5)));
    block_on(writing).unwrap();
    assert_eq!(sectors(&device, 0, 2), [1, 1, 2, 2]);
    device.crash_with(Keep::All);
    assert_eq!(sectors(&device, 0, 2), [0; 4], "the barrier is kept");
}

#[test]
fn a_restart_loses_nothing_and_makes_nothing_durable() {
    let mut device = device();
    write(&device, 0, 1, 1, PLAIN);
    let _ = device.fail_next(Failure::SyncDropped);
    assert!(block_on(device.flush()).is_err());
    let _ = block_on(device.close());
    device.restart();
    assert_eq!(sectors(&device, 0, 1), [1, 1]);
    write(&device, BLOCK, 2, 1, PLAIN);
    block_on(device.flush()).unwrap();
    assert_eq!(device.unsynced_sectors(), 2, "what was dropped stays so");
    device.crash_with(Keep::All);
    assert_eq!(sectors(&device, 0, 2), [0, 0, 2, 2]);
}

#[test]
fn what_was_in_flight_in_a_restart_errs_and_lands_no_more() {
    for seed in 0..50 {
        let mut device = device_with(seed, Weak::ALL);
        let old = device.clone();
        let mut writing = pin!(old.write(0, (&[2; 8192][..]).into(), PLAIN));
        let answered = (0..3).any(|_| poll(writing.as_mut()).is_ready());
        let _ = poll(pin!(old.write(0, (&[3; 8192][..]).into(), PLAIN)));
        device.restart();
        let left = sectors(&device, 0, 8);
        assert!(left.iter().all(|byte| [0, 2, 3].contains(byte)), "{left:?}");
        if !answered {
            assert!(matches!(block_on(writing), Err(DeviceError::Io { errno: None, .. })));
        }
        assert!((0..4).all(|_| sectors(&device, 0, 8) == left));
        block_on(device.flush()).unwrap();
        device.crash_with(Keep::None);
        assert_eq!(sectors(&device, 0, 8), left);
    }
}
