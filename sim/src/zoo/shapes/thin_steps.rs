//! A thin file that grows in steps of several blocks, as database files and dynamic images do: a
//! write past its end extends it first, by whole steps. What was never written reads as zeros.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Shrunk,
    PastTheEnd,
    StraddlingRead,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        ThinSteps,
        "thin-steps",
        Legal,
        None,
        "database files with autogrow, dynamic images: set_len first, then write"
    ),
    device!(
        ThinSteps,
        "thin-steps-shrunk",
        Concurrency,
        Some(Bug::Shrunk),
        "two writers extend it at once, and the lesser length comes last: classic"
    ),
    device!(
        ThinSteps,
        "thin-steps-past-the-end",
        Bounds,
        Some(Bug::PastTheEnd),
        "the last step is a whole one, and the device ends before"
    ),
    device!(
        ThinSteps,
        "thin-steps-straddling-read",
        Bounds,
        Some(Bug::StraddlingRead),
        "a read across the end of the file is taken for one past it"
    ),
];

struct ThinSteps(Option<Bug>);

/// Blocks of a step.
const STEP: u64 = 4;

struct Thin {
    file: SimFile,
    /// Bytes of a step, and of the device.
    step: u64,
    size: u64,
    latch: Latch,
    /// Up to here the file has grown. Locked by whoever extends it.
    length: Mutex<u64>,
    bug: Option<Bug>,
}

impl Subject for ThinSteps {
    type Device = Shell<Thin>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Thin>, DeviceError> {
        let (file, latch) = (world.disk()?, Latch::default());
        let (step, size) = (STEP * u64::from(spec.block_size), spec.geometry()?.size());
        let length = Mutex::new(retry(|| file.len()).await?);
        let thin = Thin { file, step, size, latch: latch.clone(), length, bug: self.0 };
        Shell::new(thin, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().in_place().trim(TrimEffect::Nothing).contained().clean_close()
    }
}

impl Thin {
    /// Extends the file, so that `end` lies in it.
    async fn grow(&self, end: u64) -> Answer {
        let mut length = self.length.lock().await;
        if end <= *length {
            return Ok(());
        }
        let grown = match self.bug {
            Some(Bug::PastTheEnd) => end.next_multiple_of(self.step),
            _ => end.next_multiple_of(self.step).min(self.size),
        };
        if self.bug == Some(Bug::Shrunk) {
            drop(length);
            retry(|| self.file.set_len(grown)).await?;
            length = self.length.lock().await;
        } else {
            retry(|| self.file.set_len(grown)).await?;
        }
        *length = grown;
        Ok(())
    }
}

impl Store for Thin {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let end = offset + data.len() as u64;
        if self.bug == Some(Bug::StraddlingRead) && end > *self.length.lock().await {
            data.fill(0);
            return Ok(());
        }
        read_full(&self.file, data, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        self.grow(offset + data.len() as u64).await?;
        write_full(&self.file, data, offset).await
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }
}
