//! What became of data that a read did not show.
//!
//! The twin sees one read: older data where newer was due. Whether the newer data is there after
//! all (*stale*), somewhere else (*misdirected*) or nowhere (*lost*), only looking again can tell.

use super::power_cycle::UNREAD;
use super::read_back::pieces;
use super::run::Run;
use super::subject::Subject;
use crate::device::Device;
use crate::model::{Content, Expected, Kind, Violation};
use std::ops::Range;

/// Number of sectors on each side of what was touched that are searched for missing data.
const MARGIN: u64 = 64;

impl<S: Subject> Run<'_, '_, S> {
    /// Gives a violation its right name, by opening the device afresh and looking.
    pub(super) fn diagnose(&mut self, violation: Violation) -> Violation {
        let vague = match violation.kind {
            Kind::Stale | Kind::Lost => true,
            // It is the medium that broke the promise.
            Kind::DurabilityLost => self.session.report_media_errors,
            _ => false,
        };
        let Some(finding) = violation.findings.first().filter(|_| vague) else {
            return violation;
        };
        let sector = finding.sector;
        let due = |content: Content| match content {
            Content::Written { op, sector: meant } => {
                meant == sector && finding.expected.contains(&Expected::Written(op))
            }
            _ => false,
        };
        let trimmed = |content: Content| {
            let blank = matches!(content, Content::Zeros | Content::Scribble);
            let due = |it: &Expected| matches!(it, Expected::Zeros | Expected::Trimmed(_));
            blank && finding.expected.iter().any(due)
        };
        let Ok(device) = self.open(None) else { return violation };
        let is_here = |at, content| at == sector && (due(content) || trimmed(content));
        let here = self.look(&device, sector..sector + 1, is_here);
        if here {
            return violation.renamed(Kind::Stale);
        }
        let touched = self.session.inner().twin.touched();
        let elsewhere = touched.into_iter().any(|run| {
            let around = run.start.saturating_sub(MARGIN)..run.end + MARGIN;
            self.look(&device, around, |at, content| at != sector && due(content))
        });
        violation.renamed(if elsewhere { Kind::Misdirected } else { Kind::Lost })
    }

    /// Whether a sector in the blocks around `sectors` is what is looked for.
    fn look(
        &mut self,
        device: &S::Device,
        sectors: Range<u64>,
        wanted: impl Fn(u64, Content) -> bool,
    ) -> bool {
        let (session, geometry) = (self.session, device.geometry());
        let size = geometry.sector_size() as usize;
        let end = geometry.sectors(&(0..geometry.size())).end;
        let sectors = sectors.start.min(end)..sectors.end.min(end);
        let pieces = pieces(&geometry, geometry.block_size().into(), &[sectors]);
        let search = async {
            for (offset, length) in pieces {
                let Ok(length) = usize::try_from(length) else { continue };
                let Ok(mut buffer) = device.allocate_buffer(length).await else { continue };
                buffer.as_mut_slice().fill(UNREAD);
                // What cannot be read cannot be found.
                if device.read(offset, buffer.as_mut()).await.is_err() {
                    continue;
                }
                let first = offset / size as u64;
                let inner = session.inner();
                let mut held = (first..).zip(buffer.as_slice().chunks_exact(size));
                if held.any(|(at, bytes)| wanted(at, inner.twin.identify(bytes))) {
                    return true;
                }
            }
            false
        };
        self.drive("looking again", search).unwrap_or(false)
    }
}
