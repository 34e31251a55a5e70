//! Flat combining: a request is published in a list, and whoever gets the lock performs all that
//! are there (Hendler, Incze, Shavit and Tzafrir, 2010; RocksDB's write groups are of this kind).
//!
//! A request stays in the list until it is done or its own future is dropped. So where the one who
//! holds the lock is dropped, the next one begins the request anew that was under way.

use super::in_place::{self, InPlace, Request};
use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::lock;
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::DeviceSpec;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    FirstErrorForAll,
    OthersErrorsSwallowed,
    BatchLostWhenDropped,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        FlatCombining,
        "flat-combining",
        Legal,
        None,
        "Hendler et al. 2010: whoever holds the lock does what all others wait for"
    ),
    device!(
        FlatCombining,
        "flat-combining-first-error-for-all",
        Loud,
        Some(Bug::FirstErrorForAll),
        "one status for a group of writes: all that come after a failure have failed"
    ),
    device!(
        FlatCombining,
        "flat-combining-error-swallowed",
        Loud,
        Some(Bug::OthersErrorsSwallowed),
        "the one who writes for others keeps their errors to itself: classic"
    ),
    device!(
        FlatCombining,
        "flat-combining-batch-lost",
        Concurrency,
        Some(Bug::BatchLostWhenDropped),
        "a batch is taken out of the list, and lost with the one who took it: classic"
    ),
];

struct FlatCombining(Option<Bug>);

struct Published {
    request: Request,
    answer: Mutex<Option<Answer>>,
}

struct Combiner {
    disk: InPlace,
    list: Mutex<VecDeque<Arc<Published>>>,
    /// Whoever has this performs what is in the list.
    combining: futures::lock::Mutex<()>,
    bug: Option<Bug>,
}

impl Combiner {
    async fn publish(&self, request: Request) -> Answer {
        let own = Arc::new(Published { request, answer: Mutex::default() });
        lock(&self.list).push_back(Arc::clone(&own));
        let _retracted = Retracted(self, &own);
        let _combining = self.combining.lock().await;
        if lock(&own.answer).is_none() {
            self.combine(&own).await;
        }
        // What is not in the list any more has been performed.
        lock(&own.answer).unwrap_or(Ok(()))
    }

    fn retract(&self, published: &Arc<Published>) {
        lock(&self.list).retain(|other| !Arc::ptr_eq(other, published));
    }

    /// Performs what is in the list, also what comes meanwhile.
    async fn combine(&self, own: &Arc<Published>) {
        let mut failed = None;
        let mut batch = VecDeque::new();
        loop {
            if self.bug == Some(Bug::BatchLostWhenDropped) {
                batch.append(&mut *lock(&self.list));
            }
            let next = batch.pop_front().or_else(|| lock(&self.list).front().cloned());
            let Some(published) = next else { return };
            let mut answer = self.disk.perform(&published.request).await.map(drop);
            self.retract(&published);
            match self.bug {
                Some(Bug::FirstErrorForAll) => {
                    failed = failed.or(answer.err());
                    answer = failed.map_or(answer, Err);
                }
                Some(Bug::OthersErrorsSwallowed) if !Arc::ptr_eq(&published, own) => {
                    answer = Ok(());
                }
                _ => {}
            }
            *lock(&published.answer) = Some(answer);
        }
    }
}

/// A request that is dropped takes itself out of the list.
struct Retracted<'a>(&'a Combiner, &'a Arc<Published>);

impl Drop for Retracted<'_> {
    fn drop(&mut self) {
        self.0.retract(self.1);
    }
}

impl Store for Combiner {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        self.disk.read(offset, data).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        self.publish(Request::Write { offset, data: data.to_vec() }).await
    }

    /// In the list as well: what was dropped may be under way in another request's name.
    async fn flush(&self) -> Answer {
        self.publish(Request::Sync).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.publish(Request::Trim { offset, length }).await
    }
}

impl Subject for FlatCombining {
    type Device = Shell<Combiner>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let latch = disk.latch.clone();
        let (list, combining) = (Mutex::default(), futures::lock::Mutex::default());
        Shell::new(Combiner { disk, list, combining, bug: self.0 }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained()
    }
}
