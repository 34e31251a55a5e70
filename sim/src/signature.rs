//! Which divergences are the same failure.
//!
//! A bug shows in many scenarios, and two that differ only in where and when it shows are one
//! finding. What tells findings apart is the verdict, the operation in question, and where in that
//! operation's range, or in the device, the first wrong sector lies.

use blocktwin::lockstep::Divergence;
use blocktwin::model::{Content, Expected, Finding, Kind, OpId, Request};
use blocktwin::scenario::Scenario;
use std::fmt;

/// What a distinct failure is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signature {
    pub(crate) verdict: Kind,
    /// What the operation in question does: the one that diverged, or the last that was to write
    /// what was read back.
    pub(crate) operation: &'static str,
    pub(crate) place: Place,
}

/// Where the first wrong sector lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// No sector is wrong: it is the answer.
    Nowhere,
    /// The first sector of the operation's range, or of the device.
    First,
    /// In the midst of it.
    Inside,
    /// The last sector of it, and not the first.
    Last,
    /// Beside the operation's range.
    Beside,
}

impl Place {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nowhere => "-",
            Self::First => "first sector",
            Self::Inside => "inside",
            Self::Last => "last sector",
            Self::Beside => "beside",
        }
    }
}

impl Signature {
    pub(crate) fn of(scenario: &Scenario, divergence: &Divergence) -> Self {
        let violation = &divergence.violation;
        let first = violation.findings.first();
        let op = match divergence.op {
            0 => first.and_then(writer).unwrap_or(0),
            op => op,
        };
        let step = scenario.steps.get((op as usize).wrapping_sub(1));
        let request = step.and_then(|step| step.op.request());
        let operation = match step {
            Some(step) => step.op.name(),
            None if first.is_some() => "reading back",
            // As with a hang or a panic: it may have been any.
            None => "-",
        };
        let device = &scenario.device;
        let whole = (0, u64::from(device.block_size).saturating_mul(device.block_count));
        let range = request.and_then(Request::span).unwrap_or(whole);
        let place = first.map_or(Place::Nowhere, |it| {
            place(it.sector.saturating_mul(device.sector_size.into()), device.sector_size, range)
        });
        Self { verdict: violation.kind, operation, place }
    }
}

/// The last operation that a sector which was read back may show, or else the one that it shows.
fn writer(finding: &Finding) -> Option<OpId> {
    let legal = finding.expected.iter().filter_map(|expected| match *expected {
        Expected::Written(op) | Expected::Trimmed(op) | Expected::Anything(op) => Some(op),
        Expected::Zeros => None,
    });
    legal.max().or(match finding.found {
        Content::Written { op, .. } => Some(op),
        Content::Torn { head, tail, .. } => Some(head.max(tail)),
        Content::Zeros | Content::Scribble | Content::Unknown => None,
    })
}

fn place(at: u64, size: u32, (offset, length): (u64, u64)) -> Place {
    match at.checked_sub(offset) {
        Some(0) => Place::First,
        Some(within) if within >= length => Place::Beside,
        Some(within) if within + u64::from(size) >= length => Place::Last,
        Some(_) => Place::Inside,
        None => Place::Beside,
    }
}

/// In words that may be the name of a file, as in `durability-lost-write-first-sector`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, operation, place } = self;
        let text = format!("{verdict} {operation} {}", place.name());
        let words: Vec<&str> = text.split_whitespace().filter(|&word| word != "-").collect();
        f.write_str(&words.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blocktwin::model::Violation;
    use blocktwin::scenario::{Op, Step, decode};

    fn signature(op: OpId, sector: Option<u64>, expected: &[Expected]) -> String {
        let mut scenario = decode(&[]);
        (scenario.device.block_count, scenario.device.file_length) = (8, 4096);
        let write = Step::new(Op::fua_write(512, 2048));
        scenario.steps = vec![write, Step::new(Op::Flush)];
        let mut violation = Violation::new(Kind::DurabilityLost, "");
        violation.findings.extend(sector.map(|sector| {
            let (expected, found) = (expected.to_vec(), Content::Zeros);
            Finding { sector, expected, found, bytes: None }
        }));
        Signature::of(&scenario, &Divergence { op, violation }).to_string()
    }

    #[test]
    fn what_was_read_back_is_the_failure_of_the_one_that_wrote_it() {
        let by_write = [Expected::Zeros, Expected::Written(1)];
        let sectors = [(0, "beside"), (1, "first-sector"), (2, "inside"), (4, "last-sector")];
        for (sector, place) in sectors.into_iter().chain([(5, "beside")]) {
            let expected = format!("durability-lost-fua-write-{place}");
            assert_eq!(signature(0, Some(sector), &by_write), expected);
        }
    }

    #[test]
    fn without_an_operation_the_place_is_in_the_device() {
        let zeros = [Expected::Zeros];
        for (sector, place) in [(0, "first-sector"), (3, "inside"), (7, "last-sector")] {
            let expected = format!("durability-lost-reading-back-{place}");
            assert_eq!(signature(0, Some(sector), &zeros), expected);
            let expected = format!("durability-lost-flush-{place}");
            assert_eq!(signature(2, Some(sector), &zeros), expected);
        }
    }

    #[test]
    fn an_answer_has_no_place() {
        assert_eq!(signature(2, None, &[]), "durability-lost-flush");
        assert_eq!(signature(0, None, &[]), "durability-lost");
    }
}
