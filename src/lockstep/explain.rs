//! A divergence, for the person who has to understand it.

use super::{Divergence, Event, RawEvent};
use crate::disk::Call;
use crate::model::{Content, Expected, OpId};
use crate::scenario::{DropOn, Op, Scenario, Step};
use std::fmt::{self, Write};

/// Number of events shown before the end.
const EVENTS: usize = 24;

/// Of a long run of reads of a recovery, this many are shown at either end.
const ENDS: usize = 3;

/// Number of operations listed.
const OPERATIONS: usize = 32;

/// Number of raw calls listed for an operation.
const CALLS: usize = 16;

/// Raw calls are listed for at most this many operations that wrote to a sector, and for as many
/// that met a fault or were dropped.
const WRITERS: usize = 4;

/// In a scenario of at most this many operations, the raw calls of all are listed: shrinking has
/// left only those that matter.
const FEW: usize = 4;

/// What diverged: in one sentence, with the operations, the sectors, the raw calls beneath the
/// operations in question, and the last events.
///
/// ```
/// use blocktwin::disk::{Fault, FaultKind, Medium};
/// use blocktwin::lockstep::{Explanation, FileBacked, Options, Runner, Verdict};
/// use blocktwin::scenario::{Op, Scenario, Step, decode};
///
/// // A medium that loses a write, and a device that is held to it.
/// let mut write = Step::new(Op::fua_write(0, 512));
/// write.faults.push(Fault { call: 0, kind: FaultKind::LostWrite });
/// let scenario = Scenario { steps: vec![write], ..decode(&[]) };
/// let options = Options { trace: true, report_media_errors: true, ..Options::default() };
/// let report = Runner::new(FileBacked, Medium::Memory).run(&scenario, options)?;
///
/// let Verdict::Diverged(divergence) = &report.verdict else { panic!("it should") };
/// let text = Explanation::new(&scenario, divergence, &report.trace).to_string();
/// assert!(text.starts_with("DIVERGED: lost data\n"), "{text}");
/// assert!(text.contains("(fault: lost-write)"), "{text}");
/// # Ok::<(), blocktwin::lockstep::RunError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a> {
    scenario: &'a Scenario,
    divergence: &'a Divergence,
    trace: &'a [Event],
    events: usize,
}

/// What a line of an [`Explanation`] is, so that a program can give it a colour.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Part<'a> {
    /// The kind of the divergence.
    Verdict,
    /// What a section is about.
    Heading,
    /// An event.
    Event(&'a Event),
    /// Anything else.
    Text,
}

impl<'a> Explanation<'a> {
    /// Explains what running `scenario` gave. Without a trace neither events nor raw calls are
    /// shown.
    pub fn new(scenario: &'a Scenario, divergence: &'a Divergence, trace: &'a [Event]) -> Self {
        Self { scenario, divergence, trace, events: EVENTS }
    }

    /// The same without the events, for a reader who has seen them already.
    #[must_use]
    pub fn without_events(self) -> Self {
        Self { events: 0, ..self }
    }

    /// The explanation, line by line.
    pub fn lines(&self) -> Vec<(Part<'a>, String)> {
        let mut lines = Lines(Vec::new());
        self.verdict(&mut lines);
        self.operations(&mut lines);
        self.sectors(&mut lines);
        for op in self.in_question() {
            self.raw_calls(op, &mut lines);
        }
        self.calls_of_tasks(&mut lines);
        self.last_events(&mut lines);
        lines.0
    }

