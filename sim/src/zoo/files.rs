//! What every device does with its files: finishing short transfers, and remembering a failed sync.

use blocktwin::device::{DeviceError, SyncLatch};
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use futures::lock::Mutex;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{self, Arc, MutexGuard, PoisonError};

/// Calls again for as long as a signal comes in between.
pub(super) async fn retry<T, F>(mut call: impl FnMut() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Locks what is never held over an await.
pub(super) fn lock<T>(mutex: &sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fills `buffer` from `offset` on; past the end of the file there are zeros.
pub(super) async fn read_full(
    file: &impl BackingFile,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), DeviceError> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64).await {
            Ok(0) => {
                buffer[done..].fill(0);
                break;
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all of `data` at `offset`.
pub(super) async fn write_full(
    file: &impl BackingFile,
    data: &[u8],
    offset: u64,
) -> Result<(), DeviceError> {
    let mut done = 0;
    while done < data.len() {
        match file.write_at(&data[done..], offset + done as u64).await {
            Ok(0) => return Err(DeviceError::WriteZero),
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How often in a row a device lets a write stop inside the same sector before it asks why.
pub(super) const STUCK_LIMIT: u32 = 16;

/// Why the kernel stops every write at `offset`, inside a sector: only a call that begins there is
/// told.
pub(super) async fn why_stuck(file: &impl BackingFile, data: &[u8], offset: u64) -> DeviceError {
    match file.write_at(data, offset).await {
        Ok(_) => DeviceError::WriteZero,
        Err(error) => error.into(),
    }
}

/// The syncs of all files of a device, and of the directory: none after one has failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Latch(Arc<SyncLatch>);

impl Latch {
    /// Whether no sync has failed.
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        self.0.check()
    }

    /// Syncs a file.
    pub(super) async fn sync<F>(&self, file: &F) -> Result<(), DeviceError>
    where
        F: BackingFile + Clone,
    {
        let sync = || {
            let file = file.clone();
            async move { file.sync_data().await }
        };
        self.0.sync(sync).await
    }

    /// Syncs the directory.
    pub(super) async fn sync_directory(&self, world: &World) -> Result<(), DeviceError> {
        let sync = || {
            let world = world.clone();
            async move { world.sync_directory().await }
        };
        self.0.sync(sync).await
    }
}

/// A latch that learns of a failed sync only if the request that waits for it is there to hear it:
/// a bug.
#[derive(Debug, Default)]
pub(super) struct DeafLatch {
    failed: AtomicBool,
    syncing: Mutex<()>,
}

impl DeafLatch {
    /// Whether it has heard of no failed sync.
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        if self.failed.load(Ordering::Relaxed) { Err(DeviceError::SyncFailed) } else { Ok(()) }
    }

    /// Syncs a file, after the syncs of others.
    pub(super) async fn sync(&self, file: &impl BackingFile) -> Result<(), DeviceError> {
        let _one_at_a_time = self.syncing.lock().await;
        self.sync_at_once(file).await
    }

    /// Syncs a file, beside the syncs of others: another bug.
    pub(super) async fn sync_at_once(&self, file: &impl BackingFile) -> Result<(), DeviceError> {
        self.check()?;
        let synced = retry(|| file.sync_data()).await;
        self.failed.fetch_or(synced.is_err(), Ordering::Relaxed);
        Ok(synced?)
    }
}

/// Makes the empty file `name`, in the place of one that may be left of an attempt before.
pub(super) async fn create_anew(world: &World, name: &str) -> io::Result<SimFile> {
    match retry(|| world.create(name)).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            retry(|| world.unlink(name)).await?;
            retry(|| world.create(name)).await
        }
        created => created,
    }
}

/// A checksum: FNV-1a over words of eight bytes.
pub(super) fn checksum(parts: &[&[u8]]) -> u64 {
    let words = parts.iter().flat_map(|part| part.chunks(8));
    words.fold(0xcbf2_9ce4_8422_2325, |sum, word| {
        (sum ^ number(word)).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
    })
}

/// The number that begins here; bytes that are missing are zeros.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let count = bytes.len().min(8);
    word[..count].copy_from_slice(&bytes[..count]);
    u64::from_le_bytes(word)
}

/// So many bytes, which begin with these numbers. The rest is zeros.
pub(super) fn with_numbers(length: usize, numbers: &[u64]) -> Vec<u8> {
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    bytes.resize(length, 0);
    bytes
}
