//! The virtual clock and its timers.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use crate::exec::*;

#[test]
fn timers_fire_in_order_of_their_deadlines() {
    let order = RefCell::new(String::new());
    let mut runtime = Runtime::new(FirstReady::new());
    let clock = runtime.clock();
    let mut executor = runtime.executor();
    executor.spawn("several timers", async {
        let mut sleeps = [300, 100, 200].map(|ticks| Box::pin(clock.sleep(ticks)));
        poll_fn(|context| {
            let polls = sleeps.each_mut().map(|sleep| sleep.as_mut().poll(context));
            for (letter, poll) in ['c', 'a', 'b'].into_iter().zip(polls) {
                if poll.is_ready() && !order.borrow().contains(letter) {
                    order.borrow_mut().push(letter);
                }
            }
            if order.borrow().len() == 3 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(clock.now(), 300);
    });
    assert_eq!(executor.run(4), Ok(Outcome::Finished));
    drop(executor);
    assert_eq!(order.into_inner(), "abc");
}

/// A waker that notes its number, as the ready queue of a `FuturesUnordered` would.
struct Note(u8, Mutex<mpsc::Sender<u8>>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().send(self.0).unwrap();
    }
}

#[test]
fn timers_with_one_deadline_fire_in_order_of_their_first_polls() {
    let (sender, receiver) = mpsc::channel();
    let clock = Runtime::new(FirstReady::new()).clock();
    let mut sleeps = [clock.sleep(7), clock.sleep(5), clock.sleep(7)];
    for number in [2, 0, 1] {
        let note = Note(number, sender.clone().into());
        let waker = Waker::from(Arc::new(note));
        let mut context = Context::from_waker(&waker);
        let sleep = &mut sleeps[usize::from(number)];
        assert!(pin!(sleep).poll(&mut context).is_pending());
    }
    while clock.jump() {
        clock.fire_due();
    }
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn time_is_one_tick_per_step_and_stands_still_in_a_poll() {
    let mut runtime = Runtime::new(RoundRobin::new());
    let clock = runtime.clock();
    let seen = RefCell::new(Vec::new());
    let mut executor = runtime.executor();
    for _ in 0..2 {
        executor.spawn("watch", async {
            for _ in 0..2 {
                seen.borrow_mut().push(clock.now());
                yield_now().await;
            }
        });
    }
    executor.run(10).unwrap();
    drop(executor);
    assert_eq!(seen.into_inner(), [0, 1, 2, 3]);
    assert_eq!(clock.now(), 6);
}

#[test]
fn a_spinning_task_cannot_keep_a_sleeper_asleep() {
    let woken = Cell::new(false);
    let mut runtime = Runtime::new(RoundRobin::new());
    let clock = runtime.clock();
    let mut executor = runtime.executor();
    executor.spawn("sleeper", async {
        clock.sleep(10).await;
        woken.set(true);
    });
    executor.spawn("spinner", async {
        while !woken.get() {
            yield_now().await;
        }
    });
    assert_eq!(executor.run(13), Ok(Outcome::Finished));
}

#[test]
fn a_dropped_sleep_takes_its_timer_back() {
    let mut runtime = Runtime::new(FirstReady::new());
    let clock = runtime.clock();
    let mut executor = runtime.executor();
    executor.spawn("impatient", async {
        {
            let mut long = pin!(clock.sleep(1_000));
            poll_fn(|context| {
                assert!(long.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        clock.sleep(10).await;
    });
    executor.spawn("stuck", pending());
    assert!(matches!(executor.run(10), Err(ExecError::Deadlock { .. })));
    assert_eq!(clock.now(), 11);
}
