//! What reads got silently wrong, and what a device may have made of it.

use super::payload::OpId;
use super::promises::Containment;
use super::twin::Twin;
use super::version::Leaves;
use std::ops::Range;

impl Twin {
    /// Reads got something else of these sectors than what had been written, without a sign. What a
    /// device has in memory of them may be that, until they are written or the device is opened
    /// again. One that writes back whole pages may even have made it durable, and one that compares
    /// before it writes may have left out a write.
    pub fn misread(&mut self, sectors: &[u64]) {
        if sectors.is_empty() || !self.promises.excuses_harm() {
            return;
        }
        let now = self.now;
        let Some(Containment::Pages(bytes)) = self.promises.containment else {
            self.misread.extend(sectors.iter().map(|&sector| (sector, now)));
            if !self.promises.own_calls {
                for at in 0..self.in_flight.len() {
                    self.compared(self.in_flight[at], sectors);
                }
            }
            return;
        };
        // In the name of somebody in flight, so that no write in flight stands over it.
        let op = self.in_flight.last().copied().unwrap_or(0);
        let size = u64::from(self.geometry.sector_size());
        let (page, end) = ((bytes / size).max(1), self.geometry.size() / size);
        for sector in sectors {
            let page = sector / page * page..(sector / page * page + page).min(end);
            self.misread.extend(page.clone().map(|sector| (sector, now)));
            self.legal.may_hold(op, page, Leaves::Anything);
        }
    }

    /// Reads got something wrong of these sectors while `op` was in flight. If it was to write
    /// them, it may have compared, and have taken them for written already.
    pub(super) fn compared(&mut self, op: OpId, misread: &[u64]) {
        if misread.is_empty() || !self.promises.excuses_harm() {
            return;
        }
        let changes = self.log[op as usize].changes.clone();
        for &sector in misread.iter().filter(|it| changes.contains(it)) {
            self.legal.may_hold(op, sector..sector + 1, Leaves::Anything);
        }
    }

    /// A write has completed: what was read wrong of these sectors before it began is no matter any
    /// more. What was read wrong since may lie over it in a cache. Of a device that does not make
    /// its own calls, another request in flight may still have it in hand.
    pub(super) fn heal_misread(&mut self, op: OpId, changes: &Range<u64>) {
        let began = self.legal.times(op).began;
        if self.promises.own_calls || self.in_flight.is_empty() {
            let misread = self.misread.range(changes.clone());
            let healed = misread.filter(|(_, at)| **at < began).map(|(&sector, _)| sector);
            for sector in healed.collect::<Vec<_>>() {
                self.misread.remove(&sector);
            }
        }
    }
}
