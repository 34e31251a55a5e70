//! How often each promise of the contract was put to the test.

/// A clause of the contract, as far as the oracle checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clause {
    /// Clause 1: a bad request is refused.
    BadRequests,
    /// Clause 2: a read shows what was written, sector by sector.
    ReadYourWrites,
    /// Clause 3: a sector that a failed, cancelled or cut off write covered is old or new.
    OldOrNew,
    /// Clause 4: after a crash, a sector holds nothing older than was promised.
    Durability,
    /// Clause 5: after a crash, what was written before and after a barrier is in order.
    Ordering,
    /// Clause 6: after a failed sync, nothing is promised.
    SyncFailure,
    /// Clause 7: failures of the file are surfaced.
    Errors,
    /// Clause 7: a request that met a transient condition, or none, succeeds.
    NoInventedErrors,
    /// Clause 8: what was trimmed stays trimmed until it is written.
    Trim,
    /// What a medium silently corrupted stays inside its sectors.
    Containment,
    /// Clause 10: a buffer larger than the heap is refused.
    Buffers,
    /// Clause 14: a drain waits for what was under way.
    Drain,
}

impl Clause {
    /// Every clause, in the order of their definition.
    pub const ALL: [Self; 12] = [
        Self::BadRequests,
        Self::ReadYourWrites,
        Self::OldOrNew,
        Self::Durability,
        Self::Ordering,
        Self::SyncFailure,
        Self::Errors,
        Self::NoInventedErrors,
        Self::Trim,
        Self::Containment,
        Self::Buffers,
        Self::Drain,
    ];

    /// The clause as it stands in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequests => "bad requests refused",
            Self::ReadYourWrites => "read your writes",
            Self::OldOrNew => "old or new",
            Self::Durability => "durability",
            Self::Ordering => "ordering",
            Self::SyncFailure => "failed sync ends promises",
            Self::Errors => "errors surfaced",
            Self::NoInventedErrors => "no invented errors",
            Self::Trim => "trim",
            Self::Containment => "silent harm contained",
            Self::Buffers => "buffers",
            Self::Drain => "drain",
        }
    }
}

/// How often each [`Clause`] was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks([u64; Clause::ALL.len()]);

impl Checks {
    pub(super) fn count(&mut self, clause: Clause, times: u64) {
        self.0[clause as usize] += times;
    }

    /// How often `clause` was checked.
    pub fn of(&self, clause: Clause) -> u64 {
        self.0[clause as usize]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
