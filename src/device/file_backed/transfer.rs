//! Reads and writes, to their end or to the first error.

use super::{DeviceError, FileBackedDevice};
use crate::device::{BufferRef, MutableBufferRef, defaults};
use crate::file::{BackingFile, MOST_PIECES};
use smallvec::SmallVec;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::slice;

/// How often in a row a write may stop inside the same sector, or be told to try again (`EAGAIN`).
/// A signal or a full disk does it once; a limit inside the sector (`RLIMIT_FSIZE`) for ever.
const STUCK_LIMIT: u32 = 16;

/// Pieces of a request that are no allocation.
const FEW: usize = 8;

impl<F: BackingFile> FileBackedDevice<F> {
    /// Fills `buffers`, one behind the other, from `offset` on. Where the kernel would not take
    /// their memory, by a read into other memory.
    #[inline]
    pub(super) async fn read_aligned(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
    ) -> Result<(), DeviceError> {
        if buffers.len() <= MOST_PIECES
            && self.takes(buffers.iter().map(MutableBufferRef::as_slice))
        {
            return self.read_all(offset, buffers).await;
        }
        let length = buffers.iter().map(MutableBufferRef::len).sum();
        let mut whole = defaults::memory(self.shape.geometry(), length)?;
        self.read_all(offset, slice::from_mut(&mut whole.as_mut())).await?;
        defaults::scatter(whole.as_slice(), buffers);
        Ok(())
    }

    /// Writes all of `data` at `offset`. Where the kernel would not take its memory, from a copy.
    #[inline]
    pub(super) async fn write_aligned(
        &self,
        offset: u64,
        data: &[BufferRef<'_>],
    ) -> Result<(), DeviceError> {
        if data.len() <= MOST_PIECES && self.takes(data.iter().map(|it| it.as_slice())) {
            return self.write_all(offset, data).await;
        }
        let length = data.iter().map(|buffer| buffer.len()).sum();
        let mut whole = defaults::memory(self.shape.geometry(), length)?;
        defaults::gather(data, whole.as_mut_slice());
        self.write_all(offset, slice::from_ref(&whole.as_ref())).await
    }

    /// Whether the kernel takes these pieces of memory, as far as their alignment goes.
    #[inline]
    pub(super) fn takes<'a>(&self, mut pieces: impl Iterator<Item = &'a [u8]>) -> bool {
        let alignment = self.alignment as usize;
        let fits = |piece: &[u8]| {
            piece.len().is_multiple_of(alignment) && piece.as_ptr().addr().is_multiple_of(alignment)
        };
        alignment == 1 || pieces.all(fits)
    }

    /// Where a transfer goes on that has stopped after `done` bytes: at an aligned place.
    #[inline]
    fn aligned(&self, done: usize) -> usize {
        done - done % self.alignment as usize
    }

    /// Fills `buffers`, one behind the other, from `offset` on.
    async fn read_all(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
    ) -> Result<(), DeviceError> {
        let length = buffers.iter().map(MutableBufferRef::len).sum();
        if length == 0 {
            return Ok(());
        }
        let answer = self.read_rest(offset, buffers, 0).await;
        self.read_on(offset, buffers, length, answer).await
    }

