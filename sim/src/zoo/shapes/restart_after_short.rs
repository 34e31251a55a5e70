//! A short write begins the whole request anew, as where a request is handed to a library call that
//! only knows "all written" and "not all written": `fwrite`, a retry loop around a whole job.
//!
//! What was written by the attempt before is written over. A request that the kernel has stopped
//! inside a sector, and then refuses, is tried once more as a whole: that covers the torn sector.

use super::in_place::{self, InPlace};
use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{STUCK_LIMIT, why_stuck};
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::{Accepts, DeviceSpec};
use std::io::ErrorKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    WrongOffset,
    CountsEveryAttempt,
    GivesUp,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Restart,
        "restart-after-short",
        Legal,
        None,
        "a job that is retried as a whole when not all of it was written"
    ),
    device!(
        Restart,
        "restart-at-wrong-offset",
        ShortIo,
        Some(Bug::WrongOffset),
        "the data begins anew and the offset goes on: classic"
    ),
    device!(
        Restart,
        "restart-counts-every-attempt",
        ShortIo,
        Some(Bug::CountsEveryAttempt),
        "bytes of all attempts are added up until there are enough: classic"
    ),
    device!(
        Restart,
        "restart-gives-up",
        ShortIo,
        Some(Bug::GivesUp),
        "an error after a short write leaves a sector torn"
    ),
];

struct Restart(Option<Bug>);

struct Data {
    disk: InPlace,
    bug: Option<Bug>,
}

impl Data {
    /// Writes `data` in one call, which begins anew until the kernel seems to be stuck. Tells
    /// whether one was short.
    async fn attempt(&self, offset: u64, data: &[u8], short: &mut bool) -> Answer {
        let (mut skipped, mut total, mut attempts) = (0, 0, 0);
        loop {
            match self.disk.file.write_at(data, offset + skipped).await {
                Ok(0) => return Err(DeviceError::WriteZero),
                Ok(count) if count == data.len() => return Ok(()),
                Ok(count) if attempts == STUCK_LIMIT => {
                    *short = false;
                    let at = offset + skipped + count as u64;
                    return Err(why_stuck(&self.disk.file, &data[count..], at).await);
                }
                Ok(count) => {
                    *short = true;
                    attempts += 1;
                    total += count;
                    if self.bug == Some(Bug::WrongOffset) {
                        skipped += count as u64;
                    }
                    if self.bug == Some(Bug::CountsEveryAttempt) && total >= data.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Store for Data {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        self.disk.read(offset, data).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let mut short = false;
        let answer = self.attempt(offset, data, &mut short).await;
        // Once more, as long as that leaves another sector torn. What it answers is not the answer
        // to give: what failed has failed.
        while answer.is_err() && short && self.bug != Some(Bug::GivesUp) {
            short = false;
            if self.attempt(offset, data, &mut short).await.is_ok() {
                break;
            }
        }
        answer
    }

    async fn flush(&self) -> Answer {
        self.disk.sync().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.disk.trim_by(offset, length, |offset, data| self.write(offset, data)).await
    }
}

impl Subject for Restart {
    type Device = Shell<Data>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Data>, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let latch = disk.latch.clone();
        Shell::new(Data { disk, bug: self.0 }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained().own_calls()
    }

    fn accepts(&self) -> Accepts {
        Accepts::file_backed()
    }
}
