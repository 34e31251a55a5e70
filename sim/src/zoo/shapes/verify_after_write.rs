//! Every write is read back and compared, and done once more if it differs, as SCSI's `WRITE AND
//! VERIFY` and the drivers of optical drives do.

use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use crate::zoo::files::{Latch, read_full, write_full};
use blocktwin::device::DeviceError;
use blocktwin::disk::{SimFile, World};
use blocktwin::lockstep::Subject;
use blocktwin::model::{Promises, TrimEffect};
use blocktwin::scenario::DeviceSpec;
use futures::lock::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    InBackground,
    InsteadOfErrno,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        VerifyAfterWrite,
        "verify-after-write",
        Legal,
        None,
        "SCSI's WRITE AND VERIFY: what was written is read back and compared"
    ),
    device!(
        VerifyAfterWrite,
        "verify-in-background",
        Concurrency,
        Some(Bug::InBackground),
        "a check that runs after the answer, and mends what was written since"
    ),
    device!(
        VerifyAfterWrite,
        "verify-instead-of-errno",
        Loud,
        Some(Bug::InsteadOfErrno),
        "the result of a write is not looked at, as the check will tell"
    ),
];

struct VerifyAfterWrite(Option<Bug>);

struct Verified {
    file: SimFile,
    latch: Latch,
    /// No write may come between another and its check.
    writing: Mutex<()>,
    world: World,
    bug: Option<Bug>,
}

impl Subject for VerifyAfterWrite {
    type Device = Shell<Verified>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Verified>, DeviceError> {
        let (file, latch, writing) = (world.disk()?, Latch::default(), Mutex::default());
        let (its, bug) = (world.clone(), self.0);
        let verified = Verified { file, latch: latch.clone(), writing, world: its, bug };
        Shell::new(verified, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        let promises = Promises::none().in_place().trim(TrimEffect::Nothing).contained();
        // A check in the background may outlive the device, which is not what is wrong with it.
        if self.0 == Some(Bug::InBackground) { promises } else { promises.clean_close() }
    }
}

/// Reads back what was written, and writes it once more if it is not there.
async fn verify(file: &SimFile, data: &[u8], offset: u64) -> Answer {
    let mut found = vec![0; data.len()];
    read_full(file, &mut found, offset).await?;
    if found == data { Ok(()) } else { write_full(file, data, offset).await }
}

impl Store for Verified {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        read_full(&self.file, data, offset).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let _one_at_a_time = self.writing.lock().await;
        match (write_full(&self.file, data, offset).await, self.bug) {
            (Err(_), Some(Bug::InsteadOfErrno)) => {
                let _ = verify(&self.file, data, offset).await;
                Ok(())
            }
            (Ok(()), Some(Bug::InBackground)) => {
                let (file, data) = (self.file.clone(), data.to_vec());
                self.world.spawn("verifier", async move { verify(&file, &data, offset).await });
                Ok(())
            }
            (written, _) => {
                written?;
                verify(&self.file, data, offset).await
            }
        }
    }

    async fn flush(&self) -> Answer {
        self.latch.sync(&self.file).await
    }
}
