//! The operations of a ring that are under way, each in a slot. Nothing here calls the kernel.

use super::slab::Memory;
use io_uring::squeue::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::task::Waker;

/// How often an operation is given to the kernel again that it has cancelled by itself.
const MOST_CANCELLED: u8 = 16;

/// What the kernel is asked to do, with the memory that it works on.
pub(super) struct Operation {
    pub(super) entry: Entry,
    pub(super) memory: Memory,
}

#[derive(Clone, Copy)]
enum Stage {
    Free,
    /// To be given to the kernel with the next batch.
    Queued,
    /// The memory is the kernel's: it is neither looked at nor freed.
    InKernel,
    Done(i32),
}

struct Slot {
    stage: Stage,
    /// `None` while free.
    operation: Option<Operation>,
    /// Of the future.
    waker: Option<Waker>,
    /// The future was dropped, and this is its number among the orphans.
    orphan: Option<u64>,
    cancelled: u8,
}

/// What is left to do once the lock is released.
#[derive(Default)]
pub(super) struct Leftovers {
    /// Those that have ended.
    pub(super) orphans: Vec<u64>,
    /// What orphans owned.
    freed: Vec<Operation>,
    /// Something was queued that is to be made again.
    pub(super) again: bool,
}

/// All slots, and those who wait for one.
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slots to be given to the kernel, in this order.
    queued: Vec<u32>,
    /// How many the kernel has.
    in_kernel: usize,
    /// Those whose operations have ended, and who are not woken yet.
    to_wake: VecDeque<Waker>,
    /// Those who wait for a slot, first come, first served. Whoever is woken is not here any more.
    waiting: BTreeMap<u64, Waker>,
    last_ticket: u64,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        let slot = |_| Slot {
            stage: Stage::Free,
            operation: None,
            waker: None,
            orphan: None,
            cancelled: 0,
        };
        Self {
            slots: (0..count).map(slot).collect(),
            free: (0..count).rev().collect(),
            queued: Vec::new(),
            in_kernel: 0,
            to_wake: VecDeque::new(),
            waiting: BTreeMap::new(),
            last_ticket: 0,
        }
    }

    pub(super) fn in_kernel(&self) -> usize {
        self.in_kernel
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Whether there is a slot for the owner of `ticket`, or for one who comes now. Otherwise that
    /// one waits. Gives a waker that has to be dropped without the lock.
    pub(super) fn claim(
        &mut self,
        ticket: &mut Option<u64>,
        waker: &Waker,
    ) -> (Option<u32>, Option<Waker>) {
        // Whoever comes now comes after those who wait.
        let may = ticket.is_some() || self.waiting.is_empty();
        if may && let Some(index) = self.free.pop() {
            let outdated = ticket.take().and_then(|ticket| self.waiting.remove(&ticket));
            return (Some(index), outdated);
        }
        let ticket = *ticket.get_or_insert_with(|| {
            self.last_ticket += 1;
            self.last_ticket
        });
        (None, self.waiting.insert(ticket, waker.clone()))
    }

    /// The owner of this ticket waits no longer. Where a slot was meant for it, the next one is
    /// woken.
    pub(super) fn give_up(&mut self, ticket: u64) -> (Option<Waker>, Option<Waker>) {
        let own = self.waiting.remove(&ticket);
        let pass_on = own.is_none() && !self.free.is_empty();
        let next = if pass_on { self.waiting.pop_first() } else { None };
        (own, next.map(|(_, waker)| waker))
    }

    /// Queues an operation in a slot that was [claimed](Self::claim).
    pub(super) fn queue(&mut self, index: u32, operation: Operation, waker: &Waker) {
        let slot = &mut self.slots[index as usize];
        slot.operation = Some(operation);
        slot.waker = Some(waker.clone());
        slot.stage = Stage::Queued;
        self.queued.push(index);
    }

    /// Gives what is queued to `push`, until that has no room.
    pub(super) fn push_queued(&mut self, mut push: impl FnMut(&Entry) -> bool) {
        let mut pushed = 0;
        for &index in &self.queued {
            let slot = &mut self.slots[index as usize];
            let Some(operation) = &mut slot.operation else { unreachable!("it is queued") };
            operation.entry.set_user_data(u64::from(index));
            if !push(&operation.entry) {
                break;
            }
            slot.stage = Stage::InKernel;
            pushed += 1;
        }
        self.queued.drain(..pushed);
        self.in_kernel += pushed;
    }

    /// The kernel is done with the operation of this slot.
    pub(super) fn complete(&mut self, index: u32, result: i32, leftovers: &mut Leftovers) {
        let slot = &mut self.slots[index as usize];
        assert!(matches!(slot.stage, Stage::InKernel), "the kernel answers once");
        self.in_kernel -= 1;
        if let Some(number) = slot.orphan {
            leftovers.orphans.push(number);
            let (operation, next) = self.release(index);
            leftovers.freed.extend(operation);
            self.to_wake.extend(next);
            return;
        }
        // Nobody cancels operations, but the kernel may where a thread of it ends. That is no
        // answer.
        if result == -libc::ECANCELED && slot.cancelled < MOST_CANCELLED {
            slot.cancelled += 1;
            slot.stage = Stage::Queued;
            self.queued.push(index);
            leftovers.again = true;
        } else {
            slot.stage = Stage::Done(result);
            self.to_wake.extend(slot.waker.take());
        }
    }

    /// The next who is to be woken.
    pub(super) fn next_to_wake(&mut self) -> Option<Waker> {
        self.to_wake.pop_front()
    }

    /// All who are to be woken.
    pub(super) fn all_to_wake(&mut self) -> VecDeque<Waker> {
        mem::take(&mut self.to_wake)
    }

    /// The answer to the operation of this slot, which is free then, and who is to be woken.
    pub(super) fn answer(&mut self, index: u32) -> Option<(i32, Option<Operation>, Option<Waker>)> {
        let Stage::Done(result) = self.slots[index as usize].stage else { return None };
        let (operation, next) = self.release(index);
        Some((result, operation, next))
    }

    /// From now on this is the waker of the operation, which is under way. Gives the outdated one.
    pub(super) fn watch(&mut self, index: u32, waker: &Waker) -> Option<Waker> {
        let own = &mut self.slots[index as usize].waker;
        if own.as_ref().is_some_and(|own| own.will_wake(waker)) {
            return None;
        }
        own.replace(waker.clone())
    }

    /// The future of the operation was dropped. If the kernel has it, it is an orphan, with the
    /// number that `adopt` gives; otherwise it is not made.
    pub(super) fn abandon(&mut self, index: u32, adopt: impl FnOnce() -> u64) -> Abandoned {
        let slot = &mut self.slots[index as usize];
        let waker = slot.waker.take();
        if let Stage::InKernel = slot.stage {
            slot.orphan = Some(adopt());
            return Abandoned { next: None, _waker: waker, _operation: None };
        }
        self.queued.retain(|&queued| queued != index);
        let (operation, next) = self.release(index);
        Abandoned { next, _waker: waker, _operation: operation }
    }

    /// Frees a slot, and takes the first away who waits for one.
    fn release(&mut self, index: u32) -> (Option<Operation>, Option<Waker>) {
        let slot = &mut self.slots[index as usize];
        let operation = slot.operation.take();
        (slot.stage, slot.waker, slot.orphan, slot.cancelled) = (Stage::Free, None, None, 0);
        self.free.push(index);
        (operation, self.waiting.pop_first().map(|(_, waker)| waker))
    }

    /// Leaks the memory of every operation.
    pub(super) fn forget(&mut self) {
        mem::forget(mem::take(&mut self.slots));
    }
}

