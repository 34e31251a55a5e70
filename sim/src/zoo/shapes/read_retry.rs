//! A failed read is tried again up to three times before its error is surfaced, as Linux does for
//! SCSI disks, and InnoDB for its pages.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use std::io::ErrorKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    KeepsShortRead,
    FromStart,
    OutOfTries,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        ReadRetry,
        "read-retry",
        Legal,
        None,
        "the sd driver, InnoDB: a read that fails is tried again a few times"
    ),
    device!(
        ReadRetry,
        "read-retry-keeps-short-read",
        ShortIo,
        Some(Bug::KeepsShortRead),
        "a retry after a short read that takes what came first for all: classic"
    ),
    device!(
        ReadRetry,
        "read-retry-from-start",
        ShortIo,
        Some(Bug::FromStart),
        "a retry begins at the first byte of the file's range, in the midst of the buffer"
    ),
    device!(
        ReadRetry,
        "read-retry-out-of-tries",
        Loud,
        Some(Bug::OutOfTries),
        "a loop that ends when there are no tries left, and nobody asks why it ended"
    ),
];

struct ReadRetry(Option<Bug>);

/// A read is tried again so often.
const RETRIES: u32 = 3;

struct Retried {
    file: SimFile,
    latch: Latch,
    bug: Option<Bug>,
}

impl Subject for ReadRetry {
    type Device = Shell<Retried>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Retried>, DeviceError> {
        let (file, latch) = (world.disk()?, Latch::default());
        Shell::new(Retried { file, latch: latch.clone(), bug: self.0 }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().in_place().trim(TrimEffect::Nothing).contained().clean_close()
    }
}

impl Store for Retried {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let (mut done, mut tries, mut start) = (0, 0, offset);
        while done < data.len() {
            match self.file.read_at(&mut data[done..], start + done as u64).await {
                Ok(0) => {
                    data[done..].fill(0);
                    break;
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if done > 0 && self.bug == Some(Bug::KeepsShortRead) => break,
                Err(_) if tries < RETRIES => {
                    tries += 1;
                    if self.bug == Some(Bug::FromStart) {
                        start = offset.saturating_sub(done as u64);
                    }
                }
                Err(_) if self.bug == Some(Bug::OutOfTries) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        write_full(&self.file, data, offset).await
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }
}
