//! What a device says of itself.

use super::*;
use crate::device::{DeviceError, FileBackedDevice};
use crate::disk::{SimFile, World};
use crate::model::TrimEffect;
use crate::scenario::decode;

/// Opens another device than it was asked for.
struct Other(fn(&mut DeviceSpec));

impl Subject for Other {
    type Device = FileBackedDevice<SimFile>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let mut spec = *spec;
        self.0(&mut spec);
        FileBacked.open(world, &spec).await
    }

    fn promises(&self) -> Promises {
        Promises::file_backed().trim(TrimEffect::Unspecified)
    }

    fn accepts(&self) -> Accepts {
        FileBacked.accepts()
    }
}

/// The verdict and the sentence, of a device of eight blocks that nothing is asked of.
fn says(other: fn(&mut DeviceSpec), read_only: bool) -> Option<(Kind, String)> {
    let mut scenario = decode(&[]);
    let device = &mut scenario.device;
    (device.block_count, device.file_length) = (8, 8 * u64::from(device.block_size));
    device.read_only = read_only;
    let report = Runner::new(Other(other), Medium::Memory).run(&scenario, Options::default());
    match report.unwrap().verdict {
        Verdict::Pass => None,
        Verdict::Diverged(it) => Some((it.violation.kind, it.violation.sentence)),
    }
}

#[test]
fn a_device_that_is_what_it_says_passes() {
    assert_eq!(says(|_| {}, false), None);
    assert_eq!(says(|_| {}, true), None);
}

#[test]
fn a_device_of_another_size_is_found_although_nothing_is_asked_of_it() {
    let sizes: [fn(&mut DeviceSpec); 3] = [
        |spec| spec.block_count -= 1,
        |spec| spec.block_count += 1,
        |spec| (spec.block_size, spec.block_count) = (2 * spec.block_size, spec.block_count / 2),
    ];
    for other in sizes {
        assert!(matches!(says(other, false), Some((Kind::Misdescribed, _))));
    }
    let (_, sentence) = says(sizes[0], false).unwrap();
    assert!(sentence.contains("7 blocks") && sentence.contains("opened with 8"), "{sentence}");
}

#[test]
fn a_device_that_is_not_as_writable_as_it_was_opened_is_found() {
    let (kind, sentence) = says(|spec| spec.read_only = true, false).unwrap();
    assert_eq!(kind, Kind::Misdescribed);
    assert!(sentence.ends_with("opened for writing, but reports itself read-only"), "{sentence}");
    let (kind, sentence) = says(|spec| spec.read_only = false, true).unwrap();
    assert_eq!(kind, Kind::Misdescribed);
    assert!(sentence.ends_with("but reports itself writable"), "{sentence}");
}
