//! Blocks that are never overwritten where they lie, as in WAFL, ZFS and LMDB: each write goes to a
//! free place, and a map says where each block is. What is durable is the map that was committed
//! last, with all the places that it names. So a flush syncs the data, and then commits the map.

use super::shell::{Answer, Store};
use crate::zoo::files::{Latch, number, read_full, write_full};
use blocktwin::disk::SimFile;
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;
use std::collections::BTreeSet;
use std::future::Future;

/// How a map is made the one that the next opening finds, at once and durably.
pub(super) trait Commit: Send {
    /// Commits this map. Where that fails, or is dropped, either map may be found.
    fn commit(&mut self, map: &[u8]) -> impl Future<Output = Answer> + Send;
}

/// What a bug of this part does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// The map is committed before the data is durable.
    DataNotSynced,
    /// A place is free as soon as the map in memory does not name it.
    FreedEarly,
}

/// Bytes of the map for a block: the number of its place, from 1; 0 for a block of zeros.
const ENTRY: usize = 8;

/// Bytes of the map of such a device.
pub(super) fn map_length(spec: &DeviceSpec) -> usize {
    usize::try_from(spec.block_count).unwrap_or(usize::MAX).saturating_mul(ENTRY)
}

pub(super) struct Shadow<C> {
    file: SimFile,
    /// Where the first place begins, in bytes.
    start: u64,
    block: usize,
    state: Mutex<State<C>>,
    latch: Latch,
    bug: Option<Bug>,
}

struct State<C> {
    commit: C,
    map: Vec<u64>,
    /// The places that are named by a map that the next opening may find.
    held: BTreeSet<u64>,
    /// The map is not the one that was committed.
    changed: bool,
}

impl<C: Commit> Shadow<C> {
    /// The blocks that this committed and durable map tells of.
    pub(super) fn new(
        file: SimFile,
        start: u64,
        spec: &DeviceSpec,
        (commit, map): (C, &[u8]),
        latch: Latch,
        bug: Option<Bug>,
    ) -> Self {
        let map: Vec<u64> = map.chunks(ENTRY).map(number).collect();
        let held = map.iter().copied().collect();
        let state = Mutex::new(State { commit, map, held, changed: false });
        Self { file, start, block: spec.block_size as usize, state, latch, bug }
    }

    fn position(&self, place: u64) -> u64 {
        self.start + (place - 1) * self.block as u64
    }

    fn entries(&self, offset: u64, length: u64) -> std::ops::Range<usize> {
        let block = self.block as u64;
        let entry = |bytes: u64| usize::try_from(bytes / block).unwrap_or(usize::MAX);
        entry(offset)..entry(offset + length)
    }

    fn free_place(&self, state: &State<C>) -> u64 {
        let mut taken: BTreeSet<u64> = state.map.iter().copied().collect();
        if self.bug != Some(Bug::FreedEarly) {
            taken.extend(&state.held);
        }
        (1..).find(|place| !taken.contains(place)).unwrap_or(u64::MAX)
    }
}

impl<C: Commit> Store for Shadow<C> {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let state = self.state.lock().await;
        let places = &state.map[self.entries(offset, data.len() as u64)];
        for (&place, data) in places.iter().zip(data.chunks_mut(self.block)) {
            match place {
                0 => data.fill(0),
                _ => read_full(&self.file, data, self.position(place)).await?,
            }
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let mut state = self.state.lock().await;
        for (at, data) in self.entries(offset, data.len() as u64).zip(data.chunks(self.block)) {
            let place = self.free_place(&state);
            write_full(&self.file, data, self.position(place)).await?;
            state.map[at] = place;
            state.changed = true;
        }
        Ok(())
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let mut state = self.state.lock().await;
        state.map[self.entries(offset, length)].fill(0);
        state.changed = true;
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let mut guard = self.state.lock().await;
        let state = &mut *guard;
        // A sync may have failed while this waited.
        self.latch.check()?;
        if !state.changed {
            return Ok(());
        }
        if self.bug != Some(Bug::DataNotSynced) {
            self.latch.sync(&self.file).await?;
        }
        state.held.extend(&state.map);
        let map: Vec<u8> = state.map.iter().flat_map(|place| place.to_le_bytes()).collect();
        state.commit.commit(&map).await?;
        state.held = state.map.iter().copied().collect();
        state.changed = false;
        Ok(())
    }
}
