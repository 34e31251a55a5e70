//! Devices whose type or place is not known, and what a device shows of itself.

use super::*;
use std::sync::Arc;

type Real = FileBackedDevice<Script>;

/// Uses a device by value, as code that does not know its type does.
#[track_caller]
fn check_every_method(device: impl Device) {
    assert_eq!((device.geometry().size(), device.is_read_only()), (SIZE as u64, false));
    for (request, change) in changes().into_iter().chain(syncs()) {
        assert_eq!(change(&device), Ok(()), "{request}");
    }
    assert_eq!(write(&device, 1024, &[7; 1024]), Ok(()));
    assert_eq!(read(&device, 1024, 1024), Ok(vec![7; 1024]));
    assert_eq!(block_on(device.allocate_buffer(1000)).unwrap().len(), 1000);
    let refused = DeviceError::OutOfRange { offset: 1 << 20, length: 0, size: SIZE as u64 };
    assert_eq!(read(&device, 1 << 20, 0), Err(refused));
    assert_eq!(block_on(device.close()), Ok(()));
    for (request, change) in changes().into_iter().chain(syncs()) {
        assert_eq!(change(&device), Err(DeviceError::Closed), "{request}");
    }
}

#[test]
fn a_pointer_to_a_device_is_the_device() {
    check_every_method(device());
    let by_reference = device();
    check_every_method(&by_reference);
    assert_eq!(write(&by_reference, 0, &[7; 1024]), Err(DeviceError::Closed), "it is one device");
    check_every_method(Box::new(device()));
    check_every_method(Arc::new(device()));
    let nested = Arc::new(Box::new(device()));
    check_every_method(&nested);
    let shared = Arc::new(device());
    check_every_method(Arc::clone(&shared));
    assert_eq!(write(&shared, 0, &[7; 1024]), Err(DeviceError::Closed), "it is one device");
}

/// A pointer adds no suspension and no raw call.
#[test]
fn a_pointer_makes_the_same_raw_calls() {
    let raw_calls = |device: &dyn Fn(&Real) -> Result<(), DeviceError>| {
        let real = super::device();
        assert_eq!(device(&real), Ok(()));
        real.file().raw_calls()
    };
    let direct = raw_calls(&|device| write_fua(device, 0, &[7; 1024]));
    let through = raw_calls(&|device| write_fua(&Box::new(&device), 0, &[7; 1024]));
    assert_eq!((direct.len(), &direct), (2, &through));
}

#[test]
fn a_read_only_device_is_so_behind_every_pointer() {
    let read_only = || device_with(DeviceOptions::new(BLOCK).read_only(true), SIZE);
    fn says_so(device: impl Device) -> bool {
        device.is_read_only()
    }
    let device = read_only();
    assert!(says_so(&device) && says_so(Box::new(read_only())));
    assert!(says_so(Arc::new(read_only())) && says_so(DynDevice::new(read_only())));
}

#[test]
fn a_dyn_device_is_the_device() {
    check_every_method(DynDevice::new(device()));
    check_every_method(DynDevice::new(Arc::new(device())));
    check_every_method(Box::new(DynDevice::new(DynDevice::new(device()))));
}

#[test]
fn a_dyn_device_gives_its_device_back() {
    let device = DynDevice::new(device());
    assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
    let real = device.downcast_ref::<Real>().unwrap();
    assert_eq!(real.file().raw_calls(), [Raw::Write(0, 1024)]);
    let real: Real = device.downcast().unwrap();
    assert_eq!(real.into_file().bytes()[..1024], [7; 1024]);
}

#[test]
fn a_dyn_device_of_another_type_is_left_as_it_was() {
    let device = DynDevice::new(Arc::new(device()));
    assert!(device.downcast_ref::<Real>().is_none());
    assert!(device.downcast_ref::<DynDevice>().is_none(), "it is not its own contents");
    let device = device.downcast::<Real>().unwrap_err();
    let device = device.downcast::<Box<Real>>().unwrap_err();
    assert_eq!(write(&device, 0, &[7; 1024]), Ok(()));
    let shared: Arc<Real> = device.downcast().unwrap();
    assert_eq!(shared.file().raw_calls(), [Raw::Write(0, 1024)]);
}

#[test]
fn a_device_shows_its_state() {
    let device = device();
    let open = format!("{device:?}");
    assert!(open.contains("read_only: false, trim: Scribble, closed: false, sync_failed: false"));
    assert!(open.contains("block_count: 8"), "{open}");
    device.file().plan(&[Answer::Error(Errno::IO)]);
    assert_eq!(block_on(device.close()), Err(io_error(Errno::IO)));
    let closed = format!("{device:?}");
    assert!(closed.contains("closed: true, sync_failed: true"), "{closed}");
    let unknown = format!("{:?}", DynDevice::new(device));
    assert!(unknown.contains("block_count: 8"), "{unknown}");
}

/// Where `Debug` is missing, or asked of the file, this does not compile.
#[test]
fn an_error_of_opening_can_be_unwrapped() {
    let file = Script::new(100);
    let refused = GeometryError::FileLength { file_length: 100, block_size: BLOCK };
    assert_eq!(block_on(FileBackedDevice::new(file, BLOCK)).unwrap_err(), refused.into());
}
