//! A panic in a task passes through, and the task can be named.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::exec::*;

fn panics<T>(run: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[test]
fn a_scoped_task_that_panics_is_named() {
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn("fine", async {});
    executor.spawn("clumsy", async { panic!("on purpose") });
    executor.spawn("later", async {});
    assert_eq!(executor.polling(), None);
    assert!(panics(|| executor.run(10)));
    assert_eq!(executor.polling().as_deref(), Some("clumsy"));
    executor.clear();
    assert_eq!(executor.polling().as_deref(), Some("clumsy"));
    // Another task in the same slot is not to blame.
    executor.spawn("next", async {});
    executor.spawn("next but one", async {});
    assert_eq!(executor.polling().as_deref(), Some("clumsy"));
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    assert_eq!(executor.polling(), None);
    drop(executor);
    assert_eq!(runtime.polling(), None);
}

#[test]
fn the_name_outlives_the_executor() {
    let mut runtime = Runtime::new(FirstReady::new());
    assert!(panics(|| {
        let mut executor = runtime.executor();
        executor.spawn("clumsy", async { panic!("on purpose") });
        executor.run(10)
    }));
    assert_eq!(runtime.polling().as_deref(), Some("clumsy"));
    assert_eq!(runtime.executor().polling().as_deref(), Some("clumsy"));
    assert_eq!(runtime.executor().run(10), Ok(Outcome::Finished));
    assert_eq!(runtime.polling(), None);
}

#[test]
fn a_detached_task_that_panics_is_named() {
    let mut runtime = Runtime::new(RoundRobin::new());
    let spawner = runtime.spawner();
    let handle = spawner.spawn("clumsy", async {
        yield_now().await;
        panic!("on purpose")
    });
    let mut executor = runtime.executor();
    executor.spawn("client", pending());
    assert!(panics(|| executor.run(10)));
    assert_eq!(executor.polling().as_deref(), Some("clumsy"));
    drop(executor);
    assert_eq!(runtime.polling().as_deref(), Some("clumsy"));
    runtime.kill_tasks();
    assert_eq!(runtime.polling().as_deref(), Some("clumsy"));
    assert_eq!(block_on(handle), Err::<(), _>(Aborted));

    // The runtime is as good as ever.
    let mut executor = runtime.executor();
    executor.spawn("client", async {});
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    assert_eq!(executor.polling(), None);
}

#[test]
fn a_panic_of_the_schedule_is_no_tasks() {
    struct Fails(u32);
    impl Schedule for Fails {
        fn next(&mut self, runnable: Runnable<'_>) -> TaskId {
            self.0 += 1;
            assert!(self.0 < 3, "on purpose");
            runnable.first()
        }
    }

    let mut runtime = Runtime::new(Fails(0));
    let mut executor = runtime.executor();
    executor.spawn(
        "busy",
        poll_fn(|context| {
            context.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        }),
    );
    assert!(panics(|| executor.run(10)));
    assert_eq!((executor.steps(), executor.polling()), (2, None));
}

#[test]
fn a_task_that_panics_while_killed_does_not_keep_the_others() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    let mut runtime = Runtime::new(FirstReady::new());
    let bomb = Bomb;
    runtime.spawner().spawn("bomb", async move { drop(bomb) });
    runtime.spawner().spawn("bystander", pending::<()>());
    assert!(panics(|| runtime.kill_tasks()));
    assert_eq!(runtime.tasks(), ["bystander".into()]);
    runtime.kill_tasks();
    assert!(!runtime.has_tasks());
}
