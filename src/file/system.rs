//! The system calls, where the standard library has none.

use super::MOST_PIECES;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;

/// `stat(2)` gives 0 for a block special file, whose size only its end tells.
pub(crate) fn length(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    if metadata.file_type().is_block_device() {
        // The cursor that this moves is nobody's: every transfer names its offset.
        return Ok(rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))?);
    }
    Ok(metadata.len())
}

#[cfg(target_os = "linux")]
pub(crate) fn punch_hole(file: &File, offset: u64, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, mode, offset, length)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn punch_hole(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
pub(crate) fn zero_range(file: &File, offset: u64, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let mode = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, mode, offset, length)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn zero_range(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn read_vectored(
    file: &File,
    pieces: &mut [IoSliceMut<'_>],
    offset: u64,
) -> io::Result<usize> {
    let count = pieces.len().min(MOST_PIECES);
    Ok(rustix::io::preadv(file, &mut pieces[..count], offset)?)
}

pub(crate) fn write_vectored(
    file: &File,
    pieces: &[IoSlice<'_>],
    offset: u64,
) -> io::Result<usize> {
    let count = pieces.len().min(MOST_PIECES);
    Ok(rustix::io::pwritev(file, &pieces[..count], offset)?)
}

/// A block special file has no holes: `lseek(2)` takes it for data up to its end.
#[cfg(target_os = "linux")]
pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<Option<Range<u64>>> {
    use rustix::fs::{SeekFrom, seek};
    // The cursor that this moves is nobody's: every transfer names its offset.
    loop {
        let start = match seek(file, SeekFrom::Data(offset)) {
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            start => start?,
        };
        // A hole was punched meanwhile where the data was: look again.
        match seek(file, SeekFrom::Hole(start)) {
            Err(rustix::io::Errno::NXIO) => {}
            Ok(end) if end == start => {}
            end => return Ok(Some(start..end?)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<Option<Range<u64>>> {
    let end = length(file)?;
    Ok((offset < end).then_some(offset..end))
}

/// Of a file that was opened for direct I/O, as its file system says (`STATX_DIOALIGN`, Linux 6.1);
/// of a block special file, its logical sector; a page where nobody says.
#[cfg(target_os = "linux")]
pub(crate) fn alignment(file: &File) -> io::Result<u32> {
    use rustix::fs::{AtFlags, OFlags, StatxFlags, fcntl_getfl, statx};
    if !fcntl_getfl(file)?.contains(OFlags::DIRECT) {
        return Ok(1);
    }
    if file.metadata()?.file_type().is_block_device() {
        return Ok(rustix::fs::ioctl_blksszget(file)?);
    }
    let told = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
    match told {
        Ok(told) if told.stx_dio_offset_align > 0 => {
            Ok(told.stx_dio_offset_align.max(told.stx_dio_mem_align))
        }
        _ => Ok(4096),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn alignment(_: &File) -> io::Result<u32> {
    Ok(1)
}

/// The logical and the physical sectors of a block special file, in bytes.
#[cfg(target_os = "linux")]
pub(crate) fn sector_sizes(file: &File) -> io::Result<Option<(u32, u32)>> {
    if !file.metadata()?.file_type().is_block_device() {
        return Ok(None);
    }
    Ok(Some((rustix::fs::ioctl_blksszget(file)?, rustix::fs::ioctl_blkpbszget(file)?)))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sector_sizes(_: &File) -> io::Result<Option<(u32, u32)>> {
    Ok(None)
}
