//! Extents of four blocks in files of their own, as Ceph's FileStore, Sheepdog and the
//! sparse bundles of macOS keep them: made when they are first written, and unlinked when they are
//! trimmed.
//!
//! A file that is not there is an extent of zeros. Only syncing the directory keeps a new name, as
//! POSIX has it. A name whose unlinking failed, or was dropped, may still be there: it is unlinked
//! before it is used again, and before a flush returns.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, lock, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    NoDirectorySync,
    UnlinkedWithoutSync,
    DirtyClearedEarly,
    OnlyLastSynced,
    MissingIsError,
    TrimRoundedOutward,
    NameReused,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        ExtentFiles,
        "extent-files",
        Legal,
        None,
        "macOS sparse bundles, Ceph FileStore, Sheepdog: a file for each extent"
    ),
    device!(
        ExtentFiles,
        "extent-files-no-directory-sync",
        Durability,
        Some(Bug::NoDirectorySync),
        "new files synced, and not their names: LevelDB, and others of OSDI '14 (ALICE)"
    ),
    device!(
        ExtentFiles,
        "extent-files-unlinked-without-sync",
        Durability,
        Some(Bug::UnlinkedWithoutSync),
        "the directory is synced when files were made, and not when they were unlinked"
    ),
    device!(
        ExtentFiles,
        "extent-files-dirty-cleared-early",
        Durability,
        Some(Bug::DirtyClearedEarly),
        "the list of what is to be synced is emptied by a flush that never ends: classic"
    ),
    device!(
        ExtentFiles,
        "extent-files-only-last-synced",
        Durability,
        Some(Bug::OnlyLastSynced),
        "one file is synced, and the writes went to several: classic"
    ),
    device!(
        ExtentFiles,
        "extent-files-missing-is-error",
        Transient,
        Some(Bug::MissingIsError),
        "ENOENT of a hole told to the guest: classic"
    ),
    device!(
        ExtentFiles,
        "extent-files-trim-rounded-outward",
        Bounds,
        Some(Bug::TrimRoundedOutward),
        "a discard of a part unlinks the whole extent: classic"
    ),
    device!(
        ExtentFiles,
        "extent-files-name-reused",
        Transient,
        Some(Bug::NameReused),
        "an unlink that failed is taken for done, and O_CREAT finds the old file: classic"
    ),
];

struct ExtentFiles(Option<Bug>);

/// Blocks of an extent.
const BLOCKS: u64 = 4;

pub(super) struct Extents {
    world: World,
    /// Bytes of an extent, and of the device.
    extent: u64,
    size: u64,
    latch: Latch,
    /// Changes and flushes are made one at a time.
    turn: futures::lock::Mutex<()>,
    state: Mutex<State>,
    bug: Option<Bug>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, SimFile>,
    /// Extents to be synced.
    dirty: BTreeSet<u64>,
    /// Names to be synced.
    dirty_names: bool,
    /// Extents of zeros whose name may be there all the same.
    doubtful: BTreeSet<u64>,
    last: u64,
}

fn name(number: u64) -> String {
    format!("extent-{number:04}")
}

impl Subject for ExtentFiles {
    type Device = Shell<Extents>;

