//! Every poll has a waker of its own, and only the last one is good.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::exec::*;

/// Keeps a clone of the waker of each poll, and is never done.
async fn collect(wakers: &RefCell<Vec<Waker>>) {
    poll_fn(|context: &mut Context<'_>| -> Poll<()> {
        wakers.borrow_mut().push(context.waker().clone());
        Poll::Pending
    })
    .await;
}

#[test]
fn only_the_waker_of_the_last_poll_is_good() {
    let wakers = RefCell::new(Vec::new());
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn("collector", collect(&wakers));
    assert!(executor.run(10).is_err());
    for polls in 1..20 {
        assert_eq!(wakers.borrow().len(), polls);
        let (last, stale) = {
            let wakers = wakers.borrow();
            let (last, stale) = wakers.split_last().unwrap();
            (last.clone(), stale.to_vec())
        };
        assert!(stale.iter().all(|stale| !stale.will_wake(&last)));
        stale.into_iter().for_each(Waker::wake);
        assert!(executor.run(10).is_err());
        assert_eq!(wakers.borrow().len(), polls, "a stale waker woke the task");
        last.wake();
        assert!(executor.run(10).is_err());
    }
}

#[test]
fn a_waker_that_is_used_while_the_task_is_polled_is_good() {
    let mut polls = 0;
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn(
        "eager",
        poll_fn(|context| {
            polls += 1;
            let waker = context.waker().clone();
            if polls % 2 == 0 {
                waker.wake();
            } else {
                waker.wake_by_ref();
            }
            if polls == 50 { Poll::Ready(()) } else { Poll::Pending }
        }),
    );
    assert_eq!(executor.run(50), Ok(Outcome::Finished));
}

#[test]
fn wakers_are_used_again_once_nobody_has_them() {
    let (kept, mut seen) = (Cell::new(None::<Waker>), Vec::new());
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn(
        "one at a time",
        poll_fn(|context| {
            seen.push(context.waker().data().addr());
            context.waker().wake_by_ref();
            kept.set(Some(context.waker().clone()));
            if seen.len() == 100 { Poll::Ready(()) } else { Poll::Pending }
        }),
    );
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    drop(executor);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2, "no poll allocates once there are two");
}

/// Keeps the waker of its first poll, and never another.
struct KeepsFirst<'a> {
    waker: &'a Mutex<Option<Waker>>,
    until: u32,
}

impl Future for KeepsFirst<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.until -= 1;
        self.waker.lock().unwrap().get_or_insert_with(|| context.waker().clone());
        if self.until == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn who_never_renews_its_waker_hangs() {
    let waker = Mutex::new(None);
    let mut runtime = Runtime::new(RoundRobin::new());
    let mut executor = runtime.executor();
    executor.spawn("lazy", KeepsFirst { waker: &waker, until: 3 });
    executor.spawn("waking", async {
        for _ in 0..10 {
            yield_now().await;
            if let Some(waker) = &*waker.lock().unwrap() {
                waker.wake_by_ref();
            }
        }
    });
    assert_eq!(executor.run(100), Err(ExecError::Deadlock { stuck: vec!["lazy".into()] }));
}

#[test]
fn detached_tasks_have_wakers_of_their_own_too() {
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let polls = Arc::new(Mutex::new(0));
    let mut runtime = Runtime::new(RoundRobin::new());
    let (theirs, count) = (Arc::clone(&waker), Arc::clone(&polls));
    let task = runtime.spawner().spawn(
        "lazy",
        poll_fn(move |context| -> Poll<()> {
            *count.lock().unwrap() += 1;
            theirs.lock().unwrap().get_or_insert_with(|| context.waker().clone());
            Poll::Pending
        }),
    );
    let mut executor = runtime.executor();
    executor.spawn("waking", async {
        for _ in 0..5 {
            yield_now().await;
            waker.lock().unwrap().as_ref().unwrap().wake_by_ref();
        }
        yield_now().await;
        // Not by a waker of a poll, so that this reaches a task that was polled often.
        task.abort();
        assert_eq!(task.await, Err(Aborted));
    });
    assert_eq!(executor.run(100), Ok(Outcome::Finished));
    assert_eq!(*polls.lock().unwrap(), 2);
}

#[test]
fn a_waker_of_a_task_that_is_gone_wakes_nobody() {
    let (wakers, polls) = (RefCell::new(Vec::new()), Cell::new(0));
    let mut runtime = Runtime::new(FirstReady::new());
    let mut executor = runtime.executor();
    executor.spawn("gone", collect(&wakers));
    assert!(executor.run(10).is_err());
    executor.clear();
    executor.spawn(
        "heir of the slot",
        poll_fn(|_| -> Poll<()> {
            polls.set(polls.get() + 1);
            Poll::Pending
        }),
    );
    assert!(executor.run(10).is_err());
    wakers.borrow().iter().for_each(Waker::wake_by_ref);
    assert!(executor.run(10).is_err());
    assert_eq!(polls.get(), 1);
}
