//! Mistakes in how a device answers its users.

use super::Mistake;
use super::file::MistakenFile;
use blocktwin::device::{
    BufferFuture, BufferRef, Device, DeviceError, FileBackedDevice, Geometry, MutableBufferRef,
    WriteOptions,
};
use blocktwin::file::BackingFile;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What a sector may hold.
#[derive(Default)]
struct Held {
    contents: Vec<Vec<u8>>,
    /// What it held when the device was opened is among them.
    has_first: bool,
}

/// A device that makes a mistake, above or beneath.
pub(crate) struct MistakenDevice {
    inner: FileBackedDevice<MistakenFile>,
    mistake: Mistake,
    /// A flush has begun and not ended.
    flushing: AtomicBool,
    closed: AtomicBool,
    held: Mutex<BTreeMap<u64, Held>>,
    /// Trims in flight.
    trimming: AtomicU32,
}

impl MistakenDevice {
    pub(super) fn new(inner: FileBackedDevice<MistakenFile>, mistake: Mistake) -> Self {
        let [flushing, closed] = [(); 2].map(|()| AtomicBool::new(false));
        Self {
            inner,
            mistake,
            flushing,
            closed,
            held: Mutex::default(),
            trimming: AtomicU32::new(0),
        }
    }

    /// The sectors of a request.
    fn sectors<'d>(&self, offset: u64, data: &'d [u8]) -> impl Iterator<Item = (u64, &'d [u8])> {
        let size = self.inner.geometry().sector_size();
        (offset / u64::from(size)..).zip(data.chunks(size as usize))
    }

    /// Notes what sectors are about to hold.
    fn note(&self, offset: u64, data: &[u8]) {
        let mut held = self.held.lock().expect("no panic");
        for (sector, bytes) in self.sectors(offset, data) {
            held.entry(sector).or_default().contents.push(bytes.to_vec());
        }
    }

    /// Whether each sector holds what it held at first, or what was written to it.
    fn is_known(&self, offset: u64, data: &[u8]) -> bool {
        let mut held = self.held.lock().expect("no panic");
        let trimming = self.trimming.load(Ordering::Relaxed) > 0;
        self.sectors(offset, data).all(|(sector, bytes)| {
            let Held { contents, has_first } = held.entry(sector).or_default();
            if trimming || contents.iter().any(|content| content == bytes) {
                return true;
            }
            contents.push(bytes.to_vec());
            !std::mem::replace(has_first, true)
        })
    }

    /// Writes whole pairs of blocks.
    async fn write_pairs(
        &self,
        offset: u64,
        data: &[u8],
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        let geometry = self.inner.geometry();
        let range = geometry.check(offset, data.len() as u64)?;
        let pair = 2 * u64::from(geometry.block_size());
        let start = range.start / pair * pair;
        let end = range.end.next_multiple_of(pair).min(geometry.size());
        let place = |at: u64| usize::try_from(at - start).expect("in memory");
        let mut both = vec![0; place(end)];
        self.inner.read(start, (&mut both[..]).into()).await?;
        both[place(range.start)..place(range.end)].copy_from_slice(data);
        self.inner.write(start, both[..].into(), options).await
    }
}

impl Device for MistakenDevice {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        if self.mistake != Mistake::TakesSectorsForWhole {
            return self.inner.read(offset, buffer).await;
        }
        self.inner.read(offset, buffer.as_mut_slice().into()).await?;
        match self.is_known(offset, buffer.as_slice()) {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        if self.mistake == Mistake::WritesInPairs && !self.is_read_only() {
            return self.write_pairs(offset, buffer.as_slice(), options).await;
        }
        if self.mistake == Mistake::TakesSectorsForWhole {
            self.note(offset, buffer.as_slice());
            return self.inner.write(offset, buffer, options).await;
        }
        self.inner.write(offset, buffer, options).await
    }

    fn flush(&self) -> impl Future<Output = Result<(), DeviceError>> + Send {
        let is_made = self.mistake == Mistake::JoinsFlushesThatAreMade;
        let joins_one = is_made && self.flushing.swap(true, Ordering::Relaxed);
        async move {
            match self.mistake {
                _ if self.closed.load(Ordering::Relaxed) => self.inner.flush().await,
                Mistake::NeverFlushes => Ok(()),
                _ if joins_one => Ok(()),
                Mistake::JoinsFlushes if self.flushing.swap(true, Ordering::Relaxed) => Ok(()),
                Mistake::JoinsFlushes | Mistake::JoinsFlushesThatAreMade => {
                    let flushed = self.inner.flush().await;
                    self.flushing.store(false, Ordering::Relaxed);
                    flushed
                }
                Mistake::ForgetsFailedSync => match self.inner.flush().await {
                    Err(DeviceError::SyncFailed) => Ok(self.inner.file().sync_data().await?),
                    flushed => flushed,
                },
                _ => self.inner.flush().await,
            }
        }
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        match self.inner.barrier().await {
            Err(DeviceError::Io { .. }) if self.mistake == Mistake::IgnoresFailureOfBarrier => {
                Ok(())
            }
            done => done,
        }
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.trimming.fetch_add(1, Ordering::Relaxed);
        let trimmed = self.inner.trim(offset, length).await;
        self.held.lock().expect("no panic").clear();
        self.trimming.fetch_sub(1, Ordering::Relaxed);
        trimmed
    }

    async fn drain(&self) -> Result<(), DeviceError> {
        self.inner.drain().await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.closed.store(true, Ordering::Relaxed);
        self.inner.close().await
    }
}
