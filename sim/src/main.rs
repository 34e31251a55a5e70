//! The `blocktwin` program: campaigns from seeds, replay of files, and what they show.
#![forbid(unsafe_code)]

mod bugs;
mod campaign;
mod cli;
mod corpus;
mod distinct;
mod failure;
mod input;
mod medium;
mod paint;
mod shrink;
mod signature;
mod summary;
mod zoo;

use anyhow::Context;
use blocktwin::disk::Medium;
use blocktwin::lockstep::{Explanation, FileBacked, Options, Runner, Subject, Verdict, quietly};
use blocktwin::scenario::{Scenario, generate, print};
use clap::Parser;
use cli::{Cli, Command, Format, ReplayArgs, RunArgs, ShowArgs};
use std::io::Write;
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
    let status = dispatch(Cli::parse()).unwrap_or_else(|error| {
        // The whole chain in one line.
        complain(&format!("{error:#}"));
        Status::BadInput
    });
    ExitCode::from(status as u8)
}

fn dispatch(cli: Cli) -> anyhow::Result<Status> {
    match cli.command {
        None => run(&RunArgs::default(), || FileBacked),
        Some(Command::Run(args)) => match args.device.0 {
            None => run(&args, || FileBacked),
            Some(specimen) => run(&args, || specimen.subject()),
        },
        Some(Command::Replay(args)) => match args.device.0 {
            None => replay(&args, FileBacked),
            Some(specimen) => replay(&args, specimen.subject()),
        },
        Some(Command::Bugs(args)) => bugs::run(&args),
        Some(Command::Shrink(args)) => match args.device.0 {
            None => shrink::command(&mut Runner::new(FileBacked, Medium::Memory), &args),
            Some(specimen) => {
                shrink::command(&mut Runner::new(specimen.subject(), Medium::Memory), &args)
            }
        },
        Some(Command::Show(args)) => show(&args),
        Some(Command::Corpus { command }) => corpus::run(&command),
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
    campaign::catch_interrupts()?;
    let findings = campaign::run(args, &subject)?;
    let mut runner = Runner::new(subject(), Medium::Memory);
    let failures = distinct::collect(&mut runner, &findings, args);
    let summary = match args.format {
        Format::Human => summary::human(&findings, args),
        Format::Json => summary::json(&findings, &failures).to_string(),
    };
    if let Some(seed) = findings.unrepeatable {
        say(&summary)?;
        complain(&format!("seed {seed} gave two different digests; the harness is broken"));
        return Ok(Status::Broken);
    }
    if let [first, ..] = &*failures {
        let described = match args.save {
            Some(_) => distinct::table(&failures, args),
            None => format!("seed {} {}", first.seed, first.explanation(args)),
        };
        match args.format {
            Format::Human => say(&format!("{summary}\n{described}"))?,
            Format::Json => {
                complain(&described);
                say(&summary)?;
            }
        }
        return Ok(Status::Diverged);
    }
    say(&summary)?;
    let unexercised = summary::unexercised(&findings);
    if args.strict && !unexercised.is_empty() && !findings.interrupted {
        complain(&format!("--strict: never exercised: {}", unexercised.join(", ")));
        return Ok(Status::Broken);
    }
    Ok(if findings.interrupted { Status::Interrupted } else { Status::Passed })
}

fn replay(args: &ReplayArgs, subject: impl Subject) -> anyhow::Result<Status> {
    let mut runner = Runner::new(subject, args.medium.make()?);
    let mut status = Status::Passed;
    for path in &args.files {
        let scenario = input::scenario(path)?;
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
        return Ok(if unmet.is_empty() { Status::Passed } else { Status::Diverged });
    };
    let explained = Explanation::new(scenario, divergence, &report.trace);
    // With --trace the events have been printed.
    let explained = if args.trace { explained.without_events() } else { explained };
    let painted = paint::explanation(&explained);
    say(&format!("{name}: {painted}\n\ndigest {digest}{unmet}"))?;
    Ok(Status::Diverged)
}

fn show(args: &ShowArgs) -> anyhow::Result<Status> {
    say(print(&wanted(args)?).trim_end())?;
    Ok(Status::Passed)
}

/// The scenario that the arguments name.
fn wanted(args: &ShowArgs) -> anyhow::Result<Scenario> {
    match (&args.file, args.seed) {
        (Some(path), _) => input::scenario(path),
        (None, Some(seed)) => Ok(generate(seed, args.profile.0)),
        (None, None) => anyhow::bail!("name a file or a --seed"),
    }
}
