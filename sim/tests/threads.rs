//! The real device and its heap on a runtime of eight threads, by many tasks, of which many drop
//! what they asked for. Nothing here is deterministic, so nothing here replays: the simulation is
//! to find bugs, and this to tell whether threads add some that it cannot see.
//!
//! `BLOCKTWIN_STRESS` says for how many seconds, each.

#[path = "threads/checker.rs"]
mod checker;
#[path = "threads/device.rs"]
mod device;
#[path = "threads/drops.rs"]
mod drops;
#[path = "threads/heap.rs"]
mod heap;

use std::future::Future;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

const WORKERS: usize = 8;

/// So many tasks at a time.
const TASKS: u64 = 32;

/// So much longer than it should a test may take, before it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to go on.
fn duration() -> Duration {
    let seconds = std::env::var("BLOCKTWIN_STRESS").unwrap_or_else(|_| "2".to_owned());
    Duration::from_secs(seconds.parse().expect("BLOCKTWIN_STRESS is a number of seconds"))
}

/// Runs `stress` on its threads.
fn run<T>(stress: impl Future<Output = T>) -> T {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let within = async { timeout(duration() + PATIENCE, stress).await };
    runtime.expect("a runtime").block_on(within).expect("a wake-up was lost, or something is slow")
}
