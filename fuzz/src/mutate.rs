//! Changes of inputs, record by record.
//!
//! A change of bytes anywhere hardly ever gives another operation in the middle of a scenario, as
//! that shifts all the others. These insert, delete, repeat, swap and change whole records, and
//! single fields of them.

use blocktwin::rng::{Purpose, Rng};
use blocktwin::scenario::codec::{FLAVOUR, HEADER, MOST_STEPS, RECORD};

/// What the scenarios of a target are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// A bit of everything.
    Usual = 0,
    /// Few blocks, and mostly syncs and crashes.
    Durability = 1,
}

/// Where a number is, and how many bytes it has.
type Field = (usize, usize);

/// The fields of the header, but for version and flavour.
const OF_HEADER: [Field; 12] = [
    (1, 1),
    (2, 1),
    (3, 1),
    (4, 1),
    (5, 1),
    (6, 1),
    (8, 8),
    (16, 8),
    (24, 4),
    (28, 1),
    (32, 8),
    (40, 8),
];

/// The fields of a record.
const OF_RECORD: [Field; 12] = [
    (0, 1),
    (1, 1),
    (2, 1),
    (3, 1),
    (4, 1),
    (5, 1),
    (6, 1),
    (7, 1),
    (8, 8),
    (16, 1),
    (17, 1),
    (18, 6),
];

/// Most records that are repeated, deleted or taken at once.
const RUN: usize = 8;

/// Changes the input in the first `size` bytes of `data`, and gives its new size, `max_size` at
/// most. Now and then `bytewise` does it instead, which is libFuzzer's own.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    flavour: Flavour,
    bytewise: fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut rng = Rng::new(u64::from(seed), Purpose::Operations);
    if max_size < HEADER + RECORD || rng.chance(1, 16) {
        return bytewise(data, size, max_size);
    }
    let mut input = Input::new(&data[..size]);
    for _ in 0..1 << rng.below(3) {
        input.change(&mut rng);
    }
    input.header[FLAVOUR] = flavour as u8;
    input.put(data, max_size)
}

/// Puts the first records of one input before the last ones of another, and gives the size.
pub fn crossover(one: &[u8], other: &[u8], out: &mut [u8], seed: u32) -> usize {
    if out.len() < HEADER {
        return 0;
    }
    let mut rng = Rng::new(u64::from(seed), Purpose::Operations);
    let (mut input, other) = (Input::new(one), Input::new(other));
    let end = position(&mut rng, input.records.len() + 1);
    let start = position(&mut rng, other.records.len() + 1);
    input.records.truncate(end);
    input.records.extend(&other.records[start..]);
    input.put(out, out.len())
}

/// An input in its parts.
struct Input {
    header: [u8; HEADER],
    records: Vec<[u8; RECORD]>,
}

impl Input {
    /// Bytes that are not there are zeros.
    fn new(bytes: &[u8]) -> Self {
        let (header, records) = bytes.split_at_checked(HEADER).unwrap_or((bytes, &[]));
        Self { header: filled(header), records: records.chunks(RECORD).map(filled).collect() }
    }

    /// Writes what fits into `max_size` bytes, and gives the size.
    fn put(&self, data: &mut [u8], max_size: usize) -> usize {
        data[..HEADER].copy_from_slice(&self.header);
        let places = data[HEADER..max_size].chunks_exact_mut(RECORD);
        let count = self.records.len().min(places.len());
        for (place, record) in places.zip(&self.records) {
            place.copy_from_slice(record);
        }
        HEADER + count * RECORD
    }

    fn change(&mut self, rng: &mut Rng) {
        let count = self.records.len();
        if count == 0 || (rng.chance(1, 4) && count < MOST_STEPS) {
            let at = position(rng, count + 1);
            self.records.insert(at, fresh(rng));
            return;
        }
        let (at, other) = (position(rng, count), position(rng, count));
        let run = at..(at + 1 + position(rng, RUN)).min(count);
        match rng.weighted(&[8, 2, 2, 1, 1]) {
            0 => change_field(&mut self.records[at], &OF_RECORD, rng),
            1 => change_field(&mut self.header, &OF_HEADER, rng),
            2 => drop(self.records.drain(run)),
            3 => {
                let repeated = self.records[run].to_vec();
                self.records.splice(other..other, repeated);
            }
            _ => self.records.swap(at, other),
        }
    }
}

/// An array that begins with these bytes.
fn filled<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array[..bytes.len()].copy_from_slice(bytes);
    array
}

/// A place among so many.
fn position(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below(count as u64)).unwrap_or(0)
}

/// A new record: often an operation that nothing disturbs.
fn fresh(rng: &mut Rng) -> [u8; RECORD] {
    let mut record = filled(&rng.next_u64().to_le_bytes()[..5]);
    let disturbances: &[Field] = match rng.below(4) {
        0 => &[(7, 1), (8, 8), (16, 1), (17, 1), (18, 2)],
        1 => &[(5, 1), (6, 1), (7, 1), (8, 8)],
        _ => &[(7, 1), (8, 8)],
    };
    for &(at, width) in disturbances {
        // From 128 on, a future is dropped instead of its next poll.
        let base = if at == 5 && rng.chance(1, 2) { 128 } else { 0 };
        set(&mut record, (at, width), base + rng.below(32));
    }
    record
}

/// Changes one field: to something small, something else, or a bit more or less.
fn change_field(bytes: &mut [u8], fields: &[Field], rng: &mut Rng) {
    let field = *rng.pick(fields);
    let value = match rng.weighted(&[4, 2, 1, 1, 1]) {
        0 => rng.below(32),
        1 => rng.next_u64(),
        2 => get(bytes, field).wrapping_add(1),
        3 => get(bytes, field).wrapping_sub(1),
        _ => 0,
    };
    set(bytes, field, value);
}

fn get(bytes: &[u8], (at, width): Field) -> u64 {
    u64::from_le_bytes(filled(&bytes[at..at + width]))
}

fn set(bytes: &mut [u8], (at, width): Field, value: u64) {
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use blocktwin::scenario::decode;

    const MOST: usize = 4096;

    fn no_bytewise(_: &mut [u8], size: usize, _: usize) -> usize {
        size
    }

    #[test]
    fn mutations_grow_shrink_and_keep_to_the_limit() {
        let mut data = vec![0; MOST];
        let (mut size, mut largest, mut shrunk) = (0, 0, 0);
        for seed in 0..20_000 {
            let before = size;
            size = mutate(&mut data, size, MOST, seed, Flavour::Durability, no_bytewise);
            assert!(size <= MOST && (size == 0 || (size - HEADER).is_multiple_of(RECORD)));
            largest = largest.max(decode(&data[..size]).steps.len());
            shrunk += usize::from(size < before);
        }
        assert!(largest > 50 && shrunk > 1000, "{largest} {shrunk}");
        assert_eq!(data[FLAVOUR], 1);
    }

    #[test]
    fn crossover_takes_from_both() {
        let (one, other) = ([1; HEADER + 10 * RECORD], [2; HEADER + 10 * RECORD]);
        let mut out = vec![0; MOST];
        let mut both = 0;
        for seed in 0..100 {
            let size = crossover(&one, &other, &mut out, seed);
            assert!((HEADER..=HEADER + 20 * RECORD).contains(&size));
            let records = &out[HEADER..size];
            assert!(records.is_sorted());
            both += usize::from(records.contains(&1) && records.contains(&2));
        }
        assert!(both > 50, "{both}");
        assert_eq!(crossover(&one, &other, &mut [0; 7], 1), 0);
    }
}
