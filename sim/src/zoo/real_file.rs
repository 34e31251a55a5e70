//! Legal devices over a real file of their own: the device and the file that run in production.
//!
//! No fault reaches that file, and a crash leaves in it whatever was written.

use blocktwin::device::{
    BufferAllocator, Device, DeviceError, DeviceOptions, DynDevice, FileBackedDevice, TrimMode,
};
use blocktwin::file::BackingFile;
use blocktwin::scenario::DeviceSpec;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The file is opened by its name, and locked.
    ByName,
    /// The file stays in hand, and the device has a share in it.
    InHand,
}

/// Where Linux has files as sparse and as large as any device, or else the usual place.
fn directory() -> std::path::PathBuf {
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() { shared_memory.into() } else { std::env::temp_dir() }
}

/// A new file as long as the scenario says, which is gone when the last handle is.
pub(super) async fn create(spec: &DeviceSpec) -> io::Result<Arc<File>> {
    let file = Arc::new(tempfile::tempfile_in(directory())?);
    file.set_len(spec.file_length).await?;
    file.sync_all().await?;
    Ok(file)
}

/// Opens the device.
///
/// # Panics
///
/// If it is not what was asked for, or can be had twice.
pub(super) async fn open(
    way: Way,
    file: &Arc<File>,
    spec: &DeviceSpec,
    buffers: BufferAllocator,
) -> Result<DynDevice, DeviceError> {
    let options = spec.options();
    let geometry = spec.geometry()?;
    let is_whole = file.len().await? == geometry.size();
    let options = if is_whole { options } else { options.block_count(spec.block_count) };
    let device = match way {
        Way::ByName => by_name(file, options.transfer_heap(spec.heap as usize))?,
        Way::InHand if !is_usual(spec) => {
            let options = options.allocator(buffers);
            let device = FileBackedDevice::with_options(Arc::clone(file), options).await?;
            assert!(Arc::ptr_eq(device.file(), file));
            DynDevice::new(device)
        }
        Way::InHand if is_whole => {
            DynDevice::new(FileBackedDevice::new(Arc::clone(file), spec.block_size).await?)
        }
        Way::InHand => {
            let (block_size, block_count) = (spec.block_size, spec.block_count);
            let file = Arc::clone(file);
            DynDevice::new(FileBackedDevice::new_with_block_count(file, block_size, block_count)?)
        }
    };
    assert_eq!((device.geometry(), device.is_read_only()), (geometry, spec.read_only));
    Ok(device)
}

/// Whether a device is so that nothing has to be said of it but its size.
fn is_usual(spec: &DeviceSpec) -> bool {
    let heap = spec.heap as usize == DeviceOptions::DEFAULT_TRANSFER_HEAP;
    let trim = TrimMode::from(spec.trim) == TrimMode::default();
    heap && trim && spec.sector_size == 512 && !spec.read_only
}

/// The one writer: whoever opens it once more is refused (clause 11).
fn by_name(file: &File, options: DeviceOptions) -> Result<DynDevice, DeviceError> {
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let device = FileBackedDevice::open(&name, options.clone())?;
    let again = FileBackedDevice::open(&name, options.read_only(false));
    assert_eq!(again.err().map(|it| it.error()), Some(DeviceError::Locked), "opened twice");
    Ok(DynDevice::new(device))
}
