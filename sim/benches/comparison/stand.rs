//! What all three tools stand on: the device, a clock, and the end of an operation.

use crate::zoo::{BugSubject, ZooDevice};
use blocktwin::device::{Buffer, BufferAllocator, BufferSource, Device, DeviceError, DynDevice};
use blocktwin::disk::{CrashPolicy, Medium, Rules, SimDisk, World};
use blocktwin::exec::{RoundRobin, Runtime};
use blocktwin::lockstep::{FileBacked, Subject};
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec, Trim, decode};
use rustix::time::{ClockId, clock_gettime};
use std::any::Any;
use std::cell::{Cell, RefCell};

/// Steps of one operation that no device here needs.
const MOST_STEPS: u64 = 20_000;

/// The machine that a device runs on: a disk in memory, tasks, and a transfer heap.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) heap: BufferAllocator,
    runtime: RefCell<Runtime<RoundRobin>>,
}

impl Machine {
    /// A machine on which the device has been made and not yet been opened.
    pub(crate) fn new(subject: &impl Subject, spec: &DeviceSpec) -> Self {
        let block = spec.block_size as usize;
        let heap = BufferAllocator::new(block, BufferSource::new(spec.heap as usize));
        let disk = SimDisk::new(Medium::Memory);
        let size = spec.geometry().expect("a valid geometry").size();
        let limit = if subject.promises().in_place { size } else { u64::MAX };
        disk.format(spec.sector_size, Rules { limit, ..Rules::default() });
        let machine = Self { disk, heap, runtime: RefCell::new(Runtime::new(RoundRobin::new())) };
        machine.finish(subject.create(&machine.world(), spec)).expect("is made");
        machine.disk.settle();
        machine
    }

    fn world(&self) -> World {
        self.disk.world(&self.runtime.borrow(), self.heap.clone())
    }

    /// Opens the device.
    pub(crate) fn open<S: Subject>(&self, subject: &S, spec: &DeviceSpec) -> S::Device {
        let world = self.world();
        self.finish(subject.open(&world, spec)).expect("opens")
    }

    /// Runs one operation to its end, and meanwhile the tasks of the device.
    ///
    /// # Panics
    ///
    /// If it does not get there: it waits for what never comes, or goes round for ever.
    pub(crate) fn finish<T>(&self, operation: impl Future<Output = T>) -> T {
        let output = Cell::new(None);
        let mut runtime = self.runtime.borrow_mut();
        let mut executor = runtime.executor();
        executor.spawn("operation", async { output.set(Some(operation.await)) });
        let ended = executor.run(MOST_STEPS);
        drop(executor);
        match (ended, output.take()) {
            (Ok(_), Some(output)) => output,
            _ => panic!("the device hangs"),
        }
    }

    /// A transfer buffer of this many bytes, while nothing else is in flight.
    pub(crate) fn buffer(&self, device: &DynDevice, length: u64) -> Buffer {
        let length = usize::try_from(length).expect("a length that memory can hold");
        self.finish(device.allocate_buffer(length)).expect("a buffer")
    }

    /// The power fails and comes back.
    pub(crate) fn crash(&self, policy: CrashPolicy) {
        self.runtime.borrow_mut().kill_tasks();
        self.disk.crash(policy);
    }
}

/// What the device leaves where it trims, if it was opened with `spec`.
pub(crate) fn trim_effect(subject: &impl Subject, spec: &DeviceSpec) -> TrimEffect {
    match (subject.promises().trim, spec.trim) {
        (TrimEffect::AsAsked, Trim::Scribble) => TrimEffect::Scribble,
        (TrimEffect::AsAsked, Trim::PunchHole) => TrimEffect::Zeros,
        (TrimEffect::AsAsked, Trim::Ignore) => TrimEffect::Nothing,
        (effect, _) => effect,
    }
}

/// The nearest to `spec` that a device can have which accepts this.
pub(crate) fn fitted(accepts: &Accepts, spec: DeviceSpec) -> DeviceSpec {
    let mut scenario = decode(&[]);
    (scenario.device, scenario.steps) = (spec, Vec::new());
    accepts.fit(&mut scenario);
    scenario.device
}

/// The device under test: an entry of the zoo, or the real one.
pub(crate) enum Under {
    Real,
    ZooDevice(BugSubject),
}

impl Subject for Under {
    type Device = DynDevice;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        match self {
            Self::Real => FileBacked.create(world, spec).await,
            Self::ZooDevice(bug) => bug.create(world, spec).await,
        }
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<DynDevice, DeviceError> {
        match self {
            Self::Real => Ok(DynDevice::new(FileBacked.open(world, spec).await?)),
            Self::ZooDevice(bug) => bug.open(world, spec).await,
        }
    }

    fn promises(&self) -> Promises {
        match self {
            Self::Real => FileBacked.promises(),
            Self::ZooDevice(bug) => bug.promises(),
        }
    }

    fn accepts(&self) -> Accepts {
        match self {
            Self::Real => FileBacked.accepts(),
            Self::ZooDevice(bug) => bug.accepts(),
        }
    }
}

/// A hunt for one bug by one tool. Its time is the processor's: a busy machine disturbs it little.
#[derive(Clone, Copy)]
pub(crate) struct Hunt {
    /// The real device where it is none.
    entry: Option<&'static ZooDevice>,
    pub(crate) seed: u64,
    began: f64,
    budget: f64,
}

impl Hunt {
    /// A hunt that begins now and may take so many seconds.
    pub(crate) fn new(entry: Option<&'static ZooDevice>, seed: u64, budget: f64) -> Self {
        Self { entry, seed, began: seconds(), budget }
    }

    /// What is hunted.
    pub(crate) fn under(&self) -> Under {
        self.entry.map_or(Under::Real, |entry| Under::ZooDevice(entry.subject()))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.elapsed() >= self.budget
    }

    /// Seconds so far.
    pub(crate) fn elapsed(&self) -> f64 {
        seconds() - self.began
    }
}

/// Seconds that this thread has had a processor.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).map_or(0.0, |time| time.as_secs_f64())
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