/// What is left of an operation whose future was dropped, to be dropped without the lock.
pub(super) struct Abandoned {
    /// Who gets the slot.
    pub(super) next: Option<Waker>,
    _waker: Option<Waker>,
    _operation: Option<Operation>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker_ref;
    use io_uring::types::FsyncFlags;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn queued(slots: &mut Slots) -> u32 {
        let index = slots.claim(&mut None, noop_waker_ref()).0.unwrap();
        slots.queue(index, Operation::sync(FsyncFlags::empty()), noop_waker_ref());
        index
    }

    #[test]
    fn a_slot_goes_to_whoever_waits_longest_also_where_that_one_is_dropped() {
        let mut slots = Slots::new(1);
        let index = queued(&mut slots);
        let (mut first, mut second) = (None, None);
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        assert!(slots.claim(&mut first, &counts[0].clone().into()).0.is_none());
        assert!(slots.claim(&mut second, &counts[1].clone().into()).0.is_none());
        let abandoned = slots.abandon(index, || unreachable!("the kernel never had it"));
        abandoned.next.unwrap().wake();
        assert_eq!(counts[0].0.load(Ordering::Relaxed), 1);
        assert!(slots.claim(&mut None, noop_waker_ref()).0.is_none(), "who comes now comes last");
        // The first was woken, and does not take it.
        let (own, next) = slots.give_up(first.unwrap());
        assert!(own.is_none());
        next.unwrap().wake();
        assert_eq!(counts[1].0.load(Ordering::Relaxed), 1);
        assert!(slots.claim(&mut second, noop_waker_ref()).0.is_some());
    }

    #[test]
    fn what_the_kernel_has_is_kept_and_what_it_cancels_is_made_again() {
        let mut slots = Slots::new(2);
        let (kept, orphan) = (queued(&mut slots), queued(&mut slots));
        slots.push_queued(|_| true);
        assert!(slots.watch(kept, noop_waker_ref()).is_none(), "it would wake the same");
        assert!(slots.abandon(orphan, || 7).next.is_none());
        assert_eq!(slots.in_kernel(), 2);
        assert!(slots.free.is_empty());
        let mut leftovers = Leftovers::default();
        slots.complete(kept, -libc::ECANCELED, &mut leftovers);
        slots.complete(orphan, -libc::ECANCELED, &mut leftovers);
        assert_eq!((leftovers.again, &leftovers.orphans[..]), (true, &[7][..]));
        assert!(slots.next_to_wake().is_none(), "there is no answer yet");
        assert_eq!((slots.in_kernel(), slots.queued()), (0, 1));
        assert!(slots.answer(kept).is_none());
        slots.push_queued(|_| true);
        slots.complete(kept, 0, &mut Leftovers::default());
        assert_eq!(slots.all_to_wake().len(), 1);
        assert_eq!(slots.answer(kept).unwrap().0, 0);
        assert_eq!(slots.free.len(), 2);
    }

    #[test]
    fn what_finds_no_room_stays_queued() {
        let mut slots = Slots::new(3);
        let all = [(); 3].map(|()| queued(&mut slots));
        let mut room = 2;
        slots.push_queued(|_| {
            room -= 1;
            room >= 0
        });
        assert_eq!((slots.in_kernel(), slots.queued.as_slice()), (2, &all[2..]));
    }
}
