//! An elevator: requests queue up, and a worker takes them in the order of their offsets, as disk
//! schedulers do (SCAN) and the write queues of image tools.
//!
//! A request that is dropped leaves the queue with its future, or it would land over a newer one
//! that was sorted ahead of it.

use super::in_place::{self, InPlace, Performed, Queue, Queued, Request};
use super::shell::Shell;
use super::worker::{Job, Worker};
use crate::zoo::ZooDevice;
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::DeviceSpec;
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    KeyedByOffset,
    AnswersWhenQueued,
    DroppedStays,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Elevator,
        "elevator",
        Legal,
        None,
        "disk schedulers: requests wait in a queue that is sorted by offset"
    ),
    device!(
        Elevator,
        "elevator-keyed-by-offset",
        Concurrency,
        Some(Bug::KeyedByOffset),
        "a tree keyed by offset alone: a second request there replaces the first: classic"
    ),
    device!(
        Elevator,
        "elevator-answers-when-queued",
        Caching,
        Some(Bug::AnswersWhenQueued),
        "a write that is queued taken for one that is done, so that later ones overtake it"
    ),
    device!(
        Elevator,
        "elevator-keeps-the-dropped",
        Concurrency,
        Some(Bug::DroppedStays),
        "a cancelled request stays in the queue, and lands over a newer one: classic"
    ),
];

struct Elevator(Option<Bug>);

struct Line {
    worker: Worker,
    bug: Option<Bug>,
}

/// Where a request is sorted: a sync comes at the end of a sweep.
fn place(request: &Request) -> u64 {
    match request {
        Request::Read { offset, .. }
        | Request::Write { offset, .. }
        | Request::Trim { offset, .. } => *offset,
        Request::Sync => u64::MAX,
    }
}

/// The worker: sweeps from low offsets to high ones, and then begins anew.
async fn sweep(disk: InPlace, mut jobs: UnboundedReceiver<Job>, bug: Option<Bug>) {
    let (mut waiting, mut head, mut number) = (BTreeMap::new(), 0, 0_u64);
    loop {
        let mut next = if waiting.is_empty() { jobs.next().await } else { jobs.try_recv().ok() };
        if next.is_none() && waiting.is_empty() {
            return;
        }
        while let Some(job) = next {
            number += u64::from(bug != Some(Bug::KeyedByOffset));
            waiting.insert((place(&job.request), number), job);
            next = jobs.try_recv().ok();
        }
        let ahead = waiting.range((head, 0)..).next().or_else(|| waiting.first_key_value());
        let key = ahead.map_or_else(Default::default, |(&key, _)| key);
        let Some(Job { request, answer }) = waiting.remove(&key) else { continue };
        if answer.is_canceled() && bug != Some(Bug::DroppedStays) {
            continue;
        }
        head = key.0;
        let _ = answer.send(disk.perform(&request).await);
    }
}

impl Queue for Line {
    async fn submit(&self, request: Request) -> Performed {
        let is_write = matches!(request, Request::Write { .. });
        if is_write && self.bug == Some(Bug::AnswersWhenQueued) {
            drop(self.worker.queue(request));
            return Ok(Vec::new());
        }
        self.worker.perform(request).await
    }

    async fn close(&self) {
        self.worker.close().await;
    }
}

impl Subject for Elevator {
    type Device = Shell<Queued<Line>>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let (latch, bug) = (disk.latch.clone(), self.0);
        let worker = Worker::new(world, "elevator", |jobs| sweep(disk, jobs, bug));
        Shell::new(Queued(Line { worker, bug }), world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained()
    }
}
