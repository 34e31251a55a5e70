//! The promises of the executor, one test each: schedules, limits and errors.

mod choices;
mod crash;
mod detached;
mod foreign;
mod join;
mod many;
mod needless;
mod panics;
mod time;
mod wakers;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};

use super::*;

/// Runs three tasks that note their letter four times each.
fn interleaving(schedule: impl Schedule) -> String {
    let order = RefCell::new(String::new());
    let mut runtime = Runtime::new(schedule);
    let mut executor = runtime.executor();
    spawn_letters(&mut executor, &order, 4);
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    assert_eq!(executor.steps(), 15);
    drop(executor);
    order.into_inner()
}

fn spawn_letters<'a, S: Schedule>(
    executor: &mut Executor<'a, S>,
    order: &'a RefCell<String>,
    times: u32,
) {
    for letter in ['a', 'b', 'c'] {
        executor.spawn("letters", async move {
            for _ in 0..times {
                order.borrow_mut().push(letter);
                yield_now().await;
            }
        });
    }
}

#[test]
fn a_seed_has_its_golden_order() {
    // Computed outside Rust, as the numbers in the tests of `rng`.
    assert_eq!(interleaving(RandomSchedule::new(42)), "bcbabaacabcc");
    assert_eq!(interleaving(RandomSchedule::new(43)), "abacaacbcbbc");
}

#[test]
fn simple_schedules_have_simple_orders() {
    assert_eq!(interleaving(RoundRobin::new()), "abcabcabcabc");
    assert_eq!(interleaving(FirstReady::new()), "aaaabbbbcccc");
}

#[test]
fn schedules_work_behind_pointers() {
    let mut schedule = RoundRobin::new();
    assert_eq!(interleaving(&mut schedule), "abcabcabcabc");
    let boxed: Box<dyn Schedule> = Box::new(FirstReady::new());
    assert_eq!(interleaving(boxed), "aaaabbbbcccc");
}

/// Notes the calls it gets, and answers like [`FirstReady`].
#[derive(Default)]
struct Recorder(Vec<String>);

impl Schedule for Recorder {
    fn next(&mut self, runnable: Runnable) -> TaskId {
        self.0.push(format!("next {}", runnable.count()));
        runnable.first()
    }

    fn spawned(&mut self, task: TaskId) {
        self.0.push(format!("spawned {}", task.index()));
    }
}

#[test]
fn a_schedule_is_called_for_each_spawn_and_each_step() {
    let mut runtime = Runtime::new(Recorder::default());
    let mut executor = runtime.executor();
    executor.spawn("one", yield_now());
    executor.spawn("two", async {});
    executor.run(10).unwrap();
    executor.spawn("three", async {});
    executor.run(10).unwrap();
    drop(executor);
    let calls = runtime.into_schedule().0;
    assert_eq!(
        calls,
        ["spawned 0", "spawned 1", "next 2", "next 2", "next 1", "spawned 0", "next 1"]
    );
}

#[test]
#[should_panic(expected = "the schedule chose task 9, which cannot run")]
fn a_wrong_answer_of_the_schedule_panics() {
    struct Wrong;
    impl Schedule for Wrong {
        fn next(&mut self, _: Runnable) -> TaskId {
            TaskId::new(9).unwrap()
        }
    }
    let mut runtime = Runtime::new(Wrong);
    let mut executor = runtime.executor();
    executor.spawn("client", async {});
    let _ = executor.run(1);
}

#[test]
fn a_step_without_choice_takes_no_draw() {
    let mut schedule = RandomSchedule::new(42);
    let alone = Runnable::from_bits(0b100).unwrap();
    for _ in 0..5 {
        schedule.next(alone);
    }
    assert_eq!(interleaving(schedule), "bcbabaacabcc");
}

#[test]
fn a_deadlock_names_the_stuck_and_can_be_resolved() {
    let waker = Cell::new(None::<Waker>);
    let released = Cell::new(false);
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn("done", async {});
    executor.spawn(
        "stuck",
        poll_fn(|context| {
            waker.set(Some(context.waker().clone()));
            if released.get() { Poll::Ready(()) } else { Poll::Pending }
        }),
    );
    executor.spawn("lost", pending());
    let error = executor.run(10).unwrap_err();
    assert_eq!(error, ExecError::Deadlock { stuck: vec!["stuck".into(), "lost".into()] });
    released.set(true);
    waker.take().unwrap().wake();
    let error = executor.run(10).unwrap_err();
    assert_eq!(error.to_string(), "deadlock: no task can run and none sleeps; stuck: lost");
}

#[test]
fn the_step_limit_is_exact_and_names_the_alive() {
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    executor.spawn("spinner", async {
        loop {
            yield_now().await;
        }
    });
    executor.spawn("waiter", pending());
    let error = executor.run(100).unwrap_err();
    assert_eq!(
        error,
        ExecError::StepLimit { limit: 100, alive: vec!["spinner".into(), "waiter".into()] }
    );
    assert_eq!(executor.steps(), 100);
}

#[test]
fn finishing_with_the_last_step_is_no_error() {
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn("two steps", yield_now());
    assert_eq!(executor.run(2), Ok(Outcome::Finished));
}

#[test]
fn runs_in_pieces_are_one_run() {
    let order = RefCell::new(String::new());
    let mut runtime = Runtime::new(RandomSchedule::new(42));
    let mut executor = runtime.executor();
    spawn_letters(&mut executor, &order, 4);
    while executor.run(1).is_err() {}
    drop(executor);
    assert_eq!(order.into_inner(), "bcbabaacabcc");
}

#[test]
#[should_panic(expected = "stuck: block_on")]
fn block_on_panics_on_a_deadlock() {
    block_on(pending::<()>());
}

#[test]
fn debug_names_the_tasks() {
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn("client", async {});
    assert_eq!(format!("{executor:?}"), "Executor { tasks: [\"client\"], .. }");
}
