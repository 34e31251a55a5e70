//! What happens while the device is opened.

use super::*;
use crate::device::{DeviceError, FileBackedDevice};
use crate::disk::{CrashPolicy, Fault, FaultKind, SimFile, World};
use crate::file::BackingFile;
use crate::model::Promises;
use crate::scenario::{DeviceSpec, Op, Step, decode};
use std::io::ErrorKind;

/// The real device, over a file that is synced first: what a killed process has left is durable
/// then.
struct SyncsFirst;

impl Subject for SyncsFirst {
    type Device = FileBackedDevice<SimFile>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let file = world.disk()?;
        loop {
            match file.sync_data().await {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                synced => break synced?,
            }
        }
        let options = spec.options().block_count(spec.block_count).allocator(world.heap());
        FileBackedDevice::with_options(file, options).await
    }

    fn promises(&self) -> Promises {
        Promises::file_backed()
    }
}

/// The kernel tells of a failed write-back once: here to an opening, which fails. The next one's
/// sync succeeds, and no device can know that the data is lost.
#[test]
fn a_sync_that_fails_in_an_opening_has_failed() {
    let fault = Fault { call: 0, kind: FaultKind::WritebackFailed };
    let mut scenario = decode(&[]);
    scenario.steps = vec![
        Step { faults: vec![fault], ..Step::new(Op::write(0, 512)) },
        Step::new(Op::Crash(CrashPolicy::Kill)),
        Step::new(Op::Flush),
        Step::new(Op::Crash(CrashPolicy::None)),
    ];
    passes(&mut Runner::new(SyncsFirst, Medium::Memory), &scenario);
}

#[test]
fn a_device_that_syncs_when_it_is_opened_is_right() {
    let mut runner = Runner::new(SyncsFirst, Medium::Memory);
    for profile in [Profile::Default, Profile::Durability] {
        (0..5000).for_each(|seed| drop(passes(&mut runner, &generate(seed, profile))));
    }
}
