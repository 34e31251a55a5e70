//! A mistake of the harness is told from one of the device.

use super::*;
use crate::device::{DeviceError, FileBackedDevice};
use crate::disk::{SimFile, World};
use crate::lockstep::{RunError, check};
use crate::model::Promises;
use crate::scenario::DeviceSpec;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a device with this makes the harness panic, or panics itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    InRawCall,
    InRawCallOfTask,
    InDevice,
    Nowhere,
}

struct Breaks(Where);

impl Subject for Breaks {
    type Device = FileBackedDevice<SimFile>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        match self.0 {
            Where::InRawCall => drop(world.broken_call().await),
            Where::InRawCallOfTask => {
                let in_task = world.clone();
                drop(world.spawn("clumsy", async move { in_task.broken_call().await }).await);
            }
            Where::InDevice => panic!("the device is clumsy"),
            Where::Nowhere => {}
        }
        FileBacked.open(world, spec).await
    }
}

fn scenario() -> Scenario {
    generate(1, Profile::Default)
}

#[track_caller]
fn broken(runner: &mut Runner<Breaks>, scenario: &Scenario) -> String {
    match quietly(|| runner.run(scenario, Options::default())) {
        Err(error @ RunError::Broken(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_in_a_raw_call_is_the_harness_s() {
    for place in [Where::InRawCall, Where::InRawCallOfTask] {
        let said = broken(&mut Runner::new(Breaks(place), Medium::Memory), &scenario());
        let head = "the harness itself is broken, which says nothing about the device: \
                    something is believed that is not so, at src/disk/world.rs:";
        assert!(said.starts_with(head) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_panic_in_the_device_is_the_device_s() {
    let report = quietly(|| {
        Runner::new(Breaks(Where::InDevice), Medium::Memory).run(&scenario(), Options::default())
    });
    assert_eq!(report.unwrap().verdict.kind(), Some(Kind::Panic));
}

/// Says what it promises once, when the runner is made.
struct PromisesOnce(AtomicBool);

impl Subject for PromisesOnce {
    type Device = FileBackedDevice<SimFile>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        FileBacked.open(world, spec).await
    }

    fn promises(&self) -> Promises {
        assert!(!self.0.swap(true, Ordering::Relaxed), "left:\n  no more promises");
        Promises::file_backed()
    }
}

#[test]
fn a_panic_outside_of_the_device_is_not_the_device_s() {
    let mut runner = Runner::new(PromisesOnce(AtomicBool::new(false)), Medium::Memory);
    let run = quietly(|| runner.run(&scenario(), Options::default()));
    let Err(RunError::Broken(said)) = run else { panic!("{run:?}") };
    assert!(said.starts_with("left: no more promises, at src/lockstep/tests/broken.rs:"), "{said}");
}

#[test]
fn after_a_mistake_everything_is_made_anew() {
    let mut runner = Runner::new(Breaks(Where::InRawCall), Medium::Memory);
    broken(&mut runner, &scenario());
    runner.subject = Breaks(Where::Nowhere);
    let after = runner.run(&scenario(), Options::default()).unwrap();
    let mut fresh = Runner::new(Breaks(Where::Nowhere), Medium::Memory);
    assert_eq!(after.digest, fresh.run(&scenario(), Options::default()).unwrap().digest);
}

#[test]
#[should_panic(expected = "seed 0 was not run: the harness itself is broken")]
fn a_check_names_the_seed() {
    quietly(|| check(Breaks(Where::InRawCall)));
}
