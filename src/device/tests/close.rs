//! Clause 4: close waits for the requests under way, and nothing comes after it.

use super::*;
use crate::exec::{Outcome, RandomSchedule, RoundRobin, Runtime, Schedule, yield_now};
use Answer::{Error, Right, Slow};
use futures::FutureExt;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

type Real = FileBackedDevice<Script>;

/// What happened, in order: the names of what has ended.
type Ended<'a> = RefCell<Vec<(&'a str, Result<(), DeviceError>)>>;

const CLOSED: Result<(), DeviceError> = Err(DeviceError::Closed);

/// A request that makes raw calls, and those it makes.
async fn request(device: &Real, name: &str) -> Result<(), DeviceError> {
    match name {
        "read" => device.read(0, [0; 1024].as_mut_slice().into()).await,
        "write" => device.write(0, [7; 1024].as_slice().into(), WriteOptions::default()).await,
        "fua" => device.write(0, [7; 1024].as_slice().into(), WriteOptions::FUA).await,
        "trim" => device.trim(0, 1024).await,
        "zeros" => device.write_zeroes(0, 1024, ZeroOptions::default()).await,
        "flush" => device.flush().await,
        "drain" => device.drain().await,
        "barrier" => device.barrier().await,
        "close" | "close again" => device.close().await,
        _ => panic!("{name}"),
    }
}

const REQUESTS: [&str; 7] = ["read", "write", "fua", "trim", "zeros", "flush", "barrier"];

fn raw_calls(name: &str) -> &'static [Raw] {
    match name {
        "read" => &[Raw::Read(0, 1024)],
        "write" | "trim" => &[Raw::Write(0, 1024)],
        "fua" => &[Raw::Write(0, 1024), Raw::Sync],
        "zeros" => &[Raw::Zero(0, 1024)],
        _ => &[Raw::Sync],
    }
}

/// Makes these requests at once, in the order of the schedule. Returns how each ended, in the order
/// in which they ended.
#[track_caller]
pub(super) fn run<'a>(
    schedule: impl Schedule,
    device: &Real,
    names: &[&'a str],
) -> Vec<(&'a str, Result<(), DeviceError>)> {
    let ended = Ended::default();
    let mut runtime = Runtime::new(schedule);
    let mut executor = runtime.executor();
    for &name in names {
        let ended = &ended;
        executor.spawn(name, async move {
            let answer = request(device, name).await;
            ended.borrow_mut().push((name, answer));
        });
    }
    // A wake-up that is lost is a deadlock here: nobody is polled without one.
    assert_eq!(executor.run(1000), Ok(Outcome::Finished));
    drop(executor);
    ended.into_inner()
}

#[test]
fn a_close_waits_for_a_slow_request_of_every_kind() {
    for name in REQUESTS {
        let device = device();
        device.file().plan(&[Slow(9)]);
        let ended = run(RoundRobin::new(), &device, &[name, "close"]);
        assert_eq!(ended, [(name, Ok(())), ("close", Ok(()))]);
        assert_eq!(device.file().raw_calls(), [raw_calls(name), &[Raw::Sync]].concat(), "{name}");
    }
}

#[test]
fn a_close_waits_for_all_of_many_requests() {
    let device = device();
    device.file().plan(&[Slow(3), Slow(20), Slow(7), Slow(1)]);
    let names = ["write", "read", "trim", "write", "close"];
    let ended = run(RoundRobin::new(), &device, &names);
    assert_eq!(ended.last(), Some(&("close", Ok(()))));
    assert_eq!(device.file().raw_calls().last(), Some(&Raw::Sync));
    assert_eq!(ended.len(), 5);
}

#[test]
fn two_closes_at_once_both_wait_and_one_flushes() {
    let device = device();
    device.file().plan(&[Slow(9)]);
    let mut ended = run(RoundRobin::new(), &device, &["write", "close", "close again"]);
    ended[1..].sort_by_key(|&(name, _)| name);
    assert_eq!(ended, [("write", Ok(())), ("close", Ok(())), ("close again", Ok(()))]);
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024), Raw::Sync]);
}

#[test]
fn a_request_made_while_the_device_closes_is_refused_without_a_raw_call() {
    for late in REQUESTS {
        let device = device();
        device.file().plan(&[Slow(9)]);
        let ended = run(RoundRobin::new(), &device, &["write", "close", late]);
        assert_eq!(ended, [(late, CLOSED), ("write", Ok(())), ("close", Ok(()))]);
        assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024), Raw::Sync], "{late}");
    }
}

/// Makes a request that ends unfinished, after these steps of others; and a close beside it.
#[track_caller]
fn close_beside_a_dropped(name: &str, steps: u32) -> Vec<Raw> {
    let device = device();
    device.file().plan(&[Slow(100)]);
    let is_dropped = Cell::new(false);
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    executor.spawn("request", async {
        {
            let mut request = pin!(request(&device, name));
            assert!(request.as_mut().now_or_never().is_none(), "{name}");
            for _ in 0..steps {
                yield_now().await;
                assert!(request.as_mut().now_or_never().is_none(), "{name}");
            }
        }
        is_dropped.set(true);
    });
    executor.spawn("close", async {
        assert_eq!(device.close().await, Ok(()));
        assert!(is_dropped.get(), "close did not wait for {name}");
    });
    assert_eq!(executor.run(1000), Ok(Outcome::Finished));
    drop(executor);
    device.file().raw_calls()
}

