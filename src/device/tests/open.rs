//! Clause 11: files and block special files by name, and one writer.

use super::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use tempfile::{NamedTempFile, TempDir};

/// To start a program is to fork, and until the child has become that program it holds what this
/// process has open: a lock that another test gives up meanwhile is held on. So tests that count on
/// a lock being gone read this, and whoever starts a program writes.
static FORKING: RwLock<()> = RwLock::new(());

/// While this lives, no test of this process starts a program.
pub(super) fn no_forks() -> RwLockReadGuard<'static, ()> {
    FORKING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a program to its end.
pub(super) fn run(command: &mut Command) -> std::io::Result<Output> {
    let _alone = FORKING.write().unwrap_or_else(PoisonError::into_inner);
    command.output()
}

pub(super) fn image(length: usize) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(length as u64).unwrap();
    file
}

fn open(path: impl AsRef<Path>, read_only: bool) -> Result<FileBackedDevice, DeviceError> {
    let options = DeviceOptions::new(BLOCK).transfer_heap(1 << 16);
    Ok(FileBackedDevice::open(path, options.read_only(read_only))?)
}

#[track_caller]
fn assert_not_opened(path: impl AsRef<Path>, refused: DeviceError) {
    for read_only in [false, true] {
        let answer = open(path.as_ref(), read_only);
        assert_eq!(answer.err(), Some(refused), "read-only: {read_only}");
    }
}

fn of_kind(kind: ErrorKind) -> DeviceError {
    DeviceError::Io { kind, errno: None }
}

#[test]
fn what_was_written_is_there_when_the_device_is_opened_again() {
    let _no_forks = no_forks();
    let image = image(SIZE);
    let device = open(&image, false).unwrap();
    assert_eq!(device.geometry(), Geometry::new(512, BLOCK, 8).unwrap());
    assert_eq!(write(&device, 1024, &[7; 1024]), Ok(()));
    assert_eq!(block_on(device.close()), Ok(()));
    drop(device);
    let device = open(&image, true).unwrap();
    assert_eq!(sectors(&read(&device, 0, 3072).unwrap()), [0, 0, 7, 7, 0, 0]);
    assert_eq!(write(&device, 0, &[8; 1024]), Err(DeviceError::ReadOnly));
}

#[test]
fn a_writer_has_the_file_to_itself() {
    let _no_forks = no_forks();
    let image = image(SIZE);
    let writer = open(&image, false).unwrap();
    assert_not_opened(&image, DeviceError::Locked);
    drop(writer);
    assert!(open(&image, false).is_ok(), "the lock is gone with its device");
}

#[test]
fn readers_share_the_file_with_each_other_only() {
    let _no_forks = no_forks();
    let image = image(SIZE);
    let readers = [open(&image, true).unwrap(), open(&image, true).unwrap()];
    assert_eq!(read(&readers[1], 0, 1024), Ok(vec![0; 1024]));
    assert_eq!(open(&image, false).err(), Some(DeviceError::Locked));
    drop(readers);
    assert!(open(&image, false).is_ok());
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let directory = TempDir::new().unwrap();
    assert_not_opened(&directory, of_kind(ErrorKind::IsADirectory));
    assert_not_opened(directory.path().join("missing"), io_error(Errno::NOENT));
    assert_not_opened("/dev/null", of_kind(ErrorKind::InvalidInput));
    // To open a fifo would wait for its other end, and this test would not end.
    let fifo = directory.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_not_opened(&fifo, of_kind(ErrorKind::InvalidInput));
}

#[test]
fn a_file_that_cannot_be_opened_is_not_called_locked() {
    // Nobody can write to a program that is running.
    let answer = open(std::env::current_exe().unwrap(), false);
    assert!(matches!(answer.err(), Some(DeviceError::Io { errno: Some(_), .. })));
}

#[test]
fn a_file_without_a_whole_number_of_blocks_is_refused() {
    for length in [0, 512, 1500] {
        let file_length = length as u64;
        let refused = GeometryError::FileLength { file_length, block_size: BLOCK };
        assert_not_opened(image(length), refused.into());
    }
}

#[test]
fn an_empty_file_can_hold_a_device_of_a_given_size() {
    let image = image(0);
    let options = DeviceOptions::new(BLOCK).block_count(8).transfer_heap(1 << 16);
    let device = FileBackedDevice::open(&image, options).unwrap();
    assert_eq!(read(&device, 0, SIZE), Ok(vec![0; SIZE]));
    assert_eq!(write(&device, 1024, &[7; 1024]), Ok(()));
    assert_eq!(image.as_file().metadata().unwrap().len(), 2048);
}

/// A block special file over a file, until it is dropped.
pub(super) struct LoopDevice {
    pub(super) path: PathBuf,
    _image: NamedTempFile,
}

impl LoopDevice {
    /// Or why there can be none on this machine.
    fn attach(length: usize, sector: u32) -> Result<Self, String> {
        let image = image(length);
        let sector = format!("--sector-size={sector}");
        let mut losetup = Command::new("losetup");
        let output = run(losetup.args(["--find", "--show", &sector]).arg(image.path()));
        let output = output.map_err(|error| format!("losetup: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let path = String::from_utf8_lossy(&output.stdout).trim().into();
        Ok(Self { path, _image: image })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let detached = run(Command::new("losetup").arg("--detach").arg(&self.path));
        assert!(detached.is_ok_and(|it| it.status.success()), "{:?} is attached", self.path);
    }
}

/// A loop device, or `None` with the reason in the output of the test.
pub(super) fn loop_device(length: usize, sector: u32) -> Option<LoopDevice> {
    let attached = LoopDevice::attach(length, sector).and_then(|it| match File::open(&it.path) {
        Ok(_) => Ok(it),
        Err(error) => Err(format!("{}: {error}", it.path.display())),
    });
    attached.inspect_err(|why| println!("SKIPPED: no usable loop device here: {why}")).ok()
}

#[test]
fn a_block_special_file_is_a_device_of_its_capacity() {
    const CAPACITY: usize = 1 << 20;
    let Some(special) = loop_device(CAPACITY, 512) else { return };
    let options = DeviceOptions::new(4096).trim(TrimMode::PunchHole);
    let device = FileBackedDevice::open(&special.path, options).unwrap();
    assert_eq!(device.geometry(), Geometry::new(512, 4096, 256).unwrap());
    assert_eq!(write(&device, 0, &vec![7; CAPACITY]), Ok(()));
    assert_eq!(block_on(device.trim(4096, 8192)), Ok(()));
    assert_eq!(block_on(device.flush()), Ok(()));
    let after = [vec![7; 4096], vec![0; 8192], vec![7; CAPACITY - 12288]].concat();
    assert_eq!(read(&device, 0, CAPACITY), Ok(after));
    assert_eq!(block_on(device.close()), Ok(()));
}

#[test]
fn a_block_special_file_has_one_writer_too() {
    let Some(special) = loop_device(SIZE, 512) else { return };
    // Gone before the loop device is detached, which starts a program.
    let _no_forks = no_forks();
    let writer = open(&special.path, false).unwrap();
    assert_not_opened(&special.path, DeviceError::Locked);
    drop(writer);
    let readers = [open(&special.path, true).unwrap(), open(&special.path, true).unwrap()];
    assert_eq!(open(&special.path, false).err(), Some(DeviceError::Locked));
    drop(readers);
}
