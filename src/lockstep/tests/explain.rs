//! What is said of a divergence.

use super::super::{Explanation, FileBacked, Options, Part, Report, Runner, Verdict};
use crate::disk::{CrashPolicy, Fault, FaultKind, Medium};
use crate::model::Data;
use crate::scenario::{Op, Scenario, Step, decode};

const WRITE: Op = Op::Write { offset: 512, length: 1024, fua: false, data: Data::Unique };

fn scenario(steps: Vec<Step>) -> Scenario {
    let mut scenario = Scenario { steps, ..decode(&[]) };
    (scenario.device.block_count, scenario.device.file_length) = (8, 4096);
    scenario
}

/// Runs it on a device that is held to what the medium does.
fn diverges(scenario: &Scenario) -> Report {
    let options = Options { trace: true, report_media_errors: true, ..Options::default() };
    Runner::new(FileBacked, Medium::Memory).run(scenario, options).unwrap()
}

fn explanation(steps: Vec<Step>) -> String {
    let scenario = scenario(steps);
    let Report { verdict: Verdict::Diverged(divergence), trace, .. } = diverges(&scenario) else {
        panic!("it should diverge");
    };
    Explanation::new(&scenario, &divergence, &trace).to_string()
}

fn faulty(op: Op, kind: FaultKind) -> Step {
    Step { faults: vec![Fault { call: 0, kind }], ..Step::new(op) }
}

#[test]
fn it_says_everything_in_this_order() {
    let read = Step::new(Op::Read { offset: 0, length: 2048 });
    let explained = explanation(vec![faulty(WRITE, FaultKind::BitFlip(8 * 16)), read]);
    let expected = "\
DIVERGED: corrupt data
  read #2 returned corrupt data: sector 1 holds contents that nobody wrote; legal: write #1
  in operation #2 of client 0

2 operations:
  #1    write            1024 bytes at 512   (fault at raw call 0: BitFlip(128))
  #2    read             2048 bytes at 0

sectors of 512 bytes:
  sector 1 holds contents that nobody wrote; legal: write #1

in sector 1, 1 byte differs from write #1, the first at 16:
      at  found                                expected
      16  1969dd50 70c465a2 29019af4 e26197be  1869dd50 70c465a2 29019af4 e26197be

raw calls beneath #1, write:
  #1      pwrite         1024 bytes at 512          -> 1024   (fault: bit-flip)

raw calls beneath #2, read:
  #2      pread          2048 bytes at 0            -> 2048

the last 9 of 9 events:
  #0      fstat                                     -> 4096
        device opened
  #1    write            1024 bytes at 512
  #1      pwrite         1024 bytes at 512          -> 1024   (fault: bit-flip)
  #1    Ok
  #2    read             2048 bytes at 0
  #2      pread          2048 bytes at 0            -> 2048
  #2    Ok
  #2    DIVERGED";
    assert_eq!(explained, expected, "\n{explained}");
}

#[test]
fn what_was_read_back_is_the_fault_of_those_that_were_to_write_it() {
    let lost = faulty(WRITE, FaultKind::LostWrite);
    let crash = Step::new(Op::Crash(CrashPolicy::All));
    let explained = explanation(vec![lost, Step::new(Op::Flush), crash]);
    let write = "raw calls beneath #1, write:\n  #1      pwrite ";
    let flush = "raw calls beneath #2, flush:\n  #2      fdatasync ";
    let places = [write, flush, "\nthe last "].map(|part| explained.find(part));
    assert!(places.is_sorted() && !places.contains(&None), "{explained}");
}

#[test]
fn without_events_the_rest_is_there() {
    let scenario = scenario(vec![faulty(WRITE, FaultKind::LostWrite)]);
    let Report { verdict: Verdict::Diverged(divergence), trace, .. } = diverges(&scenario) else {
        panic!("it should diverge");
    };
    let whole = Explanation::new(&scenario, &divergence, &trace);
    let (long, short) = (whole.to_string(), whole.without_events().to_string());
    assert_eq!(long.split_once("\n\nthe last ").map(|(before, _)| before), Some(&*short));
    assert!(short.contains("raw calls"));
    let untraced = Explanation::new(&scenario, &divergence, &[]).to_string();
    assert!(!untraced.contains("raw calls") && short.starts_with(&untraced), "{untraced}");
    let verdicts = whole.lines().iter().filter(|(part, _)| matches!(part, Part::Verdict)).count();
    assert_eq!(verdicts, 1);
}

#[test]
fn what_is_long_is_cut_short() {
    let writes = (0..40).map(|_| Step::new(WRITE));
    let mut read = faulty(Op::Read { offset: 0, length: 4096 }, FaultKind::BitFlip(8 * 512));
    read.faults.extend((1..8).map(|call| Fault { call, kind: FaultKind::Interrupted }));
    let explained = explanation(writes.chain([read]).collect());
    assert!(explained.contains("\n41 operations:\n") && explained.contains("\n  and 9 more\n"));
    assert!(explained.contains("\nthe last 24 of "), "{explained}");
}

/// What the device did before is not pushed out by the many reads of a recovery.
#[test]
fn of_many_reads_of_a_recovery_a_few_are_shown() {
    let write = Op::write(3584, 512);
    let lost = faulty(write, FaultKind::LostWrite);
    let crash = Step::new(Op::Crash(CrashPolicy::All));
    let mut scenario = scenario(vec![lost, Step::new(Op::Flush), crash]);
    scenario.device.heap = 512;
    let Report { verdict: Verdict::Diverged(divergence), trace, .. } = diverges(&scenario) else {
        panic!("it should diverge");
    };
    let explained = Explanation::new(&scenario, &divergence, &trace).to_string();
    let (_, events) = explained.split_once("\nthe last ").expect("events");
    let parts = ["pwrite", "(fault: lost-write)", "flush", "power fails", " more like these\n"];
    let places = parts.map(|part| events.find(part).unwrap_or_else(|| panic!("{events}")));
    assert!(places.is_sorted() && events.ends_with("\n        DIVERGED"), "{events}");
    assert!(events.lines().count() < trace.len(), "{events}");
}

#[test]
fn the_raw_calls_of_what_met_a_fault_are_shown() {
    let elsewhere = Op::write(3072, 512);
    let read = Op::Read { offset: 0, length: 2048 };
    let between = [read; 4].map(Step::new);
    let steps = [faulty(elsewhere, FaultKind::Eio)].into_iter().chain(between);
    let explained = explanation(steps.chain([faulty(read, FaultKind::BitFlip(0))]).collect());
    assert!(explained.contains("\nraw calls beneath #1, write:\n"), "{explained}");
    assert!(explained.contains("\nraw calls beneath #6, read:\n"), "{explained}");
    assert!(!explained.contains("\nraw calls beneath #2, "), "{explained}");
}
