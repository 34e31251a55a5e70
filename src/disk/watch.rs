//! What raw calls and crashes leave in the sectors of the first file, for people to look at.
//!
//! Off by default, as it copies every sector that changes. It changes nothing, and nothing that
//! steers a run sees it.

use super::fault::Call;
use super::state::State;
use std::collections::BTreeSet;

/// At most this many sectors behind the end of a file that a crash has cut are recorded.
const MOST_GONE: usize = 4096;

/// What a sector holds after a raw call or a crash, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectorState {
    /// The sector, by number.
    pub sector: u64,
    /// What reads get.
    pub visible: Vec<u8>,
    /// What a crash in which nothing unsynced survives would leave.
    pub durable: Vec<u8>,
}

/// Takes note of what sectors hold.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Sectors that raw calls have changed, call by call, and then those that a crash has.
    states: Vec<SectorState>,
    /// Of each raw call in the journal, how many of `states` had been noted when it was done.
    ends: Vec<usize>,
    /// Sectors of which something was unsynced after the last raw call.
    unsynced: BTreeSet<u64>,
    /// Changes of the file before this one have been noted.
    mark: u64,
}

impl Watch {
    /// The sectors that the raw call at this place in the journal has changed.
    pub(super) fn of_call(&self, at: usize) -> &[SectorState] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.states[start..self.ends[at]]
    }

    /// Forgets the raw calls, and what they have changed.
    pub(super) fn forget_calls(&mut self) {
        self.states.drain(..self.ends.last().copied().unwrap_or(0));
        self.ends.clear();
    }

    /// What is noted and not of a raw call.
    pub(super) fn take_rest(&mut self) -> Vec<SectorState> {
        std::mem::take(&mut self.states)
    }
}

impl State {
    /// Takes note of what sectors hold from now on, or no longer.
    pub(super) fn watch(&mut self, on: bool) {
        let ends = vec![0; self.journal.len()];
        self.watch = on.then(|| Box::new(Watch { ends, ..Watch::default() }));
    }

    /// A raw call has been entered in the journal: takes note of what it has changed.
    #[cold]
    pub(super) fn record_sectors(&mut self, call: Call) {
        let Some(watch) = self.watch.as_deref_mut() else { return };
        let Some(file) = self.files.first() else { return watch.ends.push(watch.states.len()) };
        let mut changed = file.undo.changed_since(watch.mark);
        changed.extend(file.torn.iter().map(|torn| torn.sector));
        if call == Call::Sync {
            changed.append(&mut watch.unsynced);
        }
        self.record_states(changed);
        if let Some(watch) = self.watch.as_deref_mut() {
            watch.ends.push(watch.states.len());
        }
    }

    /// The power has failed: takes note of what that has changed.
    /// The first file was `before` bytes long: what was durable behind its new end is gone too.
    pub(super) fn record_crash(&mut self, before: u64) {
        let (size, after) = (self.sector_size as u64, self.files.first().map_or(0, |it| it.length));
        if let Some(watch) = self.watch.as_deref_mut() {
            let mut changed = std::mem::take(&mut watch.unsynced);
            let gone = after.div_ceil(size)..before.div_ceil(size);
            changed.extend(gone.take(MOST_GONE));
            self.record_states(changed);
        }
    }

    fn record_states(&mut self, sectors: BTreeSet<u64>) {
        let (Some(mut watch), Some(file)) = (self.watch.take(), self.files.first()) else {
            return;
        };
        let size = self.sector_size;
        let mut durable = file.undo.durable_contents(size);
        for torn in &file.torn {
            durable.entry(torn.sector).or_insert(&torn.before);
        }
        watch.states.extend(sectors.into_iter().map(|sector| {
            let mut visible = vec![0; size];
            file.visible.read(sector * size as u64, &mut visible);
            let durable = durable.get(&sector).map_or_else(|| visible.clone(), |it| it.to_vec());
            SectorState { sector, visible, durable }
        }));
        watch.unsynced = durable.into_keys().collect();
        watch.mark = file.undo.mark();
        self.watch = Some(watch);
    }
}
