//! What raw calls and crashes leave in the sectors, for people to look at.
//!
//! Off by default, as it copies every sector that changes. It changes nothing, and nothing that
//! steers a run sees it.

use super::fault::Call;
use super::state::State;
use std::collections::BTreeSet;

/// What a sector holds after a raw call or a crash, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
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
    held: Vec<Held>,
    /// Of each raw call in the journal, how many of `held` had been noted when it was done.
    ends: Vec<usize>,
    /// Sectors of which something was unsynced after the last raw call.
    unsynced: BTreeSet<u64>,
    /// Changes of the file before this one have been noted.
    mark: u64,
}

impl Watch {
    /// The sectors that the raw call at this place in the journal has changed.
    pub(super) fn of_call(&self, at: usize) -> &[Held] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.held[start..self.ends[at]]
    }

    /// Forgets the raw calls, and what they have changed.
    pub(super) fn forget_calls(&mut self) {
        self.held.drain(..self.ends.last().copied().unwrap_or(0));
        self.ends.clear();
    }

    /// What is noted and not of a raw call.
    pub(super) fn take_rest(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.held)
    }
}

impl State {
    /// Takes note of what sectors hold from now on, or no longer.
    pub(super) fn watch(&mut self, on: bool) {
        let ends = vec![0; self.journal.len()];
        self.watch = on.then(|| Box::new(Watch { ends, ..Watch::default() }));
    }

    /// A raw call has been entered in the journal: takes note of what it has changed.
    pub(super) fn watch_call(&mut self, call: Call) {
        let Some(watch) = self.watch.as_deref_mut() else { return };
        let mut changed = self.undo.changed_since(watch.mark);
        changed.extend(self.cuts.iter().map(|cut| cut.sector));
        if call == Call::Sync {
            changed.append(&mut watch.unsynced);
        }
        self.note_held(changed);
        if let Some(watch) = self.watch.as_deref_mut() {
            watch.ends.push(watch.held.len());
        }
    }

    /// The power has failed: takes note of what that has changed.
    pub(super) fn watch_crash(&mut self) {
        if let Some(watch) = self.watch.as_deref_mut() {
            let changed = std::mem::take(&mut watch.unsynced);
            self.note_held(changed);
        }
    }

    fn note_held(&mut self, sectors: BTreeSet<u64>) {
        let Some(mut watch) = self.watch.take() else { return };
        let size = self.sector_size;
        let mut durable = self.undo.durable_contents(size);
        for cut in &self.cuts {
            durable.entry(cut.sector).or_insert(&cut.before);
        }
        watch.held.extend(sectors.into_iter().map(|sector| {
            let mut visible = vec![0; size];
            self.visible.read(sector * size as u64, &mut visible);
            let durable = durable.get(&sector).map_or_else(|| visible.clone(), |it| it.to_vec());
            Held { sector, visible, durable }
        }));
        watch.unsynced = durable.into_keys().collect();
        watch.mark = self.undo.mark();
        self.watch = Some(watch);
    }
}
