//! Where the blocks of a device go when the device gets smaller.

/// Maps block numbers of a device to those of a smaller one, in the same order.
///
/// What matters is where requests begin and end: the *edges*. The stretches between them are cut to
/// a common greatest length, just so that all fit. So what overlapped overlaps still, and only long
/// stretches in which nothing begins or ends get shorter. For example, a device of 100 blocks with
/// requests for blocks 0 to 2 and 50 to 53 has the edges 0, 2, 50, 53 and 100. In a device of 13
/// blocks, they are 0, 2, 6, 9 and 13: the two stretches of 48 and 47 blocks became 4 each.
///
/// If there are more stretches than blocks, edges have to share places.
pub(super) struct Places {
    /// The edges, ascending: from 0 to the old number of blocks.
    edges: Vec<u64>,
    /// Where they go.
    places: Vec<u64>,
}

impl Places {
    /// From a device of `old` blocks to one of `new` blocks. One that does not get smaller keeps
    /// its places.
    pub(super) fn new(old: u64, new: u64, edges: impl Iterator<Item = u64>) -> Self {
        if new >= old {
            return Self { edges: vec![0, old], places: vec![0, old] };
        }
        let mut edges: Vec<u64> = edges.filter(|&edge| edge <= old).chain([0, old]).collect();
        edges.sort_unstable();
        edges.dedup();
        let stretches = edges.len() as u64 - 1;
        let places = if stretches > new {
            let shared = |at: u64| u128::from(at) * u128::from(new) / u128::from(stretches);
            (0..=stretches).map(|at| u64::try_from(shared(at)).unwrap_or(new)).collect()
        } else {
            shortened(&edges, new)
        };
        Self { edges, places }
    }

    /// Where a block goes; those beyond the old end stay as far beyond.
    pub(super) fn place(&self, block: u64) -> u64 {
        // The first edge is 0.
        let at = self.edges.partition_point(|&edge| edge <= block) - 1;
        let beyond = block - self.edges[at];
        let room = self.places.get(at + 1).map_or(u64::MAX, |next| next - self.places[at]);
        self.places[at].saturating_add(beyond.min(room))
    }
}

/// The places of edges when the longest stretches between them are shortened, so that the last edge
/// is at `end`.
fn shortened(edges: &[u64], end: u64) -> Vec<u64> {
    let stretches = || edges.windows(2).map(|two| two[1] - two[0]);
    let total = |most: u64| stretches().map(|it| it.min(most)).fold(0, u64::saturating_add);
    // The greatest length with which all stretches fit.
    let (mut most, mut too_long) = (1, end + 1);
    while too_long - most > 1 {
        let middle = most + (too_long - most) / 2;
        if total(middle) <= end { most = middle } else { too_long = middle }
    }
    // What is left of the room goes to the first that were shortened.
    let mut left = end - total(most);
    let mut places = vec![0];
    let mut place = 0;
    for stretch in stretches() {
        let more = u64::from(stretch > most && left > 0);
        (left, place) = (left - more, place + stretch.min(most) + more);
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(old: u64, new: u64, edges: &[u64]) -> Vec<u64> {
        let places = Places::new(old, new, edges.iter().copied());
        edges.iter().map(|&edge| places.place(edge)).collect()
    }

    #[test]
    fn long_stretches_get_shorter() {
        assert_eq!(placed(100, 13, &[0, 2, 50, 53, 100]), [0, 2, 6, 9, 13]);
        assert_eq!(placed(100, 12, &[0, 2, 50, 53, 100]), [0, 2, 6, 9, 12]);
        assert_eq!(placed(64, 32, &[0, 10, 11, 64]), [0, 10, 11, 32]);
        assert_eq!(placed(1 << 40, 4, &[1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn a_device_that_does_not_get_smaller_keeps_its_places() {
        assert_eq!(placed(4, 8, &[0, 1, 4]), [0, 1, 4]);
        assert_eq!(placed(4, 4, &[2, 3, 9]), [2, 3, 9]);
    }

    #[test]
    fn too_many_edges_share_places() {
        assert_eq!(placed(8, 2, &[0, 1, 2, 3, 4]), [0, 0, 0, 1, 1]);
        assert_eq!(placed(8, 2, &[8]), [2]);
    }

    #[test]
    fn what_lies_beyond_the_end_stays_beyond() {
        assert_eq!(placed(100, 10, &[100, 101, u64::MAX]), [10, 11, u64::MAX - 90]);
    }
}
