//! Files by name, tasks, and who is told of what.

use super::*;
use crate::device::{BufferAllocator, BufferSource, DeviceError};
use crate::exec::{FirstReady, Runtime};
use futures::FutureExt;

/// A disk without files, under a device that promises nothing.
fn empty(rules: Rules) -> SimDisk {
    let disk = SimDisk::new(Medium::Memory);
    disk.format(512, rules);
    disk
}

fn promises_nothing() -> Rules {
    Rules { own_calls: false, odd_short_writes: false, ..Rules::default() }
}

/// Does `work` in the world of the disk, as an operation with faults, to its end.
fn in_world<T, F>(
    disk: &SimDisk,
    op: u32,
    faults: &[Fault],
    work: impl FnOnce(World) -> F,
) -> (T, CallReport)
where
    F: Future<Output = T>,
{
    let mut runtime = Runtime::new(FirstReady::new());
    let heap = BufferAllocator::new(512, BufferSource::new(4096));
    let world = disk.world(&runtime, heap);
    disk.begin(op, faults);
    let mut output = None;
    let mut executor = runtime.executor();
    let working = disk.attribute(op, work(world));
    executor.spawn("test", async { output = Some(working.await) });
    executor.run(10_000).unwrap();
    drop(executor);
    (output.unwrap(), disk.end(op, false))
}

fn done<T, F: Future<Output = T>>(disk: &SimDisk, work: impl FnOnce(World) -> F) -> T {
    in_world(disk, OP, &[], work).0
}

fn names(disk: &SimDisk) -> Vec<String> {
    done(disk, async |world: World| world.list().await.unwrap())
}

#[test]
fn names_do_what_the_kernel_does_with_them() {
    let disk = empty(promises_nothing());
    done(&disk, async |world: World| {
        assert_errno(world.open("a").await, Errno::NOENT);
        let file = world.create("a").await.unwrap();
        assert_errno(world.create("a").await, Errno::EXIST);
        file.write_at(&[7; 100], 0).await.unwrap();
        assert_eq!(world.open("a").await.unwrap().len().await.unwrap(), 100);
        world.create("b").await.unwrap();
        world.rename("a", "b").await.unwrap();
        assert_errno(world.rename("a", "b").await, Errno::NOENT);
        assert_eq!(world.open("b").await.unwrap().len().await.unwrap(), 100);
        world.unlink("b").await.unwrap();
        assert_errno(world.unlink("b").await, Errno::NOENT);
        // Who has it open has it still.
        assert_eq!(file.len().await.unwrap(), 100);
        for bad in ["", "a/b", ".."] {
            assert!(world.create(bad).await.is_err(), "{bad}");
        }
    });
    assert_eq!(names(&disk), [""; 0]);
}

#[test]
fn a_new_file_is_found_after_a_crash_if_it_was_synced() {
    for (synced, posix, found) in
        [(false, false, false), (true, false, true), (true, true, false), (false, true, false)]
    {
        let disk = empty(Rules { posix_entries: posix, ..promises_nothing() });
        done(&disk, async |world: World| {
            let file = world.create("new").await.unwrap();
            file.write_at(&[7; 512], 0).await.unwrap();
            if synced {
                file.sync_data().await.unwrap();
            }
        });
        let crash = disk.crash(CrashPolicy::None);
        assert!(crash.unsynced != (synced && !posix));
        assert_eq!(names(&disk).contains(&"new".to_owned()), found, "{synced} {posix}");
    }
}

#[test]
fn syncing_the_directory_keeps_names_and_not_contents() {
    let disk = empty(promises_nothing());
    done(&disk, async |world: World| {
        let file = world.create("old").await.unwrap();
        file.write_at(&[7; 512], 0).await.unwrap();
        world.rename("old", "new").await.unwrap();
        world.sync_directory().await.unwrap();
        world.unlink("new").await.unwrap();
    });
    disk.crash(CrashPolicy::None);
    assert_eq!(names(&disk), ["new"]);
    let length = done(&disk, async |world: World| world.open("new").await.unwrap().len().await);
    assert_eq!(length.unwrap(), 0, "what was written to it was not synced");
}

