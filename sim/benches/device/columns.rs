//! The columns: who makes the requests.

use crate::cells::{Cell, Kind, Walk};
use anyhow::Context;
use blocktwin::device::{
    BufferRef, Device, DeviceOptions, FileBackedDevice, MutableBufferRef, WriteOptions,
};
use blocktwin::file::BackingFile;
use futures::executor::block_on;
#[cfg(any(feature = "blocking", feature = "io-uring"))]
use futures::stream::{FuturesUnordered, StreamExt};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, OnceLock};

/// What memory is aligned to, for all alike.
const PAGE: usize = 4096;

/// The file, and the devices over it.
pub(crate) struct Stand {
    path: PathBuf,
    length: u64,
    /// Of all columns, so that none has memory that is faster to copy.
    memory: Vec<u8>,
    bare: File,
    file: FileBackedDevice<File>,
    #[cfg(feature = "blocking")]
    pool: FileBackedDevice<blocktwin::file::PoolFile>,
    /// `None` where the kernel has no ring.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    ring: Option<FileBackedDevice<blocktwin::file::RingFile>>,
}

impl Stand {
    pub(crate) fn new(dir: &Path, length: u64) -> anyhow::Result<Self> {
        let path = dir.join("device.img");
        let bare = File::options().read(true).write(true).create_new(true).open(&path)?;
        let piece = vec![0x5a; 1 << 20];
        for offset in (0..length).step_by(piece.len()) {
            bare.write_all_at(&piece, offset).context("the file has no room")?;
        }
        bare.sync_all()?;
        let reopen = || File::options().read(true).write(true).open(&path);
        Ok(Self {
            length,
            memory: vec![0x5a; (32 << 20) + PAGE],
            file: over(reopen()?)?,
            #[cfg(feature = "blocking")]
            pool: over(blocktwin::file::PoolFile::new(reopen()?))?,
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            ring: blocktwin::file::RingFile::new(reopen()?).ok().map(over).transpose()?,
            bare,
            path,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// System calls, one at a time on as many threads as the row is deep.
    pub(crate) fn bare(&mut self, cell: Cell, seconds: f64) -> anyhow::Result<f64> {
        let (bare, length) = (&self.bare, self.length);
        threads(cell, seconds, pieces(&mut self.memory, cell), |number, memory, end| {
            let mut walk = Walk::new(cell, length, number);
            until(cell, end, || {
                let offset = walk.offset();
                match cell.kind {
                    Kind::Read => Ok(bare.read_exact_at(memory, offset)?),
                    Kind::Write => Ok(bare.write_all_at(memory, offset)?),
                    Kind::Fua => {
                        bare.write_all_at(memory, offset)?;
                        Ok(bare.sync_data()?)
                    }
                }
            })
        })
    }

    /// The device whose calls block, on as many threads.
    pub(crate) fn file(&mut self, cell: Cell, seconds: f64) -> anyhow::Result<f64> {
        let (device, length) = (&self.file, self.length);
        threads(cell, seconds, pieces(&mut self.memory, cell), |number, memory, end| {
            block_on(requests(device, cell, Walk::new(cell, length, number), memory, end))
        })
    }

    #[cfg_attr(not(feature = "blocking"), expect(clippy::unused_self, reason = "a feature"))]
    pub(crate) fn pool(&mut self, cell: Cell, seconds: f64) -> anyhow::Result<Option<f64>> {
        #[cfg(feature = "blocking")]
        return tasks(&self.pool, cell, seconds, self.length, &mut self.memory).map(Some);
        #[cfg(not(feature = "blocking"))]
        {
            let _ = (cell, seconds);
            Ok(None)
        }
    }

    #[cfg_attr(not(feature = "io-uring"), expect(clippy::unused_self, reason = "a feature"))]
    pub(crate) fn ring(&mut self, cell: Cell, seconds: f64) -> anyhow::Result<Option<f64>> {
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        if let Some(ring) = &self.ring {
            return tasks(ring, cell, seconds, self.length, &mut self.memory).map(Some);
        }
        let _ = (cell, seconds);
        Ok(None)
    }
}

fn over<F: BackingFile>(file: F) -> anyhow::Result<FileBackedDevice<F>> {
    Ok(block_on(FileBackedDevice::with_options(file, DeviceOptions::new(512)))?)
}

/// One piece of memory for each thread or task.
fn pieces(memory: &mut [u8], cell: Cell) -> impl Iterator<Item = &mut [u8]> {
    let start = memory.as_ptr().addr().wrapping_neg() % PAGE;
    memory[start..].chunks_exact_mut(cell.size).take(cell.depth)
}

/// Makes requests until `end`, and counts them.
fn until(
    cell: Cell,
    end: f64,
    mut request: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut done = 0;
    while now() < end {
        for _ in 0..cell.burst() {
            request()?;
            done += 1;
        }
    }
    Ok(done)
}

/// As [`until`], of a device.
async fn requests<D: Device>(
    device: &D,
    cell: Cell,
    mut walk: Walk,
    memory: &mut [u8],
    end: f64,
) -> anyhow::Result<u64> {
    let options = WriteOptions { fua: cell.kind == Kind::Fua };
    let mut done = 0;
    while now() < end {
        for _ in 0..cell.burst() {
            let offset = walk.offset();
            if cell.kind == Kind::Read {
                device.read(offset, MutableBufferRef::from(&mut *memory)).await?;
            } else {
                device.write(offset, BufferRef::from(&*memory), options).await?;
            }
            done += 1;
        }
    }
    Ok(done)
}

/// Requests a second of as many threads as there are pieces. The clock runs from when the first
/// begins to when the last has ended, as not all run at the same time on few processors.
fn threads<'a>(
    cell: Cell,
    seconds: f64,
    mut pieces: impl Iterator<Item = &'a mut [u8]>,
    run: impl Fn(usize, &mut [u8], f64) -> anyhow::Result<u64> + Sync,
) -> anyhow::Result<f64> {
    let (begin, first) = (Barrier::new(cell.depth), OnceLock::new());
    let one = |number, piece: &mut [u8]| {
        begin.wait();
        let started = *first.get_or_init(now);
        let done = run(number, piece, started + seconds)?;
        anyhow::Ok((done, now() - started))
    };
    if cell.depth == 1 {
        let (done, passed) = one(0, pieces.next().context("there is memory")?)?;
        return Ok(done as f64 / passed);
    }
    let one = &one;
    #[expect(clippy::disallowed_methods, reason = "threads are what is measured")]
    std::thread::scope(|scope| {
        let started: Vec<_> =
            pieces.enumerate().map(|(n, piece)| scope.spawn(move || one(n, piece))).collect();
        let (mut all, mut longest) = (0, 0.0_f64);
        for thread in started {
            let (done, passed) =
                thread.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??;
            (all, longest) = (all + done, longest.max(passed));
        }
        Ok(all as f64 / longest)
    })
}

/// Requests a second of as many tasks on this thread.
#[cfg(any(feature = "blocking", feature = "io-uring"))]
fn tasks<D: Device>(
    device: &D,
    cell: Cell,
    seconds: f64,
    length: u64,
    memory: &mut [u8],
) -> anyhow::Result<f64> {
    let started = now();
    let one = |(number, piece)| {
        requests(device, cell, Walk::new(cell, length, number), piece, started + seconds)
    };
    let mut tasks: FuturesUnordered<_> = pieces(memory, cell).enumerate().map(one).collect();
    let mut done = 0;
    block_on(async {
        while let Some(count) = tasks.next().await {
            done += count?;
        }
        anyhow::Ok(())
    })?;
    Ok(done as f64 / (now() - started))
}

/// Seconds, since some moment.
pub(crate) fn now() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
