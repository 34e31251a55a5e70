//! Halts, power cycles, and what is left of a task after its end.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};

use super::spawn_letters;
use crate::exec::*;

/// Notes a letter when dropped.
struct Tombstone<'a>(char, &'a RefCell<String>);

impl Drop for Tombstone<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[test]
fn a_halt_leaves_the_tasks_and_they_drop_in_ascending_order() {
    let order = RefCell::new(String::new());
    let mut runtime = Runtime::new(RandomSchedule::new(1));
    let halt = runtime.halt();
    let mut executor = runtime.executor();
    // The second use of slot 0: the order is by id, not by age.
    executor.spawn("first", async {});
    for letter in ['b', 'c', 'd'] {
        let tombstone = Tombstone(letter, &order);
        let halt = halt.clone();
        executor.spawn("victim", async move {
            let _tombstone = tombstone;
            for _ in 0..20 {
                yield_now().await;
            }
            halt.request();
            pending::<()>().await;
        });
    }
    assert_eq!(executor.run(1_000), Ok(Outcome::Halted));
    let tombstone = Tombstone('a', &order);
    let again = executor.spawn("late", async move {
        let _tombstone = tombstone;
    });
    assert_eq!(again.index(), 0);
    assert_eq!(*order.borrow(), "");
    drop(executor);
    assert_eq!(*order.borrow(), "abcd");
}

#[test]
fn a_halt_stops_at_once_and_another_run_goes_on() {
    let order = RefCell::new(String::new());
    let mut runtime = Runtime::new(FirstReady::new());
    let halt = runtime.halt();
    let mut executor = runtime.executor();
    executor.spawn("crash", async { halt.request() });
    spawn_letters(&mut executor, &order, 1);
    assert_eq!(executor.run(10), Ok(Outcome::Halted));
    assert_eq!(*order.borrow(), "");
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    assert_eq!(*order.borrow(), "abc");
}

#[test]
fn signals_of_dying_tasks_do_not_reach_the_next_power_cycle() {
    struct LastWords(Halt, Waker);
    impl Drop for LastWords {
        fn drop(&mut self) {
            self.0.request();
            self.1.wake_by_ref();
        }
    }

    let polls = Cell::new(0);
    let mut runtime = Runtime::new(FirstReady::new());
    let halt = runtime.halt();
    let mut executor = runtime.executor();
    for _power_cycle in 0..2 {
        executor.spawn("chatty", async {
            polls.set(polls.get() + 1);
            let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
            let _last_words = LastWords(halt.clone(), waker);
            pending::<()>().await;
        });
        assert!(matches!(executor.run(10), Err(ExecError::Deadlock { .. })));
        executor.clear();
    }
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    drop(executor);
    assert_eq!(polls.get(), 2);

    halt.request();
    assert_eq!(runtime.executor().run(10), Ok(Outcome::Finished));
}

#[test]
fn schedule_clock_and_steps_go_on_across_power_cycles() {
    let order = RefCell::new(String::new());
    let mut runtime = Runtime::new(RandomSchedule::new(42));
    for _power_cycle in 0..2 {
        let mut executor = runtime.executor();
        spawn_letters(&mut executor, &order, 1_000);
        assert!(executor.run(6).is_err());
    }
    let mut executor = runtime.executor();
    spawn_letters(&mut executor, &order, 1_000);
    assert!(executor.run(6).is_err());
    executor.clear();
    spawn_letters(&mut executor, &order, 1_000);
    assert!(executor.run(6).is_err());
    drop(executor);
    assert_eq!((runtime.steps(), runtime.clock().now()), (24, 24));

    // The same draws in one go, as all three can always run.
    let whole = RefCell::new(String::new());
    let mut runtime = Runtime::new(RandomSchedule::new(42));
    let mut executor = runtime.executor();
    spawn_letters(&mut executor, &whole, 1_000);
    assert!(executor.run(24).is_err());
    drop(executor);
    assert_eq!(order, whole);
}

#[test]
fn a_waker_that_outlives_its_task_does_no_harm() {
    let stale = RefCell::new(None::<Waker>);
    let polls = Cell::new(0);
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn(
        "gone",
        poll_fn(|context| {
            stale.replace(Some(context.waker().clone()));
            Poll::Ready(())
        }),
    );
    executor.run(10).unwrap();
    let wake = || stale.borrow().as_ref().unwrap().wake_by_ref();

    wake(); // a free slot
    assert_eq!(executor.run(0), Ok(Outcome::Finished));

    let next = executor.spawn(
        "next",
        poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::Pending
        }),
    );
    assert_eq!(next.index(), 0);
    assert!(executor.run(10).is_err());
    assert_eq!(polls.get(), 1);
    wake(); // a slot that is used again
    assert!(executor.run(10).is_err());
    assert_eq!(polls.get(), 1);

    drop(executor);
    drop(runtime);
    wake(); // nobody is left at all
}

#[test]
fn waking_twice_is_waking_once() {
    let polls = Cell::new(0);
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn(
        "eager",
        poll_fn(|context| {
            polls.set(polls.get() + 1);
            if polls.get() == 1 {
                context.waker().wake_by_ref();
                context.waker().wake_by_ref();
            }
            Poll::Pending
        }),
    );
    assert!(executor.run(10).is_err());
    drop(executor);
    assert_eq!(polls.get(), 2);
}

#[test]
fn a_harness_can_lend_one_field_and_run_on_another() {
    struct Harness {
        runtime: Runtime<FirstReady>,
        written: Cell<u32>,
    }

    impl Harness {
        fn power_cycle(&mut self) {
            let Self { runtime, written } = self;
            let mut executor = runtime.executor();
            executor.spawn("writer", async { written.set(written.get() + 1) });
            executor.run(1).unwrap();
        }
    }

    let mut harness = Harness { runtime: Runtime::new(FirstReady::new()), written: Cell::new(0) };
    harness.power_cycle();
    harness.power_cycle();
    assert_eq!(harness.written.get(), 2);
}
