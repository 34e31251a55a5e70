//! A pool of raw calls: each is a task that outlives the request it was made for, as with tokio's
//! `spawn_blocking` and with io_uring, where a request that is dropped cannot take its call back.
//!
//! So what was dropped may land later, and others have to wait for it: writes to the same bytes,
//! flushes for all writes that were started before, and close for everything.

use super::in_place::{self, InPlace};
use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{DeafLatch, lock};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::DeviceSpec;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Naive,
    FailedSyncUnheard,
    CloseWaitsForNothing,
    PunchIsNoWrite,
    WriteWaitsForOne,
    FlushWaitsForOne,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        CompletionPool,
        "completion-pool",
        Legal,
        None,
        "tokio's blocking pool, io_uring: a call goes on when its request is dropped"
    ),
    device!(
        CompletionPool,
        "completion-pool-naive",
        Concurrency,
        Some(Bug::Naive),
        "tokio::fs and io_uring back ends: a cancelled write lands over a newer one"
    ),
    device!(
        CompletionPool,
        "completion-pool-failed-sync-unheard",
        Durability,
        Some(Bug::FailedSyncUnheard),
        "the completion of a cancelled fsync is thrown away with its error: fsyncgate"
    ),
    device!(
        CompletionPool,
        "completion-pool-close-waits-for-nothing",
        Concurrency,
        Some(Bug::CloseWaitsForNothing),
        "a ring torn down with calls under way, as after cancelled reads: classic"
    ),
    device!(
        CompletionPool,
        "completion-pool-punch-is-no-write",
        Concurrency,
        Some(Bug::PunchIsNoWrite),
        "a cancelled discard lands over a newer write, as only writes are waited for: classic"
    ),
    device!(
        CompletionPool,
        "completion-pool-write-waits-for-one",
        Concurrency,
        Some(Bug::WriteWaitsForOne),
        "`if` where `while` is meant: the first overlapping call is waited for, not the second"
    ),
    device!(
        CompletionPool,
        "completion-pool-flush-waits-for-one",
        Durability,
        Some(Bug::FlushWaitsForOne),
        "a drain that takes one completion and goes on: io_uring back ends, classic"
    ),
];

struct CompletionPool(Option<Bug>);

/// A raw call that was started and has not ended.
struct Started {
    bytes: Range<u64>,
    writes: bool,
    ended: Shared<oneshot::Receiver<()>>,
}

/// By the order in which they were started.
#[derive(Default)]
struct Calls {
    next: u64,
    under_way: BTreeMap<u64, Started>,
}

/// The file, whose calls are tasks.
#[derive(Clone)]
pub(super) struct Pool {
    file: SimFile,
    world: World,
    calls: Arc<Mutex<Calls>>,
    bug: Option<Bug>,
}

/// A call is under way for as long as this lives. Who waits for it waits for the sender to go.
struct UnderWay {
    calls: Arc<Mutex<Calls>>,
    number: u64,
    _ended: oneshot::Sender<()>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.calls).under_way.remove(&self.number);
    }
}

impl Pool {
    /// Whose calls wait for those to the same bytes, unless it is `naive`.
    pub(super) fn new(file: SimFile, world: &World, naive: bool) -> Self {
        let bug = naive.then_some(Bug::Naive);
        Self { file, world: world.clone(), calls: Arc::default(), bug }
    }

    /// Waits for the calls that are under way.
    pub(super) async fn all(&self) {
        self.wait_for(None, |_, _| true).await;
    }

    /// Waits for the writes that are under way.
    pub(super) async fn writes(&self) {
        self.wait_for(None, |_, call| call.writes).await;
    }

    /// Waits for all calls under way of this kind; for the first, where that is the bug.
    async fn wait_for(&self, only_one: Option<Bug>, which: impl Fn(u64, &Started) -> bool + Send) {
        loop {
            let ended = {
                let calls = lock(&self.calls);
                let found = calls.under_way.iter().find(|(number, call)| which(**number, call));
                found.map(|(_, call)| call.ended.clone())
            };
            let Some(ended) = ended else { return };
            let _ = ended.await;
            if only_one.is_some() && self.bug == only_one {
                return;
            }
        }
    }

