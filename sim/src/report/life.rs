//! What became of one sector, told event by event: only what bears on it.

use super::data;
use super::sectors::Histories;
use super::words;
use blocktwin::device::DeviceError;
use blocktwin::disk::{Call, CrashPolicy};
use blocktwin::lockstep::{Event, RawEvent, Report};
use blocktwin::model::{Kind, OpId, Request};
use std::collections::BTreeMap;
use std::ops::Range;

/// So many sectors are told of.
pub(super) const MOST_SECTORS: usize = 3;

/// So many sentences are told of a sector, the last ones.
const MOST_SENTENCES: usize = 24;

/// What happened to a sector at an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// The event, by number.
    pub(super) event: usize,
    /// What kind of event it is to the sector: see the style sheet.
    pub(super) class: &'static str,
    pub(super) text: String,
}

/// The life of a sector of `size` bytes.
pub(super) fn of_sector(
    report: &Report,
    histories: &Histories,
    number: u64,
    size: u64,
) -> Vec<Sentence> {
    let events = data::events(report);
    let last = data::diverged(&events).unwrap_or(events.len());
    let start = number.saturating_mul(size);
    let bytes = start..start.saturating_add(size);
    let ordered = report.verdict.kind() == Some(Kind::OrderingViolated);
    let mut teller =
        Teller { requests: BTreeMap::new(), bytes, number, histories, ordered, barrier: None };
    let mut sentences = Vec::new();
    for (at, event) in events.into_iter().enumerate().take(last + 1) {
        let change = histories.change(number, at);
        if let Some((class, text)) = teller.tell(at, event, change) {
            sentences.push(Sentence { event: at, class, text });
        }
    }
    sentences.drain(..sentences.len().saturating_sub(MOST_SENTENCES));
    sentences
}

/// A class of the style sheet, and a sentence.
type Told = (&'static str, String);

/// What is visible before and after, what is durable before and after.
type Change = [(String, String); 2];

struct Teller<'a> {
    /// Requests under way.
    requests: BTreeMap<OpId, Request>,
    /// Of the sector.
    bytes: Range<u64>,
    number: u64,
    histories: &'a Histories,
    /// It is about order, and so about other sectors as well.
    ordered: bool,
    /// The last barrier that returned `Ok`, until something is written after it.
    barrier: Option<OpId>,
}

impl Teller<'_> {
    fn tell(&mut self, at: usize, event: &Event, change: Option<Change>) -> Option<Told> {
        match event {
            Event::Crashed(_, survivors) => Some(self.crashed(at, *survivors, change)),
            Event::Raw(raw) => match change {
                Some(change) => Some(changed(raw, &change)),
                None if words::is_on_map(raw) => self.unchanged(raw),
                None => None,
            },
            Event::Began(op, request, _) => {
                self.requests.insert(*op, *request);
                self.issued(*op, *request)
            }
            Event::Ended(op, result, seen) => {
                let request = self.requests.remove(op)?;
                if request == Request::Barrier && result.is_ok() {
                    self.barrier = Some(*op);
                }
                self.ended(at, *op, request, result.err(), seen)
            }
            Event::Diverged(_) => Some(("diverged", "Here the device diverged.".to_owned())),
            _ => None,
        }
    }

    fn crashed(&self, at: usize, survivors: CrashPolicy, change: Option<Change>) -> Told {
        let sector = self.number;
        let mut fate = match change {
            Some([(before, after), _]) if before != after => {
                format!("sector {sector} falls back from {before} to {after}")
            }
            Some([(_, after), _]) => format!("{after} survives"),
            None => "nothing of this sector was unsynced".to_owned(),
        };
        let others = self.histories.survivors(at).filter(|(other, _)| *other != sector);
        if let Some((other, content)) = others.last().filter(|_| self.ordered) {
            fate += &format!(", while {content} survives in sector {other}");
        }
        ("crash", format!("The {}; {survivors}: {fate}.", survivors.event()))
    }

    /// A raw call that did not change the sector, and still says something of it.
    fn unchanged(&self, event: &RawEvent) -> Option<Told> {
        let (raw, by) = (&event.raw, by(event));
        let call = raw.call.name();
        match (raw.call, raw.result, raw.fault) {
            (Call::Sync, Ok(_), _) => Some(("idle", format!("{call}{by}: nothing new here."))),
            (Call::Sync, Err(_), None) => Some(("fault", format!("{call}{by} fails."))),
            (Call::Sync, Err(_), Some(fault)) => {
                Some(("fault", format!("{call}{by} fails ({}).", fault.name())))
            }
            (_, _, Some(fault)) if self.is_about(raw.offset, raw.length) => {
                Some(("fault", format!("{call}{by} meets {}.", fault.name())))
            }
            _ => None,
        }
    }

    /// What is written elsewhere counts where a barrier has to keep it behind.
    fn issued(&mut self, op: OpId, request: Request) -> Option<Told> {
        let (offset, length) = request.span().filter(|_| request.is_change() && self.ordered)?;
        if self.is_about(offset, length) {
            return None;
        }
        let (name, barrier) = (request.name(), self.barrier.take()?);
        Some(("visible", format!("{name} #{op} is issued after barrier #{barrier}, elsewhere.")))
    }

    fn is_about(&self, offset: u64, length: u64) -> bool {
        offset < self.bytes.end && offset.saturating_add(length) > self.bytes.start
    }

    /// An answer, and what it promises.
    fn ended(
        &self,
        at: usize,
        op: OpId,
        request: Request,
        failed: Option<DeviceError>,
        seen: &[OpId],
    ) -> Option<Told> {
        let about = request.span().is_none_or(|(offset, length)| self.is_about(offset, length));
        let name = request.name();
        if !about {
            return None;
        }
        if let Some(error) = failed {
            return Some(("failed", format!("{name} #{op} failed: {error}.")));
        }
        let promise = match request {
            Request::Read { .. } if seen.is_empty() => return None,
            Request::Read { .. } => "saw what was due",
            Request::Write { fua: true, .. } => "promises that it is durable",
            Request::Write { .. } => "from now on reads have to show it",
            Request::Trim { fua: false, .. } => "anything may be read until it is written again",
            Request::Trim { fua: true, .. } => "anything may be read, also after a crash",
            Request::Flush | Request::Close => {
                "promises that everything completed before it is durable"
            }
            Request::Drain => "what was under way before it is over",
            Request::Barrier => {
                "promises that no later write becomes durable before those completed so far"
            }
        };
        let [visible, durable] = self.histories.held(self.number, at);
        let fact = match request {
            Request::Read { .. } | Request::Trim { .. } | Request::Drain => String::new(),
            Request::Write { fua: false, .. } if visible == format!("write #{op}") => String::new(),
            Request::Write { fua: false, .. } => format!("; the file has {visible}"),
            _ => format!("; durable here: {durable}"),
        };
        Some(("promise", format!("{name} #{op} returned Ok: {promise}{fact}.")))
    }
}

/// A raw call that changed the sector.
fn changed(event: &RawEvent, [visible, durable]: &Change) -> Told {
    let words = |what: &str, (before, after): &(String, String)| match before == after {
        true => format!("{what} still {after}"),
        false => format!("{what} {before} → {after}"),
    };
    let class = if visible.0 == visible.1 { "durable" } else { "visible" };
    let (visible, durable) = (words("visible", visible), words("durable", durable));
    (class, format!("{}{}: {visible}; {durable}.", event.raw.call.name(), by(event)))
}

/// Who makes a raw call.
fn by(event: &RawEvent) -> String {
    words::caller(event).map(|who| format!(" of {who}")).unwrap_or_default()
}
