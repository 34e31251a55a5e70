//! A device that panics is a finding, not a stack trace on the terminal.

use std::cell::Cell;

thread_local! {
    /// Set while panics of this thread are caught and reported.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics that are caught and reported off the terminal.
pub(crate) fn install_hook() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            loud(info);
        }
    }));
}

/// Does `work`, which catches panics.
pub(crate) fn panics<T>(work: impl FnOnce() -> T) -> T {
    let before = QUIET.replace(true);
    let done = work();
    QUIET.set(before);
    done
}
