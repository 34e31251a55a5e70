//! What reads get, compared with what is legal: run by run of sectors of which the same is known.

use super::clause::Clause;
use super::payload::{Content, OpId};
use super::request::Evidence;
use super::sectors::Left;
use super::twin::{FINDINGS, FIRST_CONTENTS, Twin, UNSPECIFIED};
use super::version::{Leaves, Tick, Version};
use super::violation::{Finding, Violation};
use std::ops::Range;

/// Takes the contents of a run of sectors off the front of `data`.
pub(super) fn contents_of<'a>(
    run: &Range<u64>,
    sector_size: usize,
    data: &mut &'a [u8],
) -> &'a [u8] {
    let count = usize::try_from(run.end - run.start).unwrap_or(usize::MAX);
    let (bytes, rest) = data.split_at(count.saturating_mul(sector_size).min(data.len()));
    *data = rest;
    bytes
}

impl Twin {
    pub(super) fn check_read(
        &mut self,
        op: OpId,
        offset: u64,
        data: &[u8],
        evidence: &Evidence<'_>,
    ) -> Result<(), Violation> {
        let began = self.legal.times(op).began;
        let first = offset / u64::from(self.geometry.sector_size());
        let findings = self.compare(first, data, began, evidence);
        self.wrong_data(format_args!("read #{op} returned"), findings)
    }

    /// Compares what a read that began at `began` gave. Notes what it saw, and gives what is wrong.
    pub(super) fn compare(
        &mut self,
        first: u64,
        data: &[u8],
        began: Tick,
        evidence: &Evidence<'_>,
    ) -> Vec<Finding> {
        let sector_size = self.geometry.sector_size() as usize;
        self.seen.clear();
        let mut findings = Vec::new();
        let excuses_any = self.excuses_any(evidence);
        let end = first + (data.len() / sector_size) as u64;
        let (mut left, mut data) = (Left::new(first..end), data);
        while let Some((run, id)) = self.legal.next_run(&mut left) {
            let bytes = contents_of(&run, sector_size, &mut data);
            if !excuses_any
                && let Some(version) =
                    self.legal.read_run((run.clone(), id), bytes, began, self.now)
            {
                self.note(version, bytes.len() / sector_size);
                continue;
            }
            for (sector, bytes) in run.zip(bytes.chunks_exact(sector_size)) {
                self.compare_one(sector, bytes, began, evidence, &mut findings);
            }
        }
        findings
    }

    fn compare_one(
        &mut self,
        sector: u64,
        bytes: &[u8],
        began: Tick,
        evidence: &Evidence<'_>,
        findings: &mut Vec<Finding>,
    ) {
        if self.is_excused(sector, evidence) {
            return;
        }
        match self.legal.read(sector, bytes, began, self.now) {
            Some(version) => self.note(version, 1),
            None if self.waives_mixture(bytes) || self.is_mixture(sector, bytes, began) => {
                self.seen.push(UNSPECIFIED);
            }
            None if findings.len() < FINDINGS => {
                findings.push(self.finding(sector, bytes, Some(began)));
            }
            None => {}
        }
    }

    /// Whether any sector is excused.
    pub(super) fn excuses_any(&self, evidence: &Evidence<'_>) -> bool {
        !(evidence.torn.is_empty() && evidence.unmendable.is_empty() && self.misread.is_empty())
    }

    /// Whether whatever was read of the sector is not the device's fault.
    pub(super) fn is_excused(&mut self, sector: u64, evidence: &Evidence<'_>) -> bool {
        if !self.excuses_any(evidence) {
            return false;
        }
        let unreliable = self.misread.contains_key(&sector);
        let torn = [evidence.torn, evidence.unmendable].iter().any(|it| it.contains(&sector));
        let excused = unreliable || torn && self.promises.in_place;
        if excused {
            self.seen.push(UNSPECIFIED);
        }
        self.checks.count(Clause::Containment, u64::from(unreliable));
        excused
    }

    /// Whether these bytes, which a read that began at `began` gave, are a mixture of legal
    /// contents of which one was being written meanwhile: a read that overlaps a write in time may
    /// see any byte of it old or new (clause 3).
    fn is_mixture(&self, sector: u64, bytes: &[u8], began: Tick) -> bool {
        let legal = self.legal.expected(sector, Some(began));
        if legal.iter().all(|version| self.legal.times(version.op).ended < began) {
            return false;
        }
        let contents: Vec<_> =
            legal.iter().filter_map(|it| self.contents(it, sector, bytes.len())).collect();
        bytes.iter().enumerate().all(|(at, byte)| contents.iter().any(|it| it[at] == *byte))
    }

    /// Whether these bytes are a mixture of contents, and the device may leave one.
    pub(super) fn waives_mixture(&self, bytes: &[u8]) -> bool {
        self.promises.waives.sector_atomicity
            && matches!(self.identify(bytes), Content::Torn { .. } | Content::Unknown)
    }

    /// A version was seen in so many sectors, the next ones.
    pub(super) fn see(&mut self, version: Version, sectors: usize) {
        let op = match version {
            Version { leaves: Leaves::Anything, .. } => UNSPECIFIED,
            Version { op: 0, leaves: Leaves::Payload, .. } => FIRST_CONTENTS,
            Version { op, .. } => op,
        };
        self.seen.resize(self.seen.len() + sectors, op);
    }

    /// A legal version was seen in so many sectors.
    fn note(&mut self, version: Version, sectors: usize) {
        self.see(version, sectors);
        let clause = match version {
            Version { leaves: Leaves::Scribble | Leaves::Anything, .. } => Clause::Trim,
            Version { op, .. } if self.is_trim(op) => Clause::Trim,
            Version { op, .. } if !self.legal.times(op).succeeded => Clause::OldOrNew,
            _ => Clause::ReadYourWrites,
        };
        self.checks.count(clause, sectors as u64);
    }
}
