//! The real device over files that are no better than Linux, in ways of their own.

use crate::device::{DeviceError, FileBackedDevice};
use crate::disk::{SimFile, World};
use crate::exec::yield_now;
use crate::file::BackingFile;
use crate::lockstep::{Check, Subject};
use crate::model::Promises;
use crate::scenario::DeviceSpec;
use std::future::Future;
use std::io;

/// What a file does in its own way.
#[derive(Clone, Copy)]
enum Way {
    /// A sync answers one poll after it has taken effect, and may be dropped in between.
    AnswersLater,
    /// A read copies in two halves, and others go ahead in between.
    ReadsInHalves,
}

struct Wrapped(SimFile, Way);

impl BackingFile for Wrapped {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let half = buffer.len() / 2;
        match self.1 {
            Way::ReadsInHalves if half > 0 => {
                let first = self.0.read_at(&mut buffer[..half], offset).await?;
                if first < half {
                    return Ok(first);
                }
                yield_now().await;
                Ok(half + self.0.read_at(&mut buffer[half..], offset + half as u64).await?)
            }
            _ => self.0.read_at(buffer, offset).await,
        }
    }

    fn write_at(
        &self,
        buffer: &[u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        self.0.write_at(buffer, offset)
    }

    async fn sync_data(&self) -> io::Result<()> {
        let answer = self.0.sync_data().await;
        if let Way::AnswersLater = self.1 {
            yield_now().await;
        }
        answer
    }

    fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.sync_data()
    }

    fn len(&self) -> impl Future<Output = io::Result<u64>> + Send {
        self.0.len()
    }

    fn set_len(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        self.0.set_len(length)
    }

    fn punch_hole(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        self.0.punch_hole(offset, length)
    }
}

impl Subject for Way {
    type Device = FileBackedDevice<Wrapped>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let options = spec.options().block_count(spec.block_count).allocator(world.heap());
        FileBackedDevice::with_options(Wrapped(world.disk()?, *self), options).await
    }

    fn promises(&self) -> Promises {
        Promises::file_backed()
    }
}

/// How many scenarios: 1,000, or as many as `BLOCKTWIN_SCENARIOS` asks for.
fn scenarios() -> u64 {
    let asked = std::env::var("BLOCKTWIN_SCENARIOS").ok().and_then(|it| it.parse().ok());
    asked.unwrap_or(1_000)
}

#[test]
fn syncs_that_answer_later_lose_nothing() {
    Check::new(Way::AnswersLater).seeds(0..scenarios()).run();
}

#[test]
fn reads_in_halves_are_no_mistake() {
    Check::new(Way::ReadsInHalves).seeds(0..scenarios()).run();
}
