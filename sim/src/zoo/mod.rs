//! The zoo: devices that are wrong in one way each, and legal ones that are unusual.
//!
//! Each differs from the real device in one [`Variant`]. Most stand around the real device or
//! between it and its file; what happens inside its loops is planted in [`plain`]. All of it is
//! made of the library's public parts only.
//!
//! **Invariant:** a variant is one behaviour. Everything else about the device keeps the contract,
//! which the legal devices show that stand on the same code.

mod bounds;
mod cache;
mod calls;
mod catalogue;
mod contention;
mod drains;
mod fair_lock;
mod files;
mod headers;
mod limits;
mod memory;
mod plain;
mod real_file;
mod sequences;
mod shapes;
mod syncs;
mod vectored;
mod wrapper;
mod write_back;
mod zeroes;

pub(crate) use catalogue::{catalogue, find};

use blocktwin::device::{BufferAllocator, DeviceError, DynDevice, FileBackedDevice};
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::{DynSubject, FileBacked, Subject};
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec, Trim};
use memory::Memory;
use std::sync::{Arc, Mutex, PoisonError};
use wrapper::DeviceAdapter;

/// What a device does wrong, or differently.
#[derive(Clone, Copy, Debug)]
enum Variant {
    Calls(calls::Bug),
    Syncs(syncs::Bug),
    Bounds(bounds::Bug),
    Contention(contention::Bug),
    FairLock(Option<fair_lock::Bug>),
    Headers(headers::Bug),
    Limits(limits::Bug),
    Cache(Option<cache::Bug>),
    WriteBack(Option<write_back::Bug>),
    Plain(Option<plain::Bug>),
    Sequences(sequences::Bug),
    Zeroes(zeroes::Bug),
    Drains(drains::Bug),
    Vectored(vectored::Bug),
    /// A real file of its own, and not the simulated one.
    RealFile(real_file::Way),
    /// The file is opened for direct I/O, aligned to a sector.
    Direct,
    /// Trims punch holes, whatever the scenario says.
    PunchHole,
    /// The size of the file at each opening but the first is taken for the size of the device.
    SizeFromFile,
    /// The file is made as long as the device at each opening.
    SizedAtOpen,
    /// A device of another shape, in a file of its own.
    Shape(fn() -> Box<dyn DynSubject>),
    /// A crash leaves the lock behind.
    LockOutlivesCrash,
}

/// What a bug is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Durability,
    Ordering,
    ShortIo,
    Transient,
    Loud,
    Bounds,
    Caching,
    Concurrency,
    Reopen,
    Silent,
    /// No bug at all.
    Legal,
}

impl Class {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Durability => "durability",
            Self::Ordering => "ordering",
            Self::ShortIo => "short-io",
            Self::Transient => "transient",
            Self::Loud => "loud",
            Self::Bounds => "bounds",
            Self::Caching => "caching",
            Self::Concurrency => "concurrency",
            Self::Reopen => "reopen",
            Self::Silent => "silent",
            Self::Legal => "legal",
        }
    }
}

/// A device of the zoo.
#[derive(Debug)]
pub(crate) struct ZooDevice {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    /// Where it was seen, in one line.
    pub(crate) origin: &'static str,
    variant: Variant,
}

impl ZooDevice {
    pub(crate) fn is_bug(&self) -> bool {
        self.class != Class::Legal
    }

    /// Whether it keeps its data in a real file of its own, so that nothing in its world happens to
    /// it.
    pub(crate) fn leaves_world(&self) -> bool {
        matches!(self.variant, Variant::RealFile(_))
    }

    /// How to open it.
    pub(crate) fn subject(&self) -> BugSubject {
        let shape = if let Variant::Shape(make) = self.variant { Some(make()) } else { None };
        BugSubject { variant: self.variant, shape, memory: Mutex::default() }
    }
}

/// A device of the zoo, to be tested.
pub(crate) struct BugSubject {
    variant: Variant,
    /// A device that has a file of its own here.
    shape: Option<Box<dyn DynSubject>>,
    /// Of the run under way.
    memory: Mutex<Arc<Memory>>,
}

impl BugSubject {
    fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the scenario asks for, but for the variant.
    async fn spec(
        &self,
        file: &SimFile,
        spec: &DeviceSpec,
        memory: &Memory,
    ) -> Result<DeviceSpec, DeviceError> {
        let mut spec = *spec;
        match self.variant {
            Variant::PunchHole => spec.trim = Trim::PunchHole,
            Variant::Bounds(bounds::Bug::ReadOnlyIgnored) => spec.read_only = false,
            Variant::SizeFromFile if memory.is_reopened() => {
                spec.block_count = file.len().await?.div_ceil(u64::from(spec.block_size)).max(1);
            }
            _ => {}
        }
        Ok(spec)
    }

