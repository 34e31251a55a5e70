//! A copy-on-write overlay over a base that stays as it is, as qcow2 with a backing file and
//! dm-snapshot have it. The overlay keeps units of four blocks; the first write to a unit copies
//! the rest of it from the base. The head of the overlay is a map of units, written when the units
//! in it are durable. Each opening commits the overlay to the base first, as `qemu-img commit`
//! does, and empties it.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, number, read_full, retry, with_numbers, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use futures::lock::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    RestForgotten,
    MapBeforeData,
    MapNotWritten,
    EmptiedEarly,
    CopiedAgain,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Overlay,
        "overlay",
        Legal,
        None,
        "qcow2 over a backing file, dm-snapshot: copy on write"
    ),
    device!(
        Overlay,
        "overlay-rest-forgotten",
        Bounds,
        Some(Bug::RestForgotten),
        "a partial write to a new cluster without the rest of it from the base: classic"
    ),
    device!(
        Overlay,
        "overlay-copied-again",
        Bounds,
        Some(Bug::CopiedAgain),
        "copied from the base although it is in the overlay: two first writes of a cluster"
    ),
    device!(
        Overlay,
        "overlay-map-before-data",
        Reopen,
        Some(Bug::MapBeforeData),
        "map and data in one sync: the L2 table of a qcow2 reaches the disk before its cluster"
    ),
    device!(
        Overlay,
        "overlay-map-not-written",
        Durability,
        Some(Bug::MapNotWritten),
        "a flush that syncs the data, with the map in a cache above: classic"
    ),
    device!(
        Overlay,
        "overlay-emptied-early",
        Durability,
        Some(Bug::EmptiedEarly),
        "the overlay is emptied before what was committed to the base is synced: classic"
    ),
];

/// Blocks of a unit.
const UNIT: u64 = 4;

const BASE: &str = "base";
const OVERLAY: &str = "overlay";

struct Overlay(Option<Bug>);

struct Layers {
    base: SimFile,
    overlay: SimFile,
    sector: usize,
    /// Bytes of a unit.
    unit: u64,
    map: Mutex<Map>,
    latch: Latch,
    bug: Option<Bug>,
}

struct Map {
    /// The slot of each unit, from 1; 0 for one that is in the base only.
    slots: Vec<u64>,
    /// How many slots are taken.
    taken: u64,
    changed: bool,
}

impl Subject for Overlay {
    type Device = Shell<Layers>;

    async fn create(&self, world: &World, _spec: &DeviceSpec) -> Answer {
        world.create(BASE).await?;
        world.create(OVERLAY).await?;
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Layers>, DeviceError> {
        let base = retry(|| world.open(BASE)).await?;
        let overlay = retry(|| world.open(OVERLAY)).await?;
        let (sector, unit) = (spec.sector_size as usize, u64::from(spec.block_size) * UNIT);
        let units = usize::try_from(spec.block_count.div_ceil(UNIT)).unwrap_or(usize::MAX);
        let mut saved = vec![0; 8 * units];
        read_full(&overlay, &mut saved, 0).await?;
        let slots = saved.chunks(8).map(number).collect();
        let map = Mutex::new(Map { slots, taken: 0, changed: false });
        let latch = Latch::default();
        let (bug, for_shell) = (self.0, latch.clone());
        let layers = Layers { base, overlay, sector, unit, map, latch, bug };
        layers.commit().await?;
        Shell::new(layers, world, spec, for_shell)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Nothing).clean_close()
    }

    /// The map is one sector.
    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=256)
    }
}

impl Layers {
    fn position(&self, slot: u64) -> u64 {
        self.sector as u64 + (slot - 1) * self.unit
    }

    /// Copies the overlay to the base, and empties it.
    async fn commit(&self) -> Answer {
        let mut map = self.map.lock().await;
        let in_overlay = map.slots.iter().zip(0_u64..).filter(|&(&slot, _)| slot > 0);
        let mut data = vec![0; usize::try_from(self.unit).unwrap_or(usize::MAX)];
        for (&slot, unit) in in_overlay {
            read_full(&self.overlay, &mut data, self.position(slot)).await?;
            write_full(&self.base, &data, unit * self.unit).await?;
        }
        if self.bug != Some(Bug::EmptiedEarly) {
            self.latch.sync(&self.base).await?;
        }
        map.slots.fill(0);
        self.save(&map).await
    }

    /// Writes the map, durably.
    async fn save(&self, map: &Map) -> Answer {
        write_full(&self.overlay, &with_numbers(self.sector, &map.slots), 0).await?;
        self.latch.sync(&self.overlay).await
    }

    /// Makes a unit of a part of it and what the base has of the rest.
    async fn copy_up(&self, unit: u64, data: &[u8], within: usize) -> Result<Vec<u8>, DeviceError> {
        let mut whole = vec![0; usize::try_from(self.unit).unwrap_or(usize::MAX)];
        if self.bug != Some(Bug::RestForgotten) {
            read_full(&self.base, &mut whole, unit * self.unit).await?;
        }
        whole[within..within + data.len()].copy_from_slice(data);
        Ok(whole)
    }

    /// The parts of a range, unit by unit: the unit, where the part begins in it, and its length.
    fn parts(&self, offset: u64, length: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let (unit, end) = (self.unit, offset + length as u64);
        let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        (offset / unit..end.div_ceil(unit)).map(move |at| {
            let (start, end) = (offset.max(at * unit), end.min((at + 1) * unit));
            (number(at), number(start - at * unit), number(end - start))
        })
    }
}

impl Store for Layers {
    async fn read(&self, offset: u64, mut data: &mut [u8]) -> Answer {
        let map = self.map.lock().await;
        for (unit, within, length) in self.parts(offset, data.len()) {
            let (part, rest) = data.split_at_mut(length);
            match map.slots[unit] {
                0 => read_full(&self.base, part, unit as u64 * self.unit + within as u64).await?,
                slot => {
                    read_full(&self.overlay, part, self.position(slot) + within as u64).await?;
                }
            }
            data = rest;
        }
        Ok(())
    }

    async fn write(&self, offset: u64, mut data: &[u8]) -> Answer {
        let mut map = self.map.lock().await;
        for (unit, within, length) in self.parts(offset, data.len()) {
            let (part, rest) = data.split_at(length);
            match map.slots[unit] {
                slot if slot > 0 && self.bug != Some(Bug::CopiedAgain) => {
                    write_full(&self.overlay, part, self.position(slot) + within as u64).await?;
                }
                _ => {
                    let whole = self.copy_up(unit as u64, part, within).await?;
                    let slot = map.taken + 1;
                    write_full(&self.overlay, &whole, self.position(slot)).await?;
                    (map.slots[unit], map.taken, map.changed) = (slot, slot, true);
                }
            }
            data = rest;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        let mut map = self.map.lock().await;
        if !map.changed || self.bug != Some(Bug::MapBeforeData) {
            self.latch.sync(&self.overlay).await?;
        }
        if map.changed && self.bug != Some(Bug::MapNotWritten) {
            self.save(&map).await?;
        }
        map.changed = false;
        Ok(())
    }
}
