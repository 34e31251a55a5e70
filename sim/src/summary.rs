//! What a campaign did, for people and for programs.

use crate::campaign::Findings;
use crate::cli::RunArgs;
use crate::distinct::Distinct;
use blocktwin::disk::FaultClass;
use blocktwin::lockstep::Stats;
use blocktwin::model::Clause;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Kinds of faults, clauses and landmarks that the campaign never put to the test.
pub(crate) fn unexercised(findings: &Findings) -> Vec<String> {
    let faults = FaultClass::ALL.into_iter();
    let idle = faults.filter(|&class| findings.stats.faults_of(class).consequential == 0);
    let clauses = Clause::ALL.into_iter();
    let unchecked = clauses.filter(|&clause| findings.stats.checks.of(clause) == 0);
    let idle = idle.map(|class| format!("fault {}", class.name()));
    let unchecked = unchecked.map(|clause| format!("clause \"{}\"", clause.name()));
    let unasked = Some("needless polls".to_owned()).filter(|_| findings.stats.needless_polls == 0);
    let unreached = findings.unreached.iter().map(|&bytes| format!("landmark {}", power(bytes)));
    idle.chain(unchecked).chain(unasked).chain(unreached).collect()
}

pub(crate) fn per_second(findings: &Findings) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let ops = findings.stats.ops as f64;
    if findings.seconds > 0.0 { ops / findings.seconds } else { 0.0 }
}

/// One JSON object.
pub(crate) fn json(findings: &Findings, failures: &[Distinct]) -> Value {
    let stats = &findings.stats;
    let faults: Map<String, Value> = FaultClass::ALL
        .into_iter()
        .map(|class| {
            let count = stats.faults_of(class);
            let counts = json!({"injected": count.injected, "consequential": count.consequential});
            (class.name().to_owned(), counts)
        })
        .collect();
    let clauses: Map<String, Value> = Clause::ALL
        .into_iter()
        .map(|clause| (clause.name().to_owned(), stats.checks.of(clause).into()))
        .collect();
    json!({
        "scenarios": stats.scenarios,
        "skipped": findings.skipped,
        "ops": stats.ops,
        "crashes": stats.crashes,
        "reopens": stats.reopens,
        "divergences": findings.divergences(),
        "failures": failures.iter().map(Distinct::json).collect::<Vec<_>>(),
        "seconds": findings.seconds,
        "ops_per_second": per_second(findings),
        "digest": format!("{:032x}", findings.digest),
        "interrupted": findings.interrupted,
        "faults": faults,
        "clauses": clauses,
        "unexercised": unexercised(findings),
        "calls": stats.calls,
        "reach": {
            "device_bytes": findings.reach.device,
            "transfer_bytes": findings.reach.transfer,
            "trim_bytes": findings.reach.trim,
            "clients": findings.reach.clients,
            "operations": findings.reach.steps,
            "landmarks": findings.reach.touched().collect::<Vec<_>>(),
        },
        "needless_polls": stats.needless_polls,
        "crashes_that_lost": crashes_that_lost(stats),
        "vacuous": findings.vacuity().map(|vacuity| vacuity.to_string()),
        "waives": (!findings.waives.is_empty()).then(|| findings.waives.to_string()),
    })
}

/// Power failures that lost something.
pub(crate) fn crashes_that_lost(stats: &Stats) -> u64 {
    stats.faults_of(FaultClass::Crash).consequential
}

/// What the device did after it had been closed, in a line, if it did anything.
fn after_close(stats: &Stats) -> Option<String> {
    let (tasks, calls) = (stats.tasks_after_close, stats.stray_calls);
    let counts = format!("{} tasks alive, {} raw calls", grouped(tasks), grouped(calls));
    (tasks > 0 || calls > 0).then(|| format!("after the device was closed: {counts}"))
}

