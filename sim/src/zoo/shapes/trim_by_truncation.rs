//! A trim that reaches the end of the device cuts the file there and extends it again, as loop
//! devices and image tools do where a file system cannot punch holes. Elsewhere it writes zeros.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    CutsGrowth,
    Rounded,
    ErrorSwallowed,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        TrimByTruncation,
        "trim-by-truncation",
        Legal,
        None,
        "a tail cut off and put on again: ftruncate(2) twice gives back space everywhere"
    ),
    device!(
        TrimByTruncation,
        "truncation-cuts-growth",
        Concurrency,
        Some(Bug::CutsGrowth),
        "the file has grown since its length was asked for: check, then act"
    ),
    device!(
        TrimByTruncation,
        "truncation-rounded",
        Bounds,
        Some(Bug::Rounded),
        "the cut is rounded up to a page, and what lies before it stays as it was"
    ),
    device!(
        TrimByTruncation,
        "truncation-error-swallowed",
        Loud,
        Some(Bug::ErrorSwallowed),
        "a discard is only advice, and so is its errno"
    ),
];

struct TrimByTruncation(Option<Bug>);

/// Zeros are written so many at a time, at most.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

struct Truncated {
    file: SimFile,
    size: u64,
    latch: Latch,
    bug: Option<Bug>,
}

impl Subject for TrimByTruncation {
    type Device = Shell<Truncated>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let (file, size, latch) = (world.disk()?, spec.geometry()?.size(), Latch::default());
        let truncated = Truncated { file, size, latch: latch.clone(), bug: self.0 };
        Shell::new(truncated, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().in_place().trim(TrimEffect::Zeros).contained().clean_close()
    }

    /// Of small devices, as zeros are written.
    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=256).block_sizes(..=4096)
    }
}

impl Truncated {
    async fn set_len(&self, length: u64) -> Answer {
        match retry(|| self.file.set_len(length)).await {
            Err(_) if self.bug == Some(Bug::ErrorSwallowed) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Whether everything from the end of this range on reads as zeros, and may be cut.
    async fn is_tail(&self, end: u64) -> Result<bool, DeviceError> {
        if self.bug == Some(Bug::CutsGrowth) {
            return Ok(end >= retry(|| self.file.len()).await?);
        }
        Ok(end == self.size)
    }
}

impl Store for Truncated {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        read_full(&self.file, data, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        write_full(&self.file, data, offset).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let end = offset + length;
        if self.is_tail(end).await? {
            let cut = match self.bug {
                Some(Bug::Rounded) => offset.next_multiple_of(4096).min(self.size),
                _ => offset,
            };
            self.set_len(cut).await?;
            return self.set_len(self.size).await;
        }
        let mut at = offset;
        while at < end {
            let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.len());
            write_full(&self.file, &ZEROS[..count], at).await?;
            at += count as u64;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }
}
