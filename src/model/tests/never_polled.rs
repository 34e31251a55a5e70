//! Requests whose futures were dropped before they were polled.

use super::history::Held::{By, Zeros};
use super::history::{History, SECTOR};
use crate::device::DeviceError;
use crate::model::{Kind, Promises, Request};

#[test]
fn what_was_never_polled_has_no_effect() {
    let story = || History::new().write(1, 0..1).never_polled(1).read(2, 0..1);
    story().returns(2, 0, &[Zeros]);
    story().must_not_return(2, 0, &[By(1)], Kind::NeverWritten);
}

/// It may have begun when the future was made, in a task say.
#[test]
fn unless_the_device_may_leave_its_calls_to_others() {
    let story = || {
        let history = History::promising(Promises::none().in_place());
        history.write(1, 0..1).never_polled(1).read(2, 0..1)
    };
    story().returns(2, 0, &[Zeros]);
    story().returns(2, 0, &[By(1)]);
}

#[test]
fn a_close_that_was_never_polled_closes_nothing() {
    let story = || {
        let history = History::new().begin(1, Request::Close).never_polled(1);
        history.begin(2, Request::Write { offset: 0, length: SECTOR, fua: false })
    };
    story().ok(2);
    story().must_not_answer(2, Err(DeviceError::Closed), Kind::SpuriousError);
}
