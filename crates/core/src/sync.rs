//! The one place where atomics come from: `core`'s, or loom's when a model runs (`--cfg loom`).
//!
//! Loom's atomics cannot be made in constants, so types that a model uses have a `new` of each kind.

/// `core::sync::atomic`, or loom's.
pub mod atomic {
    #[cfg(not(loom))]
    pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

/// `core::hint`, or loom's.
pub mod hint {
    #[cfg(not(loom))]
    pub use core::hint::spin_loop;
    #[cfg(loom)]
    pub use loom::hint::spin_loop;
}
