//! What is written and not yet durable, sector by sector.

use std::collections::BTreeMap;

/// What a write or trim has left in a sector.
#[derive(Debug)]
pub(super) struct Version {
    /// What the sector held from then on.
    pub(super) bytes: Box<[u8]>,
    /// The number of the request that left it.
    pub(super) request: u64,
    /// The number of changes made before it.
    pub(super) change: u64,
    /// The number of barriers before it.
    pub(super) epoch: u64,
    /// A failed sync has dropped it: it is visible until the next crash, and never durable.
    pub(super) dropped: bool,
}

/// A sector that holds something which is not durable.
#[derive(Debug)]
pub(super) struct Sector {
    pub(super) durable: Box<[u8]>,
    /// What it held since, in order. The last is visible. There is at least one.
    pub(super) versions: Vec<Version>,
}

impl Sector {
    /// The last of those that a sync `covers` becomes durable, with whatever it replaced. False if
    /// nothing is left that is not durable.
    fn sync(&mut self, covers: impl Fn(&Version) -> bool) -> bool {
        let last = self.versions.iter().rposition(|version| !version.dropped && covers(version));
        if let Some(last) = last {
            self.durable = std::mem::take(&mut self.versions[last].bytes);
            self.versions.drain(..=last);
        }
        !self.versions.is_empty()
    }

    /// The versions that a crash may still leave.
    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = &Version> + Clone {
        self.versions.iter().filter(|version| !version.dropped)
    }

    /// What a crash leaves that chose the durable content with 0, and else one of the
    /// [`live`](Self::live) versions, counted from 1.
    pub(super) fn chosen(&self, chosen: usize) -> &[u8] {
        let version = chosen.checked_sub(1).and_then(|at| self.live().nth(at));
        version.map_or(&self.durable, |version| &version.bytes)
    }

    /// What it holds now.
    pub(super) fn visible(&self) -> &[u8] {
        self.versions.last().map_or(&self.durable, |version| &version.bytes)
    }
}

/// All of them, by the number of the sector.
#[derive(Debug, Default)]
pub(super) struct Unsynced(pub(super) BTreeMap<u64, Sector>);

impl Unsynced {
    /// The sector, which held `held`, gets a new version.
    pub(super) fn push(&mut self, sector: u64, held: impl FnOnce() -> Box<[u8]>, version: Version) {
        let fresh = || Sector { durable: held(), versions: Vec::new() };
        self.0.entry(sector).or_insert_with(fresh).versions.push(version);
    }

    /// What a sync `covers` is durable.
    pub(super) fn sync(&mut self, covers: impl Fn(&Version) -> bool) {
        self.0.retain(|_, sector| sector.sync(&covers));
    }

    /// The versions that `request` left become durable, and what a barrier has put before them.
    pub(super) fn sync_request(&mut self, request: u64) {
        let own = |version: &&Version| version.request == request;
        let epochs = self.0.values().filter_map(|sector| sector.versions.iter().rfind(own));
        let Some(epoch) = epochs.map(|version| version.epoch).max() else { return };
        self.sync(|version| version.epoch < epoch || version.request == request);
    }

    /// What was written in the epoch `epoch` from the change `mark` on is of the next one.
    pub(super) fn postpone(&mut self, mark: u64, epoch: u64) {
        let versions = self.0.values_mut().flat_map(|sector| &mut sector.versions);
        let late = versions.filter(|version| version.change >= mark && version.epoch == epoch);
        late.for_each(|version| version.epoch += 1);
    }

    /// A failed sync has dropped everything.
    pub(super) fn drop_all(&mut self) {
        let versions = self.0.values_mut().flat_map(|sector| &mut sector.versions);
        versions.for_each(|version| version.dropped = true);
    }
}
