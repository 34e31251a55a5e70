//! Requests and their answers, once a client has what it wanted to know.
//!
//! Every request is a task, so they run side by side, and answers come in the order in which they
//! are ready. One more task writes them. What is read but not yet answered is bounded, in number by
//! permits and in bytes by a heap that each connection has for itself: a client that does not take
//! its answers holds up nobody else.

use super::errno::NbdError;
use super::handshake::skip;
use super::server::Reader;
use blocktwin::device::{
    Buffer, BufferAllocator, BufferSource, Device, DeviceError, FileBackedDevice, WriteOptions,
    ZeroOptions,
};
use blocktwin::file::BackingFile;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// The most that one request may read or write, in bytes: what clients take for granted.
pub(crate) const MOST_BYTES: u32 = 32 << 20;

/// Requests of one connection that are not answered yet.
const MOST_REQUESTS: usize = 128;

/// Their bytes. Memory that is never used is never taken.
const HEAP: usize = 2 * MOST_BYTES as usize;

/// What the heap gives at least, in bytes: a page.
const GRAIN: usize = 4096;

/// Answers that are written at a time.
const WRITE_BEHIND: usize = 64 << 10;

const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const TRIM: u16 = 4;
const WRITE_ZEROES: u16 = 6;

/// Flags of requests.
const FUA: u16 = 1 << 0;
const NO_HOLE: u16 = 1 << 1;

#[derive(Clone, Copy, Debug)]
struct Request {
    flags: u16,
    command: u16,
    cookie: u64,
    offset: u64,
    length: u32,
}

impl Request {
    /// The next one, unless the client has left.
    async fn read(reader: &mut Reader) -> io::Result<Option<Self>> {
        let magic = match reader.read_u32().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            magic => magic?,
        };
        if magic != REQUEST_MAGIC {
            // Where the next one begins, nobody can tell.
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a request"));
        }
        Ok(Some(Self {
            flags: reader.read_u16().await?,
            command: reader.read_u16().await?,
            cookie: reader.read_u64().await?,
            offset: reader.read_u64().await?,
            length: reader.read_u32().await?,
        }))
    }

    /// What is wrong with it, whatever the device.
    fn check(&self) -> Result<(), NbdError> {
        // Every command may have this one, also where it means nothing.
        let flags = self.flags & !FUA;
        let is_known = match self.command {
            READ | WRITE => flags == 0 && self.length <= MOST_BYTES,
            FLUSH => flags == 0 && self.offset == 0 && self.length == 0,
            TRIM => flags == 0,
            WRITE_ZEROES => flags & !NO_HOLE == 0,
            _ => false,
        };
        if is_known { Ok(()) } else { Err(NbdError::Invalid) }
    }

    async fn serve<F: BackingFile>(
        &self,
        device: &FileBackedDevice<F>,
        heap: &BufferAllocator,
        payload: Option<Buffer>,
    ) -> Result<Option<Buffer>, DeviceError> {
        let Self { offset, flags, .. } = *self;
        let (length, fua) = (u64::from(self.length), flags & FUA != 0);
        match (self.command, payload) {
            (READ, _) => {
                let mut buffer = heap.allocate_buffer(self.length as usize).await?;
                device.read(offset, buffer.as_mut()).await?;
                return Ok(Some(buffer));
            }
            (WRITE, Some(buffer)) => {
                device.write(offset, buffer.as_ref(), WriteOptions { fua }).await?;
            }
            (FLUSH, _) => device.flush().await?,
            (TRIM, _) if fua => device.trim_fua(offset, length).await?,
            (TRIM, _) => device.trim(offset, length).await?,
            (WRITE_ZEROES, _) => {
                let options = ZeroOptions { fua, may_unmap: flags & NO_HOLE == 0 };
                device.write_zeroes(offset, length, options).await?;
            }
            _ => unreachable!("it was checked, and a write has its payload"),
        }
        Ok(None)
    }
}

struct Reply {
    cookie: u64,
    outcome: Result<Option<Buffer>, NbdError>,
    /// Given back when the reply is written.
    _permit: OwnedSemaphorePermit,
}

