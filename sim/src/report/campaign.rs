//! The page of a campaign: how it went, what it exercised, what was slow, and what it found.

use super::page::{self, escaped, filled};
use super::tally::{Slowest, Timeline};
use super::{Shown, words};
use crate::campaign::Findings;
use crate::cli::RunArgs;
use crate::distinct::Distinct;
use crate::summary::{grouped, per_second, unexercised};
use anyhow::Context;
use blocktwin::disk::FaultClass;
use blocktwin::lockstep::{Runner, Subject, Verdict, describe};
use blocktwin::model::Clause;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const CAMPAIGN: &str = include_str!("campaign.html");

/// So many distinct failures have a page of their own.
const PAGES: usize = 32;

/// Makes sure, before a campaign of hours begins, that its page can be written.
pub(crate) fn prepare(args: &RunArgs) -> anyhow::Result<()> {
    let Some(path) = &args.report else { return Ok(()) };
    let file = File::options().create(true).append(true).open(path);
    file.map(drop).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Writes the page that `args` ask for, and beside it one of what diverged.
pub(crate) fn write(
    args: &RunArgs,
    findings: &Findings,
    distinct: &[Distinct],
    runner: &mut Runner<impl Subject>,
) -> anyhow::Result<()> {
    let Some(path) = &args.report else { return Ok(()) };
    let mut found = String::new();
    for one in distinct.iter().take(PAGES) {
        found += &one_found(path, args, one, runner)?;
    }
    if distinct.is_empty() {
        found += "<p>Nothing: no device diverged from its twin.</p>";
    } else if distinct.len() > PAGES {
        found += &format!("<p>And {} more, which have no page.</p>", distinct.len() - PAGES);
    }
    let stats = &findings.stats;
    let body = filled(
        CAMPAIGN,
        &[
            ("head", &head(args, findings)),
            ("facts", &facts(args, findings)),
            ("found", &found),
            ("chart", &chart(&findings.tally.timeline)),
            ("faults", &faults(findings)),
            ("clauses", &clauses(findings)),
            ("by_time", &slowest(args, &findings.tally.by_time)),
            ("by_steps", &slowest(args, &findings.tally.by_steps)),
            ("command", &escaped(&command())),
        ],
    );
    let title = format!("campaign of {} scenarios", grouped(stats.scenarios));
    let page = page::of_parts(&title, &body, "{}", &[page::COPY]);
    fs::write(path, page).with_context(|| format!("{}: cannot be written", path.display()))
}

/// A failure, and its own page.
fn one_found(
    path: &Path,
    args: &RunArgs,
    found: &Distinct,
    runner: &mut Runner<impl Subject>,
) -> anyhow::Result<String> {
    let Distinct { scenario, seed, seeds, .. } = found;
    let unsaved = PathBuf::from(format!("seed-{seed}.ron"));
    let replay = words::replay(found.saved.as_ref().unwrap_or(&unsaved), args.device);
    let own = beside(path, *seed);
    let shown = Shown { scenario, device: args.device, replay: &replay };
    let report = shown.write(runner, &own)?;
    let Verdict::Diverged(divergence) = &report.verdict else {
        let name = format!("seed {seed}");
        return Ok(format!("<p>{name} diverged, but does not in memory.</p>"));
    };
    let violation = &divergence.violation;
    let link = own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let operations = scenario.steps.iter().zip(1..).take(12);
    let operations = operations.map(|(step, op)| words::one_line(&describe(op, step)));
    let operations: Vec<_> = operations.map(|it| format!("<li>{}</li>", escaped(&it))).collect();
    let others = match seeds - 1 {
        0 => String::new(),
        others => format!(" and {} more", grouped(others)),
    };
    Ok(format!(
        "<article>\n<p class=\"verdict diverged\">{}</p>\n\
         <h3><a href=\"{}\">Seed {seed}{others}: {}</a></h3>\n\
         <ul class=\"operations\">{}</ul>\n\
         <div class=\"copied\"><pre id=\"replay-{seed}\" tabindex=\"0\">{}</pre>\n\
         <button type=\"button\" data-copy=\"replay-{seed}\">Copy the command</button></div>\n\
         </article>",
        violation.kind,
        escaped(&link),
        escaped(&violation.sentence),
        operations.join("\n"),
        escaped(&replay),
    ))
}

/// The page of a seed that diverged: `x.html` has `x-seed-7.html` beside it.
fn beside(path: &Path, seed: u64) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    path.with_file_name(format!("{}-seed-{seed}.html", stem.unwrap_or_default()))
}

