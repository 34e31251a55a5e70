//! What all three tools stand on: the device, a clock, and the end of an operation.

use crate::zoo::{Keeper, Specimen};
use blocktwin::device::{Buffer, BufferAllocator, Device, DeviceError, DynDevice};
use blocktwin::disk::SimFile;
use blocktwin::lockstep::{FileBacked, Subject};
use blocktwin::model::TrimEffect;
use blocktwin::scenario::DeviceSpec;
use rustix::time::{ClockId, clock_gettime};
use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Polls of one operation that no device here needs.
const MOST_POLLS: u32 = 20_000;

/// Runs one operation to its end.
///
/// # Panics
///
/// If it does not get there: it waits for what never comes, or goes round for ever.
pub(crate) fn finish<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MOST_POLLS {
        if let Poll::Ready(output) = operation.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the device hangs");
}

/// A transfer buffer of so many bytes, with nothing else under way.
pub(crate) fn buffer(device: &DynDevice, length: u64) -> Buffer<'_> {
    let length = usize::try_from(length).expect("a length that memory can hold");
    finish(device.allocate_buffer(length)).expect("a buffer")
}

/// The device under test: a specimen of the zoo, or the real one.
pub(crate) enum Under {
    Real,
    Specimen(Keeper),
}

impl Subject for Under {
    type Device = DynDevice;

    fn begin(&self) {
        if let Self::Specimen(keeper) = self {
            keeper.begin();
        }
    }

    async fn open(
        &self,
        file: SimFile,
        spec: &DeviceSpec,
        buffers: Arc<BufferAllocator>,
    ) -> Result<DynDevice, DeviceError> {
        match self {
            Self::Real => Ok(DynDevice::new(FileBacked.open(file, spec, buffers).await?)),
            Self::Specimen(keeper) => keeper.open(file, spec, buffers).await,
        }
    }

    fn trim_effect(&self, spec: &DeviceSpec) -> TrimEffect {
        match self {
            Self::Real => FileBacked.trim_effect(spec),
            Self::Specimen(keeper) => keeper.trim_effect(spec),
        }
    }
}

/// A hunt for one bug by one tool. Its time is the processor's: a busy machine disturbs it little.
#[derive(Clone, Copy)]
pub(crate) struct Hunt {
    /// The real device where it is none.
    specimen: Option<&'static Specimen>,
    pub(crate) seed: u64,
    began: f64,
    budget: f64,
}

impl Hunt {
    /// A hunt that begins now and may take so many seconds.
    pub(crate) fn new(specimen: Option<&'static Specimen>, seed: u64, budget: f64) -> Self {
        Self { specimen, seed, began: seconds(), budget }
    }

    /// What is hunted.
    pub(crate) fn under(&self) -> Under {
        self.specimen.map_or(Under::Real, |specimen| Under::Specimen(specimen.subject()))
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
