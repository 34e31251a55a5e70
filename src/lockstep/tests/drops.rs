//! When futures of requests are dropped.

use super::*;
use crate::device::{
    BufferFuture, BufferRef, Device, DeviceError, FileBackedDevice, Geometry, MutableBufferRef,
    WriteOptions,
};
use crate::disk::{FaultClass, SimFile, World};
use crate::model::Promises;
use crate::scenario::{Accepts, DropOn, Op, Step, decode};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// What became of the futures of writes, in order.
type Lives = Arc<Mutex<Vec<Life>>>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Life {
    polls: u32,
    /// What it waits for has come.
    granted: bool,
    dropped_before_it_was_ready: bool,
}

/// A device whose writes wait for the next flush, and then do nothing at all.
struct Probe(Lives);

struct ProbeDevice {
    inner: FileBackedDevice<SimFile>,
    lives: Lives,
    waiting: Arc<Mutex<Vec<Waker>>>,
}

impl Subject for Probe {
    type Device = ProbeDevice;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<ProbeDevice, DeviceError> {
        let inner = FileBacked.open(world, spec).await?;
        Ok(ProbeDevice { inner, lives: Arc::clone(&self.0), waiting: Arc::default() })
    }

    fn promises(&self) -> Promises {
        Promises::file_backed()
    }

    fn accepts(&self) -> Accepts {
        FileBacked.accepts()
    }
}

struct Write {
    lives: Lives,
    index: usize,
    waiting: Arc<Mutex<Vec<Waker>>>,
    ready: bool,
}

impl Future for Write {
    type Output = Result<(), DeviceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let granted = {
            let life = &mut self.lives.lock().unwrap()[self.index];
            life.polls += 1;
            life.granted
        };
        self.waiting.lock().unwrap().push(context.waker().clone());
        self.ready = granted;
        if granted { Poll::Ready(Err(DeviceError::Closed)) } else { Poll::Pending }
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        self.lives.lock().unwrap()[self.index].dropped_before_it_was_ready = !self.ready;
    }
}

impl Device for ProbeDevice {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        self.inner.read(offset, buffer).await
    }

    fn write(
        &self,
        _: u64,
        _: BufferRef<'_>,
        _: WriteOptions,
    ) -> impl Future<Output = Result<(), DeviceError>> + Send {
        let index = {
            let mut lives = self.lives.lock().unwrap();
            lives.push(Life::default());
            lives.len() - 1
        };
        let (lives, waiting) = (Arc::clone(&self.lives), Arc::clone(&self.waiting));
        Write { lives, index, waiting, ready: false }
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.lives.lock().unwrap().iter_mut().for_each(|life| life.granted = true);
        self.waiting.lock().unwrap().drain(..).for_each(Waker::wake);
        self.inner.flush().await
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        self.inner.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.inner.trim(offset, length).await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.inner.close().await
    }
}

/// A write that is dropped, beside a flush of another client after it; without needless polls.
fn write_and_flush(drop_at: u32, drop_on: DropOn) -> (Life, Report) {
    let write = Step { drop_at: Some(drop_at), drop_on, ..Step::new(Op::write(0, 512)) };
    // The write has been polled when the flush comes.
    let other = |op| Step { client: 1, ..Step::new(op) };
    let reads = [Op::Read { offset: 0, length: 512 }; 8].map(other);
    let mut scenario = decode(&[]);
    scenario.schedule = 0;
    scenario.steps = [vec![write], reads.into(), vec![other(Op::Flush)]].concat();
    let lives = Lives::default();
    let report = check(Probe(Arc::clone(&lives)), &scenario);
    let lives = lives.lock().unwrap();
    assert_eq!(lives.len(), 1);
    (lives[0], report)
}

fn check(probe: Probe, scenario: &Scenario) -> Report {
    let report = Runner::new(probe, Medium::Memory).run(scenario, Options::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Pass);
    report
}

#[test]
fn a_future_may_be_dropped_before_its_first_poll() {
    let (life, report) = write_and_flush(0, DropOn::NextPoll);
    assert!(life.polls == 0 && life.dropped_before_it_was_ready, "{life:?}");
    assert_eq!(report.stats.faults_of(FaultClass::DroppedUnpolled).injected, 1);
}

#[test]
fn a_future_may_be_dropped_at_a_suspension() {
    let (life, report) = write_and_flush(1, DropOn::Suspension);
    assert!(life.polls == 1 && life.dropped_before_it_was_ready, "{life:?}");
    assert_eq!(report.stats.faults_of(FaultClass::Dropped).injected, 1);
}

#[test]
fn a_future_may_be_dropped_after_it_was_granted_what_it_waited_for() {
    let (life, report) = write_and_flush(1, DropOn::NextPoll);
    let expected = Life { polls: 1, granted: true, dropped_before_it_was_ready: true };
    assert_eq!(life, expected);
    assert_eq!(report.stats.faults_of(FaultClass::DroppedAwake).injected, 1);
}

#[test]
fn opening_may_be_dropped_at_each_moment() {
    for (drop_at, drop_on) in
        [(0, DropOn::NextPoll), (1, DropOn::NextPoll), (1, DropOn::Suspension)]
    {
        let mut scenario = decode(&[]);
        let reopen = Step { drop_at: Some(drop_at), drop_on, ..Step::new(Op::Reopen) };
        scenario.steps = vec![reopen.clone()];
        let report = passes(&mut Runner::new(FileBacked, Medium::Memory), &scenario);
        let class = reopen.dropped().unwrap();
        assert_eq!(report.stats.faults_of(class).injected, 1, "{class:?} at {drop_at}");
    }
}

/// Somebody waits in most scenarios of many clients, and is then polled without need.
#[test]
fn tasks_are_polled_without_need() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let of = |seed| passes(&mut runner, &generate(seed, Profile::Heavy)).stats.needless_polls;
    let (polls, scenarios) = (0..400)
        .map(of)
        .fold((0, 0), |(polls, scenarios), more| (polls + more, scenarios + u64::from(more > 0)));
    assert!(polls > 100 && scenarios > 40, "{polls} in {scenarios} scenarios");
}

#[test]
#[ignore = "takes minutes where it is not optimised"]
fn the_real_device_agrees_with_its_twin_for_long() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    for profile in Profile::ALL {
        for seed in 0..20_000 {
            passes(&mut runner, &generate(seed, profile));
        }
    }
}
