//! A queue without a task: whoever waits for a request polls the queue on, as with `Shared` futures
//! and connection-driving clients in async Rust. So raw calls are made in whoever's name.
//!
//! Each request is a shared future that first waits for the one ahead of it. Polling one polls all
//! that are ahead, also those whose own requests were dropped.

use super::in_place::{self, InPlace, Performed, Queue, Queued, Request};
use super::shell::Shell;
use crate::zoo::ZooDevice;
use crate::zoo::files::lock;
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::DeviceSpec;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::sync::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    FailsWithTheOneAhead,
    AnswersWhenQueued,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        PollDriven,
        "poll-driven-queue",
        Legal,
        None,
        "whoever waits drives the queue: `Shared`, clients that poll their connection"
    ),
    device!(
        PollDriven,
        "poll-driven-fails-with-the-one-ahead",
        Loud,
        Some(Bug::FailsWithTheOneAhead),
        "`previous.await?` in a chain of futures: an error is told to all behind it"
    ),
    device!(
        PollDriven,
        "poll-driven-answers-when-queued",
        Loud,
        Some(Bug::AnswersWhenQueued),
        "a write that is stored and not awaited, and nobody hears it fail: classic"
    ),
];

struct PollDriven(Option<Bug>);

struct Chain {
    disk: InPlace,
    /// The request that was queued last.
    last: Mutex<Option<Shared<BoxFuture<'static, Performed>>>>,
    bug: Option<Bug>,
}

impl Chain {
    fn queue(&self, request: Request) -> Shared<BoxFuture<'static, Performed>> {
        let (disk, bug) = (self.disk.clone(), self.bug);
        let mut last = lock(&self.last);
        let ahead = last.take();
        let performed = async move {
            if let Some(ahead) = ahead {
                let performed = ahead.await;
                if bug == Some(Bug::FailsWithTheOneAhead) {
                    performed?;
                }
            }
            disk.perform(&request).await
        };
        last.insert(performed.boxed().shared()).clone()
    }
}

impl Queue for Chain {
    async fn submit(&self, request: Request) -> Performed {
        let is_write = matches!(request, Request::Write { .. });
        let queued = self.queue(request);
        if is_write && self.bug == Some(Bug::AnswersWhenQueued) {
            return Ok(Vec::new());
        }
        queued.await
    }

    /// What was dropped may be queued still, and will not be done.
    async fn close(&self) {
        *lock(&self.last) = None;
    }
}

impl Subject for PollDriven {
    type Device = Shell<Queued<Chain>>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let latch = disk.latch.clone();
        let chain = Chain { disk, last: Mutex::default(), bug: self.0 };
        Shell::new(Queued(chain), world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained()
    }
}
