//! A trim punches a hole, as VMMs do for `discard=unmap`, and the loop driver for every discard.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, lock, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use std::sync::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Batched,
    WholePagesOnly,
    AnyErrorIsUnsupported,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        TrimByHole,
        "trim-by-hole",
        Legal,
        None,
        "discard=unmap, and the loop driver: fallocate(2) punches a hole"
    ),
    device!(
        TrimByHole,
        "trim-by-hole-batched",
        Bounds,
        Some(Bug::Batched),
        "discards collected until the next flush, which erase what was written since"
    ),
    device!(
        TrimByHole,
        "hole-of-whole-pages",
        Bounds,
        Some(Bug::WholePagesOnly),
        "zeroing by discard, but for the ends that are not aligned: classic"
    ),
    device!(
        TrimByHole,
        "hole-error-is-unsupported",
        Loud,
        Some(Bug::AnyErrorIsUnsupported),
        "EOPNOTSUPP may be ignored, and with it every other errno is"
    ),
];

/// What a file system allocates at once, in bytes.
const PAGE: u64 = 4096;

struct TrimByHole(Option<Bug>);

struct Punched {
    file: SimFile,
    latch: Latch,
    /// Holes that are yet to be punched: only a bug has any.
    batch: Mutex<Vec<(u64, u64)>>,
    bug: Option<Bug>,
}

impl Subject for TrimByHole {
    type Device = Shell<Punched>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Punched>, DeviceError> {
        let (file, latch, batch) = (world.disk()?, Latch::default(), Mutex::default());
        Shell::new(Punched { file, latch: latch.clone(), batch, bug: self.0 }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        let trim = match self.0 {
            Some(Bug::Batched) => TrimEffect::Unspecified,
            _ => TrimEffect::Zeros,
        };
        Promises::none().in_place().trim(trim).contained().clean_close()
    }
}

impl Punched {
    async fn punch(&self, offset: u64, length: u64) -> Answer {
        match retry(|| self.file.punch_hole(offset, length)).await {
            Err(_) if self.bug == Some(Bug::AnyErrorIsUnsupported) => Ok(()),
            done => Ok(done?),
        }
    }
}

impl Store for Punched {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        read_full(&self.file, data, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        write_full(&self.file, data, offset).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        match self.bug {
            Some(Bug::Batched) => lock(&self.batch).push((offset, length)),
            Some(Bug::WholePagesOnly) => {
                let start = offset.next_multiple_of(PAGE);
                let end = (offset + length) / PAGE * PAGE;
                if start < end {
                    self.punch(start, end - start).await?;
                }
            }
            _ => self.punch(offset, length).await?,
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let batch = std::mem::take(&mut *lock(&self.batch));
        for (offset, length) in batch {
            self.punch(offset, length).await?;
        }
        self.latch.sync(&self.file).await
    }
}
