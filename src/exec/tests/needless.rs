//! Polls that nobody asked for.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::task::Poll;

use crate::exec::*;

/// Wants a needless poll in every third step, and has the last task run.
#[derive(Default)]
struct EveryThird(u32);

impl Schedule for EveryThird {
    fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
        runnable.iter().last().unwrap_or(runnable.first())
    }

    fn is_needless(&mut self) -> bool {
        self.0 += 1;
        self.0.is_multiple_of(3)
    }
}

async fn count_polls(polls: &Cell<u32>) {
    poll_fn(|_| -> Poll<()> {
        polls.set(polls.get() + 1);
        Poll::Pending
    })
    .await;
}

async fn yield_often(times: u32) {
    for _ in 0..times {
        yield_now().await;
    }
}

#[test]
fn one_who_waits_is_polled_although_nobody_woke_it() {
    let polls = Cell::new(0);
    let mut runtime = Runtime::new(EveryThird::default());
    let mut executor = runtime.executor();
    executor.spawn("busy", yield_often(19));
    executor.spawn("waiting", count_polls(&polls));
    assert!(matches!(executor.run(100), Err(ExecError::Deadlock { .. })));
    // The first step is its own, and then every third, until the 20 of the other are done.
    assert_eq!((polls.get(), executor.steps()), (10, 30));
    drop(executor);
    assert_eq!(runtime.needless_polls(), 9);
}

#[test]
fn with_nobody_who_waits_there_is_no_needless_poll() {
    let mut runtime = Runtime::new(EveryThird::default());
    let mut executor = runtime.executor();
    executor.spawn("one", yield_often(20));
    executor.spawn("two", yield_often(20));
    assert_eq!(executor.run(42), Ok(Outcome::Finished));
    drop(executor);
    assert_eq!((runtime.steps(), runtime.needless_polls()), (42, 0));
}

#[test]
fn tasks_beyond_the_first_word_are_polled_needlessly_too() {
    let polls = Cell::new(0);
    let mut runtime = Runtime::new(EveryThird::default());
    let mut executor = runtime.executor();
    for _ in 0..100 {
        executor.spawn("busy", yield_often(20));
    }
    executor.spawn("waiting", count_polls(&polls));
    assert!(matches!(executor.run(10_000), Err(ExecError::Deadlock { .. })));
    assert!(polls.get() > 1);
}

#[test]
fn a_needless_poll_hides_no_deadlock() {
    for seed in 0..100 {
        let mut runtime = Runtime::new(RandomSchedule::with_needless_polls(seed));
        let mut executor = runtime.executor();
        executor.spawn("stuck", pending());
        executor.spawn("stuck too", pending());
        assert!(matches!(executor.run(1_000), Err(ExecError::Deadlock { .. })), "seed {seed}");
        // Once one of them waits, it may be polled while the other can run.
        assert!((2..=4).contains(&executor.steps()), "seed {seed}: {} steps", executor.steps());
    }
}

#[test]
fn what_waits_in_this_module_bears_it() {
    let mut needless_polls = 0;
    for seed in 0..400 {
        let mut runtime = Runtime::new(RandomSchedule::with_needless_polls(seed));
        let (clock, spawner) = (runtime.clock(), runtime.spawner());
        let mut executor = runtime.executor();
        executor.spawn("sleeper", async {
            clock.sleep_until(100).await;
            assert!(clock.now() >= 100);
        });
        executor.spawn("joiner", async {
            let theirs = clock.clone();
            let task = spawner.spawn("task", async move {
                theirs.sleep_until(150).await;
                theirs.now()
            });
            assert!(task.await.unwrap() >= 150);
        });
        executor.spawn("busy", yield_often(200));
        assert_eq!(executor.run(1_000), Ok(Outcome::Finished), "seed {seed}");
        drop(executor);
        assert!(runtime.needless_polls() == 0 || seed % 4 != 0, "seed {seed}");
        needless_polls += runtime.needless_polls();
    }
    assert!(needless_polls > 1_000, "{needless_polls}");
}

/// A quarter of the seeds has none, and the others have them in this many steps on average.
#[test]
fn the_seed_says_how_often() {
    for (seed, average) in [(0, None), (1, Some(128)), (2, Some(32)), (3, Some(8))] {
        for seed in (0..40).map(|it| seed + 4 * it * 1_000_003) {
            let mut schedule = RandomSchedule::with_needless_polls(seed);
            let count = (0..20_000).filter(|_| schedule.is_needless()).count();
            let Some(average) = average else {
                assert_eq!(count, 0);
                continue;
            };
            let expected = 20_000 / average;
            assert!((expected / 2..expected * 2).contains(&count), "seed {seed}: {count}");
        }
    }
}
