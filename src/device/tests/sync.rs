//! Clauses 4, 5 and 6: what is durable, and what no longer is.

use super::*;
use crate::device::SyncLatch;
use crate::exec::{Outcome, RoundRobin, Runtime, yield_now};
use Answer::{Error, Right, Short, Slow};
use futures::FutureExt;
use futures::future::{BoxFuture, join, join_all, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

const FAILS: Answer = Error(Errno::IO);

#[test]
fn flush_and_barrier_sync_the_file_each_time() {
    let device = device();
    for (request, sync) in syncs().into_iter().chain(syncs()) {
        assert_eq!(sync(&device), Ok(()));
        assert_eq!(device.file().raw_calls(), [Raw::Sync], "{request}");
    }
}

#[test]
fn a_fua_write_syncs_after_all_of_it_is_written() {
    let device = device();
    device.file().plan(&[Short(512)]);
    assert_eq!(write_fua(&device, 0, &[7; 1024]), Ok(()));
    let calls = [Raw::Write(0, 1024), Raw::Write(512, 512), Raw::Sync];
    assert_eq!(device.file().raw_calls(), calls);
    assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024)], "without fua, without a sync");
}

#[test]
fn a_fua_write_whose_sync_fails_says_so() {
    let device = device();
    device.file().plan(&[Right, Error(Errno::NOSPC)]);
    assert_eq!(write_fua(&device, 0, &[7; 1024]), Err(io_error(Errno::NOSPC)));
    assert_eq!(block_on(device.flush()), Err(DeviceError::SyncFailed));
}

#[test]
fn close_flushes_once_and_may_be_called_again() {
    let device = device();
    for _ in 0..3 {
        assert_eq!(block_on(device.close()), Ok(()));
    }
    assert_eq!(device.file().raw_calls(), [Raw::Sync]);
}

#[test]
fn a_close_that_was_cancelled_is_made_good_by_the_next() {
    let device = device();
    assert!(device.close().now_or_never().is_none(), "the sync is under way");
    assert_eq!(write(&device, 0, &[7; 1024]), Err(DeviceError::Closed));
    device.file().raw_calls();
    assert_eq!(block_on(device.close()), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Sync], "the one that was under way");
}

#[test]
fn a_failed_sync_is_heard_although_its_request_was_dropped() {
    for (request, sync) in syncs() {
        let device = device();
        device.file().plan(&[FAILS]);
        assert!(device.flush().now_or_never().is_none(), "the sync is under way");
        assert_eq!(sync(&device), Err(io_error(Errno::IO)), "{request}");
        let calls = device.file().raw_calls();
        assert_eq!(calls.iter().filter(|&&call| call == Raw::Sync).count(), 1, "{request}");
        assert_eq!(block_on(device.flush()), Err(DeviceError::SyncFailed), "{request}");
        assert_eq!(write(&device, 0, &[7; 1024]), Err(DeviceError::SyncFailed), "{request}");
    }
}

#[test]
fn a_sync_whose_request_was_dropped_makes_nothing_durable_for_another() {
    let device = device();
    assert!(device.flush().now_or_never().is_none(), "the sync is under way");
    assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
    assert_eq!(block_on(device.flush()), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024), Raw::Sync, Raw::Sync]);
}

#[test]
fn those_who_wait_share_one_sync() {
    let device = device();
    device.file().plan(&[Slow(20)]);
    let mut first = Box::pin(device.flush());
    assert!(first.as_mut().now_or_never().is_none(), "the sync is under way");
    let data = [7; 1024];
    let write = |at: u64| device.write(at * 1024, data.as_slice().into(), WriteOptions::FUA);
    let others = join_all((0..7).map(write));
    let answers = block_on(join(first, others));
    assert_eq!(answers, (Ok(()), vec![Ok(()); 7]));
    // One that began before they wrote, and one for all of them. A call is listed when it ends.
    let calls = device.file().raw_calls();
    assert_eq!(calls[7..], [Raw::Sync; 2], "{calls:?}");
}

