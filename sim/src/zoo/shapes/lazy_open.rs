//! Nothing is touched before the first request, as image libraries open files on demand: only then
//! the file is opened, and its length read. Reads past that length are zeros without a call.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    ErrorSwallowed,
    Twice,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        LazyOpen,
        "lazy-open",
        Legal,
        None,
        "an image that is opened when it is first needed, as automounters do it"
    ),
    device!(
        LazyOpen,
        "lazy-open-error-swallowed",
        Loud,
        Some(Bug::ErrorSwallowed),
        "an image that cannot be opened is taken for an empty one"
    ),
    device!(
        LazyOpen,
        "lazy-open-twice",
        Concurrency,
        Some(Bug::Twice),
        "lazy initialisation without a lock, and the second forgets the first"
    ),
];

struct LazyOpen(Option<Bug>);

struct Lazy {
    world: World,
    latch: Latch,
    /// Locked while the file is being opened.
    opened: Mutex<Option<Arc<Opened>>>,
    bug: Option<Bug>,
}

struct Opened {
    file: SimFile,
    /// No byte of the file lies past this.
    length: AtomicU64,
}

impl Subject for LazyOpen {
    type Device = Shell<Lazy>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Lazy>, DeviceError> {
        let (latch, opened) = (Latch::default(), Mutex::default());
        let lazy = Lazy { world: world.clone(), latch: latch.clone(), opened, bug: self.0 };
        Shell::new(lazy, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().in_place().trim(TrimEffect::Nothing).contained().clean_close()
    }
}

impl Lazy {
    async fn opened(&self) -> Result<Arc<Opened>, DeviceError> {
        let mut opened = self.opened.lock().await;
        if let Some(opened) = &*opened {
            return Ok(Arc::clone(opened));
        }
        if self.bug == Some(Bug::Twice) {
            drop(opened);
            let fresh = self.open().await?;
            *self.opened.lock().await = Some(Arc::clone(&fresh));
            return Ok(fresh);
        }
        let fresh = self.open().await?;
        *opened = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    async fn open(&self) -> Result<Arc<Opened>, DeviceError> {
        let file = retry(|| self.world.open(DISK)).await?;
        let length = retry(|| file.len()).await?.into();
        Ok(Arc::new(Opened { file, length }))
    }
}

impl Store for Lazy {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let opened = match self.opened().await {
            Err(_) if self.bug == Some(Bug::ErrorSwallowed) => {
                data.fill(0);
                return Ok(());
            }
            opened => opened?,
        };
        if offset >= opened.length.load(Ordering::Relaxed) {
            data.fill(0);
            return Ok(());
        }
        read_full(&opened.file, data, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let opened = self.opened().await?;
        let end = offset + data.len() as u64;
        // First, as a write that fails or is dropped may have grown the file all the same.
        opened.length.fetch_max(end, Ordering::Relaxed);
        write_full(&opened.file, data, offset).await
    }

    async fn flush(&self) -> Answer {
        // Also where nothing was asked for before: the file may hold what was never synced.
        self.latch.sync(&self.opened().await?.file).await
    }
}
