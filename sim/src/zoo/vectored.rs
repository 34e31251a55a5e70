//! Bugs of requests of several pieces of memory.

use super::wrapper::Answer;
use blocktwin::device::{
    BufferFuture, BufferRef, Device, DynDevice, Geometry, MutableBufferRef, WriteOptions,
};
use blocktwin::disk::SimFile;
use blocktwin::file::BackingFile;
use std::io::{ErrorKind, IoSlice, IoSliceMut};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A short count that ends inside a piece goes on with that piece from its start.
    ShortWriteRestartsPiece,
    /// As that, of a read.
    ShortReadRestartsPiece,
    /// What is behind an empty piece is not written.
    EmptyPieceEnds,
    /// Of a write, no more than the first three pieces are written.
    FourthPieceLost,
}

pub(super) struct Vectored {
    inner: DynDevice,
    file: SimFile,
    bug: Bug,
}

impl Vectored {
    pub(super) fn new(inner: DynDevice, file: SimFile, bug: Bug) -> Self {
        Self { inner, file, bug }
    }

    /// Writes what is left of the pieces after each short count; wrong by what it takes for that.
    async fn write_pieces(&self, offset: u64, buffers: &[BufferRef<'_>]) -> Answer {
        let mut pieces: Vec<IoSlice<'_>> =
            buffers.iter().map(|buffer| IoSlice::new(buffer.as_slice())).collect();
        let (mut rest, mut at) = (&mut pieces[..], offset);
        while rest.iter().any(|piece| !piece.is_empty()) {
            match self.file.write_vectored_at(rest, at).await {
                Ok(count) => {
                    at += count as u64;
                    let whole = whole_pieces(rest.iter().map(|piece| piece.len()), count);
                    rest = &mut rest[whole..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn read_pieces(&self, offset: u64, buffers: &mut [MutableBufferRef<'_>]) -> Answer {
        let mut pieces: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer.as_mut_slice())).collect();
        let (mut rest, mut at) = (&mut pieces[..], offset);
        while rest.iter().any(|piece| !piece.is_empty()) {
            match self.file.read_vectored_at(rest, at).await {
                // Past the end of the file there are zeros.
                Ok(0) => {
                    rest.iter_mut().for_each(|piece| piece.fill(0));
                    return Ok(());
                }
                Ok(count) => {
                    at += count as u64;
                    let whole = whole_pieces(rest.iter().map(|piece| piece.len()), count);
                    rest = &mut rest[whole..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// How many pieces a count covers as a whole.
fn whole_pieces(lengths: impl Iterator<Item = usize>, mut count: usize) -> usize {
    let covered = |length: &usize| {
        let left = count.checked_sub(*length);
        count = left.unwrap_or(0);
        left.is_some()
    };
    lengths.take_while(covered).count()
}

impl Device for Vectored {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Answer {
        self.inner.read(offset, buffer).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        self.inner.write(offset, buffer, options).await
    }

    async fn flush(&self) -> Answer {
        self.inner.flush().await
    }

    async fn barrier(&self) -> Answer {
        self.inner.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.inner.trim(offset, length).await
    }

    async fn read_vectored(&self, offset: u64, buffers: &mut [MutableBufferRef<'_>]) -> Answer {
        if self.bug != Bug::ShortReadRestartsPiece {
            return self.inner.read_vectored(offset, buffers).await;
        }
        self.inner.read(0, (&mut [][..]).into()).await?;
        let length: usize = buffers.iter().map(MutableBufferRef::len).sum();
        self.inner.geometry().check(offset, length as u64)?;
        self.read_pieces(offset, buffers).await
    }

    async fn write_vectored(
        &self,
        offset: u64,
        buffers: &[BufferRef<'_>],
        options: WriteOptions,
    ) -> Answer {
        self.inner.write(0, [][..].into(), WriteOptions::default()).await?;
        let length: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        self.inner.geometry().check(offset, length as u64)?;
        let empty = buffers.iter().position(|buffer| buffer.is_empty());
        let kept = match (self.bug, empty) {
            (Bug::EmptyPieceEnds, Some(at)) => at,
            (Bug::FourthPieceLost, _) => buffers.len().min(3),
            (Bug::ShortWriteRestartsPiece, _) => buffers.len(),
            _ => return self.inner.write_vectored(offset, buffers, options).await,
        };
        self.write_pieces(offset, &buffers[..kept]).await?;
        if options.fua { self.inner.flush().await } else { Ok(()) }
    }

    async fn close(&self) -> Answer {
        self.inner.close().await
    }
}
