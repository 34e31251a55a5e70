//! Contents that explain themselves.
//!
//! Every sector that the harness writes is a function of three numbers: the scenario's *salt*, the
//! *write* that wrote it and the *sector* it was meant for. So nothing has to be stored to check a
//! sector, and a wrong one says where it comes from. The function is expanded over the whole sector
//! in such a way that any shift, swap or mix of two sectors shows.

use std::ops::Range;

/// Numbers the operations of a scenario, from 1; 0 is what the device held before any of them.
pub type OpId = u32;

/// In a [`Content`], the writer of [the pattern](super::Data::Pattern), whichever write it was.
pub const PATTERN: OpId = OpId::MAX - 2;

/// Whether the sparse write `op` writes zeros to this sector.
pub(super) fn is_hole(op: OpId, sector: u64) -> bool {
    (u64::from(op) ^ sector).wrapping_mul(SCRAMBLE) >> 63 == 1
}

/// What a scribbling trim leaves.
pub(super) const SCRIBBLE: u8 = 0xab;

/// In the upper half of the first word, before it is scrambled: tells a payload from garbage.
const TAG: u64 = 0x626c_6b74 << 32;

/// Odd, so that multiplying by it can be undone.
const SCRAMBLE: u64 = 0x9e37_79b9_7f4a_7c15;
const UNSCRAMBLE: u64 = inverse(SCRAMBLE);

/// How much each pair of words differs from the pair before it.
const STEP: (u64, u64) = (0xd1b5_4a32_d192_ed03, 0x8cb9_2ba7_2f3d_8dd7);

/// The two words with which a sector begins, and from which the others follow.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Head(u64, u64);

impl Head {
    fn new(salt: u64, op: OpId, sector: u64) -> Self {
        let first = (TAG | u64::from(op)).wrapping_mul(SCRAMBLE) ^ salt;
        Self(first, sector.wrapping_mul(SCRAMBLE) ^ first.rotate_left(29))
    }

    fn decode(self, salt: u64) -> Option<(OpId, u64)> {
        let word = (self.0 ^ salt).wrapping_mul(UNSCRAMBLE);
        let sector = (self.1 ^ self.0.rotate_left(29)).wrapping_mul(UNSCRAMBLE);
        let tagged = word & !u64::from(u32::MAX) == TAG;
        Some((OpId::try_from(word & u64::from(u32::MAX)).ok()?, sector)).filter(|_| tagged)
    }

    /// The two words of pair `pair`.
    #[cfg(test)]
    fn pair(self, pair: u64) -> (u64, u64) {
        let step = |word: u64, step: u64| word.wrapping_add(pair.wrapping_mul(step));
        (step(self.0, STEP.0), step(self.1, STEP.1))
    }
}

/// The inverse of an odd number modulo 2^64, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut i = 0;
    while i < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        i += 1;
    }
    x
}

/// Words that are handled side by side, which compilers turn into vectors.
const LANES: usize = 8;

/// A sector is a whole number of these.
type Block = [[u8; 8]; LANES];

/// How much each word of a block differs from the one a block further on.
const STEPS: [u64; 2] =
    [STEP.0.wrapping_mul(LANES as u64 / 2), STEP.1.wrapping_mul(LANES as u64 / 2)];

impl Head {
    /// The first block.
    fn lanes(self) -> [u64; LANES] {
        let mut lanes = [0; LANES];
        let Self(mut first, mut second) = self;
        for pair in lanes.as_chunks_mut().0 {
            *pair = [first, second];
            (first, second) = (first.wrapping_add(STEP.0), second.wrapping_add(STEP.1));
        }
        lanes
    }
}

fn advance(lanes: &mut [u64; LANES]) {
    for at in 0..LANES {
        lanes[at] = lanes[at].wrapping_add(STEPS[at % 2]);
    }
}

