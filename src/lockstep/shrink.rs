//! The smallest scenario that shows the same.
//!
//! A greedy search: of the candidates that are smaller than the best so far, the first that
//! diverges in the same kind becomes the best, until none does. Delta debugging takes operations
//! away, half of them at once at first and single ones in the end; then what is left is made
//! simpler. *Smaller* means fewer operations first of all, then fewer clients, fewer disturbances,
//! a simpler device, and in the end smaller numbers. Every step goes down, so the search ends.

mod measure;
mod simpler;

#[cfg(test)]
mod tests;

use super::{Options, Report, RunError, Runner, Subject, Verdict, scenarios_for};
use crate::model::Kind;
use crate::rng::{Purpose, Rng};
use crate::scenario::{Accepts, Expectation, Scenario};
use measure::Measure;

/// How much a search may cost. Counted in runs and not in time, so that its result is the same on
/// every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most runs, the first one included.
    pub runs: u32,
}

impl Default for Budget {
    /// More than most searches need: 20 000 runs.
    fn default() -> Self {
        Self { runs: 20_000 }
    }
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs so far.
    pub runs: u32,
    /// Operations of the smallest scenario so far.
    pub steps: u64,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario that was found. It expects what its run gave; its seed is that of the
    /// scenario which it came from, and it has no note.
    pub scenario: Scenario,
    /// What running it gave.
    pub report: Report,
    /// How many runs it took.
    pub runs: u32,
}

impl<S: Subject> Runner<S> {
    /// Looks for the smallest scenario that diverges in the same kind as this one.
    ///
    /// `options` hold for all runs, but only the report of the result has a trace. `progress` is
    /// told of every run. `None` where the scenario passes: there is nothing to shrink.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn shrink(
        &mut self,
        scenario: &Scenario,
        options: Options,
        budget: Budget,
        progress: impl FnMut(Progress),
    ) -> Result<Option<Shrunk>, RunError> {
        let accepts = scenarios_for(&self.subject);
        self.shrink_for(&accepts, scenario, options, budget, progress)
    }

    /// As [`shrink`](Self::shrink), among the scenarios that are accepted only.
    fn shrink_for(
        &mut self,
        accepts: &Accepts,
        scenario: &Scenario,
        options: Options,
        budget: Budget,
        progress: impl FnMut(Progress),
    ) -> Result<Option<Shrunk>, RunError> {
        let quiet = Options { trace: false, ..options };
        let report = self.run(scenario, quiet)?;
        let Some(kind) = report.verdict.kind() else { return Ok(None) };
        let best = Scenario { note: String::new(), expect: None, ..scenario.clone() };
        let measure = Measure::of(&best);
        let left = budget.runs.saturating_sub(1);
        let restless = !self.subject.promises().own_calls;
        let mut search = Search {
            runner: &mut *self,
            accepts,
            restless,
            options: quiet,
            kind,
            best,
            measure,
            report,
            runs: 1,
            left,
            progress,
        };
        search.until_none_is_smaller()?;
        let Search { best: mut scenario, mut report, runs, .. } = search;
        if options.trace {
            report = self.run(&scenario, options)?;
        }
        let (verdict, digest) = (report.verdict.expected(), report.digest.to_string());
        scenario.expect = Some(Expectation { verdict, digest });
        Ok(Some(Shrunk { scenario, report, runs }))
    }
}

/// With up to this many operations, shrinking also tries removing every pair.
const FEW: usize = 16;

/// With more operations than this, shrinking ends by drawing which to remove, so many times.
const ENOUGH: usize = 6;
const DRAWS: u64 = 400;

/// Taking an operation away changes how the clients interleave. A candidate of several clients is
/// tried under this many other schedules: of few operations, and of more.
const SCHEDULES: (u64, u64) = (12, 1);

/// The same for a device that is restless.
const RESTLESS: (u64, u64) = (24, 12);

/// A search under way.
struct Search<'r, S, P> {
    runner: &'r mut Runner<S>,
    /// What the device can take; every candidate is fitted to it before it is measured and run.
    accepts: &'r Accepts,
    /// Tasks of the device interleave like clients do, and it may look at what is written to it:
    /// other schedules and contents are tried for one client too.
    restless: bool,
    options: Options,
    kind: Kind,
    /// The smallest so far, how small it is, and what running it gave.
    best: Scenario,
    measure: Measure,
    report: Report,
    runs: u32,
    left: u32,
    progress: P,
}

