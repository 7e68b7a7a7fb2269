//! What all pools share.

use crate::PoolStats;

/// The common face of the pools: figures, and giving memory back.
///
/// Acquisition is each pool's own, since what it hands out differs. Pools that threads share implement the
/// trait for references too, so that `trim` needs no exclusive access.
///
/// ```
/// use stratalloc_pool::{LocalPool, ObjectPool, Pool};
///
/// fn tidy(pools: &mut [&mut dyn Pool]) -> usize {
///     pools.iter_mut().map(|pool| pool.trim(0)).sum()
/// }
///
/// let mut local = LocalPool::new(|| 1u8, |_| {});
/// let shared = ObjectPool::new(|| 2u16, |_| {});
/// drop(local.try_acquire()?);
/// drop(shared.try_acquire()?);
/// assert_eq!(tidy(&mut [&mut local, &mut &shared]), 2);
/// assert_eq!(local.stats().free, 0);
/// # Ok::<(), stratalloc_pool::AcquireError>(())
/// ```
pub trait Pool {
    /// The pool's figures now. Costs at most a walk over the pool's blocks; never blocks longer than an acquisition.
    fn stats(&self) -> PoolStats;

    /// Drops free objects (forgets free blocks) until at most `keep` are left and gives memory that is wholly
    /// free back to the allocator where the pool can. Returns how many objects (blocks) went. Objects that are live stay.
    fn trim(&mut self, keep: usize) -> usize;

    /// Blocks handed out now.
    fn live(&self) -> usize {
        self.stats().live
    }

    /// Blocks that the pool has memory for.
    fn capacity(&self) -> usize {
        self.stats().capacity
    }
}
