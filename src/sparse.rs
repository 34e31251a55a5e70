//! A vector as long as a device, that costs only what is touched of it.
//!
//! **Invariant:** knows nothing else of the crate.

use std::collections::BTreeMap;

/// Chunks below this index are found by indexing, those above by searching: most devices that are
/// simulated are small, and a device of 16 TiB has to work too.
const NEAR: u64 = 1 << 12;

/// A sparse vector of `u64::MAX` elements, in chunks of `LENGTH`, a power of two so that elements
/// are found by shifting; what was never touched is `T::default()`.
#[derive(Debug)]
pub(crate) struct Sparse<T, const LENGTH: usize> {
    near: Vec<Option<Box<[T]>>>,
    far: BTreeMap<u64, Box<[T]>>,
    /// Chunks given up by [`clear`](Self::clear), all default, kept for the next use.
    spare: Vec<Box<[T]>>,
}

impl<T: Clone + Default, const LENGTH: usize> Sparse<T, LENGTH> {
    /// Empty.
    pub(crate) fn new() -> Self {
        const { assert!(LENGTH.is_power_of_two()) };
        Self { near: Vec::new(), far: BTreeMap::new(), spare: Vec::new() }
    }

    /// The chunk number of an element, and its place inside the chunk.
    #[inline]
    pub(crate) fn locate(index: u64) -> (u64, usize) {
        let length = LENGTH as u64;
        #[expect(clippy::cast_possible_truncation, reason = "less than LENGTH, a usize")]
        let within = (index % length) as usize;
        (index / length, within)
    }

    /// A chunk, if it was ever touched.
    pub(crate) fn chunk(&self, chunk: u64) -> Option<&[T]> {
        match usize::try_from(chunk) {
            Ok(at) if chunk < NEAR => self.near.get(at)?.as_deref(),
            _ => self.far.get(&chunk).map(|chunk| &**chunk),
        }
    }

    /// A chunk, if it was ever touched, to change.
    pub(crate) fn existing_mut(&mut self, chunk: u64) -> Option<&mut [T]> {
        match usize::try_from(chunk) {
            Ok(at) if chunk < NEAR => self.near.get_mut(at)?.as_deref_mut(),
            _ => self.far.get_mut(&chunk).map(|chunk| &mut **chunk),
        }
    }

    /// A chunk, touched now if not before.
    pub(crate) fn chunk_mut(&mut self, chunk: u64) -> &mut [T] {
        let spare = &mut self.spare;
        let fresh = || spare.pop().unwrap_or_else(|| vec![T::default(); LENGTH].into());
        match usize::try_from(chunk) {
            Ok(at) if chunk < NEAR => {
                if self.near.len() <= at {
                    self.near.resize_with(at + 1, || None);
                }
                self.near[at].get_or_insert_with(fresh)
            }
            _ => self.far.entry(chunk).or_insert_with(fresh),
        }
    }

    /// One element, if its chunk was ever touched.
    pub(crate) fn get(&self, index: u64) -> Option<&T> {
        let (chunk, within) = Self::locate(index);
        Some(&self.chunk(chunk)?[within])
    }

    /// The touched chunks in order, each with the index of its first element.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (u64, &[T])> {
        let near = (0..).zip(&self.near).filter_map(|(at, chunk)| Some((at, chunk.as_deref()?)));
        let far = self.far.iter().map(|(&at, chunk)| (at, &**chunk));
        near.chain(far).map(|(at, chunk)| (at * LENGTH as u64, chunk))
    }

    /// Forgets everything, at the price of what was touched; memory is kept for the next use.
    pub(crate) fn clear(&mut self, reset: impl Fn(&mut [T])) {
        let near = self.near.iter_mut().filter_map(Option::take);
        let far = std::mem::take(&mut self.far).into_values();
        for mut chunk in near.chain(far) {
            reset(&mut chunk);
            self.spare.push(chunk);
        }
    }
}

impl<const LENGTH: usize> Sparse<u8, LENGTH> {
    /// Copies the bytes from `offset` on into `buffer`.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) {
        self.pieces(offset, buffer.len(), |chunk, within, at| {
            let piece = &mut buffer[at.clone()];
            match self.chunk(chunk) {
                Some(bytes) => piece.copy_from_slice(&bytes[within..within + at.len()]),
                None => piece.fill(0),
            }
        });
    }

    /// Appends the `length` bytes from `offset` on to `buffer`.
    pub(crate) fn append_to(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) {
        self.pieces(offset, length, |chunk, within, at| match self.chunk(chunk) {
            Some(bytes) => buffer.extend_from_slice(&bytes[within..within + at.len()]),
            None => buffer.resize(buffer.len() + at.len(), 0),
        });
    }

    /// Copies `data` to `offset`.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let (mut chunk, mut within) = Self::locate(offset);
        let mut data = data;
        while !data.is_empty() {
            let count = data.len().min(LENGTH - within);
            let (piece, rest) = data.split_at(count);
            self.chunk_mut(chunk)[within..within + count].copy_from_slice(piece);
            (chunk, within, data) = (chunk + 1, 0, rest);
        }
    }

    /// Zeroes `length` bytes from `offset` on, without touching what was never touched.
    pub(crate) fn zero(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        let (first, _) = Self::locate(offset);
        let touched: Vec<u64> = self
            .chunks()
            .map(|(start, _)| start)
            .filter(|&start| start < end && Self::locate(start).0 >= first)
            .collect();
        for start in touched {
            let size = LENGTH as u64;
            let from = offset.max(start) - start;
            let to = end.min(start + size) - start;
            let (chunk, _) = Self::locate(start);
            if let (Ok(from), Ok(to), Some(bytes)) =
                (usize::try_from(from), usize::try_from(to), self.existing_mut(chunk))
            {
                bytes[from..to].fill(0);
            }
        }
    }

    /// Calls `each(chunk, place within it, place in the buffer)` for the pieces of a range.
    fn pieces(
        &self,
        offset: u64,
        length: usize,
        mut each: impl FnMut(u64, usize, std::ops::Range<usize>),
    ) {
        let (mut chunk, mut within) = Self::locate(offset);
        let mut at = 0;
        while at < length {
            let count = (length - at).min(LENGTH - within);
            each(chunk, within, at..at + count);
            (chunk, within, at) = (chunk + 1, 0, at + count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_where_they_were_put_and_zero_elsewhere() {
        let mut sparse = Sparse::<u8, 1024>::new();
        for offset in [0, 1000, 1 << 20, (1 << 50) + 700] {
            sparse.write(offset, &[9; 2000]);
            let mut buffer = [1; 2200];
            sparse.read(offset.saturating_sub(100), &mut buffer);
            let lead = usize::try_from(offset.min(100)).unwrap();
            assert!(buffer[lead..lead + 2000].iter().all(|&b| b == 9));
        }
        let starts: Vec<u64> = sparse.chunks().map(|(start, _)| start).collect();
        assert!(starts.is_sorted() && starts.len() < 12, "{starts:?}");
        sparse.zero(500, 1 << 40);
        let mut buffer = [1; 3000];
        sparse.read(0, &mut buffer);
        assert!(buffer[..500].iter().all(|&b| b == 9) && buffer[500..].iter().all(|&b| b == 0));
        sparse.clear(|chunk| chunk.fill(0));
        sparse.read(1 << 50, &mut buffer);
        assert!(buffer.iter().all(|&b| b == 0));
        assert_eq!(sparse.chunks().count(), 0);
    }
}
