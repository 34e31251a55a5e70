//! What each raw call does to the files.

use super::direct::Direct;
use super::directory::{FileId, NameId};
use super::fault::{Call, Dirty, FaultKind};
use super::operations::{Caller, as_cause};
use super::state::{Descriptor, RawCall, State};
use super::{Answer, Cause, CrashPolicy};
use rustix::io::Errno;
use smallvec::SmallVec;
use std::io;
use std::ops::Range;

/// A sync under way.
pub(super) struct Syncing {
    /// What it is to make durable: what was changed before this.
    mark: u64,
    fault: Option<FaultKind>,
}

/// What a read has transferred.
pub(super) struct Transferred {
    /// How many bytes.
    pub(super) count: usize,
    /// The bytes from this one on are those that are there when the read answers.
    pub(super) torn_at: Option<usize>,
}

/// A raw call that has taken effect, to be entered in the journal.
struct Done {
    caller: Caller,
    call: Call,
    name: NameId,
    offset: u64,
    length: u64,
    fault: Option<FaultKind>,
}

impl Done {
    /// Why other requests may fail, if this call is a reason; `seen` is the result as a count.
    fn cause<T>(&self, result: &io::Result<T>, seen: Result<u64, i32>) -> Option<Cause> {
        let Self { caller, call, offset, length, fault, .. } = *self;
        let error = match (result, seen) {
            // That there is no such file, say, is nothing to blame.
            (Err(error), _) if fault.is_some() || call == Call::Read => as_cause(error)?,
            (Ok(_), Ok(0)) if call == Call::Write && length > 0 => fault?.surfaces()?,
            _ => return None,
        };
        let sync = call.is_sync();
        let transfers = call.clears() || matches!(call, Call::Read | Call::Write);
        let bytes = transfers.then(|| offset..offset.saturating_add(length));
        let names = [Call::Open, Call::Create, Call::Rename, Call::Unlink, Call::List];
        let directory = call == Call::SyncDirectory || names.contains(&call);
        Some(Cause { error, caller, bytes, sync, directory })
    }
}

