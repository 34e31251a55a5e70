//! More tasks than one word has bits.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::exec::*;

#[test]
fn all_slots_can_be_used() {
    let ran = RefCell::new(Vec::new());
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    for number in 0..MAX_TASKS {
        let ran = &ran;
        let task = executor.spawn("one of many", async move {
            yield_now().await;
            ran.borrow_mut().push(number);
        });
        assert_eq!(task.index(), number);
    }
    assert_eq!(executor.run(10_000), Ok(Outcome::Finished));
    assert_eq!(*ran.borrow(), (0..MAX_TASKS).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "cannot spawn \"one more\": 4096 tasks are alive already")]
fn one_task_too_many_panics() {
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    for _ in 0..MAX_TASKS {
        executor.spawn("one of many", pending());
    }
    executor.spawn("one more", pending());
}

#[test]
fn a_waker_reaches_its_task_in_any_word() {
    let wakers = RefCell::new(Vec::<Waker>::new());
    let woken = RefCell::new(Vec::new());
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    for number in 0..200 {
        let (wakers, woken) = (&wakers, &woken);
        executor.spawn("waits", async move {
            let mut is_first = true;
            poll_fn(|context| {
                if !is_first {
                    return Poll::Ready(());
                }
                is_first = false;
                wakers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            })
            .await;
            woken.borrow_mut().push(number);
        });
    }
    assert!(executor.run(1_000).is_err());
    assert_eq!(executor.steps(), 200);
    for number in [199, 64, 3, 128, 63] {
        wakers.borrow()[number].wake_by_ref();
    }
    assert!(executor.run(1_000).is_err());
    assert_eq!(*woken.borrow(), [3, 63, 64, 128, 199]);
    // The slots are free, and the lowest is given away first.
    let spawned = [3, 63, 64, 128, 199, 200].map(|_| executor.spawn("late", async {}).index());
    assert_eq!(spawned, [3, 63, 64, 128, 199, 200]);
}

#[test]
fn a_random_schedule_draws_from_all_words() {
    let order = |seed| {
        let order = RefCell::new(Vec::new());
        let mut runtime = Runtime::new(RandomSchedule::new(seed));
        let mut executor = runtime.executor();
        for number in 0..150 {
            let order = &order;
            executor.spawn("one of many", async move {
                for _ in 0..3 {
                    order.borrow_mut().push(number);
                    yield_now().await;
                }
            });
        }
        assert_eq!(executor.run(1_000), Ok(Outcome::Finished));
        drop(executor);
        order.into_inner()
    };
    let first = order(1);
    assert_eq!(first, order(1));
    assert_ne!(first, order(2));
    assert!((0..150).all(|number| first.iter().filter(|&&it| it == number).count() == 3));
    let words: Vec<_> = first[..30].iter().map(|number| number / 64).collect();
    assert!((0..3).all(|word| words.contains(&word)), "{words:?}");
}

#[test]
fn detached_tasks_wait_for_a_slot_where_all_are_taken() {
    const TASKS: usize = 2 * MAX_TASKS + 10;
    let done = Arc::new(AtomicUsize::new(0));
    let mut runtime = Runtime::new(RoundRobin::new());
    let spawner = runtime.spawner();
    for number in 0..TASKS {
        let done = Arc::clone(&done);
        spawner.spawn(number.to_string(), async move {
            yield_now().await;
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    let mut executor = runtime.executor();
    let client = executor.spawn("client", async {
        while done.load(Ordering::Relaxed) < TASKS {
            yield_now().await;
        }
    });
    assert_eq!(client.index(), 0);
    assert!(executor.run(1).is_err());
    let tasks = executor.tasks();
    assert_eq!(tasks.len(), TASKS);
    assert!((0..).zip(&tasks).all(|(number, name)| **name == format!("{number}")));
    assert_eq!(executor.run(100_000), Ok(Outcome::Finished));
    assert!(!executor.has_tasks());
}

#[test]
fn all_slots_and_the_queue_are_killed_in_order() {
    struct Note(usize, Arc<Mutex<Vec<usize>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    let killed = Arc::new(Mutex::new(Vec::new()));
    let mut runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    for number in 0..MAX_TASKS + 10 {
        let note = Note(number, Arc::clone(&killed));
        spawner.spawn("victim", async move {
            let _note = note;
            pending::<()>().await;
        });
    }
    let mut executor = runtime.executor();
    executor.spawn("client", pending());
    assert!(matches!(executor.run(10_000), Err(ExecError::Deadlock { .. })));
    drop(executor);
    runtime.kill_tasks();
    assert!(!runtime.has_tasks());
    assert_eq!(*killed.lock().unwrap(), (0..MAX_TASKS + 10).collect::<Vec<_>>());
    // All slots are free again.
    assert_eq!(runtime.executor().spawn("next", async {}).index(), 0);
}
