//! Pages of eight blocks that are read, changed and written back, as SSDs, RAID 5 and disks that
//! emulate sectors of 512 bytes do it. A neighbour that was read wrong is written back wrong.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};
use futures::lock::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Unlocked,
    UnreadableIsEmpty,
    LastPageWhole,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        PagesOfEight,
        "pages-of-eight",
        Legal,
        None,
        "emulated 512-byte sectors, RAID 5, flash pages: read, modify, write"
    ),
    device!(
        PagesOfEight,
        "pages-of-eight-unlocked",
        Concurrency,
        Some(Bug::Unlocked),
        "two writers of one page, and the second writes back old blocks: classic"
    ),
    device!(
        PagesOfEight,
        "pages-unreadable-are-zeros",
        Loud,
        Some(Bug::UnreadableIsEmpty),
        "a page that cannot be read is taken for an empty one, and written back"
    ),
    device!(
        PagesOfEight,
        "pages-past-the-end",
        Bounds,
        Some(Bug::LastPageWhole),
        "a device that does not end where a page does: 512e alignment, classic"
    ),
];

struct PagesOfEight(Option<Bug>);

/// The largest blocks that it takes, in bytes.
const LARGEST: u32 = 4096;

struct Pages {
    file: SimFile,
    /// Bytes of a page.
    page: u64,
    /// Bytes of the device, which may end within a page.
    size: u64,
    latch: Latch,
    writing: Mutex<()>,
    bug: Option<Bug>,
}

impl Subject for PagesOfEight {
    type Device = Shell<Pages>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Pages>, DeviceError> {
        let (page, size) = (8 * u64::from(spec.block_size), spec.geometry()?.size());
        let (file, latch, writing) = (world.disk()?, Latch::default(), Mutex::default());
        let pages = Pages { file, page, size, latch: latch.clone(), writing, bug: self.0 };
        Shell::new(pages, world, spec, latch)
    }

    /// Harm stays in the page. How large that is depends on the blocks, and this is a multiple of
    /// all that there can be.
    fn promises(&self) -> Promises {
        let promises = Promises::none().in_place().trim(TrimEffect::Nothing).clean_close();
        promises.contained_in_pages(8 * u64::from(LARGEST))
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().block_sizes(..=LARGEST)
    }
}

impl Pages {
    /// Writes the part of `data`, which lies at `offset`, that is in the page at `start`.
    async fn rewrite(&self, start: u64, offset: u64, data: &[u8]) -> Answer {
        let page_end = match self.bug {
            Some(Bug::LastPageWhole) => start + self.page,
            _ => self.size.min(start + self.page),
        };
        let (from, to) = (start.max(offset), page_end.min(offset + data.len() as u64));
        let bytes = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
        let mut page = vec![0; bytes(start, page_end)];
        if to - from < page_end - start {
            match read_full(&self.file, &mut page, start).await {
                Err(_) if self.bug == Some(Bug::UnreadableIsEmpty) => page.fill(0),
                read => read?,
            }
        }
        page[bytes(start, from)..bytes(start, to)]
            .copy_from_slice(&data[bytes(offset, from)..bytes(offset, to)]);
        write_full(&self.file, &page, start).await
    }
}

impl Store for Pages {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        read_full(&self.file, data, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let unlocked = self.bug == Some(Bug::Unlocked);
        let _one_at_a_time = if unlocked { None } else { Some(self.writing.lock().await) };
        let mut start = offset / self.page * self.page;
        while start < offset + data.len() as u64 {
            self.rewrite(start, offset, data).await?;
            start += self.page;
        }
        Ok(())
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }
}
