//! All sectors of a request are written at once, as a striped or replicated back end scatters them,
//! or one that gives each page of a request to `join_all`.
//!
//! Where the kernel has stopped inside a sector, that sector is written from its first byte again;
//! and once more if that is refused, each for itself.

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
use futures::future::{join_all, try_join_all};
use std::io::ErrorKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    GivesUp,
    ErrorCancelsOthers,
    LastAnswerOnly,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Parallel,
        "sectors-in-parallel",
        Legal,
        None,
        "scatter and gather: every sector of a request is a write of its own"
    ),
    device!(
        Parallel,
        "parallel-gives-up",
        ShortIo,
        Some(Bug::GivesUp),
        "a last attempt for the first sector of a request, and not for each that is torn"
    ),
    device!(
        Parallel,
        "parallel-error-cancels-others",
        ShortIo,
        Some(Bug::ErrorCancelsOthers),
        "`try_join_all` drops the other writes at the first error, in their midst"
    ),
    device!(
        Parallel,
        "parallel-last-answer-only",
        Loud,
        Some(Bug::LastAnswerOnly),
        "each completion overwrites the status of the request: classic"
    ),
];

struct Parallel(Option<Bug>);

struct Sectors {
    disk: InPlace,
    bug: Option<Bug>,
}

impl Sectors {
    async fn write_sector(&self, offset: u64, data: &[u8], is_first: bool) -> Answer {
        let (mut torn, mut stuck) = (false, 0);
        let failure = loop {
            match self.disk.file.write_at(data, offset).await {
                Ok(0) => break DeviceError::WriteZero,
                Ok(count) if count == data.len() => return Ok(()),
                Ok(count) if stuck == STUCK_LIMIT => {
                    let (rest, at) = (&data[count..], offset + count as u64);
                    break why_stuck(&self.disk.file, rest, at).await;
                }
                Ok(_) => (torn, stuck) = (true, stuck + 1),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.into(),
            }
        };
        if torn && (is_first || self.bug != Some(Bug::GivesUp)) {
            self.try_once_more(offset, data).await;
        }
        Err(failure)
    }

    /// Until it is whole, refused or stuck.
    async fn try_once_more(&self, offset: u64, data: &[u8]) {
        for _ in 0..STUCK_LIMIT {
            match self.disk.file.write_at(data, offset).await {
                Ok(count) if count > 0 && count < data.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

impl Store for Sectors {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        self.disk.read(offset, data).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let offsets = (offset..).step_by(self.disk.sector);
        let writes = offsets
            .zip(data.chunks(self.disk.sector))
            .map(|(at, sector)| self.write_sector(at, sector, at == offset));
        if self.bug == Some(Bug::ErrorCancelsOthers) {
            return try_join_all(writes).await.map(drop);
        }
        let mut answers = join_all(writes).await;
        if self.bug == Some(Bug::LastAnswerOnly) {
            return answers.pop().unwrap_or(Ok(()));
        }
        answers.into_iter().collect()
    }

    async fn flush(&self) -> Answer {
        self.disk.sync().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.disk.trim_by(offset, length, |offset, data| self.write(offset, data)).await
    }
}

impl Subject for Parallel {
    type Device = Shell<Sectors>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Sectors>, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let latch = disk.latch.clone();
        Shell::new(Sectors { disk, bug: self.0 }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained().own_calls()
    }

    fn accepts(&self) -> Accepts {
        Accepts::file_backed()
    }
}
