//! A device that panics is a finding, not a stack trace on the terminal.

use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// Set while panics of this thread are kept off standard error.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// How many catchers of panics there are on this thread.
    static CATCHERS: Cell<u32> = const { Cell::new(0) };
    /// What the last panic of this thread said, and where.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
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
    hook();
    let before = QUIET.replace(true);
    let _restored = OnDrop(|| QUIET.set(before));
    work()
}

/// Does `work`. Where it panics, gives what the panic said, with file and line, and the panic.
pub(super) fn catch<T>(
    work: impl FnOnce() -> T,
) -> Result<T, (String, Box<dyn std::any::Any + Send>)> {
    hook();
    CATCHERS.set(CATCHERS.get() + 1);
    let _restored = OnDrop(|| CATCHERS.set(CATCHERS.get() - 1));
    let caught = panic::catch_unwind(panic::AssertUnwindSafe(work));
    caught.map_err(|panic| {
        let said = LAST.with_borrow_mut(Option::take);
        (said.unwrap_or_else(|| "no message".to_owned()), panic)
    })
}

/// Goes on with a panic that said this.
pub(super) fn pass_on(said: String, panic: Box<dyn std::any::Any + Send>) -> ! {
    LAST.set(Some(said));
    panic::resume_unwind(panic)
}

/// Whether a panic that said this was in the harness: in code that the device may call, as files
/// are, but that is not the device.
pub(super) fn is_own(said: &str) -> bool {
    let this = file!();
    let Some(sources) = this.strip_suffix("lockstep/quiet.rs") else { return false };
    let place = said.rsplit(AT).next().and_then(|place| place.strip_prefix(sources));
    let own = ["disk/", "lockstep/", "model/"];
    place.is_some_and(|it| own.iter().any(|own| it.starts_with(own)) && !it.contains("/tests"))
}

/// Before the place of a panic.
const AT: &str = ", at ";

/// Puts the hook in its place, once.
fn hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHERS.get() > 0 {
                LAST.set(Some(describe(info)));
            }
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("no message");
    match info.location() {
        Some(at) => format!("{message}{AT}{}:{}", at.file(), at.line()),
        None => message.to_owned(),
    }
}

/// Does something when it is dropped, also in a panic.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
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

    #[test]
    fn panics_of_the_harness_are_told_by_their_place() {
        let sources = file!().strip_suffix("lockstep/quiet.rs").unwrap();
        let is_own = |place: &str| is_own(&format!("no, at last, at {sources}{place}:7"));
        assert!(is_own("disk/undo.rs") && is_own("model/twin.rs") && is_own("lockstep/run.rs"));
        assert!(!is_own("device/file_backed.rs") && !is_own("exec/join.rs"));
        assert!(!is_own("lockstep/tests/tasks.rs") && !super::is_own("of no place"));
        assert!(!super::is_own("mine, at /home/me/src/disk/undo.rs:7"));
    }

    #[test]
    fn a_panic_says_where_it_was() {
        let caught = quietly(|| catch::<()>(|| panic!("the {} one", 2)));
        let line = line!() - 1;
        let said = caught.err().map(|(said, _): (String, _)| said).unwrap_or_default();
        assert_eq!(said, format!("the 2 one, at {}:{line}", file!()));
        assert!(catch(|| 7).is_ok_and(|seven| seven == 7));
    }
}
