//! The socket that a server listens on: its own, and nobody else's.

use anyhow::{Context, bail};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// A socket in the file system, which goes when this does.
pub(crate) struct Listener {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Which file it is, by device and inode.
    identity: (u64, u64),
}

impl Listener {
    /// Listens at `path`, in place of a server that is gone, never of one that is there.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                UnixListener::bind(path)
            }
            bound => bound,
        };
        let listener = listener.with_context(|| format!("cannot listen at {}", path.display()))?;
        let identity = identity(path)?;
        Ok(Self { listener, path: path.to_owned(), identity })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody may have put another in its place.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Removes a socket on which nobody listens any more.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        bail!("{name} is there already, and is no socket");
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("another server is listening at {name}"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("cannot replace {name}"))
        }
        Err(error) => Err(error).with_context(|| format!("cannot tell who listens at {name}")),
    }
}
