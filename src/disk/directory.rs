//! The directory: which name stands for which file, and which of that is durable.
//!
//! Creating, renaming and unlinking a file changes entries at once, and these changes are
//! *unsynced* until the directory is synced. A crash keeps or loses each change, one and all: a
//! rename that is lost leaves both names as they were, so that a file that was renamed over is the
//! old one or the new one, and never absent. Changes that share a name keep their order. Changes of
//! different names may survive in any order: btrfs logs the entries of the one file that is synced,
//! ext4 and xfs commit them with their journal.
//!
//! Syncing a file keeps the entry under which it was created or renamed, as ext4, xfs and btrfs do
//! (seen on Linux 6.1 and 6.12, `shared/kernel`), unless [`Rules::posix_entries`] says that only
//! syncing the directory does.
//!
//! A sync of the directory that fails leaves its changes unsynced: a later one can keep them. The
//! kernel is stricter: ext4 aborts its journal, xfs shuts down and btrfs turns read-only.
//!
//! [`Rules::posix_entries`]: super::Rules::posix_entries

use super::crash::CrashOutcome;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A number for a name, in the order in which names were first used.
pub(super) type NameId = u32;

/// A file, by number.
pub(super) type FileId = u32;

/// The names that were used, and their numbers.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, NameId>,
}

impl Names {
    /// Only the first one stays.
    pub(super) fn reset(&mut self) {
        while self.names.len() > 1
            && let Some(name) = self.names.pop()
        {
            self.numbers.remove(&name);
        }
    }

    pub(super) fn id(&mut self, name: &str) -> NameId {
        if let Some(&id) = self.numbers.get(name) {
            return id;
        }
        let id = NameId::try_from(self.names.len()).expect("fewer than 2^32 names are used");
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, id);
        id
    }

    pub(super) fn name(&self, id: NameId) -> Arc<str> {
        let name = self.names.get(id as usize).cloned();
        name.unwrap_or_else(|| panic!("no file was ever called by the name of number {id}"))
    }
}

/// An unsynced change of the directory.
#[derive(Clone, Debug)]
struct Change {
    /// The raw call that made it, by number.
    call: u64,
    /// The entries that it set, each with what it held before: the second too of a rename.
    entries: [Option<(NameId, Option<FileId>)>; 2],
    /// The file whose sync keeps it; none of an unlinking.
    linked: Option<FileId>,
}

impl Change {
    fn names(&self) -> impl Iterator<Item = NameId> {
        self.entries.iter().flatten().map(|&(name, _)| name)
    }

    fn shares_name(&self, names: &[NameId]) -> bool {
        self.names().any(|name| names.contains(&name))
    }
}

/// The one directory of a disk.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<NameId, FileId>,
    unsynced: Vec<Change>,
    /// How many changes were ever made.
    made: u64,
}

