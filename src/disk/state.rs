//! What the files of a disk share: the directory, the operations under way, the journal, and the
//! power.

use super::crash::{CrashOutcome, CrashPolicy};
use super::direct::Direct;
use super::directory::{Directory, FileId, NameId, Names};
use super::fault::{Call, FaultClass, FaultKind};
use super::inode::Inode;
use super::medium::{Backing, Medium};
use super::operations::{Caller, Ending, Operations, Rules};
use super::watch::{SectorState, Watch};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One raw call, as a trace shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawCall {
    /// Who made it.
    pub caller: Caller,
    /// Which call.
    pub call: Call,
    /// The name of the file that it is about, by number: see [`SimDisk::name`].
    ///
    /// [`SimDisk::name`]: super::SimDisk::name
    pub name: u32,
    /// The new name, of a renaming.
    pub new_name: u32,
    /// Its offset, in bytes; 0 where it has none.
    pub offset: u64,
    /// How many bytes it asked for; 0 where it has no length.
    pub length: u64,
    /// How many it got (the length, of [`Call::Length`]), or the error number.
    pub result: Result<u64, i32>,
    /// The fault that it met.
    pub fault: Option<FaultClass>,
}

/// What a crash did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// Sectors, lengths of files and directory entries that are not what they were last.
    pub lost: u64,
    /// Something was unsynced, so that the crash could have lost it.
    pub unsynced: bool,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) file: FileId,
    /// It bypasses the page cache.
    pub(super) direct: Option<Direct>,
    /// Counted from 0 since the machine was started.
    number: usize,
}

/// The files of a disk, and what they share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) sector_size: usize,
    pub(super) rules: Rules,
    /// By number; numbers are not given twice in a run, so that a file lives on without a name.
    pub(super) files: Vec<Inode>,
    /// Kept for the next run.
    spare: Vec<Inode>,
    pub(super) directory: Directory,
    /// Of each descriptor, which failures of writing back it has been told of.
    told: Vec<u64>,
    names: Arc<Mutex<Names>>,
    /// So many more calls that need space find none.
    pub(super) full_for: u32,
    /// A fault that every call meets that can, until the device is opened again.
    pub(super) stays: Option<FaultKind>,
    /// A file's size is limited to so many bytes, until the device is opened again.
    pub(super) size_limit: Option<(FileId, u64)>,
    /// Hole punching is not supported, as has turned out.
    pub(super) cannot_punch: bool,
    medium: Medium,
    /// Raw calls so far, of everybody.
    pub(super) calls: u64,
    /// Raw calls so far that have changed a file or the directory.
    pub(super) change_calls: u64,
    pub(super) operations: Operations,
    pub(super) journal: Vec<RawCall>,
    /// Where somebody wants to see what sectors of the first file hold.
    pub(super) watch: Option<Box<Watch>>,
    /// The device was closed, and has not been opened again.
    pub(super) closed: bool,
    /// The first raw call that took effect although the device was closed.
    pub(super) stray: Option<RawCall>,
    /// How many did.
    pub(super) strays: u64,
}

impl State {
    pub(super) fn new(medium: Medium, names: Arc<Mutex<Names>>) -> Self {
        Self {
            sector_size: 512,
            rules: Rules::default(),
            files: Vec::new(),
            spare: Vec::new(),
            directory: Directory::default(),
            told: Vec::new(),
            names,
            full_for: 0,
            stays: None,
            size_limit: None,
            cannot_punch: false,
            medium,
            calls: 0,
            change_calls: 0,
            operations: Operations::default(),
            journal: Vec::new(),
            watch: None,
            closed: false,
            stray: None,
            strays: 0,
        }
    }

    /// An empty disk.
    pub(super) fn format(&mut self, sector_size: u32, rules: Rules) {
        self.sector_size = sector_size as usize;
        self.rules = rules;
        // In such an order that the first file of a run is the first file of the last one.
        self.spare.extend(self.files.drain(..).rev());
        self.directory.clear();
        self.told.clear();
        self.names().reset();
        (self.full_for, self.stays, self.cannot_punch) = (0, None, false);
        self.size_limit = None;
        self.operations.clear();
        self.journal.clear();
        self.watch = None;
        (self.closed, self.stray, self.strays) = (false, None, 0);
    }

