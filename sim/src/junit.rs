//! What a campaign did, as JUnit XML for the systems that show tests.
//!
//! The campaign is a suite. One test case, `campaign`, stands for itself: it passes, with the
//! summary as its output, unless the harness is broken. Each distinct failure is a test case of its
//! own, called by its verdict, operation and place. So a system that compares builds sees the same
//! failure as the same test, whatever the seed.

use crate::campaign::Findings;
use crate::cli::RunArgs;
use crate::distinct::Distinct;
use crate::summary;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// `broken` says what is wrong with the harness, if anything is.
pub(crate) fn xml(
    findings: &Findings,
    failures: &[Distinct],
    broken: Option<&str>,
    args: &RunArgs,
) -> anyhow::Result<String> {
    let device = args.device.name();
    let class = format!("blocktwin.{device}");
    let time = Duration::from_secs_f64(findings.seconds);
    let mut suite = TestSuite::new(format!("{class}.{}", args.profile));
    suite.set_time(time);
    let status = broken.map_or_else(TestCaseStatus::success, |why| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("harness").set_message(why);
        status
    });
    let mut campaign = TestCase::new("campaign", status);
    let summary = summary::human(findings, args);
    campaign.set_classname(&class).set_time(time).set_system_out(summary);
    suite.add_test_case(campaign);
    suite.add_test_cases(failures.iter().map(|it| test_case(it, &class, args)));
    let mut report = Report::new("blocktwin");
    report.set_time(time).add_test_suite(suite);
    Ok(report.to_string()?)
}

fn test_case(failure: &Distinct, class: &str, args: &RunArgs) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    // Escape sequences have no place in XML, and are taken out.
    let text = format!("hit by seeds: {}\n{}", failure.seeds, failure.explanation(args));
    status.set_type(failure.signature.verdict.name());
    status.set_message(failure.sentence()).set_description(text);
    let mut case = TestCase::new(failure.signature.to_string(), status);
    case.set_classname(class);
    case
}
