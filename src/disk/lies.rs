//! A medium that lies, or cannot read what it holds.

use super::fault::FaultKind;
use super::state::State;
use smallvec::SmallVec;
use std::io;
use std::ops::Range;

impl State {
    /// A sector of a transfer goes bad.
    pub(super) fn break_sector(&mut self, offset: u64, length: usize, which: u32) {
        let sectors = self.sectors(&(offset..offset + length as u64));
        if !sectors.is_empty() {
            let sector = sectors.start + u64::from(which) % (sectors.end - sectors.start);
            self.latent.insert(sector);
        }
    }

    /// How much of a read comes before the first sector that cannot be read: as the kernel, which
    /// gives what it has, and `EIO` to whoever begins there.
    pub(super) fn readable(&mut self, op: u32, offset: u64, asked: usize) -> io::Result<usize> {
        let sectors = self.sectors(&(offset..offset + asked as u64));
        let Some(&bad) = self.latent.range(sectors).next() else { return Ok(asked) };
        let before = (bad * self.sector_size as u64).saturating_sub(offset);
        match usize::try_from(before) {
            Ok(count @ 1..) => Ok(count.min(asked)),
            _ => {
                let kind = FaultKind::LatentSector(0);
                self.met(op, kind);
                Self::refuse(Some(FaultKind::Eio)).map(|()| 0)
            }
        }
    }

    /// Silent faults of a read.
    pub(super) fn deceive(
        &mut self,
        op: u32,
        fault: Option<FaultKind>,
        buffer: &mut [u8],
        offset: u64,
    ) {
        let Some(fault) = fault.filter(|fault| fault.is_silent()) else { return };
        let sectors = self.sectors(&(offset..offset + buffer.len() as u64));
        let size = self.sector_size as u64;
        match fault {
            FaultKind::BitFlip(bit) if !buffer.is_empty() => {
                let at = flip(buffer, bit);
                let sector = (offset + at as u64) / size;
                self.unreliable(op, sector..sector + 1);
            }
            FaultKind::MisdirectedRead(by) => {
                if let Some(from) = displaced(offset, by, size) {
                    buffer.fill(0);
                    let there = usize::try_from(self.length.saturating_sub(from));
                    let count = there.unwrap_or(usize::MAX).min(buffer.len());
                    self.fetch(&mut buffer[..count], from);
                    self.unreliable(op, sectors);
                }
            }
            FaultKind::StaleRead => {
                for sector in sectors {
                    let Some((durable, _)) = self.undo.durable(sector, self.sector_size) else {
                        continue;
                    };
                    // The part of the sector that the read covers.
                    let start = (sector * size).max(offset);
                    let end = ((sector + 1) * size).min(offset + buffer.len() as u64);
                    let within = |at: u64, of: u64| usize::try_from(at - of).unwrap_or(0);
                    let from = &durable[within(start, sector * size)..within(end, sector * size)];
                    buffer[within(start, offset)..within(end, offset)].copy_from_slice(from);
                    self.unreliable(op, sector..sector + 1);
                }
            }
            _ => {}
        }
    }

    fn unreliable(&mut self, op: u32, sectors: Range<u64>) {
        if let Some(operation) = self.operation(op) {
            operation.report.unreliable.extend(sectors);
        }
    }

    /// A read met sectors that are wrong, or that another write has left torn for the moment.
    pub(super) fn note_unreliable(&mut self, op: u32, range: Range<u64>) {
        if self.cuts.is_empty() && self.wrong.is_empty() {
            return;
        }
        let sectors = self.sectors(&range);
        let torn = self.cuts.iter().map(|cut| cut.sector).filter(|it| sectors.contains(it));
        let torn: SmallVec<[u64; 2]> = torn.collect();
        let wrong: SmallVec<[u64; 2]> = self.wrong.range(sectors).copied().collect();
        if let Some(operation) = self.operation(op) {
            operation.report.torn.extend(torn);
            operation.report.unreliable.extend(wrong);
        }
    }
}

/// Flips a bit, counted modulo the length. Gives the byte that it is in.
pub(super) fn flip(bytes: &mut [u8], bit: u32) -> usize {
    let at = (bit / 8) as usize % bytes.len();
    bytes[at] ^= 1 << (bit % 8);
    at
}

/// An offset so many sectors further on.
pub(super) fn displaced(offset: u64, sectors: i32, sector_size: u64) -> Option<u64> {
    let by = i64::from(sectors) * i64::try_from(sector_size).ok()?;
    offset.checked_add_signed(by)
}
