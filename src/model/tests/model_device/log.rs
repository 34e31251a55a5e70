//! What the weak forms are for: a small write-ahead log above the device, and mistakes in it that
//! a stronger device would hide.

use super::*;
use crate::rng::{Purpose, Rng};

/// Records that the log has room for. Each has one block for its commit record and two for its
/// body, which both hold nothing but the id of the record.
const SLOTS: u64 = 4;

/// Blocks of a slot.
const BLOCKS: u64 = 3;

/// Bytes of a block.
const BYTES: usize = 1024;

/// What is wrong with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// The body need not be durable before the commit record.
    NoFlushBeforeCommit,
    /// A barrier makes the commit record durable.
    BarrierForFlush,
    /// The commit record is written with FUA, which makes the body durable too.
    FuaForAll,
    /// What was trimmed reads as zeros.
    TrimForZeros,
    /// A commit record that could not be written is not there.
    FailedWriteForOld,
    /// A read that failed has not touched the cache that it read into.
    FailedReadForUntouched,
}

/// Why a record was not appended.
#[derive(Debug, PartialEq, Eq)]
enum NotAppended {
    /// It is not there, and never will be.
    Surely,
    /// It may be there when the log is opened again.
    Perhaps,
}

struct Log {
    device: ModelDevice,
    mistake: Mistake,
    /// The bodies of the records, in order.
    cache: Vec<Vec<u8>>,
}

impl Log {
    fn commit_at(slot: u64) -> u64 {
        slot * BLOCKS * BLOCK
    }

    /// Opens the log with the records that it holds, and makes sure that no other comes back.
    async fn open(device: ModelDevice, mistake: Mistake) -> Result<(Self, Vec<u8>), DeviceError> {
        let (mut log, mut ids) = (Self { device, mistake, cache: Vec::new() }, Vec::new());
        for slot in 0..SLOTS {
            let mut commit = [0; BYTES];
            log.device.read(Self::commit_at(slot), (&mut commit[..]).into()).await?;
            let id = commit[0];
            if commit != [id; BYTES] || id == 0 || id == 0xab {
                break;
            }
            let mut body = vec![0; 2 * BYTES];
            log.device.read(Self::commit_at(slot) + BLOCK, (&mut body[..]).into()).await?;
            ids.push(id);
            log.cache.push(body);
        }
        log.clear(ids.len() as u64).await?;
        Ok((log, ids))
    }

    /// There are no records from this slot on.
    async fn clear(&mut self, first: u64) -> Result<(), DeviceError> {
        for at in (first..SLOTS).map(Self::commit_at) {
            if self.mistake == Mistake::TrimForZeros {
                self.device.trim(at, BLOCK).await?;
            } else {
                self.device.write(at, (&[0; BYTES][..]).into(), PLAIN).await?;
            }
        }
        self.device.flush().await?;
        self.cache.truncate(usize::try_from(first).unwrap());
        Ok(())
    }

    /// Appends a record, which is durable when this has returned.
    async fn append(&mut self, id: u8) -> Result<(), NotAppended> {
        let at = Self::commit_at(self.cache.len() as u64);
        let (commit, body) = ([id; BYTES], vec![id; 2 * BYTES]);
        let written = self.device.write(at + BLOCK, body[..].into(), PLAIN).await;
        written.map_err(|_| NotAppended::Surely)?;
        let unordered = [Mistake::NoFlushBeforeCommit, Mistake::FuaForAll].contains(&self.mistake);
        if !unordered {
            self.device.barrier().await.map_err(|_| NotAppended::Perhaps)?;
        }
        let fua = self.mistake == Mistake::FuaForAll;
        let committed = self.device.write(at, commit[..].into(), WriteOptions { fua }).await;
        if committed.is_err() {
            if self.mistake != Mistake::FailedWriteForOld {
                let cleared = self.clear(self.cache.len() as u64).await;
                cleared.map_err(|_| NotAppended::Perhaps)?;
            }
            return Err(NotAppended::Surely);
        }
        let synced = match self.mistake {
            Mistake::FuaForAll => Ok(()),
            Mistake::BarrierForFlush => self.device.barrier().await,
            _ => self.device.flush().await,
        };
        synced.map_err(|_| NotAppended::Perhaps)?;
        self.cache.push(body);
        Ok(())
    }

    /// The body of a record: as the device has it, or if that cannot be read, as it was.
    async fn read(&mut self, slot: usize) -> &[u8] {
        let at = Self::commit_at(slot as u64) + BLOCK;
        if self.mistake == Mistake::FailedReadForUntouched {
            let _ = self.device.read(at, (&mut self.cache[slot][..]).into()).await;
        } else {
            let mut body = vec![0; 2 * BYTES];
            if self.device.read(at, (&mut body[..]).into()).await.is_ok() {
                self.cache[slot] = body;
            }
        }
        &self.cache[slot]
    }
}

