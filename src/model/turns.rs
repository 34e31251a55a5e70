//! Whose turn it is to get a transfer buffer.

use super::answer::judge_allocation;
use super::clause::Clause;
use super::payload::OpId;
use super::twin::Twin;
use super::violation::{Kind, Violation};
use crate::device::DeviceError;

/// Requests for transfer buffers that are under way, or whose buffer is in use, in the order in
/// which they were made.
#[derive(Debug, Default)]
pub(super) struct Turns {
    claims: Vec<Claim>,
}

#[derive(Debug)]
struct Claim {
    op: OpId,
    bytes: u64,
    /// The buffer is in use.
    given: bool,
}

impl Turns {
    pub(super) fn clear(&mut self) {
        self.claims.clear();
    }

    /// `op` asks for a buffer.
    pub(super) fn asked(&mut self, op: OpId, bytes: u64) {
        self.claims.push(Claim { op, bytes, given: false });
    }

    /// `op` has got its buffer, from a heap of `heap` bytes. Then the memory of all who asked
    /// before is set aside, whether they know of it yet or not: together it has to fit the heap.
    /// How a heap rounds sizes up is not counted, so that no heap that serves in order is accused.
    pub(super) fn given(&mut self, op: OpId, heap: u64) -> Result<(), Violation> {
        let at = self.claims.iter().position(|claim| claim.op == op);
        let at = at.unwrap_or_else(|| panic!("#{op} got a buffer that it had not asked for"));
        self.claims[at].given = true;
        let (before, others) = self.claims.split_at(at);
        let in_use = others.iter().filter(|claim| claim.given);
        let set_aside: u64 = before.iter().chain(in_use).map(|claim| claim.bytes).sum();
        if set_aside <= heap {
            return Ok(());
        }
        let bytes = self.claims[at].bytes;
        let sentence = match before.iter().find(|claim| !claim.given) {
            Some(first) => format!(
                "#{op} got a transfer buffer of {bytes} bytes, and #{}, which had asked for {} \
                 before, still waits: a heap of {heap} bytes serves in order",
                first.op, first.bytes,
            ),
            None => {
                format!("transfer buffers of {set_aside} bytes are in use, of a heap of {heap}")
            }
        };
        Err(Violation::new(Kind::BufferOutOfTurn, sentence))
    }

    /// `op` has given up waiting, or given its buffer back.
    pub(super) fn over(&mut self, op: OpId) {
        if let Some(at) = self.claims.iter().position(|claim| claim.op == op) {
            self.claims.remove(at);
        }
    }
}

impl Twin {
    /// `op` asks for a buffer of `bytes` bytes, and may have to wait.
    pub fn asked(&mut self, op: OpId, bytes: u64) {
        self.turns.asked(op, bytes);
    }

    /// The buffer that `op` had [asked](Self::asked) for was given to it, from a heap of `heap`
    /// bytes.
    ///
    /// # Errors
    ///
    /// Where it was not its turn.
    ///
    /// # Panics
    ///
    /// If `op` has not asked for a buffer, or has given it back.
    pub fn given(&mut self, op: OpId, heap: u64) -> Result<(), Violation> {
        self.turns.given(op, heap)
    }

    /// `op` has given its buffer back, or waits no longer.
    pub fn gave_back(&mut self, op: OpId) {
        self.turns.over(op);
    }

    /// A buffer of `size` bytes was asked for, of a heap that can give `largest` bytes at once.
    ///
    /// # Errors
    ///
    /// Where the answer is not what clause 10 asks for.
    pub fn allocated(
        &mut self,
        size: usize,
        largest: usize,
        refused: Option<DeviceError>,
    ) -> Result<(), Violation> {
        self.checks.count(Clause::Buffers, 1);
        judge_allocation(size, largest, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAP: u64 = 4096;

    /// Requests of these sizes, numbered from 1.
    fn asked(sizes: &[u64]) -> Turns {
        let mut turns = Turns::default();
        (1..).zip(sizes).for_each(|(op, &bytes)| turns.asked(op, bytes));
        turns
    }

    #[test]
    fn who_knows_first_does_not_matter_where_all_fit() {
        let mut turns = asked(&[1024, 2048, 1024]);
        assert_eq!(turns.given(3, HEAP), Ok(()));
        assert_eq!(turns.given(1, HEAP), Ok(()));
        assert_eq!(turns.given(2, HEAP), Ok(()));
    }

    #[test]
    fn nobody_overtakes_one_who_does_not_fit() {
        let mut turns = asked(&[2048, 4096, 512]);
        assert_eq!(turns.given(1, HEAP), Ok(()));
        let violation = turns.given(3, HEAP).unwrap_err();
        assert_eq!(violation.kind, Kind::BufferOutOfTurn);
        assert!(violation.sentence.contains("#2, which had asked for 4096"), "{violation:?}");
    }

    #[test]
    fn whoever_has_gone_is_in_nobodys_way() {
        let mut turns = asked(&[2048, 4096, 512]);
        assert_eq!(turns.given(1, HEAP), Ok(()));
        turns.over(2);
        assert_eq!(turns.given(3, HEAP), Ok(()));
        turns.over(1);
    }

    #[test]
    #[should_panic(expected = "#9 got a buffer that it had not asked for")]
    fn nobody_gets_what_it_has_not_asked_for() {
        let _ = asked(&[512]).given(9, HEAP);
    }

    #[test]
    fn a_heap_gives_no_more_than_it_has() {
        let mut turns = asked(&[4096, 512]);
        assert_eq!(turns.given(1, HEAP), Ok(()));
        let violation = turns.given(2, HEAP).unwrap_err();
        assert!(violation.sentence.contains("4608 bytes are in use"), "{violation:?}");
    }
}
