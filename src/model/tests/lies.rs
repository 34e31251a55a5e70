//! What a medium that lies excuses, and for how long.

use crate::device::Geometry;
use crate::model::{Evidence, Kind, OpId, Outcome, Promises, Request, Twin, Violation};

const SECTOR: u64 = 512;

/// A sector of zeros.
const ZEROS: [u8; 512] = [0; 512];

/// A device of eight sectors, the first of which holds what #1 wrote.
fn written() -> Twin {
    let geometry = Geometry::new(512, 512, 8).unwrap();
    let mut twin = Twin::new(geometry, false, Promises::file_backed(), 7);
    write(&mut twin, 1);
    twin
}

fn write(twin: &mut Twin, op: OpId) {
    twin.begin(op, Request::Write { offset: 0, length: SECTOR, fua: false });
    let outcome = Outcome::Answered { result: Ok(()), data: &[] };
    twin.end(op, outcome, &Evidence::default()).unwrap();
}

/// The first sector is read as zeros; the medium lied of these.
fn reads_zeros(twin: &mut Twin, op: OpId, unreliable: &[u64]) -> Result<(), Violation> {
    twin.begin(op, Request::Read { offset: 0, length: SECTOR });
    let outcome = Outcome::Answered { result: Ok(()), data: &ZEROS };
    twin.end(op, outcome, &Evidence { unreliable, ..Evidence::default() })
}

#[test]
fn a_lie_may_be_kept_in_memory() {
    let mut twin = written();
    assert_eq!(reads_zeros(&mut twin, 2, &[0]), Ok(()));
    assert_eq!(reads_zeros(&mut twin, 3, &[]), Ok(()), "a cache serves what it was told");
}

#[test]
fn a_lie_read_ahead_is_one_too() {
    let mut twin = written();
    twin.begin(2, Request::Read { offset: SECTOR, length: SECTOR });
    let outcome = Outcome::Answered { result: Ok(()), data: &ZEROS };
    twin.end(2, outcome, &Evidence { unreliable: &[0], ..Evidence::default() }).unwrap();
    assert_eq!(reads_zeros(&mut twin, 3, &[]), Ok(()));
}

#[test]
fn a_lie_about_another_sector_excuses_nothing() {
    let mut twin = written();
    let violation = reads_zeros(&mut twin, 2, &[1]).unwrap_err();
    assert_eq!(violation.kind, Kind::Lost);
}

#[test]
fn a_lie_ends_when_the_sector_is_written_again() {
    let mut twin = written();
    reads_zeros(&mut twin, 2, &[0]).unwrap();
    write(&mut twin, 3);
    assert_eq!(reads_zeros(&mut twin, 4, &[]).unwrap_err().kind, Kind::Lost);
}

#[test]
fn a_lie_heard_while_the_sector_is_written_may_be_kept() {
    let mut twin = written();
    twin.begin(2, Request::Write { offset: 0, length: SECTOR, fua: false });
    reads_zeros(&mut twin, 3, &[0]).unwrap();
    let outcome = Outcome::Answered { result: Ok(()), data: &[] };
    twin.end(2, outcome, &Evidence::default()).unwrap();
    assert_eq!(reads_zeros(&mut twin, 4, &[]), Ok(()), "the read came after the write's effect");
}

#[test]
fn a_lie_ends_when_the_device_is_opened_again() {
    let mut twin = written();
    reads_zeros(&mut twin, 2, &[0]).unwrap();
    twin.reopened();
    assert_eq!(reads_zeros(&mut twin, 3, &[]).unwrap_err().kind, Kind::Lost);
}
