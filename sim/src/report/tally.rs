//! What a campaign notes for its page, scenario by scenario, in little memory however long it is.

use blocktwin::lockstep::Report;
use std::time::Duration;

/// So many of the slowest scenarios are kept, by each measure.
pub(super) const SLOWEST: usize = 10;

/// A time line has at most so many parts.
const PARTS: usize = 240;

/// Its parts are so long at first.
const SHORTEST: Duration = Duration::from_millis(50);

/// What one worker, or all of them, noted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) timeline: Timeline,
    pub(super) by_time: Slowest,
    pub(super) by_steps: Slowest,
}

/// A scenario and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) seed: u64,
    pub(super) time: Duration,
    /// Of the executor.
    pub(super) steps: u64,
    pub(super) ops: u64,
}

impl Tally {
    /// A scenario took from `began` to `ended`, both since the campaign began.
    pub(crate) fn note(&mut self, seed: u64, report: &Report, began: Duration, ended: Duration) {
        let (steps, ops) = (report.stats.steps, report.stats.ops);
        let cost = Cost { seed, time: ended.saturating_sub(began), steps, ops };
        self.timeline.note(ended);
        self.by_time.note(cost, |cost| cost.time.as_nanos());
        self.by_steps.note(cost, |cost| cost.steps.into());
    }

    /// Adds what another worker noted.
    pub(crate) fn add(&mut self, other: Self) {
        self.timeline.add(other.timeline);
        for cost in other.by_time.0 {
            self.by_time.note(cost, |cost| cost.time.as_nanos());
        }
        for cost in other.by_steps.0 {
            self.by_steps.note(cost, |cost| cost.steps.into());
        }
    }
}

/// The scenarios that cost most, the most expensive first; of equals the smallest seed.
#[derive(Debug, Default)]
pub(super) struct Slowest(pub(super) Vec<Cost>);

impl Slowest {
    fn note(&mut self, cost: Cost, measure: impl Fn(&Cost) -> u128) {
        let key = |cost: &Cost| (std::cmp::Reverse(measure(cost)), cost.seed);
        let at = self.0.partition_point(|other| key(other) < key(&cost));
        if at < SLOWEST {
            self.0.insert(at, cost);
            self.0.truncate(SLOWEST);
        }
    }
}

/// How many scenarios ended in each part of a campaign. Parts grow as it goes on.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) part: Duration,
    pub(super) counts: Vec<u64>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { part: SHORTEST, counts: Vec::new() }
    }
}

impl Timeline {
    fn note(&mut self, ended: Duration) {
        let mut at = self.place(ended);
        while at >= PARTS {
            self.widen();
            at = self.place(ended);
        }
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
    }

    fn place(&self, ended: Duration) -> usize {
        usize::try_from(ended.as_nanos() / self.part.as_nanos()).unwrap_or(usize::MAX)
    }

    /// Makes one part of every two.
    fn widen(&mut self) {
        self.part *= 2;
        self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
    }

    fn add(&mut self, mut other: Self) {
        while self.part < other.part {
            self.widen();
        }
        while other.part < self.part {
            other.widen();
        }
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(ends: impl Iterator<Item = u64>) -> Timeline {
        let mut timeline = Timeline::default();
        ends.for_each(|seconds| timeline.note(Duration::from_secs(seconds)));
        timeline
    }

    #[test]
    fn a_time_line_stays_short_and_loses_nothing() {
        let long = timeline(0..100_000);
        assert!(long.counts.len() <= PARTS, "{}", long.counts.len());
        assert_eq!(long.counts.iter().sum::<u64>(), 100_000);
        // All parts but the last are full, and alike.
        let (_, full) = long.counts.split_last().unwrap();
        let least = full.iter().min().unwrap();
        assert!(full.iter().all(|count| count - least <= 1), "{full:?}");
    }

    #[test]
    fn workers_that_noted_differently_long_parts_are_added_up() {
        let mut sum = timeline(0..10);
        sum.add(timeline(0..5000));
        sum.add(timeline(0..10));
        let all = timeline((0..10).chain(0..10).chain(0..5000));
        assert_eq!((sum.part, sum.counts), (all.part, all.counts));
    }

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut slowest = Slowest::default();
        for seed in 0..100 {
            let cost = Cost { seed, time: Duration::ZERO, steps: seed % 7, ops: 0 };
            slowest.note(cost, |cost| cost.steps.into());
        }
        let kept: Vec<_> = slowest.0.iter().map(|cost| (cost.steps, cost.seed)).collect();
        let most = [6, 13, 20, 27, 34, 41, 48, 55, 62, 69].map(|seed| (6, seed));
        assert_eq!(kept, most);
    }
}
