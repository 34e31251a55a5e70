//! What is asked of the device.

use crate::device::{
    Buffer, BufferRef, Device, DeviceError, MutableBufferRef, WriteOptions, ZeroOptions,
};
use crate::model::{Data, Request};

/// Makes the request; a transfer in pieces, if there is a salt to cut it by.
pub(super) async fn make<D: Device>(
    device: &D,
    request: Request,
    data: Data,
    salt: Option<u64>,
    buffer: &mut Buffer,
) -> Result<(), DeviceError> {
    match (request, salt.filter(|_| !buffer.is_empty())) {
        (Request::Read { offset, .. }, None) => device.read(offset, buffer.as_mut()).await,
        (Request::Read { offset, .. }, Some(salt)) => {
            read(device, salt, offset, buffer.as_mut()).await
        }
        (Request::Write { offset, length, fua }, _) if let Some(may_unmap) = data.zeroes() => {
            device.write_zeroes(offset, length, ZeroOptions { fua, may_unmap }).await
        }
        (Request::Write { offset, fua, .. }, None) => {
            device.write(offset, buffer.as_ref(), WriteOptions { fua }).await
        }
        (Request::Write { offset, fua, .. }, Some(salt)) => {
            write(device, salt, offset, buffer.as_ref(), WriteOptions { fua }).await
        }
        (Request::Trim { offset, length, fua: false }, _) => device.trim(offset, length).await,
        (Request::Trim { offset, length, fua: true }, _) => device.trim_fua(offset, length).await,
        (Request::Flush, _) => device.flush().await,
        (Request::Barrier, _) => device.barrier().await,
        (Request::Drain, _) => device.drain().await,
        (Request::Close, _) => device.close().await,
    }
}

/// Has the device make the future of a request, and drops it before it is polled.
#[cold]
pub(super) fn make_and_drop<D: Device>(
    device: &D,
    request: Request,
    data: Data,
    buffer: &mut Buffer,
) {
    match request {
        Request::Read { offset, .. } => drop(device.read(offset, buffer.as_mut())),
        Request::Write { offset, length, fua } => match data.zeroes() {
            Some(may_unmap) => {
                drop(device.write_zeroes(offset, length, ZeroOptions { fua, may_unmap }));
            }
            None => drop(device.write(offset, buffer.as_ref(), WriteOptions { fua })),
        },
        Request::Trim { offset, length, fua: false } => drop(device.trim(offset, length)),
        Request::Trim { offset, length, fua: true } => drop(device.trim_fua(offset, length)),
        Request::Flush => drop(device.flush()),
        Request::Barrier => drop(device.barrier()),
        Request::Drain => drop(device.drain()),
        Request::Close => drop(device.close()),
    }
}

/// Where the memory of a transfer of `size` bytes at `offset` is cut: in order, and twice at the
/// same byte for an empty piece. It is the same for whatever operation, so that a scenario with
/// fewer of them cuts alike.
fn cuts(salt: u64, offset: u64, size: usize) -> [usize; 3] {
    // The numbers of a linear generator, of which the high bits are good.
    let mut state = salt ^ offset;
    let mut cuts = [(); 3].map(|()| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let drawn = u128::from(state) * (size as u128 + 1);
        usize::try_from(drawn >> 64).unwrap_or(size)
    });
    cuts.sort_unstable();
    cuts
}

/// Reads into four pieces of `buffer`.
async fn read<D: Device>(
    device: &D,
    salt: u64,
    offset: u64,
    buffer: MutableBufferRef<'_>,
) -> Result<(), DeviceError> {
    let [first, second, third] = cuts(salt, offset, buffer.len());
    let (a, rest) = buffer.split_at_mut(first);
    let (b, rest) = rest.split_at_mut(second - first);
    let (c, d) = rest.split_at_mut(third - second);
    device.read_vectored(offset, &mut [a, b, c, d]).await
}

/// Writes four pieces of `buffer`.
async fn write<D: Device>(
    device: &D,
    salt: u64,
    offset: u64,
    buffer: BufferRef<'_>,
    options: WriteOptions,
) -> Result<(), DeviceError> {
    let [first, second, third] = cuts(salt, offset, buffer.len());
    let (a, rest) = buffer.split_at(first);
    let (b, rest) = rest.split_at(second - first);
    let (c, d) = rest.split_at(third - second);
    device.write_vectored(offset, &[a, b, c, d], options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_in_order_and_anywhere() {
        let mut seen = [false; 9];
        for offset in 0..200 {
            let cuts = cuts(7, offset, 8);
            assert!(cuts.is_sorted() && cuts[2] <= 8);
            cuts.iter().for_each(|&cut| seen[cut] = true);
        }
        assert_eq!(seen, [true; 9]);
    }
}
