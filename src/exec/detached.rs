//! The detached tasks of a runtime.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::spawner::{DetachedTask, Queue};
use super::task::TaskId;

/// Owns the detached tasks.
#[derive(Debug)]
pub(super) struct Detached {
    /// By slot, as far as detached tasks ever had them.
    tasks: Vec<Option<Admitted>>,
    /// How many of `tasks` are there.
    alive: usize,
    /// How many tasks were ever given a slot.
    admitted: u64,
    /// Those without a slot.
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Admitted {
    task: DetachedTask,
    /// In order of spawning.
    number: u64,
}

impl Detached {
    pub(super) fn new(queue: Queue) -> Self {
        Self { tasks: Vec::new(), alive: 0, admitted: 0, queue: Arc::new(queue) }
    }

    #[inline]
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Puts a task in a slot.
    pub(super) fn admit(&mut self, slot: TaskId, task: DetachedTask) {
        if self.tasks.len() <= slot.index() {
            self.tasks.resize_with(slot.index() + 1, || None);
        }
        self.tasks[slot.index()] = Some(Admitted { task, number: self.admitted });
        self.admitted += 1;
        self.alive += 1;
    }

    /// Polls the task in a slot.
    pub(super) fn poll(&mut self, slot: TaskId, context: &mut Context<'_>) -> Poll<()> {
        match self.tasks.get_mut(slot.index()) {
            Some(Some(admitted)) => admitted.task.job.poll(context),
            _ => unreachable!("{slot} is alive, but neither scoped nor detached"),
        }
    }

    /// Takes out the task in a slot, if there is one.
    pub(super) fn remove(&mut self, slot: TaskId) -> Option<DetachedTask> {
        let admitted = self.tasks.get_mut(slot.index())?.take()?;
        self.alive -= 1;
        Some(admitted.task)
    }

    /// Gives the name of the task in a slot, if there is one.
    pub(super) fn name(&self, slot: TaskId) -> Option<Arc<str>> {
        let admitted = self.tasks.get(slot.index())?.as_ref()?;
        Some(Arc::clone(&admitted.task.name))
    }

    /// Drops all tasks mid-flight: first those with a slot, in ascending order, and each right
    /// after `freed` is told of its slot, then the queued ones, until the queue stays empty.
    pub(super) fn kill(&mut self, mut freed: impl FnMut(TaskId)) {
        for slot in (0..self.tasks.len()).map_while(TaskId::new) {
            if let Some(task) = self.remove(slot) {
                freed(slot);
                drop(task);
            }
        }
        while let Some(task) = self.queue.pop() {
            drop(task);
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.alive == 0 && self.queue.is_empty()
    }

    /// Gives the names of all in order of spawning, with those without a slot last.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let mut admitted: Vec<_> = self.tasks.iter().flatten().collect();
        admitted.sort_unstable_by_key(|admitted| admitted.number);
        let names = admitted.into_iter().map(|admitted| Arc::clone(&admitted.task.name));
        names.chain(self.queue.names()).collect()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // First: a task may spawn another one on its way out, and a queued one may hold a spawner,
        // and with it the queue, for good.
        self.queue.close();
        self.kill(|_| {});
    }
}
