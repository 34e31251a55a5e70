//! How a file is opened: its sectors, its end, its locks, and direct I/O.

use super::open::{image, loop_device, no_forks, run};
use super::*;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::File;
use std::process::Command;

fn options() -> DeviceOptions {
    DeviceOptions::new(BLOCK).transfer_heap(1 << 16)
}

#[track_caller]
fn refused(opened: Result<FileBackedDevice, OpenError>) -> String {
    opened.map(drop).unwrap_err().to_string()
}

#[test]
fn a_block_special_file_tells_its_sectors() {
    let Some(special) = loop_device(1 << 20, 4096) else { return };
    let device = FileBackedDevice::open(&special.path, DeviceOptions::new(4096)).unwrap();
    let geometry = device.geometry();
    assert_eq!((geometry.sector_size(), geometry.physical_sector_size()), (4096, 4096));
    drop(device);
    let small = FileBackedDevice::open(&special.path, DeviceOptions::new(512));
    let path = special.path.display();
    let why = "block size 512 is not a power of two of at least the sector size 4096";
    assert_eq!(refused(small), format!("{path}: {why}"));
}

#[test]
fn an_odd_end_is_refused_or_rounded_as_asked() {
    let _no_forks = no_forks();
    let image = image(SIZE + 100);
    let path = image.path().display().to_string();
    let why = "a file of 8292 bytes does not hold a whole number of 1024-byte blocks";
    assert_eq!(refused(FileBackedDevice::open(&image, options())), format!("{path}: {why}"));
    let down = FileBackedDevice::open(&image, options().odd_end(OddEnd::RoundDown)).unwrap();
    assert_eq!(down.geometry().block_count(), 8);
    drop(down);
    let up = FileBackedDevice::open(&image, options().odd_end(OddEnd::RoundUp)).unwrap();
    assert_eq!(up.geometry().block_count(), 9);
    assert_eq!(read(&up, SIZE as u64, 1024), Ok(vec![0; 1024]));
    assert_eq!(write(&up, 0, &[7; 1024]), Ok(()));
    assert_eq!(image.as_file().metadata().unwrap().len(), SIZE as u64 + 100, "not grown unasked");
    assert_eq!(write(&up, SIZE as u64, &[7; 1024]), Ok(()));
    assert_eq!(image.as_file().metadata().unwrap().len(), SIZE as u64 + 1024);
}

#[test]
fn a_file_that_grew_is_taken_in_and_one_that_shrank_is_not_grown() {
    let _no_forks = no_forks();
    let image = image(SIZE);
    let device = FileBackedDevice::open(&image, options()).unwrap();
    image.as_file().set_len(SIZE as u64 + 1500).unwrap();
    assert_eq!(block_on(device.refresh()).unwrap().block_count(), 9);
    assert_eq!(write(&device, SIZE as u64, &[7; 1024]), Ok(()));
    image.as_file().set_len(1024).unwrap();
    assert_eq!(block_on(device.refresh()), Err(DeviceError::UnexpectedEof));
    for (name, change) in changes() {
        assert_eq!(change(&device), Err(DeviceError::UnexpectedEof), "{name}");
    }
    assert_eq!(image.as_file().metadata().unwrap().len(), 1024);
    assert_eq!(read(&device, 0, 1024), Ok(vec![0; 1024]), "reads go on");
    image.as_file().set_len(SIZE as u64 + 1024).unwrap();
    assert_eq!(block_on(device.refresh()).unwrap().block_count(), 9);
    assert_eq!(write(&device, SIZE as u64, &[7; 1024]), Ok(()));
}

#[test]
fn a_size_that_was_given_stays() {
    let _no_forks = no_forks();
    let image = image(SIZE);
    let device = FileBackedDevice::open(&image, options().block_count(4)).unwrap();
    image.as_file().set_len(1024).unwrap();
    assert_eq!(block_on(device.refresh()).unwrap().block_count(), 4);
    assert_eq!(block_on(device.close()), Ok(()));
    assert_eq!(block_on(device.refresh()), Err(DeviceError::Closed));
}

#[test]
fn whoever_locks_by_open_file_description_is_seen_and_sees() {
    let _no_forks = no_forks();
    let image = image(SIZE);
    let other = File::options().read(true).write(true).open(image.path()).unwrap();
    let lock = |kind: libc::c_int, at: i64| {
        let flock = libc::flock {
            l_type: i16::try_from(kind).unwrap(),
            l_whence: 0,
            l_start: at,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&other, FcntlArg::F_OFD_SETLK(&flock))
    };
    let locked = "another program has it open, and has locked it";
    // As QEMU locks what it reads.
    lock(libc::F_RDLCK, 100).unwrap();
    assert!(refused(FileBackedDevice::open(&image, options())).ends_with(locked));
    let reader = FileBackedDevice::open(&image, options().read_only(true)).unwrap();
    assert!(lock(libc::F_WRLCK, 201).is_err(), "as QEMU would to write");
    drop(reader);
    lock(libc::F_UNLCK, 100).unwrap();
    let writer = FileBackedDevice::open(&image, options()).unwrap();
    assert!(lock(libc::F_RDLCK, 100).is_err());
    drop(writer);
    let held = FileBackedDevice::open_file(image.reopen().unwrap(), options()).unwrap();
    let again = FileBackedDevice::open_file(image.reopen().unwrap(), options());
    assert_eq!(again.err(), Some(DeviceError::Locked));
    drop(held);
}

