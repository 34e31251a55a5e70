//! A medium that lies: its harm is contained, and called by its name.

use super::{FileBacked, Medium, Options, Runner, Verdict, run};
use crate::disk::{Fault, FaultKind};
use crate::model::Kind;
use crate::rng::{Purpose, Rng};
use crate::scenario::{Op, Profile, Scenario, Step, generate};

/// A write, whatever `kind` does to a later call, and a read; on a medium that is accused.
fn accused(kind: FaultKind, of_read: bool, at: u64) -> Option<Kind> {
    let mut scenario = generate(1, Profile::Default);
    scenario.device.read_only = false;
    (scenario.device.sector_size, scenario.device.block_size) = (512, 512);
    (scenario.device.block_count, scenario.device.file_length) = (64, 64 * 512);
    scenario.device.heap = 1 << 16;
    let (offset, length) = (at * 512, 1024);
    let write = Step::new(Op::write(offset, length));
    let read = Step::new(Op::Read { offset, length });
    scenario.steps = vec![write.clone(), Step::new(Op::Flush), write, read];
    let whole = Step::new(Op::Read { offset: 0, length: 64 * 512 });
    scenario.steps.push(whole);
    let faulty = if of_read { 3 } else { 2 };
    scenario.steps[faulty].faults.push(Fault { call: 0, kind });
    let options = Options { report_media_errors: true, ..Options::default() };
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    assert_eq!(run(&scenario).unwrap().verdict, Verdict::Pass, "{kind:?} is not contained");
    runner.run(&scenario, options).unwrap().verdict.kind()
}

#[test]
fn what_a_lying_medium_did_is_called_by_its_name() {
    for at in 8..50 {
        let distance = 1 + i32::try_from(at).unwrap() % 6;
        for distance in [distance, -distance] {
            let write = FaultKind::MisdirectedWrite(distance);
            assert_eq!(accused(write, false, at), Some(Kind::Misdirected), "{write:?} at {at}");
        }
        assert_eq!(accused(FaultKind::LostWrite, false, at), Some(Kind::Lost), "at {at}");
        assert_eq!(accused(FaultKind::StaleRead, true, at), Some(Kind::Stale), "at {at}");
        for bit in [0, 1000, 8191] {
            let flip = FaultKind::BitFlip(bit);
            assert_eq!(accused(flip, false, at), Some(Kind::Corrupt), "{flip:?} at {at}");
        }
    }
}

/// A generated scenario in which nothing goes wrong but that one of its transfers meets `kind`.
fn only(seed: u64, kind: FaultKind) -> Option<Scenario> {
    let mut scenario = generate(seed, Profile::Default);
    let mut rng = Rng::new(seed, Purpose::Faults);
    for step in &mut scenario.steps {
        step.faults.clear();
        (step.drop_at, step.crash_at) = (None, None);
    }
    let size = scenario.device.file_length;
    let is_read = matches!(kind, FaultKind::StaleRead | FaultKind::MisdirectedRead(_));
    let meets = |step: &&mut Step| match step.op {
        Op::Read { length, .. } => is_read && length > 0,
        // With room for it elsewhere.
        Op::Write { length, .. } => !is_read && length > 0 && 2 * length + (8 << 12) < size,
        _ => false,
    };
    let mut meeting: Vec<_> = scenario.steps.iter_mut().filter(meets).collect();
    let chosen = rng.below(meeting.len().max(1) as u64);
    let step = meeting.get_mut(usize::try_from(chosen).ok()?)?;
    step.faults.push(Fault { call: 0, kind });
    Some(scenario)
}

/// Of a hundred divergences and more, how many have another name than `name`.
fn misnamed(kind: FaultKind, name: Kind) -> (u32, u32) {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let options = Options { report_media_errors: true, ..Options::default() };
    let (mut found, mut wrong) = (0, 0);
    for scenario in (0..1500).filter_map(|seed| only(seed, kind)) {
        if let Some(called) = runner.run(&scenario, options).unwrap().verdict.kind() {
            found += 1;
            wrong += u32::from(called != name);
        }
    }
    (found, wrong)
}

#[test]
fn names_are_right_in_nineteen_of_twenty_generated_scenarios() {
    for (kind, name) in [
        (FaultKind::LostWrite, Kind::Lost),
        (FaultKind::StaleRead, Kind::Stale),
        (FaultKind::MisdirectedWrite(1), Kind::Misdirected),
        (FaultKind::MisdirectedWrite(-3), Kind::Misdirected),
        (FaultKind::BitFlip(777), Kind::Corrupt),
    ] {
        let (found, wrong) = misnamed(kind, name);
        println!("{kind:?}: {found} found, {wrong} misnamed");
        assert!(found >= 50 && wrong * 20 <= found, "{kind:?}: {wrong} of {found} misnamed");
    }
}
