//! Bytes, where nothing else explains a sector.

use super::violation::Expected;
use std::fmt;

/// Bytes of a line.
const LINE: usize = 16;

/// At most this many lines are kept.
const LINES: usize = 8;

/// How a sector differs from the legal content that is nearest to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The legal content.
    pub expected: Expected,
    /// The first byte that differs.
    pub first: u32,
    /// How many bytes differ.
    pub count: u32,
    /// The first lines that differ.
    pub lines: Vec<DifferingLine>,
}

/// Sixteen bytes of a sector that are not all as they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DifferingLine {
    /// Where they begin in the sector.
    pub at: u32,
    /// What they are.
    pub found: [u8; LINE],
    /// What they are in the legal content.
    pub expected: [u8; LINE],
}

impl Difference {
    /// Compares `found` with each of the legal contents. `None` where there is none, or it is
    /// equal to one.
    pub(super) fn nearest(
        found: &[u8],
        legal: impl Iterator<Item = (Expected, Vec<u8>)>,
    ) -> Option<Self> {
        let differ = |(one, other): &(&u8, &u8)| one != other;
        let counted = legal.map(|(expected, bytes)| {
            (found.iter().zip(&bytes).filter(differ).count(), expected, bytes)
        });
        let (count, expected, bytes) = counted.min_by_key(|&(count, ..)| count)?;
        let first = found.iter().zip(&bytes).position(|pair| differ(&pair))?;
        let number = |at: usize| u32::try_from(at).expect("a place in a sector");
        let pairs = found.as_chunks().0.iter().zip(bytes.as_chunks().0).enumerate();
        let lines = pairs.filter(|(_, (found, expected))| found != expected);
        let lines = lines.take(LINES).map(|(index, (&found, &expected))| {
            let at = number(index * LINE);
            DifferingLine { at, found, expected }
        });
        let (first, count) = (number(first), number(count));
        Some(Self { expected, first, count, lines: lines.collect() })
    }
}

/// A table in hexadecimal, with a headline.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, first, count, lines } = self;
        let plural = if *count == 1 { "byte differs" } else { "bytes differ" };
        writeln!(f, "{count} {plural} from {expected}, the first at {first}:")?;
        write!(f, "{:>6}  {:<35}  expected", "at", "found")?;
        for line in lines {
            write!(f, "\n{:>6}  {}  {}", line.at, Hex(&line.found), Hex(&line.expected))?;
        }
        Ok(())
    }
}

/// Bytes in groups of four.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let gap = if index > 0 && index % 4 == 0 { " " } else { "" };
            write!(f, "{gap}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against(found: &[u8]) -> Option<Difference> {
        let legal = [(Expected::Zeros, vec![0; 512]), (Expected::Written(3), vec![7; 512])];
        Difference::nearest(found, legal.into_iter())
    }

    #[test]
    fn the_nearest_content_is_what_it_is_compared_with() {
        let mut found = [7; 512];
        (found[20], found[500]) = (0xff, 0);
        let difference = against(&found).unwrap();
        assert_eq!((difference.first, difference.count), (20, 2));
        let table = "\
2 bytes differ from write #3, the first at 20:
    at  found                                expected
    16  07070707 ff070707 07070707 07070707  07070707 07070707 07070707 07070707
   496  07070707 00070707 07070707 07070707  07070707 07070707 07070707 07070707";
        assert_eq!(difference.to_string(), table);
    }

    #[test]
    fn only_the_first_lines_are_kept() {
        let difference = against(&[9; 512]).unwrap();
        assert_eq!((difference.expected, difference.count), (Expected::Zeros, 512));
        let at: Vec<u32> = difference.lines.iter().map(|line| line.at).collect();
        assert_eq!(at, [0, 16, 32, 48, 64, 80, 96, 112]);
        assert_eq!(against(&[0; 512]), None);
        assert_eq!(Difference::nearest(&[9; 512], std::iter::empty()), None);
    }
}
