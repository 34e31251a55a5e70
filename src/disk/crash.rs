//! What a crash leaves.

use super::fault::FaultClass;
use crate::rng::{Purpose, Rng};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which of its contents each unsynced sector keeps in a crash: what was durable, or any of what
/// was written since. Or, with [`Kill`](Self::Kill), the crash is one of the process alone.
///
/// Sectors are decided one by one; the length of the file, where it has grown since the last sync,
/// is decided like one more sector, before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// The newest content of every sector: as if everything had just been synced.
    All,
    /// Nothing unsynced.
    None,
    /// For each sector any of its contents, by this seed.
    Random(u64),
    /// As `Random`, but runs of neighbouring sectors share a fate, as a medium that writes larger
    /// units would have it.
    Runs(u64),
    /// Only what the newest raw call wrote.
    NewestKept,
    /// Everything but what the newest raw call wrote.
    NewestLost,
    /// Only what one raw call wrote, drawn by this seed.
    OneKept(u64),
    /// Everything but what one raw call wrote, drawn by this seed.
    OneLost(u64),
    /// The newest content of those unsynced sectors whose bit is set, counted in order and modulo
    /// 64; the length of the file, where it has grown, counts first.
    Mask(u64),
    /// *Beyond the contract:* as `Random`, and some unsynced sectors are torn at a byte.
    TornBytes(u64),
    /// *Beyond the contract:* as `Random`, and some unsynced sectors hold garbage.
    Garbage(u64),
    /// *Beyond the contract:* as `Random`, and some unsynced sectors cannot be read until they are
    /// written again.
    Unreadable(u64),
    /// The process dies, and the machine lives: as `kill -9` does it. Requests and tasks are no
    /// more, and raw calls that have not taken effect never do. What was unsynced stays in the page
    /// cache, visible and unsynced: a power failure later may still lose it.
    Kill,
}

impl CrashPolicy {
    /// A number for each policy, and its parameter.
    pub fn code(self) -> (u64, u64) {
        match self {
            Self::All => (0, 0),
            Self::None => (1, 0),
            Self::Random(seed) => (2, seed),
            Self::Runs(seed) => (3, seed),
            Self::NewestKept => (4, 0),
            Self::NewestLost => (5, 0),
            Self::OneKept(seed) => (6, seed),
            Self::OneLost(seed) => (7, seed),
            Self::Mask(mask) => (8, mask),
            Self::TornBytes(seed) => (9, seed),
            Self::Garbage(seed) => (10, seed),
            Self::Unreadable(seed) => (11, seed),
            Self::Kill => (12, 0),
        }
    }

    /// The policy of this number, with this parameter where it has one: the inverse of
    /// [`code`](Self::code).
    pub fn from_code(code: u64, seed: u64) -> Option<Self> {
        Some(match code {
            0 => Self::All,
            1 => Self::None,
            2 => Self::Random(seed),
            3 => Self::Runs(seed),
            4 => Self::NewestKept,
            5 => Self::NewestLost,
            6 => Self::OneKept(seed),
            7 => Self::OneLost(seed),
            8 => Self::Mask(seed),
            9 => Self::TornBytes(seed),
            10 => Self::Garbage(seed),
            11 => Self::Unreadable(seed),
            12 => Self::Kill,
            _ => return None,
        })
    }

    /// This, or where it is [beyond the contract](Self::is_beyond_contract), the same choice
    /// without the damage.
    #[must_use]
    pub fn within_contract(self) -> Self {
        if self.is_beyond_contract() { Self::Random(self.code().1) } else { self }
    }

    /// What happens, as a clause: "power fails" or "process dies".
    pub fn event(self) -> &'static str {
        if self == Self::Kill { "process dies" } else { "power fails" }
    }

    /// What it counts as.
    pub fn class(self) -> FaultClass {
        if self == Self::Kill { FaultClass::Kill } else { FaultClass::Crash }
    }

    /// Whether no device over a plain file could promise anything of the sectors that this damages.
    pub fn is_beyond_contract(self) -> bool {
        matches!(self, Self::TornBytes(_) | Self::Garbage(_) | Self::Unreadable(_))
    }
}

