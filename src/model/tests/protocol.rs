//! A harness that tells the twin what cannot be is told so.

use super::history::History;
use crate::device::Geometry;
use crate::model::{Evidence, Outcome, Promises, Request, Twin};

fn twin() -> Twin {
    Twin::new(Geometry::new(512, 512, 8).unwrap(), false, Promises::none(), 1)
}

fn answer(twin: &mut Twin, op: u32) {
    let outcome = Outcome::Answered { result: Ok(()), data: &[] };
    twin.end(op, outcome, &Evidence::default()).unwrap();
}

#[test]
#[should_panic(expected = "operations are numbered from 1")]
fn no_operation_is_number_0() {
    twin().begin(0, Request::Flush);
}

#[test]
#[should_panic(expected = "operation #3 begins for the second time")]
fn numbers_are_not_used_twice() {
    let mut twin = twin();
    twin.begin(3, Request::Flush);
    answer(&mut twin, 3);
    twin.begin(3, Request::Flush);
}

#[test]
#[should_panic(expected = "operation #3 ends, but is not in flight")]
fn what_has_not_begun_does_not_end() {
    answer(&mut twin(), 3);
}

#[test]
#[should_panic(expected = "operation #1 ends, but is not in flight")]
fn what_has_ended_does_not_end_again() {
    let mut history = History::new().wrote(1, 0..1);
    answer(&mut history.twin, 1);
}

#[test]
#[should_panic(expected = "operation #3 ends, but is not in flight")]
fn nothing_ends_that_a_crash_has_ended() {
    let mut twin = twin();
    twin.begin(3, Request::Flush);
    twin.crash();
    answer(&mut twin, 3);
}
