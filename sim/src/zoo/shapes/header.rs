//! Header and data in one file, as QEMU's `parallels` and VirtualBox's fixed VDI have them: the
//! first sector says how large the device is, and block 0 lies behind it.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::scenario::DeviceSpec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    ForgottenByLongReads,
    LastBlockInHeader,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(Header, "header", Legal, None, "QEMU parallels, fixed VDI: a header before the data"),
    device!(
        Header,
        "header-forgotten-by-long-reads",
        Bounds,
        Some(Bug::ForgottenByLongReads),
        "reads of several blocks begin where the file does, not the data: classic"
    ),
    device!(
        Header,
        "header-overwritten",
        Bounds,
        Some(Bug::LastBlockInHeader),
        "an offset that wraps around at the size of the data hits the header: classic"
    ),
];

struct Header(Option<Bug>);

struct Data {
    file: SimFile,
    /// Where block 0 is, in bytes: after one sector.
    start: u64,
    spec: DeviceSpec,
    latch: Latch,
    bug: Option<Bug>,
}

impl Subject for Header {
    type Device = Shell<Data>;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        let file = world.create(DISK).await?;
        let mut header = vec![0; spec.sector_size as usize];
        header[..8].copy_from_slice(&spec.block_count.to_le_bytes());
        write_full(&file, &header, 0).await
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Data>, DeviceError> {
        let file = world.disk()?;
        let mut header = vec![0; spec.sector_size as usize];
        read_full(&file, &mut header, 0).await?;
        let mut count = [0; 8];
        count.copy_from_slice(&header[..8]);
        let spec = DeviceSpec { block_count: u64::from_le_bytes(count), ..*spec };
        let (start, latch) = (u64::from(spec.sector_size), Latch::default());
        let data = Data { file, start, spec, latch: latch.clone(), bug: self.0 };
        Shell::new(data, world, &spec, latch)
    }
}

impl Store for Data {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let long = data.len() > self.spec.block_size as usize;
        let start =
            if long && self.bug == Some(Bug::ForgottenByLongReads) { 0 } else { self.start };
        read_full(&self.file, data, start + offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let block = u64::from(self.spec.block_size);
        let last = offset == (self.spec.block_count - 1) * block;
        let start = match self.bug {
            Some(Bug::LastBlockInHeader) if last => self.start.wrapping_sub(offset + self.start),
            _ => self.start,
        };
        write_full(&self.file, data, start.wrapping_add(offset)).await
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }
}