impl fmt::Display for CrashPolicy {
    /// What survives, as it stands after the [event](CrashPolicy::event).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "everything survives"),
            Self::None => write!(f, "nothing unsynced survives"),
            Self::Random(seed) => write!(f, "each sector keeps any of its contents (seed {seed})"),
            Self::Runs(seed) => write!(f, "runs of sectors share a fate (seed {seed})"),
            Self::NewestKept => write!(f, "only the newest write survives"),
            Self::NewestLost => write!(f, "all but the newest write survives"),
            Self::OneKept(seed) => write!(f, "only one write survives (seed {seed})"),
            Self::OneLost(seed) => write!(f, "all but one write survives (seed {seed})"),
            Self::Mask(mask) => write!(f, "the sectors of the mask {mask:#x} survive"),
            Self::TornBytes(seed) => write!(f, "sectors are torn inside (seed {seed})"),
            Self::Garbage(seed) => write!(f, "sectors hold garbage (seed {seed})"),
            Self::Unreadable(seed) => write!(f, "sectors cannot be read (seed {seed})"),
            Self::Kill => write!(f, "nothing is lost, and nothing becomes durable"),
        }
    }
}

/// What is done to a sector beyond choosing what survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// It ends as the newest content up to this byte, and as the chosen one from there on.
    TornAt(usize),
    /// It holds bytes drawn from this.
    Garbage(u64),
    /// It cannot be read.
    Unreadable,
}

/// Decides sector by sector, in order.
pub(super) struct CrashOutcome {
    policy: CrashPolicy,
    /// Made when something is drawn: most often nothing is unsynced, or there is nothing to draw.
    rng: Option<Box<Rng>>,
    /// The raw call that is kept or lost alone.
    call: u64,
    /// How many sectors have been decided.
    decided: u32,
    /// The sector after the last one decided, and its fate in [`PARTS`].
    run: Option<(u64, u64)>,
}

/// CrashOutcome are drawn in this many parts.
const PARTS: u64 = 1 << 16;

impl CrashOutcome {
    /// Of the changes that the raw calls of these numbers made, in order.
    pub(super) fn new(policy: CrashPolicy, calls: impl Iterator<Item = u64> + Clone) -> Self {
        let mut outcome = Self { policy, rng: None, call: 0, decided: 0, run: None };
        let call = match policy {
            CrashPolicy::OneKept(_) | CrashPolicy::OneLost(_) => {
                let count = calls.clone().count() as u64;
                let chosen = if count == 0 { 0 } else { outcome.rng().below(count) };
                calls.clone().nth(usize::try_from(chosen).expect("calls are kept in memory"))
            }
            _ => calls.last(),
        };
        outcome.call = call.unwrap_or(0);
        outcome
    }

    fn rng(&mut self) -> &mut Rng {
        let (_, seed) = self.policy.code();
        self.rng.get_or_insert_with(|| Box::new(Rng::new(seed, Purpose::Crash)))
    }

    /// Which content survives in `sector`: 0 for the durable one, or one more than the place of a
    /// version in `versions`, which are the numbers of the raw calls that made them.
    pub(super) fn choose(&mut self, sector: u64, versions: &[u64]) -> usize {
        let newest = versions.len();
        let contents = newest as u64 + 1;
        let count = self.decided;
        self.decided += 1;
        let place = |wanted: bool| {
            let found = versions.iter().rposition(|&call| (call == self.call) == wanted);
            found.map_or(0, |at| at + 1)
        };
        match self.policy {
            CrashPolicy::All => newest,
            CrashPolicy::None => 0,
            CrashPolicy::Mask(mask) => {
                if mask >> (count % 64) & 1 == 1 {
                    newest
                } else {
                    0
                }
            }
            CrashPolicy::NewestKept | CrashPolicy::OneKept(_) => place(true),
            CrashPolicy::NewestLost | CrashPolicy::OneLost(_) => place(false),
            CrashPolicy::Runs(_) => {
                let run = self.run;
                let fate = match run {
                    Some((next, fate)) if next == sector && !self.rng().chance(1, 8) => fate,
                    _ => self.rng().below(PARTS),
                };
                self.run = Some((sector.wrapping_add(1), fate));
                usize::try_from(fate * contents / PARTS).expect("one of the contents")
            }
            _ => usize::try_from(self.rng().below(contents)).expect("one of the contents"),
        }
    }

