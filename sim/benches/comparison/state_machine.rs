//! A state machine of `proptest`, as a careful engineer would write one for these devices.
//!
//! Operations come one after another, on a disk whose calls can be made short or fail and whose
//! power can fail between two operations. That disk is lent to it: the simulated one.
//!
//! The reference state knows the device only. It is applied twice to every transition, and cannot
//! see answers; so what a sector may hold, which depends on them, is kept with the device under
//! test. That makes the checks sharper than a reference that has to allow for every answer.

mod contents;
mod steps;

use crate::stand::{Hunt, Machine, Under, fitted, trim_effect};
use blocktwin::device::{Device, DeviceError, DynDevice, WriteOptions};
use blocktwin::disk::{CallReport, CrashPolicy, Fault};
use blocktwin::lockstep::Subject;
use blocktwin::model::TrimEffect;
use blocktwin::scenario::DeviceSpec;
use contents::{Content, Contents};
use proptest::strategy::{BoxedStrategy, Strategy};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use std::cell::RefCell;
use std::mem::discriminant;
use std::rc::Rc;
use steps::{Op, Step};

/// Transitions in a case.
const CASE: std::ops::RangeInclusive<usize> = 10..=90;

thread_local! {
    /// The traits have static functions only, so the device has to come from outside.
    static UNDER: RefCell<Rc<Under>> = RefCell::new(Rc::new(Under::Real));
}

/// What is wrong with the device, if that is found in time.
pub(crate) fn hunt(hunt: &Hunt) -> Option<String> {
    UNDER.set(Rc::new(hunt.under()));
    // Shrinking comes after the finding, which is what counts here: there is none, and so nobody
    // to tell how many transitions were seen.
    let config = Config {
        cases: u32::MAX,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&hunt.seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config.clone(), rng);
    let strategy = Reference::sequential_strategy(CASE);
    let ended = runner.run(&strategy, |(state, steps, _)| {
        DeviceTest::test_sequential(config.clone(), state, steps, None);
        if hunt.is_over() { Err(TestCaseError::fail(OVER)) } else { Ok(()) }
    });
    match ended {
        Err(TestError::Fail(reason, _)) if reason.message() == OVER => None,
        ended => ended.err().map(|error| error.to_string()),
    }
}

const OVER: &str = "the time is over";

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = DeviceSpec;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<DeviceSpec> {
        let accepts = UNDER.with_borrow(|under| under.accepts());
        steps::specs().prop_map(move |spec| fitted(&accepts, spec)).boxed()
    }

    fn transitions(spec: &DeviceSpec) -> BoxedStrategy<Step> {
        steps::steps(spec)
    }

    fn apply(spec: DeviceSpec, _: &Step) -> DeviceSpec {
        spec
    }
}

/// The device under test, and what it may answer.
struct DeviceTest {
    under: Rc<Under>,
    spec: DeviceSpec,
    machine: Machine,
    device: Rc<DynDevice>,
    contents: Contents,
    /// A sync has failed since the device was opened.
    poisoned: bool,
    writes: u64,
}

impl StateMachineTest for DeviceTest {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(spec: &DeviceSpec) -> Self {
        let (spec, under) = (*spec, UNDER.with_borrow(Rc::clone));
        let geometry = spec.geometry().expect("a valid geometry");
        let machine = Machine::new(&*under, &spec);
        let device = Rc::new(machine.open(&*under, &spec));
        let contents = Contents::new(geometry);
        Self { under, spec, machine, device, contents, poisoned: false, writes: 0 }
    }

    fn apply(mut test: Self, _: &DeviceSpec, Step { op, faults }: Step) -> Self {
        match op {
            Op::Read { offset, length } => test.read(offset, length, &faults),
            Op::Write { offset, length, fua } => test.write(offset, length, fua, &faults),
            Op::Trim { offset, length } => test.trim(offset, length, &faults),
            Op::Flush => test.flush(&faults),
            Op::Barrier => test.barrier(&faults),
            Op::Reopen => test.reopen(&faults),
            Op::Crash(survivors) => test.crash(survivors),
        }
        test
    }

    fn teardown(mut test: Self, _: DeviceSpec) {
        test.read_back(Contents::read);
        test.crash(CrashPolicy::None);
    }
}

type Answer = Result<(), DeviceError>;

impl DeviceTest {
    /// Runs one operation to its end, on a disk that fails so. Faults are of the operation's own
    /// raw calls, so a device that makes calls in other ways meets none.
    fn disturbed(
        &self,
        faults: &[Fault],
        operation: impl Future<Output = Answer>,
    ) -> (Answer, CallReport) {
        let Machine { disk, .. } = &self.machine;
        disk.begin(1, if self.under.promises().own_calls { faults } else { &[] });
        let answer = self.machine.finish(disk.attribute(1, operation));
        (answer, disk.end(1, false))
    }

    /// Why the device has to refuse a request.
    fn refusals(&self, span: Option<(u64, u64)>, is_change: bool) -> Vec<DeviceError> {
        let (offset, length) = span.unwrap_or((0, 0));
        let bad = self.device.geometry().check(offset, length).err();
        let read_only = (is_change && self.spec.read_only).then_some(DeviceError::ReadOnly);
        let reads = span.is_some() && !is_change;
        let poisoned = (self.poisoned && !reads).then_some(DeviceError::SyncFailed);
        [bad, read_only, poisoned].into_iter().flatten().collect()
    }

