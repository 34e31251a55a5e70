//! What a wrong sector is called, and what is said of it.

use super::history::Held::{By, Garbage, Meant, Scribble, Torn, Zeros};
use super::history::{Held, History};
use crate::device::DeviceError;
use crate::model::{Content, Evidence, Expected, Kind, TrimEffect};

/// Two writes, one over the other, and a refused one; the crash comes after a flush.
fn story() -> History {
    let history = History::new().wrote(1, 0..4).wrote(2, 0..2);
    let refused = DeviceError::OutOfRange { offset: 32768, length: 512, size: 32768 };
    history.write(3, 64..65).answers(3, Err(refused)).flushed()
}

#[test]
fn wrong_data_is_called_what_it_is() {
    let cases: [(Held, Kind, Kind); 9] = [
        (By(1), Kind::Stale, Kind::DurabilityLost),
        (Zeros, Kind::Lost, Kind::DurabilityLost),
        (Meant(2, 1), Kind::Misdirected, Kind::Misdirected),
        (Meant(1, 3), Kind::Misdirected, Kind::Misdirected),
        (Torn(2, 1), Kind::Torn, Kind::Torn),
        (Torn(2, 0), Kind::Torn, Kind::Torn),
        (By(3), Kind::NeverWritten, Kind::NeverWritten),
        (Scribble, Kind::RangeEscaped, Kind::RangeEscaped),
        (Garbage, Kind::Corrupt, Kind::Corrupt),
    ];
    for (held, read, crashed) in cases {
        story().must_not_read(0, &[held], read);
        story().crash_must_not_leave(0, &[held], crashed);
    }
    story().reads(0, &[By(2)]).crash_leaves(0, &[By(2)]);
}

#[test]
fn a_write_that_was_never_made_is_corruption() {
    story().must_not_read(0, &[By(9000)], Kind::Corrupt);
    story().must_not_read(9, &[By(9000)], Kind::Corrupt);
}

#[test]
fn contents_of_another_run_are_corruption() {
    let data = story().contents(0, &[By(2)]);
    let mut history = story().reset().wrote(1, 0..2).wrote(2, 0..2);
    super::history::illegal(history.twin.verify(0, &data, &Evidence::default()), Kind::Corrupt);
}

#[test]
fn a_violation_says_what_is_where_and_what_was_legal() {
    let history = History::new().wrote(1, 4..8).write(2, 4..8).fail(2);
    let violation = history.must_not_read(4, &[By(1), Zeros, Meant(1, 4), By(2)], Kind::Lost);
    let [lost, misdirected] = &*violation.findings else { panic!("{violation:?}") };
    assert_eq!((lost.sector, lost.found), (5, Content::Zeros));
    assert_eq!(lost.expected, [Expected::Written(1), Expected::Written(2)]);
    assert_eq!(misdirected.found, Content::Written { op: 1, sector: 4 });
    let says = "read #1001 returned lost data: sector 5 holds zeros; legal: write #1 or write #2";
    assert_eq!(violation.sentence, says);
}

#[test]
fn bytes_are_shown_only_where_nothing_else_tells() {
    let bytes = |held, kind| story().must_not_read(0, &[held], kind).findings[0].bytes.clone();
    assert_eq!(bytes(By(1), Kind::Stale), None);
    assert_eq!(bytes(Zeros, Kind::Lost), None);
    assert_eq!(bytes(Meant(2, 1), Kind::Misdirected), None);
    let garbage = bytes(Garbage, Kind::Corrupt).unwrap();
    let about = (garbage.expected, garbage.first, garbage.lines.len());
    assert_eq!(about, (Expected::Written(2), 0, 8));
    let torn = bytes(Torn(2, 1), Kind::Torn).unwrap();
    assert!(torn.first > 0 && torn.lines[0].at == torn.first / 16 * 16, "{torn}");
    let trimmed = History::trimming(TrimEffect::Scribble).wrote(1, 0..4).trimmed(2, 0..4);
    let violation = trimmed.must_not_read(0, &[Garbage], Kind::Corrupt);
    assert_eq!(violation.findings[0].bytes.as_ref().unwrap().lines[0].expected, [0xab; 16]);
}

#[test]
fn a_violation_names_a_few_sectors_of_many() {
    let history = History::new().wrote(1, 0..64);
    let violation = history.must_not_read(0, &[Zeros; 64], Kind::Lost);
    let sectors: Vec<u64> = violation.findings.iter().map(|finding| finding.sector).collect();
    assert_eq!(sectors, [0, 1, 2, 3, 4, 5, 6, 7]);
}
