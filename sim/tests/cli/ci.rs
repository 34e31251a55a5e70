//! What systems get that run it on every change: JUnit XML, and annotations on GitHub.

use super::program::{Ended, Place};
use quick_junit::{NonSuccessKind, Report, TestCaseStatus, TestSuite, XmlString};
use std::fs;

const FAILING: [&str; 7] =
    ["run", "--device", "close-without-sync", "--seeds", "180..216", "--medium", "memory"];

/// The one suite in this XML.
fn suite(xml: &str) -> TestSuite {
    let mut report = Report::deserialize_from_str(xml).expect("JUnit XML");
    assert_eq!(report.test_suites.len(), 1);
    report.test_suites.remove(0)
}

#[test]
fn a_campaign_that_passes_is_one_test_that_passes() {
    let arguments = ["run", "--seeds", "0..50", "--medium", "memory", "--format", "junit"];
    let suite = suite(&Place::new().run(&arguments).with_code(0).stdout);
    let [campaign] = &*suite.test_cases else { panic!("{suite:#?}") };
    assert_eq!(
        (suite.name.as_str(), campaign.name.as_str()),
        ("blocktwin.file.default", "campaign")
    );
    assert!(matches!(campaign.status, TestCaseStatus::Success { .. }));
    let output = campaign.system_out.as_ref().expect("the summary").as_str();
    assert!(output.contains("50 scenarios on memory: passed"), "{output}");
}

#[test]
fn every_distinct_failure_is_a_test_that_fails() {
    let place = Place::new();
    let junit = ["--format", "junit", "-o", "junit.xml", "--save", "found"];
    let ended = place.run(&[&FAILING[..], &junit].concat()).with_code(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("distinct failures: 2"), "{}", ended.stderr);
    let xml = fs::read_to_string(place.path("junit.xml")).unwrap();
    let suite = suite(&xml);
    let [campaign, failures @ ..] = &*suite.test_cases else { panic!("{suite:#?}") };
    assert!(matches!(campaign.status, TestCaseStatus::Success { .. }));
    let names: Vec<_> = failures.iter().map(|it| format!("{}.ron", it.name.as_str())).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, super::names(&place.path("found")));
    for failure in failures {
        let TestCaseStatus::NonSuccess { kind, ty, message, description, .. } = &failure.status
        else {
            panic!("{failure:#?}")
        };
        assert_eq!(*kind, NonSuccessKind::Failure);
        let ty = ty.as_ref().map(XmlString::as_str).unwrap_or_default();
        assert!(["durability lost", "failed sync ignored"].contains(&ty), "{ty}");
        let [message, text] = [message, description].map(|it| it.as_ref().unwrap().as_str());
        assert!(text.contains(message) && text.contains("\nreplay with:\n"), "{text}");
    }
}

#[test]
fn a_broken_harness_is_an_error() {
    let place = Place::new();
    let run = ["run", "--seeds", "0..1", "--medium", "memory", "--strict", "--format", "junit"];
    let ended = place.run(&run).with_code(3);
    assert!(ended.stderr.contains("--strict: never exercised: "), "{}", ended.stderr);
    let suite = suite(&ended.stdout);
    let TestCaseStatus::NonSuccess { kind, message, .. } = &suite.test_cases[0].status else {
        panic!("{suite:#?}")
    };
    assert_eq!(*kind, NonSuccessKind::Error);
    assert!(message.as_ref().unwrap().as_str().contains("never exercised"));
}

#[test]
fn a_summary_that_cannot_be_written_is_refused_at_once() {
    let place = Place::new();
    super::assert_refused(&place, &["run", "-o", "missing/it.xml"], &["missing/it.xml"]);
}

#[test]
fn github_gets_annotations_and_others_do_not() {
    let place = Place::new();
    let on_github = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        Ended::from(command.env("GITHUB_ACTIONS", "true").output().expect("the program"))
    };
    let annotations = |ended: &Ended| {
        let lines = ended.stderr.lines().filter(|line| line.starts_with("::"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let campaign = [&FAILING[..], &["--save", "found"]].concat();
    let found = annotations(&on_github(&campaign).with_code(1));
    let begins = "::error file=found/durability-lost-write-first-sector.ron,\
                  title=durability-lost-write-first-sector (seed 192)::after the crash, \
                  durability lost: ";
    let [first, _] = &*found else { panic!("{found:?}") };
    assert!(first.starts_with(begins), "{first}");
    assert_eq!(annotations(&place.run(&campaign).with_code(1)), [""; 0]);

    place.directory("corpus");
    place.directory("corpus/some");
    place.file("corpus/COUNT", "some 1\n");
    fs::copy(
        place.path("found/durability-lost-write-first-sector.ron"),
        place.path("corpus/some/a.ron"),
    )
    .unwrap();
    let found = annotations(&on_github(&["corpus", "check"]).with_code(1));
    let [only] = &*found else { panic!("{found:?}") };
    assert!(
        only.starts_with("::error file=corpus/some/a.ron,title=not as expected::Pass"),
        "{only}"
    );
}
