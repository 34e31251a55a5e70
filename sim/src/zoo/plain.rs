//! A device over a file, written anew in as few lines as do, for bugs inside its loops.

use super::files::{DeafLatch, Latch, STUCK_LIMIT, retry, why_stuck};
use super::wrapper::Answer;
use blocktwin::device::{
    BufferAllocator, BufferFuture, BufferRef, Device, DeviceError, Geometry, MutableBufferRef,
    WriteOptions,
};
use blocktwin::disk::SimFile;
use blocktwin::file::BackingFile;
use blocktwin::scenario::{DeviceSpec, Trim};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    WriteResumedFromStart,
    WriteResumedInSector,
    WriteResumedPastSector,
    NoLastAttempt,
    StuckIsDone,
    ReadResumedAtStart,
    EintrLoopsForever,
    FailedSyncForgotten,
    FailedSyncUnheard,
    WritesGoOnAfterFailedSync,
    SyncsUnserialised,
    EndOfFileIsError,
    EndOfFileNotZeroed,
    ZerosSkipped,
    ZerosBySample,
    ZerosAsTrim,
    UnchangedNotSynced,
}

pub(super) struct Plain {
    file: SimFile,
    bug: Option<Bug>,
    spec: DeviceSpec,
    geometry: Geometry,
    heap: BufferAllocator,
    closed: AtomicBool,
    latch: Latch,
    /// In its place, where the bug is in there.
    deaf: DeafLatch,
}

impl Plain {
    pub(super) async fn open(
        file: SimFile,
        spec: &DeviceSpec,
        heap: BufferAllocator,
        bug: Option<Bug>,
    ) -> Result<Self, DeviceError> {
        // Nothing needs the length, but a file that cannot tell it is better noticed now.
        file.len().await?;
        let (geometry, closed) = (spec.geometry()?, AtomicBool::new(false));
        let (latch, deaf) = (Latch::default(), DeafLatch::default());
        Ok(Self { file, bug, spec: *spec, geometry, heap, closed, latch, deaf })
    }

    fn check_open(&self) -> Answer {
        if self.closed.load(Ordering::Relaxed) { Err(DeviceError::Closed) } else { Ok(()) }
    }

    fn check_sync(&self) -> Answer {
        self.latch.check()?;
        self.deaf.check()
    }

    fn admit_change(&self, offset: u64, length: u64) -> Result<Range<u64>, DeviceError> {
        self.check_open()?;
        let range = self.geometry.check(offset, length)?;
        if self.spec.read_only {
            return Err(DeviceError::ReadOnly);
        }
        if self.bug != Some(Bug::WritesGoOnAfterFailedSync) {
            self.check_sync()?;
        }
        Ok(range)
    }

    fn sector(&self) -> usize {
        self.spec.sector_size as usize
    }

    async fn sync(&self) -> Answer {
        match self.bug {
            Some(Bug::FailedSyncForgotten) => Ok(retry(|| self.file.sync_data()).await?),
            Some(Bug::FailedSyncUnheard) => self.deaf.sync(&self.file).await,
            Some(Bug::SyncsUnserialised) => self.deaf.sync_at_once(&self.file).await,
            _ => self.latch.sync(&self.file).await,
        }
    }

