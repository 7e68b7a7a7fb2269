//! What a pool says about itself.

use core::fmt;

/// A pool's figures at about one moment.
///
/// A pool that one thread uses at a time, or that has a lock, gives exact figures. Those of the others may be
/// out of step with each other by the operations in progress; where that would give a negative difference, it
/// is 0. Blocks of a variable-size pool have no common size: it counts `capacity` and `free` in bytes
/// and says so.
///
/// ```
/// use stratalloc_pool::{LocalPool, Pool};
///
/// let pool = LocalPool::new(|| [0u8; 100], |_| {});
/// drop(pool.try_acquire()?);
/// drop(pool.try_acquire()?);
/// let stats = pool.stats();
/// assert_eq!((stats.hits, stats.misses, stats.peak, stats.live, stats.free), (1, 1, 1, 0, 1));
/// assert_eq!(stats.hit_rate(), 0.5);
/// # Ok::<(), stratalloc_pool::AcquireError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Blocks that the pool has memory for.
    pub capacity: usize,
    /// Blocks handed out now.
    pub live: usize,
    /// Constructed objects that wait in the pool; of a pool of raw blocks, blocks that wait.
    pub free: usize,
    /// Acquisitions served by what waited in the pool.
    pub hits: u64,
    /// Acquisitions that had to construct an object or carve a fresh block.
    pub misses: u64,
    /// Acquisitions that waited for a release.
    pub waits: u64,
    /// The most blocks that were live at once.
    pub peak: usize,
    /// Bytes of the pool's memory that no object can use: padding, headers, ends of chunks.
    pub waste: usize,
    /// Bytes that the pool has from its allocator.
    pub bytes: usize,
}

impl PoolStats {
    /// The part of all acquisitions that were hits, 0 to 1; 0 when there were none.
    ///
    /// ```
    /// let pool = stratalloc_pool::LocalPool::new(|| 0, |_| {});
    /// assert_eq!(pool.stats().hit_rate(), 0.0);
    /// for _ in 0..4 {
    ///     drop(pool.try_acquire()?);
    /// }
    /// assert_eq!(pool.stats().hit_rate(), 0.75);
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    pub fn hit_rate(&self) -> f64 {
        rate(self.hits, self.misses)
    }
}

/// `hits` of `hits + misses`; 0 of none.
pub(crate) fn rate(hits: u64, misses: u64) -> f64 {
    let all = hits.saturating_add(misses);
    if all == 0 { 0.0 } else { hits as f64 / all as f64 }
}

impl fmt::Display for PoolStats {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} live (peak {}), {} free of {}; {:.1} % of {} hit, {} waited; {} bytes, {} wasted",
            self.live,
            self.peak,
            self.free,
            self.capacity,
            100.0 * self.hit_rate(),
            self.hits.saturating_add(self.misses),
            self.waits,
            self.bytes,
            self.waste,
        )
    }
}
