//! [`Handle`]: the name of an object that may move.
//!
//! Owns the numbers of pools, which never repeat in a program, so that a handle of one pool is refused
//! by all others.

use crate::AcquireError;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU32;
#[cfg(not(target_has_atomic = "64"))]
use core::sync::atomic::AtomicU32;
#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering as Atomic;

/// Names an object in a [`HandlePool`](crate::HandlePool) or [`CompactHeap`](crate::CompactHeap), also after it
/// moved.
///
/// Made by pools only. 16 bytes, as is an `Option` of it. It holds the pool's number, the slot that
/// knows where the object is, and the slot's generation: a slot that is used again has another. A
/// generation is never used twice: a slot that has had all of them is retired.
///
/// `Copy`, `Send` and `Sync` for all `T`: having a handle gives no access without the pool.
///
/// ```
/// use stratalloc_pool::{Handle, HandlePool};
///
/// let mut pool = HandlePool::new();
/// let handle: Handle<&str> = pool.insert("here").unwrap();
/// assert_eq!(pool.remove(handle), Ok("here"));
/// assert!(pool.get(handle).is_err());
/// assert_eq!(size_of::<Option<Handle<&str>>>(), 16);
/// ```
pub struct Handle<T: ?Sized> {
    pub(crate) pool: u64,
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
    marker: PhantomData<fn() -> *const T>,
}

impl<T: ?Sized> Handle<T> {
    pub(crate) fn new(pool: u64, index: u32, generation: NonZeroU32) -> Self {
        Self { pool, index, generation, marker: PhantomData }
    }

    /// What makes it itself.
    #[inline]
    pub(crate) fn key(self) -> Key {
        Key { pool: self.pool, index: self.index, generation: self.generation }
    }
}

/// A handle without its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) pool: u64,
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

impl Key {
    /// Why the pool of number `pool` does not know it.
    #[cold]
    pub(crate) fn error(self, pool: u64) -> HandleError {
        let Key { pool: home, index, generation } = self;
        if home == pool {
            HandleError::Stale { index, generation: generation.get() }
        } else {
            HandleError::Foreign { index, generation: generation.get(), pool: home }
        }
    }
}

impl<T: ?Sized> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Handle<T> {}

impl<T: ?Sized> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T: ?Sized> Eq for Handle<T> {}

impl<T: ?Sized> PartialOrd for Handle<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: ?Sized> Ord for Handle<T> {
    /// By pool, slot, generation: a total order without further meaning.
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T: ?Sized> Hash for Handle<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({}.{} of pool {})", self.index, self.generation, self.pool)
    }
}

/// Why a handle gives no object. Nothing was changed.
///
/// ```
/// use stratalloc_pool::{HandleError, HandlePool};
///
/// let (mut pool, mut other) = (HandlePool::new(), HandlePool::new());
/// let handle = pool.insert(1).unwrap();
/// assert!(matches!(other.get(handle), Err(HandleError::Foreign { .. })));
/// pool.remove(handle).unwrap();
/// assert!(matches!(pool.remove(handle), Err(HandleError::Stale { .. })));
/// # other.insert(2).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// The object is gone: removed, collected, or moved to another pool.
    Stale {
        /// The handle's slot.
        index: u32,
        /// Its generation.
        generation: u32,
    },
    /// The handle is another pool's. (So is one that came to this pool with its object and went.)
    Foreign {
        /// The handle's slot.
        index: u32,
        /// Its generation.
        generation: u32,
        /// The number of the pool that made it.
        pool: u64,
    },
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { index, generation } => write!(f, "the object of handle {index}.{generation} is gone"),
            Self::Foreign { index, generation, pool } => {
                write!(f, "handle {index}.{generation} of pool {pool} is not of this pool")
            }
        }
    }
}

impl core::error::Error for HandleError {}

/// Why an object was not moved or made longer. Nothing was changed that shows.
///
/// ```
/// use stratalloc_pool::{AcquireError, HandlePool, MoveError, Options};
///
/// let (mut wide, mut narrow) = (HandlePool::new(), HandlePool::with_options(Options::new().limit(1))?);
/// narrow.insert(1).unwrap();
/// let handle = wide.insert(2).unwrap();
/// assert_eq!(wide.migrate(handle, &mut narrow), Err(MoveError::Room(AcquireError::Exhausted)));
/// assert_eq!(wide[handle], 2);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoveError {
    /// It is not in the pool.
    Handle(HandleError),
    /// There is no room for it.
    Room(AcquireError),
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(error) => error.fmt(f),
            Self::Room(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MoveError {}

impl From<HandleError> for MoveError {
    fn from(error: HandleError) -> Self {
        Self::Handle(error)
    }
}

impl From<AcquireError> for MoveError {
    fn from(error: AcquireError) -> Self {
        Self::Room(error)
    }
}

/// A number for a new pool: never one that was given before.
pub(crate) fn new_number() -> u64 {
    // A counter and nothing else, so not `crate::sync`'s: no model needs it, and it is a static.
    // Relaxed: only that numbers differ matters.
    #[cfg(target_has_atomic = "64")]
    {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // 2^64 pools are not made.
        NEXT.fetch_add(1, Atomic::Relaxed)
    }
    #[cfg(not(target_has_atomic = "64"))]
    {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_update(Atomic::Relaxed, Atomic::Relaxed, |number| number.checked_add(1));
        u64::from(number.expect("the program has made 4294967294 pools with handles, the most there can be"))
    }
}
