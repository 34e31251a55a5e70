//! The zoo: devices that are wrong in one way each, and legal ones that are unusual.
//!
//! Each differs from the real device in one [`Quirk`]. Most stand around the real device or between
//! it and its file; what happens inside its loops is planted in [`plain`]. All of it is made of the
//! library's public parts only.
//!
//! **Invariant:** a quirk is one behaviour. Everything else about the device keeps the contract,
//! which the legal specimens show that stand on the same code.

mod around;
mod bounds;
mod cache;
mod calls;
mod catalogue;
mod contention;
mod headers;
mod memory;
mod plain;
mod real_file;
mod sequences;
mod syncs;
mod write_back;

pub(crate) use catalogue::{CATALOGUE, find};

use around::Wrapped;
use blocktwin::device::{BufferAllocator, DeviceError, DeviceOptions, DynDevice, FileBackedDevice};
use blocktwin::disk::SimFile;
use blocktwin::file::BackingFile;
use blocktwin::lockstep::{FileBacked, Subject};
use blocktwin::model::TrimEffect;
use blocktwin::scenario::{DeviceSpec, Trim};
use memory::Memory;
use std::sync::{Arc, Mutex, PoisonError};

/// What a device does wrong, or differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quirk {
    Calls(calls::Bug),
    Syncs(syncs::Bug),
    Bounds(bounds::Bug),
    Contention(contention::Bug),
    Headers(headers::Bug),
    Cache(Option<cache::Bug>),
    WriteBack(Option<write_back::Bug>),
    Plain(Option<plain::Bug>),
    Sequences(sequences::Bug),
    /// A real file of its own, and not the simulated one.
    RealFile(real_file::Way),
    /// Trims punch holes, whatever the scenario says.
    PunchHole,
    /// The size of the file at each opening but the first is taken for the size of the device.
    SizeFromFile,
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
pub(crate) struct Specimen {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    /// Where it was seen, in one line.
    pub(crate) origin: &'static str,
    quirk: Quirk,
}

impl Specimen {
    pub(crate) fn is_bug(&self) -> bool {
        self.class != Class::Legal
    }

    /// How to open it.
    pub(crate) fn subject(&self) -> Keeper {
        Keeper { quirk: self.quirk, memory: Mutex::default() }
    }
}

/// Opens a specimen.
pub(crate) struct Keeper {
    quirk: Quirk,
    /// Of the run under way.
    memory: Mutex<Arc<Memory>>,
}

impl Keeper {
    fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the scenario asks for, but for the quirk.
    async fn spec(
        &self,
        file: &SimFile,
        spec: &DeviceSpec,
        memory: &Memory,
    ) -> Result<DeviceSpec, DeviceError> {
        let mut spec = *spec;
        match self.quirk {
            Quirk::PunchHole => spec.trim = Trim::PunchHole,
            Quirk::Bounds(bounds::Bug::ReadOnlyIgnored) => spec.read_only = false,
            Quirk::SizeFromFile if memory.is_reopened() => {
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
        buffers: Arc<BufferAllocator>,
        memory: &Arc<Memory>,
    ) -> Result<DynDevice, DeviceError> {
        let bug = if let Quirk::Calls(bug) = self.quirk { Some(bug) } else { None };
        let calls = calls::Calls::new(file, bug, spec.sector_size, Arc::clone(memory));
        let options = DeviceOptions::new(spec.block_size)
            .sector_size(spec.sector_size)
            .read_only(spec.read_only)
            .trim(spec.trim.into())
            .block_count(spec.block_count)
            .allocator(buffers);
        Ok(DynDevice::new(FileBackedDevice::with_options(calls, options).await?))
    }
}

impl Subject for Keeper {
    type Device = DynDevice;

    fn begin(&self) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    async fn open(
        &self,
        file: SimFile,
        spec: &DeviceSpec,
        buffers: Arc<BufferAllocator>,
    ) -> Result<DynDevice, DeviceError> {
        let memory = self.memory();
        if self.quirk == Quirk::LockOutlivesCrash && memory.is_open() {
            return Err(DeviceError::Locked);
        }
        if let Quirk::RealFile(way) = self.quirk {
            return real_file::open(way, memory.file(spec).await?, spec, buffers).await;
        }
        let spec = &self.spec(&file, spec, &memory).await?;
        if let Quirk::Plain(bug) = self.quirk {
            return Ok(DynDevice::new(plain::Plain::open(file, spec, buffers, bug).await?));
        }
        let inner = self.real(file, spec, Arc::clone(&buffers), &memory).await?;
        memory.opened();
        let inner = DynDevice::new(Wrapped(memory::Diary::new(inner, Arc::clone(&memory))));
        Ok(match self.quirk {
            Quirk::Syncs(bug) => wrap(syncs::Syncs::new(inner, bug, memory)),
            Quirk::Bounds(bug) => wrap(bounds::Bounds::new(inner, bug)),
            Quirk::Contention(bug) => wrap(contention::Contention::new(inner, bug, buffers)),
            Quirk::Headers(bug) => wrap(headers::Headers::new(inner, bug, memory)),
            Quirk::Cache(bug) => wrap(cache::Cache::new(inner, bug, memory)),
            Quirk::WriteBack(bug) => wrap(write_back::WriteBack::new(inner, bug)),
            Quirk::Sequences(bug) => wrap(sequences::Sequences::new(inner, bug)),
            _ => inner,
        })
    }

    fn trim_effect(&self, spec: &DeviceSpec) -> TrimEffect {
        match self.quirk {
            Quirk::PunchHole => TrimEffect::Zeros,
            // What a device holds that has yet to be trimmed is nothing to rely on.
            Quirk::Bounds(bounds::Bug::TrimDelayed) => TrimEffect::Unspecified,
            _ => FileBacked.trim_effect(spec),
        }
    }
}

fn wrap(device: impl around::Around + 'static) -> DynDevice {
    DynDevice::new(Wrapped(device))
}
