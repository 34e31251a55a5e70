//! What requests are made of where a device has nothing better.

use super::{
    Buffer, BufferAllocator, BufferRef, BufferSource, Device, DeviceError, Geometry,
    MutableBufferRef, WriteOptions, ZeroOptions,
};
use std::ops::Range;

/// Most bytes of zeros that are written by one request.
const PIECE: u64 = 8 << 20;

/// A trim, and a flush of it. Where the device was closed in between, that close had to wait for
/// the trim; so it makes the trim durable, and another close waits until it has.
pub(super) async fn trim_fua<D: Device + ?Sized>(
    device: &D,
    offset: u64,
    length: u64,
) -> Result<(), DeviceError> {
    device.trim(offset, length).await?;
    if length == 0 {
        return Ok(());
    }
    match device.flush().await {
        Err(DeviceError::Closed) => device.close().await,
        flushed => flushed,
    }
}

/// One write, or several where there are many bytes.
pub(super) async fn write_zeroes<D: Device + ?Sized>(
    device: &D,
    offset: u64,
    length: u64,
    options: ZeroOptions,
) -> Result<(), DeviceError> {
    let options = WriteOptions { fua: options.fua };
    let geometry = device.geometry();
    // What the device has to refuse it refuses, whatever the data.
    let range = geometry.check(offset, length)?;
    let piece = PIECE.max(geometry.block_size().into());
    let zeros = vec![0; usize::try_from(length.min(piece)).unwrap_or(usize::MAX)];
    let mut done = 0;
    loop {
        let left = usize::try_from(length - done).unwrap_or(usize::MAX).min(zeros.len());
        device.write(range.start + done, zeros[..left].into(), options).await?;
        done += left as u64;
        if done == length {
            return Ok(());
        }
    }
}

pub(super) async fn read_vectored<D: Device + ?Sized>(
    device: &D,
    offset: u64,
    buffers: &mut [MutableBufferRef<'_>],
) -> Result<(), DeviceError> {
    if let [one] = buffers {
        return device.read(offset, one.reborrow()).await;
    }
    let mut whole = memory(device.geometry(), buffers.iter().map(MutableBufferRef::len).sum())?;
    device.read(offset, whole.as_mut()).await?;
    scatter(whole.as_slice(), buffers);
    Ok(())
}

/// Copies `whole` to the buffers, whose lengths add up to its length.
pub(super) fn scatter(whole: &[u8], buffers: &mut [MutableBufferRef<'_>]) {
    let mut rest = whole;
    for buffer in buffers {
        let (piece, behind) = rest.split_at(buffer.len());
        buffer.as_mut_slice().copy_from_slice(piece);
        rest = behind;
    }
}

pub(super) async fn write_vectored<D: Device + ?Sized>(
    device: &D,
    offset: u64,
    buffers: &[BufferRef<'_>],
    options: WriteOptions,
) -> Result<(), DeviceError> {
    if let [one] = *buffers {
        return device.write(offset, one, options).await;
    }
    let mut whole = memory(device.geometry(), buffers.iter().map(|buffer| buffer.len()).sum())?;
    gather(buffers, whole.as_mut_slice());
    device.write(offset, whole.as_ref(), options).await
}

/// Copies the buffers to `whole`, whose length their lengths add up to.
pub(super) fn gather(buffers: &[BufferRef<'_>], whole: &mut [u8]) {
    let mut rest = whole;
    for buffer in buffers {
        let (piece, behind) = rest.split_at_mut(buffer.len());
        piece.copy_from_slice(buffer.as_slice());
        rest = behind;
    }
}

/// Memory of its own for one transfer, aligned as direct I/O wants it. Not of the device's heap:
/// whoever makes the request may hold all of that.
pub(super) fn memory(geometry: Geometry, size: usize) -> Result<Buffer, DeviceError> {
    let block = geometry.block_size() as usize;
    let source = BufferSource::new(size.max(1).next_power_of_two().next_multiple_of(block));
    let requested = BufferAllocator::new(block, source).try_allocate(size);
    requested.ok_or(DeviceError::BufferTooLarge { requested: size, heap: size })
}

/// Everything.
pub(super) fn next_data(
    geometry: Geometry,
    offset: u64,
) -> Result<Option<Range<u64>>, DeviceError> {
    let size = geometry.size();
    if offset > size {
        return Err(DeviceError::OutOfRange { offset, length: 0, size });
    }
    Ok((offset < size).then_some(offset..size))
}
