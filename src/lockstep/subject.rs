//! The device under test.

use crate::device::{BufferAllocator, Device, DeviceError, DeviceOptions, FileBackedDevice};
use crate::disk::SimFile;
use crate::model::TrimEffect;
use crate::scenario::{DeviceSpec, Trim};
use std::future::Future;
use std::sync::Arc;

/// How the device under test is opened: once at the start of a run, and after every crash.
///
/// # Example
///
/// Ten lines test a device of one's own:
///
/// ```
/// use blocktwin::device::{BufferAllocator, DeviceError, FileBackedDevice};
/// use blocktwin::disk::SimFile;
/// use blocktwin::lockstep::{Check, Subject};
/// use blocktwin::scenario::DeviceSpec;
/// use std::sync::Arc;
///
/// struct Mine;
///
/// impl Subject for Mine {
///     type Device = FileBackedDevice<SimFile>; // or whatever is a `Device`
///
///     async fn open(
///         &self,
///         file: SimFile,
///         spec: &DeviceSpec,
///         _: Arc<BufferAllocator>,
///     ) -> Result<Self::Device, DeviceError> {
///         FileBackedDevice::new_with_block_count(file, spec.block_size, spec.block_count)
///     }
/// }
///
/// let check = Check::new(Mine).seeds(0..20).adapt(|scenario| {
///     let device = &mut scenario.device;
///     // What the device above has.
///     (device.sector_size, device.heap, device.read_only) = (512, 32 << 20, false);
/// });
/// check.run();
/// ```
pub trait Subject {
    /// The device.
    type Device: Device;

    /// A run begins, on an empty disk: whatever this remembers is of another run.
    fn begin(&self) {}

    /// Opens it on `file`, as `spec` says. Buffers may come from `buffers`, which is as large as
    /// `spec` asks for and outlives the device.
    ///
    /// # Errors
    ///
    /// What the device answers; a failure of the file has to be surfaced like any other.
    fn open(
        &self,
        file: SimFile,
        spec: &DeviceSpec,
        buffers: Arc<BufferAllocator>,
    ) -> impl Future<Output = Result<Self::Device, DeviceError>>;

    /// What the device promises of what was trimmed. Unless it says otherwise, nothing.
    fn trim_effect(&self, _spec: &DeviceSpec) -> TrimEffect {
        TrimEffect::Unspecified
    }
}

/// The real one: [`FileBackedDevice`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FileBacked;

impl Subject for FileBacked {
    type Device = FileBackedDevice<SimFile>;

    async fn open(
        &self,
        file: SimFile,
        spec: &DeviceSpec,
        buffers: Arc<BufferAllocator>,
    ) -> Result<Self::Device, DeviceError> {
        let options = DeviceOptions::new(spec.block_size)
            .sector_size(spec.sector_size)
            .read_only(spec.read_only)
            .trim(spec.trim.into())
            .allocator(buffers);
        let whole = spec.geometry()?.size() == spec.file_length;
        let options = if whole { options } else { options.block_count(spec.block_count) };
        FileBackedDevice::with_options(file, options).await
    }

    /// As [`TrimMode`](crate::device::TrimMode) says.
    fn trim_effect(&self, spec: &DeviceSpec) -> TrimEffect {
        match spec.trim {
            Trim::Scribble => TrimEffect::Scribble,
            Trim::PunchHole => TrimEffect::Zeros,
            Trim::Ignore => TrimEffect::Nothing,
        }
    }
}
