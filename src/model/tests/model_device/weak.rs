//! What the weak forms do, and what they never do.

use super::*;
use crate::model::{Planned, Request, RequestEnd};
use std::collections::BTreeSet;

/// What comes of many seeds.
pub(super) fn seen<T: Ord>(of: impl FnMut(u64) -> T) -> BTreeSet<T> {
    (0..200).map(of).collect()
}

#[test]
fn the_same_seed_gives_the_same_device() {
    let run = |seed| {
        let mut device = device_with(seed, Weak::ALL);
        let _ = (device.fail_next(Failure::Write(5)), device.fail_next(Failure::Read(5)));
        let mut buffer = [1; 4096];
        let _ = block_on(device.write(0, (&[2; 4096][..]).into(), PLAIN));
        let _ = block_on(device.read(0, (&mut buffer[..]).into()));
        write(&device, BLOCK, 3, 4, PLAIN);
        block_on(device.trim(0, 2 * BLOCK)).unwrap();
        device.crash(seed);
        (buffer.to_vec(), sectors(&device, 0, 8))
    };
    assert!((0..50).all(|seed| run(seed) == run(seed)));
    assert!(seen(run).len() > 100);
}

#[test]
fn strong_requests_are_ready_at_once_and_weak_ones_are_not() {
    for (weak, ready) in [(Weak::NONE, true), (Weak::ALL, false)] {
        let device = device_with(1, weak);
        let mut buffer = [0; 1024];
        assert_eq!(poll(pin!(device.read(0, (&mut buffer[..]).into()))).is_ready(), ready);
        let data = [1; 1024];
        assert_eq!(poll(pin!(device.write(0, data[..].into(), PLAIN))).is_ready(), ready);
        assert_eq!(poll(pin!(device.trim(0, 1024))).is_ready(), ready);
        assert_eq!(poll(pin!(device.flush())).is_ready(), ready);
        assert_eq!(poll(pin!(device.barrier())).is_ready(), ready);
        assert_eq!(poll(pin!(device.close())).is_ready(), ready);
    }
}

#[test]
fn a_dropped_write_leaves_each_sector_old_or_new_and_lands_before_the_next_sync() {
    let mut landed_late = 0;
    for seed in 0..200 {
        let device = device_with(seed, Weak::ALL);
        write(&device, 0, 1, 2, PLAIN);
        {
            let mut dropped = pin!(device.write(0, (&[2; 2048][..]).into(), PLAIN));
            let _ = (0..=seed % 5).any(|_| poll(dropped.as_mut()).is_ready());
        }
        // It may land while this reads, so that a sector is old and new.
        let first = read(&device, 0, 2);
        assert!(first.iter().all(|byte| [1, 2].contains(byte)));
        block_on(device.flush()).unwrap();
        let synced = sectors(&device, 0, 2);
        landed_late += u32::from(read(&device, 0, 2) != first);
        write(&device, BLOCK, 3, 1, PLAIN);
        for _ in 0..4 {
            assert_eq!(sectors(&device, 0, 2), [synced[0], synced[1], 3, 3]);
        }
    }
    assert!(landed_late > 20, "{landed_late}");
}

#[test]
fn a_dropped_write_never_lands_over_a_newer_one() {
    for seed in 0..200 {
        let device = device_with(seed, Weak::ALL);
        let _ = poll(pin!(device.write(0, (&[2; 2048][..]).into(), PLAIN)));
        write(&device, 0, 3, 1, PLAIN);
        for _ in 0..4 {
            assert_eq!(read(&device, 0, 2)[..1024], [3; 1024]);
        }
    }
}

#[test]
fn close_waits_for_requests_and_refuses_new_ones() {
    let device = device();
    let mut writing = pin!(device.write(0, (&[2; 1024][..]).into(), PLAIN));
    assert!(poll(writing.as_mut()).is_pending());
    let mut closing = pin!(device.close());
    for _ in 0..20 {
        assert!(poll(closing.as_mut()).is_pending());
    }
    assert_eq!(all_three(&device, 0, 1024), [Err(DeviceError::Closed); 3]);
    block_on(writing).unwrap();
    block_on(closing).unwrap();
    assert_eq!(device.unsynced_sectors(), 0);
}

