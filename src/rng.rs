//! Seeded randomness: one seed, one independent stream of draws for each purpose.
//!
//! Every random decision of a run comes from an [`Rng`], and every `Rng` from the seed of the run
//! and a [`Purpose`]. The streams of two purposes share nothing but the seed, so that a change to
//! the number of draws made for one (a new fault, one more operation) leaves the others as they
//! were: a failing run can be shrunk without the schedule falling apart.
//!
//! # Stability
//!
//! The same seed has to give the same run next year, so nothing here depends on code that may
//! change its numbers in a minor version. The generator is ChaCha8, a published cipher; the key is
//! laid out by this module and not by the seeding code of a crate, and so are the few
//! distributions that the project needs. The tests hold literal numbers, which were computed
//! outside Rust, from the definition of the cipher.
//!
//! The 32-byte key is the seed in little-endian order (8 bytes), followed by the 24 bytes of
//! `b"blocktwin rng key, v1\0\0\0"`. The 64-bit stream number is the discriminant of the purpose,
//! the block counter starts at zero, and a draw is the next eight bytes of the key stream in
//! little-endian order.
//!
//! # One call, one draw
//!
//! Every method takes exactly one draw, whatever its arguments and its answer. How often a stream
//! was asked is then all that decides where it stands: changing a probability or a bound never
//! shifts the decisions that follow. The price is a bias, as an exactly uniform answer would
//! sometimes need a second draw: an answer out of `n` comes with a probability that is off from
//! `1 / n` by less than 2<sup>-64</sup>. No simulation will ever notice.
//!
//! # Examples
//!
//! ```
//! use blocktwin::rng::{Purpose, Rng};
//!
//! let mut operations = Rng::new(42, Purpose::Operations);
//! let mut faults = Rng::new(42, Purpose::Faults);
//!
//! let block = operations.below(1024);
//! let torn = faults.chance(1, 100);
//! assert_eq!((block, torn), (30, false)); // on every machine, in every version
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

#[cfg(test)]
mod tests;

/// What fills the key behind the seed. Changing it changes every run of every seed.
const KEY_TAG: [u8; 24] = *b"blocktwin rng key, v1\0\0\0";

/// What a stream of random draws is for.
///
/// Each purpose has a stream of its own; see the [module documentation](self). The discriminants
/// are the stream numbers and part of the meaning of a seed: they are never changed or reused.
///
/// # Examples
///
/// ```
/// use blocktwin::rng::{Purpose, Rng};
///
/// let mut crash = Rng::new(1, Purpose::Crash);
/// let mut payload = Rng::new(1, Purpose::Payload);
/// assert_ne!(crash.next_u64(), payload.next_u64());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum Purpose {
    /// What the clients do: which operation, where, how long.
    Operations = 0,
    /// Which task runs next; see [`exec::RandomSchedule`](crate::exec::RandomSchedule).
    Schedule = 1,
    /// Which request fails, and how.
    Faults = 2,
    /// When the power goes, and what of the unsynced data is left after it.
    Crash = 3,
    /// The bytes that are written.
    Payload = 4,
}

/// A deterministic stream of random draws.
///
/// A clone goes on from where the original stood, and repeats it exactly.
///
/// # Examples
///
/// ```
/// use blocktwin::rng::{Purpose, Rng};
///
/// let mut rng = Rng::new(42, Purpose::Operations);
/// let mut same = rng.clone();
/// assert_eq!(rng.next_u64(), same.next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Rng {
    stream: ChaCha8Rng,
}