    /// The last events up to the divergence; what comes after it is the search for missing data. Of
    /// the many reads of an opening, or of reading back, the first and the last are shown, so that
    /// they do not push out what the device did before.
    fn last_events(&self, lines: &mut Lines<'a>) {
        let until = self.until_divergence();
        let openings = until.iter().zip(self.openings());
        let dull = openings.map(|(event, opening)| (event, is_dull(event, opening)));
        let events: Vec<(&'a Event, bool)> = dull.collect();
        let (mut shown, mut covered) = (Vec::new(), 0);
        let runs: Vec<_> = events.chunk_by(|one, next| one.1 && next.1).collect();
        for run in runs.into_iter().rev() {
            if shown.len() >= self.events {
                break;
            }
            covered += run.len();
            let (end, hidden) = match run.len() {
                length if length > 2 * ENDS + 1 => (ENDS, length - 2 * ENDS),
                length => (length, 0),
            };
            let line = |&(event, _): &(&'a Event, bool)| (Part::Event(event), format!("  {event}"));
            shown.extend(run[run.len() - end..].iter().rev().map(line));
            if hidden > 0 {
                shown.push((Part::Text, format!("        {hidden} more like these")));
                shown.extend(run[..end].iter().rev().map(line));
            }
        }
        if !shown.is_empty() {
            lines.heading(format!("the last {covered} of {} events:", until.len()));
        }
        lines.0.extend(shown.into_iter().rev());
    }

    /// Of each event, whether the device is being opened then.
    fn openings(&self) -> Vec<bool> {
        let mut opening = true;
        let events = self.trace.iter().map(|event| {
            match event {
                Event::Crashed(..) => opening = true,
                Event::Ended(op, ..) => opening |= self.is_reopening(*op),
                Event::Opened(_) => opening = false,
                _ => {}
            }
            opening
        });
        events.collect()
    }

    /// The events up to the divergence.
    fn until_divergence(&self) -> &'a [Event] {
        let found = self.trace.iter().position(|event| matches!(event, Event::Diverged(_)));
        &self.trace[..found.map_or(self.trace.len(), |found| found + 1)]
    }

    fn verdict(&self, lines: &mut Lines<'a>) {
        let Divergence { op, violation } = self.divergence;
        lines.0.push((Part::Verdict, format!("DIVERGED: {}", violation.kind)));
        lines.text(format!("  {}", violation.sentence));
        if let Some(step) = self.step(*op) {
            lines.text(format!("  in operation #{op} of client {}", step.client));
        }
    }

    /// One a line, numbered as in the trace.
    fn operations(&self, lines: &mut Lines<'a>) {
        let Scenario { steps, .. } = self.scenario;
        let plural = if steps.len() == 1 { "operation" } else { "operations" };
        lines.heading(format!("{} {plural}:", steps.len()));
        for (op, step) in (1..).zip(steps).take(OPERATIONS) {
            let client = match self.scenario.clients() {
                0 | 1 => String::new(),
                _ => format!("client {:<2} ", step.client),
            };
            lines.text(format!("  {client}{}", describe(op, step)));
        }
        if steps.len() > OPERATIONS {
            lines.text(format!("  and {} more", steps.len() - OPERATIONS));
        }
    }

    fn sectors(&self, lines: &mut Lines<'a>) {
        let findings = &self.divergence.violation.findings;
        if !findings.is_empty() {
            lines.heading(format!("sectors of {} bytes:", self.scenario.device.sector_size));
        }
        lines.0.extend(findings.iter().map(|it| (Part::Text, format!("  {it}"))));
        let in_bytes = findings.iter().find_map(|it| Some((it.sector, it.bytes.as_ref()?)));
        if let Some((sector, bytes)) = in_bytes {
            let table = bytes.to_string();
            let (headline, table) = table.split_once('\n').unwrap_or((&table, ""));
            lines.heading(format!("in sector {sector}, {headline}"));
            lines.0.extend(table.lines().map(|line| (Part::Text, format!("  {line}"))));
        }
    }

    /// What was called beneath an operation, and what that gave.
    fn raw_calls(&self, op: OpId, lines: &mut Lines<'a>) {
        let Some(name) = self.step(op).map(|step| step.op.name()) else { return };
        // What opened the device after a crash in the midst of the operation is not its own.
        let is_own = |&(_, opening): &(&Event, bool)| !opening || self.is_reopening(op);
        let is_beneath = |event: &&Event| matches!(event, Event::Raw(it) if it.raw.caller.op == op);
        let events = self.trace.iter().zip(self.openings()).filter(is_own);
        let calls: Vec<&Event> = events.map(|(event, _)| event).filter(is_beneath).collect();
        lines.heading(format!("raw calls beneath #{op}, {name}:"));
        if calls.is_empty() {
            let others = self.trace.iter().any(is_of_task);
            let none = if others { "  none of its own" } else { "  none" };
            lines.text(none.to_owned());
        }
        lines.last_of(&calls);
    }

    /// The last raw calls that tasks of the device made before the divergence.
    fn calls_of_tasks(&self, lines: &mut Lines<'a>) {
        let until = self.until_divergence().iter();
        let calls: Vec<&Event> = until.filter(|event| is_of_task(event)).collect();
        if !calls.is_empty() {
            lines.heading("raw calls of tasks of the device:".to_owned());
            lines.last_of(&calls);
        }
    }

    /// The operations whose raw calls may tell what went wrong: the one that diverged, those that
    /// were to have written what it should have seen, the one whose data it saw, and those that met
    /// a fault or were dropped. Where that was read back after a crash, the last that was to have
    /// made it durable too.
    fn in_question(&self) -> Vec<OpId> {
        if self.trace.is_empty() {
            return Vec::new();
        }
        let Divergence { op, violation } = self.divergence;
        let finding = violation.findings.first();
        let written = finding.iter().flat_map(|it| &it.expected).filter_map(|it| match *it {
            Expected::Written(op) | Expected::Trimmed(op) => Some(op),
            Expected::Zeros | Expected::Anything(_) => None,
        });
        let seen = finding.and_then(|it| match it.found {
            Content::Written { op, .. } => Some(op),
            _ => None,
        });
        let sync = self.last_sync().filter(|_| *op == 0);
        let steps = self.scenario.steps.len();
        let few = 1..=if steps <= FEW { steps } else { 0 };
        let few = few.filter_map(|op| OpId::try_from(op).ok()).filter(|&op| !self.is_crash(op));
        let chosen = [*op].into_iter().chain(written.take(WRITERS)).chain(seen).chain(sync);
        let mut ops: Vec<OpId> = chosen.chain(self.disturbed()).chain(few).collect();
        ops.sort_unstable();
        ops.dedup();
        ops
    }

    /// The last operations that were dropped, or whose raw calls met a fault.
    fn disturbed(&self) -> Vec<OpId> {
        let mut ops = Vec::new();
        for event in self.until_divergence().iter().rev() {
            let op = match event {
                Event::Cancelled(op) => *op,
                Event::Raw(RawEvent { raw, .. }) if raw.fault.is_some() => raw.caller.op,
                _ => continue,
            };
            if ops.len() < WRITERS && !ops.contains(&op) {
                ops.push(op);
            }
        }
        ops
    }

    /// Whether this operation closes the device and opens it again.
    fn is_reopening(&self, op: OpId) -> bool {
        self.step(op).is_some_and(|step| step.op == Op::Reopen)
    }

    /// Whether this operation crashes.
    fn is_crash(&self, op: OpId) -> bool {
        self.step(op).is_some_and(|step| matches!(step.op, Op::Crash(_)))
    }

    /// The last flush, barrier or close that returned `Ok` before the power failed.
    fn last_sync(&self) -> Option<OpId> {
        let crash = self.trace.iter().rposition(|event| matches!(event, Event::Crashed(..)))?;
        self.trace[..crash].iter().rev().find_map(|event| match *event {
            Event::Ended(op, Ok(()), _) => {
                let is_sync =
                    |it: &Step| matches!(it.op, Op::Flush | Op::Barrier | Op::Close | Op::Reopen);
                self.step(op).filter(|step| is_sync(step)).map(|_| op)
            }
            _ => None,
        })
    }

    /// The step of an operation; there is none of number 0.
    fn step(&self, op: OpId) -> Option<&'a Step> {
        self.scenario.steps.get((op as usize).checked_sub(1)?)
    }
}

