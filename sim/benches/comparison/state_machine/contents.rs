//! What each sector may hold: now, for a read, and after a power failure.

use blocktwin::device::{DeviceError, Geometry};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a sector holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Zeros,
    Scribble,
    /// What the write of this number put there.
    Written(u64),
    Anything,
}

/// What a word of a sector adds to the number of its write, so that no two places look alike.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Content {
    fn word(self, sector: u64, at: u64) -> u64 {
        match self {
            Self::Zeros | Self::Anything => 0,
            Self::Scribble => u64::from_ne_bytes([0xab; 8]),
            Self::Written(tag) => tag ^ ODD.wrapping_mul(sector << 9 | at).rotate_left(32),
        }
    }

    pub(super) fn fill(self, sector: u64, bytes: &mut [u8]) {
        for (word, at) in bytes.chunks_exact_mut(8).zip(0..) {
            word.copy_from_slice(&self.word(sector, at).to_le_bytes());
        }
    }

    fn is(self, sector: u64, bytes: &[u8]) -> bool {
        let mut words = bytes.chunks_exact(8).zip(0..);
        self == Self::Anything || words.all(|(it, at)| *it == self.word(sector, at).to_le_bytes())
    }
}

/// A content that a crash may leave.
#[derive(Clone, Copy, Debug)]
struct Version {
    content: Content,
    /// How many barriers had returned when it was written.
    epoch: u32,
    /// Whether writing it succeeded, so that later barriers order it.
    ordered: bool,
}

#[derive(Debug)]
struct Sector {
    /// What a read may give: more than one after a failed write.
    live: Vec<Content>,
    /// What is durable, and what was written since, in order.
    versions: Vec<Version>,
    /// A sync has failed since it was written: another one that succeeds proves nothing.
    doubted: bool,
}

impl Sector {
    fn settle(&mut self, content: Content, epoch: u32) {
        self.live = vec![content];
        self.versions = vec![Version { content, epoch, ordered: true }];
        self.doubted = false;
    }
}

/// Every sector that was touched; the others are zeros.
#[derive(Debug)]
pub(super) struct Contents {
    geometry: Geometry,
    sectors: BTreeMap<u64, Sector>,
    /// Barriers so far.
    epoch: u32,
    /// The latest epoch of which anything survived the crash that is being recovered from.
    survived: u32,
}

impl Contents {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self { geometry, sectors: BTreeMap::new(), epoch: 0, survived: 0 }
    }

    fn touch(&mut self, range: &Range<u64>, mut change: impl FnMut(&mut Sector)) {
        for sector in self.geometry.sectors(range) {
            let zeros = || {
                let mut sector = Sector { live: vec![], versions: vec![], doubted: false };
                sector.settle(Content::Zeros, 0);
                sector
            };
            change(self.sectors.entry(sector).or_insert_with(zeros));
        }
    }

    /// A write or trim has ended; where it failed, each sector is old or new.
    pub(super) fn changed(
        &mut self,
        range: &Range<u64>,
        content: Content,
        result: Result<(), DeviceError>,
    ) {
        let (epoch, ordered) = (self.epoch, result.is_ok());
        self.touch(range, |sector| {
            if ordered {
                sector.live.clear();
                sector.doubted = false;
            }
            sector.live.push(content);
            sector.versions.push(Version { content, epoch, ordered });
        });
    }

    /// A write that was to be durable has succeeded.
    pub(super) fn durable(&mut self, range: &Range<u64>, content: Content) {
        let epoch = self.epoch;
        self.touch(range, |sector| sector.settle(content, epoch));
    }

    pub(super) fn flushed(&mut self) {
        let unsynced = self.sectors.values_mut().filter(|sector| sector.versions.len() > 1);
        for sector in unsynced.filter(|sector| !sector.doubted) {
            let version = |&content| Version { content, epoch: 0, ordered: false };
            sector.versions = sector.live.iter().map(version).collect();
        }
    }

    pub(super) fn barrier(&mut self) {
        self.epoch += 1;
    }

    /// A sync or close has failed: of what was not durable, nothing is promised any more.
    pub(super) fn doubt(&mut self) {
        for sector in self.sectors.values_mut().filter(|sector| sector.versions.len() > 1) {
            sector.doubted = true;
            for version in &mut sector.versions {
                (version.epoch, version.ordered) = (0, false);
            }
        }
    }

    /// The device was opened again after a close that failed: what it held in memory may be gone.
    pub(super) fn reopened_in_doubt(&mut self) {
        for sector in self.sectors.values_mut() {
            sector.live = sector.versions.iter().map(|version| version.content).collect();
        }
    }

    /// Blocks to be read back, in runs: all of a small device, what was touched of a large one.
    pub(super) fn runs(&self) -> Vec<Range<u64>> {
        let per_block = u64::from(self.geometry.block_size() / self.geometry.sector_size());
        let mut blocks: Vec<u64> = match self.geometry.block_count() {
            count if count <= 64 => (0..count).collect(),
            _ => self.sectors.keys().map(|sector| sector / per_block).collect(),
        };
        blocks.dedup();
        let runs = blocks.chunk_by(|one, next| one + 1 == *next);
        runs.map(|run| run[0]..run[run.len() - 1] + 1).collect()
    }

    /// Checks what a read gave; from then on that is what there is.
    pub(super) fn read(&mut self, offset: u64, data: &[u8]) {
        self.each(offset, data, |number, sector, bytes| {
            sector.live.retain(|content| content.is(number, bytes));
            assert!(!sector.live.is_empty(), "sector {number}: wrong contents");
        });
    }

    /// Checks what was read back after a crash.
    pub(super) fn recover(&mut self, offset: u64, data: &[u8]) {
        let mut survived = self.survived;
        self.each(offset, data, |number, sector, bytes| {
            let alike = sector.versions.iter().filter(|it| it.content.is(number, bytes));
            let earliest = alike.clone().map(|version| version.epoch).min();
            assert!(earliest.is_some(), "sector {number}: lost in a crash");
            survived = survived.max(earliest.unwrap_or(0));
            let known = alike.map(|it| it.content).find(|it| *it != Content::Anything);
            sector.live = vec![known.unwrap_or(Content::Anything)];
        });
        self.survived = survived;
    }

    /// All of it was read back: nothing of an epoch may be there while older epochs lack anything.
    pub(super) fn recovered(&mut self) {
        let survived = std::mem::take(&mut self.survived);
        for (number, sector) in &mut self.sectors {
            let oldest = sector.versions.iter().rposition(|it| it.ordered && it.epoch < survived);
            let legal = sector.versions[oldest.unwrap_or(0)..].iter().map(|it| it.content);
            let seen = sector.live[0];
            // What is unspecified stays so until it is written again.
            let unknown = legal.clone().find(|it| *it == Content::Anything);
            let explained = unknown.or(legal.clone().find(|it| *it == seen));
            let explained = explained.unwrap_or_else(|| panic!("sector {number}: out of order"));
            sector.settle(explained, 0);
        }
        self.epoch = 0;
    }

    fn each(&mut self, offset: u64, data: &[u8], mut check: impl FnMut(u64, &mut Sector, &[u8])) {
        let size = self.geometry.sector_size();
        for (number, bytes) in (offset / u64::from(size)..).zip(data.chunks_exact(size as usize)) {
            match self.sectors.get_mut(&number) {
                Some(sector) => check(number, sector, bytes),
                None => assert!(Content::Zeros.is(number, bytes), "sector {number}: never written"),
            }
        }
    }
}
