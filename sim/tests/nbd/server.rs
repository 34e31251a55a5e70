//! A server of an image, in a directory of its own.

use blocktwin::rng::{Purpose, Rng};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// What the example was built with, as it was built together with this test.
pub(crate) fn ios() -> Vec<&'static str> {
    let pool = cfg!(feature = "blocking").then_some("pool");
    let ring = cfg!(feature = "io-uring").then_some("ring");
    [Some("std"), pool, ring].into_iter().flatten().collect()
}

/// So long a server may take to start or to stop, and a client to do its work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between attempts to start one.
const APART: Duration = Duration::from_millis(50);

/// A directory for images and sockets.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As text, for arguments and options.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().expect("a path in UTF-8")
    }

    /// An image of zeros.
    #[track_caller]
    pub(crate) fn image(&self, name: &str, length: u64) -> PathBuf {
        let path = self.path(name);
        File::create(&path).and_then(|file| file.set_len(length)).expect("an image");
        path
    }

    /// An image of noise, with zeros in between.
    #[track_caller]
    pub(crate) fn noise(&self, name: &str, length: usize) -> Vec<u8> {
        let mut rng = Rng::new(length as u64, Purpose::Payload);
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let word = if bytes.len() / (256 << 10) % 4 == 3 { 0 } else { rng.next_u64() };
            bytes.extend(word.to_le_bytes());
        }
        fs::write(self.path(name), &bytes).expect("an image");
        bytes
    }

    /// What the server of this directory is called by clients.
    #[track_caller]
    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.text("socket"))
    }
}

/// A server under way. It is killed if it was not stopped.
pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
}

/// The example, which cargo builds next to the tests of the package.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a path of this test");
    let profile = test.parent().and_then(Path::parent).expect("a directory of the profile");
    let program = profile.join("examples/nbd");
    assert!(program.exists(), "no {}: cargo build --example nbd", program.display());
    program
}

/// The server with these arguments, at the socket of `place`.
fn command(place: &Place, image: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("--socket").arg(place.path("socket")).args(arguments).arg(image);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.kill_on_drop(true);
    command
}

impl Server {
    /// Starts a server, which is ready then.
    pub(crate) async fn start(place: &Place, image: &Path, io: &str, more: &[&str]) -> Self {
        Self::try_start(place, image, io, more).await.expect("a server that is ready")
    }

    /// Starts one after another was killed. The kernel takes down an `io_uring` after the process,
    /// and the lock on the image lasts as long.
    pub(crate) async fn restart(place: &Place, image: &Path, io: &str) -> Self {
        let started = async {
            loop {
                match Self::try_start(place, image, io, &[]).await {
                    Some(server) => return server,
                    None => sleep(APART).await,
                }
            }
        };
        timeout(PATIENCE, started).await.expect("a lock that ends with its process")
    }

    /// Starts a server, unless it ends before it is ready.
    async fn try_start(place: &Place, image: &Path, io: &str, more: &[&str]) -> Option<Self> {
        let arguments = [&["--io", io], more].concat();
        let mut child = command(place, image, &arguments).spawn().expect("a server");
        let stdout = child.stdout.take().expect("its output");
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let read = timeout(PATIENCE, stdout.read_line(&mut line)).await;
        read.expect("a server that is ready in time").expect("a line");
        line.starts_with("ready: ").then(|| Self { child, socket: place.path("socket") })
    }

    /// Tries to start a server, which cannot be.
    pub(crate) async fn fail(place: &Place, image: &Path, arguments: &[&str]) -> String {
        let mut command = command(place, image, arguments);
        let output = command.stderr(Stdio::piped()).output();
        let output = timeout(PATIENCE, output).await.expect("in time").expect("a server");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        kill_process(pid.expect("it runs"), signal).expect("a signal");
    }

    async fn wait(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("in time").expect("a status")
    }

    /// Tells it to stop, which it does properly.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().await.code(), Some(0));
        assert!(!self.socket.exists(), "the socket should be gone");
    }

    pub(crate) async fn kill(mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait().await.code(), None);
        assert!(self.socket.exists(), "nobody could remove it");
    }
}
