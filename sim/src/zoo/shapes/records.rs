//! Records of one block each, one behind the other in a file: what logs and journals are made of.
//!
//! The first sector of the file is its user's. A record is a sector that says which block it is,
//! and the block. Its checksum tells whether all of it is there; the epoch, whether it belongs to
//! this use of the file.

use super::shell::Answer;
use crate::zoo::files::{checksum, number, read_full, with_numbers, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::SimFile;
use blocktwin::scenario::DeviceSpec;
use std::collections::BTreeMap;

pub(super) struct Records {
    pub(super) file: SimFile,
    pub(super) epoch: u64,
    /// The slot of the newest record of each block.
    pub(super) newest: BTreeMap<u64, u64>,
    /// The slot of the next record.
    pub(super) tail: u64,
    /// A record at the tail may have been written or not.
    unsure: bool,
    /// What the checksum of a record says is not looked at.
    pub(super) trusting: bool,
    /// The oldest record of each block is taken for the newest.
    pub(super) oldest: bool,
    sector: usize,
    block: usize,
}

impl Records {
    /// None as yet; see [`replay`](Self::replay).
    pub(super) fn new(file: SimFile, spec: &DeviceSpec, epoch: u64) -> Self {
        Self {
            file,
            epoch,
            newest: BTreeMap::new(),
            tail: 0,
            unsure: false,
            trusting: false,
            oldest: false,
            sector: spec.sector_size as usize,
            block: spec.block_size as usize,
        }
    }

    fn position(&self, slot: u64) -> u64 {
        self.sector as u64 + slot * (self.sector + self.block) as u64
    }

    fn sum(&self, slot: u64, block: u64, data: &[u8]) -> u64 {
        checksum(&[&with_numbers(24, &[self.epoch, slot, block]), data])
    }

    /// Which block the record at this slot is of, if there is one.
    async fn load(&self, slot: u64) -> Result<Option<u64>, DeviceError> {
        let mut record = vec![0; self.sector + self.block];
        read_full(&self.file, &mut record, self.position(slot)).await?;
        let (head, data) = record.split_at(self.sector);
        let (epoch, block, sum) = (number(head), number(&head[8..]), number(&head[16..]));
        let whole = self.trusting || sum == self.sum(slot, block, data);
        Ok((epoch == self.epoch && whole).then_some(block))
    }

    /// The record at the tail is there.
    fn adopt(&mut self, block: u64) {
        if !self.oldest || !self.newest.contains_key(&block) {
            self.newest.insert(block, self.tail);
        }
        self.tail += 1;
        self.unsure = false;
    }

    /// Finds the records that are there, up to the first that is not.
    pub(super) async fn replay(&mut self) -> Answer {
        while let Some(block) = self.load(self.tail).await? {
            self.adopt(block);
        }
        Ok(())
    }

    /// Finds out what became of a record that failed, or whose writer was dropped: it counts if
    /// the next opening would find it.
    pub(super) async fn settle(&mut self) -> Answer {
        if self.unsure {
            if let Some(block) = self.load(self.tail).await? {
                self.adopt(block);
            }
            self.unsure = false;
        }
        Ok(())
    }

    /// Writes a record, behind all others.
    pub(super) async fn append(&mut self, block: u64, data: &[u8]) -> Answer {
        self.settle().await?;
        let sum = self.sum(self.tail, block, data);
        let mut record = with_numbers(self.sector, &[self.epoch, block, sum]);
        record.extend_from_slice(data);
        self.unsure = true;
        write_full(&self.file, &record, self.position(self.tail)).await?;
        self.adopt(block);
        Ok(())
    }

    /// Reads the block in the record at this slot.
    pub(super) async fn read_slot(&self, slot: u64, data: &mut [u8]) -> Answer {
        read_full(&self.file, data, self.position(slot) + self.sector as u64).await
    }

    /// Forgets all records, which makes room for those of another epoch.
    pub(super) fn restart(&mut self, epoch: u64) {
        self.newest.clear();
        (self.epoch, self.tail, self.unsure) = (epoch, 0, false);
    }
}
