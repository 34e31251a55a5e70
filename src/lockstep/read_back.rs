//! What is read back of a device when nothing is under way, and has the twin check it.

use super::power_cycle::{Inner, Session, UNREAD};
use super::run::{Early, READING_BACK, Run};
use super::subject::Subject;
use crate::device::{Device, DeviceError, Geometry};
use crate::disk::Ending;
use crate::model::{Evidence, Twin, Violation};
use std::ops::Range;
use std::pin::pin;

/// A device of at most this many bytes is read back whole whenever it is opened.
pub(super) const SMALL: u64 = 4 << 10;

/// Two places that are read back are read in one piece if at most this many bytes lie between them.
/// That takes less time than another read, and shows what went astray in between.
const GAP: u64 = 4 << 10;

impl<S: Subject> Run<'_, '_, S> {
    /// Reads back everything that was ever touched, and all of a device of at most `small` bytes.
    pub(super) fn verify(&mut self, device: &S::Device, small: u64) -> Result<(), Early> {
        let geometry = self.geometry();
        let touched = match geometry.size() {
            size if size <= small => vec![geometry.sectors(&(0..size))],
            _ => self.session.inner().twin.touched(),
        };
        self.read_back(device, &touched, Twin::verify)
    }

    /// Reads back everything that changed since the last crash, and all of a small device.
    pub(super) fn recover(&mut self, device: &S::Device) -> Result<(), Early> {
        let geometry = self.geometry();
        let mut inner = self.session.inner();
        let changed = match geometry.size() {
            size if size <= SMALL => vec![geometry.sectors(&(0..size))],
            _ => inner.twin.changed_runs().to_vec(),
        };
        drop(inner);
        self.read_back(device, &changed, Twin::recover)?;
        self.unrecovered = false;
        self.session.inner().twin.recovered().map_err(|violation| (0, violation).into())
    }

    /// Reads the blocks around runs of sectors, and has them checked.
    fn read_back(
        &mut self,
        device: &S::Device,
        sectors: &[Range<u64>],
        check: Check,
    ) -> Result<(), Early> {
        let session = self.session;
        let block = u64::from(session.scenario.device.block_size);
        let pieces = pieces(&self.geometry(), session.largest as u64, sectors);
        // How many there are depends on the heap, and says nothing about the device.
        let requests = pieces.len();
        let reading = async {
            for (offset, length) in pieces {
                if read_piece(session, device, offset, length, check).await? {
                    continue;
                }
                // A sector in there cannot be read; its neighbours have to be right all the same.
                for offset in
                    (offset..offset + length).step_by(session.scenario.device.block_size as usize)
                {
                    if !read_piece(session, device, offset, block, check).await? {
                        mark_unknown(session, offset, block);
                    }
                }
            }
            Ok(())
        };
        session.disk.calm(true);
        let read = self.drive_long(READING_BACK, requests, reading);
        session.disk.calm(false);
        read?.map_err(|violation| (0, violation).into())
    }
}

/// How the twin checks what was read back.
type Check = fn(&mut Twin, u64, &[u8], &Evidence<'_>) -> Result<(), Violation>;

/// Reads and checks a piece of the device. False where the medium could not read it.
async fn read_piece<D: Device>(
    session: &Session<'_>,
    device: &D,
    offset: u64,
    length: u64,
    check: Check,
) -> Result<bool, Violation> {
    let Ok(size) = usize::try_from(length) else { unreachable!("fits the heap") };
    let allocated =
        session.device(0, pin!(session.in_device(|| device.allocate_buffer(size)))).await;
    let mut buffer = allocated.map_err(|error| session.inner().twin.unreadable(error))?;
    buffer.as_mut_slice().fill(UNREAD);
    session.disk.begin(0, &[]);
    let read = {
        let reading = pin!(session.in_device(|| device.read(offset, buffer.as_mut())));
        session.device(0, reading).await
    };
    let mut inner = session.inner();
    session.note_facts(&mut inner);
    let Inner { twin, log, report, .. } = &mut *inner;
    session.end_calls(0, Ending::answered(read.is_ok()), log, report);
    let first = offset / u64::from(session.scenario.device.sector_size);
    session.with_evidence(report, |evidence| match read {
        Err(error) if is_unreadable(error, evidence) => Ok(false),
        Err(error) => Err(twin.unreadable(error)),
        Ok(()) => check(twin, first, buffer.as_slice(), evidence).map(|()| {
            log.read_back(first, twin.seen());
            true
        }),
    })
}

/// Whether reading back failed as the file did.
fn is_unreadable(error: DeviceError, evidence: &Evidence<'_>) -> bool {
    evidence.harmed
        || evidence.errors.contains(&error)
        || evidence.causes.iter().any(|cause| cause.error == error)
        || evidence.owed.contains(&error)
}

/// A block that cannot be read: its damaged sectors are beyond checking.
fn mark_unknown(session: &Session<'_>, offset: u64, length: u64) {
    if !session.promises.in_place {
        return;
    }
    let size = u64::from(session.scenario.device.sector_size);
    let sectors = offset / size..(offset + length) / size;
    for sector in sectors.filter(|&sector| session.disk.is_damaged(sector)) {
        session.inner().twin.mark_unknown(sector);
    }
}

/// The blocks that hold these runs of sectors, each once, as offsets and lengths in bytes of what
/// fits a buffer.
pub(super) fn pieces(geometry: &Geometry, most: u64, sectors: &[Range<u64>]) -> Vec<(u64, u64)> {
    let block = u64::from(geometry.block_size());
    let sector = u64::from(geometry.sector_size());
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    for runs in sectors.chunk_by(|one, next| (next.start - one.end) * sector <= GAP) {
        let done = pieces.last().map_or(0, |(offset, length)| offset + length);
        let mut offset = (runs[0].start * sector / block * block).max(done);
        let end = (runs[runs.len() - 1].end * sector).next_multiple_of(block);
        while offset < end {
            let length = most.min(end - offset);
            pieces.push((offset, length));
            offset += length;
        }
    }
    pieces
}