/// Writes the contents of one sector into `sector_bytes`.
pub(crate) fn fill(sector_bytes: &mut [u8], salt: u64, op: OpId, sector: u64) {
    let mut lanes = Head::new(salt, op, sector).lanes();
    for block in sector_bytes.as_chunks_mut().0.as_chunks_mut::<LANES>().0 {
        *block = lanes.map(u64::to_le_bytes);
        advance(&mut lanes);
    }
}

/// Whether `sector_bytes` are exactly what `op` wrote to `sector`.
pub(crate) fn matches(sector_bytes: &[u8], salt: u64, op: OpId, sector: u64) -> bool {
    let head = Head::new(salt, op, sector);
    // What is something else is so in its first words, unless it is torn.
    if words(&sector_bytes[..16]) != (head.0, head.1) {
        return false;
    }
    let mut lanes = head.lanes();
    let mut differ = [0; LANES];
    for block in blocks(sector_bytes) {
        for at in 0..LANES {
            differ[at] |= u64::from_le_bytes(block[at]) ^ lanes[at];
        }
        advance(&mut lanes);
    }
    differ.iter().fold(0, |all, lane| all | lane) == 0
}

/// Whether `bytes` are exactly what `op` wrote to these sectors, one behind the other.
pub(crate) fn matches_run(bytes: &[u8], salt: u64, op: OpId, sectors: Range<u64>) -> bool {
    let count = usize::try_from(sectors.end - sectors.start).unwrap_or(usize::MAX);
    let mut each = sectors.zip(bytes.chunks_exact(bytes.len() / count));
    each.all(|(sector, bytes)| matches(bytes, salt, op, sector))
}

/// Whether all of `sector_bytes` are zero.
pub(crate) fn is_zero(sector_bytes: &[u8]) -> bool {
    is_filled(sector_bytes, 0)
}

/// Whether all of `sector_bytes` are what a scribbling trim leaves.
pub(crate) fn is_scribble(sector_bytes: &[u8]) -> bool {
    is_filled(sector_bytes, SCRIBBLE)
}

fn is_filled(sector_bytes: &[u8], byte: u8) -> bool {
    let whole = u64::from_le_bytes([byte; 8]);
    if words(&sector_bytes[..16]) != (whole, whole) {
        return false;
    }
    // Each pair of words is as the one before it. The standard library compares wide.
    sector_bytes[16..] == sector_bytes[..sector_bytes.len() - 16]
}

fn blocks(sector_bytes: &[u8]) -> &[Block] {
    sector_bytes.as_chunks().0.as_chunks().0
}

fn words(pair: &[u8]) -> (u64, u64) {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&pair[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    (word(0), word(8))
}

/// What a sector's bytes turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing but zeros.
    Zeros,
    /// What a scribbling trim leaves.
    Scribble,
    /// Exactly what one operation wrote to one sector, this one or another.
    Written {
        /// The operation.
        op: OpId,
        /// The sector it was meant for.
        sector: u64,
    },
    /// The beginning of one content and the end of another.
    Torn {
        /// The operation that wrote the beginning; 0 for zeros.
        head: OpId,
        /// The operation that wrote the end; 0 for zeros.
        tail: OpId,
        /// Bytes of the beginning; rounded down to 16 where the twin does not know both contents.
        at: u32,
    },
    /// Nothing that was ever written in this scenario.
    Unknown,
}

/// Says what `sector_bytes` are. Slow; for naming what has already been found to be wrong.
pub(crate) fn identify(sector_bytes: &[u8], salt: u64) -> Content {
    if is_zero(sector_bytes) {
        return Content::Zeros;
    }
    if is_scribble(sector_bytes) {
        return Content::Scribble;
    }
    let head = source_at(sector_bytes, salt, 0);
    if let Some((op, sector)) = head
        && matches(sector_bytes, salt, op, sector)
    {
        return Content::Written { op, sector };
    }
    torn(sector_bytes, salt).unwrap_or(Content::Unknown)
}

