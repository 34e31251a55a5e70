//! A device that panics is a finding, not a stack trace on the terminal.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// Set while panics of this thread are caught and reported.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, and meanwhile keeps the panics of this thread off standard error.
///
/// [`Runner::run`](super::Runner::run) makes a verdict of a panic of the device, but cannot keep
/// the process from reporting it too, thousands of times when it is shrunk. The first call puts a
/// hook before the panic hook of the process, which goes on to see whatever panics elsewhere.
///
/// # Panics
///
/// If `work` does, and the first time also if the thread is panicking already.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    let _restored = Restore(QUIET.replace(true));
    work()
}

/// What it was before, also when `work` panics.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        QUIET.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quiet_for_as_long_as_the_work_takes() {
        assert!(quietly(|| quietly(|| QUIET.get()) && QUIET.get()));
        assert!(!QUIET.get());
        let caught = panic::catch_unwind(|| quietly(|| panic!("nobody sees this")));
        assert!(caught.is_err() && !QUIET.get());
    }
}
