//! How a [`VarPool`](crate::VarPool) is to be made: fit, coalescing, granule, growth.

use crate::options::{CACHE_LINE, Growth, MAX_ALIGN};
use crate::{PoolError, table::NONE};

/// Which free block serves a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// The smallest that is long enough; of equals any. `O(1)` where that is shorter than 64 granules,
    /// else `O(log n)` of n free blocks. The least fragmentation in most programs.
    #[default]
    Best,
    /// The one at the lowest address that is long enough. `O(log n)`. Keeps blocks together at the
    /// front, so that later segments come free.
    First,
    /// One of the next size bin (an eighth longer at most, then cut to size). `O(1)`. As in TLSF; may
    /// overlook a block that would just fit.
    Segregated,
}

/// When free neighbours become one free block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coalescing {
    /// At each release.
    #[default]
    Immediate,
    /// In a pass over all blocks: [`VarPool::coalesce`](crate::VarPool::coalesce), or before a request
    /// that finds no block is refused or makes the pool grow. Until then blocks of sizes that come
    /// again are found as they were, without being merged and cut again.
    Deferred,
    /// As `Deferred`, and also after so many releases.
    DeferredUntil(usize),
    /// Never: blocks keep the size they were cut to, or are cut further, until the pool is reset or
    /// their segment is given back. For programs whose sizes come again.
    Never,
}

/// What a [`VarPool`](crate::VarPool) can be told.
///
/// Checked when the pool is made: nothing is silently ignored or corrected. Sizes are in bytes.
///
/// ```
/// use core::alloc::Layout;
/// use stratalloc_pool::{Coalescing, Fit, VarOptions, VarPool};
///
/// let options = VarOptions::new().fit(Fit::First).coalescing(Coalescing::Deferred).limit(1 << 20);
/// let pool = VarPool::with_options(options)?;
/// assert!(pool.allocate(Layout::new::<[u8; 2 << 20]>()).is_err());
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct VarOptions {
    pub(crate) fit: Fit,
    pub(crate) coalescing: Coalescing,
    pub(crate) granule: usize,
    pub(crate) capacity: usize,
    pub(crate) limit: usize,
    pub(crate) growth: Growth,
    pub(crate) blocks: usize,
}

impl VarOptions {
    /// Best fit, immediate coalescing, granules of 16 bytes, no memory at first, doubling, no limit.
    pub const fn new() -> Self {
        Self {
            fit: Fit::Best,
            coalescing: Coalescing::Immediate,
            granule: 16,
            capacity: 0,
            limit: usize::MAX,
            growth: Growth::Doubling,
            blocks: 0,
        }
    }

    /// Which free block serves a request.
    pub const fn fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// When free neighbours become one.
    pub const fn coalescing(mut self, coalescing: Coalescing) -> Self {
        self.coalescing = coalescing;
        self
    }

    /// The unit of sizes and the least alignment: a power of two, 8 to [`MAX_ALIGN`] bytes. Each block
    /// takes whole granules. A segment has at most 2³² − 2 of them.
    pub const fn granule(mut self, bytes: usize) -> Self {
        self.granule = bytes;
        self
    }

    /// No two blocks share a cache line: a granule of [`CACHE_LINE`] bytes.
    pub const fn padded(self) -> Self {
        self.granule(CACHE_LINE)
    }

    /// Memory for so many bytes of blocks at once. A pool in a slice has what the slice holds.
    pub const fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// Never more than so many bytes for blocks, live and free together. What describes them (44 bytes
    /// a block) is not counted.
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// How to grow: [`Growth::Fixed`] counts bytes; a request that is longer gets a multiple. With
    /// [`Growth::None`], `capacity` says how many bytes there are. A pool in a slice never grows.
    pub const fn growth(mut self, growth: Growth) -> Self {
        self.growth = growth;
        self
    }

    /// Room to describe so many blocks, live and free, from the start. A pool in a slice can describe
    /// no more; 0, the default, means one for each 128 bytes there, 2 at least. Other pools make more room as needed.
    pub const fn blocks(mut self, blocks: usize) -> Self {
        self.blocks = blocks;
        self
    }

    /// Refuses what cannot be.
    pub(crate) fn check(&self) -> Result<(), PoolError> {
        if !self.granule.is_power_of_two() || self.granule < 8 || self.granule > MAX_ALIGN {
            return Err(PoolError::Alignment { align: self.granule, most: MAX_ALIGN });
        }
        let nothing = self.growth == Growth::None && self.capacity == 0;
        if self.limit == 0 || nothing || self.growth == Growth::Fixed(0) {
            return Err(PoolError::ZeroCapacity);
        }
        if self.coalescing == Coalescing::DeferredUntil(0) {
            return Err(PoolError::ZeroCapacity);
        }
        if self.capacity > self.limit {
            return Err(PoolError::TooMany { asked: self.capacity, most: self.limit });
        }
        if self.blocks >= NONE as usize {
            return Err(PoolError::TooMany { asked: self.blocks, most: NONE as usize - 1 });
        }
        Ok(())
    }
}

impl Default for VarOptions {
    fn default() -> Self {
        Self::new()
    }
}
