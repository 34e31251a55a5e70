//! What each raw call does to the file.

use super::Survivors;
use super::fault::{Call, Dirty, FaultKind};
use super::lies::{displaced, flip};
use super::state::{Cut, RawCall, State};
use smallvec::SmallVec;
use std::io;
use std::ops::Range;

impl State {
    /// The error that a fault makes of a call, if it does.
    pub(super) fn refuse(fault: Option<FaultKind>) -> io::Result<()> {
        let refuses = |kind: &FaultKind| !kind.is_elsewhere();
        let errno = fault.filter(refuses).and_then(FaultKind::errno);
        errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    fn note(
        &mut self,
        (op, call): (u32, Call),
        (offset, length): (u64, u64),
        fault: Option<FaultKind>,
        result: Result<u64, &io::Error>,
    ) {
        let result = result.map_err(|error| error.raw_os_error().unwrap_or(0));
        let fault = fault.map(FaultKind::class);
        self.journal.push(RawCall { op, call, offset, length, result, fault });
        if self.watch.is_some() {
            self.watch_call(call);
        }
    }

    fn watch_limit(&mut self, op: u32, range: Range<u64>) {
        let limit = self.limit;
        if range.end > limit
            && let Some(operation) = self.operation(op)
        {
            operation.report.escaped.get_or_insert(range.start.max(limit));
        }
    }

    pub(super) fn read(&mut self, op: u32, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.meet(op, Call::Read, buffer.len());
        let result = Self::refuse(fault).and_then(|()| {
            let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
            let asked = match fault {
                Some(FaultKind::ShortRead(most)) => left.min(most as usize),
                _ => left.min(buffer.len()),
            };
            if let Some(FaultKind::LatentSector(sector)) = fault {
                self.break_sector(offset, asked, sector);
            }
            let count = self.readable(op, offset, asked)?;
            self.fetch(&mut buffer[..count], offset);
            self.deceive(op, fault, &mut buffer[..count], offset);
            self.note_unreliable(op, offset..offset + count as u64);
            Ok(count)
        });
        let seen = result.as_ref().map(|&count| count as u64);
        self.note((op, Call::Read), (offset, buffer.len() as u64), fault, seen);
        result
    }

    pub(super) fn fetch(&mut self, buffer: &mut [u8], offset: u64) {
        match self.medium.read(buffer, offset) {
            Ok(true) => {}
            Ok(false) => self.visible.read(offset, buffer),
            Err(error) => self.real(Err(error)),
        }
    }

    pub(super) fn write(&mut self, op: u32, data: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.meet(op, Call::Write, data.len());
        let refused = Self::refuse(fault).and_then(|()| check_range(offset, data.len()));
        // An interruption refuses nothing: whoever absorbs it may still succeed.
        let interrupted = fault == Some(FaultKind::Interrupted);
        if (refused.is_err() && !interrupted) || fault == Some(FaultKind::WriteZero) {
            self.refuse_cut(op, offset);
        }
        let result = refused.map(|()| {
            let count = match fault {
                Some(FaultKind::ShortWrite(most)) => data.len().min(most as usize),
                Some(FaultKind::WriteZero) => 0,
                _ => data.len(),
            };
            if count > 0 {
                self.watch_limit(op, offset..offset + count as u64);
                self.undo.next_call();
                self.apply(op, &data[..count], offset, fault);
            }
            count
        });
        let seen = result.as_ref().map(|&count| count as u64);
        self.note((op, Call::Write), (offset, data.len() as u64), fault, seen);
        result
    }

    /// A write that begins where its operation was stopped before was refused.
    fn refuse_cut(&mut self, op: u32, offset: u64) {
        let size = self.sector_size as u64;
        if let Some(operation) = self.operation(op)
            && let Some((sector, refused)) = &mut operation.stuck
            && *sector * size == offset
        {
            *refused += 1;
        }
    }

    /// Bytes go to the file, one way or another.
    fn apply(&mut self, op: u32, data: &[u8], offset: u64, fault: Option<FaultKind>) {
        let end = offset + data.len() as u64;
        let size = self.sector_size as u64;
        match fault {
            Some(FaultKind::LostWrite) => self.mislay(offset..end),
            Some(FaultKind::MisdirectedWrite(by)) => {
                self.mislay(offset..end);
                let fits = |to: &u64| to + data.len() as u64 <= self.length;
                let mut there = [by, by.saturating_neg()].map(|by| displaced(offset, by, size));
                if let Some(to) = there.iter_mut().find_map(|to| to.take().filter(fits)) {
                    self.store(data, to, self.sectors(&(to..to + data.len() as u64)));
                    let hit = self.sectors(&(to..to + data.len() as u64));
                    self.wrong.extend(hit);
                }
            }
            Some(FaultKind::BitFlip(bit)) => {
                let mut flipped = data.to_vec();
                let at = flip(&mut flipped, bit);
                self.grow(end);
                self.store(&flipped, offset, self.sectors(&(offset..end)));
                self.wrong.insert((offset + at as u64) / size);
            }
            _ => {
                let mut sectors = self.sectors(&(offset..end));
                if matches!(fault, Some(FaultKind::ShortWrite(_))) && !end.is_multiple_of(size) {
                    sectors.end -= 1;
                    self.cut(op, sectors.end);
                }
                self.grow(end);
                self.store(data, offset, sectors);
            }
        }
        match fault {
            Some(FaultKind::LatentSector(sector)) => self.break_sector(offset, data.len(), sector),
            Some(FaultKind::WritebackFailed) => {
                self.undo.drop_call();
                self.writeback_failed = true;
            }
            _ => {}
        }
    }

    /// A write to `range` returns and changes nothing: what is there is wrong from now on.
    fn mislay(&mut self, range: Range<u64>) {
        self.grow(range.end);
        let sectors = self.sectors(&range);
        self.remember(sectors.clone(), &(0..0));
        self.wrong.extend(sectors);
        // A real file has to grow as well.
        let grown = self.medium.grow(self.length);
        self.real(grown);
    }

    /// Writes `data`; `sectors` are those to which it is a change to be synced.
    fn store(&mut self, data: &[u8], offset: u64, sectors: Range<u64>) {
        let healed = self.whole_sectors(&(offset..offset + data.len() as u64));
        self.remember(sectors, &healed);
        self.visible.write(offset, data);
        let written = self.medium.write(data, offset);
        self.real(written);
    }

    fn grow(&mut self, end: u64) {
        if end > self.length {
            self.undo.record_length(self.length);
            self.length = end;
        }
    }

    /// `op` is leaving `sector` torn.
    fn cut(&mut self, op: u32, sector: u64) {
        if let Some(operation) = self.operation(op)
            && operation.stuck.is_none_or(|(stuck, _)| stuck != sector)
        {
            operation.stuck = Some((sector, 0));
        }
        if let Some(cut) = self.cuts.iter_mut().find(|cut| cut.sector == sector) {
            if !cut.owners.contains(&op) {
                cut.owners.push(op);
            }
            return;
        }
        let mut before = vec![0; self.sector_size];
        self.visible.read(sector * self.sector_size as u64, &mut before);
        self.cuts.push(Cut { sector, before, owners: SmallVec::from_slice(&[op]) });
    }

    /// `sectors` are about to change: keeps what they hold. Those that were torn are so no longer,
    /// nor are those of `healed` wrong or unreadable.
    fn remember(&mut self, sectors: Range<u64>, healed: &Range<u64>) {
        let size = self.sector_size;
        let Ok(count) = usize::try_from(sectors.end - sectors.start) else { return };
        let visible = &self.visible;
        let place = self.undo.record(sectors.start, size, |held| {
            visible.append_to(sectors.start * size as u64, count * size, held);
        });
        self.cuts.retain(|cut| {
            let inside = sectors.contains(&cut.sector);
            if let Ok(at) = usize::try_from(cut.sector.wrapping_sub(sectors.start))
                && inside
            {
                place[at * size..(at + 1) * size].copy_from_slice(&cut.before);
            }
            !inside
        });
        if !self.wrong.is_empty() {
            for &sector in self.wrong.range(sectors.clone()) {
                self.undo.replaced_wrong(sector);
            }
        }
        self.heal(&(healed.start.max(sectors.start)..healed.end.min(sectors.end)));
    }

    /// What `sectors` hold is what was written to them, all of it.
    fn heal(&mut self, sectors: &Range<u64>) {
        if !self.wrong.is_empty() {
            self.wrong.retain(|sector| !sectors.contains(sector));
        }
        if !self.latent.is_empty() {
            self.latent.retain(|sector| !sectors.contains(sector));
        }
    }

    pub(super) fn punch(&mut self, op: u32, offset: u64, length: u64) -> io::Result<()> {
        let fault = self.meet(op, Call::Punch, usize::try_from(length).unwrap_or(usize::MAX));
        let result = Self::refuse(fault).map(|()| {
            let end = offset.saturating_add(length);
            self.watch_limit(op, offset..end);
            self.undo.next_call();
            self.zero(offset..end.min(self.length));
            if offset < end.min(self.length) {
                let punched = self.medium.punch(offset, end.min(self.length) - offset);
                self.real(punched);
            }
        });
        self.note((op, Call::Punch), (offset, length), fault, result.as_ref().map(|()| 0));
        result
    }

    /// A range reads as zeros from now on.
    fn zero(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Only what was ever touched can change.
        let touched: Vec<Range<u64>> = self
            .visible
            .chunks()
            .map(|(start, bytes)| range.start.max(start)..range.end.min(start + bytes.len() as u64))
            .filter(|piece| !piece.is_empty())
            .collect();
        let healed = self.whole_sectors(&range);
        for piece in touched {
            self.remember(self.sectors(&piece), &healed);
        }
        self.heal(&healed);
        self.visible.zero(range.start, range.end - range.start);
    }

    pub(super) fn len(&mut self, op: u32) -> io::Result<u64> {
        let fault = self.meet(op, Call::Length, 0);
        let result = Self::refuse(fault).map(|()| self.length);
        self.note((op, Call::Length), (0, 0), fault, result.as_ref().copied());
        result
    }

    pub(super) fn set_len(&mut self, op: u32, length: u64) -> io::Result<()> {
        let fault = self.meet(op, Call::SetLength, 0);
        let result = Self::refuse(fault).map(|()| {
            self.watch_limit(op, 0..length);
            self.undo.next_call();
            self.undo.record_length(self.length);
            self.zero(length..self.length);
            self.length = length;
            let set = self.medium.set_len(length);
            self.real(set);
        });
        self.note((op, Call::SetLength), (0, length), fault, result.as_ref().map(|()| 0));
        result
    }

    /// A sync begins. Gives the mark up to which it is to make things durable, and its fate.
    pub(super) fn begin_sync(&mut self, op: u32) -> io::Result<(u64, Option<FaultKind>)> {
        let fault = self.meet(op, Call::Sync, 0);
        let interrupted = Self::refuse(fault.filter(|&it| it == FaultKind::Interrupted));
        if let Err(error) = &interrupted {
            self.note((op, Call::Sync), (0, 0), fault, Err(error));
        }
        interrupted.map(|()| (self.undo.mark(), fault))
    }

    /// The sync that began at `mark` ends.
    pub(super) fn end_sync(
        &mut self,
        op: u32,
        mark: u64,
        fault: Option<FaultKind>,
    ) -> io::Result<()> {
        // The kernel tells of a failure once.
        let late = std::mem::take(&mut self.writeback_failed);
        let fault = fault.or(late.then_some(FaultKind::WritebackFailed));
        match fault {
            Some(FaultKind::SyncFailed(Dirty::Kept)) => {}
            Some(FaultKind::SyncFailed(Dirty::Dropped)) => self.undo.dropped(mark),
            Some(FaultKind::SyncFailed(Dirty::Partly(seed))) => {
                let mut fates = self.undo.fates(Survivors::Random(seed));
                self.undo.partly_synced(mark, self.sector_size, &mut fates);
            }
            _ => {
                let synced = self.medium.sync();
                self.real(synced);
                self.undo.synced(mark);
            }
        }
        let failed = fault.filter(|kind| kind.fails_sync());
        let result = match failed.and_then(FaultKind::errno) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        };
        if let Some(kind) = failed {
            self.met(op, kind);
        }
        self.note((op, Call::Sync), (0, 0), failed, result.as_ref().map(|()| 0));
        result
    }
}

/// Offsets past `i64::MAX` are none: `EINVAL`, as from `pwrite(2)`.
fn check_range(offset: u64, length: usize) -> io::Result<()> {
    let end = offset.checked_add(length as u64).map(i64::try_from);
    match end {
        Some(Ok(_)) => Ok(()),
        _ => Err(io::Error::from_raw_os_error(rustix::io::Errno::INVAL.raw_os_error())),
    }
}
