//! What `view.js` draws.

use super::sectors::{Histories, Map};
use super::{Shown, words};
use blocktwin::disk::{CrashPolicy, FaultClass};
use blocktwin::lockstep::{Event, RawEvent, Report, Verdict, describe};
use blocktwin::model::{OpId, Request};
use blocktwin::scenario::{Op, Scenario, Step};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// So many events are shown, the last ones. More nobody reads, and no browser likes.
pub(super) const MOST_EVENTS: usize = 4000;

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    clients: u8,
    operations: Vec<Operation>,
    events: Vec<Moment>,
    /// So many events came before those.
    events_left_out: usize,
    /// The event at which the divergence was found.
    diverged: Option<usize>,
    #[serde(flatten)]
    map: Map,
}

/// An operation of the scenario, as far as it was made.
#[derive(Debug, Serialize)]
struct Operation {
    id: OpId,
    client: u8,
    name: &'static str,
    text: String,
    /// Its first and its last event.
    began: usize,
    ended: usize,
    /// How it ended, as the class of an event.
    outcome: &'static str,
}

/// An event.
#[derive(Debug, Serialize)]
struct Moment {
    /// The operation, or 0.
    op: OpId,
    class: &'static str,
    text: String,
    /// A task of the device's own did it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    task: bool,
    /// The fault that a raw call met.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
}

impl Data {
    pub(super) fn new(shown: &Shown<'_>, report: &Report, histories: &Histories) -> Self {
        let events = events(report);
        let cut = events.len().saturating_sub(MOST_EVENTS);
        let shown_events = &events[cut..];
        let diverged = diverged(&events).map(|at| at.saturating_sub(cut));
        Self {
            clients: shown.scenario.clients(),
            operations: operations(shown.scenario, shown_events),
            events: shown_events.iter().map(|event| moment(event, report)).collect(),
            events_left_out: cut,
            diverged,
            map: histories.map(cut, &guilty(shown, report)),
        }
    }
}

/// What happened, without what only says what sectors hold. A panic ends a trace; that it was the
/// divergence is said after it.
pub(super) fn events(report: &Report) -> Vec<&Event> {
    let events = report.trace.iter().filter(|event| !matches!(event, Event::Holds(_)));
    let mut events: Vec<_> = events.collect();
    if report.verdict != Verdict::Pass && diverged(&events).is_none() {
        events.push(&Event::Diverged(0));
    }
    events
}

/// Where the divergence was found.
pub(super) fn diverged(events: &[&Event]) -> Option<usize> {
    events.iter().position(|event| matches!(event, Event::Diverged(_)))
}

/// The sectors in which the divergence shows, where those of the device are those of its file.
fn guilty(shown: &Shown<'_>, report: &Report) -> BTreeSet<u64> {
    match &report.verdict {
        Verdict::Diverged(divergence) if shown.promises().in_place => {
            divergence.violation.findings.iter().map(|finding| finding.sector).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Whose event it is; 0 where it is nobody's.
fn op(event: &Event) -> OpId {
    match event {
        Event::Began(op, ..)
        | Event::Ended(op, ..)
        | Event::Cancelled(op)
        | Event::Refused(op, _)
        | Event::Crashed(op, _)
        | Event::Diverged(op) => *op,
        Event::Raw(it) => it.raw.caller.op,
        _ => 0,
    }
}

fn moment(event: &Event, report: &Report) -> Moment {
    let text = match (event, &report.verdict) {
        (Event::Diverged(_), Verdict::Diverged(it)) => {
            format!("DIVERGED: {}", it.violation.sentence)
        }
        _ => words::event(event),
    };
    let fault = match event {
        Event::Raw(it) => it.raw.fault.map(FaultClass::name),
        _ => None,
    };
    let task = matches!(event, Event::Raw(RawEvent { task: Some(_), .. }));
    Moment { op: op(event), class: words::class(event), text, task, fault }
}

/// The operations that were made. An operation ends with its answer or with the power; the raw
/// calls that open the device again are not its own.
fn operations(scenario: &Scenario, events: &[&Event]) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    let mut under_way: BTreeMap<OpId, usize> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        let id = op(event);
        let begins = matches!(event, Event::Began(..) | Event::Refused(..) | Event::Crashed(..));
        if begins
            && !under_way.contains_key(&id)
            && let Some(step) = scenario.steps.get((id as usize).wrapping_sub(1))
        {
            under_way.insert(id, operations.len());
            operations.push(Operation::new(id, step, at));
        }
        if let Some(&index) = under_way.get(&id) {
            operations[index].ended = at;
        }
        match event {
            Event::Ended(..) | Event::Cancelled(_) | Event::Refused(..) => {
                if let Some(index) = under_way.remove(&id) {
                    operations[index].outcome = words::class(event);
                }
            }
            Event::Crashed(..) => {
                let cut_off = std::mem::take(&mut under_way);
                cut_off.into_values().for_each(|index| operations[index].ended = at);
            }
            _ => {}
        }
    }
    operations
}

impl Operation {
    fn new(id: OpId, step: &Step, began: usize) -> Self {
        let name = match step.op {
            Op::Crash(CrashPolicy::Kill) => "kill",
            Op::Crash(_) => "crash",
            Op::Reopen => "reopen",
            _ => step.op.request().map_or("", Request::name),
        };
        let text = words::one_line(&describe(id, step));
        Self { id, client: step.client, name, text, began, ended: began, outcome: "cut-off" }
    }
}
