//! Files, worlds and futures from before a power failure, which reach nothing after it.

use super::*;
use crate::device::{BufferAllocator, BufferSource, Device, DeviceOptions, FileBackedDevice};
use crate::exec::{Aborted, FirstReady, Runtime};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

/// Polls a future this often, which must not end.
#[track_caller]
fn poll<T>(future: &mut LocalBoxFuture<'_, T>, times: usize) {
    for _ in 0..times {
        assert!(future.as_mut().now_or_never().is_none(), "it goes on");
    }
}

fn world(disk: &SimDisk, runtime: &Runtime<FirstReady>) -> World {
    disk.world(runtime, BufferAllocator::new(512, BufferSource::new(4096)))
}

/// What the disk tells of what has happened on it since the last time.
fn told(disk: &SimDisk) -> (u64, usize, u32, usize, u64) {
    let mut journal = 0;
    disk.drain_journal(|_, _| journal += 1);
    let syncs = disk.take_failed_syncs().len();
    (disk.calls(), journal, disk.calls_under_way(), syncs, disk.tasks())
}

/// Begins a call, has the power fail after `polls` of it, and goes on with it. It has to fail, with
/// an error that no fault gives, and to leave no trace.
#[track_caller]
fn outlives<'a>(disk: &SimDisk, mut call: LocalBoxFuture<'a, io::Result<()>>, polls: usize) {
    poll(&mut call, polls);
    disk.crash(CrashPolicy::All);
    disk.begin(2, &[]);
    let (before, held) = (told(disk), sectors(disk));
    told(disk);
    let before = (before.0 + 2, 0, before.2, 0, before.4);
    let error = as_op(disk, 2, call).unwrap_err();
    assert_eq!(error.raw_os_error(), None, "{error}");
    assert!(error.to_string().contains("before the power failed"), "{error}");
    assert_eq!(told(disk), before);
    let report = disk.end(2, false);
    assert_eq!((report.calls, report.causes.len(), report.overtaken), (0, 0, 0));
    assert_eq!(sectors(disk), held);
}

/// Each raw call of a file and of a world, by name.
fn calls<'a>(
    file: &'a SimFile,
    world: &'a World,
    buffer: &'a mut [u8],
) -> Vec<(&'static str, LocalBoxFuture<'a, io::Result<()>>)> {
    vec![
        ("write", file.write_at(&[9; 512], 0).map(|it| it.map(drop)).boxed_local()),
        ("read", file.read_at(buffer, 0).map(|it| it.map(drop)).boxed_local()),
        ("sync_data", file.sync_data().boxed_local()),
        ("sync_all", file.sync_all().boxed_local()),
        ("len", file.len().map(|it| it.map(drop)).boxed_local()),
        ("set_len", file.set_len(0).boxed_local()),
        ("punch_hole", file.punch_hole(0, 512).boxed_local()),
        ("open", world.open(DISK).map(|it| it.map(drop)).boxed_local()),
        ("create", world.create("new").map(|it| it.map(drop)).boxed_local()),
        ("open_or_create", world.open_or_create("new").map(|it| it.map(drop)).boxed_local()),
        ("rename", world.rename(DISK, "other").boxed_local()),
        ("unlink", world.unlink(DISK).boxed_local()),
        ("sync_directory", world.sync_directory().boxed_local()),
        ("list", world.list().map(|it| it.map(drop)).boxed_local()),
    ]
}

const CALLS: usize = 14;

/// Before its effect; delayed before its effect; delayed after it.
const MOMENTS: [(Option<FaultKind>, usize); 3] =
    [(None, 1), (Some(FaultKind::Latency(5)), 3), (Some(FaultKind::LateReturn(9)), 5)];

#[test]
fn every_call_under_way_when_the_power_fails_fails_and_changes_nothing() {
    for (kind, polls) in MOMENTS {
        for number in 0..CALLS {
            let (disk, runtime) = (ones(), Runtime::new(FirstReady::new()));
            let (file, world, mut buffer) = (disk.file(), world(&disk, &runtime), [0; 512]);
            let (name, call) = calls(&file, &world, &mut buffer).swap_remove(number);
            let faults: Vec<Fault> = kind.into_iter().map(|kind| Fault { call: 0, kind }).collect();
            disk.begin(1, &faults);
            eprintln!("{name}, {kind:?}");
            let call = within(&disk, 1, call).boxed_local();
            outlives(&disk, call, polls);
        }
    }
}

#[test]
fn every_call_that_is_made_after_the_power_failed_fails_and_changes_nothing() {
    for number in 0..CALLS {
        let (disk, runtime) = (ones(), Runtime::new(FirstReady::new()));
        let (file, world, mut buffer) = (disk.file(), world(&disk, &runtime), [0; 512]);
        let (name, call) = calls(&file, &world, &mut buffer).swap_remove(number);
        eprintln!("{name}");
        outlives(&disk, call, 0);
    }
}

