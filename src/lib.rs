//! Deterministic simulation testing for block storage.
//!
//! blocktwin runs a **real block device** and its **in-memory twin** in lockstep, under a seeded
//! single-threaded executor, while it injects faults beneath the device and crashes it at any
//! point. After every operation the two are compared. A run is a pure function of its scenario: the
//! same scenario gives the same trace, byte for byte, on every machine.
//!
//! It finds the bugs that disks in virtual machine monitors, databases and image tools have
//! shipped: flushes that never sync, barriers that order nothing, trims that outrun their range,
//! failed syncs that are retried into data loss. And it names them in one sentence.
//!
//! # Your own device
//!
//! Tell blocktwin how to open your device. This is the whole test:
//!
//! ```
//! use blocktwin::device::{DeviceError, DeviceOptions, FileBackedDevice};
//! use blocktwin::disk::{SimFile, World};
//! use blocktwin::lockstep::{Subject, check};
//! use blocktwin::scenario::DeviceSpec;
//!
//! struct Mine;
//!
//! impl Subject for Mine {
//!     type Device = FileBackedDevice<SimFile>; // yours: whatever implements `Device`
//!
//!     async fn open(
//!         &self,
//!         world: &World,
//!         spec: &DeviceSpec,
//!     ) -> Result<Self::Device, DeviceError> {
//!         let options = DeviceOptions::new(spec.block_size)
//!             .sector_size(spec.sector_size)
//!             .block_count(spec.block_count)
//!             .read_only(spec.read_only)
//!             .allocator(world.heap());
//!         FileBackedDevice::with_options(world.disk()?, options).await
//!     }
//! }
//!
//! check(Mine); // in a `#[test]`
//! ```
//!
//! The [`guide`] has five devices to copy from, among them one with a header, one with a background
//! task and one with two files, and a page on
//! [what your device has to keep and what you may waive](guide::contract).
//!
//! # A device with a bug
//!
//! A flush that forgets to sync, in a device that is otherwise the real one:
//!
//! ```
//! use blocktwin::device::{
//!     BufferFuture, BufferRef, Device, DeviceError, FileBackedDevice, Geometry, MutableBufferRef,
//!     WriteOptions,
//! };
//! use blocktwin::disk::{Medium, SimFile, World};
//! use blocktwin::lockstep::{FileBacked, Options, Runner, Subject};
//! use blocktwin::model::Kind;
//! use blocktwin::scenario::{DeviceSpec, Profile, generate};
//!
//! struct Forgetful(FileBackedDevice<SimFile>);
//!
//! impl Device for Forgetful {
//!     async fn flush(&self) -> Result<(), DeviceError> {
//!         Ok(()) // "it is only a cache"
//!     }
//!     // The rest is as it should be.
//! #     fn geometry(&self) -> Geometry { self.0.geometry() }
//! #     fn is_read_only(&self) -> bool { self.0.is_read_only() }
//! #     fn allocate_buffer(&self, size: usize) -> BufferFuture {
//! #         self.0.allocate_buffer(size)
//! #     }
//! #     async fn read(
//! #         &self,
//! #         offset: u64,
//! #         buffer: MutableBufferRef<'_>,
//! #     ) -> Result<(), DeviceError> {
//! #         self.0.read(offset, buffer).await
//! #     }
//! #     async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions)
//! #         -> Result<(), DeviceError> { self.0.write(offset, buffer, options).await }
//! #     async fn barrier(&self) -> Result<(), DeviceError> { self.0.barrier().await }
//! #     async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
//! #         self.0.trim(offset, length).await
//! #     }
//! #     async fn close(&self) -> Result<(), DeviceError> { self.0.close().await }
//! }
//!
//! struct Bug;
//!
//! impl Subject for Bug {
//!     type Device = Forgetful;
//!
//!     async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Forgetful, DeviceError> {
//!         FileBacked.open(world, spec).await.map(Forgetful)
//!     }
//! }
//!
//! let mut runner = Runner::new(Bug, Medium::Memory);
//! let kinds = (0..100).filter_map(|seed| {
//!     let scenario = generate(seed, Profile::Durability);
//!     runner.run(&scenario, Options::default()).unwrap().verdict.kind()
//! });
//! assert!(kinds.into_iter().any(|kind| kind == Kind::DurabilityLost));
//! ```
//!
//! # Where things are
//!
//! | module | holds |
//! |---|---|
//! | [`guide`] | how to test a device of your own: five examples, and the contract in plain words |
//! | [`mod@file`] | the positional calls a device makes on a file; files that do not block |
//! | [`device`] | the contract of a block device, and the real one, [`FileBackedDevice`] |
//! | [`model`] | the twin: for every sector, what is legal; a device in memory for code above one |
//! | [`exec`] | the seeded executor |
//! | [`disk`] | the simulated world: files, faults, unsynced writes, crashes, tasks and time |
//! | [`scenario`] | a whole run as plain data: from seeds, and as text |
//! | [`lockstep`] | running a scenario to its verdict |
//! | [`rng`] | the project's own randomness |
//!
//! [`FileBackedDevice`]: device::FileBackedDevice

pub mod device;
pub mod disk;
pub mod exec;
pub mod file;
pub mod guide;
pub mod lockstep;
pub mod model;
pub mod rng;
pub mod scenario;

mod sparse;

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