/// Polls a future a few times. `None` if it is not ready by then.
fn poll_some<T>(future: impl Future<Output = T>, polls: u64) -> Option<T> {
    let mut future = pin!(future);
    (0..polls).find_map(|_| match poll(future.as_mut()) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// A test as somebody would write it: random work, failures and power failures on one log.
struct Test {
    rng: Rng,
    device: ModelDevice,
    /// The records that have to be there, in order.
    records: Vec<u8>,
    /// Records that may follow these.
    perhaps: Option<u8>,
    /// All of them may be gone, from the last on.
    clearing: bool,
    next: u8,
}

impl Test {
    /// Opens the log. False if it does not hold what it has to.
    fn open(&mut self, mistake: Mistake) -> Option<Log> {
        let (log, ids) = finish(Log::open(self.device.clone(), mistake)).unwrap();
        let whole = log.cache.iter().zip(&ids).all(|(body, id)| body.iter().all(|it| it == id));
        let all: Vec<u8> = self.records.iter().copied().chain(self.perhaps).collect();
        let most = all.len().min(ids.len());
        let fits = ids == all[..most] && (self.clearing || ids.len() >= self.records.len());
        (self.records, self.perhaps, self.clearing) = (ids, None, false);
        (whole && fits).then_some(log)
    }

    /// One operation, which may be cut off. False if something is wrong; `None` if the log is to
    /// be opened again after a power failure.
    fn operation(&mut self, log: &mut Log) -> Option<bool> {
        let polls = if self.rng.chance(1, 4) { self.rng.between(1, 12) } else { 1000 };
        if self.rng.chance(1, 4) {
            let number = self.device.requests() + self.rng.below(4);
            let failure = *self.rng.pick(&[Failure::Read(5), Failure::Write(5)]);
            let _ = self.device.fail_at(number, failure);
        }
        match self.rng.below(4) {
            0 if !self.records.is_empty() => {
                let slot = usize::try_from(self.rng.below(self.records.len() as u64)).unwrap();
                let id = self.records[slot];
                let read = poll_some(log.read(slot), polls);
                read.map(|body| body.iter().all(|&byte| byte == id))
            }
            1 => {
                self.clearing = true;
                match poll_some(log.clear(0), polls) {
                    Some(Ok(())) => {
                        self.clearing = false;
                        self.records.clear();
                        Some(true)
                    }
                    _ => None,
                }
            }
            _ if self.records.len() as u64 == SLOTS => Some(true),
            _ => {
                self.next = self.next % 100 + 1;
                let id = self.next;
                match poll_some(log.append(id), polls) {
                    Some(Ok(())) => self.records.push(id),
                    Some(Err(NotAppended::Surely)) => {}
                    Some(Err(NotAppended::Perhaps)) | None => {
                        self.perhaps = Some(id);
                        return None;
                    }
                }
                Some(true)
            }
        }
    }
}

/// Whether the test of this seed finds something wrong.
fn finds(seed: u64, mistake: Mistake, weak: Weak) -> bool {
    let geometry = Geometry::new(512, 1024, SLOTS * BLOCKS).unwrap();
    let device = ModelDevice::with_options(geometry, ModelOptions { seed, weak });
    let rng = Rng::new(seed, Purpose::Operations);
    let (records, perhaps, clearing, next) = (Vec::new(), None, false, 0);
    let mut test = Test { rng, device, records, perhaps, clearing, next };
    for _ in 0..24 {
        let Some(mut log) = test.open(mistake) else { return true };
        for _ in 0..test.rng.between(1, 4) {
            match test.operation(&mut log) {
                Some(true) => {}
                Some(false) => return true,
                None => break,
            }
        }
        drop(log);
        let seed = test.rng.next_u64();
        test.device.crash(seed);
    }
    test.open(mistake).is_none()
}

/// How many seeds it takes to find the mistake. `None` if `seeds` are not enough.
fn hunt(mistake: Mistake, weak: Weak, seeds: u64) -> Option<u64> {
    (0..seeds).find(|&seed| finds(seed, mistake, weak)).map(|seed| seed + 1)
}

#[test]
fn the_log_is_right() {
    for weak in [Weak::ALL, Weak::NONE] {
        assert_eq!(hunt(Mistake::None, weak, 200), None);
    }
}

#[test]
fn every_mistake_is_found_above_a_weak_device_and_none_above_a_strong_one() {
    type SwitchOn = fn(&mut Weak);
    let weak_forms: [(Mistake, SwitchOn); 6] = [
        (Mistake::NoFlushBeforeCommit, |weak| weak.suspends = true),
        (Mistake::BarrierForFlush, |weak| weak.barrier = true),
        (Mistake::FuaForAll, |weak| weak.fua = true),
        (Mistake::TrimForZeros, |weak| weak.trim = true),
        (Mistake::FailedWriteForOld, |weak| weak.failed_write = true),
        (Mistake::FailedReadForUntouched, |weak| weak.failed_read = true),
    ];
    for (mistake, switch_on) in weak_forms {
        let mut one = Weak::NONE;
        switch_on(&mut one);
        let found = [Weak::ALL, one, Weak::NONE].map(|weak| hunt(mistake, weak, 200));
        println!("{mistake:?}: {found:?}");
        assert!(found[0].is_some_and(|seeds| seeds <= 50), "{mistake:?}: {found:?}");
        assert!(found[1].is_some(), "{mistake:?} needs no other weak form: {found:?}");
        assert_eq!(found[2], None, "{mistake:?} is out of reach");
    }
}
