//! How a [`CompactHeap`](crate::CompactHeap) is to be made: growth, limit, alignment.

use crate::PoolError;
use crate::options::{CACHE_LINE, Growth, MAX_ALIGN};

/// What a [`CompactHeap`](crate::CompactHeap) can be told. Sizes are in bytes.
///
/// Checked when the heap is made: nothing is silently ignored or corrected.
///
/// ```
/// use stratalloc_pool::{CompactHeap, CompactOptions, Growth};
///
/// let options = CompactOptions::new().capacity(1 << 16).growth(Growth::None);
/// let mut heap = CompactHeap::<(), u8>::with_options(options)?;
/// assert!(heap.insert((), &[0; 1 << 16]).is_err());
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct CompactOptions {
    pub(super) capacity: usize,
    pub(super) limit: usize,
    pub(super) growth: Growth,
    pub(super) align: usize,
}

impl CompactOptions {
    /// No memory at first, doubling, no limit, the alignment that the types have.
    pub const fn new() -> Self {
        Self { capacity: 0, limit: usize::MAX, growth: Growth::Doubling, align: 1 }
    }

    /// Memory for so many bytes of objects at once, their prefixes of 8 bytes among them.
    pub const fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// Never more than so many bytes for objects. When they are used up, the heap compacts itself
    /// before it refuses an object.
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// How to grow: [`Growth::Fixed`] counts bytes; an object that is longer gets a multiple. With
    /// [`Growth::None`], `capacity` says how many bytes there are.
    pub const fn growth(mut self, growth: Growth) -> Self {
        self.growth = growth;
        self
    }

    /// Aligns each object, and its head, to at least `bytes`: a power of two up to [`MAX_ALIGN`].
    pub const fn align(mut self, bytes: usize) -> Self {
        self.align = bytes;
        self
    }

    /// No two objects share a cache line: `align(CACHE_LINE)`.
    pub const fn padded(self) -> Self {
        self.align(CACHE_LINE)
    }

    /// Refuses what cannot be, with objects aligned to `align`.
    pub(super) fn check(&self, align: usize) -> Result<(), PoolError> {
        if !self.align.is_power_of_two() || self.align > MAX_ALIGN {
            return Err(PoolError::Alignment { align: self.align, most: MAX_ALIGN });
        }
        if align > MAX_ALIGN {
            return Err(PoolError::Alignment { align, most: MAX_ALIGN });
        }
        let nothing = self.growth == Growth::None && self.capacity == 0;
        if self.limit == 0 || nothing || self.growth == Growth::Fixed(0) {
            return Err(PoolError::ZeroCapacity);
        }
        if self.limit < align {
            return Err(PoolError::TooMany { asked: align, most: self.limit });
        }
        if self.capacity > self.limit {
            return Err(PoolError::TooMany { asked: self.capacity, most: self.limit });
        }
        Ok(())
    }
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self::new()
    }
}
