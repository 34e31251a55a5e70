//! An actor: one task owns the file, and requests come to it over a channel, as with `mpsc` and
//! `oneshot` in async Rust, QEMU's block export threads or an io thread of a database.

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    WriteErrorDropped,
    StopsWithItsRequester,
    WritesAnsweredWhenQueued,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(Actor, "actor", Legal, None, "one task owns the file, requests come over a channel"),
    device!(
        Actor,
        "actor-write-error-dropped",
        Loud,
        Some(Bug::WriteErrorDropped),
        "an error logged by the worker, and Ok sent back: classic"
    ),
    device!(
        Actor,
        "actor-stops-with-its-requester",
        Concurrency,
        Some(Bug::StopsWithItsRequester),
        "`reply.send(..)?` in the actor's loop: a cancelled request ends it: classic"
    ),
    device!(
        Actor,
        "actor-answers-when-queued",
        Loud,
        Some(Bug::WritesAnsweredWhenQueued),
        "a write that is queued taken for one that is done: its error reaches nobody"
    ),
];

struct Actor(Option<Bug>);

struct Mailbox {
    worker: Worker,
    bug: Option<Bug>,
}

/// The actor: requests one after another, in the order in which they came.
async fn act(disk: InPlace, mut jobs: UnboundedReceiver<Job>, bug: Option<Bug>) {
    while let Some(Job { request, answer }) = jobs.next().await {
        let mut performed = disk.perform(&request).await;
        if bug == Some(Bug::WriteErrorDropped) && matches!(request, Request::Write { .. }) {
            performed = Ok(Vec::new());
        }
        // Whoever asked may be gone, and that is no reason to stop.
        let heard = answer.send(performed).is_ok();
        if !heard && bug == Some(Bug::StopsWithItsRequester) {
            return;
        }
    }
}

impl Queue for Mailbox {
    async fn submit(&self, request: Request) -> Performed {
        let is_write = matches!(request, Request::Write { .. });
        if is_write && self.bug == Some(Bug::WritesAnsweredWhenQueued) {
            drop(self.worker.queue(request));
            return Ok(Vec::new());
        }
        self.worker.perform(request).await
    }

    async fn close(&self) {
        self.worker.close().await;
    }
}

impl Subject for Actor {
    type Device = Shell<Queued<Mailbox>>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let (latch, bug) = (disk.latch.clone(), self.0);
        let worker = Worker::new(world, "actor", |jobs| act(disk, jobs, bug));
        Shell::new(Queued(Mailbox { worker, bug }), world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained()
    }
}
