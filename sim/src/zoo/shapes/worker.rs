//! A task of the device's own that performs requests.

use super::in_place::{Performed, Request};
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::exec::JoinHandle;
use futures::channel::{mpsc, oneshot};
use std::future::Future;

/// A request, and where to answer it. Nobody listens any more if its future was dropped.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Performed>,
}

/// The task, and the only way to it. It has to end when no job can come any more.
pub(super) struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    task: futures::lock::Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    pub(super) fn new<F>(
        world: &World,
        name: &str,
        work: impl FnOnce(mpsc::UnboundedReceiver<Job>) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (jobs, receiver) = mpsc::unbounded();
        let task = world.spawn(name, work(receiver));
        Self { jobs, task: Some(task).into() }
    }

    /// Queues a request, and gives where it is answered.
    pub(super) fn queue(&self, request: Request) -> oneshot::Receiver<Performed> {
        let (answer, answered) = oneshot::channel();
        // If the task is gone, the job is dropped, and whoever waits for it learns that.
        let _ = self.jobs.unbounded_send(Job { request, answer });
        answered
    }

    /// Queues a request, and waits until it was performed.
    pub(super) async fn perform(&self, request: Request) -> Performed {
        self.queue(request).await.unwrap_or(Err(DeviceError::Closed))
    }

    /// Waits for the task to do what was queued.
    pub(super) async fn close(&self) {
        self.jobs.close_channel();
        let mut task = self.task.lock().await;
        if let Some(running) = &mut *task {
            let _ = running.await;
        }
        *task = None;
    }
}