impl Rng {
    /// Gives the stream of `seed` for `purpose`, at its beginning.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::rng::{Purpose, Rng};
    ///
    /// let mut rng = Rng::new(42, Purpose::Operations);
    /// assert_eq!(rng.next_u64(), 0x07be_6182_baaf_2058);
    /// ```
    #[inline]
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        let (head, tail) = key.split_at_mut(8);
        head.copy_from_slice(&seed.to_le_bytes());
        tail.copy_from_slice(&KEY_TAG);
        let mut stream = ChaCha8Rng::from_seed(key);
        stream.set_stream(purpose as u64);
        Self { stream }
    }

    /// Draws any `u64`.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::rng::{Purpose, Rng};
    ///
    /// // One seed can so be the parent of many.
    /// let mut seeds = Rng::new(42, Purpose::Operations);
    /// let children = [seeds.next_u64(), seeds.next_u64()];
    /// assert_ne!(children[0], children[1]);
    /// ```
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// Draws a number less than `bound`.
    ///
    /// # Panics
    ///
    /// If `bound` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::rng::{Purpose, Rng};
    ///
    /// let mut rng = Rng::new(42, Purpose::Operations);
    /// assert!(rng.below(10) < 10);
    /// assert_eq!(rng.below(1), 0);
    /// ```
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        scale(self.next_u64(), bound)
    }

    /// Draws a number that is at least `low` and at most `high`.
    ///
    /// # Panics
    ///
    /// If `low` is greater than `high`.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::rng::{Purpose, Rng};
    ///
    /// let mut rng = Rng::new(42, Purpose::Operations);
    /// assert!((1..=6).contains(&rng.between(1, 6)));
    /// assert_eq!(rng.between(7, 7), 7);
    /// ```
    #[inline]
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "no number is between {low} and {high}");
        let draw = self.next_u64();
        // All of `u64` holds one number more than a `u64` can count: the draw is the answer.
        (high - low).checked_add(1).map_or(draw, |count| low + scale(draw, count))
    }

    /// Draws `true` with the probability `numerator / denominator`.
    ///
    /// `chance(0, n)` is never `true` and `chance(n, n)` always; both take their draw all the same.
    ///
    /// # Panics
    ///
    /// If `denominator` is zero, or `numerator` greater than it.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::rng::{Purpose, Rng};
    ///
    /// let mut rng = Rng::new(42, Purpose::Faults);
    /// let failed = (0..1000).filter(|_| rng.chance(1, 4)).count();
    /// assert!((200..300).contains(&failed));
    /// ```
    #[inline]
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        assert!(
            numerator <= denominator,
            "a probability of {numerator}/{denominator} is more than one"
        );
        self.below(denominator) < numerator
    }

    /// Draws one of `items`, each of them as likely as another.
    ///
    /// # Panics
    ///
    /// If `items` is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::rng::{Purpose, Rng};
    ///
    /// let mut rng = Rng::new(42, Purpose::Operations);
    /// let size = *rng.pick(&[512, 4096, 65_536]);
    /// assert_eq!(size, 512);
    /// ```
    #[inline]
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        assert!(!items.is_empty(), "nothing to pick from");
        &items[self.index(items.len())]
    }

    /// Draws an index into `weights`, in proportion to the weight that stands there.
    ///
    /// An index of weight zero is never drawn, unless all are zero: equal weights are equally
    /// likely, and that includes zeros.
    ///
    /// # Panics
    ///
    /// If `weights` is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use blocktwin::rng::{Purpose, Rng};
    ///
    /// let mut rng = Rng::new(42, Purpose::Operations);
    /// let mut drawn = [0; 3];
    /// for _ in 0..1000 {
    ///     drawn[rng.weighted(&[1, 0, 9])] += 1;
    /// }
    /// assert_eq!(drawn[1], 0);
    /// assert!(drawn[0] < drawn[2]);
    /// ```
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        assert!(!weights.is_empty(), "no weights to draw from");
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        if total == 0 {
            return self.index(weights.len());
        }
        let mut rest = self.below(total);
        for (index, &weight) in weights.iter().enumerate() {
            match rest.checked_sub(u64::from(weight)) {
                None => return index,
                Some(left) => rest = left,
            }
        }
        unreachable!("a number below the sum of the weights is within one of them")
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the answer is less than `length`, a usize"
    )]
    fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

/// Maps the draws onto the numbers below `bound`: the whole part of `draw / 2^64 * bound`.
#[inline]
fn scale(draw: u64, bound: u64) -> u64 {
    ((u128::from(draw) * u128::from(bound)) >> 64) as u64
}