#[test]
fn a_sync_in_its_midst_and_the_rest_of_a_read_fail_too() {
    let (disk, file) = (ones(), ones().file());
    drop(file);
    let file = disk.file();
    outlives(&disk, file.sync_data().boxed_local(), 2);
    let (disk, mut buffer) = (ones(), [0; 1024]);
    let file = disk.file();
    disk.begin(1, &first(FaultKind::TornRead(512)));
    let read = within(&disk, 1, file.read_at(&mut buffer, 0)).map(|it| it.map(drop));
    outlives(&disk, read.boxed_local(), 2);
}

#[test]
fn a_failure_from_before_the_power_failed_explains_nothing_after_it() {
    let disk = SimDisk::new(Medium::Memory);
    disk.reset(512, SIZE, SIZE).unwrap();
    disk.format(512, Rules { own_calls: false, ..Rules::default() });
    let runtime = Runtime::new(FirstReady::new());
    let world = world(&disk, &runtime);
    let file = block_on(world.create(DISK)).unwrap();
    let faults = [FaultKind::Eio, FaultKind::LateReturn(9)].map(|kind| Fault { call: 0, kind });
    disk.begin(1, &faults);
    let mut write = within(&disk, 1, file.write_at(&[9; 512], 0)).boxed_local();
    poll(&mut write, 3);
    disk.crash(CrashPolicy::All);
    disk.begin(2, &[]);
    drop(write);
    assert_eq!(disk.end(2, false).causes, []);
}

#[test]
fn calls_from_before_the_power_failed_are_not_counted_after_it() {
    let disk = ones();
    let (old, mut buffer) = (disk.file(), [0; 512]);
    let mut one = old.write_at(&[9; 512], 0).boxed_local();
    poll(&mut one, 1);
    assert_eq!(disk.calls_under_way(), 1);
    disk.crash(CrashPolicy::All);
    let new = disk.file();
    let mut other = new.read_at(&mut buffer, 0).boxed_local();
    poll(&mut other, 1);
    assert_eq!(disk.calls_under_way(), 1);
    drop(one);
    let mut late = old.sync_data().boxed_local();
    poll(&mut late, 1);
    assert_eq!(disk.calls_under_way(), 1, "neither the end of an old one nor a new one counts");
    drop(late);
    assert_eq!(block_on(other).unwrap(), 512);
    assert_eq!(disk.calls_under_way(), 0);
}

#[test]
fn an_old_world_hands_out_no_file_and_starts_no_task() {
    let (disk, mut runtime) = (ones(), Runtime::new(FirstReady::new()));
    let old = world(&disk, &runtime);
    assert!(old.disk().is_ok());
    disk.crash(CrashPolicy::All);
    assert_eq!(old.disk().unwrap_err().raw_os_error(), None);
    let file = disk.file();
    let task = old.spawn("late", async move { file.write_at(&[9; 512], 0).await });
    assert_eq!((runtime.has_tasks(), disk.tasks()), (false, 0));
    let mut executor = runtime.executor();
    executor.spawn("joins", async move { assert!(matches!(task.await, Err(Aborted))) });
    executor.run(100).unwrap();
    assert_eq!(executor.steps(), 1, "that of the one who joins");
    drop(executor);
    assert_eq!(sectors(&disk), [1; 8]);
    // Time goes on for everybody, and moves nothing.
    assert_eq!(old.now(), world(&disk, &runtime).now());
}

#[test]
fn a_device_from_before_the_power_failed_reaches_nothing() {
    let disk = ones();
    let options = DeviceOptions::new(512).block_count(8);
    let device = block_on(FileBackedDevice::with_options(disk.file(), options)).unwrap();
    disk.crash(CrashPolicy::All);
    let mut buffer = block_on(device.allocate_buffer(512)).unwrap();
    assert!(block_on(device.read(0, buffer.as_mut())).is_err());
    assert!(block_on(device.write(0, buffer.as_ref(), Default::default())).is_err());
    assert!(block_on(device.trim(0, 512)).is_err());
    assert!(block_on(device.flush()).is_err());
    assert!(block_on(device.barrier()).is_err());
    assert!(block_on(device.close()).is_err());
    assert_eq!(sectors(&disk), [1; 8]);
}

#[test]
fn a_disk_that_is_formatted_anew_knows_no_old_handles() {
    let disk = ones();
    let old = disk.file();
    disk.reset(512, SIZE, SIZE).unwrap();
    assert!(block_on(old.write_at(&[9; 512], 0)).is_err());
    assert_eq!(sectors(&disk), [0; 8]);
}