    fn start(&self, bytes: Range<u64>, writes: bool) -> UnderWay {
        let (sender, ended) = oneshot::channel();
        let mut calls = lock(&self.calls);
        let number = calls.next;
        calls.next += 1;
        calls.under_way.insert(number, Started { bytes, writes, ended: ended.shared() });
        UnderWay { calls: Arc::clone(&self.calls), number, _ended: sender }
    }

    /// Makes a call in a task of its own; one that writes, once no write to these bytes is under
    /// way. Reads need not wait, as what was dropped may land late.
    async fn call<T, E, F>(
        &self,
        bytes: Range<u64>,
        writes: bool,
        call: impl FnOnce(SimFile) -> F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<io::Error> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        if writes && self.bug != Some(Bug::Naive) {
            let overlaps = |other: &Range<u64>| other.start < bytes.end && bytes.start < other.end;
            let waits = |_, other: &Started| other.writes && overlaps(&other.bytes);
            self.wait_for(Some(Bug::WriteWaitsForOne), waits).await;
        }
        let (under_way, call) = (self.start(bytes, writes), call(self.file.clone()));
        let task = self.world.spawn("call", async move {
            let _under_way = under_way;
            call.await
        });
        task.await.unwrap_or_else(|aborted| Err(io::Error::other(aborted).into()))
    }
}

impl BackingFile for Pool {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (bytes, mut data) = (offset..offset + buffer.len() as u64, vec![0; buffer.len()]);
        let read = self.call(bytes, false, |file| async move {
            let count = file.read_at(&mut data, offset).await?;
            data.truncate(count);
            io::Result::Ok(data)
        });
        let data = read.await?;
        buffer[..data.len()].copy_from_slice(&data);
        Ok(data.len())
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let (bytes, data) = (offset..offset + buffer.len() as u64, buffer.to_vec());
        self.call(bytes, true, |file| async move { file.write_at(&data, offset).await }).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.call(0..0, false, |file| async move { file.sync_data().await }).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.sync_data().await
    }

    async fn len(&self) -> io::Result<u64> {
        self.call(0..0, false, |file| async move { file.len().await }).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.call(length..u64::MAX, true, |file| async move { file.set_len(length).await }).await
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let (bytes, waited) = (offset..offset + length, self.bug != Some(Bug::PunchIsNoWrite));
        self.call(bytes, waited, |file| async move { file.punch_hole(offset, length).await }).await
    }
}

/// With the latch of the bug.
struct Data(InPlace<Pool>, DeafLatch);

impl Store for Data {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        self.0.read(offset, data).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        self.1.check()?;
        self.0.write(offset, data).await
    }

    async fn flush(&self) -> Answer {
        let (pool, latch) = (&self.0.file, self.0.latch.clone());
        let now = lock(&pool.calls).next;
        let waits = |number, call: &Started| call.writes && number < now;
        pool.wait_for(Some(Bug::FlushWaitsForOne), waits).await;
        if pool.bug == Some(Bug::FailedSyncUnheard) {
            return self.1.sync(pool).await;
        }
        // The task latches a failure, also where nobody is left to hear of it.
        pool.call(0..0, false, |file| async move { latch.sync(&file).await }).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.1.check()?;
        self.0.trim(offset, length).await
    }

    async fn close(&self) {
        let pool = &self.0.file;
        if pool.bug != Some(Bug::CloseWaitsForNothing) {
            pool.wait_for(None, |_, _| true).await;
        }
    }
}

impl Subject for CompletionPool {
    type Device = Shell<Data>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Data>, DeviceError> {
        let (file, world_, calls) = (world.disk()?, world.clone(), Arc::default());
        let disk = InPlace::new(Pool { file, world: world_, calls, bug: self.0 }, spec);
        let latch = disk.latch.clone();
        Shell::new(Data(disk, DeafLatch::default()), world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained()
    }
}
