//! Transfer buffers, and references to parts of them.

use std::fmt;
use std::mem;
use std::ops::{Bound, Range, RangeBounds};

use super::allocator::BufferAllocator;
use super::source::Region;

/// Memory for a transfer, on loan from a [`BufferAllocator`]; dropping it gives the memory back.
///
/// A buffer holds whatever the last buffer at its place left there, or zeros if it is the first:
/// fill it before you rely on what it holds. Its memory starts at a multiple of the allocator's
/// block size, counted from the start of the heap.
pub struct Buffer {
    allocator: BufferAllocator,
    region: Region,
}

impl Buffer {
    pub(super) fn new(allocator: BufferAllocator, region: Region) -> Self {
        Self { allocator, region }
    }

    /// How long the buffer is, in bytes: exactly what was asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether the buffer has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where in the heap of the allocator the buffer lies, in bytes; `0..0` if it is empty.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.region.range()
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.region.as_slice()
    }

    /// The bytes, for writing.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.region.as_mut_slice()
    }

    /// A reference to the whole buffer.
    #[must_use]
    pub fn as_ref(&self) -> BufferRef<'_> {
        BufferRef { start: self.range().start, bytes: self.as_slice() }
    }

    /// A mutable reference to the whole buffer.
    #[must_use]
    pub fn as_mut(&mut self) -> MutableBufferRef<'_> {
        MutableBufferRef { start: self.range().start, bytes: self.as_mut_slice() }
    }

    /// A reference to a part: `range` counts bytes from the start of the buffer.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds, or ends before it starts.
    #[must_use]
    pub fn subslice(&self, range: impl RangeBounds<usize>) -> BufferRef<'_> {
        self.as_ref().subslice(range)
    }

    /// A mutable reference to a part: `range` counts bytes from the start of the buffer.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds, or ends before it starts.
    #[must_use]
    pub fn subslice_mut(&mut self, range: impl RangeBounds<usize>) -> MutableBufferRef<'_> {
        self.as_mut().subslice_mut(range)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // An empty buffer took nothing from the heap, so there is nobody to tell.
        if !self.is_empty() {
            self.allocator.release(mem::take(&mut self.region));
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&self.range()).finish()
    }
}

/// A shared reference to bytes of a [`Buffer`], or of any slice.
#[derive(Clone, Copy)]
pub struct BufferRef<'a> {
    start: usize,
    bytes: &'a [u8],
}

impl<'a> BufferRef<'a> {
    /// How many bytes it refers to.
    #[must_use]
    pub fn len(self) -> usize {
        self.bytes.len()
    }

    /// Whether it refers to no bytes at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Where the bytes lie: in the heap of the buffer's allocator, or in the plain slice.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.bytes.len()
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(self) -> &'a [u8] {
        self.bytes
    }

    /// A reference to a part: `range` counts bytes from the start of this one.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds, or ends before it starts.
    #[must_use]
    pub fn subslice(self, range: impl RangeBounds<usize>) -> Self {
        let range = resolve(&range, self.bytes.len());
        Self { start: self.start + range.start, bytes: &self.bytes[range] }
    }

    /// The first `mid` bytes, and the rest.
    ///
    /// # Panics
    ///
    /// If `mid` is more than the length.
    #[must_use]
    pub fn split_at(self, mid: usize) -> (Self, Self) {
        (self.subslice(..mid), self.subslice(mid..))
    }
}

impl<'a> From<&'a [u8]> for BufferRef<'a> {
    /// Refers to a plain slice; the range begins at 0.
    fn from(bytes: &'a [u8]) -> Self {
        Self { start: 0, bytes }
    }
}

impl<'a> From<MutableBufferRef<'a>> for BufferRef<'a> {
    /// Gives up the right to write, for the whole lifetime.
    fn from(MutableBufferRef { start, bytes }: MutableBufferRef<'a>) -> Self {
        Self { start, bytes }
    }
}

impl fmt::Debug for BufferRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BufferRef").field(&self.range()).finish()
    }
}

/// A mutable reference to bytes of a [`Buffer`], or of any slice.
///
/// What narrows it consumes it, so that the parts may live as long as the whole would have; use
/// [`reborrow`](Self::reborrow) first to keep the whole.
pub struct MutableBufferRef<'a> {
    start: usize,
    bytes: &'a mut [u8],
}

