//! The life of a server: it accepts connections, until it is told to stop.

use super::handshake::{Agreed, Export, negotiate};
use super::socket::Listener;
use super::transmission::transmit;
use anyhow::Context;
use blocktwin::device::{Device, FileBackedDevice};
use blocktwin::file::BackingFile;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// More clients than this have to wait until one has gone.
const MOST_CONNECTIONS: usize = 64;

/// So long a client may take to say what it wants.
const NEGOTIATION: Duration = Duration::from_secs(30);

/// So long requests may take to be answered once the server has been told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Between failures to accept: there may be too many open files, for as long as nobody leaves.
const PAUSE: Duration = Duration::from_millis(100);

/// What is read at a time: many small requests, or a part of a large one.
const READ_AHEAD: usize = 64 << 10;

/// The reading end of a connection.
pub(crate) type Reader = BufReader<OwnedReadHalf>;

/// A device and how it is described.
pub(crate) struct Served<F: BackingFile> {
    pub(crate) device: Arc<FileBackedDevice<F>>,
    pub(crate) export: Export,
}

impl<F: BackingFile> Served<F> {
    pub(crate) fn new(device: FileBackedDevice<F>) -> Self {
        let export = Export::of(device.geometry(), device.is_read_only());
        Self { device: Arc::new(device), export }
    }
}

impl<F: BackingFile> Clone for Served<F> {
    fn clone(&self) -> Self {
        Self { device: Arc::clone(&self.device), export: self.export }
    }
}

/// Serves until SIGTERM or SIGINT comes, and then closes the device.
pub(crate) async fn run<F: BackingFile>(
    path: &Path,
    served: Served<F>,
    image: &Path,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let socket = Listener::bind(path)?;
    let Export { size, block_size, .. } = served.export;
    let (image, name) = (image.display(), path.display());
    let ready = format!("ready: {image}, {size} bytes in blocks of {block_size}, at {name}");
    // Nobody may be reading, which is no reason to stop.
    let _unread = writeln!(io::stdout(), "{ready}").and_then(|()| io::stdout().flush());

    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = accept(&socket, &mut connections, &served, &stopped) => {}
    }
    stop.send_replace(true);
    drop(socket);
    let ended = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        report("clients did not take their answers in time");
        connections.shutdown().await;
    }
    served.device.close().await.context("the device was closed, but not everything is durable")
}

/// Accepts connections for ever.
async fn accept<F: BackingFile>(
    socket: &Listener,
    connections: &mut JoinSet<()>,
    served: &Served<F>,
    stopped: &watch::Receiver<bool>,
) {
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match socket.listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, served.clone(), stopped.clone()));
            }
            Err(error) => {
                report(&format!("cannot accept: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves one client until it leaves.
async fn connection<F: BackingFile>(
    stream: UnixStream,
    served: Served<F>,
    mut stopped: watch::Receiver<bool>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(READ_AHEAD, reader);
    let agreed = tokio::select! {
        _ = stopped.wait_for(|&stopped| stopped) => return,
        agreed = timeout(NEGOTIATION, negotiate(&mut reader, &mut writer, served.export)) => agreed,
    };
    let ended = match agreed {
        Ok(Ok(Agreed::Serve)) => transmit(reader, writer, served.device, stopped).await,
        Ok(Ok(Agreed::Leave)) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = ended.or_else(unless_gone) {
        report(&format!("a connection has ended: {error}"));
    }
}

/// Clients may leave without a word, also while they are answered.
fn unless_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
        _ => Err(error),
    }
}

/// Tells whoever runs the server.
pub(crate) fn report(what: &str) {
    let _unread = writeln!(io::stderr(), "nbd: {what}");
}
