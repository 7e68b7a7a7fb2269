//! How a pool is to be made: limit, growth, alignment.

use crate::PoolError;
use core::alloc::Layout;

/// The largest alignment a pool gives, in bytes: the largest page of the systems Rust runs on. The page itself is
/// 4 KiB, 16 KiB or 64 KiB, by system and processor.
pub const MAX_ALIGN: usize = 64 << 10;

/// Bytes that keep two threads' data from sharing a cache line: two lines where the processor prefetches pairs.
/// (Sizes by architecture as in crossbeam's `CachePadded`.)
pub const CACHE_LINE: usize = if cfg!(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm64ec",
    target_arch = "powerpc64"
)) {
    128
} else if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "mips64", target_arch = "sparc")) {
    32
} else if cfg!(target_arch = "s390x") {
    256
} else {
    64
};

/// How many blocks a pool adds when it has none left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// As many as it has: the number of chunks stays logarithmic.
    #[default]
    Doubling,
    /// Always so many.
    Fixed(usize),
    /// None: what `capacity` reserved is all there will be.
    None,
}

/// What all pools of fixed-size blocks can be told.
///
/// Checked when the pool is made: nothing is silently ignored or corrected.
///
/// ```
/// use stratalloc_pool::{Growth, ObjectPool, Options};
///
/// let options = Options::new().capacity(16).limit(64).growth(Growth::Fixed(16)).padded();
/// let pool = ObjectPool::with_options(|| 0u64, |_| {}, options)?;
/// assert_eq!(pool.stats().capacity, 16);
/// let counter = pool.try_acquire().unwrap();
/// assert_eq!(core::ptr::from_ref(&*counter).addr() % stratalloc_pool::CACHE_LINE, 0);
/// # drop(counter);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(crate) capacity: usize,
    pub(crate) limit: usize,
    pub(crate) growth: Growth,
    pub(crate) align: usize,
}

impl Options {
    /// No memory at first, doubling, no limit, the alignment that the type has.
    pub const fn new() -> Self {
        Self { capacity: 0, limit: usize::MAX, growth: Growth::Doubling, align: 1 }
    }

    /// Memory for at least so many blocks at once. Objects are constructed when they are first needed.
    pub const fn capacity(mut self, blocks: usize) -> Self {
        self.capacity = blocks;
        self
    }

    /// Never more than so many blocks, live and free together.
    pub const fn limit(mut self, blocks: usize) -> Self {
        self.limit = blocks;
        self
    }

    /// How to grow; with [`Growth::None`], `capacity` says how many blocks there are.
    pub const fn growth(mut self, growth: Growth) -> Self {
        self.growth = growth;
        self
    }

    /// Aligns each block to at least `bytes`: a power of two up to [`MAX_ALIGN`].
    pub const fn align(mut self, bytes: usize) -> Self {
        self.align = bytes;
        self
    }

    /// Aligns each block to [`CACHE_LINE`] and lets no two share one: no false sharing. The same as
    /// `align(CACHE_LINE)`, since blocks are always padded to their alignment.
    pub const fn padded(self) -> Self {
        self.align(CACHE_LINE)
    }

    /// The layout of a block for `layout`, padded to its alignment and large enough for a link; and the most
    /// blocks there can be.
    pub(crate) fn block(&self, layout: Layout, least: Layout) -> Result<(Layout, usize), PoolError> {
        if self.limit == 0 || self.growth == Growth::Fixed(0) || self.growth == Growth::None && self.capacity == 0
        {
            return Err(PoolError::ZeroCapacity);
        }
        if !self.align.is_power_of_two() || self.align > MAX_ALIGN {
            return Err(PoolError::Alignment { align: self.align, most: MAX_ALIGN });
        }
        let align = self.align.max(layout.align()).max(least.align());
        if align > MAX_ALIGN {
            return Err(PoolError::Alignment { align, most: MAX_ALIGN });
        }
        let size = layout.size().max(least.size());
        let too_large = PoolError::TooMany { asked: size, most: isize::MAX as usize - (align - 1) };
        let block = Layout::from_size_align(size, align).map_err(|_| too_large)?.pad_to_align();
        let most = (isize::MAX as usize - (align - 1)) / block.size().max(1);
        let limit = if self.growth == Growth::None { self.limit.min(self.capacity) } else { self.limit };
        if self.capacity > limit.min(most) {
            return Err(PoolError::TooMany { asked: self.capacity, most: limit.min(most) });
        }
        Ok((block, limit.min(most)))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// The alignment of a chunk of such blocks: no block then lies in more cache lines than it must.
pub(crate) fn chunk_align(block: Layout) -> usize {
    // The largest power of two in the size, up to a line of most processors. An empty block has none.
    let natural = 1 << block.size().trailing_zeros().min(6);
    if block.size() == 0 { block.align() } else { block.align().max(natural) }
}
