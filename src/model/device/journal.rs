//! Which requests were made, and how they ended.

use crate::device::DeviceError;
use crate::model::request::Request;

/// One request that was made of a [`ModelDevice`](super::ModelDevice).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// The number of requests made before it, since the device was made.
    pub number: u64,
    /// What was asked for.
    pub request: Request,
    /// How it ended.
    pub end: RequestEnd,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestEnd {
    /// It has not ended.
    InFlight,
    /// The device answered, and the future has returned this.
    Answered(Result<(), DeviceError>),
    /// The future was dropped before it was ready.
    Dropped,
    /// The power failed, or the device was restarted, before the future was ready.
    CutOff,
}

/// The requests, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Vec<RequestRecord>,
    /// The number of the next request.
    next: u64,
}

impl Journal {
    /// A request is made. Gives its number.
    pub(super) fn begin(&mut self, request: Request) -> u64 {
        let number = self.next;
        self.next += 1;
        self.entries.push(RequestRecord { number, request, end: RequestEnd::InFlight });
        number
    }

    /// The request of this number has ended.
    pub(super) fn end(&mut self, number: u64, end: RequestEnd) {
        if let Ok(at) = self.entries.binary_search_by_key(&number, |entry| entry.number) {
            self.entries[at].end = end;
        }
    }

    /// What is in flight now never ends.
    pub(super) fn cut_off(&mut self) {
        let in_flight = self.entries.iter_mut().filter(|entry| entry.end == RequestEnd::InFlight);
        in_flight.for_each(|entry| entry.end = RequestEnd::CutOff);
    }

    /// Everything since the last time.
    pub(super) fn take(&mut self) -> Vec<RequestRecord> {
        std::mem::take(&mut self.entries)
    }

    /// The number of the next request.
    pub(super) fn next(&self) -> u64 {
        self.next
    }
}
