//! Memory and time are in proportion to what is touched, not to the device.

use super::history::Held::{By, Zeros};
use super::history::History;
use crate::device::Geometry;
use crate::model::{Evidence, Expected, Kind, Request, TrimEffect};

/// 2^62 bytes in sectors of 512 bytes.
const SECTORS: u64 = 1 << 53;

fn huge() -> History {
    let geometry = Geometry::new(512, 512, SECTORS).unwrap();
    History::on(geometry, false, TrimEffect::Unspecified)
}

#[test]
fn a_huge_device_is_checked_at_both_ends() {
    let last = SECTORS - 1;
    let story =
        || huge().wrote(1, 0..1).wrote(2, last - 1..SECTORS).flushed().wrote(3, last..SECTORS);
    story().reads(last - 1, &[By(2), By(3)]).reads(SECTORS / 2, &[Zeros]);
    story().must_not_read(last, &[By(2)], Kind::Stale);
    story().must_not_read(SECTORS / 2, &[By(2)], Kind::NeverWritten);
    story().crash_leaves(last - 1, &[By(2), By(2)]);
    story().crash_must_not_leave(last, &[Zeros], Kind::DurabilityLost);
    let history = story();
    assert_eq!(history.twin.unsettled(), [last]);
    assert_eq!(history.twin.touched(), [0..1, last - 1..SECTORS]);
}

#[test]
fn the_end_of_a_huge_device_is_an_end() {
    let story = huge().write(1, SECTORS - 1..SECTORS + 1);
    story.must_not_answer(1, Ok(()), Kind::RequestNotRejected);
}

#[test]
fn sectors_of_4096_bytes_are_compared_whole() {
    let geometry = Geometry::new(4096, 8192, 4).unwrap();
    let request = Request::Write { offset: 8192, length: 8192, fua: false };
    let mut history = History::on(geometry, false, TrimEffect::Unspecified).begin(1, request).ok(1);
    let mut data = vec![0; 4 * 4096];
    history.twin.fill(1, 8192, &mut data[8192..]);
    super::history::legal(history.twin.verify(0, &data, &Evidence::default()));
    data[8192 + 4000] ^= 1;
    super::history::illegal(history.twin.verify(0, &data, &Evidence::default()), Kind::Corrupt);
}

#[test]
fn bytes_past_the_last_whole_sector_of_a_payload_stay() {
    let mut bytes = [9; 700];
    huge().twin.fill(1, 0, &mut bytes);
    assert_ne!(bytes[..512], [9; 512]);
    assert_eq!(bytes[512..], [9; 188]);
}

#[test]
fn versions_do_not_pile_up_in_a_long_run() {
    let mut history = History::new();
    for op in 1..900 {
        history = history.wrote(op, 0..1);
        if op % 8 == 0 {
            history = history.flushed();
        }
    }
    // 896 was flushed, three have come since, and nothing else is left to be had.
    let violation = history.crash_must_not_leave(0, &[By(895)], Kind::DurabilityLost);
    let left = (896..900).map(Expected::Written).collect::<Vec<_>>();
    assert_eq!(violation.findings[0].expected, left);
}
