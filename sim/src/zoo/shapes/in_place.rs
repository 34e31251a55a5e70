//! Blocks in place in one file, and what requests do to them.

use super::shell::{Answer, Store};
use crate::zoo::files::{Latch, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{DeviceSpec, Trim};
use std::future::Future;

/// Scribbling goes by so many bytes at a time.
static SCRIBBLE: [u8; 1 << 16] = [0xab; 1 << 16];

/// What every device in place promises that closes cleanly.
pub(super) fn promises() -> Promises {
    Promises::none().in_place().trim(TrimEffect::AsAsked).clean_close()
}

/// The file of a device that keeps block *n* at byte *n* × block size.
#[derive(Clone)]
pub(super) struct InPlace<F = SimFile> {
    pub(super) file: F,
    pub(super) latch: Latch,
    trim: Trim,
    /// Bytes of a sector.
    pub(super) sector: usize,
}

impl InPlace {
    pub(super) fn open(world: &World, spec: &DeviceSpec) -> Result<Self, DeviceError> {
        Ok(Self::new(world.disk()?, spec))
    }
}

impl<F: BackingFile + Clone> InPlace<F> {
    pub(super) fn new(file: F, spec: &DeviceSpec) -> Self {
        Self { file, latch: Latch::default(), trim: spec.trim, sector: spec.sector_size as usize }
    }

    pub(super) async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        read_full(&self.file, data, offset).await
    }

    pub(super) async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        write_full(&self.file, data, offset).await
    }

    pub(super) async fn sync(&self) -> Answer {
        self.latch.sync(&self.file).await
    }

    /// Trims as the scenario asks for; `write` scribbles.
    pub(super) async fn trim_by<W>(
        &self,
        mut offset: u64,
        length: u64,
        write: impl Fn(u64, &'static [u8]) -> W + Send,
    ) -> Answer
    where
        W: Future<Output = Answer> + Send,
    {
        let end = offset + length;
        match self.trim {
            Trim::Ignore => {}
            Trim::PunchHole => retry(|| self.file.punch_hole(offset, length)).await?,
            Trim::Scribble => {
                while offset < end {
                    let count = (end - offset).min(SCRIBBLE.len() as u64);
                    let Ok(bytes) = usize::try_from(count) else { unreachable!("at most 64 KiB") };
                    write(offset, &SCRIBBLE[..bytes]).await?;
                    offset += count;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.trim_by(offset, length, |offset, data| self.write(offset, data)).await
    }

    pub(super) async fn perform(&self, request: &Request) -> Performed {
        match request {
            Request::Read { offset, length } => {
                let mut data = vec![0; *length];
                self.read(*offset, &mut data).await?;
                return Ok(data);
            }
            Request::Write { offset, data } => self.write(*offset, data).await?,
            Request::Trim { offset, length } => self.trim(*offset, *length).await?,
            Request::Sync => self.sync().await?,
        }
        Ok(Vec::new())
    }
}

/// What was read, or nothing.
pub(super) type Performed = Result<Vec<u8>, DeviceError>;

/// A request that whoever makes its raw calls can own.
#[derive(Debug)]
pub(super) enum Request {
    Read { offset: u64, length: usize },
    Write { offset: u64, data: Vec<u8> },
    Trim { offset: u64, length: u64 },
    Sync,
}

/// Where requests are handed over, and answered by somebody else.
pub(super) trait Queue: Send + Sync {
    /// Waits until the request was performed.
    fn submit(&self, request: Request) -> impl Future<Output = Performed> + Send;

    /// [`Store::close`]
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A store all of whose requests go through a queue.
pub(super) struct Queued<Q>(pub(super) Q);

impl<Q: Queue> Store for Queued<Q> {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let read = self.0.submit(Request::Read { offset, length: data.len() }).await?;
        data.copy_from_slice(&read);
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        self.0.submit(Request::Write { offset, data: data.to_vec() }).await.map(drop)
    }

    async fn flush(&self) -> Answer {
        self.0.submit(Request::Sync).await.map(drop)
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.0.submit(Request::Trim { offset, length }).await.map(drop)
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
