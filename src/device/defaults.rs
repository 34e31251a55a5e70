//! What requests are made of where a device has nothing better.

use super::{
    BufferRef, Device, DeviceError, Geometry, MutableBufferRef, WriteOptions, ZeroOptions,
};
use std::ops::Range;

/// Writes of one block each, which any heap has room for.
pub(super) async fn write_zeroes<D: Device + ?Sized>(
    device: &D,
    offset: u64,
    length: u64,
    options: ZeroOptions,
) -> Result<(), DeviceError> {
    let options = WriteOptions { fua: options.fua };
    let range = device.geometry().check(offset, length)?;
    if range.is_empty() {
        return device.write(offset, [][..].into(), options).await;
    }
    let block = device.geometry().block_size();
    let zeros = vec![0; block as usize];
    for block_offset in range.step_by(block as usize) {
        device.write(block_offset, zeros[..].into(), options).await?;
    }
    Ok(())
}

pub(super) async fn read_vectored<D: Device + ?Sized>(
    device: &D,
    offset: u64,
    buffers: &mut [MutableBufferRef<'_>],
) -> Result<(), DeviceError> {
    if let [one] = buffers {
        return device.read(offset, one.reborrow()).await;
    }
    let mut whole = device.allocate_buffer(buffers.iter().map(MutableBufferRef::len).sum()).await?;
    device.read(offset, whole.as_mut()).await?;
    let mut rest = whole.as_slice();
    for buffer in buffers {
        let (piece, behind) = rest.split_at(buffer.len());
        buffer.as_mut_slice().copy_from_slice(piece);
        rest = behind;
    }
    Ok(())
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
    let mut whole = device.allocate_buffer(buffers.iter().map(|buffer| buffer.len()).sum()).await?;
    let mut rest = whole.as_mut_slice();
    for buffer in buffers {
        let (piece, behind) = rest.split_at_mut(buffer.len());
        piece.copy_from_slice(buffer.as_slice());
        rest = behind;
    }
    device.write(offset, whole.as_ref(), options).await
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
