//! What a crash leaves.

use super::unsynced::{Sector, Unsynced};
use crate::rng::{Purpose, Rng};

/// What a crash leaves of what was written and is not durable: for each sector, what was durable or
/// any of what was written since.
///
/// The order of barriers goes first: if something survives that was written after a barrier, then
/// everything survives that the barrier has put before it, whatever this asks for.
///
/// These are the policies of [`disk::CrashPolicy`](crate::disk::CrashPolicy), which is of the
/// simulated disk.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Device, Geometry, WriteOptions};
/// use blocktwin::exec::block_on;
/// use blocktwin::model::{Keep, ModelDevice};
///
/// let mut device = ModelDevice::new(Geometry::new(512, 512, 16)?);
/// for block in 0..3 {
///     let data = [1; 512];
///     block_on(device.write(512 * block, (&data[..]).into(), WriteOptions::default()))?;
/// }
/// device.crash_with(Keep::NewestKept);
/// let mut data = [9; 3 * 512];
/// block_on(device.read(0, (&mut data[..]).into()))?;
/// assert_eq!((&data[..1024], &data[1024..]), (&[0; 1024][..], &[1; 512][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// All of it.
    All,
    /// None of it.
    None,
    /// Each sector, on its own, is left as it was durable or as any write since left it, by this
    /// seed.
    Random(u64),
    /// As `Random`, but runs of neighbouring sectors share a fate, by this seed.
    Runs(u64),
    /// Only what the newest request wrote, and what a barrier has put before it.
    NewestKept,
    /// Everything but what the newest request wrote.
    NewestLost,
    /// Only what one request wrote, drawn by this seed, and what a barrier has put before it.
    OneKept(u64),
    /// Everything but what one request wrote, drawn by this seed, and what a barrier has put after
    /// it.
    OneLost(u64),
    /// What was written before the last barrier, and the newest content of those other sectors
    /// whose bit is set, counted in order and modulo 64.
    Mask(u64),
    /// *Beyond the contract:* as `Random`, and some of these sectors are torn at a byte.
    TornBytes(u64),
    /// *Beyond the contract:* as `Random`, and some of these sectors hold garbage.
    Garbage(u64),
    /// *Beyond the contract:* as `Random`, and some of these sectors cannot be read (`EIO`) until
    /// they are written again.
    Unreadable(u64),
}

impl Keep {
    fn seed(self) -> u64 {
        match self {
            Self::All | Self::None | Self::NewestKept | Self::NewestLost => 0,
            Self::Random(seed)
            | Self::Runs(seed)
            | Self::OneKept(seed)
            | Self::OneLost(seed)
            | Self::Mask(seed)
            | Self::TornBytes(seed)
            | Self::Garbage(seed)
            | Self::Unreadable(seed) => seed,
        }
    }
}

/// What is done to a sector beyond choosing what survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// It begins with this many bytes of its newest content.
    Torn(usize),
    /// Its bytes are drawn from this seed.
    Garbage(u64),
    /// It cannot be read.
    Unreadable,
}

/// A fate is drawn in this many parts.
const PARTS: u64 = 1 << 16;

/// Decides sector by sector, in order.
///
/// The order of barriers is kept by a *cut*, which is one of the epochs: everything of the epochs
/// before it survives, nothing of those after it, and the policy decides about the cut's own.
pub(super) struct Choice {
    keep: Keep,
    rng: Rng,
    /// The epoch about which the policy decides.
    cut: u64,
    /// The request that is kept or lost alone.
    request: u64,
    /// How many sectors were decided.
    decided: u64,
    /// The sector after the last one decided, and its fate in [`PARTS`].
    run: Option<(u64, u64)>,
}

impl Choice {
    pub(super) fn new(keep: Keep, unsynced: &Unsynced) -> Self {
        let mut rng = Rng::new(keep.seed(), Purpose::Crash);
        let live = || unsynced.0.values().flat_map(Sector::live);
        let sorted = |mut numbers: Vec<u64>| {
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        let epochs = sorted(live().map(|version| version.epoch).collect());
        let mut requests: Vec<_> = live().map(|it| (it.change, it.request)).collect();
        requests.sort_unstable();
        let newest = requests.last().map_or(0, |&(_, request)| request);
        let request = match keep {
            Keep::OneKept(_) | Keep::OneLost(_) if !requests.is_empty() => {
                *rng.pick(&sorted(requests.iter().map(|&(_, request)| request).collect()))
            }
            _ => newest,
        };
        let own = live().filter(|version| version.request == request).map(|version| version.epoch);
        let last = epochs.last().copied();
        let cut = match keep {
            Keep::All | Keep::Mask(_) => last,
            Keep::None => epochs.first().copied(),
            Keep::NewestKept | Keep::OneKept(_) => own.max(),
            Keep::NewestLost | Keep::OneLost(_) => own.min(),
            _ if epochs.is_empty() => None,
            _ => Some(*rng.pick(&epochs)),
        };
        Self { keep, rng, cut: cut.unwrap_or(0), request, decided: 0, run: None }
    }

    /// Which content survives: 0 for the durable one, or a live version counted from 1.
    pub(super) fn choose(&mut self, number: u64, sector: &Sector) -> usize {
        let count = |wanted: &dyn Fn(u64) -> bool| {
            sector.live().filter(|version| wanted(version.epoch)).count()
        };
        let (least, most) = (count(&|epoch| epoch < self.cut), count(&|epoch| epoch <= self.cut));
        let place = |wanted: bool| {
            let live: Vec<_> = sector.live().map(|it| it.request == self.request).collect();
            live.iter().take(most).rposition(|&own| own == wanted).map_or(0, |at| at + 1)
        };
        let contents = (most - least) as u64 + 1;
        self.decided += 1;
        let chosen = match self.keep {
            Keep::All => most,
            Keep::None => least,
            Keep::Mask(mask) if mask >> ((self.decided - 1) % 64) & 1 == 1 => most,
            Keep::Mask(_) => least,
            Keep::NewestKept | Keep::OneKept(_) => place(true),
            Keep::NewestLost | Keep::OneLost(_) => place(false),
            Keep::Runs(_) => {
                let fate = match self.run {
                    Some((next, fate)) if next == number && !self.rng.chance(1, 8) => fate,
                    _ => self.rng.below(PARTS),
                };
                self.run = Some((number.wrapping_add(1), fate));
                least + usize::try_from(fate * contents / PARTS).unwrap_or(0)
            }
            _ => least + usize::try_from(self.rng.below(contents)).unwrap_or(0),
        };
        chosen.clamp(least, most)
    }

    /// What else is done to a sector of `size` bytes.
    pub(super) fn damage(&mut self, size: usize) -> Option<Damage> {
        let beyond =
            matches!(self.keep, Keep::TornBytes(_) | Keep::Garbage(_) | Keep::Unreadable(_));
        if !beyond || self.rng.chance(1, 2) {
            return None;
        }
        let drawn = self.rng.next_u64();
        let at = usize::try_from(drawn % (size as u64 - 1)).unwrap_or(0) + 1;
        Some(match self.keep {
            Keep::TornBytes(_) => Damage::Torn(at),
            Keep::Garbage(_) => Damage::Garbage(drawn),
            _ => Damage::Unreadable,
        })
    }
}