#[test]
fn a_handle_from_before_the_power_failed_reaches_nothing() {
    let disk = disk();
    let file = disk.file();
    let mut half = Box::pin(file.write_at(&[9; 512], 0));
    assert!(half.as_mut().now_or_never().is_none(), "it waits for its turn");
    disk.crash(CrashPolicy::All);
    assert!(block_on(half).is_err());
    assert!(block_on(file.write_at(&[9; 512], 0)).is_err());
    assert!(block_on(file.sync_data()).is_err());
    assert_eq!(sectors(&disk), [0; 8]);
}

/// A write by a task, which is awaited.
async fn by_task(world: &World, file: &SimFile, at: u64) -> io::Result<usize> {
    let file = file.clone();
    world.spawn("worker", async move { file.write_at(&[7; 512], at).await }).await.unwrap()
}

#[test]
fn calls_of_tasks_meet_the_faults_of_the_operation_that_waits_for_them() {
    let disk = empty(promises_nothing());
    let faults = [Fault { call: 1, kind: FaultKind::Eio }];
    let (results, report) = in_world(&disk, OP, &faults, async |world: World| {
        let file = world.create("file").await.unwrap();
        let mut results = Vec::new();
        for at in 0..3 {
            results.push(by_task(&world, &file, at * 512).await.is_ok());
        }
        results
    });
    assert_eq!(results, [true, false, true]);
    let eio: DeviceError = io::Error::from_raw_os_error(5).into();
    let [cause] = &*report.causes else { panic!("one cause: {:?}", report.causes) };
    assert_eq!((cause.error, cause.bytes.clone(), cause.sync), (eio, Some(512..1024), false));
    assert_eq!(cause.caller.op, 0);
    assert_eq!(&*disk.task(cause.caller.task), "worker");
    assert_eq!(disk.take_task_faults(), [FaultKind::Eio]);
    // Who comes later may tell of it, until the device is opened again.
    let (_, later) = in_world(&disk, OP, &[], async |_| ());
    assert_eq!((later.causes.len(), later.owed.as_slice()), (0, &[eio][..]));
    disk.reopened();
    assert!(in_world(&disk, OP, &[], async |_| ()).1.owed.is_empty());
}

#[test]
fn a_fault_that_nobody_met_waits_for_a_task() {
    let disk = empty(promises_nothing());
    in_world(&disk, OP, &[Fault { call: 0, kind: FaultKind::Enospc }], async |_| ());
    let written = done(&disk, async |world: World| {
        let file = world.open_or_create("file").await;
        match file {
            Ok(file) => by_task(&world, &file, 0).await,
            Err(error) => Err(error),
        }
    });
    assert_errno(written, Errno::NOSPC);
}

#[test]
fn while_it_is_calm_nothing_is_met() {
    let disk = empty(promises_nothing());
    let faults = [Fault { call: 0, kind: FaultKind::Eio }];
    disk.calm(true);
    let (created, report) =
        in_world(&disk, OP, &faults, async |world: World| world.create("a").await.is_ok());
    assert!(created && report.met.is_empty());
}

#[test]
fn a_failed_sync_is_told_with_who_made_it() {
    let disk = empty(promises_nothing());
    let faults = [Fault { call: 1, kind: FaultKind::SyncFailed(Dirty::Kept) }];
    in_world(&disk, OP, &faults, async |world: World| {
        let file = world.create("file").await.unwrap();
        file.sync_data().await.unwrap_err();
    });
    let failed = disk.take_failed_syncs();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].caller, Caller { op: OP, task: 0 });
    assert!(disk.take_failed_syncs().is_empty());
}

