//! Each kind of fault, switched on alone, finds the mistake that was made for it.
//!
//! A trial of each: the device with the mistake diverges in one of the first scenarios, in the way
//! that it should; the device without passes all of them; and so does the device with the mistake,
//! where the fault is taken out again. So it is the fault that finds it.

mod mistakes;

use blocktwin::disk::{Call, CrashPolicy, Dirty, Fault, FaultClass, FaultKind, Medium};
use blocktwin::lockstep::{Options, Runner, Verdict};
use blocktwin::model::Kind;
use blocktwin::scenario::{DropOn, Op, Profile, Scenario, Step, generate};
use libtest_mimic::{Arguments, Failed, Trial};
use mistakes::{Mistake, Mistaken};
use std::process::ExitCode;

/// A mistake has to be found in so many scenarios.
const SEEDS: u64 = 24;

/// What a mistake is found by.
#[derive(Clone, Copy)]
struct Case {
    class: FaultClass,
    mistake: Mistake,
    /// What the device may be accused of.
    found: &'static [Kind],
    options: Options,
}

/// Whatever can be wrong with contents.
const CONTENTS: &[Kind] = &[
    Kind::Stale,
    Kind::Lost,
    Kind::Misdirected,
    Kind::Torn,
    Kind::Corrupt,
    Kind::DurabilityLost,
    Kind::OrderingViolated,
    Kind::RangeEscaped,
];

/// The mistake made for each kind of fault.
const CASES: [(FaultClass, Mistake, &[Kind]); 38] = [
    (
        FaultClass::Interrupted,
        Mistake::Renames(FaultKind::Interrupted, FaultKind::Eio),
        &[Kind::SpuriousError],
    ),
    (FaultClass::ShortRead, Mistake::BelievesShortReads, CONTENTS),
    (FaultClass::ShortWrite, Mistake::BelievesShortWrites, CONTENTS),
    (FaultClass::Eio, Mistake::Swallows(Call::Write, FaultKind::Eio), &[Kind::ErrorSwallowed]),
    (
        FaultClass::Enospc,
        Mistake::Swallows(Call::Write, FaultKind::Enospc),
        &[Kind::ErrorSwallowed],
    ),
    (FaultClass::EnospcFor, Mistake::StaysFull, &[Kind::SpuriousError]),
    (
        FaultClass::Edquot,
        Mistake::Renames(FaultKind::Edquot, FaultKind::Enospc),
        &[Kind::WrongError],
    ),
    (FaultClass::Efbig, Mistake::Renames(FaultKind::Efbig, FaultKind::Eio), &[Kind::WrongError]),
    (FaultClass::WriteZero, Mistake::BelievesEmptyWrites, &[Kind::ErrorSwallowed]),
    (
        FaultClass::SyncFailedKept,
        Mistake::Swallows(Call::Sync, FaultKind::Eio),
        &[Kind::ErrorSwallowed],
    ),
    (FaultClass::SyncFailedDropped, Mistake::ForgetsFailedSync, &[Kind::PoisonIgnored]),
    (FaultClass::SyncFailedPartly, Mistake::IgnoresFailureOfBarrier, &[Kind::ErrorSwallowed]),
    (FaultClass::WritebackFailed, Mistake::SyncsAgain, &[Kind::ErrorSwallowed]),
    (FaultClass::BitFlip, Mistake::WritesInPairs, CONTENTS),
    (FaultClass::LostWrite, Mistake::WritesInPairs, CONTENTS),
    (FaultClass::MisdirectedWrite, Mistake::WritesInPairs, CONTENTS),
    (FaultClass::MisdirectedRead, Mistake::WritesInPairs, CONTENTS),
    (FaultClass::StaleRead, Mistake::WritesInPairs, CONTENTS),
    (
        FaultClass::LatentSector,
        Mistake::Swallows(Call::Read, FaultKind::LatentSector(0)),
        // Where it is reading back that meets it, the contents tell.
        &[
            Kind::ErrorSwallowed,
            Kind::Lost,
            Kind::Stale,
            Kind::DurabilityLost,
            Kind::OrderingViolated,
        ],
    ),
    (FaultClass::Latency, Mistake::AssumesSlowWritesDone, CONTENTS),
    (FaultClass::LateReturn, Mistake::GivesUpSlowWrites, &[Kind::SpuriousError]),
    (FaultClass::Dropped, Mistake::JoinsFlushes, CONTENTS),
    (FaultClass::DroppedUnpolled, Mistake::JoinsFlushesThatAreMade, CONTENTS),
    (FaultClass::DroppedAwake, Mistake::JoinsFlushes, CONTENTS),
    (FaultClass::Crash, Mistake::NeverFlushes, CONTENTS),
    (FaultClass::CrashInOpen, Mistake::TriesOutFirstBlock, CONTENTS),
    (FaultClass::Kill, Mistake::SyncsOwnWritesOnly, CONTENTS),
    (FaultClass::EnospcStays, Mistake::WaitsForSpace, &[Kind::Hang]),
    (FaultClass::WriteZeroStays, Mistake::RetriesEmptyWrites, &[Kind::Hang]),
    (FaultClass::TornRead, Mistake::TakesSectorsForWhole, &[Kind::SpuriousError]),
    (
        FaultClass::EioLanded,
        Mistake::Swallows(Call::Write, FaultKind::EioLanded(0)),
        &[Kind::ErrorSwallowed],
    ),
    (
        FaultClass::EioStays,
        Mistake::Swallows(Call::Read, FaultKind::EioStays),
        &[Kind::ErrorSwallowed],
    ),
    (
        FaultClass::ReadOnlyStays,
        Mistake::Renames(FaultKind::ReadOnlyStays, FaultKind::Eio),
        &[Kind::WrongError],
    ),
    (FaultClass::Again, Mistake::Swallows(Call::Write, FaultKind::Again), CONTENTS),
    (
        FaultClass::PunchUnsupported,
        Mistake::Renames(FaultKind::PunchUnsupported, FaultKind::Eio),
        &[Kind::WrongError],
    ),
    (
        FaultClass::SyncEnospc,
        Mistake::Swallows(Call::Sync, FaultKind::Enospc),
        &[Kind::ErrorSwallowed],
    ),
    (
        FaultClass::SyncEdquot,
        Mistake::Renames(FaultKind::Edquot, FaultKind::Eio),
        &[Kind::WrongError],
    ),
    (
        FaultClass::SizeLimit,
        Mistake::Renames(FaultKind::Efbig, FaultKind::Eio),
        &[Kind::WrongError],
    ),
];

