//! The twin after a crash: what the device turns out to hold.

use super::answer::DeviceState;
use super::clause::Clause;
use super::compare::contents_of;
use super::fate::Account;
use super::legal::Outcomes;
use super::payload::{Content, OpId};
use super::promises::Promises;
use super::request::{Evidence, Request};
use super::sectors::Left;
use super::twin::{FINDINGS, Twin, UNSPECIFIED};
use super::version::{Leaves, Tick, Version};
use super::violation::{Expected, Finding, Kind, Violation};
use crate::device::DeviceError;
use std::ops::Range;

impl Twin {
    /// The device is gone, and the machine goes on: what a close has flushed is what it holds.
    /// Where the close failed, it promised as little as a crash does.
    pub fn closed_cleanly(&mut self) {
        if !self.state.close_flushed {
            self.legal.forget_unflushed(false);
        }
    }

    /// The process died, and the machine goes on. Requests that were under way have been ended as
    /// cancelled; nothing of them, or of others that were dropped, lands any more.
    pub fn killed(&mut self) {
        let now = self.tick();
        self.legal.settle_adrift(now, now);
        let Promises { write_through, in_place, .. } = self.promises;
        // In place, what reads have shown is in the page cache, and that is as it was.
        if !(write_through && in_place) {
            self.legal.forget_unflushed(write_through);
        }
    }

    /// A sync has failed while the device was being opened, which need not fail for that.
    pub fn sync_failed_in_opening(&mut self) {
        let now = self.tick();
        self.legal.sync_failed(now);
        self.state.sync_failing = true;
    }

    /// The device is open again after a close or a kill, or opened for the first time.
    pub fn reopened(&mut self) {
        if self.state.sync_failing {
            // What was ahead of them may be lost for good, and no write could ever come after it.
            self.barriers.clear();
        }
        self.forget_opening();
    }

    /// Of the requests and answers so far nothing matters any more.
    fn forget_opening(&mut self) {
        self.in_flight.clear();
        self.turns.clear();
        self.misread.clear();
        self.state = DeviceState::default();
    }

    /// The power failed. Until [`recovered`](Self::recovered), only [`recover`](Self::recover) may
    /// be called, or this again.
    pub fn crash(&mut self) {
        let now = self.tick();
        self.legal.crash(&self.in_flight, now);
        self.forget_opening();
    }

    /// The sectors of which the crash may have left more than one content, in order. All of them
    /// have to be recovered; any others may be.
    pub fn unsettled(&self) -> Vec<u64> {
        self.legal.unsettled().into_iter().flatten().collect()
    }

    /// The sectors that may have changed since the last crash, in order, the unsettled among them.
    /// Whether what was promised of the others was kept shows only when they are recovered too.
    pub fn changed(&mut self) -> Vec<u64> {
        self.changed_runs().iter().cloned().flatten().collect()
    }

    /// As [`changed`](Self::changed), in runs.
    pub(crate) fn changed_runs(&mut self) -> &[Range<u64>] {
        self.legal.changed()
    }

    /// Runs of sectors that were ever to be changed, in order.
    pub fn touched(&self) -> Vec<Range<u64>> {
        self.legal.touched_runs()
    }

    /// With nothing under way the device reads `data` from sector `first` on.
    ///
    /// # Errors
    ///
    /// Where it must not.
    pub fn verify(
        &mut self,
        first: u64,
        data: &[u8],
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        let now = self.tick();
        self.misread(evidence.unreliable);
        let findings = self.compare(first, data, now, evidence);
        self.wrong_data(format_args!("reading back what was written gave"), findings)
    }

    /// With nothing under way the device fails to be read, and no fault explains it.
    #[cold]
    pub fn unreadable(&self, error: DeviceError) -> Violation {
        let lacks = self.state.lacks(error, None);
        let sentence = format!("reading back failed although {lacks}: {error}");
        Violation::new(Kind::SpuriousError, sentence)
    }

    /// The device is open again and reads `data` from sector `first` on.
    ///
    /// # Errors
    ///
    /// Where a crash could not have left this.
    pub fn recover(
        &mut self,
        first: u64,
        data: &[u8],
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        let sector_size = self.geometry.sector_size() as usize;
        self.misread(evidence.unreliable);
        self.seen.clear();
        let (mut findings, mut outcomes) = (Vec::new(), Outcomes::default());
        let excuses_any = self.excuses_any(evidence);
        let end = first + (data.len() / sector_size) as u64;
        let (mut left, mut data) = (Left::new(first..end), data);
        while let Some((run, id)) = self.legal.next_run(&mut left) {
            let bytes = contents_of(&run, sector_size, &mut data);
            if !excuses_any && let Some(version) = self.legal.recover_run((run.clone(), id), bytes)
            {
                self.note_recovered(run, version);
                continue;
            }
            for (sector, bytes) in run.zip(bytes.chunks_exact(sector_size)) {
                self.recover_one((sector, bytes), evidence, &mut outcomes, &mut findings);
            }
        }
        let Some(first) = findings.first() else { return Ok(()) };
        let kind = self.name(first, true);
        let Account { found, reason } = self.account(first, kind, true);
        let sentence = format!("after the crash, {found}: {first}{reason}");
        Err(Violation { kind, sentence, findings })
    }

