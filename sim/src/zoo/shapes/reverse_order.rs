//! The blocks of a request are written last first, two at a time, as image tools do that move data
//! to higher offsets (`memmove`), and trees that write a page before whatever points to it.

use super::in_place::{self, InPlace};
use super::shell::{Answer, Shell, Store};
use crate::zoo::ZooDevice;
use blocktwin::device::DeviceError;
use blocktwin::disk::World;
use blocktwin::lockstep::Subject;
use blocktwin::model::Promises;
use blocktwin::scenario::DeviceSpec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    LastPieceTakenForWhole,
    LastAnswerOnly,
    DurableTooSoon,
}

pub(in crate::zoo) static DEVICES: &[ZooDevice] = &[
    device!(
        Reverse,
        "reverse-order",
        Legal,
        None,
        "backward copies of image tools: the last piece is written first"
    ),
    device!(
        Reverse,
        "reverse-order-last-piece",
        Bounds,
        Some(Bug::LastPieceTakenForWhole),
        "the offset goes down by whole pieces, also for the last one, which is shorter"
    ),
    device!(
        Reverse,
        "reverse-order-last-answer-only",
        Loud,
        Some(Bug::LastAnswerOnly),
        "each piece overwrites the status of the request: classic"
    ),
    device!(
        Reverse,
        "reverse-order-durable-too-soon",
        Durability,
        Some(Bug::DurableTooSoon),
        "synced after the piece with the highest offset, which is not the last one here"
    ),
];

struct Reverse(Option<Bug>);

struct Data {
    disk: InPlace,
    /// Bytes that are written at a time.
    piece: usize,
    bug: Option<Bug>,
}

impl Store for Data {
    async fn read(&self, offset: u64, data: &mut [u8]) -> Answer {
        self.disk.read(offset, data).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Answer {
        let mut start = offset + data.len() as u64;
        let mut answer = Ok(());
        for piece in data.rchunks(self.piece) {
            let whole = self.bug == Some(Bug::LastPieceTakenForWhole);
            start = start.saturating_sub(if whole { self.piece } else { piece.len() } as u64);
            answer = self.disk.write(start, piece).await;
            if answer.is_err() && self.bug != Some(Bug::LastAnswerOnly) {
                break;
            }
        }
        answer
    }

    async fn flush(&self) -> Answer {
        self.disk.sync().await
    }

    async fn write_durably(&self, offset: u64, data: &[u8]) -> Answer {
        if self.bug != Some(Bug::DurableTooSoon) {
            self.write(offset, data).await?;
            return self.flush().await;
        }
        let (head, tail) = data.split_at(data.len().saturating_sub(self.piece));
        self.write(offset + head.len() as u64, tail).await?;
        self.flush().await?;
        self.write(offset, head).await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        self.disk.trim_by(offset, length, |offset, data| self.write(offset, data)).await
    }
}

impl Subject for Reverse {
    type Device = Shell<Data>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Shell<Data>, DeviceError> {
        let disk = InPlace::open(world, spec)?;
        let (latch, piece) = (disk.latch.clone(), 2 * spec.block_size as usize);
        Shell::new(Data { disk, piece, bug: self.0 }, world, spec, latch)
    }

    fn promises(&self) -> Promises {
        in_place::promises().contained().own_calls()
    }
}