/// Lies of the medium that a device is held to, if that is asked for.
const ACCUSED: [(FaultClass, &[Kind]); 5] = [
    (FaultClass::BitFlip, &[Kind::Corrupt]),
    (
        FaultClass::LostWrite,
        &[Kind::Lost, Kind::Stale, Kind::DurabilityLost, Kind::OrderingViolated],
    ),
    (FaultClass::MisdirectedWrite, CONTENTS),
    (FaultClass::MisdirectedRead, CONTENTS),
    (FaultClass::StaleRead, &[Kind::Lost, Kind::Stale]),
];

/// The kind of a class that every third operation meets; none for what happens from outside.
fn kind_of(class: FaultClass) -> Option<FaultKind> {
    Some(match class {
        FaultClass::Interrupted => FaultKind::Interrupted,
        FaultClass::ShortRead => FaultKind::ShortRead(100),
        FaultClass::ShortWrite => FaultKind::ShortWrite(100),
        FaultClass::Eio => FaultKind::Eio,
        FaultClass::Enospc => FaultKind::Enospc,
        FaultClass::EnospcFor => FaultKind::EnospcFor(1),
        FaultClass::EnospcStays => FaultKind::EnospcStays,
        FaultClass::WriteZeroStays => FaultKind::WriteZeroStays,
        FaultClass::TornRead => FaultKind::TornRead(100),
        FaultClass::Edquot => FaultKind::Edquot,
        FaultClass::Efbig => FaultKind::Efbig,
        FaultClass::WriteZero => FaultKind::WriteZero,
        FaultClass::SyncFailedKept => FaultKind::SyncFailed(Dirty::Kept),
        FaultClass::SyncFailedDropped => FaultKind::SyncFailed(Dirty::Dropped),
        FaultClass::SyncFailedPartly => FaultKind::SyncFailed(Dirty::Partly(1)),
        FaultClass::WritebackFailed => FaultKind::WritebackFailed,
        FaultClass::BitFlip => FaultKind::BitFlip(3),
        FaultClass::LostWrite => FaultKind::LostWrite,
        FaultClass::MisdirectedWrite => FaultKind::MisdirectedWrite(1),
        FaultClass::MisdirectedRead => FaultKind::MisdirectedRead(1),
        FaultClass::StaleRead => FaultKind::StaleRead,
        FaultClass::LatentSector => FaultKind::LatentSector(0),
        FaultClass::Latency => FaultKind::Latency(6),
        FaultClass::LateReturn => FaultKind::LateReturn(6),
        FaultClass::EioLanded => FaultKind::EioLanded(5),
        FaultClass::EioStays => FaultKind::EioStays,
        FaultClass::ReadOnlyStays => FaultKind::ReadOnlyStays,
        FaultClass::Again => FaultKind::Again,
        FaultClass::PunchUnsupported => FaultKind::PunchUnsupported,
        FaultClass::SyncEnospc => FaultKind::SyncEnospc(Dirty::Dropped),
        FaultClass::SyncEdquot => FaultKind::SyncEdquot(Dirty::Kept),
        FaultClass::SizeLimit => FaultKind::SizeLimit(100),
        FaultClass::Dropped
        | FaultClass::DroppedUnpolled
        | FaultClass::DroppedAwake
        | FaultClass::Crash
        | FaultClass::CrashInOpen
        | FaultClass::Kill => return None,
    })
}