/// A few lines and two tables.
pub(crate) fn human(findings: &Findings, args: &RunArgs) -> String {
    let stats = &findings.stats;
    let mut text = String::new();
    let vacuity = findings.vacuity();
    let verdict = match (findings.failures.is_empty(), findings.interrupted) {
        (false, _) => "DIVERGED",
        (true, true) => "interrupted; no divergence so far",
        (true, false) if vacuity.is_some() => "VACUOUS",
        (true, false) => "passed",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} scenarios on {}: {verdict}\n\
         {} operations, {} crashes, {} clean reopens, {} needless polls\n\
         {:.1} s, {:.0} operations/s, digest {:032x}\n",
        grouped(stats.scenarios),
        args.medium.name(),
        grouped(stats.ops),
        grouped(stats.crashes),
        grouped(stats.reopens),
        grouped(stats.needless_polls),
        findings.seconds,
        per_second(findings),
        findings.digest,
    );
    let lines = [Some(reach(findings)), after_close(stats), waived(findings)];
    for line in lines.into_iter().flatten() {
        let _ = writeln!(text, "{line}\n");
    }
    if findings.skipped > 0 {
        let skipped = grouped(findings.skipped);
        let _ =
            writeln!(text, "{skipped} scenarios SKIPPED: the medium cannot hold their device\n");
    }
    let _ = writeln!(text, "{:<26}{:>14}{:>16}", "fault", "injected", "consequential");
    for class in FaultClass::ALL {
        let count = stats.faults_of(class);
        let (injected, consequential) = (grouped(count.injected), grouped(count.consequential));
        let _ = writeln!(text, "{:<26}{injected:>14}{consequential:>16}", class.name());
    }
    let _ = writeln!(text, "\n{:<26}{:>14}", "clause", "checked");
    for clause in Clause::ALL {
        let _ = writeln!(text, "{:<26}{:>14}", clause.name(), grouped(stats.checks.of(clause)));
    }
    let unexercised = unexercised(findings);
    if !unexercised.is_empty() {
        let _ = writeln!(text, "\nnever exercised: {}", unexercised.join(", "));
    }
    text
}

/// How far the scenarios reached, in two lines.
fn reach(findings: &Findings) -> String {
    let reach = &findings.reach;
    let touched: Vec<String> = reach.touched().map(power).collect();
    let touched = if touched.is_empty() { "none".to_owned() } else { touched.join(", ") };
    format!(
        "largest: a device of {} bytes, a transfer of {}, a trim of {}; {} clients, {} operations\n\
         landmarks touched: {touched}",
        grouped(reach.device),
        grouped(reach.transfer),
        grouped(reach.trim),
        reach.clients,
        grouped(reach.steps),
    )
}

/// A power of two.
fn power(bytes: u64) -> String {
    format!("2^{}", bytes.ilog2())
}

/// What the device waives of the contract, in a line, if it waives anything.
fn waived(findings: &Findings) -> Option<String> {
    let waives = findings.waives;
    (!waives.is_empty()).then(|| format!("waives: {waives}"))
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use blocktwin::model::Promises;

    #[test]
    fn thousands_are_apart() {
        let shown = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_a_device_waives_and_leaves_behind_is_told_in_a_line_each() {
        let mut findings = Findings::default();
        let args = RunArgs::default();
        let quiet = human(&findings, &args);
        assert!(!quiet.contains("waives") && !quiet.contains("after the device was closed"));
        assert!(json(&findings, &[])["waives"].is_null());
        findings.waives = Promises::none().waive(|it| it.barriers = true).waives;
        (findings.stats.tasks_after_close, findings.stats.stray_calls) = (2, 3000);
        let told = human(&findings, &args);
        for line in [
            "waives: barriers (clause 5)",
            "after the device was closed: 2 tasks alive, 3,000 raw calls",
        ] {
            assert!(told.lines().any(|it| it == line), "{told}");
        }
        assert_eq!(json(&findings, &[])["waives"], "barriers (clause 5)");
    }

    #[test]
    fn a_campaign_that_did_nothing_exercised_nothing() {
        let all = FaultClass::ALL.len() + Clause::ALL.len();
        // And the polls that nobody asked for.
        assert_eq!(unexercised(&Findings::default()).len(), all + 1);
    }
}
