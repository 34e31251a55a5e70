//! A device that gets the alignment of its file wrong.

use crate::device::{DeviceError, FileBackedDevice};
use crate::disk::{Medium, SimFile, World};
use crate::file::BackingFile;
use crate::lockstep::{Options, Runner, Subject, Verdict};
use crate::model::{Kind, Promises};
use crate::scenario::{DeviceSpec, Op, Scenario, Step, decode};
use std::io;

/// A file that does not tell what it has to be aligned to.
struct Silent(SimFile);

impl BackingFile for Silent {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset).await
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buffer, offset).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data().await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all().await
    }

    async fn len(&self) -> io::Result<u64> {
        self.0.len().await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.0.punch_hole(offset, length).await
    }
}

/// The real device in sectors of 512 bytes, over a disk with sectors of 4096.
struct TooSmall(Promises);

impl Subject for TooSmall {
    type Device = FileBackedDevice<Silent>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let options = spec.options().block_count(spec.block_count).allocator(world.heap());
        let file = Silent(world.disk()?.direct_aligned(4096));
        FileBackedDevice::with_options(file, options).await
    }

    fn promises(&self) -> Promises {
        self.0
    }
}

#[test]
fn an_alignment_that_the_device_gets_wrong_excuses_it_of_nothing_and_is_named() {
    for promises in [Promises::file_backed(), Promises::none()] {
        let write = Step::new(Op::write(0, 512));
        let scenario = Scenario { steps: vec![write], ..decode(&[]) };
        let mut runner = Runner::new(TooSmall(promises), Medium::Memory);
        let report = runner.run(&scenario, Options::default()).unwrap();
        let Verdict::Diverged(divergence) = report.verdict else { panic!("it should diverge") };
        assert_eq!((divergence.op, divergence.violation.kind), (1, Kind::SpuriousError));
        let named = "; the raw call pwrite of 512 bytes at 0 was not aligned to 4096 bytes: EINVAL";
        let sentence = divergence.violation.sentence;
        assert!(sentence.ends_with(named), "{sentence}");
    }
}

#[test]
fn the_real_device_asks_its_file_and_is_not_opened() {
    struct Asks;
    impl Subject for Asks {
        type Device = FileBackedDevice<SimFile>;

        async fn open(
            &self,
            world: &World,
            spec: &DeviceSpec,
        ) -> Result<Self::Device, DeviceError> {
            let options = spec.options().block_count(spec.block_count).allocator(world.heap());
            FileBackedDevice::with_options(world.disk()?.direct_aligned(4096), options).await
        }
    }
    let report = Runner::new(Asks, Medium::Memory).run(&decode(&[]), Options::default()).unwrap();
    let Verdict::Diverged(divergence) = report.verdict else { panic!("it should diverge") };
    let sentence = divergence.violation.sentence;
    assert!(sentence.contains("block size 512 is no multiple of 4096"), "{sentence}");
}
