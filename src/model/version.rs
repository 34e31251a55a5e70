//! What one operation may have left in one sector.

use super::payload::{self, OpId, PATTERN};
use super::request::Data;
use std::ops::Range;

/// A moment of a run: the number of operations that had begun or ended before it.
pub(super) type Tick = u32;

/// Later than every moment.
pub(super) const NEVER: Tick = Tick::MAX;

/// When an operation began and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) began: Tick,
    /// [`NEVER`] while it is under way, or may be: a dropped write can still land.
    pub(super) ended: Tick,
    /// When its future was dropped, of one that may still land; [`NEVER`] of all others.
    pub(super) dropped: Tick,
    /// It has returned `Ok`.
    pub(super) succeeded: bool,
}

impl Times {
    /// Whether what was written from `tick` on, and has completed, stands over what this left. Also
    /// a dropped write must not land over a newer one that has completed.
    pub(super) fn is_before(&self, tick: Tick) -> bool {
        self.ended.min(self.dropped) < tick
    }
}

/// Of an operation that was never made.
pub(super) const UNKNOWN: Times =
    Times { began: NEVER, ended: NEVER, dropped: NEVER, succeeded: false };

/// What one operation may have left in one sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Who left it; 0 for what was there first.
    pub(super) op: OpId,
    /// Since when it is hidden from reads that begin then or later; [`NEVER`] while visible.
    pub(super) hidden: Tick,
    /// Since when something later that has *completed* stands over it: what a flush makes durable.
    pub(super) covered: Tick,
    /// As `covered`, but counting only what was written after the last failed sync.
    pub(super) firmly_covered: Tick,
    /// A crash cannot leave it any more. Implies that it is hidden.
    pub(super) settled: bool,
    pub(super) leaves: Leaves,
}

/// What a version holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// What its write wrote.
    Payload,
    /// What every write of the pattern writes.
    Pattern,
    /// Zeros: what the device held first, or a write of zeros wrote, or some trims leave.
    Zeros,
    /// What other trims leave.
    Scribble,
    /// Unspecified: after trims of which nothing is known, or where the kernel left a sector torn.
    Anything,
}

impl Leaves {
    /// What the write `op` of this data leaves in a sector.
    pub(super) fn of(data: Data, op: OpId, sector: u64) -> Self {
        match data {
            Data::Pattern => Self::Pattern,
            Data::Zeros | Data::Zeroed | Data::Unmapped => Self::Zeros,
            Data::Sparse if payload::is_hole(op, sector) => Self::Zeros,
            Data::Unique | Data::Sparse => Self::Payload,
        }
    }
}

impl Version {
    /// Something later has completed, at the tick `since`.
    pub(super) fn cover(&mut self, since: Tick, firm: bool) {
        self.hidden = self.hidden.min(since);
        self.covered = self.covered.min(since);
        if firm {
            self.firmly_covered = self.firmly_covered.min(since);
        }
    }

    /// Nothing stands over it.
    pub(super) fn uncover(&mut self) {
        (self.hidden, self.covered, self.firmly_covered) = (NEVER, NEVER, NEVER);
    }

    /// Whether a sync called at the tick `called` promises that this cannot come back. One that was
    /// called between two failures is not held to anything: which of what it covered was in doubt
    /// is no longer known.
    pub(super) fn is_covered(&self, called: Tick, doubt: Option<Doubt>) -> bool {
        match doubt {
            Some(Doubt { last, .. }) if called > last => self.firmly_covered <= called,
            Some(Doubt { first, .. }) if called >= first => false,
            _ => self.covered <= called,
        }
    }

    pub(super) fn matches(&self, bytes: &[u8], salt: u64, sector: u64) -> bool {
        match self.leaves {
            Leaves::Payload => payload::matches(bytes, salt, self.op, sector),
            Leaves::Pattern => payload::matches(bytes, salt, PATTERN, sector),
            Leaves::Zeros => payload::is_zero(bytes),
            Leaves::Scribble => payload::is_scribble(bytes),
            Leaves::Anything => true,
        }
    }

    /// Whether all these sectors, of which `bytes` are the contents, hold it.
    pub(super) fn matches_run(&self, bytes: &[u8], salt: u64, sectors: Range<u64>) -> bool {
        match self.leaves {
            Leaves::Payload => payload::matches_run(bytes, salt, self.op, sectors),
            Leaves::Pattern => payload::matches_run(bytes, salt, PATTERN, sectors),
            Leaves::Zeros => payload::is_zero(bytes),
            Leaves::Scribble => payload::is_scribble(bytes),
            Leaves::Anything => true,
        }
    }

    /// Whether it cannot be told from `other` by what is read.
    pub(super) fn resembles(&self, other: &Self) -> bool {
        let either = |leaves| self.leaves == leaves || other.leaves == leaves;
        match self.leaves {
            _ if either(Leaves::Anything) => true,
            Leaves::Payload => self.op == other.op && self.leaves == other.leaves,
            leaves => leaves == other.leaves,
        }
    }
}

/// When syncs failed since the last crash. What was unsynced then may never become durable, however
/// often a later sync succeeds, as the kernel may have marked it clean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) first: Tick,
    pub(super) last: Tick,
}

/// Somebody saw one version in a sector and so not another. That settles which of the two is there,
/// where one is of an operation that had not succeeded, or a crash had left either.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// In each of these sectors.
    pub(super) sectors: Range<u64>,
    /// Who left what was seen; 0 for what was there first.
    pub(super) seen: OpId,
    /// Who left what was not seen.
    pub(super) unseen: OpId,
    /// When the read ended; 0 where the sector was read back after a crash.
    pub(super) at: Tick,
}

/// What every sector holds at first.
pub(super) const FIRST: Version = Version {
    op: 0,
    hidden: NEVER,
    covered: NEVER,
    firmly_covered: NEVER,
    settled: false,
    leaves: Leaves::Zeros,
};

/// The newest version that holds `bytes`; one of which nothing is known only where no other does.
pub(super) fn newest_match<'a>(
    versions: impl DoubleEndedIterator<Item = &'a Version> + Clone,
    bytes: &[u8],
    salt: u64,
    sector: u64,
) -> Option<&'a Version> {
    let known = |version: &&Version| version.leaves != Leaves::Anything;
    let mut named = versions.clone().rev().filter(known);
    let found = named.find(|version| version.matches(bytes, salt, sector));
    found.or_else(|| versions.rev().find(|version| !known(version)))
}