    /// Goes on after the first call, of all, with this answer.
    pub(super) async fn read_on(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
        length: usize,
        answer: io::Result<usize>,
    ) -> Result<(), DeviceError> {
        let (mut done, mut stuck) = (0, 0);
        let mut first = Some(answer);
        while done < length {
            let answer = match first.take() {
                Some(answer) => answer,
                None => self.read_rest(offset, buffers, done).await,
            };
            match answer {
                Ok(0) => return self.end_early(buffers, done),
                Ok(count) => {
                    let end = done + counted(count, length - done)?;
                    let next = if end == length { end } else { self.aligned(end) };
                    stuck = if next > done { 0 } else { stuck + 1 };
                    if stuck > STUCK_LIMIT {
                        // An end of the file that direct I/O cannot read up to.
                        return Err(DeviceError::UnexpectedEof);
                    }
                    done = next;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// One raw read of what is behind the first `done` bytes.
    async fn read_rest(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
        done: usize,
    ) -> io::Result<usize> {
        let at = offset + done as u64;
        if let [one] = buffers {
            return self.file.read_at(&mut one.as_mut_slice()[done..], at).await;
        }
        self.file.read_vectored_at(&mut behind(buffers, done), at).await
    }

    /// What is past the end of the file is zero, or an error where the file was to be whole.
    fn end_early(
        &self,
        buffers: &mut [MutableBufferRef<'_>],
        done: usize,
    ) -> Result<(), DeviceError> {
        if !self.may_end_early {
            return Err(DeviceError::UnexpectedEof);
        }
        behind(buffers, done).iter_mut().for_each(|piece| piece.fill(0));
        Ok(())
    }

    /// Writes all of `data` at `offset`. A write that stopped inside a sector begins that sector
    /// anew: a neighbour may have written the sector in between, and the rest alone would mix.
    pub(super) async fn write_all(
        &self,
        offset: u64,
        data: &[BufferRef<'_>],
    ) -> Result<(), DeviceError> {
        let length = data.iter().map(|buffer| buffer.len()).sum();
        if length == 0 {
            return Ok(());
        }
        let answer = self.write_part(offset, data, 0..length).await;
        self.write_on(offset, data, length, answer).await
    }

    /// Goes on after the first call, of all, with this answer.
    pub(super) async fn write_on(
        &self,
        offset: u64,
        data: &[BufferRef<'_>],
        length: usize,
        answer: io::Result<usize>,
    ) -> Result<(), DeviceError> {
        let sector = self.shape.geometry().sector_size() as usize;
        let (mut done, mut cut, mut stuck) = (0, false, 0);
        let mut first = Some(answer);
        let failure = loop {
            if done == length {
                return Ok(());
            }
            let answer = match first.take() {
                Some(answer) => answer,
                None => self.write_part(offset, data, done..length).await,
            };
            let end = match answer {
                Ok(0) => break DeviceError::WriteZero,
                Ok(count) => done + counted(count, length - done)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && stuck < STUCK_LIMIT => {
                    stuck += 1;
                    continue;
                }
                Err(error) => break error.into(),
            };
            let whole = end - end % sector;
            cut = whole < end;
            if whole > done {
                (done, stuck) = (whole, 0);
                continue;
            }
            stuck += 1;
            if stuck > STUCK_LIMIT {
                break self.refusal(offset, data, end..length).await;
            }
        };
        if cut {
            self.finish_sector(offset, data, done..done + sector).await;
        }
        Err(failure)
    }

    /// One raw write of a part of the data, counted in bytes from its start.
    async fn write_part(
        &self,
        offset: u64,
        data: &[BufferRef<'_>],
        part: Range<usize>,
    ) -> io::Result<usize> {
        let at = offset + part.start as u64;
        if let [one] = data {
            return self.file.write_at(&one.as_slice()[part], at).await;
        }
        self.file.write_vectored_at(&within(data, part), at).await
    }

    /// Why the kernel stops at the start of `rest`, inside a sector, again and again. Only a call
    /// that begins there tells. What it may write can mix with nobody's: whoever writes the sector
    /// is stopped.
    async fn refusal(
        &self,
        offset: u64,
        data: &[BufferRef<'_>],
        rest: Range<usize>,
    ) -> DeviceError {
        if self.aligned(rest.start) != rest.start {
            return DeviceError::WriteZero;
        }
        match self.write_part(offset, data, rest).await {
            Ok(_) => DeviceError::WriteZero,
            Err(error) => error.into(),
        }
    }

    /// Tries once more to write the sector that the kernel left torn, before its write fails. The
    /// error may have been about the sectors behind it. The write fails all the same, with the
    /// error that stopped it.
    async fn finish_sector(&self, offset: u64, data: &[BufferRef<'_>], sector: Range<usize>) {
        for _ in 0..STUCK_LIMIT {
            match self.write_part(offset, data, sector.clone()).await {
                Ok(0) => return,
                Ok(count) if count >= sector.len() => return,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
        }
    }
}

/// A count of transferred bytes, if it can be one.
fn counted(count: usize, asked: usize) -> Result<usize, DeviceError> {
    if count > asked {
        return Err(io::Error::from(io::ErrorKind::InvalidData).into());
    }
    Ok(count)
}

/// The memory of `buffers` behind the first `done` bytes.
fn behind<'a>(
    buffers: &'a mut [MutableBufferRef<'_>],
    mut done: usize,
) -> SmallVec<[IoSliceMut<'a>; FEW]> {
    let rests = buffers.iter_mut().filter_map(|buffer| {
        let skipped = done.min(buffer.len());
        done -= skipped;
        let rest = &mut buffer.as_mut_slice()[skipped..];
        (!rest.is_empty()).then(|| IoSliceMut::new(rest))
    });
    rests.collect()
}

/// The memory of a part of the data, counted in bytes from its start.
fn within<'a>(data: &[BufferRef<'a>], part: Range<usize>) -> SmallVec<[IoSlice<'a>; FEW]> {
    let mut start = 0;
    let pieces = data.iter().filter_map(|buffer| {
        let at = start;
        start += buffer.len();
        let from = part.start.max(at).min(start) - at;
        let to = part.end.max(at).min(start) - at;
        (from < to).then(|| IoSlice::new(&buffer.as_slice()[from..to]))
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_the_data_is_found_in_its_pieces() {
        let bytes: Vec<u8> = (0..12).collect();
        let data = [&bytes[..3], &[], &bytes[3..4], &bytes[4..12]].map(BufferRef::from);
        for start in 0..12 {
            for end in start..=12 {
                let pieces = within(&data, start..end);
                assert!(pieces.iter().all(|piece| !piece.is_empty()));
                let found: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
                assert_eq!(found, bytes[start..end]);
            }
        }
    }

    #[test]
    fn what_is_behind_a_short_read_is_found_in_its_pieces() {
        for done in 0..=12 {
            let mut bytes = [0; 12];
            let (low, high) = bytes.split_at_mut(5);
            let (middle, high) = high.split_at_mut(0);
            let mut buffers = [low, middle, high].map(MutableBufferRef::from);
            behind(&mut buffers, done).iter_mut().for_each(|piece| piece.fill(1));
            assert_eq!(bytes.iter().position(|&byte| byte == 1).unwrap_or(12), done);
            assert_eq!(bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>(), 12 - done);
        }
    }
}
