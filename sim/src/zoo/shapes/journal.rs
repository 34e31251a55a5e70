//! A journal ahead of the data, as ext4 with `data=journal`, InnoDB and SQLite's WAL have it:
//! writes append to the journal, which is all that has to be durable. Now and then a task, the
//! checkpoint, copies what is in the journal to where it belongs, syncs that, and only then begins
//! the journal anew, under another epoch. At opening the journal is replayed by a checkpoint too.

use super::records::Records;
use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, number, read_full, retry, with_numbers, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::exec::JoinHandle;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use futures::lock::{Mutex, MutexGuard};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    DataNotSynced,
    EpochNotSynced,
    EpochKept,
    OldestReplayed,
    ChecksumIgnored,
    ReadPastJournal,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        WriteAhead,
        "write-ahead-journal",
        Legal,
        None,
        "ext4 data=journal, InnoDB: a journal in front"
    ),
    device!(
        WriteAhead,
        "journal-checkpoint-overtakes",
        Durability,
        Some(Bug::DataNotSynced),
        "the journal begins anew before the data it was for is synced: jbd2 without flushes"
    ),
    device!(
        WriteAhead,
        "journal-restart-unsynced",
        Durability,
        Some(Bug::EpochNotSynced),
        "records of the new epoch reach the disk before the header that ends the old one: classic"
    ),
    device!(
        WriteAhead,
        "journal-epoch-kept",
        Reopen,
        Some(Bug::EpochKept),
        "a journal begun anew under the same salt: old frames are replayed behind the new ones"
    ),
    device!(
        WriteAhead,
        "journal-oldest-replayed",
        Reopen,
        Some(Bug::OldestReplayed),
        "of two records of a block the older one is replayed last: classic"
    ),
    device!(
        WriteAhead,
        "journal-checksum-ignored",
        Reopen,
        Some(Bug::ChecksumIgnored),
        "a torn record replayed: ext4 before journal_checksum"
    ),
    device!(
        WriteAhead,
        "journal-not-read",
        Caching,
        Some(Bug::ReadPastJournal),
        "reads that go past the journal to the data: classic"
    ),
];

/// The file of the journal. Its first sector holds the epoch.
const JOURNAL: &str = "journal";

/// Ticks between two checkpoints.
const PERIOD: u64 = 60;

struct WriteAhead(Option<Bug>);

struct State {
    records: Records,
    /// The next epoch may have begun on disk: nothing can be appended in this one.
    ending: bool,
}

struct Inner {
    file: SimFile,
    spec: DeviceSpec,
    state: Mutex<State>,
    latch: Latch,
    bug: Option<Bug>,
}

struct Journaled {
    inner: Arc<Inner>,
    /// Until it has been joined.
    checkpoints: Mutex<Option<JoinHandle<()>>>,
}

impl Subject for WriteAhead {
    type Device = Shell<Journaled>;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Answer {
        world.create(DISK).await?;
        let journal = world.create(JOURNAL).await?;
        write_full(&journal, &with_numbers(spec.sector_size as usize, &[1]), 0).await
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let (file, journal) = (world.disk()?, retry(|| world.open(JOURNAL)).await?);
        let mut head = [0; 8];
        read_full(&journal, &mut head, 0).await?;
        let mut records = Records::new(journal, spec, number(&head));
        records.trusting = self.0 == Some(Bug::ChecksumIgnored);
        records.oldest = self.0 == Some(Bug::OldestReplayed);
        records.replay().await?;
        records.oldest = false;
        let latch = Latch::default();
        let state = Mutex::new(State { records, ending: false });
        let inner = Arc::new(Inner { file, spec: *spec, state, latch: latch.clone(), bug: self.0 });
        inner.checkpoint(inner.state.lock().await).await?;
        let (clock, task) = (world.clone(), Arc::clone(&inner));
        let checkpoints = world.spawn("checkpoints", async move {
            loop {
                clock.sleep(PERIOD).await;
                // What fails is tried again, unless it was a sync; then there are no more.
                let Ok(state) = task.settled().await else { continue };
                if task.latch.check().is_ok() && !state.records.newest.is_empty() {
                    let _ = task.checkpoint(state).await;
                }
            }
        });
        let checkpoints = Mutex::new(Some(checkpoints));
        Shell::new(Journaled { inner, checkpoints }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Nothing).clean_close()
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=256)
    }
}

impl Inner {
    /// Copies what is in the journal to where it belongs, and begins the journal anew.
    async fn checkpoint<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, DeviceError> {
        let mut data = vec![0; self.spec.block_size as usize];
        for (&block, &slot) in &state.records.newest {
            state.records.read_slot(slot, &mut data).await?;
            write_full(&self.file, &data, block * u64::from(self.spec.block_size)).await?;
        }
        if self.bug != Some(Bug::DataNotSynced) {
            self.latch.sync(&self.file).await?;
        }
        let epoch = state.records.epoch + u64::from(self.bug != Some(Bug::EpochKept));
        let head = with_numbers(self.spec.sector_size as usize, &[epoch]);
        state.ending = true;
        write_full(&state.records.file, &head, 0).await?;
        if self.bug != Some(Bug::EpochNotSynced) {
            self.latch.sync(&state.records.file).await?;
        }
        state.records.restart(epoch);
        state.ending = false;
        Ok(state)
    }

    /// The journal, to be read.
    async fn settled(&self) -> Result<MutexGuard<'_, State>, DeviceError> {
        let mut state = self.state.lock().await;
        state.records.settle().await?;
        Ok(state)
    }

    /// The journal, to be appended to or synced.
    async fn ready(&self) -> Result<MutexGuard<'_, State>, DeviceError> {
        let state = self.settled().await?;
        if state.ending { self.checkpoint(state).await } else { Ok(state) }
    }
}

impl Store for Journaled {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let state = self.inner.settled().await?;
        read_full(&self.inner.file, data, offset).await?;
        if self.inner.bug == Some(Bug::ReadPastJournal) {
            return Ok(());
        }
        let size = self.inner.spec.block_size;
        for (block, data) in (offset / u64::from(size)..).zip(data.chunks_mut(size as usize)) {
            if let Some(&slot) = state.records.newest.get(&block) {
                state.records.read_slot(slot, data).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let size = self.inner.spec.block_size;
        let mut state = self.inner.ready().await?;
        for (block, data) in (offset / u64::from(size)..).zip(data.chunks(size as usize)) {
            state.records.append(block, data).await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let state = self.inner.ready().await?;
        self.inner.latch.sync(&state.records.file).await
    }

    async fn close(&self) {
        let mut checkpoints = self.checkpoints.lock().await;
        if let Some(task) = checkpoints.as_mut() {
            // Not amid a checkpoint.
            let _state = self.inner.state.lock().await;
            task.abort();
            let _ = task.await;
        }
        *checkpoints = None;
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        if let Some(task) = self.checkpoints.get_mut() {
            task.abort();
        }
    }
}
