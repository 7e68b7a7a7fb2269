//! [`TieredPool`] and [`TieredBlocks`]: a cache for each thread over shared stripes over a growing store.
//!
//! The layers are J. Bonwick and J. Adams's ("Magazines and Vmem", 2001): per-CPU magazines over a depot over slabs.
//! Here they hold constructed objects, or raw blocks, by thread.
//!
//! `cache` is a thread's level 1, `thread` says which cache a thread has, `levels` is levels 2 and 3 and the moves
//! between them. On these stand two faces: `pool`, of constructed objects, and `blocks`, of raw ones.
//!
//! # Life
//! Guards and the pool of objects hold [`Tiers`]; owned guards by `Arc`. When the last of them goes, `Tiers` ends: it takes
//! back the threads' caches (see `cache`) and drops every object. Threads keep an empty husk of their cache until they end
//! or make another.

mod blocks;
mod cache;
mod levels;
#[cfg(all(test, any(loom, shuttle)))]
mod model;
#[cfg(feature = "std")]
mod pool;
mod shared;
mod thread;

pub use blocks::TieredBlocks;
#[cfg(feature = "std")]
pub use pool::{OwnedTiered, TieredPool, Tiers};
#[cfg(feature = "std")]
pub use thread::StdThreads;
pub use thread::{ThreadCaches, Threads};
#[cfg(not(any(loom, shuttle)))]
pub use thread::{after_fork, before_fork};

use crate::PoolError;
use crate::stats::rate;

/// How many objects the levels below the store may hold.
///
/// ```
/// use stratalloc_pool::{Options, TierOptions, TieredPool};
///
/// // Large objects: few in each thread's cache, few stripes.
/// let tiers = TierOptions::new().cache(4).stripe(8).stripes(2);
/// let pool = TieredPool::with_options(|| [0u8; 65536], |_| {}, Options::new().limit(64), tiers)?;
/// # drop(pool);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct TierOptions {
    cache: usize,
    stripe: usize,
    stripes: usize,
}

impl TierOptions {
    /// 64 objects a thread, 256 a stripe, as many stripes as the process may use processors, at most 16 (without std, 4).
    pub const fn new() -> Self {
        Self { cache: 64, stripe: 256, stripes: 0 }
    }

    /// Most objects in a thread's cache; at least 1.
    pub const fn cache(mut self, objects: usize) -> Self {
        self.cache = objects;
        self
    }

    /// Most objects in a shared stripe; 0: none, the store is next.
    pub const fn stripe(mut self, objects: usize) -> Self {
        self.stripe = objects;
        self
    }

    /// How many stripes; 0: by the number of processors.
    pub const fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes;
        self
    }

    /// How many stripes there are to be.
    fn check(self) -> Result<usize, PoolError> {
        const MOST: usize = 1 << 20;
        if self.cache == 0 {
            return Err(PoolError::ZeroCapacity);
        }
        let largest = self.cache.max(self.stripe).max(self.stripes);
        if largest > MOST {
            return Err(PoolError::TooMany { asked: largest, most: MOST });
        }
        #[cfg(feature = "std")]
        let here = || std::thread::available_parallelism().map_or(1, usize::from).min(16);
        #[cfg(not(feature = "std"))]
        let here = || 4;
        Ok(if self.stripes == 0 { here() } else { self.stripes })
    }
}

impl Default for TierOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A level's part in a [`TierStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Level {
    /// Acquisitions that this level served.
    pub hits: u64,
    /// The part of the acquisitions that came as far as this level and were served here, 0 to 1.
    pub hit_rate: f64,
    /// Objects that wait here.
    pub free: usize,
}

/// What the levels of a tiered pool did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TierStats {
    /// The threads' caches, the shared stripes, the store.
    pub levels: [Level; 3],
    /// Acquisitions that constructed an object.
    pub misses: u64,
    /// Threads that have a cache.
    pub threads: usize,
}

impl TierStats {
    fn of(figures: &levels::Figures) -> Self {
        let mut beyond = figures.misses;
        let mut levels = [Level::default(); 3];
        for (at, level) in levels.iter_mut().enumerate().rev() {
            let hits = figures.hits[at];
            *level = Level { hits, hit_rate: rate(hits, beyond), free: figures.free[at] };
            beyond = beyond.saturating_add(hits);
        }
        Self { levels, misses: figures.misses, threads: figures.caches }
    }
}