#[test]
fn a_request_that_shares_a_sync_is_dropped_without_harm_to_the_others() {
    for dropped in 0..2 {
        let device = device();
        let mut flushes = [Box::pin(device.flush()), Box::pin(device.flush())];
        for flush in &mut flushes {
            assert!(flush.as_mut().now_or_never().is_none(), "the sync is under way");
        }
        let [first, second] = flushes;
        let left = if dropped == 0 {
            drop(first);
            second
        } else {
            drop(second);
            first
        };
        assert_eq!(block_on(left), Ok(()), "{dropped} was dropped");
    }
}

#[test]
fn the_file_is_given_back_also_with_a_sync_under_way() {
    let device = device();
    assert!(device.flush().now_or_never().is_none(), "the sync is under way");
    assert_eq!(device.into_file().raw_calls(), []);
}

#[test]
fn two_closes_at_once_do_not_both_hide_a_failed_sync() {
    let device = device();
    device.file().plan(&[FAILS]);
    let answers = block_on(join_all([device.close(), device.close()]));
    assert_eq!(answers, [Err(io_error(Errno::IO)); 2]);
}

#[test]
fn a_close_whose_sync_fails_says_so_and_closes() {
    let device = device();
    device.file().plan(&[FAILS]);
    assert_eq!(block_on(device.close()), Err(io_error(Errno::IO)));
    assert_eq!(read(&device, 0, 1024), Err(DeviceError::Closed));
    assert_eq!(block_on(device.close()), Err(DeviceError::SyncFailed), "no lie the second time");
}

#[test]
fn after_a_failed_sync_nothing_but_reading_goes_on() {
    for (name, fail) in syncs() {
        let device = device();
        assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
        device.file().plan(&[FAILS]);
        assert_eq!(fail(&device), Err(io_error(Errno::IO)), "{name}");
        device.file().raw_calls();
        for (request, change) in changes().into_iter().chain(syncs()) {
            assert_eq!(change(&device), Err(DeviceError::SyncFailed), "{request} after {name}");
        }
        assert_eq!(device.file().raw_calls(), [], "a refused request leaves the file alone");
        assert_eq!(read(&device, 0, 1024), Ok(vec![7; 1024]));
        assert_eq!(block_on(device.close()), Err(DeviceError::SyncFailed));
        assert_eq!(read(&device, 0, 1024), Err(DeviceError::Closed));
    }
}

#[test]
fn an_interrupted_sync_has_not_failed() {
    let device = device();
    device.file().plan(&[Error(Errno::INTR), Error(Errno::INTR)]);
    assert_eq!(block_on(device.flush()), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Sync; 3]);
    assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
}

#[test]
fn a_failed_write_is_not_a_failed_sync() {
    let device = device();
    device.file().plan(&[FAILS]);
    assert_eq!(write_fua(&device, 0, &[7; 1024]), Err(io_error(Errno::IO)));
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 1024)], "nothing to sync");
    assert_eq!(block_on(device.flush()), Ok(()));
}

/// The kernel tells of a failure once. Here a flush meets it while another request is under way.
fn answers_beside_a_failing_flush(
    other: impl AsyncFnOnce(&FileBackedDevice<Script>) -> Result<(), DeviceError>,
    answers: &[Answer],
) -> [Result<(), DeviceError>; 2] {
    let device = device();
    device.file().plan(answers);
    let (mut first, mut second) = (Ok(()), Ok(()));
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    executor.spawn("flush", async { first = device.flush().await });
    executor.spawn("other", async { second = other(&device).await });
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    drop(executor);
    [first, second]
}