    /// Everything is durable, and nothing has happened yet.
    pub(super) fn settle(&mut self) {
        self.directory.settle();
        self.files.iter_mut().for_each(|file| file.undo.clear());
        self.journal.clear();
        self.operations.clear();
        (self.calls, self.change_calls) = (0, 0);
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a name.
    pub(super) fn name_id(&mut self, name: &str) -> NameId {
        self.names().id(name)
    }

    /// The name of a number.
    pub(super) fn name(&self, id: NameId) -> Arc<str> {
        self.names().name(id)
    }

    /// A new empty file, which has no entry yet.
    pub(super) fn add_file(&mut self, name: NameId) -> FileId {
        let mut backed = Ok(());
        let mut file = self.spare.pop().unwrap_or_else(|| {
            let backing = self.medium.backing(self.files.is_empty());
            // Whatever happens to this file is worthless.
            Inode::new(backing.unwrap_or_else(|error| {
                backed = Err(error);
                Backing::Memory
            }))
        });
        file.reset(self.sector_size);
        file.note_medium_error(backed);
        file.name = name;
        self.files.push(file);
        FileId::try_from(self.files.len() - 1).expect("fewer than 2^32 files are made")
    }

    /// Opens a file.
    pub(super) fn descriptor(&mut self, file: FileId) -> Descriptor {
        let told = self.file(file).failures.at_open();
        self.told.push(told);
        Descriptor { file, direct: None, number: self.told.len() - 1 }
    }

    /// See [`SimDisk::put`](super::SimDisk::put).
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        let call = self.next_change();
        if let Some(file) = self.files.first_mut() {
            file.undo.begin_call(call);
            file.write(&[], bytes, offset, None);
        }
    }

    /// Whether a sync by this descriptor tells of writing back that has failed before.
    pub(super) fn tell_of_failures(&mut self, descriptor: Descriptor) -> bool {
        let known = &mut self.told[descriptor.number];
        self.files[descriptor.file as usize].failures.tell(known)
    }

    pub(super) fn file(&mut self, file: FileId) -> &mut Inode {
        &mut self.files[file as usize]
    }

    /// A new raw call changes something; gives its number.
    pub(super) fn next_change(&mut self) -> u64 {
        self.change_calls += 1;
        self.change_calls
    }

    /// Enters a raw call in the journal.
    pub(super) fn record(&mut self, raw: RawCall) {
        if self.closed && raw.caller != Caller::default() && !raw.call.only_asks() {
            self.stray.get_or_insert(raw);
            self.strays += 1;
        }
        self.journal.push(raw);
        if self.watch.is_some() {
            self.record_sectors(raw.call);
        }
    }

    /// Hands over the raw calls of the journal, each with what it has changed.
    pub(super) fn drain(&mut self, each: &mut impl FnMut(&RawCall, &[SectorState])) {
        for (at, raw) in self.journal.iter().enumerate() {
            each(raw, self.watch.as_ref().map_or(&[], |watch| watch.of_call(at)));
        }
        self.journal.clear();
        if let Some(watch) = &mut self.watch {
            watch.forget_calls();
        }
    }

    /// The device was closed and dropped, and will be opened again. The machine runs on.
    pub(super) fn reopened(&mut self) {
        (self.stays, self.size_limit) = (None, None);
        self.operations.reopened();
        (self.closed, self.stray) = (false, None);
    }

    /// The process dies. Whatever operations under way have left torn, nobody mends any more.
    fn kill(&mut self) {
        let under_way: Vec<u32> = self.operations.under_way().collect();
        for op in under_way {
            self.end(op, Ending::Dropped, &mut Box::default());
        }
        self.operations.crash();
        self.reopened();
    }

    fn has_unsynced(&self) -> bool {
        let changed = |file: &Inode| file.undo.calls().next().is_some() || !file.torn.is_empty();
        self.directory.calls().next().is_some() || self.files.iter().any(changed)
    }

    /// The power fails or the process dies, with operations under way or not.
    pub(super) fn crash(&mut self, policy: CrashPolicy) -> CrashReport {
        let unsynced = self.has_unsynced();
        self.told.clear();
        if policy == CrashPolicy::Kill {
            self.kill();
            return CrashReport { lost: 0, unsynced };
        }
        self.operations.crash();
        (self.full_for, self.stays, self.size_limit) = (0, None, None);
        (self.closed, self.stray) = (false, None);
        let mut outcome = match &*self.files {
            [only] if self.directory.calls().next().is_none() => only.undo.outcome(policy),
            _ => self.outcome(policy),
        };
        let before = self.files.first().map_or(0, |file| file.length);
        let mut lost = self.directory.crash(&mut outcome);
        for file in &mut self.files {
            lost += file.crash(&mut outcome);
        }
        self.record_crash(before);
        CrashReport { lost, unsynced }
    }

    /// Deciding what survives of all files.
    fn outcome(&self, policy: CrashPolicy) -> CrashOutcome {
        let files = self.files.iter().flat_map(|file| file.undo.calls());
        let mut calls: Vec<u64> = self.directory.calls().chain(files).collect();
        calls.sort_unstable();
        calls.dedup();
        CrashOutcome::new(policy, calls.into_iter())
    }

    /// A failure of the medium itself.
    pub(super) fn take_medium_error(&mut self) -> Option<io::Error> {
        self.files.iter_mut().find_map(|file| file.medium_error.take())
    }
}

impl Call {
    /// Whether it changes nothing that a later reader could see, so that it is no matter when it
    /// takes effect.
    fn only_asks(self) -> bool {
        matches!(self, Self::Sync | Self::SyncDirectory | Self::Length | Self::Open | Self::List)
    }
}
