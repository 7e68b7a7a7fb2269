//! Random numbers that repeat: the same seed gives the same sequence everywhere.
//!
//! SplitMix64 (Steele, Lea and Flood: "Fast splittable pseudorandom number generators", 2014): one addition and two
//! multiplications a number, so that the workloads measure the allocator and not the dice.

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// 2^64 divided by the golden ratio, odd: steps of it visit all states.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Random {
        Random(mix(seed ^ 0x5354_5241_5441))
    }

    /// The sequence of the `stream`th thread (or part) of a seed: independent of all others' progress.
    pub fn stream(seed: u64, stream: u64) -> Random {
        Random(mix(mix(seed ^ 0x5354_5241_5441).wrapping_add(STEP.wrapping_mul(stream + 1))))
    }

    /// The next number, all 64 bits.
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// From 0 up to but without `bound`, which is above 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// The same as an index.
    #[inline]
    pub fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// From `low` to `high`, both included.
    #[inline]
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.index(high - low + 1)
    }

    /// True once in `of` times.
    #[inline]
    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// From 0 up to but without 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Sizes from `low` to `high` whose logarithm is evenly spread: many small, few large.
    #[inline]
    pub fn log_between(&mut self, low: usize, high: usize) -> usize {
        let ratio = high as f64 / low as f64;
        ((low as f64 * ratio.powf(self.unit())) as usize).clamp(low, high)
    }

    /// Brings a slice in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

/// Spreads a value over all bits, one to one; also the step of checksums.
#[inline]
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A checksum's next state after `value`, for results whose order counts.
#[inline]
pub fn fold(sum: u64, value: u64) -> u64 {
    mix(sum.rotate_left(23) ^ value.wrapping_add(STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_sequences_and_streams_differ() {
        let take = |mut random: Random| -> Vec<u64> { (0..8).map(|_| random.next()).collect() };
        assert_eq!(take(Random::new(7)), take(Random::new(7)));
        assert_ne!(take(Random::new(7)), take(Random::new(8)));
        assert_ne!(take(Random::stream(7, 0)), take(Random::stream(7, 1)));
        assert_ne!(take(Random::stream(7, 0)), take(Random::new(7)));
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 5];
        for _ in 0..5000 {
            seen[random.between(0, 4)] += 1;
            assert!((0.0..1.0).contains(&random.unit()));
            assert!((8..=1000).contains(&random.log_between(8, 1000)));
        }
        assert!(seen.iter().all(|&count| (800..1200).contains(&count)), "{seen:?}");
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
