//! A flag that says whether a summary can be trusted, as Parallels images (`in_use`), qcow2 with
//! lazy refcounts and ext4 (`needs_recovery`) have it. The summary is how much of the device was
//! ever written; behind that there are zeros. It is kept in memory and saved at close only, so the
//! flag is set durably before the first change, and cleared when the summary is durable. Where the
//! flag is found set, the length of the file tells how much was written.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, number, read_full, retry, with_numbers, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    ClearedEarly,
    SetLate,
    NotSynced,
    SeenIsDurable,
    Ignored,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        DirtyFlag,
        "dirty-flag",
        Legal,
        None,
        "Parallels, qcow2 with lazy refcounts, ext4: a dirty flag"
    ),
    device!(
        DirtyFlag,
        "dirty-flag-cleared-early",
        Reopen,
        Some(Bug::ClearedEarly),
        "the flag is cleared before what it vouches for is written: classic"
    ),
    device!(
        DirtyFlag,
        "dirty-flag-set-late",
        Reopen,
        Some(Bug::SetLate),
        "the flag is set after the first write instead of before it: classic"
    ),
    device!(
        DirtyFlag,
        "dirty-flag-not-synced",
        Durability,
        Some(Bug::NotSynced),
        "the flag is written, and nobody syncs the file that it is in: classic"
    ),
    device!(
        DirtyFlag,
        "dirty-flag-seen-is-durable",
        Durability,
        Some(Bug::SeenIsDurable),
        "fsyncgate: a flag found set after a failed sync, which is only in the page cache"
    ),
    device!(
        DirtyFlag,
        "dirty-flag-ignored",
        Reopen,
        Some(Bug::Ignored),
        "an image marked dirty opened without its repair: qcow2 tools that do not know the bit"
    ),
];

/// The file that has the flag in its first sector, and the summary in its second.
const STATE: &str = "state";

struct DirtyFlag(Option<Bug>);

struct Data {
    file: SimFile,
    state: SimFile,
    sector: usize,
    /// Behind this many bytes nothing was ever written.
    used: AtomicU64,
    /// Whether the flag is set, durably.
    marked: Mutex<bool>,
    latch: Latch,
    bug: Option<Bug>,
}

impl Subject for DirtyFlag {
    type Device = Shell<Data>;

    async fn create(&self, world: &World, _spec: &DeviceSpec) -> Answer {
        world.create(DISK).await?;
        world.create(STATE).await?;
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Data>, DeviceError> {
        let (file, state) = (world.disk()?, retry(|| world.open(STATE)).await?);
        let sector = spec.sector_size as usize;
        let mut saved = vec![0; 2 * sector];
        read_full(&state, &mut saved, 0).await?;
        let dirty = saved[0] != 0;
        let used = if dirty && self.0 != Some(Bug::Ignored) {
            retry(|| file.len()).await?.next_multiple_of(spec.block_size.into())
        } else {
            number(&saved[sector..])
        };
        let latch = Latch::default();
        let data = Data {
            file,
            state,
            sector,
            used: used.into(),
            // The flag that is seen may be in the page cache only.
            marked: Mutex::new(dirty && self.0 == Some(Bug::SeenIsDurable)),
            latch: latch.clone(),
            bug: self.0,
        };
        Shell::new(data, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Nothing).clean_close()
    }
}

impl Data {
    /// Sets the flag, before the first change.
    async fn mark(&self) -> Answer {
        let mut marked = self.marked.lock().await;
        if !*marked {
            write_full(&self.state, &with_numbers(self.sector, &[1]), 0).await?;
            if self.bug != Some(Bug::NotSynced) {
                self.latch.sync(&self.state).await?;
            }
            *marked = true;
        }
        Ok(())
    }
}

impl Store for Data {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let used = self.used.load(Ordering::Relaxed).saturating_sub(offset);
        let length = data.len().min(usize::try_from(used).unwrap_or(usize::MAX));
        let (written, zeros) = data.split_at_mut(length);
        zeros.fill(0);
        read_full(&self.file, written, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        if self.bug != Some(Bug::SetLate) {
            self.mark().await?;
        }
        self.used.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
        write_full(&self.file, data, offset).await?;
        self.mark().await
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }

    async fn seal(&self) -> Answer {
        let mut marked = self.marked.lock().await;
        if *marked {
            let used = self.used.load(Ordering::Relaxed);
            let mut steps = [(self.sector as u64, used), (0, 0)];
            if self.bug == Some(Bug::ClearedEarly) {
                steps.reverse();
            }
            for (position, number) in steps {
                write_full(&self.state, &with_numbers(self.sector, &[number]), position).await?;
                self.latch.sync(&self.state).await?;
            }
            *marked = false;
        }
        Ok(())
    }
}