#[test]
fn of_two_syncs_at_once_none_says_ok_when_one_fails() {
    let expected = [Err(io_error(Errno::IO)); 2];
    let flush = async |device: &FileBackedDevice<Script>| device.flush().await;
    assert_eq!(answers_beside_a_failing_flush(flush, &[FAILS]), expected);
    let barrier = async |device: &FileBackedDevice<Script>| device.barrier().await;
    assert_eq!(answers_beside_a_failing_flush(barrier, &[FAILS]), expected);
    let close = async |device: &FileBackedDevice<Script>| device.close().await;
    // The close finds the device idle only after the flush has told of it.
    let expected = [Err(io_error(Errno::IO)), Err(DeviceError::SyncFailed)];
    assert_eq!(answers_beside_a_failing_flush(close, &[FAILS]), expected);
}

#[test]
fn a_fua_write_under_way_is_not_ok_when_another_sync_fails() {
    let write = async |device: &FileBackedDevice<Script>| {
        device.write(0, [7; 1024].as_slice().into(), WriteOptions::FUA).await
    };
    // The flush fails after its first raw call was interrupted, so that the write is done by then.
    let answers = [Error(Errno::INTR), Right, FAILS];
    let expected = [Err(io_error(Errno::IO)); 2];
    assert_eq!(answers_beside_a_failing_flush(write, &answers), expected);
}

#[test]
fn a_cancelled_flush_does_not_hold_up_the_next() {
    let device = device();
    assert!(device.flush().now_or_never().is_none(), "the sync is under way");
    assert_eq!(block_on(device.flush()), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Sync; 2], "one may have failed");
}

/// Of a device of two files: the sync of one is not that of the other, also where a signal has
/// interrupted the first and the second comes in between.
#[test]
fn a_latch_for_several_files_makes_each_sync_itself() {
    let latch = SyncLatch::default();
    let made = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let sync = |file: usize| {
        let made = Arc::clone(&made[file]);
        move || {
            let made = Arc::clone(&made);
            async move {
                yield_now().await;
                let interrupted = file == 0 && made.fetch_add(1, Ordering::Relaxed) == 0;
                if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
            }
        }
    };
    let answers = block_on(join(latch.sync(sync(0)), latch.sync(sync(1))));
    assert_eq!(answers, (Ok(()), Ok(())));
    assert_eq!(made[0].load(Ordering::Relaxed), 2, "interrupted, and made again");
}

#[test]
fn a_file_that_panics_in_a_sync_leaves_nobody_waiting() {
    let latch = SyncLatch::default();
    let broken = || async { panic!("a file that is broken") };
    let unwound = catch_unwind(AssertUnwindSafe(|| block_on(latch.share(broken))));
    assert!(unwound.is_err());
    assert_eq!(block_on(latch.share(|| async { Ok(()) })), Err(DeviceError::SyncFailed));
}

/// The signal comes when the one whose sync it is has been dropped already.
#[test]
fn an_interrupted_sync_of_nobody_holds_nobody_up() {
    let latch = SyncLatch::default();
    let signal = || async {
        yield_now().await;
        Err(io::ErrorKind::Interrupted.into())
    };
    assert!(latch.sync(signal).now_or_never().is_none(), "the sync is under way");
    assert_eq!(block_on(latch.sync(|| async { Ok(()) })), Ok(()));
}

/// A task that waits for the latch, and that only this waker keeps alive.
struct Owner {
    _task: Mutex<BoxFuture<'static, Result<(), DeviceError>>>,
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_own_a_task_that_waits_too() {
    let latch = Arc::new(SyncLatch::default());
    let task = |latch: Arc<SyncLatch>| async move { latch.share(pending).await }.boxed();
    for is_dropped in [false, true] {
        let mut waits = task(Arc::clone(&latch));
        assert!((&mut waits).now_or_never().is_none());
        let owner = Waker::from(Arc::new(Owner { _task: Mutex::new(waits) }));
        let mut flush = task(Arc::clone(&latch));
        assert!(flush.as_mut().poll(&mut Context::from_waker(&owner)).is_pending());
        drop(owner);
        // The latch has the last waker, and with it the task: it must not drop it under its lock.
        if !is_dropped {
            assert!((&mut flush).now_or_never().is_none());
        }
        drop(flush);
    }
}
