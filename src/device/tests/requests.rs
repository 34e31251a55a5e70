//! Clause 1, bad requests; and what the device says of itself.

use super::*;

/// Asks for a range in every way that there is.
fn request_all(
    device: &impl Device,
    offset: u64,
    length: u64,
) -> Vec<(&'static str, Result<(), DeviceError>)> {
    let mut answers = vec![("trim", block_on(device.trim(offset, length)))];
    if length <= 4 * SIZE as u64 {
        let length = usize::try_from(length).unwrap();
        answers.push(("read", read(device, offset, length).map(|_| ())));
        answers.push(("write", write(device, offset, &vec![9; length])));
        answers.push(("fua", write_fua(device, offset, &vec![9; length])));
    }
    answers
}

/// Every kind of request of this range gets `refused`, and reaches the file in no way.
#[track_caller]
fn assert_refused(offset: u64, length: u64, refused: DeviceError) {
    let device = device();
    for (request, answer) in request_all(&device, offset, length) {
        assert_eq!(answer, Err(refused), "{request} of {length} bytes at {offset}");
    }
    assert_eq!(device.file().raw_calls(), []);
}

#[test]
fn a_misaligned_request_is_refused_and_changes_nothing() {
    let sizes = [(1, 1024), (512, 1024), (0, 1), (0, 1023), (1024, 512), (100, 0), (u64::MAX, 0)];
    for (offset, length) in sizes.into_iter().chain([(u64::MAX, 1024), (0, u64::MAX)]) {
        let refused = DeviceError::Misaligned { offset, length, block_size: BLOCK };
        assert_refused(offset, length, refused);
    }
}

#[test]
fn a_request_past_the_end_is_refused_without_overflow() {
    let (last, size) = (u64::MAX - 1023, SIZE as u64);
    let near = [(size, 1024), (size - 1024, 2048), (0, size + 1024), (size + 1024, 0)];
    for (offset, length) in near.into_iter().chain([(last, 1024), (last, 0), (last, last)]) {
        assert_refused(offset, length, DeviceError::OutOfRange { offset, length, size });
    }
    assert_refused(1024, last, DeviceError::OutOfRange { offset: 1024, length: last, size });
}

#[test]
fn a_request_of_no_bytes_is_ok_anywhere_on_the_device() {
    let device = device();
    for offset in [0, 1024, SIZE as u64] {
        for (request, answer) in request_all(&device, offset, 0) {
            assert_eq!(answer, Ok(()), "{request} at {offset}");
        }
    }
    assert_eq!(device.file().bytes(), [0; SIZE]);
}

#[test]
fn a_read_only_device_refuses_changes_and_reads() {
    let device = device_with(DeviceOptions::new(BLOCK).read_only(true), SIZE);
    assert!(device.is_read_only());
    for (request, change) in changes() {
        assert_eq!(change(&device), Err(DeviceError::ReadOnly), "{request}");
    }
    assert_eq!(device.file().raw_calls(), []);
    assert_eq!(read(&device, 0, SIZE), Ok(vec![0; SIZE]));
    for (request, sync) in syncs() {
        assert_eq!(sync(&device), Ok(()), "{request}");
    }
    assert_eq!(block_on(device.close()), Ok(()));
}

#[test]
fn a_closed_device_refuses_everything() {
    let device = device();
    assert_eq!(block_on(device.close()), Ok(()));
    device.file().raw_calls();
    for (request, change) in changes().into_iter().chain(syncs()) {
        assert_eq!(change(&device), Err(DeviceError::Closed), "{request}");
    }
    assert_eq!(read(&device, 0, 1024), Err(DeviceError::Closed));
    assert_eq!(read(&device, 0, 0), Err(DeviceError::Closed));
    assert_eq!(device.file().raw_calls(), []);
}

#[test]
fn the_device_serves_the_size_of_its_file_or_the_one_it_is_given() {
    let geometry = Geometry::new(512, BLOCK, 8).unwrap();
    assert_eq!(device().geometry(), geometry);
    let counted = FileBackedDevice::new_with_block_count(Script::new(0), BLOCK, 8).unwrap();
    assert_eq!(counted.geometry(), geometry);
    let large = DeviceOptions::new(4096).sector_size(4096);
    assert_eq!(device_with(large, SIZE).geometry(), Geometry::new(4096, 4096, 2).unwrap());
}

#[test]
fn a_file_that_no_device_fits_is_refused() {
    for file_length in [0, 100, 1023, 1536] {
        let refused = GeometryError::FileLength { file_length, block_size: BLOCK };
        let file = Script::new(usize::try_from(file_length).unwrap());
        let device = block_on(FileBackedDevice::new(file, BLOCK));
        assert_eq!(device.err(), Some(refused.into()));
    }
    let absurd = FileBackedDevice::new_with_block_count(Script::new(0), BLOCK, u64::MAX);
    let refused = GeometryError::TooLarge { block_size: BLOCK, block_count: u64::MAX };
    assert_eq!(absurd.err(), Some(refused.into()));
}

#[test]
fn the_heap_is_the_one_that_was_asked_for() {
    let too_large = |requested, heap| Some(DeviceError::BufferTooLarge { requested, heap });
    let own = device_with(DeviceOptions::new(BLOCK), SIZE);
    assert_eq!(block_on(own.allocate_buffer(65537)).err(), too_large(65537, 65536));
    let usual = block_on(FileBackedDevice::new(Script::new(SIZE), BLOCK)).unwrap();
    assert_eq!(block_on(usual.allocate_buffer(33 << 20)).err(), too_large(33 << 20, 32 << 20));
    let heap = BufferAllocator::new(512, BufferSource::new(2048));
    let options = DeviceOptions::new(BLOCK).block_count(1).allocator(heap.clone());
    let device = block_on(FileBackedDevice::with_options(Script::new(0), options)).unwrap();
    assert_eq!(block_on(device.allocate_buffer(2049)).err(), too_large(2049, 2048));
    let buffer = block_on(device.allocate_buffer(1024)).unwrap();
    assert_eq!((buffer.len(), heap.free_bytes()), (1024, 1024));
}

#[test]
fn a_buffer_of_the_heap_makes_the_round_trip() {
    let device = device();
    let mut buffer = block_on(device.allocate_buffer(2048)).unwrap();
    buffer.as_mut_slice().fill(7);
    block_on(device.write(1024, buffer.subslice(..1024), WriteOptions::default())).unwrap();
    buffer.as_mut_slice().fill(0);
    block_on(device.read(1024, buffer.subslice_mut(1024..))).unwrap();
    assert_eq!(sectors(buffer.as_slice()), [0, 0, 7, 7]);
}

/// Compiles only where devices and all of their futures are `Send`.
#[test]
fn everything_is_send() {
    fn assert_send<T: Send>(_: &T) {}
    fn check<D: Device>(device: &D) {
        let mut buffer = [0; 1024];
        assert_send(&device);
        assert_send(&device.read(0, buffer.as_mut_slice().into()));
        assert_send(&device.write(0, buffer.as_slice().into(), WriteOptions::FUA));
        assert_send(&device.flush());
        assert_send(&device.barrier());
        assert_send(&device.trim(0, 1024));
        assert_send(&device.close());
        assert_send(&device.allocate_buffer(1024));
    }
    check(&device());
    check(&DynDevice::new(device()));
    let file = FileBackedDevice::new_with_block_count(tempfile::tempfile().unwrap(), BLOCK, 1);
    check(&file.unwrap());
    assert_send(&FileBackedDevice::new(Script::new(0), BLOCK));
}
