//! Direct I/O on a file whose alignment is more than a block, as `cache=none` of QEMU and
//! `direct=on` of cloud-hypervisor have it on a 4Kn disk: what is not aligned goes through a bounce
//! buffer, and a write of it is a read, a change and a write of whole pages, under a lock.
//!
//! The file ends where a page does once its last page was written, past the device.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;
use std::io::ErrorKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    SectorTakenForAlignment,
    TailCutShort,
    ResumedInPage,
    AlignedUnlocked,
    TakenForDurable,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(Direct, "direct", Legal, None, "QEMU's cache=none: O_DIRECT, and bounce buffers"),
    device!(
        Direct,
        "direct-sector-for-alignment",
        Bounds,
        Some(Bug::SectorTakenForAlignment),
        "512 taken for the alignment of every file: cloud-hypervisor until 2026, pull request 7767"
    ),
    device!(
        Direct,
        "direct-tail-cut-short",
        Bounds,
        Some(Bug::TailCutShort),
        "the last chunk of an image written as long as it is: EINVAL, etcher-image-write until 2016"
    ),
    device!(
        Direct,
        "direct-resumed-in-page",
        ShortIo,
        Some(Bug::ResumedInPage),
        "a read goes on after an odd count, and the file has grown meanwhile: std's read_exact_at"
    ),
    device!(
        Direct,
        "direct-aligned-unlocked",
        Concurrency,
        Some(Bug::AlignedUnlocked),
        "only read-modify-write is locked, and writes back what an aligned write has replaced"
    ),
    device!(
        Direct,
        "direct-taken-for-durable",
        Durability,
        Some(Bug::TakenForDurable),
        "O_DIRECT taken for O_SYNC: the disk's own cache is never flushed, classic"
    ),
];

/// The alignment of the file, in bytes: a sector of a 4Kn disk.
const ALIGNMENT: u64 = 4096;

struct Direct(Option<Bug>);

struct Pages {
    file: SimFile,
    /// Bytes of a page: the alignment.
    page: u64,
    /// Bytes of the device.
    size: u64,
    latch: Latch,
    writing: Mutex<()>,
    bug: Option<Bug>,
}

impl Subject for Direct {
    type Device = Shell<Pages>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Pages>, DeviceError> {
        let file = world.disk()?.direct_aligned(ALIGNMENT);
        let page = match self.0 {
            Some(Bug::SectorTakenForAlignment) => spec.sector_size.into(),
            _ => ALIGNMENT,
        };
        let (page, size, latch) = (page, spec.geometry()?.size(), Latch::default());
        let (writing, synced_by) = (Mutex::default(), latch.clone());
        Shell::new(Pages { file, page, size, latch, writing, bug: self.0 }, world, spec, synced_by)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Nothing).clean_close().write_through()
    }
}

impl Pages {
    /// Memory for the pages that a range touches, where they begin in the file, and where the range
    /// begins in them.
    fn bounce(&self, offset: u64, length: usize) -> (u64, Vec<u8>, usize) {
        let start = offset / self.page * self.page;
        let end = (offset + length as u64).next_multiple_of(self.page);
        let bytes = |to: u64| usize::try_from(to - start).unwrap_or(usize::MAX);
        (start, vec![0; bytes(end)], bytes(offset))
    }

    /// Reads into pages of zeros. An odd count is the end of the file, where the next call would
    /// not be aligned if the file has grown since.
    async fn fill(&self, pages: &mut [u8], start: u64) -> Answer {
        let (mut done, goes_on) = (0, self.bug == Some(Bug::ResumedInPage));
        while done < pages.len() && (goes_on || (done as u64).is_multiple_of(self.page)) {
            let at = start + done as u64;
            match self.file.read_at(&mut pages[done..], at).await {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Store for Pages {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        let (start, mut pages, at) = self.bounce(offset, data.len());
        self.fill(&mut pages, start).await?;
        data.copy_from_slice(&pages[at..at + data.len()]);
        Ok(())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let (start, mut pages, at) = self.bounce(offset, data.len());
        let aligned = pages.len() == data.len();
        let unlocked = aligned && self.bug == Some(Bug::AlignedUnlocked);
        let _one_at_a_time = if unlocked { None } else { Some(self.writing.lock().await) };
        if !aligned {
            self.fill(&mut pages, start).await?;
        }
        pages[at..at + data.len()].copy_from_slice(data);
        if self.bug == Some(Bug::TailCutShort) {
            pages.truncate(usize::try_from(self.size - start).unwrap_or(usize::MAX));
        }
        write_full(&self.file, &pages, start).await
    }

    async fn flush(&self) -> Answer {
        match self.bug {
            Some(Bug::TakenForDurable) => self.latch.check(),
            _ => self.latch.sync(&self.file).await,
        }
    }
}