impl Directory {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.unsynced.clear();
    }

    pub(super) fn get(&self, name: NameId) -> Option<FileId> {
        self.entries.get(&name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = NameId> {
        self.entries.keys().copied()
    }

    /// What a sync remembers of the moment when it began.
    pub(super) fn mark(&self) -> u64 {
        self.made
    }

    /// The raw calls that made the unsynced changes, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = u64> {
        self.unsynced.iter().map(|change| change.call)
    }

    fn change(&mut self, call: u64, sets: [Option<(NameId, Option<FileId>)>; 2]) {
        let linked = sets.iter().flatten().find_map(|&(_, file)| file);
        let mut set = |(name, file): (NameId, Option<FileId>)| {
            let before = match file {
                Some(file) => self.entries.insert(name, file),
                None => self.entries.remove(&name),
            };
            (name, before)
        };
        let entries = sets.map(|it| it.map(&mut set));
        self.unsynced.push(Change { call, entries, linked });
        self.made += 1;
    }

    pub(super) fn link(&mut self, call: u64, name: NameId, file: FileId) {
        self.change(call, [Some((name, Some(file))), None]);
    }

    pub(super) fn unlink(&mut self, call: u64, name: NameId) {
        self.change(call, [Some((name, None)), None]);
    }

    pub(super) fn rename(&mut self, call: u64, from: NameId, to: NameId, file: FileId) {
        self.change(call, [Some((from, None)), Some((to, Some(file)))]);
    }

    /// The directory was synced; the sync began at `mark`.
    pub(super) fn synced(&mut self, mark: u64) {
        assert!(mark <= self.made, "a sync of the directory began before it ends");
        // Others may have become durable meanwhile, by the sync of a file.
        let newer = usize::try_from(self.made - mark).expect("changes are kept in memory");
        let end = self.unsynced.len().saturating_sub(newer);
        let mut at = 0;
        self.unsynced.retain(|_| {
            at += 1;
            at > end
        });
    }

    /// `file` was synced, which keeps the changes that linked it, and those before them that share
    /// a name with these.
    pub(super) fn file_synced(&mut self, file: FileId) {
        if self.unsynced.iter().all(|change| change.linked != Some(file)) {
            return;
        }
        let mut names: Vec<NameId> = Vec::new();
        let mut kept = vec![false; self.unsynced.len()];
        for (change, kept) in self.unsynced.iter().zip(&mut kept).rev() {
            if change.linked == Some(file) || change.shares_name(&names) {
                *kept = true;
                names.extend(change.names());
            }
        }
        let mut kept = kept.into_iter();
        self.unsynced.retain(|_| !kept.next().expect("one for each change"));
    }

    /// Everything is durable.
    pub(super) fn settle(&mut self) {
        self.unsynced.clear();
    }

    /// The power fails. Tells how many changes were lost.
    pub(super) fn crash(&mut self, outcome: &mut CrashOutcome) -> u64 {
        let changes = std::mem::take(&mut self.unsynced);
        let mut lost_names: Vec<NameId> = Vec::new();
        let mut lost = Vec::new();
        for (change, at) in changes.iter().zip(0_u64..) {
            // Apart from each other and from all sectors, so that no two are neighbours.
            let place = u64::MAX - 2 * (at % (1 << 20));
            let kept = outcome.choose(place, &[change.call]) == 1;
            if !kept || change.shares_name(&lost_names) {
                lost_names.extend(change.names());
                lost.push(change);
            }
        }
        let count = lost.len() as u64;
        for change in lost.into_iter().rev() {
            for &(name, before) in change.entries.iter().flatten() {
                match before {
                    Some(file) => self.entries.insert(name, file),
                    None => self.entries.remove(&name),
                };
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::super::CrashPolicy;
    use super::*;

    const OLD: NameId = 1;
    const NEW: NameId = 2;

    fn crash(directory: &mut Directory, policy: CrashPolicy) -> [Option<FileId>; 2] {
        let calls: Vec<u64> = directory.calls().collect();
        directory.crash(&mut CrashOutcome::new(policy, calls.into_iter()));
        [directory.get(OLD), directory.get(NEW)]
    }

    /// File 1 is durable as `OLD`, file 2 was created as `NEW`.
    fn replaced() -> Directory {
        let mut directory = Directory::default();
        directory.link(1, OLD, 1);
        directory.synced(directory.mark());
        directory.link(2, NEW, 2);
        directory
    }

    #[test]
    fn an_entry_that_was_renamed_over_is_old_or_new() {
        let mut seen = Vec::new();
        for seed in 0..50 {
            let mut directory = replaced();
            directory.rename(3, NEW, OLD, 2);
            seen.push(crash(&mut directory, CrashPolicy::Random(seed)));
        }
        for outcome in [[Some(1), None], [Some(1), Some(2)], [Some(2), None]] {
            assert!(seen.contains(&outcome), "{outcome:?}");
        }
        assert!(seen.iter().all(|[old, _]| old.is_some()));
    }

    #[test]
    fn syncing_a_file_keeps_its_creation_and_its_rename() {
        let mut directory = replaced();
        directory.file_synced(2);
        assert_eq!(crash(&mut directory, CrashPolicy::None), [Some(1), Some(2)]);
        let mut directory = replaced();
        directory.rename(3, NEW, OLD, 2);
        directory.file_synced(1);
        assert_eq!(crash(&mut directory, CrashPolicy::None), [Some(1), None]);
        let mut directory = replaced();
        directory.rename(3, NEW, OLD, 2);
        directory.file_synced(2);
        assert_eq!(crash(&mut directory, CrashPolicy::None), [Some(2), None]);
    }

    #[test]
    #[should_panic(expected = "a sync of the directory began before it ends")]
    fn a_sync_does_not_end_before_it_begins() {
        Directory::default().synced(1);
    }

    #[test]
    #[should_panic(expected = "no file was ever called by the name of number 0")]
    fn a_name_that_was_never_used_has_no_number() {
        Names::default().name(0);
    }

    #[test]
    fn a_sync_keeps_what_was_there_when_it_began() {
        let mut directory = replaced();
        let mark = directory.mark();
        directory.unlink(3, OLD);
        directory.synced(mark);
        assert_eq!(crash(&mut directory, CrashPolicy::None), [Some(1), Some(2)]);
        assert_eq!(crash(&mut directory, CrashPolicy::None), [Some(1), Some(2)]);
    }
}
