//! The choices of runs without detached tasks, as they were before there were any.
//!
//! Digests of committed scenarios depend on them. The figures were recorded with the executor that
//! knew at most 64 tasks and no others than its own.

use std::cell::Cell;

use crate::exec::*;

/// Draws from a seed, and records which slot it chose.
struct Recorder(RandomSchedule, Vec<usize>);

impl Schedule for Recorder {
    fn next(&mut self, runnable: Runnable) -> TaskId {
        let task = self.0.next(runnable);
        self.1.push(task.index());
        task
    }
}

/// Two power cycles of tasks that sleep, yield, end and are replaced.
fn choices(seed: u64, tasks: u64) -> Vec<usize> {
    let mut runtime = Runtime::new(Recorder(RandomSchedule::new(seed), Vec::new()));
    let (clock, turns) = (runtime.clock(), Cell::new(0_u64));
    for power_cycle in 0..2 {
        let mut executor = runtime.executor();
        for number in 0..tasks {
            let (clock, turns) = (&clock, &turns);
            executor.spawn("client", async move {
                for turn in 0..6 {
                    turns.set(turns.get() + 1);
                    match (number + turn + turns.get()) % 4 {
                        0 => clock.sleep(number % 5).await,
                        1 => clock.sleep(40 * number).await,
                        2 if turn > 2 => break,
                        _ => yield_now().await,
                    }
                }
            });
        }
        assert!(executor.run(3 * tasks).is_err());
        executor.spawn("late", yield_now());
        if power_cycle == 1 {
            assert_eq!(executor.run(1_000), Ok(Outcome::Finished));
        }
    }
    runtime.into_schedule().1
}

#[test]
fn few_tasks_are_chosen_as_ever() {
    let choices: String = choices(42, 5).into_iter().map(|slot| slot.to_string()).collect();
    assert_eq!(choices, "13102004022441141102401330331201012442222");
}

#[test]
fn a_full_word_of_tasks_is_chosen_as_ever() {
    let choices = choices(7, 63);
    let folded = choices.iter().fold(0_u64, |folded, &slot| {
        folded.wrapping_mul(1_000_003).wrapping_add(u64::try_from(slot).unwrap())
    });
    assert_eq!((choices.len(), folded), (513, 11_296_296_370_877_341_330));
}
