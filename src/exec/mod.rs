//! A seeded, single-threaded executor: the order in which tasks run is a decision, not an accident.
//!
//! An ordinary executor runs tasks in the order in which they happen to be woken. This one asks a
//! [`Schedule`] before every step, so that an interleaving can be drawn from a seed, replayed and
//! shrunk. It knows nothing of storage.
//!
//! # The parts
//!
//! - A [`Runtime`] is long-lived. It has the schedule, the [`Clock`], the [`Halt`] flag, the
//!   wakers, the detached tasks and the count of steps.
//! - An [`Executor`] is short-lived, borrows the runtime and owns the tasks. Dropping it is a
//!   crash: the tasks end mid-flight, and the next executor of the same runtime carries on with
//!   clock, schedule and count where they stood. It allocates nothing but one box for each future.
//! - A task is one future that was [spawned](Executor::spawn), and may borrow what outlives the
//!   executor. It runs until its next `.await` that has to wait; [`yield_now`] waits for nothing
//!   but the schedule.
//! - A detached task was spawned by a [`Spawner`], which also works inside other tasks. It borrows
//!   nothing and belongs to the runtime: it survives the executor, the next executor continues it,
//!   and no run waits for its end. [`Runtime::kill_tasks`] ends all of them.
//!
//! # Steps and time
//!
//! A step is one poll of one task. In a step, the schedule is asked which of the runnable tasks is
//! to run, that task is polled once, and the virtual clock moves on by one tick. Where nothing can
//! run but somebody [sleeps](Clock::sleep), the clock jumps to the next deadline, which is no step.
//! So time always passes, and a task that spins cannot keep a sleeping one from waking.
//!
//! # Wake-ups
//!
//! To wake a task is to set its bit in a word: waking twice is waking once, and the order of
//! wake-ups does not matter.
//!
//! Every poll has a waker of its own, and only that of the last poll is good. A wake-up by an
//! earlier one does nothing, as [`Future::poll`] allows, so that a future that does not renew its
//! waker hangs here and not in production. The bit belongs to the slot of the task. So a waker
//! that is kept longer than its task does no harm either.
//!
//! A schedule may have a task polled that nobody woke, [now and then](Schedule::is_needless). Such
//! a poll is a step like any other, and every future must bear it. It comes only while another task
//! can run: where none can, nobody is polled, and the deadlock is reported.
//!
//! # Determinism
//!
//! The same schedule, with the same tasks, gives the same run: the executor has no threads, no wall
//! clock and no randomness of its own, and neither addresses nor the order of wake-ups decide
//! anything. That is as much as it can promise. A task that looks at the outside world is on its
//! own, as is one that sends its [`Waker`](std::task::Waker) to another thread: wakers allow that
//! (they are `Send`, and the flag they raise is atomic), but when the wake-up arrives is then up to
//! the machine. [`Runtime::foreign_wake`] tells afterwards whether that has happened.
//!
//! # Examples
//!
//! Two writers race, until the power goes in the middle:
//!
//! ```
//! use blocktwin::exec::{Outcome, RandomSchedule, Runtime, yield_now};
//! use std::cell::Cell;
//!
//! let written = Cell::new(0);
//! let mut runtime = Runtime::new(RandomSchedule::new(42));
//! let halt = runtime.halt();
//!
//! let mut executor = runtime.executor();
//! for name in ["left", "right"] {
//!     executor.spawn(name, async {
//!         loop {
//!             written.set(written.get() + 1);
//!             if written.get() == 10 {
//!                 halt.request();
//!             }
//!             yield_now().await;
//!         }
//!     });
//! }
//! assert_eq!(executor.run(1_000)?, Outcome::Halted);
//! drop(executor); // both writers end here, mid-flight
//! assert_eq!(written.get(), 10);
//!
//! // The power is back. Steps and time go on, and so does the random stream.
//! let mut executor = runtime.executor();
//! executor.spawn("reader", async { assert_eq!(written.get(), 10) });
//! assert_eq!(executor.run(1_000)?, Outcome::Finished);
//! assert_eq!(executor.steps(), 11);
//! # Ok::<(), blocktwin::exec::ExecError>(())
//! ```

mod block_on;
mod clock;
mod detached;
mod executor;
mod halt;
mod home;
mod join;
mod outcome;
mod runnable;
mod runtime;
mod schedule;
mod slots;
mod spawner;
mod task;
mod wake;
mod yield_now;

#[cfg(test)]
mod tests;

pub use block_on::block_on;
pub use clock::{Clock, Sleep};
pub use executor::Executor;
pub use halt::Halt;
pub use join::{Aborted, JoinHandle};
pub use outcome::{ExecError, Outcome};
pub use runnable::{Runnable, RunnableIter};
pub use runtime::Runtime;
pub use schedule::{FirstReady, RandomSchedule, RoundRobin, Schedule};
pub use spawner::Spawner;
pub use task::{MAX_TASKS, TaskId};
pub use yield_now::{YieldNow, yield_now};
