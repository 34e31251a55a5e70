//! A device that gets the alignment of its file wrong.

use crate::device::{DeviceError, FileBackedDevice};
use crate::disk::{Medium, SimFile, World};
use crate::lockstep::{Options, Runner, Subject, Verdict};
use crate::model::{Kind, Promises};
use crate::scenario::{DeviceSpec, Op, Scenario, Step, decode};

/// The real device in sectors of 512 bytes, over a disk with sectors of 4096.
struct TooSmall(Promises);

impl Subject for TooSmall {
    type Device = FileBackedDevice<SimFile>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let options = spec.options().block_count(spec.block_count).allocator(world.heap());
        FileBackedDevice::with_options(world.disk()?.direct_aligned(4096), options).await
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
