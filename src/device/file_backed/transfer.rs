//! Reads and writes, to their end or to the first error.

use super::{DeviceError, FileBackedDevice};
use crate::device::{BufferRef, MutableBufferRef};
use crate::file::BackingFile;
use smallvec::SmallVec;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;

/// How often in a row a write may stop inside the same sector, or be told to try again (`EAGAIN`).
/// A signal or a full disk does it once; a limit inside the sector (`RLIMIT_FSIZE`) for ever.
const STUCK_LIMIT: u32 = 16;

/// Pieces of a request that are no allocation.
const FEW: usize = 8;

impl<F: BackingFile> FileBackedDevice<F> {
    /// Fills `buffers`, one behind the other, from `offset` on.
    pub(super) async fn read_all(
        &self,
        offset: u64,
        buffers: &mut [MutableBufferRef<'_>],
    ) -> Result<(), DeviceError> {
        let length = buffers.iter().map(MutableBufferRef::len).sum();
        let mut done = 0;
        while done < length {
            match self.read_rest(offset, buffers, done).await {
                Ok(0) => return self.end_early(buffers, done),
                Ok(count) => done += counted(count, length - done)?,
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
        let sector = self.geometry.sector_size() as usize;
        let length = data.iter().map(|buffer| buffer.len()).sum();
        let (mut done, mut cut, mut stuck) = (0, false, 0);
        let failure = loop {
            if done == length {
                return Ok(());
            }
            let end = match self.write_part(offset, data, done..length).await {
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
