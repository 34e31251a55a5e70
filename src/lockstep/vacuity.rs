//! Runs that could not have found anything.

use super::Stats;
use std::fmt;

/// This many power failures with nothing unsynced cannot be an accident.
const CRASHES: u64 = 100;

/// Why a pass of many scenarios says nothing about the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vacuity {
    /// No scenario was run at all.
    NoScenario,
    /// The device never touched its world.
    NoRawCall,
    /// Nothing was ever unsynced when the power failed, so that no crash could lose anything.
    NothingToLose,
}

impl Vacuity {
    /// Why scenarios that did this much, and passed, say nothing about the device; if so.
    pub fn of(stats: &Stats) -> Option<Self> {
        let changes = stats.ops > 0 && stats.changes > 0;
        match stats {
            Stats { scenarios: 0, .. } => Some(Self::NoScenario),
            Stats { calls: 0, .. } if stats.ops > 0 => Some(Self::NoRawCall),
            Stats { unsynced_crashes: 0, crashes: CRASHES.., .. } if changes => {
                Some(Self::NothingToLose)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Vacuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoScenario => "nothing was tested: not one scenario was run",
            Self::NoRawCall => {
                "nothing was tested: the device made no raw call. It has to keep its data in files \
                 of the World that it is opened in, and not in files or memory of its own"
            }
            Self::NothingToLose => {
                "nothing was tested of crashes: whenever the power failed, everything that the \
                 device had written was synced already. It has to write to files of the World that \
                 it is opened in"
            }
        })
    }
}
