//! Fields of fixed width, in bytes that may end early.

/// Reads fields. Bytes that are not there are zeros.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn byte(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// A little-endian number of `width` bytes, 8 at most.
    pub(super) fn number(self, at: usize, width: usize) -> u64 {
        let bytes = (at..at + width).rev().map(|at| self.byte(at));
        bytes.fold(0, |number, byte| number << 8 | u64::from(byte))
    }
}

/// Appends fields.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// So many zeros, to be filled in.
    pub(super) fn append(&mut self, width: usize) -> &mut [u8] {
        let start = self.0.len();
        self.0.resize(start + width, 0);
        &mut self.0[start..]
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Writes the low `width` bytes of a number.
pub(super) fn put(bytes: &mut [u8], at: usize, width: usize, number: u64) {
    bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
}
