//! How requests ended, and what is said of the data of one that did not succeed.
//!
//! A write that failed or was dropped leaves each sector old or new, until something settles which:
//! a newer write that returns `Ok`, or a read that shows the sector. So does a write that a crash
//! may have lost. A device that shows the other of the two after that has not simply lost data, and
//! the sentence says what had settled it.

use super::payload::{Content, OpId};
use super::request::{Outcome, Request};
use super::twin::Twin;
use super::version::Sighting;
use super::violation::{Expected, Finding, Kind};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has not, or a crash has cut it off.
    Open,
    Succeeded,
    Failed,
    Dropped,
}

impl Fate {
    /// How a request ended whose data is not to be there, after its name.
    fn words(self) -> &'static str {
        match self {
            Self::Failed => "had failed",
            Self::Dropped => "had been dropped",
            Self::Open => "had been cut off by a crash",
            Self::Succeeded => "had been lost in a crash",
        }
    }

    pub(super) fn of(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Answered { result: Ok(()), .. } => Self::Succeeded,
            Outcome::Answered { .. } => Self::Failed,
            Outcome::Cancelled | Outcome::NeverPolled => Self::Dropped,
        }
    }
}

/// What is said of a sector that holds what it must not.
pub(super) struct Account {
    /// What was found: `durability lost`, or `data of a failed write`.
    pub(super) found: String,
    /// Why that must not be there, after a semicolon; empty where there is no more to say.
    pub(super) reason: String,
}

impl Twin {
    /// What to say of a sector that holds what it must not, and is called `kind`.
    #[cold]
    pub(super) fn account(&self, finding: &Finding, kind: Kind, after_crash: bool) -> Account {
        let about_age = matches!(kind, Kind::Stale | Kind::Lost | Kind::DurabilityLost);
        let is_void = |&op: &OpId| match self.fate(op) {
            Fate::Succeeded => self.ruled_out(finding, op).is_some_and(|it| it.at == 0),
            _ => !self.in_flight.contains(&op),
        };
        let writer = writer(finding).filter(is_void);
        match writer {
            Some(op) if about_age => self.came_back(finding, op, after_crash),
            Some(op) if kind == Kind::NeverWritten => {
                let ended = match self.fate(op) {
                    Fate::Failed => "had been refused",
                    fate => fate.words(),
                };
                Account { found: kind.to_string(), reason: format!("; {} {ended}", self.title(op)) }
            }
            _ => {
                let promised = self.promise(finding).filter(|_| kind == Kind::DurabilityLost);
                let shown = || self.had_shown(finding, after_crash).filter(|_| about_age);
                let reason = promised.or_else(shown).unwrap_or_default();
                Account { found: kind.to_string(), reason }
            }
        }
    }

    /// The data of `op`, which had not succeeded or was lost, is there although something else was
    /// settled since.
    fn came_back(&self, finding: &Finding, op: OpId, after_crash: bool) -> Account {
        let fate = self.fate(op);
        let sort = match fate {
            Fate::Failed => "a failed write",
            Fate::Dropped => "a dropped write",
            Fate::Open => "a write that a crash had cut off",
            Fate::Succeeded => "a write that a crash had lost",
        };
        let (title, ended) = (self.title(op), fate.words());
        let back = if after_crash { " came back" } else { "" };
        let promise = self.promise(finding).filter(|_| after_crash);
        let newer = self.newer(finding, op).filter(|_| promise.is_some() || !after_crash);
        if let Some(newer) = newer {
            let answered = promise.unwrap_or_else(|| ", which returned Ok".to_owned());
            return Account {
                found: format!("data of {sort}{back} in place of newer data"),
                reason: format!("; {title} {ended} before {} began{answered}", self.title(newer)),
            };
        }
        let mut reason = format!("; {title} {ended}");
        if let Some(sighting) = self.ruled_out(finding, op) {
            let seen = match sighting.seen {
                0 => "the old contents".to_owned(),
                seen => self.left_by(seen),
            };
            reason += &format!(", and {} had shown {seen}", self.showed(sighting));
            reason += &self.durable(sighting).filter(|_| after_crash).unwrap_or_default();
        }
        Account { found: format!("data of {sort}{back}"), reason }
    }

