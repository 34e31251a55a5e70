//! The bookkeeping of a buddy allocator: which units of a heap are free.

/// A binary tree over the units of a heap, whose nodes know the largest free block below them.
///
/// A block of order `n` is 2^n units, and begins at a multiple of as many. A node holds one more
/// than the order of the largest free block at or below it, or 0 if there is none. Nodes below a
/// block that is taken, or free as a whole, keep the values of a free block: no one splits or
/// merges anything, and taking a block or returning it touches one path towards the root.
pub(super) struct Buddy {
    /// The root is at 1, the children of `n` are at `2n` and `2n + 1`, and the leaves are units.
    nodes: Vec<u8>,
    /// The order of the whole tree.
    height: u8,
    free_units: usize,
}

impl Buddy {
    /// All `units` are free. Where they are no power of two, the tree ends in taken leaves.
    pub(super) fn new(units: usize) -> Self {
        let leaves = units.next_power_of_two();
        let mut nodes = vec![0; 2 * leaves];
        let height = order_of(units);
        for order in 0..=height {
            let (first, whole) = (leaves >> order, units >> order);
            nodes[first..first + whole].fill(order + 1);
            // The node that the end of the heap cuts through, if it does; the rest is taken. Its
            // right half holds no more than its left one, and is not whole.
            let cut = first + whole;
            if order > 0 && whole < first {
                nodes[cut] = nodes[2 * cut];
            }
        }
        Self { nodes, height, free_units: units }
    }

    /// How many units are free.
    pub(super) fn free_units(&self) -> usize {
        self.free_units
    }

    /// The number of units in the largest block that is free.
    pub(super) fn largest(&self) -> usize {
        1 << self.nodes[1] >> 1
    }

    /// Takes the block of 2^`order` units with the lowest address, and returns its first unit.
    pub(super) fn take(&mut self, order: u8) -> Option<usize> {
        if self.nodes[1] <= order {
            return None;
        }
        let mut node = 1;
        for below in (order..self.height).rev() {
            if self.nodes[node] == below + 2 {
                // Free as a whole, so its lowest part is what we want: an empty heap is quick.
                node <<= below + 1 - order;
                break;
            }
            // Something below the node is large enough: if not on the left, then on the right.
            node = 2 * node + usize::from(self.nodes[2 * node] <= order);
        }
        self.set(node, order, 0);
        self.free_units -= 1 << order;
        Some((node << order) - (1 << self.height))
    }

    /// Returns the block that [`take`](Self::take) gave for this order.
    pub(super) fn give_back(&mut self, unit: usize, order: u8) {
        let node = (unit + (1 << self.height)) >> order;
        debug_assert_eq!(self.nodes[node], 0, "only a taken block is returned");
        self.set(node, order, order + 1);
        self.free_units += 1 << order;
    }

    /// Sets a node of this order, and all above that depend on it.
    fn set(&mut self, mut node: usize, order: u8, mut value: u8) {
        self.nodes[node] = value;
        for order in order + 1..=self.height {
            value = join(value, self.nodes[node ^ 1], order);
            node /= 2;
            if self.nodes[node] == value {
                break;
            }
            self.nodes[node] = value;
        }
    }
}

/// The order of the smallest block that holds so many units.
#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
pub(super) fn order_of(units: usize) -> u8 {
    units.next_power_of_two().trailing_zeros() as u8
}

/// The value of a node of this order, from those of its children.
fn join(child: u8, sibling: u8, order: u8) -> u8 {
    // A child that is free as a whole holds `order`, one more than its own order.
    if child == order && sibling == order { order + 1 } else { child.max(sibling) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_round_up() {
        let orders = [1, 2, 3, 4, 5, 1 << 20, (1 << 20) + 1].map(order_of);
        assert_eq!(orders, [0, 1, 2, 2, 3, 20, 21]);
    }

    #[test]
    fn the_lowest_address_comes_first() {
        let mut buddy = Buddy::new(8);
        assert_eq!(buddy.take(1), Some(0));
        assert_eq!(buddy.take(0), Some(2));
        assert_eq!(buddy.take(1), Some(4));
        assert_eq!(buddy.take(0), Some(3));
        assert_eq!((buddy.take(2), buddy.free_units(), buddy.largest()), (None, 2, 2));
        buddy.give_back(0, 1);
        assert_eq!(buddy.take(0), Some(0));
    }

    #[test]
    fn a_heap_of_any_number_of_units_is_used_whole() {
        for units in 1..=40 {
            let mut buddy = Buddy::new(units);
            let largest = 1 << units.ilog2();
            assert_eq!((buddy.free_units(), buddy.largest()), (units, largest), "{units}");
            let before = buddy.nodes.clone();
            for unit in 0..units {
                assert_eq!(buddy.take(0), Some(unit));
            }
            assert_eq!((buddy.take(0), buddy.free_units(), buddy.largest()), (None, 0, 0));
            // Even ones first, so that the odd ones have to merge.
            for unit in (0..units).step_by(2).chain((1..units).step_by(2)) {
                buddy.give_back(unit, 0);
            }
            assert_eq!((&buddy.nodes, buddy.free_units()), (&before, units));
        }
    }
}
