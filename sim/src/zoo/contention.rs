//! Bugs that take two requests at once, or one that is dropped.

use super::files::{checksum, lock};
use super::wrapper::{Answer, Wrapper};
use blocktwin::device::{
    Buffer, BufferAllocator, BufferFuture, BufferRef, BufferSource, Device, DynDevice,
    MutableBufferRef, WriteOptions,
};
use blocktwin::exec::yield_now;
use futures::lock::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::Mutex as Latch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    PageUnlocked,
    PageLockTooNarrow,
    SumsOfRacingSectors,
    BounceBufferShared,
    BounceBufferUnderLoan,
    BufferLeakedWhenDropped,
    BufferLeakedOnError,
    LocksInBothOrders,
    LockKeptWhenDropped,
    WakeUpLost,
    QueueJumped,
}

/// Blocks that are written as one.
const PAGE: u64 = 4;

/// Locks for as many pages at a time.
const LOCKS: usize = 16;

pub(super) struct Contention {
    inner: DynDevice,
    bug: Bug,
    heap: BufferAllocator,
    /// One block, for those in a hurry.
    reserve: BufferAllocator,
    pages: [Mutex<()>; LOCKS],
    all_pages: Mutex<()>,
    journal: Mutex<()>,
    /// Of sectors by number, the sums of all that they may hold.
    sums: Latch<BTreeMap<u64, Vec<u64>>>,
    bounce: Latch<Vec<u8>>,
    /// Whoever writes, for a device that takes one writer at a time.
    busy: AtomicBool,
    /// Who waits for that; a second one takes the place of the first.
    waiting: Latch<Option<Waker>>,
}

impl Contention {
    pub(super) fn new(inner: DynDevice, bug: Bug, heap: BufferAllocator) -> Self {
        let block = heap.block_size();
        Self {
            inner,
            bug,
            heap,
            reserve: BufferAllocator::new(block, BufferSource::new(block)),
            pages: Default::default(),
            all_pages: Mutex::default(),
            journal: Mutex::default(),
            sums: Latch::default(),
            bounce: Latch::default(),
            busy: AtomicBool::new(false),
            waiting: Latch::default(),
        }
    }

    /// The whole pages around a range, as far as the device goes.
    fn pages_around(&self, range: &Range<u64>) -> Range<u64> {
        let geometry = self.inner.geometry();
        let page = PAGE * u64::from(geometry.block_size());
        range.start / page * page..range.end.next_multiple_of(page).min(geometry.size())
    }