/// Whose the pair of words number `pair` is, if anyone's; `None` also for zeros.
fn source_at(sector_bytes: &[u8], salt: u64, pair: usize) -> Option<(OpId, u64)> {
    let (a, b) = words(sector_bytes.get(pair * 16..pair * 16 + 16)?);
    let back = |word: u64, step: u64| word.wrapping_sub((pair as u64).wrapping_mul(step));
    Head(back(a, STEP.0), back(b, STEP.1)).decode(salt)
}

/// A sector of two parts, each of which is somebody's or zero.
fn torn(sector_bytes: &[u8], salt: u64) -> Option<Content> {
    let pairs = sector_bytes.len() / 16;
    let source = |pair: usize| match words(&sector_bytes[pair * 16..pair * 16 + 16]) {
        (0, 0) => Some((0, 0)),
        _ => source_at(sector_bytes, salt, pair),
    };
    let (head, tail) = (source(0)?, source(pairs - 1)?);
    let cut = (0..pairs).find(|&pair| source(pair) != Some(head))?;
    // The pair in which the parts meet may belong to neither.
    let whole_tail = (cut + 1..pairs).all(|pair| source(pair) == Some(tail));
    let at = u32::try_from(cut * 16).ok()?;
    // The same write on both sides is one that was changed at an edge.
    (whole_tail && head.0 != tail.0).then_some(Content::Torn { head: head.0, tail: tail.0, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 0x0123_4567_89ab_cdef;

    fn sector(op: OpId, sector: u64) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        fill(&mut bytes, SALT, op, sector);
        bytes
    }

    #[test]
    fn a_sector_names_its_write_and_its_place() {
        for (op, at) in [(1, 0), (7, 3), (u32::MAX, u64::MAX >> 9)] {
            let bytes = sector(op, at);
            assert!(matches(&bytes, SALT, op, at));
            assert_eq!(identify(&bytes, SALT), Content::Written { op, sector: at });
            assert!(!matches(&bytes, SALT, op, at + 1) && !matches(&bytes, SALT, op - 1, at));
            assert_eq!(identify(&bytes, SALT + 1), Content::Unknown);
        }
    }

    #[test]
    fn every_changed_byte_and_every_shift_shows() {
        let good = sector(5, 9);
        for at in 0..512 {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(!matches(&bad, SALT, 5, 9));
            let mut turned = good.clone();
            turned.rotate_left(at);
            assert_eq!(matches(&turned, SALT, 5, 9), at == 0);
        }
    }

    #[test]
    fn a_mix_of_two_writes_is_called_torn() {
        for cut in [1, 16, 100, 188, 500] {
            let mut bytes = sector(5, 9);
            bytes[cut..].copy_from_slice(&sector(3, 9)[cut..]);
            let found = identify(&bytes, SALT);
            let at = u32::try_from(cut / 16 * 16).unwrap();
            if (16..496).contains(&cut) {
                assert_eq!(found, Content::Torn { head: 5, tail: 3, at });
            } else {
                assert!(!matches!(found, Content::Written { .. }));
            }
        }
        let mut bytes = sector(5, 9);
        bytes[188..].fill(0);
        assert_eq!(identify(&bytes, SALT), Content::Torn { head: 5, tail: 0, at: 176 });
    }

    #[test]
    fn zeros_scribble_and_garbage_are_named() {
        assert_eq!(identify(&[0; 512], SALT), Content::Zeros);
        assert_eq!(identify(&[0xab; 512], SALT), Content::Scribble);
        assert_eq!(identify(&[0x5a; 512], SALT), Content::Unknown);
    }

    /// The corpus stores digests over these bytes' names, not the bytes, but reports show them.
    #[test]
    fn the_bytes_are_pinned() {
        assert_eq!(SCRAMBLE.wrapping_mul(UNSCRAMBLE), 1);
        let bytes = sector(1, 2);
        assert_eq!(words(&bytes[..16]), Head::new(SALT, 1, 2).pair(0));
        assert_eq!(words(&bytes[496..]), Head::new(SALT, 1, 2).pair(31));
    }
}