/// The scenario without faults, drops and crashes but for those of the class, if any, which every
/// third operation meets in its first two calls. Of one client, as it is to be found out whether
/// the fault is found, and not a race; but a read is torn only by another client.
fn only(class: Option<FaultClass>, races: bool, mut scenario: Scenario) -> Scenario {
    for (index, step) in (0_u32..).zip(&mut scenario.steps) {
        if !races {
            step.client = 0;
        }
        (step.drop_at, step.drop_on, step.crash_at) = (None, DropOn::Suspension, None);
        if step.op == Op::Crash(CrashPolicy::Kill) && class != Some(FaultClass::Kill) {
            step.op = Op::Crash(CrashPolicy::All);
        }
        step.faults.retain(|fault| Some(fault.kind.class()) == class);
        if let Some(class) = class.filter(|_| index % 3 == 0) {
            disturb(class, step, index / 3);
        }
    }
    scenario
}

/// Has a step meet faults of a class, or what else it stands for; differently from turn to turn.
fn disturb(class: FaultClass, step: &mut Step, turn: u32) {
    if let Some(kind) = kind_of(class).filter(|_| step.faults.is_empty()) {
        step.faults = (0..2).map(|call| Fault { call, kind }).collect();
    }
    let suspensions = 1 + turn % 5;
    match class {
        FaultClass::Dropped => step.drop_at = Some(suspensions),
        FaultClass::DroppedUnpolled => (step.drop_at, step.drop_on) = (Some(0), DropOn::NextPoll),
        FaultClass::DroppedAwake => {
            (step.drop_at, step.drop_on) = (Some(suspensions), DropOn::NextPoll);
        }
        FaultClass::Crash if !matches!(step.op, Op::Reopen | Op::Crash(_)) => {
            step.crash_at = Some((suspensions, CrashPolicy::Random(turn.into())));
        }
        FaultClass::Kill => step.crash_at = Some((suspensions, CrashPolicy::Kill)),
        FaultClass::CrashInOpen => {
            step.op = Op::Reopen;
            step.crash_at = Some((suspensions, CrashPolicy::All));
        }
        _ => {}
    }
}

/// What the device with a mistake is accused of in the scenario of a seed.
fn verdict(mistake: Mistake, class: Option<FaultClass>, seed: u64, options: Options) -> Verdict {
    let races = mistake == Mistake::TakesSectorsForWhole;
    let scenario = only(class, races, generate(seed, Profile::Default));
    let mut runner = Runner::new(Mistaken(mistake), Medium::Memory);
    runner.run(&scenario, options).expect("memory has room").verdict
}

fn check(case: Case) -> Result<(), Failed> {
    let Case { class, mistake, found, options } = case;
    let mut finds = 0;
    for seed in 0..SEEDS {
        let healthy = verdict(Mistake::None, Some(class), seed, Options::default());
        if healthy != Verdict::Pass {
            return Err(format!("seed {seed} accuses the healthy device: {healthy:?}").into());
        }
        // Every run ends with a crash, so this one cannot be taken out.
        let quiet = verdict(mistake, None, seed, options);
        if quiet != Verdict::Pass && class != FaultClass::Crash {
            return Err(format!("seed {seed} needs no fault: {quiet:?}").into());
        }
        // A hang takes all the steps that a run may take, so one is enough.
        if finds > 0 && found.contains(&Kind::Hang) {
            continue;
        }
        match verdict(mistake, Some(class), seed, options) {
            Verdict::Pass => {}
            verdict if verdict.kind().is_some_and(|kind| found.contains(&kind)) => finds += 1,
            verdict => return Err(format!("seed {seed} finds something else: {verdict:?}").into()),
        }
    }
    if finds == 0 { Err("not found".into()) } else { Ok(()) }
}

/// Every class has a case.
fn every_class() -> Result<(), Failed> {
    let has_case = |class: &FaultClass| CASES.iter().any(|(of, ..)| of == class);
    let missing = FaultClass::ALL.into_iter().find(|class| !has_case(class));
    missing.map_or(Ok(()), |class| Err(format!("{} has no case", class.name()).into()))
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("every_class_has_a_case", every_class)];
    trials.extend(CASES.map(|(class, mistake, found)| {
        let case = Case { class, mistake, found, options: Options::default() };
        Trial::test(format!("alone::{}", class.name()), move || check(case))
    }));
    trials.extend(ACCUSED.map(|(class, found)| {
        let options = Options { report_media_errors: true, ..Options::default() };
        let case = Case { class, mistake: Mistake::None, found, options };
        Trial::test(format!("accused::{}", class.name()), move || check(case))
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}
