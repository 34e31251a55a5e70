//! Requests and closes, one by one and on many threads.

use super::*;
use futures::FutureExt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, LazyLock};
use std::task::{Wake, Waker};
use std::thread::Thread;

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A close or a drain, and the count of its wake-ups.
struct Close<'a> {
    future: Idle<'a>,
    count: Arc<Count>,
}

impl<'a> Close<'a> {
    fn new(in_flight: &'a InFlight) -> Self {
        Self { future: in_flight.close(), count: Arc::default() }
    }

    fn drain(in_flight: &'a InFlight) -> Self {
        Self { future: in_flight.drain().unwrap(), count: Arc::default() }
    }

    /// Has to wait.
    fn waiting(in_flight: &'a InFlight) -> Self {
        let mut close = Self::new(in_flight);
        assert!(!close.is_done());
        close
    }

    fn is_done(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.count));
        self.future.poll_unpin(&mut Context::from_waker(&waker)).is_ready()
    }

    fn woken(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }
}

#[test]
fn with_nothing_in_flight_a_close_is_done_at_once() {
    let in_flight = InFlight::default();
    drop([in_flight.begin().unwrap(), in_flight.begin().unwrap()]);
    assert!(!in_flight.is_closed());
    assert!(Close::new(&in_flight).is_done());
    assert!(in_flight.is_closed());
    assert_eq!(in_flight.begin().err(), Some(DeviceError::Closed));
    assert!(Close::new(&in_flight).is_done(), "the second time as well");
}

#[test]
fn a_close_closes_before_it_is_polled() {
    let in_flight = InFlight::default();
    drop(in_flight.close());
    assert_eq!(in_flight.begin().err(), Some(DeviceError::Closed));
}

#[test]
fn a_close_is_woken_by_the_last_request_and_once() {
    let in_flight = InFlight::default();
    let requests = [(); 3].map(|()| in_flight.begin().unwrap());
    let mut close = Close::waiting(&in_flight);
    for request in requests {
        assert_eq!(close.woken(), 0);
        assert!(in_flight.begin().is_err(), "a refused request is not in flight");
        assert!(!close.is_done(), "polled without a wake-up, it goes on waiting");
        drop(request);
    }
    assert_eq!(close.woken(), 1);
    assert!(close.is_done());
}

#[test]
fn a_close_that_moves_to_another_task_is_woken_there() {
    let in_flight = InFlight::default();
    let request = in_flight.begin().unwrap();
    let mut close = Close::waiting(&in_flight);
    let before = mem::take(&mut close.count);
    assert!(!close.is_done());
    drop(request);
    assert_eq!((before.0.load(Ordering::Relaxed), close.woken()), (0, 1));
}

#[test]
fn every_close_is_woken_but_those_that_were_dropped() {
    let in_flight = InFlight::default();
    let request = in_flight.begin().unwrap();
    for dropped in 0..4 {
        let mut closes: Vec<_> = (0..4).map(|_| Close::waiting(&in_flight)).collect();
        drop(closes.remove(dropped));
        assert!(closes.iter_mut().all(|close| !close.is_done()));
        assert_eq!(in_flight.waiting().waiters.wakers.len(), 3);
    }
    assert_eq!(
        in_flight.waiting().waiters.wakers.len(),
        0,
        "a dropped close leaves nothing behind"
    );
    let mut closes: Vec<_> = (0..4).map(|_| Close::waiting(&in_flight)).collect();
    let dropped = closes.remove(0);
    let count = Arc::clone(&dropped.count);
    drop(dropped);
    drop(request);
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    assert!(closes.iter().all(|close| close.woken() == 1));
    assert!(closes.iter_mut().all(Close::is_done));
}