fn head(args: &RunArgs, findings: &Findings) -> String {
    let scenarios = grouped(findings.stats.scenarios);
    let device = args.device.name();
    let (class, verdict) = match (findings.failures.is_empty(), findings.interrupted) {
        (false, _) => ("diverged", "diverged"),
        (true, true) => ("passed", "interrupted; no divergence so far"),
        (true, false) => ("passed", "passed"),
    };
    format!(
        "<p class=\"verdict {class}\">{verdict}</p>\n\
         <h1>A campaign of {scenarios} scenarios on device {device}</h1>\n"
    )
}

fn facts(args: &RunArgs, findings: &Findings) -> String {
    let stats = &findings.stats;
    let mut facts = vec![
        ("Operations", grouped(stats.ops)),
        ("Crashes", grouped(stats.crashes)),
        ("Clean reopens", grouped(stats.reopens)),
        ("Seconds", format!("{:.1}", findings.seconds)),
        ("Operations a second", format!("{:.0}", per_second(findings))),
        ("Profile", args.profile.to_string()),
        ("Medium", args.medium.name()),
        ("Digest", format!("{:032x}", findings.digest)),
    ];
    if findings.skipped > 0 {
        facts.push(("Skipped, too large for the medium", grouped(findings.skipped)));
    }
    if !findings.waives.is_empty() {
        facts.push(("Waives", findings.waives.to_string()));
    }
    if let Some(vacuity) = findings.vacuity() {
        facts.push(("Vacuous", vacuity.to_string()));
    }
    let never = unexercised(findings);
    if !never.is_empty() {
        facts.push(("Never exercised", never.join(", ")));
    }
    page::terms(&facts)
}

/// Scenarios a second, over time.
fn chart(timeline: &Timeline) -> String {
    let Some(most) = timeline.counts.iter().max().copied().filter(|&most| most > 0) else {
        return "<p>No scenario was run.</p>".to_owned();
    };
    let part = u64::try_from(timeline.part.as_millis()).unwrap_or(u64::MAX);
    let rate = |count: u64| grouped(count.saturating_mul(1000) / part);
    let seconds = |parts: usize| {
        let milliseconds = part.saturating_mul(parts as u64);
        format!("{}.{}", milliseconds / 1000, milliseconds % 1000 / 100)
    };
    let mut html = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} 1000\" preserveAspectRatio=\"none\" \
         role=\"img\" aria-label=\"Scenarios a second over time, at most {}\">\n",
        timeline.counts.len(),
        rate(most)
    );
    for (at, &count) in timeline.counts.iter().enumerate() {
        let (high, rate) = (count.saturating_mul(1000) / most, rate(count));
        // Writing to a string cannot fail.
        let _ = writeln!(
            html,
            "<rect x=\"{at}.05\" y=\"{}\" width=\"0.9\" height=\"{high}\">\
             <title>from second {}: {rate} scenarios a second</title></rect>",
            1000 - high,
            seconds(at)
        );
    }
    html + &format!(
        "</svg>\n<p class=\"axis\"><span>0 s</span><span>at most {} scenarios a second</span>\
         <span>{} s</span></p>",
        rate(most),
        seconds(timeline.counts.len())
    )
}

/// Faults, with how many of them mattered.
fn faults(findings: &Findings) -> String {
    let mut html = String::new();
    for class in FaultClass::ALL {
        let count = findings.stats.faults_of(class);
        let share = (count.consequential * 100).checked_div(count.injected).unwrap_or(0);
        let never = if count.consequential == 0 { " class=\"bad\"" } else { "" };
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td>\
             <td class=\"number\"{never}>{}</td>\
             <td><meter max=\"100\" value=\"{share}\">{share} %</meter> {share} %</td></tr>",
            class.name(),
            grouped(count.injected),
            grouped(count.consequential),
        );
    }
    html
}

fn clauses(findings: &Findings) -> String {
    let rows = Clause::ALL.map(|clause| {
        let checked = findings.stats.checks.of(clause);
        let never = if checked == 0 { " bad" } else { "" };
        let (name, checked) = (clause.name(), grouped(checked));
        format!(
            "<tr><th scope=\"row\">{name}</th><td class=\"number{never}\">{checked}</td></tr>\n"
        )
    });
    rows.concat()
}

fn slowest(args: &RunArgs, slowest: &Slowest) -> String {
    let (profile, device) = (args.profile, words::device(args.device));
    let rows = slowest.0.iter().map(|cost| {
        let seed = cost.seed;
        let show = format!("blocktwin report --seed {seed} --profile {profile}{device}");
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{:.3} ms</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td><code>{show}</code></td></tr>\n",
            seed,
            cost.time.as_secs_f64() * 1000.0,
            grouped(cost.steps),
            grouped(cost.ops),
        )
    });
    rows.collect()
}

/// The command that this is, by the name that everybody has it by.
fn command() -> String {
    let arguments = std::env::args().skip(1).map(|argument| words::quoted(&argument));
    ["blocktwin".to_owned()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}