/// Serves a client until it leaves or the server stops, and everything that was read is answered.
pub(crate) async fn transmit<F: BackingFile>(
    reader: Reader,
    writer: OwnedWriteHalf,
    device: Arc<FileBackedDevice<F>>,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    // Permits keep it from ever being full.
    let (replies, queue) = mpsc::channel(MOST_REQUESTS);
    let mut written = tokio::spawn(write_replies(queue, writer));
    let intake = Intake {
        device,
        heap: BufferAllocator::new(GRAIN, BufferSource::new(HEAP)),
        permits: Arc::new(Semaphore::new(MOST_REQUESTS)),
        replies,
    };
    let read = tokio::select! {
        read = intake.take(reader, stopped) => read,
        // A client that takes no answers is gone, whatever it may still send.
        written = &mut written => return written?,
    };
    let written = written.await?;
    read.and(written)
}

/// What reads requests and sets tasks to them.
struct Intake<F: BackingFile> {
    device: Arc<FileBackedDevice<F>>,
    heap: BufferAllocator,
    permits: Arc<Semaphore>,
    replies: mpsc::Sender<Reply>,
}

impl<F: BackingFile> Intake<F> {
    async fn take(self, mut reader: Reader, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.map_err(io::Error::other)?;
            let request = tokio::select! {
                _ = stop.wait_for(|&stopped| stopped) => return Ok(()),
                request = Request::read(&mut reader) => request?,
            };
            let Some(request) = request.filter(|it| it.command != DISCONNECT) else {
                return Ok(());
            };
            let checked = request.check();
            let payload = match request.command {
                WRITE if checked.is_err() => {
                    skip(&mut reader, request.length.into()).await?;
                    None
                }
                WRITE => Some(self.payload(&mut reader, request.length).await?),
                _ => None,
            };
            self.begin(request, checked, payload, permit);
        }
    }

    /// The data of a write, as soon as there is room for it.
    async fn payload(&self, reader: &mut Reader, length: u32) -> io::Result<Buffer> {
        let buffer = self.heap.allocate_buffer(length as usize).await;
        let mut buffer = buffer.map_err(io::Error::other)?;
        reader.read_exact(buffer.as_mut_slice()).await?;
        Ok(buffer)
    }

    /// Sets a task to a request. It goes on when the client leaves: a write that was sent is made.
    fn begin(
        &self,
        request: Request,
        checked: Result<(), NbdError>,
        payload: Option<Buffer>,
        permit: OwnedSemaphorePermit,
    ) {
        let (device, heap) = (Arc::clone(&self.device), self.heap.clone());
        let replies = self.replies.clone();
        tokio::spawn(async move {
            let outcome = match checked {
                Ok(()) => {
                    let changes = matches!(request.command, WRITE | WRITE_ZEROES);
                    let served = request.serve(&device, &heap, payload).await;
                    served.map_err(|error| NbdError::of(error, changes))
                }
                Err(error) => Err(error),
            };
            let reply = Reply { cookie: request.cookie, outcome, _permit: permit };
            // The client may have gone, with nobody left to tell.
            let _gone = replies.send(reply).await;
        });
    }
}

/// Writes answers as they come, and those that are ready together at once.
async fn write_replies(mut queue: mpsc::Receiver<Reply>, writer: OwnedWriteHalf) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(WRITE_BEHIND, writer);
    while let Some(reply) = queue.recv().await {
        write_reply(&mut writer, &reply).await?;
        while let Ok(reply) = queue.try_recv() {
            write_reply(&mut writer, &reply).await?;
        }
        writer.flush().await?;
    }
    writer.shutdown().await
}

async fn write_reply(writer: &mut BufWriter<OwnedWriteHalf>, reply: &Reply) -> io::Result<()> {
    writer.write_u32(REPLY_MAGIC).await?;
    writer.write_u32(reply.outcome.as_ref().err().map_or(0, |&error| error as u32)).await?;
    writer.write_u64(reply.cookie).await?;
    if let Ok(Some(data)) = &reply.outcome {
        writer.write_all(data.as_slice()).await?;
    }
    Ok(())
}
