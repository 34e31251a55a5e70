//! Requests of no data on a large range, each of which is one call.

use crate::columns::now;
use crate::{NAMES, Row, median};
use blocktwin::device::{Device, DeviceOptions, FileBackedDevice, TrimMode, ZeroOptions};
use blocktwin::file::BackingFile;
use futures::executor::block_on;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

#[derive(Clone, Copy)]
pub(crate) enum Whole {
    WriteZeroes,
    Trim,
}

pub(crate) const ALL: [Whole; 2] = [Whole::WriteZeroes, Whole::Trim];

const ROUNDS: usize = 5;

impl Whole {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WriteZeroes => "write zeroes, 2 GiB",
            Self::Trim => "trim, 2 GiB sparse",
        }
    }
}

/// Each round begins with a file that is one hole.
pub(crate) fn measure(what: Whole, dir: &Path, length: u64) -> anyhow::Result<Row> {
    let path = dir.join("whole.img");
    let fresh = || -> anyhow::Result<File> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        file.set_len(length)?;
        Ok(file)
    };
    let (mut bare, mut ratios) = (Vec::new(), [const { Vec::new() }; NAMES.len()]);
    for _ in 0..ROUNDS {
        let file = fresh()?;
        let started = now();
        directly(&file, what, length)?;
        let own = now() - started;
        bare.push(own);
        ratios[0].push(own / device(what, fresh()?)?);
        #[cfg(feature = "blocking")]
        ratios[1].push(own / device(what, blocktwin::file::PoolFile::new(fresh()?))?);
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        if let Ok(ring) = blocktwin::file::RingFile::new(fresh()?) {
            ratios[2].push(own / device(what, ring)?);
        }
    }
    std::fs::remove_file(&path)?;
    let bare = median(bare).unwrap_or(0.0) * 1000.0;
    let ratios = ratios.map(median);
    Ok(Row { name: what.name().to_owned(), bare: format!("{bare:.3} ms"), ratios })
}

/// One call, or zeros in pieces where the file system has no such call.
fn directly(file: &File, what: Whole, length: u64) -> anyhow::Result<()> {
    let mode = match what {
        Whole::WriteZeroes => FallocateFlags::ZERO_RANGE,
        Whole::Trim => FallocateFlags::PUNCH_HOLE,
    };
    match (fallocate(file, mode | FallocateFlags::KEEP_SIZE, 0, length), what) {
        (Err(rustix::io::Errno::OPNOTSUPP), Whole::WriteZeroes) => {
            let piece = vec![0; 64 << 10];
            for offset in (0..length).step_by(piece.len()) {
                file.write_all_at(&piece, offset)?;
            }
            Ok(())
        }
        (done, _) => Ok(done?),
    }
}

/// Seconds that the device takes.
fn device<F: BackingFile>(what: Whole, file: F) -> anyhow::Result<f64> {
    block_on(async {
        let options = DeviceOptions::new(4096).trim(TrimMode::PunchHole);
        let device = FileBackedDevice::with_options(file, options).await?;
        let length = device.geometry().size();
        let started = now();
        match what {
            Whole::WriteZeroes => device.write_zeroes(0, length, ZeroOptions::default()).await?,
            Whole::Trim => device.trim(0, length).await?,
        }
        Ok(now() - started)
    })
}