    async fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        if self.bug != Some(Bug::EintrLoopsForever) {
            return retry(|| self.file.write_at(data, offset)).await;
        }
        let mut left = data;
        loop {
            match self.file.write_at(left, offset).await {
                // What is left to write is forgotten, and "nothing written" taken for a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => left = &[],
                Ok(0) if left.is_empty() => {}
                done => return done,
            }
        }
    }

    async fn write_all(&self, offset: u64, data: &[u8]) -> Answer {
        let (mut done, mut end, mut stuck) = (0, 0, 0);
        while done < data.len() {
            let from = if self.bug == Some(Bug::WriteResumedFromStart) { 0 } else { done };
            let left = &data[from..from + (data.len() - done)];
            let failure = match self.write_at(left, offset + done as u64).await {
                Ok(0) => DeviceError::WriteZero,
                Ok(_) if stuck == STUCK_LIMIT && self.bug == Some(Bug::StuckIsDone) => break,
                Ok(count) if stuck == STUCK_LIMIT => {
                    end = done + count;
                    why_stuck(&self.file, &data[end..], offset + end as u64).await
                }
                Ok(count) => {
                    let before = done;
                    end = done + count;
                    done = match self.bug {
                        Some(Bug::WriteResumedInSector) => end,
                        Some(Bug::WriteResumedPastSector) => end.next_multiple_of(self.sector()),
                        _ => end - end % self.sector(),
                    };
                    stuck = if done == before { stuck + 1 } else { 0 };
                    continue;
                }
                Err(error) => error.into(),
            };
            if end > done && self.bug != Some(Bug::NoLastAttempt) {
                self.finish_sector(&data[done..done + self.sector()], offset + done as u64).await;
            }
            return Err(failure);
        }
        Ok(())
    }

    /// Does a write in another way than by writing its data; whether that has done it.
    async fn elide(&self, offset: u64, data: &[u8]) -> Result<bool, DeviceError> {
        let is_zeros = || data.iter().all(|&byte| byte == 0) && !data.is_empty();
        match self.bug {
            // The file was sparse when it was made.
            Some(Bug::ZerosSkipped) => Ok(is_zeros()),
            Some(Bug::ZerosBySample) if data.starts_with(&[0; 512]) => {
                self.write_all(offset, &vec![0; data.len()]).await.map(|()| true)
            }
            Some(Bug::ZerosAsTrim) if is_zeros() => {
                self.trim(offset, data.len() as u64).await.map(|()| true)
            }
            Some(Bug::UnchangedNotSynced) => {
                let mut held = vec![0; data.len()];
                self.read_all(offset, &mut held).await?;
                Ok(held == data)
            }
            _ => Ok(false),
        }
    }

    /// One more attempt at the sector that is torn, until it is whole, refused or stuck. A failure
    /// in here is not the one to report.
    async fn finish_sector(&self, sector: &[u8], offset: u64) {
        for _ in 0..STUCK_LIMIT {
            let written = self.write_at(sector, offset).await;
            if !written.is_ok_and(|count| (1..sector.len()).contains(&count)) {
                return;
            }
        }
    }

    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset).await {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    async fn read_all(&self, offset: u64, buffer: &mut [u8]) -> Answer {
        let mut done = 0;
        while done < buffer.len() {
            let to = if self.bug == Some(Bug::ReadResumedAtStart) { 0 } else { done };
            let left = buffer.len() - done;
            let count = self.read_at(&mut buffer[to..to + left], offset + done as u64).await?;
            if count == 0 {
                return self.end_early(&mut buffer[done..]);
            }
            done += count;
        }
        Ok(())
    }

    /// What the file lacks is zero.
    fn end_early(&self, rest: &mut [u8]) -> Answer {
        match self.bug {
            Some(Bug::EndOfFileIsError) => Err(DeviceError::UnexpectedEof),
            Some(Bug::EndOfFileNotZeroed) => Ok(()),
            _ => {
                rest.fill(0);
                Ok(())
            }
        }
    }
}

impl Device for Plain {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn is_read_only(&self) -> bool {
        self.spec.read_only
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.heap.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Answer {
        self.check_open()?;
        self.geometry.check(offset, buffer.len() as u64)?;
        self.read_all(offset, buffer.as_mut_slice()).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        self.admit_change(offset, buffer.len() as u64)?;
        if self.elide(offset, buffer.as_slice()).await? {
            return Ok(());
        }
        self.write_all(offset, buffer.as_slice()).await?;
        if options.fua && !buffer.is_empty() { self.sync().await } else { Ok(()) }
    }

    async fn flush(&self) -> Answer {
        self.check_open()?;
        self.sync().await
    }

    async fn barrier(&self) -> Answer {
        self.flush().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let range = self.admit_change(offset, length)?;
        let (block, mut at) = (u64::from(self.spec.block_size), range.start);
        if range.is_empty() || self.spec.trim == Trim::Ignore {
            return Ok(());
        }
        if self.spec.trim == Trim::PunchHole {
            return Ok(retry(|| self.file.punch_hole(offset, length)).await?);
        }
        let scribble = vec![0xab; self.spec.block_size as usize];
        while at < range.end {
            self.write_all(at, &scribble).await?;
            at += block;
        }
        Ok(())
    }

    async fn close(&self) -> Answer {
        self.closed.store(true, Ordering::Relaxed);
        self.sync().await
    }
}
