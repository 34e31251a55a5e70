//! Calls that need no waiting, and so no ring.

use crate::file::MOST_PIECES;
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// Tries calls of one kind at once, for as long as the file can say that they would have to wait.
pub(super) struct AtOnce {
    may_be_tried: AtomicBool,
}

impl AtOnce {
    pub(super) fn new(may_be_tried: bool) -> Self {
        Self { may_be_tried: AtomicBool::new(may_be_tried) }
    }

    /// What `call` gave; `None` where the ring has to make it, also after an error, which is then
    /// its answer.
    pub(super) fn attempt(&self, call: impl FnOnce() -> io::Result<usize>) -> Option<usize> {
        if !self.may_be_tried.load(Ordering::Relaxed) {
            return None;
        }
        match call() {
            // Linux 5.9 and 5.10 gave 0 where they should not have.
            Ok(count) => Some(count).filter(|&count| count > 0),
            Err(error) => {
                if error.kind() == io::ErrorKind::Unsupported {
                    self.may_be_tried.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }
}

/// Whether the file lies in memory (`tmpfs(5)`), so that no call on it waits for a disk; but for a
/// swapped page.
pub(super) fn is_in_memory(file: &File) -> bool {
    // `TMPFS_MAGIC` of `statfs(2)`.
    rustix::fs::fstatfs(file).is_ok_and(|told| told.f_type == 0x0102_1994)
}

fn flags(is_in_memory: bool) -> ReadWriteFlags {
    if is_in_memory { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT }
}

/// As `preadv(2)`, of what is there at once: `EAGAIN` where a disk has to be waited for, and
/// `EOPNOTSUPP` where the file system cannot tell (`preadv2(2)` with `RWF_NOWAIT`).
pub(super) fn read(
    file: &File,
    pieces: &mut [IoSliceMut<'_>],
    offset: u64,
    is_in_memory: bool,
) -> io::Result<usize> {
    let (count, flags) = (pieces.len().min(MOST_PIECES), flags(is_in_memory));
    Ok(rustix::io::preadv2(file, &mut pieces[..count], offset, flags)?)
}

/// As `pwritev(2)`, of what needs no waiting; see [`read`].
pub(super) fn write(
    file: &File,
    pieces: &[IoSlice<'_>],
    offset: u64,
    is_in_memory: bool,
) -> io::Result<usize> {
    let (count, flags) = (pieces.len().min(MOST_PIECES), flags(is_in_memory));
    Ok(rustix::io::pwritev2(file, &pieces[..count], offset, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_is_not_supported_is_tried_once() {
        let at_once = AtOnce::new(true);
        assert_eq!(at_once.attempt(|| Ok(7)), Some(7));
        assert_eq!(at_once.attempt(|| Ok(0)), None);
        assert_eq!(at_once.attempt(|| Err(Errno::AGAIN.into())), None);
        assert_eq!(at_once.attempt(|| Ok(8)), Some(8));
        assert_eq!(at_once.attempt(|| Err(Errno::OPNOTSUPP.into())), None);
        assert_eq!(at_once.attempt(|| unreachable!("it is not supported")), None);
    }
}
