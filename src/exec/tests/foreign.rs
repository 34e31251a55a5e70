//! Wake-ups by other threads are noticed, and only those.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};

use crate::exec::*;

#[expect(clippy::disallowed_methods, reason = "another thread is what this is about")]
fn on_another_thread(act: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(act);
    });
}

/// Gives a runtime and the waker of a task that is gone.
fn runtime_and_waker() -> (Runtime<FirstReady>, Waker) {
    let waker = RefCell::new(None);
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn(
        "client",
        poll_fn(|context| {
            waker.replace(Some(context.waker().clone()));
            Poll::Ready(())
        }),
    );
    assert_eq!(executor.run(1), Ok(Outcome::Finished));
    drop(executor);
    (runtime, waker.into_inner().unwrap())
}

#[test]
fn a_wake_by_another_thread_is_foreign() {
    let (runtime, waker) = runtime_and_waker();
    assert!(!runtime.foreign_wake());
    on_another_thread(move || drop(waker)); // no wake-up
    assert!(!runtime.foreign_wake());

    let (mut runtime, waker) = runtime_and_waker();
    on_another_thread(move || waker.wake());
    assert!(runtime.foreign_wake());
    assert!(runtime.executor().foreign_wake());

    // One runtime has nothing to do with another.
    assert!(!Runtime::new(FirstReady::new()).foreign_wake());
}

#[test]
fn a_foreign_wake_is_a_wake() {
    let waker = RefCell::new(None::<Waker>);
    let mut runtime = Runtime::new(FirstReady::new());
    let mut polls = 0;
    let mut executor = runtime.executor();
    executor.spawn(
        "client",
        poll_fn(|context| {
            polls += 1;
            waker.replace(Some(context.waker().clone()));
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        }),
    );
    assert!(executor.run(10).is_err());
    let waker = waker.take().unwrap();
    on_another_thread(move || waker.wake());
    assert_eq!(executor.run(10), Ok(Outcome::Finished));
    assert!(executor.foreign_wake());
}

#[test]
fn a_spawn_by_another_thread_is_foreign() {
    let runtime = Runtime::new(FirstReady::new());
    let spawner = runtime.spawner();
    on_another_thread(move || drop(spawner.spawn("worker", async {})));
    assert!(runtime.foreign_wake());
    assert_eq!(runtime.tasks(), ["worker".into()]);
}

#[test]
fn the_wakes_of_its_own_thread_are_not_foreign() {
    struct LastWords(Waker, Spawner);
    impl Drop for LastWords {
        fn drop(&mut self) {
            self.0.wake_by_ref();
            drop(self.1.spawn("heir", async {}));
        }
    }

    let (mut runtime, waker) = runtime_and_waker();
    let spawner = runtime.spawner();
    waker.wake_by_ref(); // between runs
    let mut executor = runtime.executor();
    for _ in 0..2 {
        let last_words = LastWords(waker.clone(), spawner.clone());
        executor.spawn("client", async move {
            let _last_words = last_words;
            yield_now().await;
            pending::<()>().await;
        });
    }
    let last_words = LastWords(waker.clone(), spawner.clone());
    spawner.spawn("flusher", async move {
        let _last_words = last_words;
        pending::<()>().await;
    });
    assert!(executor.run(10).is_err());
    drop(executor); // the tasks wake others on their way out
    runtime.kill_tasks();
    assert!(!runtime.foreign_wake());
}

#[test]
fn a_runtime_is_at_home_on_any_thread() {
    on_another_thread(|| {
        let (runtime, waker) = runtime_and_waker();
        waker.wake();
        assert!(!runtime.foreign_wake());
    });
}
