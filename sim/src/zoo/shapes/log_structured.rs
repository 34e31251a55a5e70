//! A log and nothing else, as LFS, Bitcask and LevelDB have it: writes append records, a map in
//! memory knows the newest of each block, and the log is read again at opening, up to the first
//! record that is not whole. Where it has become long, and at each opening, its newest records are
//! copied into a new log, which is renamed over the old one.
//!
//! The copy at opening is no luxury. Behind the end of the log there may be records that a crash
//! left, and what is read there may never have become durable, if a sync has failed before.

use super::records::Records;
use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, create_anew, retry};
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use futures::lock::{Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    RenamedUnsynced,
    DirectoryNotSynced,
    WriteMeanwhileLost,
    TailKept,
    ChecksumIgnored,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        LogStructured,
        "log-structured",
        Legal,
        None,
        "LFS, Bitcask: everything is appended to a log"
    ),
    device!(
        LogStructured,
        "log-renamed-unsynced",
        Durability,
        Some(Bug::RenamedUnsynced),
        "the zero-length files of ext4, 2009: rename without a sync of the new file"
    ),
    device!(
        LogStructured,
        "log-directory-unsynced",
        Durability,
        Some(Bug::DirectoryNotSynced),
        "LevelDB until 2012: the directory is not synced after a rename"
    ),
    device!(
        LogStructured,
        "log-compaction-loses-write",
        Concurrency,
        Some(Bug::WriteMeanwhileLost),
        "what is appended while the new log is synced is not copied to it: classic"
    ),
    device!(
        LogStructured,
        "log-tail-kept",
        Reopen,
        Some(Bug::TailKept),
        "records behind the torn one come back when the gap is filled: recycled logs of RocksDB"
    ),
    device!(
        LogStructured,
        "log-checksum-ignored",
        Reopen,
        Some(Bug::ChecksumIgnored),
        "a torn record replayed: logs without checksums, classic"
    ),
];

const LOG: &str = "log";
const NEW_LOG: &str = "log.new";

struct LogStructured(Option<Bug>);

struct State {
    records: Records,
    /// A new log may have taken the place of this one: nothing can be appended to this one.
    replaced: bool,
}

struct Log {
    world: World,
    spec: DeviceSpec,
    state: Mutex<State>,
    /// Locked by a compaction, so that there is one at a time.
    compacting: Mutex<()>,
    latch: Latch,
    bug: Option<Bug>,
}

impl Subject for LogStructured {
    type Device = Shell<Log>;

    async fn create(&self, world: &World, _spec: &DeviceSpec) -> Answer {
        world.create(LOG).await?;
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Log>, DeviceError> {
        let file = retry(|| world.open(LOG)).await?;
        let mut records = Records::new(file, spec, 1);
        records.trusting = self.0 == Some(Bug::ChecksumIgnored);
        records.replay().await?;
        let latch = Latch::default();
        let log = Log {
            world: world.clone(),
            spec: *spec,
            state: Mutex::new(State { records, replaced: false }),
            compacting: Mutex::default(),
            latch: latch.clone(),
            bug: self.0,
        };
        if self.0 != Some(Bug::TailKept) {
            log.compact(log.state.lock().await).await?;
        }
        Shell::new(log, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Nothing).posix_directories().clean_close()
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=256)
    }
}

impl Log {
    /// Copies the newest records into a new log.
    async fn compact<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, DeviceError> {
        let Some(_one_at_a_time) = self.compacting.try_lock() else { return Ok(state) };
        let file = create_anew(&self.world, NEW_LOG).await?;
        let mut records = Records::new(file, &self.spec, 1);
        let mut data = vec![0; self.spec.block_size as usize];
        for (&block, &slot) in &state.records.newest {
            state.records.read_slot(slot, &mut data).await?;
            records.append(block, &data).await?;
        }
        match self.bug {
            Some(Bug::RenamedUnsynced) => {}
            Some(Bug::WriteMeanwhileLost) => {
                drop(state);
                self.latch.sync(&records.file).await?;
                state = self.state.lock().await;
            }
            _ => self.latch.sync(&records.file).await?,
        }
        state.replaced = true;
        retry(|| self.world.rename(NEW_LOG, LOG)).await?;
        if self.bug != Some(Bug::DirectoryNotSynced) {
            self.latch.sync_directory(&self.world).await?;
        }
        *state = State { records, replaced: false };
        Ok(state)
    }

    /// The log, to be read.
    async fn settled(&self) -> Result<MutexGuard<'_, State>, DeviceError> {
        let mut state = self.state.lock().await;
        state.records.settle().await?;
        Ok(state)
    }

    /// The log, to be synced, or appended to where there is `more` to come.
    async fn ready(&self, more: bool) -> Result<MutexGuard<'_, State>, DeviceError> {
        let state = self.settled().await?;
        let long = state.records.tail > 4 + 2 * state.records.newest.len() as u64;
        if (more && long) || state.replaced { self.compact(state).await } else { Ok(state) }
    }
}

impl Store for Log {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let state = self.settled().await?;
        let size = self.spec.block_size;
        for (block, data) in (offset / u64::from(size)..).zip(data.chunks_mut(size as usize)) {
            match state.records.newest.get(&block) {
                Some(&slot) => state.records.read_slot(slot, data).await?,
                None => data.fill(0),
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let size = self.spec.block_size;
        let mut state = self.ready(true).await?;
        for (block, data) in (offset / u64::from(size)..).zip(data.chunks(size as usize)) {
            state.records.append(block, data).await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let state = self.ready(false).await?;
        self.latch.sync(&state.records.file).await
    }
}