    /// What else is done to an unsynced sector of `size` bytes.
    pub(super) fn damage(&mut self, size: usize) -> Option<Damage> {
        if !self.policy.is_beyond_contract() || self.rng().chance(1, 2) {
            return None;
        }
        let drawn = self.rng().below(size as u64 - 1) + 1;
        Some(match self.policy {
            CrashPolicy::TornBytes(_) => {
                Damage::TornAt(usize::try_from(drawn).expect("a place in the sector"))
            }
            CrashPolicy::Garbage(_) => Damage::Garbage(self.rng().next_u64()),
            _ => Damage::Unreadable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_its_own_number() {
        for code in 0..13 {
            let policy = CrashPolicy::from_code(code, 7).unwrap();
            assert_eq!(policy.code().0, code);
            assert_eq!(CrashPolicy::from_code(code, policy.code().1), Some(policy));
        }
        assert_eq!(CrashPolicy::from_code(13, 7), None);
    }

    #[test]
    fn policies_choose_what_they_say() {
        let calls = [1, 2, 3];
        let choices = |policy| {
            let mut outcome = CrashOutcome::new(policy, calls.into_iter());
            (0..64).map(|sector| outcome.choose(sector, &[1, 3])).collect::<Vec<_>>()
        };
        let always = |policy, choice| choices(policy).iter().all(|&it| it == choice);
        assert!(always(CrashPolicy::All, 2) && always(CrashPolicy::None, 0));
        assert!(always(CrashPolicy::NewestKept, 2) && always(CrashPolicy::NewestLost, 1));
        assert_eq!(choices(CrashPolicy::Mask(0b101))[..4], [2, 0, 2, 0]);
        let kept: Vec<_> = (0..40).map(|seed| choices(CrashPolicy::OneKept(seed))[0]).collect();
        assert!((0..=2).all(|choice| kept.contains(&choice)), "{kept:?}");
        let lost: Vec<_> = (0..40).map(|seed| choices(CrashPolicy::OneLost(seed))[0]).collect();
        assert!(lost.contains(&1) && lost.contains(&2) && !lost.contains(&0), "{lost:?}");
    }

    #[test]
    fn runs_change_less_often_than_sectors_drawn_one_by_one() {
        let choices = |policy| {
            let mut outcome = CrashOutcome::new(policy, [1, 2].into_iter());
            (0..64).map(|sector| outcome.choose(sector, &[1, 2])).collect::<Vec<_>>()
        };
        let changes = |chosen: &[usize]| chosen.windows(2).filter(|it| it[0] != it[1]).count();
        let (random, runs) = (choices(CrashPolicy::Random(1)), choices(CrashPolicy::Runs(1)));
        for chosen in [&random, &runs] {
            assert!((0..=2).all(|choice| chosen.contains(&choice)), "{chosen:?}");
        }
        assert!(changes(&runs) * 3 < changes(&random), "{runs:?}");
        assert_eq!(runs, choices(CrashPolicy::Runs(1)));
    }

    #[test]
    fn only_policies_beyond_the_contract_damage_sectors() {
        let damaged = |policy| {
            let mut outcome = CrashOutcome::new(policy, [].into_iter());
            (0..64).filter_map(|_| outcome.damage(512)).count()
        };
        assert_eq!(damaged(CrashPolicy::Random(1)), 0);
        for policy in
            [CrashPolicy::TornBytes(1), CrashPolicy::Garbage(1), CrashPolicy::Unreadable(1)]
        {
            assert!((10..54).contains(&damaged(policy)));
        }
    }
}
