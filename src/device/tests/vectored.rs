//! Requests of several pieces of memory.

use super::*;
use script::Answer::{Error, Short};
use std::io;

/// Reads into pieces of these lengths.
fn read_pieces(device: &impl Device, offset: u64, lengths: &[usize]) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0xee; length]).collect();
    let mut buffers: Vec<MutableBufferRef<'_>> =
        pieces.iter_mut().map(|piece| piece.as_mut_slice().into()).collect();
    block_on(device.read_vectored(offset, &mut buffers)).unwrap();
    pieces.concat()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn several_pieces_are_one_raw_call() {
    let device = device();
    let data = pattern(2048);
    assert_eq!(write_vectored(&device, 1024, &data), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Write(1024, 2048)]);
    assert_eq!(read_pieces(&device, 1024, &[1, 0, 511, 1536]), data);
    assert_eq!(device.file().raw_calls(), [Raw::Read(1024, 2048)]);
}

#[test]
fn a_short_count_may_end_inside_any_piece() {
    let data = pattern(2048);
    for short in 1..2048 {
        let device = device();
        device.file().plan(&[Short(short)]);
        assert_eq!(write_vectored(&device, 0, &data), Ok(()), "{short}");
        assert_eq!(device.file().bytes()[..2048], data);
        // It goes on from the start of the sector in which it stopped.
        let whole = short / 512 * 512;
        let calls = [Raw::Write(0, 2048), Raw::Write(whole as u64, 2048 - whole)];
        assert_eq!(device.file().raw_calls(), calls);
        device.file().plan(&[Short(short)]);
        assert_eq!(read_pieces(&device, 0, &[100, 0, 900, 1048]), data, "{short}");
        let calls = [Raw::Read(0, 2048), Raw::Read(short as u64, 2048 - short)];
        assert_eq!(device.file().raw_calls(), calls);
    }
}

#[test]
fn a_sector_that_was_torn_is_tried_again_in_its_pieces() {
    let device = device();
    device.file().plan(&[Short(700), Error(Errno::NOSPC)]);
    assert_eq!(write_vectored(&device, 0, &pattern(2048)), Err(io_error(Errno::NOSPC)));
    assert_eq!(device.file().bytes()[..1024], pattern(1024), "the second sector is whole");
    let calls = [Raw::Write(0, 2048), Raw::Write(512, 1536), Raw::Write(512, 512)];
    assert_eq!(device.file().raw_calls(), calls);
}

#[test]
fn lengths_have_to_add_up() {
    let device = device();
    let refused = DeviceError::Misaligned { offset: 0, length: 1000, block_size: BLOCK };
    assert_eq!(write_vectored(&device, 0, &[1; 1000]), Err(refused));
    let at_end = SIZE as u64;
    let refused = DeviceError::OutOfRange { offset: at_end, length: 1024, size: at_end };
    assert_eq!(write_vectored(&device, at_end, &[1; 1024]), Err(refused));
    assert_eq!(device.file().raw_calls(), []);
}

#[test]
fn past_the_end_of_a_short_file_the_pieces_are_zeros() {
    let device = device_with(DeviceOptions::new(BLOCK).block_count(8), 1024);
    assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
    let found = read_pieces(&device, 0, &[1000, 1000, 48]);
    assert_eq!(found, [[7; 1024], [0; 1024]].concat());
}

#[test]
fn more_pieces_than_the_kernel_takes_are_copied() {
    let device = device();
    let data = pattern(2048);
    let pieces: Vec<BufferRef<'_>> = data.chunks(1).map(BufferRef::from).collect();
    assert_eq!(block_on(device.write_vectored(0, &pieces, WriteOptions::FUA)), Ok(()));
    assert_eq!(device.file().raw_calls(), [Raw::Write(0, 2048), Raw::Sync]);
    assert_eq!(read_pieces(&device, 0, &[1; 2048]), data);
}

#[test]
fn a_device_without_its_own_gets_them_as_one() {
    /// Only what it has to have. It may be closed while it trims.
    struct Plain(FileBackedDevice<Script>, bool);
    impl Device for Plain {
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }
        fn is_read_only(&self) -> bool {
            self.0.is_read_only()
        }
        fn allocate_buffer(&self, size: usize) -> BufferFuture {
            self.0.allocate_buffer(size)
        }
        async fn read(&self, at: u64, buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
            self.0.read(at, buffer).await
        }
        async fn write(
            &self,
            at: u64,
            buffer: BufferRef<'_>,
            options: WriteOptions,
        ) -> Result<(), DeviceError> {
            self.0.write(at, buffer, options).await
        }
        async fn flush(&self) -> Result<(), DeviceError> {
            self.0.flush().await
        }
        async fn barrier(&self) -> Result<(), DeviceError> {
            self.0.barrier().await
        }
        async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
            let trimmed = self.0.trim(offset, length).await;
            if self.1 { self.0.close().await.and(trimmed) } else { trimmed }
        }
        async fn close(&self) -> Result<(), DeviceError> {
            self.0.close().await
        }
    }
    let mut device = Plain(device(), false);
    let data = pattern(2048);
    assert_eq!(write_vectored(&device, 1024, &data), Ok(()));
    assert_eq!(read_pieces(&device, 1024, &[1, 0, 511, 1536]), data);
    assert_eq!(device.0.file().raw_calls(), [Raw::Write(1024, 2048), Raw::Read(1024, 2048)]);
    assert_eq!(block_on(device.write_zeroes(0, 2048, ZERO_FUA)), Ok(()));
    assert_eq!(read(&device, 0, 2048), Ok(vec![0; 2048]));
    device.0.file().raw_calls();
    assert_eq!(block_on(device.trim_fua(0, 0)), Ok(()));
    assert_eq!(device.0.file().raw_calls(), []);
    assert_eq!(block_on(device.trim_fua(0, 1024)), Ok(()));
    assert_eq!(device.0.file().raw_calls().last(), Some(&Raw::Sync));
    assert_eq!(block_on(device.next_data(1024)), Ok(Some(1024..SIZE as u64)));
    let refused = io::Error::from(io::ErrorKind::Unsupported).into();
    assert_eq!(block_on(device.drain()), Err(refused));
    // The close has waited for the trim, and made it durable.
    device.1 = true;
    assert_eq!(block_on(device.trim_fua(0, 1024)), Ok(()));
    assert_eq!(block_on(device.trim_fua(0, 1024)), Err(DeviceError::Closed));
}
