//! Trims, and zeros: what is done to a range without data from a guest.

use super::{DeviceError, FileBackedDevice, TrimMode};
use crate::device::BufferRef;
use crate::device::suspend::suspend;
use crate::file::BackingFile;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that are written between two suspensions.
const PIECE: usize = 64 << 10;

/// A piece of one byte, at an address that direct I/O takes.
#[repr(align(4096))]
struct Piece([u8; PIECE]);

/// What [`TrimMode::Scribble`] writes: a byte that is no likely content.
static SCRIBBLE: Piece = Piece([0xab; PIECE]);

static ZEROS: Piece = Piece([0; PIECE]);

/// What the file system does not support, as it has said once.
#[derive(Default)]
pub(super) struct Lacks {
    holes: AtomicBool,
    zeros: AtomicBool,
}

impl<F: BackingFile> FileBackedDevice<F> {
    pub(super) async fn trim_range(&self, range: Range<u64>) -> Result<(), DeviceError> {
        match self.trim {
            _ if range.is_empty() => Ok(()),
            TrimMode::Scribble => self.fill(range, &SCRIBBLE).await,
            // Where the file system cannot, the hint is dropped.
            TrimMode::PunchHole => self.punch(range).await.map(drop),
            TrimMode::Ignore => Ok(()),
        }
    }

    /// Has the file system make zeros of the range: a hole if that is allowed, else zeros that keep
    /// their space. Writes them where it can do neither.
    pub(super) async fn zero(&self, range: Range<u64>, may_unmap: bool) -> Result<(), DeviceError> {
        if may_unmap && self.punch(range.clone()).await? {
            return Ok(());
        }
        let zero_range = || self.file.zero_range(range.start, range.end - range.start);
        if supported(&self.lacks.zeros, zero_range).await? {
            return Ok(());
        }
        self.fill(range, &ZEROS).await
    }

    /// Punches a hole in one call, however large; whether the file system can.
    async fn punch(&self, range: Range<u64>) -> Result<bool, DeviceError> {
        let punch_hole = || self.file.punch_hole(range.start, range.end - range.start);
        supported(&self.lacks.holes, punch_hole).await
    }

    /// Writes the same piece again and again. Others get their turn in between.
    async fn fill(&self, range: Range<u64>, piece: &'static Piece) -> Result<(), DeviceError> {
        let mut offset = range.start;
        loop {
            let length = (range.end - offset).min(PIECE as u64);
            let Ok(count) = usize::try_from(length) else { unreachable!("at most 64 KiB") };
            let data = BufferRef::from(&piece.0[..count]);
            self.write_all(offset, slice::from_ref(&data)).await?;
            offset += length;
            if offset == range.end {
                return Ok(());
            }
            suspend().await;
        }
    }
}

/// Makes a call, and again for as long as signals interrupt it, unless the file system has said
/// before that it does not support such calls; whether it does.
async fn supported<C>(lacks: &AtomicBool, call: impl Fn() -> C) -> Result<bool, DeviceError>
where
    C: Future<Output = io::Result<()>>,
{
    while !lacks.load(Ordering::Relaxed) {
        match call().await {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                lacks.store(true, Ordering::Relaxed);
            }
            done => return Ok(done.map(|()| true)?),
        }
    }
    Ok(false)
}