    /// What last showed that the data of `op` is not there.
    fn ruled_out(&self, finding: &Finding, op: OpId) -> Option<&Sighting> {
        let settled = |it: &&Sighting| it.sectors.contains(&finding.sector) && it.unseen == op;
        self.legal.sightings().iter().rev().find(settled)
    }

    /// What is to be there is the data of a request that had not succeeded: who had shown it.
    fn had_shown(&self, finding: &Finding, after_crash: bool) -> Option<String> {
        let due: Vec<OpId> = finding.expected.iter().filter_map(named).collect();
        if due.is_empty() || due.iter().any(|&op| self.fate(op) == Fate::Succeeded) {
            return None;
        }
        let shown = |it: &&Sighting| it.sectors.contains(&finding.sector) && due.contains(&it.seen);
        let sighting = self.legal.sightings().iter().rev().find(shown)?;
        let ended = match self.fate(sighting.seen) {
            Fate::Open if self.in_flight.contains(&sighting.seen) => "had not ended",
            fate => fate.words(),
        };
        let (title, showed) = (self.title(sighting.seen), self.showed(sighting));
        let durable = self.durable(sighting).filter(|_| after_crash).unwrap_or_default();
        Some(format!("; {title} {ended}, but {showed} had shown its data{durable}"))
    }

    /// Which sync made durable what was seen, where one was called after that.
    fn durable(&self, sighting: &Sighting) -> Option<String> {
        let is_later = |&sync: &OpId| self.legal.times(sync).began > sighting.at;
        let sync = self.last_sync.filter(is_later).filter(|_| sighting.at != 0)?;
        Some(format!(" before {}, which returned Ok", self.title(sync)))
    }

    /// A write or trim that the sector may hold, that began after `op` was over and returned `Ok`.
    fn newer(&self, finding: &Finding, op: OpId) -> Option<OpId> {
        let over = self.legal.times(op);
        let over = over.ended.min(over.dropped);
        let is_newer =
            |&op: &OpId| self.fate(op) == Fate::Succeeded && self.legal.times(op).began > over;
        finding.expected.iter().filter_map(named).find(is_newer)
    }

    /// Who has seen it.
    fn showed(&self, sighting: &Sighting) -> String {
        let is_it = |&op: &OpId| {
            let request = self.log[op as usize].request;
            matches!(request, Request::Read { .. }) && self.legal.times(op).ended == sighting.at
        };
        let ops = 1..OpId::try_from(self.log.len()).unwrap_or(OpId::MAX);
        match ops.rev().find(is_it) {
            Some(read) => format!("read #{read}"),
            None => "reading back".to_owned(),
        }
    }

    fn fate(&self, op: OpId) -> Fate {
        self.log.get(op as usize).map_or(Fate::Open, |entry| entry.fate)
    }

    /// What an operation has left.
    fn left_by(&self, op: OpId) -> String {
        match self.log[op as usize].request {
            Request::Trim { .. } => format!("what trim #{op} left"),
            _ => self.title(op),
        }
    }

    fn title(&self, op: OpId) -> String {
        format!("{} #{op}", self.log[op as usize].request.name())
    }
}

/// Whose data the sector holds, if it was meant for the sector.
fn writer(finding: &Finding) -> Option<OpId> {
    match finding.found {
        Content::Written { op, sector } if op != 0 && sector == finding.sector => Some(op),
        _ => None,
    }
}

/// The operation that a legal content is of.
fn named(expected: &Expected) -> Option<OpId> {
    match *expected {
        Expected::Written(op) | Expected::Trimmed(op) | Expected::Anything(op) => {
            Some(op).filter(|&op| op != 0)
        }
        Expected::Zeros => None,
    }
}