/// Whether somebody has a lock on this byte.
fn is_locked(file: &File, at: i64) -> bool {
    let kind = i16::try_from(libc::F_WRLCK).unwrap();
    let mut lock = libc::flock { l_type: kind, l_whence: 0, l_start: at, l_len: 1, l_pid: 0 };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)).unwrap();
    i32::from(lock.l_type) != libc::F_UNLCK
}

#[test]
fn qemu_and_the_device_keep_out_of_each_others_way() {
    let image = image(SIZE);
    let qemu = |arguments: &[&str]| {
        run(Command::new("qemu-io").args(["-f", "raw"]).args(arguments).arg(image.path()))
    };
    let Ok(free) = qemu(&["-c", "read 0 512"]) else {
        println!("SKIPPED: there is no qemu-io here");
        return;
    };
    assert!(free.status.success(), "{free:?}");
    let writer = FileBackedDevice::open(&image, options()).unwrap();
    for arguments in [&["-c", "read 0 512"][..], &["-r", "-c", "read 0 512"]] {
        let said = qemu(arguments).unwrap();
        let why = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && why.contains("lock"), "{arguments:?}: {why}");
    }
    drop(writer);
    let reader = FileBackedDevice::open(&image, options().read_only(true)).unwrap();
    let said = qemu(&["-r", "-c", "read 0 512"]).unwrap();
    assert!(said.status.success(), "readers share: {said:?}");
    assert!(!qemu(&["-c", "write 0 512"]).unwrap().status.success());
    drop(reader);
    // The other order: QEMU has it open while it sleeps.
    let mut sleeping = Command::new("qemu-io")
        .args(["-f", "raw", "-c", "write 0 512", "-c", "sleep 9000"])
        .arg(image.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let other = image.reopen().unwrap();
    while !is_locked(&other, 101) && sleeping.try_wait().unwrap().is_none() {}
    let refusals = [false, true].map(|read_only| {
        let opened = FileBackedDevice::open(&image, options().read_only(read_only));
        opened.err().map(DeviceError::from)
    });
    sleeping.kill().unwrap();
    sleeping.wait().unwrap();
    assert_eq!(refusals, [Some(DeviceError::Locked); 2]);
}

/// A device for direct I/O over a real file, if the file system of the test can do that.
fn direct(length: usize, options: DeviceOptions) -> Option<FileBackedDevice> {
    let image = image(length);
    match FileBackedDevice::open(&image, options.direct(true)) {
        Err(error) if error.error().errno() == Some(22) => {
            println!("SKIPPED: {error}");
            None
        }
        opened => Some(opened.unwrap()),
    }
}

#[test]
fn direct_transfers_are_right_whatever_the_memory() {
    let _no_forks = no_forks();
    let options = DeviceOptions::new(4096).trim(TrimMode::Scribble).transfer_heap(1 << 16);
    let Some(device) = direct(1 << 20, options) else { return };
    let data: Vec<u8> = (0..16384_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    for skip in [0, 1, 8] {
        let odd = [&vec![0; skip], &data[..]].concat();
        assert_eq!(write(&device, 4096, &odd[skip..]), Ok(()));
        let mut buffer = vec![0; data.len() + skip];
        let target = MutableBufferRef::from(&mut buffer[skip..]);
        assert_eq!(block_on(device.read(4096, target)), Ok(()));
        assert_eq!(buffer[skip..], data);
    }
    assert_eq!(write_vectored(&device, 32768, &data), Ok(()));
    assert_eq!(read(&device, 32768, 16384), Ok(data));
    assert_eq!(block_on(device.trim(4096, 200 << 10)), Ok(()));
    assert_eq!(read(&device, 4096, 200 << 10), Ok(vec![0xab; 200 << 10]));
    assert_eq!(block_on(device.write_zeroes(4096, 200 << 10, ZERO_FUA)), Ok(()));
    assert_eq!(read(&device, 4096, 200 << 10), Ok(vec![0; 200 << 10]));
    assert_eq!(block_on(device.close()), Ok(()));
}

#[test]
fn an_end_that_direct_transfers_cannot_reach_is_refused() {
    let _no_forks = no_forks();
    let image = image(SIZE + 100);
    let options = options().odd_end(OddEnd::RoundDown).direct(true);
    let error = FileBackedDevice::open(&image, options).map(drop).unwrap_err();
    if error.error().errno() == Some(22) && !matches!(error.error(), DeviceError::Geometry(_)) {
        println!("SKIPPED: {error}");
        return;
    }
    assert!(matches!(error.error(), DeviceError::Geometry(GeometryError::FileLength { .. })));
}

#[test]
fn blocks_and_heaps_have_to_be_aligned_for_direct_transfers() {
    let Some(special) = loop_device(1 << 20, 4096) else { return };
    let heap = BufferAllocator::new(512, BufferSource::new(1 << 16));
    let options = DeviceOptions::new(4096).direct(true).allocator(heap);
    let error = FileBackedDevice::open(&special.path, options).map(drop).unwrap_err();
    let why = "buffers at multiples of 512 bytes are not at those of 4096 for direct I/O";
    assert_eq!(error.to_string(), format!("{}: {why}", special.path.display()));
}
