//! What a device does beside its requests: tasks, threads, panics.

use super::*;
use crate::device::{
    BufferFuture, BufferRef, Device, DeviceError, FileBackedDevice, Geometry, MutableBufferRef,
    TrimMode, WriteOptions,
};
use crate::disk::{CrashPolicy, SimFile, World};
use crate::exec::JoinHandle;
use crate::file::BackingFile;
use crate::lockstep::{Check, Vacuity};
use crate::model::Promises;
use crate::scenario::{Accepts, Op, Step, decode};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// What a device does in a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Nothing but to flush.
    Nothing,
    /// Waits for something that never comes.
    WaitsForNothing,
    /// Waits for a task that waits for something that never comes.
    WaitsForTask,
    /// Waits for a thread.
    WaitsForThread,
    /// Has a task that panics.
    PanicsInTask,
    /// Panics as tokio does where it has no runtime.
    PanicsForReactor,
    /// Leaves a task behind that does nothing.
    LeavesTask,
    /// Leaves a task behind that writes.
    LeavesWriter,
}

/// The device, and what it promises.
struct Odd(Does, Promises);

struct OddDevice {
    inner: FileBackedDevice<SimFile>,
    world: World,
    does: Does,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Subject for Odd {
    type Device = OddDevice;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<OddDevice, DeviceError> {
        let inner = FileBacked.open(world, spec).await?;
        Ok(OddDevice { inner, world: world.clone(), does: self.0, tasks: Mutex::default() })
    }

    fn promises(&self) -> Promises {
        self.1
    }

    fn accepts(&self) -> Accepts {
        FileBacked.accepts()
    }
}

impl OddDevice {
    fn spawn(&self, name: &str, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap().push(self.world.spawn(name, future));
    }

    async fn act(&self) {
        let world = self.world.clone();
        match self.does {
            Does::Nothing => {}
            Does::WaitsForNothing => std::future::pending().await,
            Does::WaitsForTask => {
                let waits = world.spawn("worker", std::future::pending::<()>());
                let _ = waits.await;
            }
            #[expect(clippy::disallowed_methods, reason = "what must not be done")]
            Does::WaitsForThread => {
                let (sender, receiver) = futures::channel::oneshot::channel();
                let thread = std::thread::spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    let _ = sender.send(());
                });
                let _ = receiver.await;
                let _ = thread.join();
            }
            Does::PanicsInTask => {
                self.spawn("worker", async { panic!("out of cheese") });
                world.sleep(10).await;
            }
            Does::PanicsForReactor => panic!("there is no reactor running, must be called from"),
            Does::LeavesTask => self.spawn("idler", std::future::pending()),
            Does::LeavesWriter => {
                let file = self.inner.file().clone();
                self.spawn("writer", async move {
                    loop {
                        world.sleep(3).await;
                        let mut byte = [0; 512];
                        let _ = file.read_at(&mut byte, 0).await;
                        let _ = file.write_at(&byte, 0).await;
                    }
                });
            }
        }
    }
}

impl Device for OddDevice {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Result<(), DeviceError> {
        self.inner.read(offset, buffer).await
    }

    async fn write(
        &self,
        offset: u64,
        buffer: BufferRef<'_>,
        options: WriteOptions,
    ) -> Result<(), DeviceError> {
        self.inner.write(offset, buffer, options).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.act().await;
        self.inner.flush().await
    }

    async fn barrier(&self) -> Result<(), DeviceError> {
        self.inner.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.inner.trim(offset, length).await
    }

    async fn close(&self) -> Result<(), DeviceError> {
        self.inner.close().await
    }
}

/// The report of a flush and a clean reopening.
fn report(does: Does, promises: Promises) -> Report {
    let mut scenario = decode(&[]);
    scenario.device.block_count = 4;
    scenario.device.file_length = 4 * u64::from(scenario.device.block_size);
    scenario.steps = [Op::Flush, Op::Reopen].map(Step::new).into();
    let mut runner = Runner::new(Odd(does, promises), Medium::Memory);
    quietly(|| runner.run(&scenario, Options::default())).unwrap()
}

/// The kind and the sentence of a divergence.
#[track_caller]
fn says(does: Does) -> (Kind, String) {
    match report(does, Promises::none().clean_close()).verdict {
        Verdict::Pass => panic!("{does:?} passed"),
        Verdict::Diverged(it) => (it.violation.kind, it.violation.sentence),
    }
}