    async fn create(&self, _: &World, _: &DeviceSpec) -> Result<(), DeviceError> {
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Extents>, DeviceError> {
        let mut state = State { dirty_names: true, ..State::default() };
        for name in world.list().await? {
            let number = name.strip_prefix("extent-").and_then(|it| it.parse().ok());
            if let Some(number) = number {
                state.files.insert(number, world.open(&name).await?);
            }
        }
        // Whoever had it open before may have left something in the page cache.
        state.dirty.extend(state.files.keys());
        let latch = Latch::default();
        let extents = Extents {
            world: world.clone(),
            extent: BLOCKS * u64::from(spec.block_size),
            size: spec.geometry()?.size(),
            latch: latch.clone(),
            turn: futures::lock::Mutex::default(),
            state: state.into(),
            bug: self.0,
        };
        Shell::new(extents, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().posix_directories().trim(TrimEffect::Zeros).clean_close()
    }
}

impl Extents {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The extents that a range of the device reaches, each with the bytes of it.
    fn pieces(&self, offset: u64, length: u64) -> impl Iterator<Item = (u64, Range<u64>)> {
        let (extent, end) = (self.extent, offset + length);
        (offset / extent..end.div_ceil(extent)).map(move |number| {
            let start = number * extent;
            (number, offset.max(start) - start..end.min(start + extent) - start)
        })
    }

    /// The file of an extent that is to be written, made where there is none.
    async fn file(&self, number: u64) -> Result<SimFile, DeviceError> {
        let there = self.state().files.get(&number).cloned();
        if let Some(file) = there {
            return Ok(file);
        }
        if self.bug != Some(Bug::NameReused) {
            self.unlink_doubtful(number).await?;
        }
        self.state().dirty_names = true;
        // One whose creation was dropped is there, and empty.
        let file = self.world.open_or_create(&name(number)).await?;
        self.state().files.insert(number, file.clone());
        Ok(file)
    }

    async fn unlink_doubtful(&self, number: u64) -> Answer {
        if !self.state().doubtful.contains(&number) {
            return Ok(());
        }
        match self.world.unlink(&name(number)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let State { doubtful, dirty_names, .. } = &mut *self.state();
        doubtful.remove(&number);
        *dirty_names |= self.bug != Some(Bug::UnlinkedWithoutSync);
        Ok(())
    }

    /// Makes an extent zeros.
    async fn discard(&self, number: u64) -> Answer {
        {
            let State { files, dirty, doubtful, .. } = &mut *self.state();
            dirty.remove(&number);
            if files.remove(&number).is_some() {
                doubtful.insert(number);
            }
        }
        self.unlink_doubtful(number).await
    }
}

impl Store for Extents {
    async fn read(&self, offset: u64, mut data: &mut [u8]) -> Answer {
        for (number, bytes) in self.pieces(offset, data.len() as u64) {
            let length = usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX);
            let (piece, rest) = data.split_at_mut(length);
            let file = self.state().files.get(&number).cloned();
            match file {
                Some(file) => read_full(&file, piece, bytes.start).await?,
                None if self.bug == Some(Bug::MissingIsError) => {
                    self.world.open(&name(number)).await?;
                }
                None => piece.fill(0),
            }
            data = rest;
        }
        Ok(())
    }

    async fn write(&self, offset: u64, mut data: &[u8]) -> Answer {
        let _turn = self.turn.lock().await;
        self.latch.check()?;
        for (number, bytes) in self.pieces(offset, data.len() as u64) {
            let length = usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX);
            let (piece, rest) = data.split_at(length);
            let file = self.file(number).await?;
            {
                let State { dirty, last, .. } = &mut *self.state();
                dirty.insert(number);
                *last = number;
            }
            write_full(&file, piece, bytes.start).await?;
            data = rest;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let _turn = self.turn.lock().await;
        let (dirty, doubtful, last) = {
            let State { dirty, doubtful, last, .. } = &mut *self.state();
            let all = dirty.clone();
            if self.bug == Some(Bug::DirtyClearedEarly) {
                dirty.clear();
            }
            (all, doubtful.clone(), *last)
        };
        for number in doubtful {
            self.unlink_doubtful(number).await?;
        }
        for number in dirty {
            let file = self.state().files.get(&number).cloned();
            let skipped = number != last && self.bug == Some(Bug::OnlyLastSynced);
            if let Some(file) = file.filter(|_| !skipped) {
                self.latch.sync(&file).await?;
            }
            self.state().dirty.remove(&number);
        }
        if self.state().dirty_names && self.bug != Some(Bug::NoDirectorySync) {
            self.latch.sync_directory(&self.world).await?;
            self.state().dirty_names = false;
        }
        Ok(())
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let _turn = self.turn.lock().await;
        self.latch.check()?;
        for (number, bytes) in self.pieces(offset, length) {
            let end = self.extent.min(self.size - number * self.extent);
            if bytes == (0..end) || self.bug == Some(Bug::TrimRoundedOutward) {
                self.discard(number).await?;
                continue;
            }
            let file = self.state().files.get(&number).cloned();
            if let Some(file) = file {
                self.state().dirty.insert(number);
                let length = bytes.end - bytes.start;
                retry(|| file.punch_hole(bytes.start, length)).await?;
            }
        }
        Ok(())
    }
}