/// A task that owns a request, so that dropping its waker ends the request.
struct Owner {
    _request: Request<'static>,
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_that_owns_a_request_may_be_dropped_by_a_close() {
    // A waker may only borrow what is there for ever.
    static IN_FLIGHT: LazyLock<InFlight> = LazyLock::new(InFlight::default);
    let owner = Waker::from(Arc::new(Owner { _request: IN_FLIGHT.begin().unwrap() }));
    let mut close = IN_FLIGHT.close();
    assert!(close.poll_unpin(&mut Context::from_waker(&owner)).is_pending());
    drop(owner);
    // The list has the last reference: to replace the waker is to end the request.
    let count = Arc::<Count>::default();
    let waker = Waker::from(Arc::clone(&count));
    assert!(close.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(close.poll_unpin(&mut Context::from_waker(&waker)).is_ready());
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks the thread until it is woken, so that the test hangs if a wake-up is lost.
#[expect(clippy::disallowed_methods, reason = "the test is about threads")]
fn wait(mut idle: Idle<'_>) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    while idle.poll_unpin(&mut Context::from_waker(&waker)).is_pending() {
        std::thread::park();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about threads")]
fn on_many_threads_nothing_is_in_flight_once_a_close_is_done() {
    for _ in 0..200 {
        let in_flight = InFlight::default();
        let is_done = AtomicBool::new(false);
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    while let Ok(request) = in_flight.begin() {
                        assert!(!is_done.load(Ordering::SeqCst), "a request slipped through");
                        drop(request);
                    }
                });
                scope.spawn(|| {
                    barrier.wait();
                    wait(in_flight.close());
                    is_done.store(true, Ordering::SeqCst);
                });
            }
        });
        assert!(Close::new(&in_flight).is_done() && in_flight.is_closed());
    }
}

#[test]
fn a_drain_waits_for_what_began_before_it_and_for_nothing_else() {
    let in_flight = InFlight::default();
    assert!(Close::drain(&in_flight).is_done(), "with nothing in flight it is done at once");
    let before = in_flight.begin().unwrap();
    let mut drain = Close::drain(&in_flight);
    assert!(!drain.is_done());
    let after = in_flight.begin().unwrap();
    assert!(!drain.is_done() && drain.woken() == 0);
    drop(before);
    assert_eq!(drain.woken(), 1);
    assert!(drain.is_done(), "although one that began later is in flight");
    drop(after);
    assert!(!in_flight.is_closed() && in_flight.begin().is_ok());
}

#[test]
fn drains_one_after_another_each_wait_for_their_own() {
    let in_flight = InFlight::default();
    let first = in_flight.begin().unwrap();
    let mut one = Close::drain(&in_flight);
    assert!(!one.is_done());
    let second = in_flight.begin().unwrap();
    let mut two = Close::drain(&in_flight);
    assert!(!two.is_done());
    let third = in_flight.begin().unwrap();
    drop(second);
    assert!(!one.is_done() && !two.is_done(), "the first request is of both");
    drop(first);
    assert!(one.is_done() && !two.is_done(), "the third began while the second drain had to wait");
    let fourth = in_flight.begin().unwrap();
    drop(third);
    assert!(two.woken() > 0 && two.is_done());
    drop(fourth);
}

#[test]
fn a_drain_that_is_dropped_leaves_nothing_behind() {
    let in_flight = InFlight::default();
    let request = in_flight.begin().unwrap();
    let mut dropped = Close::drain(&in_flight);
    assert!(!dropped.is_done());
    drop(dropped);
    assert_eq!(in_flight.waiting().waiters.wakers.len(), 0);
    let mut next = Close::drain(&in_flight);
    assert!(!next.is_done());
    drop(request);
    assert!(next.is_done() && Close::new(&in_flight).is_done());
}

#[test]
fn a_closed_device_does_not_drain_and_a_close_waits_for_both_epochs() {
    let in_flight = InFlight::default();
    let before = in_flight.begin().unwrap();
    let mut drain = Close::drain(&in_flight);
    assert!(!drain.is_done());
    let after = in_flight.begin().unwrap();
    let mut close = Close::waiting(&in_flight);
    assert_eq!(in_flight.drain().err(), Some(DeviceError::Closed));
    drop(after);
    assert!(!close.is_done());
    drop(before);
    assert!(close.is_done() && drain.is_done());
}

#[test]
fn more_requests_than_can_be_counted_are_refused() {
    let in_flight = InFlight::default();
    for parity in [0, 1] {
        let state = MOST << COUNTS[parity] | if parity == 1 { ODD } else { 0 };
        in_flight.state.store(state, Ordering::Relaxed);
        let refused = DeviceError::from(io::Error::from(io::ErrorKind::QuotaExceeded));
        assert_eq!(in_flight.begin().err(), Some(refused));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about threads")]
fn on_many_threads_a_drain_outlives_what_began_before_it() {
    let in_flight = InFlight::default();
    let begun = AtomicUsize::new(0);
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..2000 {
                    let request = in_flight.begin().unwrap();
                    begun.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    begun.fetch_sub(1, Ordering::SeqCst);
                    drop(request);
                }
            });
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..500 {
                    wait(in_flight.drain().unwrap());
                }
            });
        }
    });
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    assert!(Close::drain(&in_flight).is_done());
}
