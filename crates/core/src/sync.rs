//! The one place where atomics come from: `core`'s, or loom's when a model runs (`--cfg loom`), or, with the
//! feature `count-shared`, ones that count what they do (see `sync::count`).
//!
//! Loom's atomics cannot be made in constants, so types that a model uses have a `new` of each kind.

#[cfg(all(not(loom), feature = "count-shared"))]
pub mod count;

/// `core::sync::atomic`, or loom's, or those that count.
pub mod atomic {
    #[cfg(all(not(loom), feature = "count-shared"))]
    pub use super::count::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
    #[cfg(all(not(loom), feature = "count-shared"))]
    pub use core::sync::atomic::Ordering;
    #[cfg(all(not(loom), not(feature = "count-shared")))]
    pub use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(loom)]
    pub use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// `core::hint`, or loom's.
pub mod hint {
    #[cfg(not(loom))]
    pub use core::hint::spin_loop;
    #[cfg(loom)]
    pub use loom::hint::spin_loop;
}

/// A lock was asked for. `at_once`: it was free. Nothing unless such things are counted.
#[inline(always)]
pub(crate) fn lock_asked(at_once: bool) {
    #[cfg(all(not(loom), feature = "count-shared"))]
    count::lock_asked(at_once);
    let _ = at_once;
}
