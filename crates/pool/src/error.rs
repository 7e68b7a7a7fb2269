//! What pools answer instead of a value.

use core::alloc::Layout;
use core::fmt;
#[cfg(feature = "std")]
use core::time::Duration;

/// Why a pool cannot be made or grown as asked.
///
/// ```
/// use core::alloc::Layout;
/// use stratalloc_pool::{FixedPool, Options, PoolError};
///
/// let none = FixedPool::with_options(Layout::new::<u64>(), Options::new().limit(0));
/// assert_eq!(none.unwrap_err(), PoolError::ZeroCapacity);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// A capacity, limit, chunk or level of 0 was asked for where at least 1 is needed.
    ZeroCapacity,
    /// An alignment that is not a power of two, or above what the pool supports.
    Alignment {
        /// The alignment asked for, in bytes.
        align: usize,
        /// The largest supported, in bytes.
        most: usize,
    },
    /// More blocks than the limit, than indices, or than bytes that an address can count.
    TooMany {
        /// How many blocks (or bytes, where the pool counts bytes) were asked for.
        asked: usize,
        /// The most there may be.
        most: usize,
    },
    /// The pool does not have this option; the text names it.
    Unsupported(&'static str),
    /// The allocator refused.
    OutOfMemory {
        /// Bytes asked for.
        size: usize,
        /// Their alignment in bytes.
        align: usize,
    },
}

impl PoolError {
    /// The allocator refused `layout`.
    pub(crate) const fn refused(layout: Layout) -> Self {
        Self::OutOfMemory { size: layout.size(), align: layout.align() }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroCapacity => write!(f, "a capacity of 0 where at least 1 is needed"),
            Self::Alignment { align, most } => {
                write!(f, "alignment {align} is not a power of two up to {most}")
            }
            Self::TooMany { asked, most } => write!(f, "{asked} asked for where {most} is the most"),
            Self::Unsupported(what) => write!(f, "this pool does not support {what}"),
            Self::OutOfMemory { size, align } => {
                write!(f, "the allocator refused {size} bytes aligned to {align}")
            }
        }
    }
}

impl core::error::Error for PoolError {}

/// Why there is no object now.
///
/// ```
/// use stratalloc_pool::{AcquireError, ObjectPool, Options};
///
/// let pool = ObjectPool::with_options(|| 0u32, |_| {}, Options::new().limit(1))?;
/// let held = pool.try_acquire().unwrap();
/// assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::Exhausted);
/// # drop(held);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireError {
    /// All blocks are live and the pool may not grow.
    Exhausted,
    /// The pool may grow but its allocator refused.
    OutOfMemory,
    /// None came free within the time given.
    TimedOut,
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "all blocks are in use and the pool may not grow",
            Self::OutOfMemory => "the allocator refused to let the pool grow",
            Self::TimedOut => "no block came free in time",
        })
    }
}

impl core::error::Error for AcquireError {}

/// Why a block was not taken back. Nothing was changed.
///
/// ```
/// use core::alloc::Layout;
/// use stratalloc_pool::{FixedPool, ReleaseError};
///
/// let (mine, other) = (FixedPool::new(Layout::new::<u64>())?, FixedPool::new(Layout::new::<u64>())?);
/// let block = mine.try_acquire().unwrap();
/// // SAFETY: the block is not used any more.
/// let refused = unsafe { other.release(block) };
/// assert!(matches!(refused, Err(ReleaseError::Foreign { .. })));
/// # unsafe { mine.release(block) }.unwrap();
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The address lies in no chunk of this pool.
    Foreign {
        /// The address.
        address: usize,
    },
    /// The address lies inside of a block, not at its start.
    Inside {
        /// The address.
        address: usize,
    },
    /// The block is free already.
    NotLive {
        /// The address.
        address: usize,
    },
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { address } => write!(f, "{address:#x} is not a block of this pool"),
            Self::Inside { address } => write!(f, "{address:#x} is inside of a block, not its start"),
            Self::NotLive { address } => write!(f, "the block at {address:#x} is free already"),
        }
    }
}

impl core::error::Error for ReleaseError {}

/// A deadline of so long from now; `None` when the clock cannot count that far: never.
#[cfg(feature = "std")]
pub(crate) fn deadline(after: Duration) -> Option<std::time::Instant> {
    std::time::Instant::now().checked_add(after)
}