    /// The device has to refuse what it has to, and else to fail just where its file has failed.
    fn judge(answer: Answer, refusals: &[DeviceError], report: &CallReport) {
        assert_eq!(report.escaped, None, "reached beyond its range");
        let failed = report.met.iter().filter_map(|fault| fault.kind.surfaces());
        let failed: Vec<_> = failed.collect();
        match answer {
            Ok(()) => {
                assert!(refusals.is_empty(), "Ok where this was due: {refusals:?}");
                assert!(failed.is_empty(), "Ok although the file failed: {failed:?}");
            }
            Err(error) => {
                let is_due = refusals.iter().any(|due| discriminant(due) == discriminant(&error));
                let is_due = is_due || failed.contains(&error);
                assert!(is_due, "{error} without cause");
            }
        }
    }

    /// What a failed sync, or a write that was cut off inside a sector, means for the contents.
    fn settle(&mut self, report: &CallReport) {
        if report.met.iter().any(|fault| fault.kind.fails_sync()) {
            self.poisoned = true;
            self.contents.doubt();
        }
        let size = u64::from(self.spec.sector_size);
        for sector in &report.torn {
            let range = sector * size..(sector + 1) * size;
            self.contents.changed(&range, Content::Anything, Err(DeviceError::SyncFailed));
        }
    }

    fn read(&mut self, offset: u64, length: u64, faults: &[Fault]) {
        let device = Rc::clone(&self.device);
        let mut buffer = self.machine.buffer(&device, length);
        let (answer, report) = self.disturbed(faults, device.read(offset, buffer.as_mut()));
        Self::judge(answer, &self.refusals(Some((offset, length)), false), &report);
        if answer.is_ok() {
            self.contents.read(offset, buffer.as_slice());
        }
    }

    fn write(&mut self, offset: u64, length: u64, fua: bool, faults: &[Fault]) {
        let device = Rc::clone(&self.device);
        let mut buffer = self.machine.buffer(&device, length);
        self.writes += 1;
        let content = Content::Written(self.writes);
        let size = self.spec.sector_size as usize;
        let sectors = buffer.as_mut_slice().chunks_mut(size);
        (offset / size as u64..).zip(sectors).for_each(|(at, bytes)| content.fill(at, bytes));
        let writing = device.write(offset, buffer.as_ref(), WriteOptions { fua });
        let (answer, report) = self.disturbed(faults, writing);
        let refusals = self.refusals(Some((offset, length)), true);
        Self::judge(answer, &refusals, &report);
        if refusals.is_empty() {
            let range = offset..offset + length;
            match answer {
                Ok(()) if fua => self.contents.durable(&range, content),
                _ => self.contents.changed(&range, content, answer),
            }
        }
        self.settle(&report);
    }

    fn trim(&mut self, offset: u64, length: u64, faults: &[Fault]) {
        let device = Rc::clone(&self.device);
        let (answer, report) = self.disturbed(faults, device.trim(offset, length));
        let refusals = self.refusals(Some((offset, length)), true);
        Self::judge(answer, &refusals, &report);
        let content = match (trim_effect(&*self.under, &self.spec), answer) {
            (TrimEffect::Nothing, Ok(())) => None,
            (TrimEffect::Scribble, Ok(())) => Some(Content::Scribble),
            (TrimEffect::Zeros, Ok(())) => Some(Content::Zeros),
            _ => Some(Content::Anything),
        };
        if let Some(content) = content.filter(|_| refusals.is_empty()) {
            self.contents.changed(&(offset..offset + length), content, answer);
        }
        self.settle(&report);
    }

    fn flush(&mut self, faults: &[Fault]) {
        let device = Rc::clone(&self.device);
        let (answer, report) = self.disturbed(faults, device.flush());
        Self::judge(answer, &self.refusals(None, false), &report);
        if answer.is_ok() {
            self.contents.flushed();
        }
        self.settle(&report);
    }

    fn barrier(&mut self, faults: &[Fault]) {
        let device = Rc::clone(&self.device);
        let (answer, report) = self.disturbed(faults, device.barrier());
        Self::judge(answer, &self.refusals(None, false), &report);
        if answer.is_ok() {
            self.contents.barrier();
        }
        self.settle(&report);
    }

    fn reopen(&mut self, faults: &[Fault]) {
        let device = Rc::clone(&self.device);
        let (closed, report) = self.disturbed(faults, device.close());
        Self::judge(closed, &self.refusals(None, false), &report);
        self.settle(&report);
        match closed {
            Ok(()) => {
                assert_eq!(self.machine.finish(device.close()), Ok(()), "a second close");
                assert_eq!(
                    self.machine.finish(device.flush()),
                    Err(DeviceError::Closed),
                    "after close"
                );
                self.contents.flushed();
            }
            Err(_) => {
                self.contents.doubt();
                self.contents.reopened_in_doubt();
            }
        }
        self.open_again();
        self.read_back(Contents::read);
    }

    fn crash(&mut self, survivors: CrashPolicy) {
        self.machine.crash(survivors);
        self.open_again();
        self.read_back(Contents::recover);
        self.contents.recovered();
    }

    fn open_again(&mut self) {
        self.device = Rc::new(self.machine.open(&*self.under, &self.spec));
        self.poisoned = false;
    }

    fn read_back(&mut self, check: fn(&mut Contents, u64, &[u8])) {
        let block = u64::from(self.spec.block_size);
        let longest = steps::longest(&self.spec);
        for run in self.contents.runs() {
            for first in run.clone().step_by(longest as usize) {
                let length = (run.end - first).min(longest.into()) * block;
                let mut buffer = self.machine.buffer(&self.device, length);
                self.machine
                    .finish(self.device.read(first * block, buffer.as_mut()))
                    .expect("reads");
                check(&mut self.contents, first * block, buffer.as_slice());
            }
        }
    }
}
