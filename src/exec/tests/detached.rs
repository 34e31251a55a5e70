//! Detached tasks: where they come from, when they run, and how they end.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};

use crate::exec::*;

/// What tasks write that borrow nothing.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Writes an entry when dropped.
struct Tombstone(&'static str, Log);

impl Drop for Tombstone {
    fn drop(&mut self) {
        self.1.push(self.0);
    }
}

#[test]
fn they_survive_executors_and_end_when_killed() {
    let log = Log::default();
    let mut runtime = Runtime::new(RoundRobin::new());
    let entries = log.clone();
    runtime.spawner().spawn("flusher", async move {
        let _tombstone = Tombstone("killed", entries.clone());
        for turn in 0.. {
            entries.push(format!("turn {turn}"));
            yield_now().await;
        }
    });
    for _power_cycle in 0..2 {
        let mut executor = runtime.executor();
        executor.spawn("client", async {
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(executor.run(100), Ok(Outcome::Finished));
        assert!(executor.has_tasks());
    }
    // Two turns in the first run and three in the second, which goes on where that one ended.
    assert_eq!(log.take(), ["turn 0", "turn 1", "turn 2", "turn 3", "turn 4"]);
    assert_eq!(runtime.tasks(), ["flusher".into()]);
    runtime.kill_tasks();
    assert_eq!(log.take(), ["killed"]);
    assert!(!runtime.has_tasks());
    assert_eq!(runtime.tasks(), []);
}

#[test]
fn a_spawn_within_a_poll_runs_from_the_next_step_on() {
    let log = Log::default();
    let mut runtime = Runtime::new(RoundRobin::new());
    let spawner = runtime.spawner();
    let mut executor = runtime.executor();
    executor.spawn("client", async {
        let (entries, inner) = (log.clone(), spawner.clone());
        spawner.spawn("outer", async move {
            entries.push("outer");
            let inner_entries = entries.clone();
            inner.spawn("inner", async move { inner_entries.push("inner") });
            entries.push("outer ends");
        });
        log.push("client goes on");
        yield_now().await;
        log.push("client again");
        yield_now().await;
    });
    executor.spawn("bystander", yield_now());
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    drop(executor);
    // The inner one gets the slot of the outer one, as that is free again, and has just had a turn.
    let entries = ["client goes on", "outer", "outer ends", "client again", "inner"];
    assert_eq!(log.take(), entries);
    assert!(!runtime.has_tasks());
}

#[test]
fn a_schedule_learns_of_them_when_they_get_their_slots() {
    #[derive(Default)]
    struct Recorder(Vec<String>);
    impl Schedule for Recorder {
        fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
            self.0.push(format!("{runnable:?}"));
            runnable.first()
        }
        fn spawned(&mut self, task: TaskId) {
            self.0.push(task.to_string());
        }
    }

    let mut runtime = Runtime::new(Recorder::default());
    let spawner = runtime.spawner();
    spawner.spawn("first", pending::<()>());
    let mut executor = runtime.executor();
    executor.spawn("client", async {
        spawner.spawn("second", ready(()));
        yield_now().await;
    });
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    drop(executor);
    // The detached task keeps its slot: the next client has the lowest that is free.
    let mut executor = runtime.executor();
    executor.spawn("next", yield_now());
    executor.spawn("next but one", async {});
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    drop(executor);
    let calls = runtime.into_schedule().0;
    let first = ["task 0", "task 1", "{TaskId(0), TaskId(1)}", "task 2"];
    let rest = ["{TaskId(0), TaskId(1), TaskId(2)}", "task 0", "task 3"];
    let last = [
        "{TaskId(0), TaskId(1), TaskId(2), TaskId(3)}",
        "{TaskId(0), TaskId(1), TaskId(2), TaskId(3)}",
        "{TaskId(1), TaskId(2), TaskId(3)}",
        "{TaskId(2), TaskId(3)}",
        "{TaskId(3)}",
    ];
    assert_eq!(calls, [&first[..], &rest, &last].concat());
}

#[test]
fn a_sleeping_flusher_does_not_keep_a_run_from_finishing() {
    let log = Log::default();
    let mut runtime = Runtime::new(RandomSchedule::new(42));
    let (clock, entries) = (runtime.clock(), log.clone());
    runtime.spawner().spawn("flusher", {
        let clock = clock.clone();
        async move {
            for period in 1.. {
                clock.sleep_until(100 * period).await;
                entries.push("flush");
            }
        }
    });
    let mut executor = runtime.executor();
    executor.spawn("client", clock.sleep(250));
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    assert_eq!(log.take(), ["flush", "flush"]);
    // Nothing waits: time stands between the runs.
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    drop(executor);
    assert!(clock.now() < 300);

    let mut executor = runtime.executor();
    executor.spawn("client", clock.sleep(100));
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    assert_eq!(log.take(), ["flush"]);
    drop(executor);

    // A killed task takes its timer along.
    runtime.kill_tasks();
    let mut executor = runtime.executor();
    executor.spawn("stuck", pending());
    let error = executor.run(100).unwrap_err();
    assert_eq!(error, ExecError::Deadlock { stuck: vec!["stuck".into()] });
}

#[test]
fn kill_takes_slots_in_order_then_the_queue_then_what_they_spawn() {
    struct Heir(&'static str, Spawner, Log);
    impl Drop for Heir {
        fn drop(&mut self) {
            self.2.push(self.0);
            let tombstone = Tombstone("heir", self.2.clone());
            self.1.spawn("heir", async move {
                let _tombstone = tombstone;
                unreachable!("it is dropped before it runs")
            });
        }
    }
    let task = |log: &Log, name| {
        let tombstone = Tombstone(name, log.clone());
        async move {
            let _tombstone = tombstone;
            pending::<()>().await;
        }
    };

    let log = Log::default();
    let mut runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    spawner.spawn("a", ready(()));
    let heir = Heir("b", spawner.clone(), log.clone());
    spawner.spawn("b", async move {
        let _heir = heir;
        pending::<()>().await;
    });
    spawner.spawn("c", task(&log, "c"));
    let mut executor = runtime.executor();
    executor.spawn("client", pending());
    assert!(executor.run(10).is_err());
    // Slot 1, which "a" had, before that of "b".
    spawner.spawn("d", task(&log, "d"));
    assert!(executor.run(10).is_err());
    drop(executor);
    spawner.spawn("e", task(&log, "e"));
    spawner.spawn("f", task(&log, "f"));
    assert_eq!(runtime.tasks(), ["b", "c", "d", "e", "f"].map(Arc::from));
    runtime.kill_tasks();
    assert_eq!(log.take(), ["d", "b", "c", "e", "f", "heir"]);
    assert_eq!(runtime.tasks(), []);
}

#[test]
fn a_deadlock_names_scoped_tasks_first_then_detached_ones() {
    let mut runtime = Runtime::new(RoundRobin::new());
    let spawner = runtime.spawner();
    spawner.spawn("old flusher", pending::<()>());
    runtime.executor().run(10).unwrap();
    let mut executor = runtime.executor();
    executor.spawn("reader", pending());
    spawner.spawn("new flusher", pending::<()>());
    assert!(executor.run(10).is_err());
    executor.spawn("writer", pending());
    let error = executor.run(10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "deadlock: no task can run and none sleeps; stuck: reader, writer, old flusher, new flusher"
    );
    assert_eq!(
        format!("{executor:?}"),
        "Executor { tasks: [\"reader\", \"writer\", \"old flusher\", \"new flusher\"], .. }"
    );
}

#[test]
fn clear_leaves_them_alone() {
    let log = Log::default();
    let mut runtime = Runtime::new(FirstReady::new());
    let entries = log.clone();
    let mut executor = runtime.executor();
    let spawner = executor.spawner();
    executor.spawn("client", pending());
    assert!(executor.run(1).is_err());
    spawner.spawn("worker", async move {
        yield_now().await;
        entries.push("done");
    });
    executor.spawn("second", pending());
    assert!(executor.run(2).is_err());
    executor.clear();
    let client = executor.spawn("client", yield_now());
    assert_eq!(client.index(), 0);
    let last = executor.spawn("last", async {});
    assert_eq!(last.index(), 1);
    executor.spawn("waits", async {
        while log.is_empty() {
            yield_now().await;
        }
    });
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    assert_eq!(log.take(), ["done"]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let log = Log::default();
        let mut runtime = Runtime::new(RandomSchedule::new(seed));
        let (clock, spawner) = (runtime.clock(), runtime.spawner());
        for power_cycle in 0..3 {
            let mut executor = runtime.executor();
            for client in 0..3 {
                let (clock, spawner, log) = (&clock, &spawner, &log);
                executor.spawn("client", async move {
                    for request in 0..5 {
                        let name = format!("{power_cycle} {client} {request}");
                        let (worker_clock, entries) = (clock.clone(), log.clone());
                        let worker = spawner.spawn(name.clone(), async move {
                            worker_clock.sleep(client * request).await;
                            yield_now().await;
                            entries.push(name);
                        });
                        match request {
                            0 => worker.abort(),
                            1 | 2 => worker.await.unwrap(),
                            _ => yield_now().await,
                        }
                    }
                });
            }
            assert_eq!(executor.run(1_000), Ok(Outcome::Finished));
            drop(executor);
            log.push(runtime.tasks().join(", "));
            if power_cycle == 1 {
                runtime.kill_tasks();
            }
        }
        (log.take(), runtime.steps(), clock.now())
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
    assert!(first.0.len() > 20, "{first:?}");
}
