//! The distinct failures of a campaign: each shrunk, saved once, and shown.

use crate::campaign::{Findings, Group};
use crate::cli::RunArgs;
use crate::signature::Signature;
use crate::{failure, paint, shrink};
use blocktwin::lockstep::{Budget, Explanation, Report, Runner, Subject, Verdict};
use blocktwin::scenario::{Scenario, print};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where the one failure is saved with which a campaign ends that is not to go on.
const DIRECTORY: &str = "failures";

/// With so many runs each is shrunk where there may be many.
const BUDGET: Budget = Budget { runs: 2_000 };

/// A failure unlike the others.
pub(crate) struct Distinct {
    pub(crate) signature: Signature,
    /// So many seeds hit it.
    pub(crate) seeds: u64,
    /// The lowest of them.
    pub(crate) seed: u64,
    /// Operations of the scenario as it was found.
    found: usize,
    /// The smallest that diverges alike, or as it was found.
    pub(crate) scenario: Scenario,
    pub(crate) report: Report,
    /// Where it is.
    pub(crate) saved: anyhow::Result<PathBuf>,
}

/// Shrinks one of each kind, takes together what is alike then, and saves it. The lowest seed of a
/// failure stands for all, so that the result depends on the seeds and on nothing else.
pub(crate) fn collect<S: Subject>(
    runner: &mut Runner<S>,
    findings: &Findings,
    args: &RunArgs,
) -> Vec<Distinct> {
    let mut distinct: BTreeMap<Signature, Distinct> = BTreeMap::new();
    for group in findings.failures.values() {
        let mut one = shrunk(runner, group, args);
        if let Some(known) = distinct.remove(&one.signature) {
            let seeds = known.seeds + one.seeds;
            one = Distinct { seeds, ..if known.seed < one.seed { known } else { one } };
        }
        distinct.insert(one.signature, one);
    }
    let mut distinct: Vec<Distinct> = distinct.into_values().collect();
    distinct.sort_by_key(|it| it.seed);
    for one in &mut distinct {
        let (directory, name) = match &args.save {
            Some(directory) => (&**directory, one.signature.to_string()),
            None => (Path::new(DIRECTORY), format!("seed-{}", one.seed)),
        };
        one.saved = failure::save(directory, &name, &one.scenario, &one.report);
    }
    distinct
}

fn shrunk<S: Subject>(runner: &mut Runner<S>, group: &Group, args: &RunArgs) -> Distinct {
    let Group { seeds, first } = group;
    let budget = if args.save.is_some() { BUDGET } else { Budget::default() };
    let budget = Some(budget).filter(|_| !args.no_shrink);
    let (scenario, report) = shrink::to_show(runner, first, budget);
    let Verdict::Diverged(divergence) = &report.verdict else { unreachable!("a failure") };
    let signature = Signature::of(&scenario, divergence);
    let (seeds, seed, found) = (*seeds, first.seed, first.scenario.steps.len());
    Distinct { signature, seeds, seed, found, scenario, report, saved: Ok(PathBuf::new()) }
}

impl Distinct {
    /// What diverged, where it is saved, and how to see it again.
    pub(crate) fn explanation(&self, args: &RunArgs) -> String {
        let Self { scenario, report, .. } = self;
        let Verdict::Diverged(divergence) = &report.verdict else { return String::new() };
        let explanation = Explanation::new(scenario, divergence, &report.trace);
        let mut text = paint::explanation(&explanation);
        let (before, after) = (self.found, scenario.steps.len());
        // Writing to a string cannot fail.
        if after < before {
            let _ = write!(text, "\n\nshrunk from {before} operations to {after}");
        }
        let _ = match &self.saved {
            Ok(path) => {
                let command = failure::replay_command(path, &args.device);
                write!(text, "\n\nreplay with:\n{command}")
            }
            // Nothing is lost.
            Err(error) => write!(text, "\n\n{error:#}; here it is:\n{}", print(scenario)),
        };
        text
    }

    /// The sentence that says what is wrong.
    pub(crate) fn sentence(&self) -> &str {
        match &self.report.verdict {
            Verdict::Diverged(divergence) => &divergence.violation.sentence,
            Verdict::Pass => "",
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "verdict": self.signature.verdict.name(),
            "operation": self.signature.operation,
            "place": self.signature.place.name(),
            "sentence": self.sentence(),
            "seeds": self.seeds,
            "lowest_seed": self.seed,
            "ops": self.scenario.steps.len(),
            "file": self.saved.as_ref().ok().map(|path| path.display().to_string()),
        })
    }
}

/// One line for each failure, and then the commands that replay them.
pub(crate) fn table(distinct: &[Distinct], args: &RunArgs) -> String {
    let seeds: u64 = distinct.iter().map(|it| it.seeds).sum();
    let mut text = format!("distinct failures: {}, hit by seeds: {seeds}\n\n", distinct.len());
    let _ = writeln!(
        text,
        "{:<22}{:<14}{:<14}{:>9}{:>9}{:>5}",
        "verdict", "operation", "where", "seeds", "lowest", "ops"
    );
    for Distinct { signature, seeds, seed, scenario, .. } in distinct {
        let Signature { verdict, operation, place } = signature;
        let (place, ops) = (place.name(), scenario.steps.len());
        let verdict = verdict.name();
        let _ =
            writeln!(text, "{verdict:<22}{operation:<14}{place:<14}{seeds:>9}{seed:>9}{ops:>5}");
    }
    let _ = write!(text, "\nreplay with:");
    for one in distinct {
        let _ = match &one.saved {
            Ok(path) => write!(text, "\n{}", failure::replay_command(path, &args.device)),
            Err(error) => write!(text, "\n{error:#}; here it is:\n{}", print(&one.scenario)),
        };
    }
    text
}
