//! Bugs of drains, and of trims that are to be durable.

use super::files::lock;
use super::wrapper::Answer;
use blocktwin::device::{
    BufferFuture, BufferRef, Device, DynDevice, Geometry, MutableBufferRef, WriteOptions,
    ZeroOptions,
};
use blocktwin::exec::yield_now;
use std::collections::BTreeSet;
use std::sync::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A drain waits for nothing.
    AtOnce,
    /// A drain is a flush, which waits for what has completed, and not for what is under way.
    TakenForFlush,
    /// A drain waits for one request of those that are under way.
    WaitsForOne,
    /// A drain waits for writes, and not for reads.
    ReadsForgotten,
    /// The device around does not pass drains on.
    NotForwarded,
    /// A trim is not durable when it returns, whatever was asked for.
    TrimFuaIgnored,
    /// What is synced for a trim is what was there before it.
    TrimFuaSyncsFirst,
}

/// The requests under way, by number.
#[derive(Default)]
struct UnderWay {
    next: u64,
    numbers: BTreeSet<u64>,
}

pub(super) struct Drains {
    inner: DynDevice,
    bug: Bug,
    under_way: Mutex<UnderWay>,
}

/// A request is under way for as long as this lives.
struct Request<'a>(&'a Mutex<UnderWay>, u64);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        lock(self.0).numbers.remove(&self.1);
    }
}

impl Drains {
    pub(super) fn new(inner: DynDevice, bug: Bug) -> Self {
        Self { inner, bug, under_way: Mutex::default() }
    }

    fn begin(&self) -> Request<'_> {
        let mut under_way = lock(&self.under_way);
        under_way.next += 1;
        let number = under_way.next;
        under_way.numbers.insert(number);
        Request(&self.under_way, number)
    }

    fn oldest(&self) -> Option<u64> {
        lock(&self.under_way).numbers.first().copied()
    }
}

impl Device for Drains {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn allocate_buffer(&self, size: usize) -> BufferFuture {
        self.inner.allocate_buffer(size)
    }

    async fn read(&self, offset: u64, buffer: MutableBufferRef<'_>) -> Answer {
        let _request = (self.bug != Bug::ReadsForgotten).then(|| self.begin());
        self.inner.read(offset, buffer).await
    }

    async fn write(&self, offset: u64, buffer: BufferRef<'_>, options: WriteOptions) -> Answer {
        let _request = self.begin();
        self.inner.write(offset, buffer, options).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64, options: ZeroOptions) -> Answer {
        let _request = self.begin();
        self.inner.write_zeroes(offset, length, options).await
    }

    async fn flush(&self) -> Answer {
        self.inner.flush().await
    }

    async fn barrier(&self) -> Answer {
        self.inner.barrier().await
    }

    async fn trim(&self, offset: u64, length: u64) -> Answer {
        let _request = self.begin();
        self.inner.trim(offset, length).await
    }

    async fn trim_fua(&self, offset: u64, length: u64) -> Answer {
        let _request = self.begin();
        match self.bug {
            Bug::TrimFuaIgnored => self.inner.trim(offset, length).await,
            Bug::TrimFuaSyncsFirst => {
                // The request is refused or taken as a whole.
                self.inner.geometry().check(offset, length)?;
                self.inner.write(0, [][..].into(), WriteOptions::default()).await?;
                self.inner.flush().await?;
                self.inner.trim(offset, length).await
            }
            _ => self.inner.trim_fua(offset, length).await,
        }
    }

    async fn drain(&self) -> Answer {
        if self.bug == Bug::NotForwarded {
            return Err(std::io::Error::from(std::io::ErrorKind::Unsupported).into());
        }
        // Refused where the device is closed.
        self.inner.read(0, (&mut [][..]).into()).await?;
        match (self.bug, self.oldest()) {
            (Bug::AtOnce | Bug::NotForwarded, _) | (Bug::WaitsForOne, None) => {}
            // Where there is nothing to flush, it waits for nothing.
            (Bug::TakenForFlush, _) => drop(self.inner.flush().await),
            (Bug::WaitsForOne, Some(oldest)) => {
                while self.oldest() == Some(oldest) {
                    yield_now().await;
                }
            }
            (Bug::ReadsForgotten, _) => {
                let before = lock(&self.under_way).next;
                while self.oldest().is_some_and(|oldest| oldest <= before) {
                    yield_now().await;
                }
            }
            (Bug::TrimFuaIgnored | Bug::TrimFuaSyncsFirst, _) => self.inner.drain().await?,
        }
        Ok(())
    }

    async fn close(&self) -> Answer {
        self.inner.close().await
    }
}
