//! Scenarios as the bytes of a fuzzer.
//!
//! A [header](HEADER) of fixed width, whose first byte is the version, and [records](RECORD) of
//! fixed width: one for each operation, and further ones for what does not fit into it. So a fuzzer
//! that inserts, deletes, duplicates or swaps records does that to operations, and one that changes
//! a byte changes one thing. Numbers are little-endian.
//!
//! * **Any bytes are a scenario.** A number that is too large is mapped into the range of those
//!   that make sense, so that random bytes give scenarios that do something, in bounded time.
//! * **Zeros are the boring choice**, and so are bytes that are not there: no fault, no crash.
//! * **Numbers are never given another meaning.** What the bytes of a corpus say today they have to
//!   say next year. New operations and kinds of faults take numbers of their own.
//! * What can be decoded can be [encoded](encode), and so can every scenario from a seed. Note,
//!   seed and expectation are not of the run, and are left out.
//!
//! | bytes of the header | |
//! |---|---|
//! | 0 | version: 1, and any other is read as 1 |
//! | 1, 2 | sector size, and by how many bits a block is larger |
//! | 3, 4 | what a trim does; whether the device is read-only |
//! | 5, 8–15 | how the number of blocks is meant, and the number |
//! | 6, 16–23 | how the length of the file is meant, and the length |
//! | 24–27 | bytes of the transfer heap |
//! | 28, 29 | among how many clients operations are shared out; the [flavour](FLAVOUR) |
//! | 30 | whether the file was used before |
//! | 31 | whether reads and writes are of several pieces of memory |
//! | 32–39, 40–47 | the schedule's seed and the salt |
//!
//! | bytes of a record | |
//! |---|---|
//! | 0, 1 | what it does, and for which client |
//! | 2, 3, 4 | where: near what, how many blocks, and how far from it |
//! | 5 | after how many suspensions the future is dropped; 128 more if instead of its next poll |
//! | 6, 7, 8–15 | after how many the power fails, what survives, and the seed of that |
//! | 16, 17, 18–23 | a fault: its kind, the raw call that meets it, and its parameter |
//!
//! Three kinds of records belong to the operation before them: one more fault (kind, call and
//! parameter in bytes 1, 2 and 8–15), an exact range in bytes (bytes 8–15 and 16–23), and a power
//! failure while the device is opened after another one (as above).

mod bytes;
mod fault;
mod header;
mod place;
mod record;

#[cfg(test)]
mod tests;

use super::{Scenario, VERSION};
use arbitrary::{Arbitrary, Unstructured};
use bytes::{Reader, Writer};

/// Bytes of the header.
pub const HEADER: usize = 48;

/// Bytes of a record.
pub const RECORD: usize = 24;

/// Most operations that are decoded; what follows is ignored.
pub const MOST_STEPS: usize = 5000;

/// The byte of the header that says what random records are like: 1 for few blocks with many syncs
/// and crashes, as [`Profile::Durability`](super::Profile::Durability) has them, and anything else
/// for a bit of everything.
pub const FLAVOUR: usize = 29;

/// The version that is written.
const FORMAT: u8 = 1;

/// The scenario that `bytes` are; any bytes are one.
///
/// ```
/// use blocktwin::scenario::{decode, encode};
///
/// let scenario = decode(b"any bytes are a scenario, and most of them do something useful...");
/// assert_eq!(scenario.steps.len(), 1);
/// let bytes = encode(&scenario).expect("what was decoded");
/// assert_eq!(decode(&bytes), scenario);
/// assert!(decode(&[]).steps.is_empty());
/// ```
pub fn decode(bytes: &[u8]) -> Scenario {
    let (header, records) = bytes.split_at_checked(HEADER).unwrap_or((bytes, &[]));
    let header = header::decode(Reader::new(header));
    let mut steps = Vec::with_capacity(MOST_STEPS.min(records.len().div_ceil(RECORD)));
    for record in records.chunks(RECORD) {
        match record::decode(Reader::new(record), &header, steps.last_mut()) {
            Some(_) if steps.len() == MOST_STEPS => break,
            Some(step) => steps.push(step),
            None => {}
        }
    }
    let header::Header { device, schedule, salt, in_pieces, .. } = header;
    Scenario {
        version: VERSION,
        note: String::new(),
        seed: None,
        device,
        schedule,
        salt,
        in_pieces,
        steps,
        expect: None,
    }
}

/// Bytes that [`decode`] to `scenario`, but for its note, seed and expectation; or `None` where
/// there are none, as it is too large.
pub fn encode(scenario: &Scenario) -> Option<Vec<u8>> {
    let mut bytes = Writer::new();
    header::encode(scenario, bytes.append(HEADER));
    for step in &scenario.steps {
        record::encode(step, &scenario.device, &mut bytes);
    }
    let bytes = bytes.into_bytes();
    // Whatever did not fit was mapped to something else.
    same_run(&decode(&bytes), scenario).then_some(bytes)
}

/// Whether two scenarios are the same run.
fn same_run(one: &Scenario, other: &Scenario) -> bool {
    let of = |it: &Scenario| (it.version, it.device, it.schedule, it.salt, it.in_pieces);
    of(one) == of(other) && one.steps == other.steps
}

/// What remains of the bytes, [decoded](decode): so `cargo fuzz fmt` prints the scenario of an
/// input.
impl<'a> Arbitrary<'a> for Scenario {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(decode(bytes.bytes(bytes.len())?))
    }

    fn arbitrary_take_rest(mut bytes: Unstructured<'a>) -> arbitrary::Result<Self> {
        Self::arbitrary(&mut bytes)
    }
}
