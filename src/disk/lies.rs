//! A medium that lies, or cannot read what it holds.

use super::directory::FileId;
use super::fault::FaultKind;
use super::inode::Inode;
use super::operations::Caller;
use super::state::State;
use smallvec::SmallVec;
use std::ops::Range;

/// A few sectors.
pub(super) type Sectors = SmallVec<[u64; 2]>;

impl Inode {
    /// A sector of a transfer goes bad.
    pub(super) fn break_sector(&mut self, offset: u64, length: usize, which: u32) {
        let sectors = self.sectors(&(offset..offset + length as u64));
        if !sectors.is_empty() {
            let sector = sectors.start + u64::from(which) % (sectors.end - sectors.start);
            self.latent.insert(sector);
        }
    }

    /// How much of a read comes before the first sector that cannot be read: as the kernel, which
    /// gives what it has, and `EIO`, here `None`, to whoever begins there.
    pub(super) fn readable(&self, offset: u64, asked: usize) -> Option<usize> {
        let sectors = self.sectors(&(offset..offset + asked as u64));
        let Some(&bad) = self.latent.range(sectors).next() else { return Some(asked) };
        let before = (bad * self.sector_size as u64).saturating_sub(offset);
        let before = usize::try_from(before).expect("fewer bytes than were asked for");
        (before > 0).then_some(before.min(asked))
    }

    /// Silent faults of a read. Gives the sectors of which it got something wrong.
    pub(super) fn corrupt_read(
        &mut self,
        fault: Option<FaultKind>,
        buffer: &mut [u8],
        offset: u64,
    ) -> Sectors {
        let mut corrupted = Sectors::new();
        let Some(fault) = fault.filter(|fault| fault.is_silent()) else { return corrupted };
        let sectors = self.sectors(&(offset..offset + buffer.len() as u64));
        let size = self.sector_size as u64;
        match fault {
            FaultKind::BitFlip(bit) if !buffer.is_empty() => {
                let at = flip(buffer, bit);
                corrupted.push((offset + at as u64) / size);
            }
            FaultKind::MisdirectedRead(by) => {
                if let Some(from) = displaced(offset, by, size) {
                    buffer.fill(0);
                    let there = usize::try_from(self.length.saturating_sub(from));
                    let count = there.unwrap_or(usize::MAX).min(buffer.len());
                    self.fetch(&mut buffer[..count], from);
                    corrupted.extend(sectors);
                }
            }
            FaultKind::StaleRead => {
                for (sector, durable) in self.undo.durable_of(&sectors, self.sector_size) {
                    // The part of the sector that the read covers.
                    let start = (sector * size).max(offset);
                    let end = ((sector + 1) * size).min(offset + buffer.len() as u64);
                    let within = |at: u64, of: u64| {
                        usize::try_from(at - of).expect("a place in the sector or the buffer")
                    };
                    let from = &durable[within(start, sector * size)..within(end, sector * size)];
                    buffer[within(start, offset)..within(end, offset)].copy_from_slice(from);
                    corrupted.push(sector);
                }
            }
            _ => {}
        }
        corrupted
    }
}

impl State {
    /// A read got something wrong of these sectors. Whoever asked for them may not be the one who
    /// made the call.
    pub(super) fn note_unreliable(&mut self, caller: Caller, sectors: Sectors) {
        if sectors.is_empty() {
            return;
        }
        if !self.rules.own_calls {
            self.operations.unreliable.extend_from_slice(&sectors);
        }
        if let Some(operation) = self.operation(caller.op) {
            operation.report.unreliable.extend(sectors);
        }
    }

    /// A read met sectors that are corrupted, or that another write has left torn for the moment.
    pub(super) fn note_unsound(&mut self, caller: Caller, file: FileId, range: Range<u64>) {
        let inode = self.file(file);
        if inode.torn.is_empty() && inode.corrupted.is_empty() {
            return;
        }
        let sectors = inode.sectors(&range);
        let torn = inode.torn.iter().map(|torn| torn.sector).filter(|it| sectors.contains(it));
        let torn: Sectors = torn.collect();
        let corrupted: Sectors = inode.corrupted.range(sectors).copied().collect();
        self.note_unreliable(caller, corrupted);
        if self.rules.own_calls {
            if let Some(operation) = self.operation(caller.op) {
                operation.report.torn.extend(torn);
            }
            return;
        }
        self.operations.saw_torn(&torn);
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
    let by = i64::from(sectors) * i64::try_from(sector_size).expect("a few thousand bytes");
    offset.checked_add_signed(by)
}
