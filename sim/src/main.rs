//! The `blocktwin` program: campaigns from seeds, replay of files, and what they show.
#![forbid(unsafe_code)]

mod bench;
mod bugs;
mod campaign;
mod cli;
mod corpus;
mod distinct;
mod failure;
mod github;
mod input;
mod junit;
mod legal;
mod manual;
mod medium;
mod paint;
mod report;
mod shrink;
mod signature;
mod summary;
mod zoo;

use anyhow::Context;
use blocktwin::disk::Medium;
use blocktwin::lockstep::{
    Explanation, FileBacked, Options, RunError, Runner, Subject, Verdict, quietly, scenarios_for,
};
use blocktwin::scenario::{ExpectedVerdict, Scenario, generate_for, print};
use campaign::Findings;
use clap::Parser;
use cli::{Cli, Command, ReplayArgs, RunArgs, RunFormat, ShowArgs};
use std::fs::File;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;

/// The exit status; `--help` tells what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Passed = 0,
    Diverged = 1,
    BadInput = 2,
    Broken = 3,
    Interrupted = 130,
}

fn main() -> ExitCode {
    let dispatched = catch_unwind(|| dispatch(Cli::parse())).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref().copied()).unwrap_or("no message");
        complain(&format!("this program is broken, which says nothing about the device: {said}"));
        Ok(Status::Broken)
    });
    let status = dispatched.unwrap_or_else(|error| {
        // The whole chain in one line.
        complain(&format!("{error:#}"));
        status_of(&error)
    });
    ExitCode::from(status as u8)
}

/// Whose fault an error is: nearly always that of the input.
fn status_of(error: &anyhow::Error) -> Status {
    match error.downcast_ref() {
        Some(RunError::Broken(_)) => Status::Broken,
        _ => Status::BadInput,
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<Status> {
    match cli.command {
        None => run(&RunArgs::default(), || FileBacked),
        Some(Command::Run(args)) => match args.device.0 {
            None => run(&args, || FileBacked),
            Some(entry) => run(&args, || entry.subject()),
        },
        Some(Command::Replay(args)) => replay(&args),
        Some(Command::Bugs(args)) => bugs::run(&args),
        Some(Command::Legal(args)) => legal::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Shrink(args)) => shrink::command(args.which.device.subject(), &args),
        Some(Command::Show(args)) => show(&args),
        Some(Command::Report(args)) => report::command(args.which.device.subject(), &args),
        Some(Command::Corpus { command }) => corpus::run(&command),
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::Man(args)) => manual::man(&args),
    }
}

/// Prints to standard output, in colours where they can be seen. That nobody reads it any more is
/// no failure.
fn say(text: &str) -> anyhow::Result<()> {
    match writeln!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output")
        }
        _ => Ok(()),
    }
}

/// Prints to standard error. If even that is closed, the exit status has to do.
fn complain(text: &str) {
    let _ = writeln!(anstream::stderr(), "blocktwin: {text}");
}

fn run<S: Subject>(args: &RunArgs, subject: impl Fn() -> S + Sync) -> anyhow::Result<Status> {
    if args.seeds.as_ref().is_some_and(|seeds| seeds.end == u64::MAX) && args.time.is_none() {
        anyhow::bail!("--seeds without an end needs --for, as in --for 60s");
    }
    // Before the campaign, so that its results have a place to go to.
    let output = args.output.as_ref().map(|path| {
        File::create(path).with_context(|| format!("{}: cannot be written", path.display()))
    });
    let output = output.transpose()?;
    report::campaign::prepare(args)?;
    campaign::catch_interrupts()?;
    let findings = campaign::run(args, &subject)?;
    let mut runner = Runner::new(subject(), Medium::Memory);
    let failures = distinct::collect(&mut runner, &findings, args);
    let broken = broken(&findings, args);
    let summary = match args.format {
        RunFormat::Human => summary::human(&findings, args),
        RunFormat::Json => summary::json(&findings, &failures).to_string(),
        RunFormat::Junit => junit::xml(&findings, &failures, broken.as_deref(), args)?,
    };
    let described = match (&*failures, &args.save) {
        ([], _) => None,
        (_, Some(_)) => Some(distinct::table(&failures, args)),
        ([one, ..], None) => Some(format!("seed {} {}", one.seed, one.explanation(args))),
    };
    match (described, output) {
        (Some(described), None) if args.format == RunFormat::Human => {
            say(&format!("{summary}\n{described}"))?;
        }
        (described, output) => {
            described.iter().for_each(|described| complain(described));
            let written = output.map(|mut file| writeln!(file, "{summary}"));
            written.map_or_else(|| say(&summary), |done| done.context("the summary"))?;
        }
    }
    for failure in &failures {
        let title = format!("{} (seed {})", failure.signature, failure.seed);
        github::error(failure.saved.as_ref().ok().map(|path| &**path), &title, failure.sentence());
    }
    report::campaign::write(args, &findings, &failures, &mut runner)?;
    broken.iter().for_each(|broken| complain(broken));
    Ok(match () {
        () if broken.is_some() => Status::Broken,
        () if !failures.is_empty() => Status::Diverged,
        () if findings.interrupted => Status::Interrupted,
        () => Status::Passed,
    })
}

