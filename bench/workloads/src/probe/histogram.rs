//! A histogram that any thread may record into at any time, even while it is being torn down.
//!
//! The layout is the HDR histogram's with two significant digits: each doubling has 128 buckets of equal width, so
//! a bucket's bound is within 0.8 % of the value. The crate `hdrhistogram` (the tests' oracle) keeps its counts in a
//! vector of one thread: each thread would have to allocate one from the very allocator that is being measured, and
//! to hand it in when it ends. Here the counts are static and atomic, in shards that threads are spread over.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Buckets of a doubling, a power of two.
const PER_DOUBLING: u64 = 128;

/// Larger values count as the largest: 2^40 ticks are minutes.
const LARGEST: u64 = (1 << 40) - 1;

const BUCKETS: usize = bucket(LARGEST) + 1;

/// More than the threads that run at once on most machines; zero pages until used.
const SHARDS: usize = 32;

/// Counts of values in buckets.
pub struct Histogram([Shard; SHARDS]);

/// The counts of the threads of one shard; no two share a cache line.
#[repr(align(128))]
struct Shard([AtomicU64; BUCKETS]);

impl Histogram {
    /// No values.
    pub const fn new() -> Histogram {
        Histogram([const { Shard([const { AtomicU64::new(0) }; BUCKETS]) }; SHARDS])
    }

    /// Counts a value. Does not allocate, lock or need the thread to be alive for Rust.
    #[inline]
    pub fn record(&self, value: u64) {
        // Relaxed: a count publishes nothing; who sums up has joined the threads.
        self.0[shard()].0[bucket(value.min(LARGEST))].fetch_add(1, Ordering::Relaxed);
    }

    /// All buckets that are not empty: the highest value of the bucket and how many.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let sum = |index: usize| self.0.iter().map(|shard| shard.0[index].load(Ordering::Relaxed)).sum::<u64>();
        (0..BUCKETS).map(|index| (highest(index), sum(index))).filter(|&(_, count)| count > 0).collect()
    }
}

/// The shard of this thread.
#[inline]
fn shard() -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Without a destructor: usable from the thread's first instruction to its last.
    thread_local!(static MINE: Cell<u32> = const { Cell::new(u32::MAX) });
    MINE.with(|mine| {
        if mine.get() == u32::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS as u32);
        }
        mine.get() as usize
    })
}

/// The bucket of a value: up to twice [`PER_DOUBLING`] each value has its own.
const fn bucket(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as u64;
    let exact = PER_DOUBLING.trailing_zeros() as u64 + 1;
    let shift = bits.saturating_sub(exact);
    (shift * PER_DOUBLING + (value >> shift)) as usize
}

/// The highest value of a bucket.
const fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PER_DOUBLING).saturating_sub(1);
    ((bucket - shift * PER_DOUBLING + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_hdr_histogram() {
        let oracle = hdrhistogram::Histogram::<u64>::new_with_bounds(1, LARGEST, 2).unwrap();
        let mut value = 1;
        while value < LARGEST {
            for near in [value - 1, value, value + 1, value * 3 / 2] {
                assert_eq!(highest(bucket(near)), oracle.highest_equivalent(near), "{near}");
            }
            value = value * 9 / 8 + 1;
        }
        assert_eq!(highest(BUCKETS - 1), LARGEST);
    }

    #[test]
    fn each_bucket_ends_where_the_next_begins() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(highest(index)), index);
            assert_eq!(bucket(highest(index) + 1), index + 1);
        }
    }

    #[test]
    fn values_of_all_threads_are_counted_once() {
        static HISTOGRAM: Histogram = Histogram::new();
        crate::threads::crew(40, |index| {
            for _ in 0..1000 {
                HISTOGRAM.record(u64::from(index));
            }
        });
        HISTOGRAM.record(u64::MAX);
        let mut expected: Vec<(u64, u64)> = (0..40).map(|value| (value, 1000)).collect();
        expected.push((LARGEST, 1));
        assert_eq!(HISTOGRAM.buckets(), expected);
    }
}
