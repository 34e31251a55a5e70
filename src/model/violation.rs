//! What a device can do wrong, by name.

use super::difference::Difference;
use super::payload::{Content, OpId, PATTERN};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a device broke the contract. A scenario has one: the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// A read showed older data, or that of a write that had not succeeded although something else
    /// was settled since; what is due is there (clauses 2 and 3).
    Stale,
    /// As [`Stale`](Self::Stale), but what is due is nowhere (clauses 2 and 3).
    Lost,
    /// A sector held data that was meant for another sector, or its own is in another.
    Misdirected,
    /// A sector held a mixture of two contents (clause 3).
    Torn,
    /// A sector held what a refused request was to write (clause 1).
    NeverWritten,
    /// A sector held nothing that was ever written.
    Corrupt,
    /// After a crash a sector held less than was promised to be durable, or the data of a write
    /// that had not succeeded although something else was durable (clauses 3 and 4).
    DurabilityLost,
    /// A write survived a crash, and one from before a barrier in between did not (clause 5).
    OrderingViolated,
    /// The file failed, and the device said `Ok` (clause 7).
    ErrorSwallowed,
    /// The device failed, and no fault explains it (clause 7).
    SpuriousError,
    /// The device failed with an error other than the one that had occurred (clause 7).
    WrongError,
    /// After a failed sync the device said `Ok` (clause 6).
    PoisonIgnored,
    /// A bad request was said to be `Ok` (clause 1).
    RequestNotRejected,
    /// The device touched what it was not asked to: the file past the end of the device, or sectors
    /// beside those that it was to trim (clauses 1 and 8).
    RangeEscaped,
    /// Nothing could go on, or it went on for ever.
    Hang,
    /// The device panicked (clause 1).
    Panic,
    /// A transfer buffer never came back (clause 10).
    LeakedBuffer,
    /// The device describes itself otherwise than it was opened: with another size, or as writable
    /// (clause 1).
    Misdescribed,
    /// A request got a transfer buffer although others had waited for longer, or more memory was
    /// given out than the heap has (clause 10).
    BufferOutOfTurn,
    /// A device that promises a clean close left a task, or made a raw call, after it (clause 4).
    OutlivesClose,
    /// A drain returned while a request was under way that had begun before it (clause 14).
    DrainedEarly,
}

impl Kind {
    /// Every kind, in the order of their definition.
    pub const ALL: [Self; 21] = [
        Self::Stale,
        Self::Lost,
        Self::Misdirected,
        Self::Torn,
        Self::NeverWritten,
        Self::Corrupt,
        Self::DurabilityLost,
        Self::OrderingViolated,
        Self::ErrorSwallowed,
        Self::SpuriousError,
        Self::WrongError,
        Self::PoisonIgnored,
        Self::RequestNotRejected,
        Self::RangeEscaped,
        Self::Hang,
        Self::Panic,
        Self::LeakedBuffer,
        Self::Misdescribed,
        Self::BufferOutOfTurn,
        Self::OutlivesClose,
        Self::DrainedEarly,
    ];

    /// The kind in words, as it stands in a table: `durability lost`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale data",
            Self::Lost => "lost data",
            Self::Misdirected => "misdirected data",
            Self::Torn => "torn sector",
            Self::NeverWritten => "data never written",
            Self::Corrupt => "corrupt data",
            Self::DurabilityLost => "durability lost",
            Self::OrderingViolated => "ordering violated",
            Self::ErrorSwallowed => "error swallowed",
            Self::SpuriousError => "spurious error",
            Self::WrongError => "wrong error",
            Self::PoisonIgnored => "failed sync ignored",
            Self::RequestNotRejected => "request not rejected",
            Self::RangeEscaped => "range escaped",
            Self::Hang => "hang",
            Self::Panic => "panic",
            Self::LeakedBuffer => "leaked buffer",
            Self::Misdescribed => "wrong description",
            Self::BufferOutOfTurn => "buffer out of turn",
            Self::OutlivesClose => "outlives close",
            Self::DrainedEarly => "drained early",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A content that a sector may legally have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Zeros, as before any write.
    Zeros,
    /// What this operation wrote.
    Written(OpId),
    /// What this trim left.
    Trimmed(OpId),
    /// Anything: trimmed by this operation, or torn by the kernel under it.
    Anything(OpId),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zeros => write!(f, "zeros"),
            Self::Written(0) => write!(f, "its first contents"),
            Self::Written(op) => write!(f, "write #{op}"),
            Self::Trimmed(op) => write!(f, "what trim #{op} left"),
            Self::Anything(0) => write!(f, "anything"),
            Self::Anything(op) => write!(f, "anything since #{op}"),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |op: OpId| match op {
            0 => "zeros".to_owned(),
            PATTERN => "the pattern".to_owned(),
            _ => format!("write #{op}"),
        };
        match *self {
            Self::Zeros => write!(f, "zeros"),
            Self::Scribble => write!(f, "0xab, what a trim leaves"),
            Self::Written { op: 0, .. } => write!(f, "first contents"),
            Self::Written { op, .. } => f.write_str(&by(op)),
            Self::Torn { head, tail, at } => {
                write!(f, "the first {at} bytes of {}, then {}", by(head), by(tail))
            }
            Self::Unknown => write!(f, "contents that nobody wrote"),
        }
    }
}

/// A sector that is not as it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The sector, by number.
    pub sector: u64,
    /// What it may legally hold.
    pub expected: Vec<Expected>,
    /// What it holds.
    pub found: Content,
    /// How that differs from what it may hold, where only bytes tell: in a torn sector, and in one
    /// that nobody wrote.
    pub bytes: Option<Box<Difference>>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector {} holds {}", self.sector, self.found)?;
        if let Content::Written { sector, .. } = self.found
            && sector != self.sector
        {
            write!(f, " meant for sector {sector}")?;
        }
        let legal: Vec<String> = self.expected.iter().map(ToString::to_string).collect();
        match &*legal {
            [] => write!(f, "; legal: something newer"),
            _ => write!(f, "; legal: {}", legal.join(" or ")),
        }
    }
}

/// A broken promise: which, where, and in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub kind: Kind,
    /// In one sentence, in the user's terms.
    pub sentence: String,
    /// The sectors that show it, where it is about contents.
    pub findings: Vec<Finding>,
}

impl Violation {
    /// The same, by its right name.
    #[must_use]
    pub fn renamed(mut self, kind: Kind) -> Self {
        self.sentence = self.sentence.replacen(self.kind.name(), kind.name(), 1);
        Self { kind, ..self }
    }

    /// A violation that no sector shows.
    #[cold]
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into(), findings: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_has_its_own_name() {
        assert!(Kind::ALL.is_sorted() && Kind::ALL[19] == Kind::OutlivesClose);
        let mut names = Kind::ALL.map(Kind::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_finding_reads_as_a_sentence() {
        let found = Content::Written { op: 12, sector: 9 };
        let expected = vec![Expected::Zeros, Expected::Written(15)];
        let finding = Finding { sector: 7, expected, found, bytes: None };
        let says = "sector 7 holds write #12 meant for sector 9; legal: zeros or write #15";
        assert_eq!(finding.to_string(), says);
    }
}