/// Whether it says little: what was read back, or a raw call that reads well, while the device is
/// being opened or read back.
fn is_dull(event: &Event, opening: bool) -> bool {
    match event {
        Event::ReadBack(..) => true,
        Event::Raw(RawEvent { raw, task: None, .. }) if opening || raw.caller.op == 0 => {
            let reads = matches!(raw.call, Call::Read | Call::Length | Call::Open | Call::List);
            reads && raw.fault.is_none() && raw.result.is_ok()
        }
        _ => false,
    }
}

/// Whether this is a raw call that a task of the device's made.
fn is_of_task(event: &Event) -> bool {
    matches!(event, Event::Raw(it) if it.task.is_some())
}

/// The lines, each on a line of its own, without a newline at the end.
impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines().into_iter().map(|(_, line)| line).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The lines of an explanation so far.
struct Lines<'a>(Vec<(Part<'a>, String)>);

impl<'a> Lines<'a> {
    /// The last few of these events.
    fn last_of(&mut self, events: &[&'a Event]) {
        let (hidden, shown) = events.split_at(events.len().saturating_sub(CALLS));
        if !hidden.is_empty() {
            self.text(format!("  {} before these", hidden.len()));
        }
        self.0.extend(shown.iter().map(|&event| (Part::Event(event), format!("  {event}"))));
    }

    /// After an empty line.
    fn heading(&mut self, line: String) {
        self.text(String::new());
        self.0.push((Part::Heading, line));
    }

    fn text(&mut self, line: String) {
        self.0.push((Part::Text, line));
    }
}

/// The operation number `op` in one line, with the faults that it meets and how it is cut short, in
/// the words of the trace.
pub fn describe(op: OpId, step: &Step) -> String {
    let mut line = match (step.op, step.op.request()) {
        (Op::Crash(survivors), _) => Event::Crashed(op, survivors).to_string(),
        (_, Some(request)) => Event::Began(op, request, step.op.data()).to_string(),
        (_, None) => format!("#{op:<4} reopen"),
    };
    // Writing to a string cannot fail.
    for fault in &step.faults {
        let _ = write!(line, "   (fault at raw call {}: {:?})", fault.call, fault.kind);
    }
    match (step.drop_at, step.drop_on) {
        (None, _) => {}
        (Some(at), DropOn::Suspension) => {
            let _ = write!(line, "   (dropped at suspension {at})");
        }
        (Some(0), DropOn::NextPoll) => line.push_str("   (dropped instead of the first poll)"),
        (Some(at), DropOn::NextPoll) => {
            let _ = write!(line, "   (dropped instead of the poll after suspension {at})");
        }
    }
    if let Some((at, survivors)) = step.crash_at {
        let _ = write!(line, "   ({} at suspension {at}; {survivors})", survivors.event());
    }
    line
}
