//! The model device against the twin: both get the same scenario, and what the device answers and
//! leaves has to be legal. Its own failures are the only causes of errors.
//!
//! `lockstep::tests::model_device` has the same device as a subject of the runner. Here failed
//! syncs are among the failures, and futures outlive the power failure that cut them off.

use super::driver::run;
use super::mistakes::Mistake;
use super::*;
use crate::disk::{CrashPolicy, Dirty, FaultKind};
use crate::model::{Kind, Request};
use crate::scenario::{Accepts, Profile, Scenario, Step, generate_for};
use std::ops::{AddAssign, Range};

/// What the runs did, so that a pass says something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) scenarios: u64,
    pub(super) requests: u64,
    pub(super) dropped: u64,
    /// Power failures, those with something to lose, and those with other requests in flight.
    pub(super) crashes: u64,
    pub(super) lossy: u64,
    pub(super) in_flight: u64,
    /// Futures that were polled after the power had failed.
    pub(super) outlived: u64,
    pub(super) reopened: u64,
    /// Failures that were met: of a read, write, trim or sync.
    pub(super) failed: [u64; 4],
    /// Blocks read back.
    pub(super) read_back: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.scenarios += more.scenarios;
        self.requests += more.requests;
        self.dropped += more.dropped;
        self.crashes += more.crashes;
        self.lossy += more.lossy;
        self.in_flight += more.in_flight;
        self.outlived += more.outlived;
        self.reopened += more.reopened;
        self.failed.iter_mut().zip(more.failed).for_each(|(one, more)| *one += more);
        self.read_back += more.read_back;
    }
}

/// The failure that the scenario has in mind for this request.
pub(super) fn failure_of(step: &Step, request: Request) -> Option<Failure> {
    let of = |kind: FaultKind| match (kind, request) {
        (FaultKind::SyncFailed(Dirty::Kept), _) => Some(Failure::SyncKept),
        (FaultKind::SyncFailed(Dirty::Partly(seed)), _) => Some(Failure::SyncPartly(seed)),
        (FaultKind::SyncFailed(_) | FaultKind::WritebackFailed, _) => Some(Failure::SyncDropped),
        (kind, Request::Read { .. }) => kind.errno().map(Failure::Read),
        (kind, Request::Write { .. }) => kind.errno().map(Failure::Write),
        (kind, Request::Trim { .. }) => kind.errno().map(Failure::Trim),
        _ => None,
    };
    step.faults.iter().find_map(|fault| of(fault.kind))
}

/// The same policy, without damage that is beyond the contract.
pub(super) fn keep(policy: CrashPolicy) -> Keep {
    match policy.within_contract() {
        CrashPolicy::All => Keep::All,
        CrashPolicy::None => Keep::None,
        CrashPolicy::Runs(seed) => Keep::Runs(seed),
        CrashPolicy::NewestKept => Keep::NewestKept,
        CrashPolicy::NewestLost => Keep::NewestLost,
        CrashPolicy::OneKept(seed) => Keep::OneKept(seed),
        CrashPolicy::OneLost(seed) => Keep::OneLost(seed),
        CrashPolicy::Mask(mask) => Keep::Mask(mask),
        other => Keep::Random(other.code().1),
    }
}

/// The scenarios of these seeds, of every profile.
fn scenarios(seeds: Range<u64>) -> impl Iterator<Item = Scenario> {
    let accepts = Accepts::anything().read_only(false);
    let of = move |seed| Profile::ALL.map(|profile| generate_for(seed, profile, &accepts));
    seeds.flat_map(of)
}

/// What the run of a scenario found, if something.
fn kind_of(scenario: &Scenario, mistake: Mistake) -> Option<Kind> {
    run(scenario, Weak::ALL, mistake).err().map(|violation| violation.kind)
}

/// Runs the scenarios of these seeds, which all have to pass.
fn all_pass(seeds: Range<u64>, weak: Weak) -> Tally {
    let mut tally = Tally::default();
    for scenario in scenarios(seeds) {
        match run(&scenario, weak, Mistake::None) {
            Ok(more) => tally += more,
            Err(violation) => panic!("seed {:?}: {violation:?}\n{scenario:?}", scenario.seed),
        }
    }
    tally
}

#[test]
fn the_model_device_agrees_with_its_twin() {
    let seeds = std::env::var("BLOCKTWIN_SCENARIOS").ok().and_then(|it| it.parse().ok());
    let tally = all_pass(0..seeds.unwrap_or(200), Weak::ALL);
    println!("{tally:?}");
    // A check that cannot fail is none.
    let Tally { dropped, lossy, in_flight, outlived, reopened, read_back, .. } = tally;
    let counts = [dropped, lossy, in_flight, outlived, reopened, read_back];
    assert!(counts.iter().chain(&tally.failed).all(|&count| count > 10), "{tally:?}");
}

#[test]
fn a_device_without_weak_forms_does_too() {
    all_pass(0..50, Weak::NONE);
}

#[test]
fn a_device_that_is_weaker_than_the_contract_is_found() {
    for (mistake, kind) in Mistake::ALL {
        // Some mistakes show in several ways.
        let mut found = scenarios(0..250).filter_map(|scenario| kind_of(&scenario, mistake));
        assert!(found.any(|it| it == kind), "{mistake:?}");
    }
}