#[test]
fn faults_that_stay_do_so_until_the_device_is_opened_again() {
    for (kind, fails) in [
        (FaultKind::EnospcStays, Err(Errno::NOSPC.raw_os_error())),
        (FaultKind::WriteZeroStays, Ok(0)),
    ] {
        let disk = disk();
        let attempt = |faults: &[Fault]| {
            let file = disk.file();
            let (written, _) = run(&disk, faults, async { file.write_at(&[7; 512], 0).await });
            written.map_err(|error| error.raw_os_error().unwrap())
        };
        assert_eq!(attempt(&first(kind)), fails);
        assert_eq!(attempt(&[]), fails);
        disk.reopened();
        assert_eq!(attempt(&[]), Ok(512));
        assert_eq!(attempt(&first(kind)), fails);
        disk.crash(CrashPolicy::All);
        let written = block_on(disk.file().write_at(&[7; 512], 0));
        assert_eq!(written.unwrap(), 512, "the crash made space");
    }
}

#[test]
fn a_write_stops_where_a_sector_ends_unless_more_is_asked_for() {
    let disk = empty(promises_nothing());
    done(&disk, async |world: World| drop(world.create("file").await.unwrap()));
    for (offset, most, written) in [(0, 700, 512), (0, 500, 1536), (100, 700, 412), (100, 10, 1536)]
    {
        let faults = [Fault { call: 1, kind: FaultKind::ShortWrite(most) }];
        let (count, report) = in_world(&disk, OP, &faults, async |world: World| {
            let file = world.open("file").await.unwrap();
            file.write_at(&[7; 1536], offset).await.unwrap()
        });
        assert_eq!(count, written, "{offset} {most}");
        assert!(report.unmendable.is_empty() && report.torn.is_empty());
    }
}

#[test]
fn calls_after_the_device_was_closed_are_counted() {
    let disk = disk();
    disk.closed();
    sync(&disk);
    assert_eq!(
        disk.stray_call(),
        None,
        "harm comes of changes, and the harness may do as it likes"
    );
    let file = disk.file();
    run(&disk, &[], async { file.sync_data().await }).0.unwrap();
    assert_eq!(disk.stray_call(), None, "a second close may sync");
    run(&disk, &[], async { file.write_at(&[7; 512], 0).await }).0.unwrap();
    assert_eq!(disk.stray_call().map(|raw| (raw.call, raw.caller.op)), Some((Call::Write, OP)));
    assert_eq!(disk.stray_calls(), 1);
    disk.reopened();
    assert_eq!(disk.stray_call(), None);
}

#[test]
fn a_crash_decides_over_all_files_and_entries() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let disk = empty(promises_nothing());
        done(&disk, async |world: World| {
            for name in ["a", "b"] {
                let file = world.create(name).await.unwrap();
                file.set_len(512).await.unwrap();
            }
        });
        disk.settle();
        done(&disk, async |world: World| {
            for name in ["a", "b"] {
                let file = world.open(name).await.unwrap();
                file.write_at(&[7; 512], 0).await.unwrap();
            }
            world.create("c").await.unwrap();
        });
        disk.crash(CrashPolicy::Random(seed));
        outcomes.insert(done(&disk, async |world: World| {
            let mut first = [[0; 1]; 2];
            for (name, byte) in ["a", "b"].into_iter().zip(&mut first) {
                world.open(name).await.unwrap().read_at(byte, 0).await.unwrap();
            }
            (first, world.open("c").await.is_ok())
        }));
    }
    assert_eq!(outcomes.len(), 8, "{outcomes:?}");
}

#[test]
fn a_limit_is_at_the_start_of_a_sector_where_no_write_may_stop_inside_one() {
    let disk = empty(promises_nothing());
    let faults = [Fault { call: 1, kind: FaultKind::SizeLimit(700) }];
    in_world(&disk, OP, &faults, async |world: World| {
        let file = world.create("file").await.unwrap();
        assert_eq!(file.write_at(&[7; 2048], 0).await.unwrap(), 512);
        assert_errno(file.write_at(&[7; 1024], 512).await, Errno::FBIG);
        let other = world.create("other").await.unwrap();
        assert_eq!(other.write_at(&[7; 2048], 0).await.unwrap(), 2048, "it is of one file");
    });
}
