//! The model device as a subject: it keeps its data in memory, and one small raw call of each
//! request says whether the request fails. What fails here are reads, writes and trims; failed
//! syncs are checked in `model::tests::model_device::lockstep`, where the twin can learn of one at
//! the moment when it happens.

use super::*;
use crate::device::{BufferFuture, BufferRef, Device, DeviceError, MutableBufferRef, WriteOptions};
use crate::disk::{FaultClass, SimFile, World};
use crate::file::BackingFile;
use crate::model::{Failure, Keep, ModelDevice, ModelOptions, Weak};
use crate::rng::{Purpose, Rng};
use crate::scenario::{Accepts, generate_for};
use std::sync::Mutex;

/// The machine: the device outlives the handles that are opened on it.
struct Machine {
    seed: u64,
    /// A flush orders, and makes nothing durable.
    flush_only_orders: bool,
    now: Mutex<Option<Power>>,
}

struct Power {
    device: ModelDevice,
    /// Opened together with the device: it outlives a restart, and no power failure.
    file: Option<SimFile>,
    /// Decides what crashes leave.
    rng: Rng,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { seed, flush_only_orders: false, now: Mutex::new(None) }
    }
}

impl Subject for Machine {
    type Device = Handle;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        let options = ModelOptions { seed: self.seed, weak: Weak::ALL };
        let device = ModelDevice::with_options(spec.geometry()?, options);
        let rng = Rng::new(self.seed, Purpose::Crash);
        *self.now.lock().unwrap() = Some(Power { device, file: None, rng });
        world.create("disk").await.map(drop).map_err(DeviceError::from)
    }

    async fn open(&self, world: &World, _: &DeviceSpec) -> Result<Handle, DeviceError> {
        let before = self.now.lock().unwrap().as_ref().and_then(|power| power.file.clone());
        let has_failed = match before {
            None => false,
            Some(file) => match file.len().await {
                Ok(_) => false,
                Err(error) if error.raw_os_error().is_none() => true,
                Err(error) => return Err(error.into()),
            },
        };
        let file = world.disk()?;
        let mut now = self.now.lock().unwrap();
        let power = now.as_mut().expect("created");
        if has_failed {
            let seed = power.rng.next_u64();
            let keep = [Keep::All, Keep::None, Keep::Random(seed), Keep::Runs(seed)];
            let one =
                [Keep::NewestKept, Keep::NewestLost, Keep::OneKept(seed), Keep::OneLost(seed)];
            let all: Vec<Keep> = keep.into_iter().chain(one).chain([Keep::Mask(seed)]).collect();
            power.device.crash_with(*power.rng.pick(&all));
        } else {
            power.device.restart();
        }
        power.file = Some(file.clone());
        let (device, heap) = (power.device.clone(), world.heap());
        Ok(Handle { device, file, heap, flush_only_orders: self.flush_only_orders })
    }

    fn accepts(&self) -> Accepts {
        let syncs = [
            FaultClass::SyncFailedKept,
            FaultClass::SyncFailedDropped,
            FaultClass::SyncFailedPartly,
            FaultClass::WritebackFailed,
        ];
        Accepts::anything().read_only(false).without_faults(&syncs)
    }
}

struct Handle {
    device: ModelDevice,
    file: SimFile,
    heap: BufferAllocator,
    flush_only_orders: bool,
}

impl Handle {
    /// The next request has the failure that a raw call had.
    fn fail<T>(&self, raw: io::Result<T>, failure: impl FnOnce(i32) -> Failure) {
        let failed = raw.err().filter(|error| error.kind() != io::ErrorKind::Interrupted);
        if let Some(errno) = failed.and_then(|error| error.raw_os_error()) {
            let _ = self.device.fail_at(self.device.requests(), failure(errno));
        }
    }
}

impl Device for Handle {
    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.heap.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        self.fail(self.file.read_at(&mut [0; 512], 0).await, Failure::Read);
        self.device.read(offset, buffer).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        self.fail(self.file.write_at(&[1; 512], 0).await, Failure::Write);
        self.device.write(offset, buffer, options).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        if self.flush_only_orders {
            return self.device.barrier().await;
        }
        self.device.flush().await
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        self.device.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.fail(self.file.punch_hole(0, 512).await, Failure::Trim);
        self.device.trim(offset, length).await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.device.close().await
    }
}

/// Runs the scenario of a seed on a machine of its own.
fn run_one(seed: u64, profile: Profile, flush_only_orders: bool) -> Report {
    let machine = Machine { flush_only_orders, ..Machine::new(seed) };
    let scenario = generate_for(seed, profile, &scenarios_for(&machine));
    Runner::new(machine, Medium::Memory).run(&scenario, Options::default()).unwrap()
}

#[test]
fn the_model_device_agrees_with_its_twin() {
    let mut stats = Stats::default();
    for seed in 0..250 {
        for profile in Profile::ALL {
            let report = run_one(seed, profile, false);
            assert_eq!(report.verdict, Verdict::Pass, "seed {seed}, {profile:?}");
            stats.add(&report.stats);
        }
    }
    // A check that cannot fail is none.
    let met = |class: FaultClass| stats.faults_of(class).consequential;
    let classes = [FaultClass::Eio, FaultClass::Enospc, FaultClass::Dropped, FaultClass::Crash];
    assert!(classes.into_iter().all(|class| met(class) > 10), "{stats:?}");
}

#[test]
fn a_model_device_that_loses_what_was_flushed_is_found() {
    let kinds = (0..50).filter_map(|seed| run_one(seed, Profile::Durability, true).verdict.kind());
    assert!(kinds.into_iter().any(|kind| kind == Kind::DurabilityLost));
}
