//! A superblock in a small file of its own, which is replaced by renaming a new one over it, as
//! LevelDB does with CURRENT, etcd and Kafka with their checkpoints. It is the map of a [`Shadow`].

use super::shadow::{self, Commit, Shadow, map_length};
use super::shell::{Answer, Shell};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, create_anew, read_full, retry, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{DISK, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::{Accepts, DeviceSpec};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    Shadow(shadow::Bug),
    RenamedUnsynced,
    DirectoryNotSynced,
    DirectorySyncedFirst,
    TruncatedInPlace,
    SeenIsDurable,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        ByRename,
        "superblock-by-rename",
        Legal,
        None,
        "LevelDB's CURRENT, etcd: replaced by a rename"
    ),
    device!(
        ByRename,
        "rename-unsynced",
        Durability,
        Some(Bug::RenamedUnsynced),
        "the zero-length files of ext4, 2009: rename without a sync of the new file"
    ),
    device!(
        ByRename,
        "rename-directory-unsynced",
        Durability,
        Some(Bug::DirectoryNotSynced),
        "the directory is not synced after the rename: ALICE found it in LevelDB and others, 2014"
    ),
    device!(
        ByRename,
        "rename-directory-synced-first",
        Durability,
        Some(Bug::DirectorySyncedFirst),
        "the directory is synced after the creation, and not after the rename: classic"
    ),
    device!(
        ByRename,
        "rename-truncated-in-place",
        Reopen,
        Some(Bug::TruncatedInPlace),
        "truncated and written again instead of replaced: KDE's configuration on ext4, 2009"
    ),
    device!(
        ByRename,
        "rename-before-data",
        Durability,
        Some(Bug::Shadow(shadow::Bug::DataNotSynced)),
        "only the small file is synced, and not what it points to: classic"
    ),
    device!(
        ByRename,
        "rename-seen-is-durable",
        Durability,
        Some(Bug::SeenIsDurable),
        "fsyncgate: a rename that is seen, and lost in a crash with what it freed reused"
    ),
];

const MAP: &str = "map";
const NEW_MAP: &str = "map.new";

struct ByRename(Option<Bug>);

struct MapFile {
    world: World,
    latch: Latch,
    /// The map that was seen under its name last.
    seen: Vec<u8>,
    bug: Option<Bug>,
}

impl MapFile {
    async fn overwrite(&self, map: &[u8]) -> Answer {
        let file = retry(|| self.world.open(MAP)).await?;
        retry(|| file.set_len(0)).await?;
        write_full(&file, map, 0).await?;
        self.latch.sync(&file).await
    }
}

impl Commit for MapFile {
    async fn commit(&mut self, map: &[u8]) -> Answer {
        if self.bug == Some(Bug::TruncatedInPlace) {
            return self.overwrite(map).await;
        }
        if self.bug == Some(Bug::SeenIsDurable) && self.seen == map {
            return Ok(());
        }
        let file = create_anew(&self.world, NEW_MAP).await?;
        write_full(&file, map, 0).await?;
        if self.bug != Some(Bug::RenamedUnsynced) {
            self.latch.sync(&file).await?;
        }
        if self.bug == Some(Bug::DirectorySyncedFirst) {
            self.latch.sync_directory(&self.world).await?;
        }
        retry(|| self.world.rename(NEW_MAP, MAP)).await?;
        map.clone_into(&mut self.seen);
        match self.bug {
            Some(Bug::DirectoryNotSynced | Bug::DirectorySyncedFirst) => Ok(()),
            _ => self.latch.sync_directory(&self.world).await,
        }
    }
}

impl Subject for ByRename {
    type Device = Shell<Shadow<MapFile>>;

    async fn create(&self, world: &World, _spec: &DeviceSpec) -> Answer {
        world.create(DISK).await?;
        world.create(MAP).await?;
        Ok(())
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let latch = Latch::default();
        let mut map = vec![0; map_length(spec)];
        read_full(&retry(|| world.open(MAP)).await?, &mut map, 0).await?;
        let (world_of_map, seen) = (world.clone(), map.clone());
        let mut file = MapFile { world: world_of_map, latch: latch.clone(), seen, bug: self.0 };
        // The rename that is seen may never have become durable.
        file.commit(&map).await?;
        let bug = if let Some(Bug::Shadow(bug)) = self.0 { Some(bug) } else { None };
        let shadow = Shadow::new(world.disk()?, 0, spec, (file, &map), latch.clone(), bug);
        Shell::new(shadow, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        Promises::none().trim(TrimEffect::Zeros).posix_directories().clean_close()
    }

    fn accepts(&self) -> Accepts {
        Accepts::anything().blocks(1..=256)
    }
}