impl<'a> MutableBufferRef<'a> {
    /// How many bytes it refers to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it refers to no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Where the bytes lie: in the heap of the buffer's allocator, or in the plain slice.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.as_ref().range()
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
    }

    /// The bytes, for writing.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// The bytes, for writing as long as the reference would have lived.
    #[must_use]
    pub fn into_slice(self) -> &'a mut [u8] {
        self.bytes
    }

    /// A shared reference to the same bytes.
    #[must_use]
    pub fn as_ref(&self) -> BufferRef<'_> {
        BufferRef { start: self.start, bytes: self.bytes }
    }

    /// A mutable reference to the same bytes, after which this one can be used again.
    #[must_use]
    pub fn reborrow(&mut self) -> MutableBufferRef<'_> {
        MutableBufferRef { start: self.start, bytes: self.bytes }
    }

    /// A shared reference to a part: `range` counts bytes from the start of this one.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds, or ends before it starts.
    #[must_use]
    pub fn subslice(&self, range: impl RangeBounds<usize>) -> BufferRef<'_> {
        self.as_ref().subslice(range)
    }

    /// A mutable reference to a part: `range` counts bytes from the start of this one.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds, or ends before it starts.
    #[must_use]
    pub fn subslice_mut(self, range: impl RangeBounds<usize>) -> Self {
        let range = resolve(&range, self.bytes.len());
        Self { start: self.start + range.start, bytes: &mut self.bytes[range] }
    }

    /// Shared references to the first `mid` bytes, and to the rest.
    ///
    /// # Panics
    ///
    /// If `mid` is more than the length.
    #[must_use]
    pub fn split_at(&self, mid: usize) -> (BufferRef<'_>, BufferRef<'_>) {
        self.as_ref().split_at(mid)
    }

    /// Mutable references to the first `mid` bytes, and to the rest.
    ///
    /// # Panics
    ///
    /// If `mid` is more than the length.
    #[must_use]
    pub fn split_at_mut(self, mid: usize) -> (Self, Self) {
        let (low, high) = self.bytes.split_at_mut(mid);
        (Self { start: self.start, bytes: low }, Self { start: self.start + mid, bytes: high })
    }
}

impl<'a> From<&'a mut [u8]> for MutableBufferRef<'a> {
    /// Refers to a plain slice; the range begins at 0.
    fn from(bytes: &'a mut [u8]) -> Self {
        Self { start: 0, bytes }
    }
}

impl fmt::Debug for MutableBufferRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutableBufferRef").field(&self.range()).finish()
    }
}

/// The range of indices that `range` means for `len` bytes. Slicing checks it.
fn resolve(range: &impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let after = |index: usize| index.checked_add(1).expect("the range is out of bounds");
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => after(before),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => after(last),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    start..end
}

#[cfg(test)]
mod tests {
    use super::super::source::BufferSource;
    use super::*;

    fn assert_send_sync<T: Send + Sync>() {}

    #[test]
    fn futures_that_hold_buffers_can_be_send() {
        assert_send_sync::<Buffer>();
        assert_send_sync::<BufferRef<'_>>();
        assert_send_sync::<MutableBufferRef<'_>>();
    }

    #[test]
    fn parts_know_where_they_lie() {
        let allocator = BufferAllocator::new(512, BufferSource::new(8192));
        let _first = allocator.try_allocate(4096).unwrap();
        let mut buffer = allocator.try_allocate(3000).unwrap();
        assert_eq!((buffer.len(), buffer.range()), (3000, 4096..7096));
        assert_eq!(buffer.as_ref().range(), 4096..7096);
        assert_eq!(buffer.subslice(1000..).subslice(..=9).range(), 5096..5106);
        assert_eq!(buffer.subslice_mut(1..3).range(), 4097..4099);
        let (low, high) = buffer.as_mut().split_at_mut(1);
        assert_eq!((low.range(), high.range()), (4096..4097, 4097..7096));
        let (low, high) = buffer.as_ref().split_at(3000);
        assert_eq!((low.range(), high.range()), (4096..7096, 7096..7096));
        assert_eq!((low.is_empty(), high.is_empty()), (false, true));
        let (low, high) = buffer.as_mut().split_at_mut(0);
        assert_eq!((low.is_empty(), high.is_empty()), (true, false));
        assert_eq!(format!("{buffer:?}"), "Buffer(4096..7096)");
    }

    #[test]
    fn plain_slices_can_stand_in() {
        let mut bytes = *b"abcdef";
        let mut whole = MutableBufferRef::from(&mut bytes[..]);
        whole.reborrow().subslice_mut(1..3).as_mut_slice().fill(b'-');
        assert_eq!((whole.range(), whole.as_slice()), (0..6, &b"a--def"[..]));
        let (low, high) = whole.split_at_mut(3);
        low.into_slice().copy_from_slice(high.as_slice());
        let shared = BufferRef::from(&bytes[..]);
        assert_eq!(shared.subslice((Bound::Excluded(0), Bound::Unbounded)).as_slice(), b"efdef");
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_range_past_the_end_panics() {
        let _never = BufferRef::from(&[0; 4][..]).subslice(2..5);
    }
}
