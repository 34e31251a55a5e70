//! What to call a sector that holds what it must not.

use super::difference::Difference;
use super::fate::Account;
use super::payload::{self, Content, OpId, PATTERN};
use super::request::{Data, Request};
use super::twin::{Entry, Twin};
use super::version::{FIRST, Leaves, Tick, Version};
use super::violation::{Expected, Finding, Kind, Violation};
use std::fmt;

/// So many writes are looked at to tell of what a sector is made.
const WRITERS: usize = 32;

impl Twin {
    /// What the bytes of a sector are, in this run. The pattern is that of the write that was to
    /// write it there last.
    pub fn identify(&self, sector_bytes: &[u8]) -> Content {
        match payload::identify(sector_bytes, self.salt) {
            Content::Written { op: PATTERN, sector } => {
                let wrote_it =
                    |it: &Entry| it.data == Data::Pattern && it.changes.contains(&sector);
                let op = self.log.iter().rposition(wrote_it);
                let op = op.and_then(|op| OpId::try_from(op).ok()).unwrap_or(PATTERN);
                Content::Written { op, sector }
            }
            content => content,
        }
    }

    /// Whether this operation is a trim.
    pub(super) fn is_trim(&self, op: OpId) -> bool {
        let request = self.log.get(op as usize).map(|entry| entry.request);
        matches!(request, Some(Request::Trim { .. }))
    }

    /// A request touched the file outside the range of the device, at this byte.
    #[cold]
    pub(super) fn escaped(&self, request: Request, at: u64) -> Violation {
        let (name, size) = (request.name(), self.geometry.size());
        let sentence = format!(
            "{name} touched byte {at} of the file, past the end of the device, which has {size} \
             bytes"
        );
        Violation::new(Kind::RangeEscaped, sentence)
    }

    pub(super) fn wrong_data(
        &self,
        what: fmt::Arguments<'_>,
        findings: Vec<Finding>,
    ) -> Result<(), Violation> {
        let Some(first) = findings.first() else { return Ok(()) };
        let kind = self.name(first, false);
        let Account { found, reason } = self.account(first, kind, false);
        Err(Violation { kind, sentence: format!("{what} {found}: {first}{reason}"), findings })
    }

    pub(super) fn finding(&self, sector: u64, bytes: &[u8], began: Option<Tick>) -> Finding {
        let legal = self.legal.expected(sector, began);
        let mut found = self.identify(bytes);
        if matches!(found, Content::Torn { .. } | Content::Unknown) {
            found = self.torn(sector, bytes).unwrap_or(found);
        }
        let in_bytes = matches!(found, Content::Torn { .. } | Content::Unknown).then(|| {
            let contents = legal.iter().filter_map(|version| {
                Some((self.expected(version), self.contents(version, sector, bytes.len())?))
            });
            Difference::nearest(bytes, contents).map(Box::new)
        });
        let expected = legal.iter().map(|version| self.expected(version)).collect();
        Finding { sector, expected, found, bytes: in_bytes.flatten() }
    }

    /// Of which two contents of the sector these bytes are the beginning and the end, to the byte.
    fn torn(&self, sector: u64, bytes: &[u8]) -> Option<Content> {
        let zeros = [(0, vec![0; bytes.len()])].into_iter();
        let ops = (1..OpId::try_from(self.log.len()).ok()?).rev();
        let wrote = |op: &OpId| {
            let Entry { request, changes, .. } = &self.log[*op as usize];
            matches!(request, Request::Write { .. }) && changes.contains(&sector)
        };
        let written = ops.filter(wrote).take(WRITERS).filter_map(|op| {
            let leaves = Leaves::of(self.log[op as usize].data, op, sector);
            let version = Version { op, leaves, ..FIRST };
            Some((op, self.contents(&version, sector, bytes.len())?))
        });
        let contents: Vec<(OpId, Vec<u8>)> = zeros.chain(written).collect();
        let alike = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| {
            pairs.take_while(|(one, other)| one == other).count()
        };
        let heads = contents.iter().map(|(op, it)| (alike(&mut bytes.iter().zip(it)), *op));
        let tails = contents
            .iter()
            .map(|(op, it)| (alike(&mut bytes.iter().rev().zip(it.iter().rev())), *op));
        let ((at, head), (rest, tail)) = (heads.max()?, tails.max()?);
        let meets = at > 0 && rest > 0 && at + rest >= bytes.len() && head != tail;
        meets.then_some(Content::Torn { head, tail, at: u32::try_from(at).ok()? })
    }

    /// The bytes that a version has left in a sector, unless they may be any.
    pub(super) fn contents(&self, version: &Version, sector: u64, size: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size];
        match version.leaves {
            Leaves::Payload => payload::fill(&mut bytes, self.salt, version.op, sector),
            Leaves::Pattern => payload::fill(&mut bytes, self.salt, PATTERN, sector),
            Leaves::Zeros => {}
            Leaves::Scribble => bytes.fill(payload::SCRIBBLE),
            Leaves::Anything => return None,
        }
        Some(bytes)
    }

    /// What to call a sector that holds what it must not.
    pub(super) fn name(&self, finding: &Finding, after_crash: bool) -> Kind {
        let sector = finding.sector;
        let trimmed = || {
            let trims = self.log.iter().filter(|it| matches!(it.request, Request::Trim { .. }));
            trims.into_iter().any(|trim| trim.changes.contains(&sector))
        };
        let zeroed = || {
            self.log.iter().any(|it| {
                !matches!(it.data, Data::Unique | Data::Pattern) && it.changes.contains(&sector)
            })
        };
        match finding.found {
            Content::Torn { .. } => Kind::Torn,
            Content::Unknown => Kind::Corrupt,
            Content::Written { sector: meant, .. } if meant != sector => Kind::Misdirected,
            Content::Written { op: 0, .. } if after_crash => Kind::DurabilityLost,
            Content::Written { op: 0, .. } => Kind::Stale,
            Content::Written { op, .. } => match self.log.get(op as usize) {
                None => Kind::Corrupt,
                Some(entry) if !entry.changes.contains(&sector) => Kind::NeverWritten,
                Some(_) if after_crash => Kind::DurabilityLost,
                Some(_) => Kind::Stale,
            },
            Content::Scribble if !trimmed() => Kind::RangeEscaped,
            Content::Zeros | Content::Scribble if after_crash => Kind::DurabilityLost,
            Content::Zeros if zeroed() => Kind::Stale,
            Content::Scribble => Kind::Stale,
            Content::Zeros => Kind::Lost,
        }
    }

    /// A version as it is named to people.
    pub(super) fn expected(&self, version: &Version) -> Expected {
        match *version {
            Version { leaves: Leaves::Anything, op, .. } => Expected::Anything(op),
            Version { op: 0, leaves: Leaves::Zeros, .. } => Expected::Zeros,
            Version { op, .. } if self.is_trim(op) => Expected::Trimmed(op),
            Version { op, .. } => Expected::Written(op),
        }
    }
}