#[test]
fn a_dropped_close_is_made_up_for_by_another() {
    let mut device = device();
    write(&device, 0, 1, 1, PLAIN);
    let _ = poll(pin!(device.close()));
    assert_eq!(device.unsynced_sectors(), 2);
    block_on(device.close()).unwrap();
    device.crash_with(Keep::None);
    assert_eq!(sectors(&device, 0, 1), [1, 1]);
}

#[test]
fn a_barrier_orders_and_makes_nothing_durable() {
    let ends = crashes(Weak::ALL, |device| {
        for (block, byte) in [(0, 1), (1, 2), (2, 3)] {
            write(device, block * BLOCK, byte, 1, PLAIN);
            block_on(device.barrier()).unwrap();
        }
        assert_eq!(device.unsynced_sectors(), 6);
    });
    for end in &ends {
        assert!(end[2..6] == [0; 4] || end[..2] == [1, 1], "{end:?}");
        assert!(end[4..6] == [0; 2] || end[2..4] == [2, 2], "{end:?}");
    }
    let first = |byte| ends.iter().any(|end| end[0] == byte);
    assert!(first(0) && first(1) && ends.iter().any(|end| end[4] == 3 && end[5] == 0));
}

#[test]
fn a_barrier_says_nothing_of_what_was_in_flight_when_it_was_called() {
    let mut device = device();
    let handle = device.clone();
    let mut ordering = pin!(handle.barrier());
    assert!(poll(ordering.as_mut()).is_pending());
    write(&device, 0, 1, 1, PLAIN);
    block_on(ordering).unwrap();
    write(&device, BLOCK, 2, 1, PLAIN);
    device.crash_with(Keep::NewestKept);
    assert_eq!(sectors(&device, 0, 2), [0, 0, 2, 2]);
}

#[test]
fn a_barrier_that_ends_late_takes_nothing_back_from_another() {
    let mut device = device();
    let handle = device.clone();
    let mut slow = pin!(handle.barrier());
    assert!(poll(slow.as_mut()).is_pending());
    write(&device, 0, 1, 1, PLAIN);
    block_on(device.barrier()).unwrap();
    block_on(slow).unwrap();
    write(&device, BLOCK, 2, 1, PLAIN);
    device.crash_with(Keep::NewestKept);
    assert_eq!(sectors(&device, 0, 2), [1, 1, 2, 2]);
}

#[test]
fn a_fua_write_takes_along_what_a_barrier_has_put_before_it() {
    let mut device = device();
    write(&device, 0, 1, 1, PLAIN);
    block_on(device.barrier()).unwrap();
    write(&device, BLOCK, 2, 1, PLAIN);
    write(&device, 2 * BLOCK, 3, 1, WriteOptions::FUA);
    assert_eq!(device.unsynced_sectors(), 2);
    device.crash_with(Keep::None);
    assert_eq!(sectors(&device, 0, 3), [1, 1, 0, 0, 3, 3]);

    let mut strong = strong();
    write(&strong, BLOCK, 2, 1, PLAIN);
    write(&strong, 2 * BLOCK, 3, 1, WriteOptions::FUA);
    strong.crash_with(Keep::None);
    assert_eq!(sectors(&strong, 0, 3), [0, 0, 2, 2, 3, 3]);
}

#[test]
fn a_flush_need_not_cover_what_was_written_after_it_was_called() {
    let mut device = device();
    write(&device, 0, 1, 1, PLAIN);
    let handle = device.clone();
    let mut flushing = pin!(handle.flush());
    assert!(poll(flushing.as_mut()).is_pending());
    write(&device, BLOCK, 2, 1, PLAIN);
    block_on(flushing).unwrap();
    assert_eq!(device.unsynced_sectors(), 2);
    device.crash_with(Keep::None);
    assert_eq!(sectors(&device, 0, 2), [1, 1, 0, 0]);
}

