//! From a scenario that diverges to the smallest one that does it alike.

use crate::campaign::Failure;
use crate::cli::ShrinkArgs;
use crate::{Status, complain, say, wanted, was_to_fail};
use anyhow::{Context, bail};
use blocktwin::disk::Medium;
use blocktwin::lockstep::{Budget, Options, Report, RunError, Runner, Shrunk, Subject, quietly};
use blocktwin::scenario::{Scenario, print};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;

/// Shrinks the scenario that `args` name, and prints or writes what is left. That is still a
/// divergence; a scenario that passes is bad input.
pub(crate) fn command(subject: impl Subject, args: &ShrinkArgs) -> anyhow::Result<Status> {
    let scenario = wanted(&args.which, &subject)?;
    let mut runner = Runner::new(subject, Medium::Memory);
    let shrunk = search(&mut runner, &scenario, Budget::default());
    let Some(shrunk) = shrunk.context("the scenario cannot be run")? else {
        let hint = was_to_fail(&scenario, args.which.device).map(|it| format!("; {it}"));
        bail!("nothing to shrink: the scenario passes{}", hint.unwrap_or_default());
    };
    let text = print(&shrunk.scenario);
    match &args.output {
        None => say(text.trim_end())?,
        Some(path) => {
            fs::write(path, text)
                .with_context(|| format!("{}: cannot be written", path.display()))?;
        }
    }
    let (before, after) = (scenario.steps.len(), shrunk.scenario.steps.len());
    complain(&format!("shrunk from {before} operations to {after} in {} runs", shrunk.runs));
    Ok(Status::Diverged)
}

/// What to show of a divergence: the smallest scenario that diverges alike, and its run with a
/// trace. Without a budget, or where it does not diverge in memory, the one that was found.
pub(crate) fn to_show<S: Subject>(
    runner: &mut Runner<S>,
    found: &Failure,
    budget: Option<Budget>,
) -> (Scenario, Report) {
    let shrunk = budget.and_then(|budget| search(runner, &found.scenario, budget).ok().flatten());
    if let Some(Shrunk { scenario, report, .. }) = shrunk {
        return (scenario, report);
    }
    let options = Options { trace: true, ..Options::default() };
    let traced = quietly(|| runner.run(&found.scenario, options));
    let trace = traced.map(|report| report.trace).unwrap_or_default();
    (found.scenario.clone(), Report { trace, ..found.report.clone() })
}

/// Shrinks, with a line on a terminal that tells how far it has come.
fn search<S: Subject>(
    runner: &mut Runner<S>,
    scenario: &Scenario,
    budget: Budget,
) -> Result<Option<Shrunk>, RunError> {
    let line = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{spinner} shrinking: {msg}, {human_pos} runs")
    {
        line.set_style(style);
    }
    let options = Options { trace: true, ..Options::default() };
    let mut steps = 0;
    let shrunk = quietly(|| {
        runner.shrink(scenario, options, budget, |progress| {
            if progress.steps != steps {
                steps = progress.steps;
                line.set_message(format!("{steps} operations"));
            }
            line.set_position(progress.runs.into());
        })
    });
    line.finish_and_clear();
    shrunk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::{Findings, Group};
    use crate::cli::{RunArgs, ShowArgs};
    use crate::distinct;
    use crate::signature::Signature;
    use crate::zoo::{self, BugSubject};
    use blocktwin::lockstep::{FileBacked, Verdict};
    use blocktwin::scenario::{Profile, generate, parse};
    use std::path::Path;

    /// Writes everything one byte off, so that seed 1 shows it and one write is enough.
    fn wrong() -> BugSubject {
        zoo::find("copy-off-by-one").expect("it is in the catalogue").subject()
    }

    fn arguments(output: &Path) -> ShrinkArgs {
        let which = ShowArgs { file: None, seed: Some(1), ..ShowArgs::default() };
        ShrinkArgs { which, output: Some(output.to_owned()) }
    }

    #[test]
    fn the_smallest_scenario_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small.ron");
        assert_eq!(command(wrong(), &arguments(&path)).unwrap(), Status::Diverged);
        let small = parse(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!((small.steps.len(), small.seed), (1, Some(1)));
        let mut runner = Runner::new(wrong(), Medium::Memory);
        let report = runner.run(&small, Options::default()).unwrap();
        assert_eq!(small.expect.unwrap().digest, report.digest.to_string());
    }

    #[test]
    fn what_passes_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small.ron");
        let error = command(FileBacked, &arguments(&path));
        assert_eq!(error.unwrap_err().to_string(), "nothing to shrink: the scenario passes");
        assert!(!path.exists());
    }

    #[test]
    fn a_divergence_is_shown_and_saved_as_small_as_it_gets() {
        let directory = tempfile::tempdir().unwrap();
        let mut runner = Runner::new(wrong(), Medium::Memory);
        let scenario = generate(1, Profile::Default);
        let report = runner.run(&scenario, Options::default()).unwrap();
        let first = Failure { seed: 1, scenario, report };
        let Verdict::Diverged(divergence) = &first.report.verdict else { panic!("it should") };
        let signature = Signature::of(&first.scenario, divergence);
        let mut findings = Findings::default();
        findings.failures.insert(signature, Group { seeds: 1, first });
        let save = Some(directory.path().to_owned());
        let mut args = RunArgs { save, ..RunArgs::default() };
        for (no_shrink, fewest, most) in [(false, 1, 1), (true, 2, usize::MAX)] {
            args.no_shrink = no_shrink;
            let distinct = distinct::collect(&mut runner, &findings, &args);
            let [one] = &*distinct else { panic!("{}", distinct.len()) };
            let text = anstream::adapter::strip_str(&one.explanation(&args)).to_string();
            let saved = fs::read_to_string(one.saved.as_ref().unwrap()).unwrap();
            let operations = parse(&saved).unwrap().steps.len();
            assert!((fewest..=most).contains(&operations), "{operations}");
            let parts = ["DIVERGED: ", " operation", "\nthe last ", "\nreplay with:\n"];
            let places = parts.map(|part| text.find(part).unwrap_or_else(|| panic!("{text}")));
            assert!(places.is_sorted(), "{text}");
            assert_eq!(text.contains("\nshrunk from "), !no_shrink, "{text}");
        }
    }
}