    fn recover_one(
        &mut self,
        (sector, bytes): (u64, &[u8]),
        evidence: &Evidence<'_>,
        outcomes: &mut Outcomes,
        findings: &mut Vec<Finding>,
    ) {
        if self.is_excused(sector, evidence) {
            return self.legal.mark_unknown(sector);
        }
        match self.legal.recover(sector, bytes, outcomes) {
            Some(version) => self.note_recovered(sector..sector + 1, version),
            None if self.waives_mixture(bytes) => {
                self.legal.mark_unknown(sector);
                self.seen.push(UNSPECIFIED);
            }
            None if findings.len() < FINDINGS => {
                findings.push(self.finding(sector, bytes, None));
            }
            None => {}
        }
    }

    /// A legal version was found in these sectors.
    fn note_recovered(&mut self, run: Range<u64>, version: Version) {
        let count = run.end - run.start;
        self.see(version, usize::try_from(count).unwrap_or(usize::MAX));
        self.checks.count(Clause::Durability, count);
        // Only barriers ask for them.
        if !self.barriers.is_empty() {
            self.recovered.extend(run.map(|sector| (sector, version)));
        }
    }

    /// Why nothing older than what is legal may be there, in words.
    pub(super) fn promise(&self, finding: &Finding) -> Option<String> {
        let named = finding.expected.iter().filter_map(|expected| match *expected {
            Expected::Written(op) | Expected::Trimmed(op) => Some(op),
            Expected::Zeros | Expected::Anything(_) => None,
        });
        let completed = named.filter(|&op| self.legal.times(op).succeeded);
        let oldest = completed.min_by_key(|&op| self.legal.times(op).ended)?;
        let request = self.log[oldest as usize].request;
        if matches!(request, Request::Write { fua: true, .. }) {
            return Some(format!("; fua write #{oldest} had returned Ok"));
        }
        let covers = |sync: &OpId| self.legal.times(*sync).began > self.legal.times(oldest).ended;
        let sync = self.last_sync.filter(covers)?;
        let name = self.log[sync as usize].request.name();
        Some(format!("; #{oldest} had completed before {name} #{sync}, which returned Ok"))
    }

    /// The device is open again and cannot read this sector, which is not its fault.
    pub fn mark_unknown(&mut self, sector: u64) {
        self.legal.mark_unknown(sector);
    }

    /// All unsettled sectors have been recovered: checks that a cut of the barriers explains them
    /// together. A write that survived proves every barrier that had returned before it was made.
    ///
    /// # Errors
    ///
    /// [`Kind::OrderingViolated`].
    pub fn recovered(&mut self) -> Result<(), Violation> {
        let barriers = std::mem::take(&mut self.barriers);
        let recovered = std::mem::take(&mut self.recovered);
        let order = self.check_order(&barriers, &recovered);
        self.legal.recovered();
        order
    }

    fn check_order(
        &mut self,
        barriers: &[(Tick, Tick, OpId)],
        recovered: &[(u64, Version)],
    ) -> Result<(), Violation> {
        let named = || recovered.iter().filter(|(_, it)| it.leaves != Leaves::Anything);
        let began = |version: &Version| self.legal.times(version.op).began;
        let newest = named().max_by_key(|(_, version)| began(version));
        let Some((late, survivor)) = newest.filter(|_| !barriers.is_empty()) else {
            return Ok(());
        };
        let (late, survivor) = (*late, *survivor);
        let proven = barriers.iter().filter(|(_, returned, _)| *returned < began(&survivor));
        let Some(&(called, _, barrier)) = proven.max() else { return Ok(()) };
        self.checks.count(Clause::Ordering, 1);
        let lost: Vec<_> = named().filter(|(_, it)| self.legal.is_covered(it, called)).collect();
        let Some((sector, version)) = lost.first() else { return Ok(()) };
        let held = match version {
            Version { op: 0, .. } => self.expected(version),
            Version { op, .. } => Expected::Written(*op),
        };
        let name = self.log[survivor.op as usize].request.name();
        let sentence = format!(
            "after the crash sector {late} holds {name} #{}, issued after barrier #{barrier}, \
             but sector {sector} holds {held}, older than what had completed or been read before \
             it",
            survivor.op,
        );
        let findings = lost.iter().take(FINDINGS).map(|(sector, version)| {
            let found = match *version {
                Version { op: 0, leaves: Leaves::Zeros, .. } => Content::Zeros,
                Version { op, .. } => Content::Written { op, sector: *sector },
            };
            Finding { sector: *sector, expected: Vec::new(), found, bytes: None }
        });
        Err(Violation { kind: Kind::OrderingViolated, sentence, findings: findings.collect() })
    }
}
