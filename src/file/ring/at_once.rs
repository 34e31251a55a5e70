//! Calls that need no waiting, and so no ring.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tries calls of one kind at once, for as long as the file can say that they would have to wait.
pub(super) struct AtOnce {
    may_be_tried: AtomicBool,
}

impl AtOnce {
    pub(super) fn new(may_be_tried: bool) -> Self {
        Self { may_be_tried: AtomicBool::new(may_be_tried) }
    }

    /// What `call` gave; `None` where the ring has to make it, errors included: they are its answer.
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
