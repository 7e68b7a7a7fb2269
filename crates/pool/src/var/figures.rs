//! What a [`VarPool`](crate::VarPool) says about its memory, beyond what all pools say.

use core::fmt;

/// Figures of a variable-size pool's memory, in bytes where not otherwise named; exact.
///
/// ```
/// use core::alloc::Layout;
/// use stratalloc_pool::{VarOptions, VarPool};
///
/// let pool = VarPool::with_options(VarOptions::new().capacity(4096))?;
/// let block = pool.allocate(Layout::new::<[u8; 100]>()).unwrap().cast();
/// let figures = pool.figures();
/// assert_eq!((figures.used, figures.requested, figures.free), (112, 100, 4096 - 112));
/// assert!(figures.internal_fragmentation() > 0.1 && figures.external_fragmentation() == 0.0);
/// // SAFETY: the block is not used any more.
/// unsafe { pool.release(block) }.unwrap();
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VarFigures {
    /// In all segments, used and free.
    pub capacity: usize,
    /// In used blocks, whole granules.
    pub used: usize,
    /// That the program asked for, of `used`.
    pub requested: usize,
    /// In free blocks.
    pub free: usize,
    /// In the largest free block.
    pub largest_free: usize,
    /// How many used blocks there are.
    pub used_blocks: usize,
    /// How many free blocks there are.
    pub free_blocks: usize,
    /// How many segments there are.
    pub segments: usize,
    /// In tables that describe the blocks, which lie outside of them.
    pub metadata: usize,
    /// How many free blocks became part of another since the pool was made.
    pub coalesced: u64,
}

impl VarFigures {
    /// The part of the used blocks that nobody asked for, 0 to 1: rounding up to granules.
    pub fn internal_fragmentation(&self) -> f64 {
        part(self.used - self.requested, self.used)
    }

    /// The part of the free memory that is not in the largest free block, 0 to 1: what one large
    /// request cannot have though it is free.
    pub fn external_fragmentation(&self) -> f64 {
        part(self.free - self.largest_free, self.free)
    }
}

/// `some` of `all`, 0 of none.
fn part(some: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

impl fmt::Display for VarFigures {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} bytes in {} blocks ({:.1} % not asked for), {} free in {} blocks ({:.1} % outside of the \
             largest), {} segments, {} bytes of metadata",
            self.used,
            self.capacity,
            self.used_blocks,
            100.0 * self.internal_fragmentation(),
            self.free,
            self.free_blocks,
            100.0 * self.external_fragmentation(),
            self.segments,
            self.metadata,
        )
    }
}
