//! Group commit: writes go straight to the file, and who wants them durable joins a sync that
//! begins after that, which one of them makes for all, as in PostgreSQL, InnoDB and RocksDB.
//!
//! Syncs are numbered. Each waits for the first that begins after it came; whoever gets the lock
//! first makes it. A leader that is dropped has made none, and leaves the lock to a follower.

use super::in_place::{self, InPlace};
use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    JoinsOneThatBegan,
    FollowersOfAFailedLeader,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        GroupCommit,
        "group-commit",
        Legal,
        None,
        "PostgreSQL, InnoDB, RocksDB: one sync for all who wait for one"
    ),
    device!(
        GroupCommit,
        "group-commit-joins-one-that-began",
        Durability,
        Some(Bug::JoinsOneThatBegan),
        "joins the sync that is under way, which began before the write: classic"
    ),
    device!(
        GroupCommit,
        "group-commit-follows-a-failed-leader",
        Loud,
        Some(Bug::FollowersOfAFailedLeader),
        "the leader hears of the failure, and the followers are told Ok: classic"
    ),
];

struct GroupCommit(Option<Bug>);

struct Group {
    disk: InPlace,
    /// How many syncs have begun.
    begun: AtomicU64,
    /// The number of the last one that was made. Whoever has the lock leads.
    made: Mutex<u64>,
    bug: Option<Bug>,
}

impl Store for Group {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        self.disk.read(offset, data).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        self.disk.write(offset, data).await
    }

    async fn flush(&self) -> Answer {
        let mut needed = self.begun.load(Ordering::Relaxed) + 1;
        let mut made = match self.made.try_lock() {
            Some(made) => made,
            None => {
                needed -= u64::from(self.bug == Some(Bug::JoinsOneThatBegan));
                self.made.lock().await
            }
        };
        if *made >= needed {
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let synced = self.disk.sync().await;
        let counts = synced.is_ok() || self.bug == Some(Bug::FollowersOfAFailedLeader);
        if counts {
            *made = number;
        }
        synced
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.disk.trim(offset, length).await
    }
}

impl Subject for GroupCommit {
    type Device = Shell<Group>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Group>, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let latch = disk.latch.clone();
        let (begun, made) = (AtomicU64::default(), Mutex::default());
        Shell::new(Group { disk, begun, made, bug: self.0 }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained()
    }
}
