//! What each client waits for, to explain why nothing goes on.

use crate::exec::ExecError;
use crate::model::Kind;
use crate::model::{OpId, Violation};
use crate::scenario::Step;
use smallvec::SmallVec;
use std::sync::Arc;

/// What an operation under way waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A transfer buffer.
    Buffer,
    /// The device's answer.
    Device,
    /// That the other clients pause.
    Others,
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
struct Under {
    op: OpId,
    waits_for: Waiting,
}

/// What each client is doing.
#[derive(Debug)]
pub(super) struct Doing(SmallVec<[Option<Under>; 4]>);

impl Doing {
    pub(super) fn new(clients: u8) -> Self {
        Self(SmallVec::from_elem(None, clients.into()))
    }

    /// A client makes this step.
    pub(super) fn begin(&mut self, client: u8, op: OpId) {
        self.0[usize::from(client)] = Some(Under { op, waits_for: Waiting::Buffer });
    }

    pub(super) fn waits(&mut self, client: u8, waiting: Waiting) {
        if let Some(under) = &mut self.0[usize::from(client)] {
            under.waits_for = waiting;
        }
    }

    pub(super) fn end(&mut self, client: u8) {
        self.0[usize::from(client)] = None;
    }

    /// The operations of which the device has yet to answer the request, by client.
    pub(super) fn with_device(&self) -> impl Iterator<Item = OpId> {
        let with = |under: &&Under| under.waits_for == Waiting::Device;
        self.0.iter().flatten().filter(with).map(|under| under.op)
    }

    /// Nobody does anything any more.
    pub(super) fn clear(&mut self) {
        self.0.fill(None);
    }

    /// One part of a sentence for each client that waits.
    fn lines(&self, steps: &[Step]) -> impl Iterator<Item = String> {
        (0..).zip(&self.0).filter_map(|(client, doing): (u8, _)| {
            let Under { op, waits_for } = (*doing)?;
            let step = &steps[op as usize - 1];
            let name = step.op.name();
            Some(match waits_for {
                Waiting::Buffer => format!("client {client} waits for a buffer for {name} #{op}"),
                Waiting::Device => format!("client {client} waits for {name} #{op} to end"),
                Waiting::Others => {
                    format!("client {client} waits for the other clients, to reopen in #{op}")
                }
            })
        })
    }
}

/// What to use in the simulation, where what would have gone on is outside of it.
const OUTSIDE: &str = "real threads, and the timers and tasks of other runtimes, do not run in \
                       the simulation: use World::spawn and World::sleep";

/// The same where nothing says that it is so.
const PERHAPS: &str = "it waits for a lock, a wake-up or a transfer buffer that never comes; real \
                       threads and other runtimes' timers do not run in the simulation, use \
                       World::spawn and World::sleep";

/// Nothing can go on, or it went on for too long; `doing` the clients, who make these steps, while
/// `tasks` of the device are alive. `foreign` where a waker was used by another thread.
pub(super) fn hang(
    error: &ExecError,
    (doing, steps): (&Doing, &[Step]),
    tasks: &[Arc<str>],
    foreign: bool,
) -> Violation {
    let mut waits: Vec<String> = doing.lines(steps).collect();
    waits.extend(tasks.iter().map(|name| format!("task \"{name}\" waits")));
    if tasks.is_empty() && matches!(error, ExecError::Deadlock { .. }) {
        waits.push("no task of the device is alive".to_owned());
    }
    let stuck = match error {
        ExecError::Deadlock { .. } => "nothing can go on".to_owned(),
        ExecError::StepLimit { limit, .. } => format!("no end after {limit} steps"),
    };
    let who = if waits.is_empty() { String::new() } else { format!(": {}", waits.join("; ")) };
    let hint = match error {
        _ if foreign => format!("; a waker was used by another thread, and {OUTSIDE}"),
        ExecError::Deadlock { .. } => format!("; {PERHAPS}"),
        ExecError::StepLimit { .. } => String::new(),
    };
    Violation::new(Kind::Hang, format!("{stuck}{who}{hint}"))
}

/// The device panicked, and `said` this with file and line; in a task of its own or in a request.
pub(super) fn panicked(said: &str, task: Option<&str>) -> Violation {
    let who = task.map_or_else(String::new, |task| format!(" in task \"{task}\""));
    // What tokio, and what builds on it, says without a runtime of its own.
    let foreign = said.contains("no reactor running") || said.contains("Tokio");
    let hint = if foreign { format!("; {OUTSIDE}") } else { String::new() };
    Violation::new(Kind::Panic, format!("the device panicked{who}: {said}{hint}"))
}