#[test]
fn a_close_does_not_wait_for_a_request_that_was_dropped() {
    for name in REQUESTS {
        for steps in [1, 2, 10] {
            let calls = close_beside_a_dropped(name, steps);
            // First the sync that was left behind, which may have failed.
            let syncs = calls.iter().filter(|&&call| call == Raw::Sync).count();
            assert!(syncs == calls.len() && (1..=2).contains(&syncs), "{name}: {calls:?}");
        }
    }
}

#[test]
fn a_request_that_is_refused_is_not_waited_for() {
    let device = device();
    assert!(write(&device, 1, &[7; 1024]).is_err());
    assert!(block_on(device.trim(0, 1 << 20)).is_err());
    assert!(read(&device, 1 << 20, 1024).is_err());
    assert_eq!(device.close().now_or_never(), None, "it syncs");
    assert_eq!(block_on(device.close()), Ok(()));
    assert_eq!(device.close().now_or_never(), Some(Ok(())), "it suspends for nothing");
}

#[test]
fn a_future_that_was_never_polled_is_not_waited_for() {
    let device = device();
    let unpolled = device.flush();
    assert_eq!(block_on(device.close()), Ok(()));
    assert_eq!(block_on(unpolled), CLOSED, "a request is made when it is first polled");
}

#[test]
fn a_close_that_was_dropped_leaves_the_device_closed_and_the_others_waiting() {
    let device = device();
    device.file().plan(&[Slow(9)]);
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    executor.spawn("write", async { assert_eq!(request(&device, "write").await, Ok(())) });
    executor.spawn("dropped", async {
        let mut close = pin!(device.close());
        let waits = poll_fn(|cx| Poll::Ready(close.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
        yield_now().await;
    });
    executor.spawn("close", async { assert_eq!(device.close().await, Ok(())) });
    assert_eq!(executor.run(1000), Ok(Outcome::Finished));
    drop(executor);
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024), Raw::Sync]);
}

#[test]
fn a_close_that_was_dropped_while_it_waited_is_made_good_by_the_next() {
    let device = device();
    device.file().plan(&[Slow(9)]);
    let mut write = Box::pin(request(&device, "write"));
    assert!(write.as_mut().now_or_never().is_none());
    assert!(device.close().now_or_never().is_none(), "the write is under way");
    assert_eq!(read(&device, 0, 1024).err(), Some(DeviceError::Closed));
    assert_eq!(block_on(write), Ok(()), "a close that waited does no harm to the write");
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024)], "it was not flushed");
    assert_eq!(block_on(device.close()), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Sync]);
}

#[test]
fn a_close_that_waited_says_that_its_sync_failed() {
    let device = device();
    device.file().plan(&[Slow(9), Error(Errno::IO)]);
    let mut ended = run(RoundRobin::new(), &device, &["write", "close", "close again"]);
    ended[1..].sort_by_key(|&(name, _)| name);
    let failed = Err(io_error(Errno::IO));
    let refused = Err(DeviceError::SyncFailed);
    assert_eq!(ended, [("write", Ok(())), ("close", failed), ("close again", failed)]);
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024), Raw::Sync]);
    assert_eq!(block_on(device.close()), refused);
    assert_eq!(device.file().raw_calls(), [], "no lie the second time");
}

#[test]
fn a_close_says_that_the_sync_failed_for_which_it_waited() {
    for name in ["flush", "barrier", "fua"] {
        let device = device();
        let before: &[Answer] = if name == "fua" { &[Slow(9)] } else { &[] };
        device.file().plan(&[before, &[Error(Errno::IO)]].concat());
        let ended = run(RoundRobin::new(), &device, &[name, "close"]);
        let refused = Err(DeviceError::SyncFailed);
        assert_eq!(ended, [(name, Err(io_error(Errno::IO))), ("close", refused)]);
        assert_eq!(device.file().raw_calls(), raw_calls(name), "close leaves the file alone");
    }
}

#[test]
fn a_request_that_failed_is_no_longer_waited_for() {
    let device = device();
    device.file().plan(&[Right, Error(Errno::NOSPC)]);
    let ended = run(RoundRobin::new(), &device, &["read", "write", "close"]);
    assert_eq!(ended.last(), Some(&("close", Ok(()))));
    assert_eq!(ended[1], ("write", Err(io_error(Errno::NOSPC))));
}

/// In whatever order things happen: what was admitted is done before a close returns, and the file
/// is not touched after that.
#[test]
fn after_a_close_has_returned_the_file_is_left_alone() {
    for seed in 0..500 {
        let device = device();
        let slow = (0..4).map(|at| Slow(u32::try_from(seed * 7 + at * 3).unwrap() % 5));
        device.file().plan(&slow.collect::<Vec<_>>());
        let calls_at_close = RefCell::new(Vec::new());
        let mut runtime = Runtime::new(RandomSchedule::new(seed));
        let mut executor = runtime.executor();
        for name in REQUESTS.into_iter().chain(["close", "close again"]) {
            let (device, calls_at_close) = (&device, &calls_at_close);
            executor.spawn(name, async move {
                let answer = request(device, name).await;
                if !name.starts_with("close") {
                    assert!(matches!(answer, Ok(()) | CLOSED), "{name}: {answer:?}");
                    return;
                }
                assert_eq!(answer, Ok(()));
                let calls = device.file().raw_calls();
                if calls_at_close.borrow().is_empty() {
                    assert_eq!(calls.last(), Some(&Raw::Sync), "seed {seed}");
                    *calls_at_close.borrow_mut() = calls;
                } else {
                    assert_eq!(calls, [], "seed {seed}: after the first close");
                }
            });
        }
        assert_eq!(executor.run(1000), Ok(Outcome::Finished), "seed {seed}");
        drop(executor);
        assert_eq!(device.file().raw_calls(), [], "seed {seed}: after both closes");
    }
}