/// What is wrong with the harness itself, or that nothing was tested. That a campaign which ended
/// early left something unexercised says nothing.
fn broken(findings: &Findings, args: &RunArgs) -> Option<String> {
    if let Some(seed) = findings.unrepeatable {
        return Some(format!("seed {seed} gave two different digests; the harness is broken"));
    }
    if let Some(vacuity) = findings.vacuity() {
        return Some(vacuity.to_string());
    }
    let early = findings.interrupted || !findings.failures.is_empty();
    let unexercised = summary::unexercised(findings);
    let vacuous = args.strict && !early && !unexercised.is_empty();
    vacuous.then(|| format!("--strict: never exercised: {}", unexercised.join(", ")))
}

fn replay(args: &ReplayArgs) -> anyhow::Result<Status> {
    let subject = args.device.subject();
    let mut runner = Runner::new(args.device.subject(), args.medium.make()?);
    let mut status = Status::Passed;
    for path in &args.files {
        let scenario = input::scenario_for(path, &subject)?;
        let replayed = replay_one(args, &mut runner, path, &scenario)?;
        if replayed == Status::Diverged && !args.trace {
            let command = failure::replay_command(path, &args.device);
            say(&format!("replay with:\n{command}"))?;
        }
        status = status.max(replayed);
    }
    Ok(status)
}

fn replay_one(
    args: &ReplayArgs,
    runner: &mut Runner<impl Subject>,
    path: &Path,
    scenario: &Scenario,
) -> anyhow::Result<Status> {
    let name = path.display();
    let options = Options { trace: true, ..Options::default() };
    let mut once = || {
        let report = quietly(|| runner.run(scenario, options));
        report.with_context(|| format!("{name} on {}", args.medium.name()))
    };
    let report = once()?;
    if args.trace {
        for event in &report.trace {
            say(&paint::event(event))?;
        }
    }
    if args.double_run {
        let again = once()?;
        if again.digest != report.digest {
            let pairs = report.trace.iter().zip(&again.trace);
            let first = pairs.clone().position(|(one, other)| one != other);
            let event = first.and_then(|at| report.trace.get(at));
            let event = event.map_or_else(|| "its length".to_owned(), ToString::to_string);
            complain(&format!("{name}: two runs differ, first in: {event}"));
            return Ok(Status::Broken);
        }
    }
    let digest = report.digest;
    let unmet = scenario.expect.as_ref().and_then(|expected| {
        if expected.verdict != report.verdict.expected() {
            Some(format!("expected {:?}", expected.verdict))
        } else if expected.digest != digest.to_string() {
            Some(format!("expected digest {}", expected.digest))
        } else {
            None
        }
    });
    let unmet = unmet.map(|unmet| format!("; {unmet}")).unwrap_or_default();
    let Verdict::Diverged(divergence) = &report.verdict else {
        say(&format!("{name}: passed, digest {digest}{unmet}"))?;
        if !unmet.is_empty() {
            say(&another_device(args.device))?;
        }
        return Ok(if unmet.is_empty() { Status::Passed } else { Status::Diverged });
    };
    let explained = Explanation::new(scenario, divergence, &report.trace);
    // With --trace the events have been printed.
    let explained = if args.trace { explained.without_events() } else { explained };
    let painted = paint::explanation(&explained);
    say(&format!("{name}: {painted}\n\ndigest {digest}{unmet}"))?;
    if !unmet.is_empty() {
        say(&another_device(args.device))?;
    }
    Ok(Status::Diverged)
}

/// A hint, where a scenario gave something else than its file expects.
fn another_device(device: cli::DeviceArg) -> String {
    format!(
        "the file does not name its device, and this was \"{}\": name another with --device, or \
         replay it with Check::replay in a test of a device of your own",
        device.name()
    )
}

/// The hint, for a scenario that passed although its file expects a divergence.
fn was_to_fail(scenario: &Scenario, device: cli::DeviceArg) -> Option<String> {
    let verdict = scenario.expect.as_ref()?.verdict;
    let ExpectedVerdict::Fail(kind) = verdict else { return None };
    Some(format!("the file expects: {kind}; {}", another_device(device)))
}

fn show(args: &ShowArgs) -> anyhow::Result<Status> {
    say(print(&wanted(args, &args.device.subject())?).trim_end())?;
    Ok(Status::Passed)
}

/// The scenario that the arguments name, for a device.
fn wanted(args: &ShowArgs, subject: &impl Subject) -> anyhow::Result<Scenario> {
    match (&args.file, args.seed) {
        (Some(path), _) => input::scenario_for(path, subject),
        (None, Some(seed)) => Ok(generate_for(seed, args.profile.0, &scenarios_for(subject))),
        (None, None) => anyhow::bail!("name a file or a --seed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_of_the_harness_has_a_status_of_its_own() {
        let broken = || anyhow::Error::from(RunError::Broken("so, at src/it.rs:7".to_owned()));
        let error = broken().context("seed 7 on memory").context("more");
        assert_eq!(status_of(&error), Status::Broken);
        assert_eq!(
            format!("{:#}", broken().context("seed 7 on memory")),
            "seed 7 on memory: the harness itself is broken, which says nothing about the device: \
             so, at src/it.rs:7"
        );
        assert_eq!(status_of(&anyhow::anyhow!("no such file")), Status::BadInput);
    }
}
