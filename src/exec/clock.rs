//! Virtual time.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A handle of the virtual clock of a [`Runtime`](super::Runtime).
///
/// The clock counts ticks, starting at 0, and never goes back. It moves on by one tick after every
/// step, and jumps to the next deadline where nothing can run but somebody sleeps. It is the same
/// clock across all executors of a runtime: power cycles take no time. At `u64::MAX` it stands.
///
/// Clones are cheap and show the same clock. They are `Send` and `Sync`, so that
/// [detached](super::Spawner::spawn) tasks can hold one. Do not read the clock on a thread other
/// than the runtime's: what it shows there is up to the machine.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{FirstReady, Runtime};
///
/// let mut runtime = Runtime::new(FirstReady::new());
/// let clock = runtime.clock();
/// let mut executor = runtime.executor();
/// executor.spawn("sleeper", async {
///     clock.sleep(1_000).await;
///     assert_eq!(clock.now(), 1_000);
/// });
/// executor.run(10)?; // only two steps
/// assert_eq!(clock.now(), 1_001);
/// # Ok::<(), blocktwin::exec::ExecError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Stored by the executor only, so that a plain load and store move it on.
    now: AtomicU64,
    /// The deadline of the next timer, or `u64::MAX` if there is none. A step reads this and leaves
    /// `timers` alone unless one is due. Stored while `timers` is locked.
    next: AtomicU64,
    timers: Mutex<Timers>,
}

impl Inner {
    /// Locks the timers and calls `change`.
    ///
    /// A waker may run any code, so `change` must not clone, wake or drop one.
    fn with_timers<T>(&self, change: impl FnOnce(&mut Timers) -> T) -> T {
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut timers);
        self.next.store(timers.next_deadline().unwrap_or(u64::MAX), Ordering::Relaxed);
        result
    }
}

impl Clock {
    pub(super) fn new() -> Self {
        let (now, next) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { inner: Arc::new(Inner { now, next, timers: Mutex::default() }) }
    }

    /// Gives the time, in ticks. It stands still while a task is being polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// assert_eq!(Runtime::new(FirstReady::new()).clock().now(), 0);
    /// ```
    #[inline]
    pub fn now(&self) -> u64 {
        self.inner.now.load(Ordering::Relaxed)
    }

    /// Gives a future that is done `ticks` from now.
    ///
    /// The deadline is fixed by this call, not by the first poll. At the deadline the task becomes
    /// runnable; when it runs is up to the schedule, so that it may well find the time to be later.
    /// Nothing to wait for (0 ticks) is no scheduling point: the first poll is done. Sleeps end in
    /// order of their deadlines, those with the same deadline in the order of their first polls.
    ///
    /// # Examples
    ///
    /// A timeout, by whichever crate has a `select`:
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    /// use std::future::{pending, poll_fn};
    /// use std::pin::pin;
    /// use std::task::Poll;
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let clock = runtime.clock();
    /// let mut executor = runtime.executor();
    /// executor.spawn("client", async {
    ///     let mut answer = pin!(pending::<u32>());
    ///     let mut timeout = pin!(clock.sleep(50));
    ///     let answer = poll_fn(|context| match answer.as_mut().poll(context) {
    ///         Poll::Ready(answer) => Poll::Ready(Some(answer)),
    ///         Poll::Pending => timeout.as_mut().poll(context).map(|()| None),
    ///     });
    ///     assert_eq!(answer.await, None);
    /// });
    /// executor.run(10)?;
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn sleep(&self, ticks: u64) -> Sleep {
        self.sleep_until(self.now().saturating_add(ticks))
    }

    /// Gives a future that is done at tick `deadline`, or at once if that has passed.
    ///
    /// In all other respects it is like [`sleep`](Self::sleep).
    ///
    /// # Examples
    ///
    /// Something periodic, without drift:
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let mut runtime = Runtime::new(FirstReady::new());
    /// let clock = runtime.clock();
    /// let mut executor = runtime.executor();
    /// executor.spawn("flusher", async {
    ///     for period in 1..=3 {
    ///         clock.sleep_until(100 * period).await;
    ///     }
    ///     assert_eq!(clock.now(), 300);
    /// });
    /// executor.run(10)?;
    /// # Ok::<(), blocktwin::exec::ExecError>(())
    /// ```
    pub fn sleep_until(&self, deadline: u64) -> Sleep {
        Sleep { clock: self.clone(), deadline, registration: None }
    }

    /// Moves on by one tick.
    #[inline]
    pub(super) fn tick(&self) {
        self.inner.now.store(self.now().saturating_add(1), Ordering::Relaxed);
    }