impl<S: Subject, P: FnMut(Progress)> Search<'_, S, P> {
    fn until_none_is_smaller(&mut self) -> Result<(), RunError> {
        self.cut_the_end()?;
        loop {
            let before = self.measure;
            self.take_steps_away()?;
            self.take_pairs_away()?;
            self.simplify_the_whole()?;
            self.simplify_steps()?;
            if self.left == 0 || self.measure == before && !self.take_some_away()? {
                return Ok(());
            }
        }
    }

    /// Whether the candidate, which is fitted already, is the best now: smaller, and with the same
    /// kind of divergence.
    fn accept(&mut self, candidate: &Scenario) -> Result<bool, RunError> {
        let measure = Measure::of(candidate);
        if measure >= self.measure || self.left == 0 {
            return Ok(false);
        }
        (self.runs, self.left) = (self.runs + 1, self.left - 1);
        let report = match self.runner.run(candidate, self.options) {
            // A trim that was out of range, say, may cover much once it is not.
            Err(RunError::TooLargeToSimulate(_)) => return Ok(false),
            run => run?,
        };
        let accepted = report.verdict.kind() == Some(self.kind);
        if accepted {
            (self.best, self.measure, self.report) = (candidate.clone(), measure, report);
        }
        (self.progress)(Progress { runs: self.runs, steps: self.best.steps.len() as u64 });
        Ok(accepted)
    }

    /// As [`accept`](Self::accept), once the candidate is fitted to what the device can take, under
    /// any of several schedules.
    fn try_out(&mut self, mut candidate: Scenario) -> Result<bool, RunError> {
        self.accepts.fit(&mut candidate);
        if self.accept(&candidate)? {
            return Ok(true);
        }
        let (few, many) = if self.restless { RESTLESS } else { SCHEDULES };
        let others = match candidate.steps.len() {
            _ if candidate.clients() < 2 && !self.restless => 0,
            0..=FEW => few,
            _ => many,
        };
        let tried = candidate.schedule;
        for schedule in (0..others).filter(|&other| other != tried) {
            self.reschedule(&mut candidate, schedule);
            if self.accept(&candidate)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives it another schedule, and other contents where the device may look at them.
    fn reschedule(&self, candidate: &mut Scenario, schedule: u64) {
        candidate.schedule = schedule;
        if self.restless {
            candidate.salt = schedule;
        }
    }

    /// What comes after the divergence has, as a rule, no part in it.
    fn cut_the_end(&mut self) -> Result<bool, RunError> {
        let Verdict::Diverged(divergence) = &self.report.verdict else { return Ok(false) };
        let end = divergence.op as usize;
        if end == 0 || end >= self.best.steps.len() {
            return Ok(false);
        }
        let mut candidate = self.best.clone();
        candidate.steps.truncate(end);
        self.try_out(candidate)
    }

    /// Delta debugging: halves, quarters, and so on down to single operations, the last ones
    /// first, until no single one can go.
    fn take_steps_away(&mut self) -> Result<(), RunError> {
        let mut chunk = self.best.steps.len().div_ceil(2);
        while chunk > 0 && self.left > 0 {
            let before = self.best.steps.len();
            let mut end = before;
            while end > 0 {
                let start = end.saturating_sub(chunk);
                let mut candidate = self.best.clone();
                candidate.steps.drain(start..end);
                if self.try_out(candidate)? {
                    self.cut_the_end()?;
                }
                end = start.min(self.best.steps.len());
            }
            let taken = self.best.steps.len() < before;
            chunk = if taken { chunk.min(self.best.steps.len()) } else { chunk / 2 };
        }
        Ok(())
    }

    /// Where one operation less shifts the schedule so that nothing diverges any more, another
    /// schedule may do, with a few operations less. Draws both; whether that found anything.
    fn take_some_away(&mut self) -> Result<bool, RunError> {
        let interleaves = self.best.clients() > 1 || self.restless;
        if self.best.steps.len() <= ENOUGH || !interleaves {
            return Ok(false);
        }
        for draw in 0..DRAWS {
            let mut rng = Rng::new(draw, Purpose::Operations);
            let mut candidate = self.best.clone();
            let out_of = 2 + draw % 4;
            candidate.steps.retain(|_| !rng.chance(1, out_of));
            self.reschedule(&mut candidate, rng.next_u64() >> 32);
            self.accepts.fit(&mut candidate);
            if self.accept(&candidate)? {
                self.cut_the_end()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Two operations may only be dispensable together, such as a close and the reopening.
    fn take_pairs_away(&mut self) -> Result<(), RunError> {
        let mut second = self.best.steps.len();
        if second > FEW {
            return Ok(());
        }
        while second > 1 {
            second = (second - 1).min(self.best.steps.len().saturating_sub(1));
            for first in (0..second).rev() {
                let mut candidate = self.best.clone();
                candidate.steps.remove(second);
                candidate.steps.remove(first);
                if self.try_out(candidate)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whatever concerns more than one operation.
    fn simplify_the_whole(&mut self) -> Result<(), RunError> {
        let accepts = self.accepts;
        self.first_of_each(|best| simpler::scenarios(best, accepts))
    }

    fn simplify_steps(&mut self) -> Result<(), RunError> {
        for index in 0..self.best.steps.len() {
            self.first_of_each(|best| {
                let simpler = simpler::steps(&best.steps[index], &best.device).into_iter();
                let replaced = |step| {
                    let mut replaced = best.clone();
                    replaced.steps[index] = step;
                    replaced
                };
                simpler.map(replaced).collect()
            })?;
        }
        Ok(())
    }

    /// Goes through the candidates once. They are made anew whenever one is accepted.
    fn first_of_each(
        &mut self,
        candidates: impl Fn(&Scenario) -> Vec<Scenario>,
    ) -> Result<(), RunError> {
        let mut rest = candidates(&self.best).into_iter();
        let mut tried = 0;
        while let Some(candidate) = rest.next() {
            tried += 1;
            if self.try_out(candidate)? {
                rest = candidates(&self.best).into_iter();
                // Those before it were no good a moment ago; the next round sees to them.
                rest.nth(tried - 1);
            }
        }
        Ok(())
    }
}