#[test]
fn a_failed_write_leaves_each_sector_old_or_new_and_a_failed_read_anything() {
    let fails = |seed, weak| {
        let device = device_with(seed, weak);
        write(&device, 0, 1, 2, PLAIN);
        let _ = device.fail_next(Failure::Write(5));
        assert!(block_on(device.write(0, (&[2; 2048][..]).into(), PLAIN)).is_err());
        let mut buffer = [9; 512];
        let small = ModelDevice::with_options(
            Geometry::new(512, 512, 4).unwrap(),
            ModelOptions { seed, weak },
        );
        let _ = small.fail_next(Failure::Read(5));
        assert!(block_on(small.read(0, (&mut buffer[..]).into())).is_err());
        (sectors(&device, 0, 2), buffer.to_vec())
    };
    let strong = seen(|seed| fails(seed, Weak::NONE));
    assert_eq!(strong, BTreeSet::from([(vec![1; 4], vec![9; 512])]));
    let weak = seen(|seed| fails(seed, Weak::ALL));
    let writes: BTreeSet<_> = weak.iter().map(|it| &it.0).collect();
    assert_eq!(writes.len(), 16, "each of four sectors old or new");
    assert!(weak.iter().any(|it| it.1 == [9; 512]) && weak.iter().any(|it| it.1 == [0; 512]));
}

#[test]
fn a_failure_is_aimed_at_a_request_and_tells_whether_it_was_met() {
    let device = device();
    write(&device, 0, 1, 1, PLAIN);
    let second = device.fail_at(device.requests() + 1, Failure::Write(ENOSPC));
    let of_a_read = device.fail_at(device.requests(), Failure::Read(5));
    let next = device.fail_next(Failure::SyncKept);
    write(&device, 0, 2, 1, PLAIN);
    let failed = block_on(device.write(0, (&[3; 1024][..]).into(), PLAIN));
    assert_eq!(failed, Err(error(ENOSPC)));
    assert!(block_on(device.flush()).is_err());
    let met = [&second, &of_a_read, &next].map(Planned::met_by);
    assert_eq!(met, [Some(2), None, Some(3)], "the first of them is of no read");
}

#[test]
fn a_request_of_no_bytes_has_no_failure() {
    let device = device();
    let failures = [Failure::Read(5), Failure::Write(5), Failure::Trim(5), Failure::SyncKept];
    let planned = failures.map(|failure| device.fail_next(failure));
    assert_eq!(all_three(&device, SIZE, 0), [Ok(()); 3]);
    assert_eq!(block_on(device.write(0, (&[][..]).into(), WriteOptions::FUA)), Ok(()));
    assert!(planned.iter().all(|it| it.met_by().is_none()));
}

#[test]
fn the_journal_has_every_request_and_how_it_ended() {
    let mut device = device();
    write(&device, 0, 1, 1, WriteOptions::FUA);
    let _ = all_three(&device, 512, 1024);
    let _ = poll(pin!(device.barrier()));
    let old = device.clone();
    let mut flushing = pin!(old.flush());
    let _ = poll(flushing.as_mut());
    device.crash(1);
    let ends: Vec<_> = device.take_journal().into_iter().map(|it| (it.number, it.end)).collect();
    let (offset, length) = (512, 1024);
    let refused = Err(DeviceError::Misaligned { offset, length, block_size: 1024 });
    let expected = [
        RequestEnd::Answered(Ok(())),
        RequestEnd::Answered(refused),
        RequestEnd::Answered(refused),
        RequestEnd::Answered(refused),
        RequestEnd::Dropped,
        RequestEnd::CutOff,
    ];
    assert_eq!(ends, (0..).zip(expected).collect::<Vec<_>>());
    write(&device, 0, 1, 1, PLAIN);
    let request = Request::Write { offset: 0, length: 1024, fua: false };
    let journal = device.take_journal();
    assert_eq!((journal[0].number, journal[0].request, device.requests()), (6, request, 7));
}
