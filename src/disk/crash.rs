//! What a crash leaves.

use crate::rng::{Purpose, Rng};
use serde::{Deserialize, Serialize};

/// Which of its contents each unsynced sector keeps in a crash: what was durable, or any of what
/// was written since.
///
/// Sectors are decided one by one; the length of the file, where it has grown since the last sync,
/// is decided like one more sector, before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Survivors {
    /// The newest content of every sector: as if everything had just been synced.
    All,
    /// Nothing unsynced.
    None,
    /// For each sector any of its contents, by this seed.
    Random(u64),
    /// As `Random`, but runs of neighbouring sectors share a fate, as a medium that writes larger
    /// units would have it.
    Runs(u64),
}

/// Decides sector by sector, in order.
pub(super) struct Fates {
    survivors: Survivors,
    rng: Rng,
    /// The sector after the last one decided, and its fate in 65536ths.
    run: Option<(u64, u64)>,
}

/// Fates are drawn in this many parts.
const PARTS: u64 = 1 << 16;

impl Fates {
    pub(super) fn new(survivors: Survivors) -> Self {
        let seed = match survivors {
            Survivors::All | Survivors::None => 0,
            Survivors::Random(seed) | Survivors::Runs(seed) => seed,
        };
        Self { survivors, rng: Rng::new(seed, Purpose::Crash), run: None }
    }

    /// Which content survives in `sector`: 0 for the durable one, up to `unsynced` for the newest.
    pub(super) fn choose(&mut self, sector: u64, unsynced: usize) -> usize {
        let contents = unsynced as u64 + 1;
        let chosen = match self.survivors {
            Survivors::All => unsynced as u64,
            Survivors::None => 0,
            Survivors::Random(_) => self.rng.below(contents),
            Survivors::Runs(_) => {
                let fate = match self.run {
                    Some((next, fate)) if next == sector && !self.rng.chance(1, 8) => fate,
                    _ => self.rng.below(PARTS),
                };
                self.run = Some((sector.wrapping_add(1), fate));
                fate * contents / PARTS
            }
        };
        usize::try_from(chosen).unwrap_or(unsynced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_choose_what_they_say() {
        let choices = |survivors| {
            let mut fates = Fates::new(survivors);
            (0..64).map(|sector| fates.choose(sector, 2)).collect::<Vec<_>>()
        };
        assert!(choices(Survivors::All).iter().all(|&choice| choice == 2));
        assert!(choices(Survivors::None).iter().all(|&choice| choice == 0));
        let changes = |chosen: &[usize]| chosen.windows(2).filter(|it| it[0] != it[1]).count();
        let (random, runs) = (choices(Survivors::Random(1)), choices(Survivors::Runs(1)));
        for chosen in [&random, &runs] {
            assert!((0..=2).all(|choice| chosen.contains(&choice)), "{chosen:?}");
        }
        assert!(changes(&runs) * 3 < changes(&random), "{runs:?}");
        assert_eq!(runs, choices(Survivors::Runs(1)));
    }
}