    /// Wakes all whose deadline has come.
    #[inline]
    pub(super) fn fire_due(&self) {
        if self.next_deadline() <= self.now() {
            self.fire();
        }
    }

    #[cold]
    fn fire(&self) {
        while self.next_deadline() <= self.now()
            && let Some(waker) = self.inner.with_timers(|timers| timers.pop_due(self.now()))
        {
            waker.wake();
        }
    }

    /// Jumps to the next deadline, and tells whether there was one.
    pub(super) fn jump(&self) -> bool {
        let deadline = self.next_deadline();
        // A timer at `u64::MAX` looks like none, so that case needs the list itself.
        if deadline == u64::MAX && self.inner.with_timers(|timers| timers.pending.is_empty()) {
            return false;
        }
        self.inner.now.store(deadline.max(self.now()), Ordering::Relaxed);
        true
    }

    /// Gives the deadline of the next timer, or `u64::MAX`.
    #[inline]
    fn next_deadline(&self) -> u64 {
        self.inner.next.load(Ordering::Relaxed)
    }
}

/// The future of [`Clock::sleep`]: done when its deadline has come.
///
/// Dropping it takes its timer back: nobody is woken, and the clock does not jump there.
///
/// # Examples
///
/// ```
/// use blocktwin::exec::{FirstReady, Runtime, Sleep};
///
/// let clock = Runtime::new(FirstReady::new()).clock();
/// let sleep: Sleep = clock.sleep(10);
/// assert_eq!(sleep.deadline(), 10);
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    clock: Clock,
    deadline: u64,
    /// The number of the timer; set when the first poll had to wait.
    registration: Option<u64>,
}

impl Sleep {
    /// Gives the tick at which this is done.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::exec::{FirstReady, Runtime};
    ///
    /// let clock = Runtime::new(FirstReady::new()).clock();
    /// assert_eq!(clock.sleep(u64::MAX).deadline(), u64::MAX);
    /// ```
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    fn cancel(&mut self) {
        let Some(registration) = self.registration.take() else {
            return;
        };
        // A timer earlier than the next one to fire has fired already.
        if self.deadline >= self.clock.next_deadline() {
            let remove = |timers: &mut Timers| timers.remove(self.deadline, registration);
            let timer = self.clock.inner.with_timers(remove);
            drop(timer);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.deadline <= self.clock.now() {
            self.cancel();
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        let (deadline, registration) = (self.deadline, self.registration);
        let (registration, replaced) = self.clock.inner.with_timers(|timers| match registration {
            None => (timers.insert(deadline, waker), None),
            Some(number) => (number, timers.replace(deadline, number, waker)),
        });
        drop(replaced);
        self.registration = Some(registration);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The timers that are set.
///
/// There are few of them at a time (about one for each task), so that a sorted list beats a heap
/// or a tree: the next one is at its end, taking one out from the middle is easy, and it allocates
/// only to grow.
#[derive(Debug, Default)]
struct Timers {
    /// The next to fire is the last: in descending order of deadline and registration.
    pending: Vec<Timer>,
    registrations: u64,
}

#[derive(Debug)]
struct Timer {
    deadline: u64,
    registration: u64,
    waker: Waker,
}

impl Timer {
    fn key(&self) -> (u64, u64) {
        (self.deadline, self.registration)
    }
}

impl Timers {
    /// Sets a timer and gives the number of its registration.
    fn insert(&mut self, deadline: u64, waker: Waker) -> u64 {
        let registration = self.registrations;
        self.registrations += 1;
        let timer = Timer { deadline, registration, waker };
        let place = self.pending.partition_point(|other| other.key() > timer.key());
        self.pending.insert(place, timer);
        registration
    }

    /// Gives a timer another waker and the old one back.
    fn replace(&mut self, deadline: u64, registration: u64, waker: Waker) -> Option<Waker> {
        let place = self.find(deadline, registration)?;
        Some(mem::replace(&mut self.pending[place].waker, waker))
    }

    /// Takes a timer out, if it has not fired.
    fn remove(&mut self, deadline: u64, registration: u64) -> Option<Timer> {
        let place = self.find(deadline, registration)?;
        Some(self.pending.remove(place))
    }

    fn find(&self, deadline: u64, registration: u64) -> Option<usize> {
        self.pending.binary_search_by(|timer| (deadline, registration).cmp(&timer.key())).ok()
    }

    #[inline]
    fn next_deadline(&self) -> Option<u64> {
        self.pending.last().map(|timer| timer.deadline)
    }

    /// Takes out the next timer, if it is due at `now`.
    #[inline]
    fn pop_due(&mut self, now: u64) -> Option<Waker> {
        self.pending.pop_if(|timer| timer.deadline <= now).map(|timer| timer.waker)
    }
}