    /// The real device, over calls that may be wrong.
    async fn real(
        &self,
        file: SimFile,
        spec: &DeviceSpec,
        buffers: BufferAllocator,
        memory: &Arc<Memory>,
    ) -> Result<DynDevice, DeviceError> {
        let bug = if let Variant::Calls(bug) = self.variant { Some(bug) } else { None };
        let calls = calls::Calls::new(file, bug, spec.sector_size, Arc::clone(memory));
        let options = spec.options().block_count(spec.block_count).allocator(buffers);
        Ok(DynDevice::new(FileBackedDevice::with_options(calls, options).await?))
    }
}

impl Subject for BugSubject {
    type Device = DynDevice;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        if let Some(shape) = &self.shape {
            return shape.create_dyn(world, spec).await;
        }
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        FileBacked.create(world, spec).await
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<DynDevice, DeviceError> {
        if let Some(shape) = &self.shape {
            return shape.open_dyn(world, spec).await;
        }
        let (memory, buffers) = (self.memory(), world.heap());
        if matches!(self.variant, Variant::LockOutlivesCrash) && memory.is_open() {
            return Err(DeviceError::Locked);
        }
        if let Variant::RealFile(way) = self.variant {
            return real_file::open(way, memory.file(spec).await?, spec, buffers).await;
        }
        let mut file = world.disk()?;
        if matches!(self.variant, Variant::Direct) {
            file = file.direct();
        }
        let spec = &self.spec(&file, spec, &memory).await?;
        if matches!(self.variant, Variant::SizedAtOpen) && !spec.read_only {
            files::retry(|| file.set_len(spec.block_count * u64::from(spec.block_size))).await?;
        }
        if let Variant::Plain(bug) = self.variant {
            return Ok(DynDevice::new(plain::Plain::open(file, spec, buffers, bug).await?));
        }
        let beneath = file.clone();
        let inner = self.real(file, spec, buffers.clone(), &memory).await?;
        memory.opened();
        let inner = DynDevice::new(DeviceAdapter(memory::OpenLog::new(inner, Arc::clone(&memory))));
        Ok(match self.variant {
            Variant::Syncs(bug) => wrap(syncs::Syncs::new(inner, bug, memory)),
            Variant::Bounds(bug) => wrap(bounds::Bounds::new(inner, bug)),
            Variant::Contention(bug) => wrap(contention::Contention::new(inner, bug, buffers)),
            Variant::FairLock(bug) => wrap(fair_lock::InTurn::new(inner, bug)),
            Variant::Headers(bug) => wrap(headers::Headers::new(inner, bug, memory)),
            Variant::Limits(bug) => wrap(limits::Limits::new(inner, bug)),
            Variant::Cache(bug) => wrap(cache::Cache::new(inner, bug, memory)),
            Variant::WriteBack(bug) => wrap(write_back::WriteBack::new(inner, bug)),
            Variant::Sequences(bug) => wrap(sequences::Sequences::new(inner, bug)),
            Variant::Vectored(bug) => DynDevice::new(vectored::Vectored::new(inner, beneath, bug)),
            Variant::Drains(bug) => DynDevice::new(drains::Drains::new(inner, bug)),
            Variant::Zeroes(bug) => DynDevice::new(zeroes::Zeroes::new(inner, bug)),
            _ => inner,
        })
    }

    fn promises(&self) -> Promises {
        if let Some(shape) = &self.shape {
            return shape.promises_dyn();
        }
        let trim = match self.variant {
            Variant::PunchHole => TrimEffect::Zeros,
            // What a device holds that has yet to be trimmed is nothing to rely on.
            Variant::Bounds(bounds::Bug::TrimDelayed) => TrimEffect::Unspecified,
            _ => TrimEffect::AsAsked,
        };
        // Not a clean close: these devices do not wait for the requests that they pass on.
        let promises = Promises::none().own_calls().in_place().contained().trim(trim);
        if matches!(self.variant, Variant::Drains(_)) { promises.drains() } else { promises }
    }

    fn accepts(&self) -> Accepts {
        if let Some(shape) = &self.shape {
            return shape.accepts_dyn();
        }
        // What a used file of the world holds, a file of its own does not.
        let own_file = matches!(self.variant, Variant::RealFile(_));
        // The real device goes on after an odd count, which is no aligned place where the file has
        // grown since. So it needs a file that is whole.
        let whole = matches!(self.variant, Variant::Direct);
        FileBacked.accepts().used_files(!own_file).short_files(!whole)
    }
}

fn wrap(device: impl wrapper::Wrapper + 'static) -> DynDevice {
    DynDevice::new(DeviceAdapter(device))
}
