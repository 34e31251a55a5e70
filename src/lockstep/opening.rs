//! What the device answers to being opened.

use crate::device::{Device, DeviceError};
use crate::model::{Kind, Violation};
use crate::scenario::DeviceSpec;

/// An opening may fail only as the file did.
pub(super) fn judge_opening(
    failed: Option<&DeviceError>,
    errors: &[DeviceError],
) -> Result<(), Violation> {
    match (failed, errors.first()) {
        (None, None) => Ok(()),
        (Some(error), _) if errors.contains(error) => Ok(()),
        (None, Some(error)) => Err(Violation::new(
            Kind::ErrorSwallowed,
            format!("the device was opened although the file had failed: {error}"),
        )),
        (Some(error), None) => Err(Violation::new(
            Kind::SpuriousError,
            format!("the device could not be opened: {error}"),
        )),
        (Some(error), Some(_)) => Err(Violation::new(
            Kind::WrongError,
            format!("the device could not be opened, with the wrong error: {error}"),
        )),
    }
}

/// The device has to be the one that was asked for.
pub(super) fn judge_description(device: &impl Device, spec: &DeviceSpec) -> Result<(), Violation> {
    let wrong = |sentence| Err(Violation::new(Kind::Misdescribed, sentence));
    let (is, asked) = (device.geometry(), spec.geometry());
    if asked != Ok(is) {
        let (sector, block, count) = (is.sector_size(), is.block_size(), is.block_count());
        let DeviceSpec { sector_size, block_size, block_count, .. } = spec;
        return wrong(format!(
            "the device says that it has {count} blocks of {block} bytes and sectors of {sector}; \
             it was opened with {block_count} of {block_size} and {sector_size}"
        ));
    }
    if device.is_read_only() != spec.read_only {
        let (asked, says) = match spec.read_only {
            true => ("for reading only", "can be written"),
            false => ("for writing", "is read-only"),
        };
        return wrong(format!("the device was opened {asked}, and says that it {says}"));
    }
    Ok(())
}
