//! What the device answers to being opened.

use crate::device::{Device, DeviceError};
use crate::model::{Evidence, Kind, Promises, Violation};
use crate::scenario::DeviceSpec;

/// An opening may fail only as the files did, and touches nothing past the device. Of a device that
/// makes its own calls it also has to fail.
pub(super) fn judge_opening(
    failed: Option<DeviceError>,
    evidence: &Evidence<'_>,
    promises: &Promises,
) -> Result<(), Violation> {
    let Evidence { errors, causes, owed, harmed, escaped, .. } = *evidence;
    if let Some(at) = escaped {
        let sentence =
            format!("opening the device touched byte {at} of the file, past the end of the device");
        return Err(Violation::new(Kind::RangeEscaped, sentence));
    }
    let all = errors.iter().chain(owed).chain(causes.iter().map(|cause| &cause.error));
    let first = all.clone().next().copied();
    match failed {
        None => match errors.first() {
            Some(error) if promises.own_calls => Err(Violation::new(
                Kind::ErrorSwallowed,
                format!("the device was opened although {error}"),
            )),
            _ => Ok(()),
        },
        Some(_) if harmed && promises.integrity => Ok(()),
        Some(error) if all.clone().any(|it| *it == error) => Ok(()),
        Some(error) if let Some(due) = first => Err(Violation::new(
            Kind::WrongError,
            format!("the device could not be opened, with the wrong error: {error}; it was: {due}"),
        )),
        Some(error) => Err(Violation::new(
            Kind::SpuriousError,
            format!("the device could not be opened, and no fault explains it: {error}"),
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
        let (opened, says) = match spec.read_only {
            true => ("opened read-only", "writable"),
            false => ("opened for writing", "read-only"),
        };
        return wrong(format!("the device was {opened}, but reports itself {says}"));
    }
    Ok(())
}
