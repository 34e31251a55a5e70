//! Devices that are the real one but for a mistake.

mod device;
mod file;

use blocktwin::device::{DeviceError, FileBackedDevice};
use blocktwin::disk::{Call, FaultKind, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::{FileBacked, Subject};
use blocktwin::model::Promises;
use blocktwin::scenario::{Accepts, DeviceSpec};
use device::MistakenDevice;
use file::MistakenFile;

/// What a device gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Nothing.
    None,
    /// Tells of the first failure as if it were the second.
    Renames(FaultKind, FaultKind),
    /// Takes a call that fails like this for one that did all it was asked to.
    Swallows(Call, FaultKind),
    /// Takes a read that stops early for one that went to its end.
    BelievesShortReads,
    /// Takes a write that stops early, though not at once, for one that went to its end.
    BelievesShortWrites,
    /// Takes a write of nothing for one of everything.
    BelievesEmptyWrites,
    /// Once the disk was full, takes it to be full for ever.
    StaysFull,
    /// While the disk is full, writes again and again.
    WaitsForSpace,
    /// Where a write takes nothing, writes again and again.
    RetriesEmptyWrites,
    /// Syncs again where a sync failed, and believes the second answer.
    SyncsAgain,
    /// After a flush has failed, takes the next one for as good as ever.
    ForgetsFailedSync,
    /// Takes it that a barrier, which promises nothing durable, need not tell of failures.
    IgnoresFailureOfBarrier,
    /// Takes a write that takes its time for one that is done.
    AssumesSlowWritesDone,
    /// Takes a write that takes its time for one that has failed.
    GivesUpSlowWrites,
    /// Writes two blocks at a time, of which it reads what it was not given.
    WritesInPairs,
    /// A read that saw something else than was ever written to a sector is taken for a failure.
    TakesSectorsForWhole,
    /// Leaves a flush to the one that is under way, and one that was dropped is so for ever.
    JoinsFlushes,
    /// The same, and a flush is under way as soon as its future is made.
    JoinsFlushesThatAreMade,
    /// Flushes nothing.
    NeverFlushes,
    /// Has nothing to sync as long as it has written nothing itself.
    SyncsOwnWritesOnly,
    /// Tries, whenever it is opened, whether the file can be written: with its first block.
    TriesOutFirstBlock,
}

/// The device with this mistake.
pub(crate) struct Mistaken(pub(crate) Mistake);

impl Subject for Mistaken {
    type Device = MistakenDevice;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<MistakenDevice, DeviceError> {
        let options = spec.options().block_count(spec.block_count).allocator(world.heap());
        let file = MistakenFile::new(world.disk()?, self.0);
        if self.0 == Mistake::TriesOutFirstBlock && !spec.read_only {
            try_out(&file, spec.block_size as usize).await?;
        }
        Ok(MistakenDevice::new(FileBackedDevice::with_options(file, options).await?, self.0))
    }

    fn promises(&self) -> Promises {
        FileBacked.promises()
    }

    fn accepts(&self) -> Accepts {
        FileBacked.accepts()
    }
}

/// Writes zeros to the first block, and then what was there. Leaves it all durable.
async fn try_out(file: &MistakenFile, block: usize) -> std::io::Result<()> {
    let mut first = vec![0; block];
    if file.read_at(&mut first, 0).await? == block {
        file.write_at(&vec![0; block], 0).await?;
        file.write_at(&first, 0).await?;
        file.sync_data().await?;
    }
    Ok(())
}
