//! The real device over a file whose calls are tasks and outlive what asked for them, as those of
//! `PoolFile` and `RingFile` do: the file keeps what was dropped in hand, and the device settles it
//! before it says that it is drained or closed.

use super::completion_pool::Pool;
use super::in_place;
use crate::zoo::ZooDevice;
use blocktwin::device::{DeviceError, FileBackedDevice};
use blocktwin::disk::World;
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::DeviceSpec;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Unsettled,
    SyncOvertakes,
    LandsLate,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        PoolFile,
        "pool-file",
        Legal,
        None,
        "the device of this crate over calls that go on when their request is dropped"
    ),
    device!(
        PoolFile,
        "pool-file-settles-nothing",
        Concurrency,
        Some(Bug::Unsettled),
        "a drain for a snapshot that counts requests, and not the calls that they have left behind"
    ),
    device!(
        PoolFile,
        "pool-file-sync-waits-for-nothing",
        Durability,
        Some(Bug::SyncOvertakes),
        "io_uring without IOSQE_IO_DRAIN: an fsync that overtakes a cancelled write"
    ),
    device!(
        PoolFile,
        "pool-file-write-waits-for-nothing",
        Concurrency,
        Some(Bug::LandsLate),
        "tokio::fs: a cancelled write lands over a newer one"
    ),
];

struct PoolFile(Option<Bug>);

/// The pool, which keeps what was dropped in hand.
struct InHand {
    pool: Pool,
    bug: Option<Bug>,
}

impl InHand {
    async fn writes(&self) {
        if self.bug != Some(Bug::SyncOvertakes) {
            self.pool.writes().await;
        }
    }
}

impl BackingFile for InHand {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.pool.read_at(buffer, offset).await
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.pool.write_at(buffer, offset).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.writes().await;
        self.pool.sync_data().await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.writes().await;
        self.pool.sync_all().await
    }

    async fn len(&self) -> io::Result<u64> {
        self.pool.len().await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.pool.set_len(length).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.pool.punch_hole(offset, length).await
    }

    async fn settle(&self) {
        if self.bug != Some(Bug::Unsettled) {
            self.pool.all().await;
        }
    }
}

impl Subject for PoolFile {
    type Device = FileBackedDevice<InHand>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let naive = self.0 == Some(Bug::LandsLate);
        let pool = Pool::new(world.disk()?, world, naive);
        let options = spec.options().block_count(spec.block_count).allocator(world.heap());
        FileBackedDevice::with_options(InHand { pool, bug: self.0 }, options).await
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained().write_through().drains()
    }
}