#[track_caller]
fn assert_says(does: Does, kind: Kind, parts: &[&str]) {
    let (found, sentence) = says(does);
    assert_eq!(found, kind, "{sentence}");
    for part in parts {
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn a_deadlock_says_who_waits_for_what() {
    let outside = "use World::spawn and World::sleep";
    assert_says(Does::WaitsForNothing, Kind::Hang, &["client 0 waits for flush #1", outside]);
    assert_says(Does::WaitsForTask, Kind::Hang, &["task \"worker\" waits"]);
}

#[test]
fn a_thread_cannot_wake_the_simulation() {
    let (kind, sentence) = says(Does::WaitsForThread);
    assert_eq!(kind, Kind::Hang);
    assert!(sentence.contains("real thread"), "{sentence}");
}

#[test]
fn a_panic_says_where_and_in_which_task() {
    let here = "out of cheese, at src/lockstep/tests/tasks.rs:";
    assert_says(Does::PanicsInTask, Kind::Panic, &["in task \"worker\"", here]);
    assert_says(Does::PanicsForReactor, Kind::Panic, &["no reactor", "use World::spawn"]);
}

#[test]
fn what_outlives_a_close_is_named_where_that_was_promised_not_to_be() {
    assert_says(Does::LeavesTask, Kind::OutlivesClose, &["\"idler\""]);
    let (kind, sentence) = says(Does::LeavesWriter);
    assert_eq!(kind, Kind::OutlivesClose);
    assert!(sentence.contains("\"writer\""), "{sentence}");
}

#[test]
fn what_outlives_a_close_is_counted_everywhere_else() {
    for does in [Does::LeavesTask, Does::LeavesWriter] {
        let report = report(does, Promises::none());
        assert_eq!(report.verdict, Verdict::Pass, "{does:?}");
        assert!(report.stats.tasks_after_close > 0, "{does:?}");
    }
    let clean = report(Does::Nothing, Promises::none().clean_close());
    assert_eq!(clean.verdict, Verdict::Pass);
    assert_eq!((clean.stats.tasks_after_close, clean.stats.stray_calls), (0, 0));
}

#[test]
fn tasks_die_when_the_power_fails() {
    let mut scenario = decode(&[]);
    scenario.steps = [Op::Flush, Op::Crash(CrashPolicy::None), Op::Reopen].map(Step::new).into();
    let subject = Odd(Does::Nothing, Promises::none().clean_close());
    let report = Runner::new(subject, Medium::Memory).run(&scenario, Options::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Pass);
}

/// A file that is not of the world.
#[derive(Clone, Default)]
struct Elsewhere(Arc<Mutex<Vec<u8>>>);

impl BackingFile for Elsewhere {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    async fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        let (mut bytes, start) = (self.0.lock().unwrap(), usize::try_from(offset).unwrap());
        let end = bytes.len().max(start + data.len());
        bytes.resize(end, 0);
        bytes[start..start + data.len()].copy_from_slice(data);
        Ok(data.len())
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    async fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    async fn punch_hole(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A device that never touches its world.
#[derive(Default)]
struct Nowhere(Elsewhere);

impl Subject for Nowhere {
    type Device = FileBackedDevice<Elsewhere>;

    async fn create(&self, _: &World, _: &DeviceSpec) -> Result<(), DeviceError> {
        self.0.0.lock().unwrap().clear();
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let options = spec.options().trim(TrimMode::Ignore);
        let options = options.block_count(spec.block_count).allocator(world.heap());
        FileBackedDevice::with_options(self.0.clone(), options).await
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=64)
    }
}

#[test]
fn a_check_of_a_device_that_is_elsewhere_fails() {
    let check = || Check::new(Nowhere::default()).seeds(0..20).run();
    let panic = catch_unwind(AssertUnwindSafe(|| quietly(check))).expect_err("it should fail");
    let says = panic.downcast::<String>().expect("a text");
    assert!(says.starts_with("nothing was tested: the device made no raw call"), "{says}");
}

#[test]
fn a_device_that_never_touches_its_world_passes_nothing() {
    let stats = Stats { scenarios: 1, ops: 5, ..Stats::default() };
    assert_eq!(Vacuity::of(&stats), Some(Vacuity::NoRawCall));
    let stats = Stats { calls: 1, changes: 1, crashes: 100, ..stats };
    assert_eq!(Vacuity::of(&stats), Some(Vacuity::NothingToLose));
    assert_eq!(Vacuity::of(&Stats { unsynced_crashes: 1, ..stats.clone() }), None);
    assert_eq!(Vacuity::of(&Stats { changes: 0, ..stats }), None, "a device that is only read");
    assert_eq!(Vacuity::of(&Stats::default()), Some(Vacuity::NoScenario));
}
