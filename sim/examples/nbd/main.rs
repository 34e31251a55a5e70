//! A block device behind NBD: a small server, on a Unix socket, of a file that
//! [`FileBackedDevice`] keeps its blocks in.
//!
//! Here the device meets clients that nobody of this project wrote: `sim/tests/nbd.rs` has them
//! copy, verify and crash. It is an example of how a device is used on tokio, too: a request is a
//! task with a buffer of its own, and outlives its connection.
//!
//! ```sh
//! truncate -s 1G disk.img
//! cargo run --release --example nbd -- --socket /tmp/nbd.sock disk.img
//! nbdinfo 'nbd+unix:///?socket=/tmp/nbd.sock'
//! ```

mod errno;
mod handshake;
mod server;
mod socket;
mod transmission;

use anyhow::Context;
use blocktwin::device::{DeviceOptions, FileBackedDevice};
use blocktwin::file::BackingFile;
use clap::{Parser, ValueEnum};
use server::Served;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// More threads no machine is served by.
const MOST_THREADS: i64 = 1024;

/// Without `--threads`, for system calls that block the thread that makes them.
const BLOCKED_THREADS: u16 = 16;

/// Serves an image by NBD on a Unix socket, until SIGTERM or SIGINT.
///
/// Then it accepts no more requests, answers those under way, flushes, and removes the socket.
#[derive(Debug, Parser)]
#[command(name = "nbd")]
struct Arguments {
    /// Where to listen. What a server that is gone has left there is replaced.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// What makes the system calls on the image.
    #[arg(long, value_enum, default_value_t = Io::Std)]
    io: Io,
    /// Threads of the runtime. With `--io std`, as many requests as these are served at a time, and
    /// the others wait. By default 16 for `--io std`, else one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    threads: Option<u16>,
    /// Go past the page cache of the kernel.
    #[arg(long)]
    direct: bool,
    /// Refuse everything that changes the image.
    #[arg(long)]
    read_only: bool,
    /// What offsets and lengths are multiples of, in bytes: a power of two from 512 to 65536.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = block_size)]
    block_size: u32,
    /// A file or a block special file, a whole number of blocks long.
    image: PathBuf,
}

/// Which file is under the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Io {
    /// A request blocks a thread of the runtime while the kernel works for it.
    Std,
    /// A pool of threads is blocked instead (feature `blocking`).
    Pool,
    /// No thread is blocked: an `io_uring` (feature `io-uring`).
    Ring,
}

/// NBD lets no server ask for blocks of more than 64 KiB.
fn block_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(size) if size.is_power_of_two() && (512..=65536).contains(&size) => Ok(size),
        _ => Err("not a power of two from 512 to 65536".to_owned()),
    }
}

impl Arguments {
    fn options(&self) -> DeviceOptions {
        DeviceOptions::new(self.block_size).read_only(self.read_only).direct(self.direct)
    }

    fn runtime(&self) -> io::Result<tokio::runtime::Runtime> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let default = (self.io == Io::Std).then_some(BLOCKED_THREADS);
        if let Some(threads) = self.threads.or(default) {
            builder.worker_threads(threads.into());
        }
        builder.enable_all().build()
    }

    /// Serves the image through a file that `make` makes of the opened one.
    fn serve<F: BackingFile>(
        &self,
        make: impl FnOnce(File) -> io::Result<F>,
    ) -> anyhow::Result<()> {
        let options = self.options();
        // Within the runtime, as a file may want one.
        self.runtime()?.block_on(async {
            let device = FileBackedDevice::open_with(&self.image, options, make)
                .with_context(|| format!("cannot open {}", self.image.display()))?;
            server::run(&self.socket, Served::new(device), &self.image).await
        })
    }

    #[cfg(feature = "blocking")]
    fn serve_pool(&self) -> anyhow::Result<()> {
        self.serve(|file| Ok(blocktwin::file::PoolFile::new(file)))
    }

    #[cfg(not(feature = "blocking"))]
    fn serve_pool(&self) -> anyhow::Result<()> {
        anyhow::bail!("--io pool: built without feature blocking")
    }

    #[cfg(feature = "io-uring")]
    fn serve_ring(&self) -> anyhow::Result<()> {
        self.serve(blocktwin::file::RingFile::new)
    }

    #[cfg(not(feature = "io-uring"))]
    fn serve_ring(&self) -> anyhow::Result<()> {
        anyhow::bail!("--io ring: built without feature io-uring")
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let served = match arguments.io {
        Io::Std => arguments.serve(Ok),
        Io::Pool => arguments.serve_pool(),
        Io::Ring => arguments.serve_ring(),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            server::report(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
