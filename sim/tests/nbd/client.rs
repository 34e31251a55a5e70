//! A client of this project's own: as plain as can be, and able to say what none should.

use super::server::{PATIENCE, Place};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const WRITE_ZEROES: u16 = 6;

/// *Force unit access*.
pub(crate) const FUA: u16 = 1;

/// A connection on which requests can be sent.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    sent: u64,
}

impl Client {
    /// Connects, and reads the greeting.
    pub(crate) async fn greet(place: &Place) -> UnixStream {
        let mut stream = UnixStream::connect(place.path("socket")).await.expect("a server");
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).await.expect("a greeting");
        assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\x00\x03");
        stream
    }

    /// By the oldest option, which has the shortest answer: size and flags.
    pub(crate) async fn connect(place: &Place) -> Self {
        let mut stream = Self::greet(place).await;
        let option = [&[0, 0, 0, 3][..], b"IHAVEOPT", &[0, 0, 0, 1], &[0; 4]].concat();
        stream.write_all(&option).await.expect("a server that listens");
        stream.read_exact(&mut [0; 10]).await.expect("an export");
        Self { stream, sent: 0 }
    }

    /// Sends a request; its cookie.
    pub(crate) async fn send(
        &mut self,
        (command, flags): (u16, u16),
        offset: u64,
        length: u32,
        payload: &[u8],
    ) -> io::Result<u64> {
        self.sent += 1;
        let mut request = Vec::from(0x2560_9513_u32.to_be_bytes());
        request.extend(flags.to_be_bytes());
        request.extend(command.to_be_bytes());
        request.extend(self.sent.to_be_bytes());
        request.extend(offset.to_be_bytes());
        request.extend(length.to_be_bytes());
        request.extend(payload);
        self.stream.write_all(&request).await?;
        Ok(self.sent)
    }

    /// The cookie and the error of the next answer. What was read is still to come.
    pub(crate) async fn answer(&mut self) -> io::Result<(u64, u32)> {
        let read = async {
            assert_eq!(self.stream.read_u32().await?, 0x6744_6698);
            let error = self.stream.read_u32().await?;
            Ok((self.stream.read_u64().await?, error))
        };
        timeout(PATIENCE, read).await.expect("an answer in time")
    }

    /// Sends a request and waits for its answer, the only one: its error.
    pub(crate) async fn call(
        &mut self,
        what: (u16, u16),
        offset: u64,
        length: u32,
        payload: &[u8],
    ) -> io::Result<u32> {
        let cookie = self.send(what, offset, length, payload).await?;
        let (answered, error) = self.answer().await?;
        assert_eq!(answered, cookie);
        Ok(error)
    }

    pub(crate) async fn read(&mut self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        assert_eq!(self.call((READ, 0), offset, length, &[]).await?, 0);
        let mut data = vec![0; length as usize];
        self.stream.read_exact(&mut data).await?;
        Ok(data)
    }
}
