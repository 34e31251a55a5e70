//! How far scenarios reach.

use super::{Accepts, Op, Scenario};
use crate::device::Geometry;

/// Sizes near which arithmetic goes wrong, in bytes: where offsets, block numbers or floating-point
/// numbers lose bits; the last is where offsets end. The generator makes devices that end near
/// them.
pub const LANDMARKS: [u64; 8] =
    [1 << 31, 1 << 32, 1 << 41, 1 << 44, 1 << 48, 1 << 53, 1 << 62, 1 << 63];

/// So many blocks around a landmark are near it.
const NEAR: u64 = 64;

/// The largest of each that some scenarios had, and which landmarks their requests touched.
///
/// ```
/// use blocktwin::scenario::{Profile, Reach, generate};
///
/// let mut reach = Reach::default();
/// (0..100).for_each(|seed| reach.note(&generate(seed, Profile::Default)));
/// assert!(reach.transfer > 4096 && reach.steps > 50);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Bytes of a device.
    pub device: u64,
    /// Bytes of a read or write that the device had to serve.
    pub transfer: u64,
    /// Bytes of a trim that the device had to serve.
    pub trim: u64,
    /// Clients of a scenario.
    pub clients: u8,
    /// Operations of a scenario.
    pub steps: u64,
    /// A bit for each of [`LANDMARKS`] that was touched.
    landmarks: u8,
}

impl Reach {
    /// Takes note of a scenario.
    pub fn note(&mut self, scenario: &Scenario) {
        let Ok(geometry) = scenario.device.geometry() else { return };
        self.device = self.device.max(geometry.size());
        self.clients = self.clients.max(scenario.clients());
        self.steps = self.steps.max(scenario.steps.len() as u64);
        for step in &scenario.steps {
            let (most, (offset, length)) = match step.op {
                Op::Read { offset, length } | Op::Write { offset, length, .. } => {
                    (&mut self.transfer, (offset, length))
                }
                Op::Trim { offset, length, .. } => (&mut self.trim, (offset, length)),
                _ => continue,
            };
            let Ok(range) = geometry.check(offset, length) else { continue };
            let is_trim = matches!(step.op, Op::Trim { .. });
            if !is_trim && length > u64::from(scenario.device.heap) {
                continue; // It gets no buffer, so that the device never sees it.
            }
            *most = (*most).max(length);
            self.touch(&geometry, range.start);
            self.touch(&geometry, range.end);
        }
    }

    /// A request begins or ends here.
    fn touch(&mut self, geometry: &Geometry, at: u64) {
        // Most devices are small, and are near none.
        if at < LANDMARKS[0] / 2 {
            return;
        }
        let near = NEAR * u64::from(geometry.block_size());
        for (bit, landmark) in LANDMARKS.into_iter().enumerate() {
            self.landmarks |= u8::from(at.abs_diff(landmark) <= near) << bit;
        }
    }

    /// Adds what other scenarios reached.
    pub fn add(&mut self, other: &Self) {
        self.device = self.device.max(other.device);
        self.transfer = self.transfer.max(other.transfer);
        self.trim = self.trim.max(other.trim);
        self.clients = self.clients.max(other.clients);
        self.steps = self.steps.max(other.steps);
        self.landmarks |= other.landmarks;
    }

    /// The landmarks near which some request began or ended.
    pub fn touched(&self) -> impl Iterator<Item = u64> {
        let bits = self.landmarks;
        LANDMARKS
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| bits >> bit & 1 == 1)
            .map(|it| it.1)
    }

    /// The landmarks that a device which accepts this could have, and that nobody touched.
    pub fn missing(&self, accepts: &Accepts) -> Vec<u64> {
        let is_touched = |landmark: &u64| self.touched().any(|it| it == *landmark);
        LANDMARKS.into_iter().filter(|it| accepts.takes_size(*it) && !is_touched(it)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Fault;
    use crate::scenario::{Profile, Step, generate_for};

    #[test]
    fn every_landmark_is_reached() {
        for profile in Profile::ALL.into_iter().filter(|it| it.has_landmarks()) {
            let mut reach = Reach::default();
            let accepts = Accepts::file_backed();
            let drawn = (0..12_000).map(|seed| generate_for(seed, profile, &accepts));
            drawn.for_each(|scenario| reach.note(&scenario));
            assert_eq!(reach.missing(&accepts), [], "{profile:?}: {reach:?}");
            assert!(
                reach.device > (1 << 63) - (1 << 20) && reach.transfer > 1 << 20,
                "{profile:?}: {reach:?}"
            );
            assert!(reach.clients == 16 && reach.steps > 600, "{profile:?}: {reach:?}");
        }
    }

    /// The most steps in a row that leave the device open.
    fn longest_life(scenario: &Scenario) -> usize {
        let ends = |step: &Step| {
            let opens = matches!(step.op, Op::Close | Op::Reopen | Op::Crash(_));
            let fails = |fault: &Fault| fault.kind.fails_sync() || fault.kind.stays();
            opens || step.crash_at.is_some() || step.faults.iter().any(fails)
        };
        scenario.steps.split(ends).map(<[Step]>::len).max().unwrap_or(0)
    }

    /// Bytes of the largest transfer for which the heap has room.
    fn largest_transfer(scenario: &Scenario) -> u64 {
        let mut alone = Reach::default();
        alone.note(scenario);
        alone.transfer.min(scenario.device.heap.into())
    }

    #[test]
    fn enough_scenarios_are_long_without_an_end_or_large() {
        let accepts = Accepts::file_backed();
        for profile in Profile::ALL {
            let drawn: Vec<Scenario> =
                (0..6000).map(|seed| generate_for(seed, profile, &accepts)).collect();
            let living = |steps| drawn.iter().filter(|it| longest_life(it) > steps).count();
            for (steps, enough) in [(256, 50), (1000, 3), (2000, 1)] {
                assert!(living(steps) >= enough, "{profile:?}: {} of {steps}", living(steps));
            }
            let moving = |bytes| drawn.iter().filter(|it| largest_transfer(it) > bytes).count();
            let (one, two) = (moving(1 << 20), moving(2 << 20));
            assert!(one >= 15 && two >= 1, "{profile:?}: {one} over 1 MiB, {two} over 2 MiB");
        }
    }

    #[test]
    fn what_a_device_cannot_have_is_not_missed() {
        let nothing = Reach::default();
        assert_eq!(nothing.missing(&Accepts::file_backed()), LANDMARKS);
        assert_eq!(nothing.missing(&Accepts::anything()), LANDMARKS[..7]);
        assert_eq!(nothing.missing(&Accepts::anything().blocks(..=64)), []);
    }
}
