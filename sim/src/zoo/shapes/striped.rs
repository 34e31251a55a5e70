//! RAID 0 over two files, as Linux md, LVM and ZFS stripe over disks: units of two blocks go to the
//! one file and to the other in turn, and a flush syncs both.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    FlushOneLeg,
    BarrierOneLeg,
    SecondErrorSwallowed,
    LastRowClamped,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Striped,
        "striped",
        Legal,
        None,
        "Linux md RAID 0, LVM stripes: units of blocks on two files in turn"
    ),
    device!(
        Striped,
        "striped-flush-one-leg",
        Durability,
        Some(Bug::FlushOneLeg),
        "a flush that is passed on to the first member only: classic"
    ),
    device!(
        Striped,
        "striped-barrier-one-leg",
        Ordering,
        Some(Bug::BarrierOneLeg),
        "barriers of striped volumes: ordered on one member, and not across them"
    ),
    device!(
        Striped,
        "striped-second-error-swallowed",
        Loud,
        Some(Bug::SecondErrorSwallowed),
        "two syncs are joined, and only the first answer is looked at: classic"
    ),
    device!(
        Striped,
        "striped-last-row-clamped",
        Bounds,
        Some(Bug::LastRowClamped),
        "a last row that is not whole, laid out otherwise: Linux md RAID 0 since 3.14"
    ),
];

/// The files.
const LEGS: [&str; 2] = [DISK, "disk-1"];

/// Blocks of a unit.
const UNIT: u64 = 2;

struct Striped(Option<Bug>);

struct Legs {
    files: [SimFile; 2],
    /// Bytes of a unit.
    unit: u64,
    /// Bytes of the device.
    size: u64,
    latch: Latch,
    bug: Option<Bug>,
}

impl Subject for Striped {
    type Device = Shell<Legs>;

    async fn create(&self, world: &World, _: &DeviceSpec) -> Result<(), DeviceError> {
        for leg in LEGS {
            world.create(leg).await?;
        }
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Legs>, DeviceError> {
        let files = [world.open(LEGS[0]).await?, world.open(LEGS[1]).await?];
        let (unit, size) = (UNIT * u64::from(spec.block_size), spec.geometry()?.size());
        let latch = Latch::default();
        let legs = Legs { files, unit, size, latch: latch.clone(), bug: self.0 };
        Shell::new(legs, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Nothing).clean_close()
    }
}

impl Legs {
    /// Which file, where in it, and which bytes of the transfer, for as many bytes from `done` on
    /// as lie in one unit.
    fn piece(&self, offset: u64, done: usize, length: usize) -> (&SimFile, u64, Range<usize>) {
        let at = offset + done as u64;
        let (number, within) = (at / self.unit, at % self.unit);
        let whole_rows = self.size / (2 * self.unit);
        let row = match self.bug {
            Some(Bug::LastRowClamped) => (number / 2).min(whole_rows.saturating_sub(1)),
            _ => number / 2,
        };
        let left = usize::try_from(self.unit - within).unwrap_or(usize::MAX);
        let leg = usize::from(!number.is_multiple_of(2));
        (&self.files[leg], row * self.unit + within, done..length.min(done.saturating_add(left)))
    }
}

impl Store for Legs {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let mut done = 0;
        while done < data.len() {
            let (file, at, bytes) = self.piece(offset, done, data.len());
            done = bytes.end;
            read_full(file, &mut data[bytes], at).await?;
        }
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let mut done = 0;
        while done < data.len() {
            let (file, at, bytes) = self.piece(offset, done, data.len());
            done = bytes.end;
            write_full(file, &data[bytes], at).await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.files[0]).await?;
        match self.bug {
            Some(Bug::FlushOneLeg) => Ok(()),
            Some(Bug::SecondErrorSwallowed) => {
                let _ = self.files[1].sync_data().await;
                Ok(())
            }
            _ => self.latch.sync(&self.files[1]).await,
        }
    }

    async fn barrier(&self) -> Answer {
        match self.bug {
            Some(Bug::BarrierOneLeg) => self.latch.sync(&self.files[1]).await,
            _ => self.flush().await,
        }
    }
}