impl State {
    /// The error that a fault makes of a call, if it does.
    pub(super) fn refuse(fault: Option<FaultKind>) -> io::Result<()> {
        let refuses = |kind: &FaultKind| !kind.is_elsewhere();
        let errno = fault.filter(refuses).and_then(FaultKind::errno);
        errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    /// Enters a call in the journal, and makes an answer of its result: with the cause that it is
    /// for other requests to fail.
    fn answer<T>(
        &mut self,
        done: &Done,
        new_name: NameId,
        result: io::Result<T>,
        count: impl FnOnce(&T) -> u64,
    ) -> Answer<T> {
        let Done { caller, call, name, offset, length, fault } = *done;
        let seen = result.as_ref().map(count);
        let seen = seen.map_err(|error| error.raw_os_error().expect("the kernel gives an errno"));
        let class = fault.map(FaultKind::class);
        self.record(RawCall {
            caller,
            call,
            name,
            new_name,
            offset,
            length,
            result: seen,
            fault: class,
        });
        let cause = if self.rules.own_calls { None } else { done.cause(&result, seen) };
        (result, cause)
    }

    /// A raw call reaches for these bytes of a file.
    fn check_limit(&mut self, caller: Caller, file: FileId, start: u64, end: u64) {
        let limit = self.rules.limit;
        if file != 0 || end <= limit {
            return;
        }
        if caller.task != 0 {
            self.operations.escaped(start.max(limit));
        } else if let Some(operation) = self.operation(caller.op) {
            operation.report.escaped.get_or_insert(start.max(limit));
        }
    }

    pub(super) fn read(
        &mut self,
        caller: Caller,
        of: Descriptor,
        buffer: &mut [u8],
        offset: u64,
    ) -> Answer<Transferred> {
        let fault = match self.inject_transfer(caller, Call::Read, of, offset, buffer.len()) {
            Ok(fault) => fault,
            Err(misaligned) => return (Err(misaligned), None),
        };
        let file = of.file;
        let result = Self::refuse(fault).and_then(|()| {
            let inode = self.file(file);
            let left = usize::try_from(inode.length.saturating_sub(offset)).unwrap_or(usize::MAX);
            let asked = match fault {
                Some(FaultKind::ShortRead(most)) => left.min(most as usize),
                _ => left.min(buffer.len()),
            };
            if let Some(FaultKind::LatentSector(sector)) = fault {
                inode.break_sector(offset, asked, sector);
            }
            let count = match inode.readable(offset, asked) {
                // A direct read gives all or nothing.
                Some(count) if count == asked || of.direct.is_none() => count,
                _ => {
                    self.injected(caller, FaultKind::LatentSector(0));
                    return Err(Errno::IO.into());
                }
            };
            inode.fetch(&mut buffer[..count], offset);
            let corrupted = inode.corrupt_read(fault, &mut buffer[..count], offset);
            self.note_unreliable(caller, corrupted);
            self.note_unsound(caller, file, offset..offset + count as u64);
            let torn_at = match fault {
                Some(FaultKind::TornRead(at)) => Some(at as usize).filter(|&at| at < count),
                _ => None,
            };
            Ok(Transferred { count, torn_at })
        });
        let name = self.file(file).name;
        let length = buffer.len() as u64;
        let done = Done { caller, call: Call::Read, name, offset, length, fault };
        self.answer(&done, 0, result, |read| read.count as u64)
    }

    /// The rest of a read that sees what others have written since it began.
    pub(super) fn read_rest(
        &mut self,
        caller: Caller,
        file: FileId,
        buffer: &mut [u8],
        offset: u64,
    ) {
        let inode = self.file(file);
        let left = usize::try_from(inode.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let rest = &mut buffer[..count];
        let (before, range) = (rest.to_vec(), offset..offset + rest.len() as u64);
        inode.fetch(rest, offset);
        if *rest != *before {
            self.note_unsound(caller, file, range);
            if let Some(operation) = self.operation(caller.op) {
                operation.report.torn_reads += 1;
            }
        }
    }

    pub(super) fn write(
        &mut self,
        caller: Caller,
        of: Descriptor,
        data: &[u8],
        offset: u64,
    ) -> Answer<usize> {
        let fault = match self.inject_transfer(caller, Call::Write, of, offset, data.len()) {
            Ok(fault) => fault,
            Err(misaligned) => return (Err(misaligned), None),
        };
        let file = of.file;
        let fault = match fault {
            None if self.size_limit.is_none() => None,
            fault => self.limit_size(caller, of, offset, data.len(), fault),
        };
        let refused = Self::refuse(fault).and_then(|()| check_range(offset, data.len()));
        // An interruption refuses nothing: whoever absorbs it may still succeed.
        let interrupted = fault == Some(FaultKind::Interrupted);
        let takes_nothing = matches!(fault, Some(FaultKind::WriteZero | FaultKind::WriteZeroStays));
        if (refused.is_err() && !interrupted) || takes_nothing {
            let op = self.rules.own_calls.then_some(caller.op);
            self.file(file).refuse_torn(op, offset, data.len() as u64);
        }
        if let Some(FaultKind::EioLanded(landed)) = fault
            && check_range(offset, data.len()).is_ok()
        {
            self.land(caller, file, data, offset, landed);
        }
        let result = refused.map(|()| {
            let (count, effect) = match fault {
                _ if takes_nothing => (0, fault),
                Some(FaultKind::ShortWrite(most)) => self.short_write(data, offset, most),
                Some(FaultKind::SizeLimit(fits)) => {
                    (fits as usize, Some(FaultKind::ShortWrite(fits)))
                }
                _ => (data.len(), fault),
            };
            if count > 0 {
                self.check_limit(caller, file, offset, offset + count as u64);
                let call = self.next_change();
                let owners = self.owners(caller);
                let inode = self.file(file);
                inode.undo.begin_call(call);
                inode.write(&owners, &data[..count], offset, effect);
            }
            if matches!(fault, Some(FaultKind::SizeLimit(_))) {
                let end = offset + data.len() as u64;
                self.refuse_past_limit(caller, file, offset + count as u64..end);
            }
            count
        });
        let name = self.file(file).name;
        let length = data.len() as u64;
        let done = Done { caller, call: Call::Write, name, offset, length, fault };
        self.answer(&done, 0, result, |&count| count as u64)
    }

    /// The fault of a write, if it would pass the limit of the file's size: what fits before that.
    #[cold]
    fn limit_size(
        &mut self,
        caller: Caller,
        of: Descriptor,
        offset: u64,
        length: usize,
        fault: Option<FaultKind>,
    ) -> Option<FaultKind> {
        match fault {
            None if self.operations.calm => return None,
            None => {}
            Some(FaultKind::SizeLimit(fits)) => {
                // Nobody raises it: a write that is stuck at it would then fail for no reason.
                self.size_limit.get_or_insert((of.file, offset.saturating_add(fits.into())));
            }
            _ => return fault,
        }
        let (limited, limit) = self.size_limit?;
        if limited != of.file || limit >= offset.saturating_add(length as u64) {
            return None;
        }
        let limit = match of.direct {
            None if self.may_tear() => limit,
            direct => limit - limit % Direct::unit(direct, self.sector_size),
        };
        let fits = u32::try_from(limit.saturating_sub(offset)).unwrap_or(u32::MAX);
        let kind = FaultKind::SizeLimit(fits);
        self.injected(caller, kind);
        Some(kind)
    }

    /// A write was stopped at the limit of the file's size. Nobody gets the sector there whole, nor
    /// those behind it: it is an attempt at them like one that is refused.
    fn refuse_past_limit(&mut self, caller: Caller, file: FileId, refused: Range<u64>) {
        let (op, size) = (self.rules.own_calls.then_some(caller.op), self.sector_size as u64);
        let start = refused.start / size * size;
        self.file(file).refuse_torn(op, start, refused.end - start);
    }

    /// A write that is to fail has landed: of its sectors those whose bit is set in `landed`.
    fn land(&mut self, caller: Caller, file: FileId, data: &[u8], offset: u64, landed: u64) {
        let size = self.sector_size as u64;
        self.check_limit(caller, file, offset, offset + data.len() as u64);
        let call = self.next_change();
        let inode = self.file(file);
        inode.undo.begin_call(call);
        let (mut rest, mut at, mut bit) = (data, offset, 0);
        while !rest.is_empty() {
            let room = usize::try_from(size - at % size).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(room.min(rest.len()));
            if landed >> (bit % 64) & 1 == 1 {
                inode.write(&[], piece, at, None);
            }
            (rest, at, bit) = (after, at + piece.len() as u64, bit + 1);
        }
    }

    /// Who may have to mend a sector that a write of `caller` leaves torn.
    fn owners(&self, caller: Caller) -> SmallVec<[u32; 4]> {
        if self.rules.own_calls {
            return SmallVec::from_slice(&[caller.op]);
        }
        self.operations.under_way().collect()
    }

    /// How many bytes a short write takes, `most` at most: up to the end of a sector, where it may
    /// not stop inside one, or nobody is there to mend it. Never nothing.
    fn short_write(&self, data: &[u8], offset: u64, most: u32) -> (usize, Option<FaultKind>) {
        let most = data.len().min(most as usize);
        if self.may_tear() {
            return (most, Some(FaultKind::ShortWrite(0)));
        }
        let size = self.sector_size as u64;
        let end = (offset + most as u64) / size * size;
        match usize::try_from(end.saturating_sub(offset)) {
            Ok(count @ 1..) => (count, None),
            _ => (data.len(), None),
        }
    }

    /// Whether a write may stop inside a sector now.
    fn may_tear(&self) -> bool {
        let mended = self.rules.own_calls || self.operations.under_way().next().is_some();
        self.rules.odd_short_writes && mended
    }

    /// Makes zeros of a range, as `call` says: a hole, or zeros that keep their space. To whoever
    /// reads or loses power these are the same.
    pub(super) fn clear(
        &mut self,
        (caller, call): (Caller, Call),
        file: FileId,
        offset: u64,
        length: u64,
    ) -> Answer<()> {
        let asked = usize::try_from(length).unwrap_or(usize::MAX);
        let fault = self.inject(caller, call, asked);
        let result = Self::refuse(fault).map(|()| {
            let end = offset.saturating_add(length);
            self.check_limit(caller, file, offset, end);
            let change = self.next_change();
            let inode = self.file(file);
            inode.undo.begin_metadata_call(change);
            inode.punch(offset..end);
        });
        let name = self.file(file).name;
        let done = Done { caller, call, name, offset, length, fault };
        self.answer(&done, 0, result, |()| 0)
    }

    pub(super) fn len(&mut self, caller: Caller, file: FileId) -> Answer<u64> {
        let fault = self.inject(caller, Call::Length, 0);
        let inode = self.file(file);
        let (name, length) = (inode.name, inode.length);
        let result = Self::refuse(fault).map(|()| length);
        let done = Done { caller, call: Call::Length, name, offset: 0, length: 0, fault };
        self.answer(&done, 0, result, |&length| length)
    }

    pub(super) fn set_len(&mut self, caller: Caller, file: FileId, length: u64) -> Answer<()> {
        let fault = self.inject(caller, Call::SetLength, 0);
        let result = Self::refuse(fault).and_then(|()| check_range(length, 0)).map(|()| {
            let before = self.file(file).length;
            self.check_limit(caller, file, before.min(length), before.max(length));
            let call = self.next_change();
            let inode = self.file(file);
            inode.undo.begin_metadata_call(call);
            inode.set_len(length);
        });
        let name = self.file(file).name;
        let done = Done { caller, call: Call::SetLength, name, offset: 0, length, fault };
        self.answer(&done, 0, result, |()| 0)
    }

    /// A sync begins, of a file or, where that is `None`, of the directory.
    ///
    /// # Errors
    ///
    /// `EINTR`, of which nobody needs to be told.
    pub(super) fn begin_sync(
        &mut self,
        caller: Caller,
        file: Option<FileId>,
    ) -> io::Result<Syncing> {
        let call = sync_call(file);
        let fault = self.inject(caller, call, 0);
        let interrupted = Self::refuse(fault.filter(|&it| it == FaultKind::Interrupted));
        if interrupted.is_err() {
            let name = file.map_or(0, |file| self.file(file).name);
            let done = Done { caller, call, name, offset: 0, length: 0, fault };
            let result = interrupted.map(|()| Syncing { mark: 0, fault });
            return self.answer(&done, 0, result, |_| 0).0;
        }
        let mark = match file {
            Some(file) => self.file(file).undo.mark(),
            None => self.directory.mark(),
        };
        Ok(Syncing { mark, fault })
    }

    /// The sync ends.
    pub(super) fn end_sync(
        &mut self,
        caller: Caller,
        of: Option<Descriptor>,
        syncing: &Syncing,
    ) -> Answer<()> {
        let fault = match of {
            Some(descriptor) => self.end_file_sync(descriptor, syncing),
            None => self.end_directory_sync(syncing),
        };
        let file = of.map(|it| it.file);
        let failed = fault.filter(|kind| kind.fails_sync());
        let result = match failed.and_then(FaultKind::errno) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        };
        if let Some(kind) = failed {
            self.injected(caller, kind);
            self.operations.sync_failed(kind);
        }
        let name = file.map_or(0, |file| self.file(file).name);
        let call = sync_call(file);
        let done = Done { caller, call, name, offset: 0, length: 0, fault: failed };
        self.answer(&done, 0, result, |()| 0)
    }

    fn end_file_sync(&mut self, descriptor: Descriptor, syncing: &Syncing) -> Option<FaultKind> {
        let (size, mark, file) = (self.sector_size, syncing.mark, descriptor.file);
        if syncing.fault.and_then(FaultKind::dirty).is_some() {
            self.file(file).failures.add();
        }
        let late = self.tell_of_failures(descriptor);
        let fault = syncing.fault.or(late.then_some(FaultKind::WritebackFailed));
        let inode = self.file(file);
        match fault {
            Some(kind) if let Some(dirty) = kind.dirty() => match dirty {
                Dirty::Kept => {}
                Dirty::Dropped => inode.undo.dropped(mark),
                Dirty::Partly(seed) => {
                    let mut outcome = inode.undo.outcome(CrashPolicy::Random(seed));
                    inode.undo.partly_synced(mark, size, &mut outcome);
                }
            },
            _ => {
                let synced = inode.backing.sync();
                inode.note_medium_error(synced);
                inode.undo.synced(mark);
                if !self.rules.posix_entries {
                    self.directory.file_synced(file);
                }
            }
        }
        fault
    }

    fn end_directory_sync(&mut self, syncing: &Syncing) -> Option<FaultKind> {
        if syncing.fault.and_then(FaultKind::dirty).is_none() {
            self.directory.synced(syncing.mark);
        }
        syncing.fault
    }

    /// Opens a file, or, with `create`, makes a new one.
    pub(super) fn open(&mut self, caller: Caller, name: &str, create: bool) -> Answer<Descriptor> {
        let call = if create { Call::Create } else { Call::Open };
        let fault = self.inject(caller, call, 0);
        let id = self.name_id(name);
        let result = Self::refuse(fault).and_then(|()| {
            check_name(name)?;
            match (self.directory.get(id), create) {
                (Some(file), false) => Ok(file),
                (None, false) => Err(Errno::NOENT.into()),
                (Some(_), true) => Err(Errno::EXIST.into()),
                (None, true) => {
                    let file = self.add_file(id);
                    let call = self.next_change();
                    self.directory.link(call, id, file);
                    Ok(file)
                }
            }
        });
        let result = result.map(|file| self.descriptor(file));
        let done = Done { caller, call, name: id, offset: 0, length: 0, fault };
        self.answer(&done, 0, result, |_| 0)
    }

    pub(super) fn rename(&mut self, caller: Caller, from: &str, to: &str) -> Answer<()> {
        let fault = self.inject(caller, Call::Rename, 0);
        let (from_id, to_id) = (self.name_id(from), self.name_id(to));
        let result = Self::refuse(fault).and_then(|()| {
            check_name(to)?;
            let file = self.directory.get(from_id).ok_or(Errno::NOENT)?;
            // As rename(2): two names of the same file stay as they are.
            if self.directory.get(to_id) != Some(file) {
                let call = self.next_change();
                self.directory.rename(call, from_id, to_id, file);
                self.file(file).name = to_id;
            }
            Ok(())
        });
        let done = Done { caller, call: Call::Rename, name: from_id, offset: 0, length: 0, fault };
        self.answer(&done, to_id, result, |()| 0)
    }

    pub(super) fn unlink(&mut self, caller: Caller, name: &str) -> Answer<()> {
        let fault = self.inject(caller, Call::Unlink, 0);
        let id = self.name_id(name);
        let result = Self::refuse(fault).and_then(|()| {
            self.directory.get(id).ok_or(Errno::NOENT)?;
            let call = self.next_change();
            self.directory.unlink(call, id);
            Ok(())
        });
        let done = Done { caller, call: Call::Unlink, name: id, offset: 0, length: 0, fault };
        self.answer(&done, 0, result, |()| 0)
    }

    /// The names in the directory, in order.
    pub(super) fn list(&mut self, caller: Caller) -> Answer<Vec<String>> {
        let fault = self.inject(caller, Call::List, 0);
        let result = Self::refuse(fault).map(|()| {
            let names = self.directory.names().map(|id| self.name(id).to_string());
            let mut names: Vec<String> = names.collect();
            names.sort_unstable();
            names
        });
        let done = Done { caller, call: Call::List, name: 0, offset: 0, length: 0, fault };
        self.answer(&done, 0, result, |names| names.len() as u64)
    }
}

fn sync_call(file: Option<FileId>) -> Call {
    if file.is_some() { Call::Sync } else { Call::SyncDirectory }
}

/// Offsets past `i64::MAX` are none: `EINVAL`, as from `pwrite(2)`.
fn check_range(offset: u64, length: usize) -> io::Result<()> {
    let end = offset.checked_add(length as u64).map(i64::try_from);
    match end {
        Some(Ok(_)) => Ok(()),
        _ => Err(Errno::INVAL.into()),
    }
}

/// A name is one part of a path: there is one directory.
fn check_name(name: &str) -> io::Result<()> {
    match name {
        "" => Err(Errno::NOENT.into()),
        "." | ".." => Err(Errno::ISDIR.into()),
        _ if name.len() > 255 => Err(Errno::NAMETOOLONG.into()),
        _ if name.contains(['/', '\0']) => Err(Errno::INVAL.into()),
        _ => Ok(()),
    }
}