    async fn lock_pages(&self, pages: &Range<u64>) -> Option<MutexGuard<'_, ()>> {
        let page = PAGE * u64::from(self.inner.geometry().block_size());
        match self.bug {
            // The first page only, however many there are.
            Bug::PageLockTooNarrow => {
                let lock = usize::try_from(pages.start / page).unwrap_or(0) % LOCKS;
                Some(self.pages[lock].lock().await)
            }
            _ => None,
        }
    }

    /// Reads whole pages, puts the data in, and writes them back.
    async fn write_pages(&self, offset: u64, data: &[u8], options: WriteOptions) -> Answer {
        let range = self.admit_change(offset, data.len() as u64).await?;
        if range.is_empty() {
            return Ok(());
        }
        let pages = self.pages_around(&range);
        let _locked = self.lock_pages(&pages).await;
        let length = |range: Range<u64>| usize::try_from(range.end - range.start).unwrap_or(0);
        let mut held = vec![0; length(pages.clone())];
        self.inner.read(pages.start, held[..].as_mut().into()).await?;
        let at = length(pages.start..offset);
        held[at..at + data.len()].copy_from_slice(data);
        self.inner.write(pages.start, held[..].into(), options).await
    }

    /// The sectors of a request, each with its sum.
    fn sums(&self, offset: u64, data: &[u8]) -> impl Iterator<Item = (u64, u64)> {
        let size = self.inner.geometry().sector_size();
        let sectors = data.chunks(size as usize).map(|bytes| checksum(&[bytes]));
        (offset / u64::from(size)..).zip(sectors)
    }

    /// Writes one request at a time, and knows the sums of what each sector may hold: before the
    /// write, after it, or while it is under way.
    async fn write_summed(&self, offset: u64, data: &[u8], options: WriteOptions) -> Answer {
        let _one_at_a_time = self.journal.lock().await;
        self.admit_change(offset, data.len() as u64).await?;
        for (sector, sum) in self.sums(offset, data) {
            if let Some(sums) = lock(&self.sums).get_mut(&sector) {
                sums.push(sum);
            }
        }
        let written = self.inner.write(offset, data.into(), options).await;
        for (sector, sum) in self.sums(offset, data) {
            match written {
                Ok(()) => lock(&self.sums).insert(sector, vec![sum]),
                Err(_) => lock(&self.sums).remove(&sector),
            };
        }
        written
    }

    /// Checks what was read. The bug: a read that overlaps a write may see a sector in part.
    fn check_sums(&self, offset: u64, data: &[u8]) -> Answer {
        let sums = lock(&self.sums);
        let is_wrong = |&(sector, sum): &(u64, u64)| {
            sums.get(&sector).is_some_and(|sums| !sums.contains(&sum))
        };
        match self.sums(offset, data).find(is_wrong) {
            Some(_) => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            None => Ok(()),
        }
    }

    /// Writes from one buffer that everybody uses.
    async fn write_bounced(&self, offset: u64, data: &[u8], options: WriteOptions) -> Answer {
        self.fill_bounce(data);
        yield_now().await;
        let mut bounced = lock(&self.bounce).clone();
        bounced.resize(data.len(), 0);
        self.inner.write(offset, bounced[..].into(), options).await
    }

    fn fill_bounce(&self, data: &[u8]) {
        let mut bounce = lock(&self.bounce);
        bounce.clear();
        bounce.extend_from_slice(data);
    }

    /// Takes a transfer buffer more, which is given back where the code remembers to.
    async fn write_on_loan(
        &self,
        offset: u64,
        data: BufferRef<'_>,
        options: WriteOptions,
    ) -> Answer {
        let loan: Option<Buffer> = self.heap.try_allocate(data.len());
        let loan = ManuallyDrop::new(loan);
        let written = self.inner.write(offset, data, options).await;
        if self.bug == Bug::BufferLeakedWhenDropped || written.is_ok() {
            drop(ManuallyDrop::into_inner(loan));
        }
        written
    }

    async fn write_in_turn(
        &self,
        offset: u64,
        data: BufferRef<'_>,
        options: WriteOptions,
    ) -> Answer {
        poll_fn(|context| self.enter(context)).await;
        let turn = ManuallyDrop::new(Turn(self));
        if self.bug == Bug::LockKeptWhenDropped {
            let written = self.inner.write(offset, data, options).await;
            drop(ManuallyDrop::into_inner(turn));
            return written;
        }
        let _turn = ManuallyDrop::into_inner(turn);
        self.inner.write(offset, data, options).await
    }

    fn enter(&self, context: &Context<'_>) -> Poll<()> {
        if !self.busy.swap(true, Ordering::Relaxed) {
            return Poll::Ready(());
        }
        if self.bug == Bug::LockKeptWhenDropped {
            // Everybody who waits looks again and again.
            context.waker().wake_by_ref();
        }
        *lock(&self.waiting) = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The right to write.
struct Turn<'a>(&'a Contention);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
        let next = lock(&self.0.waiting).take();
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Wrapper for Contention {
    fn inner(&self) -> &DynDevice {
        &self.inner
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        let hurried = self.bug == Bug::QueueJumped && size <= self.reserve.free_bytes();
        let heap = if hurried { &self.reserve } else { &self.heap };
        heap.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, mut buffer: MutableBufferRef<'_>) -> Answer {
        if self.bug != Bug::SumsOfRacingSectors {
            return self.inner.read(offset, buffer).await;
        }
        let range = self.admit_read(offset, buffer.len() as u64).await?;
        self.inner.read(range.start, buffer.as_mut_slice().into()).await?;
        self.check_sums(offset, buffer.as_slice())
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let data = buffer.as_slice();
        match self.bug {
            Bug::PageUnlocked | Bug::PageLockTooNarrow => {
                self.write_pages(offset, data, options).await
            }
            Bug::SumsOfRacingSectors => self.write_summed(offset, data, options).await,
            Bug::BounceBufferShared => self.write_bounced(offset, data, options).await,
            Bug::BounceBufferUnderLoan => {
                let mut bounce = self.heap.allocate_buffer(data.len()).await?;
                bounce.as_mut_slice().copy_from_slice(data);
                self.inner.write(offset, bounce.as_ref(), options).await
            }
            Bug::BufferLeakedWhenDropped | Bug::BufferLeakedOnError => {
                self.write_on_loan(offset, buffer, options).await
            }
            Bug::LockKeptWhenDropped | Bug::WakeUpLost => {
                self.write_in_turn(offset, buffer, options).await
            }
            Bug::QueueJumped => self.inner.write(offset, buffer, options).await,
            Bug::LocksInBothOrders => {
                let _pages = self.all_pages.lock().await;
                yield_now().await;
                let _journal = self.journal.lock().await;
                self.inner.write(offset, buffer, options).await
            }
        }
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let range = self.admit_change(offset, length).await?;
        let _locked = self.lock_pages(&self.pages_around(&range)).await;
        if self.bug == Bug::SumsOfRacingSectors {
            let _one_at_a_time = self.journal.lock().await;
            let sectors = self.inner.geometry().sectors(&range);
            lock(&self.sums).retain(|sector, _| !sectors.contains(sector));
            return self.inner.trim(offset, length).await;
        }
        self.inner.trim(offset, length).await
    }

    async fn flush(&self) -> Answer {
        if self.bug != Bug::LocksInBothOrders {
            return self.inner.flush().await;
        }
        let _journal = self.journal.lock().await;
        yield_now().await;
        let _pages = self.all_pages.lock().await;
        self.inner.flush().await
    }
}
