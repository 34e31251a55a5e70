//! The handles of detached tasks.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;

use crate::exec::*;

fn assert_send_and_sync<T: Send + Sync>() {}

#[test]
fn handles_go_where_a_device_goes() {
    assert_send_and_sync::<Clock>();
    assert_send_and_sync::<Sleep>();
    assert_send_and_sync::<Spawner>();
    // An output need not be `Sync`.
    assert_send_and_sync::<JoinHandle<Cell<u8>>>();
}

#[test]
fn a_join_gives_the_output_before_or_after_the_end() {
    let mut runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    let mut executor = runtime.executor();
    executor.spawn("client", async {
        let early = spawner.spawn("worker", async {
            yield_now().await;
            "early".to_owned()
        });
        assert_eq!(early.await.as_deref(), Ok("early"));

        let late = spawner.spawn("worker", async { "late".to_owned() });
        while !late.is_finished() {
            yield_now().await;
        }
        assert!(late.is_finished());
        assert_eq!(late.await.as_deref(), Ok("late"));
    });
    // FirstReady keeps the client spinning; a yield in turn would not.
    assert!(matches!(executor.run(100), Err(ExecError::StepLimit { .. })));
    drop(executor);
    let mut runtime = Runtime::new(RoundRobin::new());
    let late = runtime.spawner().spawn("worker", async { 7 });
    let mut executor = runtime.executor();
    executor.spawn("client", async {
        while !late.is_finished() {
            yield_now().await;
        }
        assert_eq!(late.await, Ok(7));
    });
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
}

#[test]
fn a_dropped_handle_leaves_the_task() {
    let (output, seen) = (Arc::new(()), Rc::new(Cell::new(0)));
    let mut runtime = Runtime::new(RoundRobin::new());
    let returned = Arc::clone(&output);
    drop(runtime.spawner().spawn("worker", async move {
        yield_now().await;
        returned
    }));
    let mut executor = runtime.executor();
    executor.spawn("client", async {
        while Arc::strong_count(&output) > 1 {
            seen.set(seen.get() + 1);
            yield_now().await;
        }
    });
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    assert!(seen.get() > 0);
}

#[test]
fn abort_drops_the_future_at_its_next_turn() {
    let held = Arc::new(());
    let mut runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    let mut executor = runtime.executor();
    executor.spawn("client", async {
        let inside = Arc::clone(&held);
        let handle = spawner.spawn("stuck", async move {
            pending::<()>().await;
            drop(inside);
        });
        clock_turn(&spawner).await;
        handle.abort();
        handle.abort();
        assert!(!handle.is_finished());
        assert_eq!(Arc::strong_count(&held), 2);
        assert_eq!(handle.await, Err(Aborted));
        assert_eq!(Arc::strong_count(&held), 1);
    });
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    assert!(!executor.has_tasks());
}

/// Waits until all tasks that were spawned earlier had a turn, under [`FirstReady`].
async fn clock_turn(spawner: &Spawner) {
    assert_eq!(spawner.spawn("turn", async {}).await, Ok(()));
}

#[test]
fn abort_before_the_first_turn_means_no_turn() {
    let mut runtime = Runtime::new(FirstReady::new());
    let handle = runtime.spawner().spawn("never", async { unreachable!("it was aborted") });
    handle.abort();
    let mut executor = runtime.executor();
    executor.spawn("client", async { assert_eq!(handle.await, Err::<(), _>(Aborted)) });
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
}

#[test]
fn abort_after_the_end_does_nothing() {
    let mut runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    let mut executor = runtime.executor();
    executor.spawn("client", async {
        let handle = spawner.spawn("quick", async { 1 });
        clock_turn(&spawner).await;
        handle.abort();
        assert_eq!(handle.await, Ok(1));
    });
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
}

#[test]
fn a_joiner_is_woken_when_the_tasks_are_killed() {
    let mut runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    let worker = spawner.spawn("worker", pending::<()>());
    let joiner = spawner.spawn("joiner", worker);
    let mut executor = runtime.executor();
    executor.spawn("client", pending());
    assert!(executor.run(10).is_err());
    drop(executor);
    runtime.kill_tasks();
    assert_eq!(block_on(joiner), Err(Aborted));
}

#[test]
fn the_end_of_the_runtime_is_that_of_its_tasks() {
    let held = Arc::new(());
    let runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    // Holds what holds the queue that holds it.
    let (inside, again) = (Arc::clone(&held), spawner.clone());
    let handle = spawner.spawn("queued", async move {
        let _inside = inside;
        again.spawn("heir", async {});
    });
    drop(runtime);
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(block_on(handle), Err(Aborted));

    let inside = Arc::clone(&held);
    let late = spawner.spawn("late", async move { drop(inside) });
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(late.is_finished());
    assert_eq!(block_on(late), Err(Aborted));
}

#[test]
fn debug_tells_the_state() {
    let mut runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    let handle = spawner.spawn("worker", async {});
    assert_eq!(format!("{spawner:?}"), "Spawner { queued: [\"worker\"] }");
    assert_eq!(format!("{handle:?}"), "JoinHandle { is_finished: false, .. }");
    runtime.kill_tasks();
    assert_eq!(format!("{spawner:?}"), "Spawner { queued: [] }");
    assert_eq!(format!("{handle:?}"), "JoinHandle { is_finished: true, .. }");
}
