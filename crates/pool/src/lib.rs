//! Object pools that stand alone, on any allocator.
//!
//! | pool | hands out | threads | takes | returns |
//! |---|---|---|---|---|
//! | [`FixedPool`] | raw blocks of one layout | one at a time | O(1) | O(1) |
//! | [`LocalPool`] | constructed objects | one at a time | O(1) | O(1) |
//! | [`ObjectPool`] | constructed objects; can wait for one, also `async` | shared | O(1), one short lock | the same |
//! | [`TieredPool`] | constructed objects | shared, a cache for each thread | O(1), no lock and no atomic read-modify-write on a hit | the same |
//! | [`TieredBlocks`] | raw blocks of one layout | as `TieredPool` | the same | the same |
//! | [`LockFreePool`] | constructed objects | shared | O(1), lock-free | the same |
//! | [`VarPool`] | raw blocks of any size; also in a slice, without an allocator | one at a time | O(1) or O(log n), by fit | the same |
//! | [`HandlePool`] | [handles](Handle) to objects that may move | as a `Vec` | O(1) | O(1) |
//! | [`CompactHeap`] | handles to objects of many sizes; gaps close in steps, cycles are collected | as a `Vec` | O(1) and the object | O(1) |
//!
//! [Which pool](https://github.com/stratalloc/stratalloc/blob/main/docs/pools.md) helps to choose: for connections,
//! buffers, game entities, messages, parser nodes. There is a runnable example for each in `examples`.
//!
//! ```
//! use stratalloc_pool::ObjectPool;
//!
//! let pool = ObjectPool::new(|| Vec::<u8>::with_capacity(4096), Vec::clear);
//! let mut buffer = pool.try_acquire()?;
//! buffer.extend_from_slice(b"from the pool");
//! drop(buffer); // cleared and back in the pool, with its memory
//! assert_eq!(pool.stats().free, 1);
//! # Ok::<(), stratalloc_pool::AcquireError>(())
//! ```
//!
//! # Words
//! A *block* is memory of one layout. A *chunk* is what a pool gets from its allocator and cuts into blocks. An
//! *object* is a value constructed in a block. A block or object is *live* while it is handed out and *free* while
//! it waits in the pool. A pool's *capacity* is the number of blocks it has memory for, its *limit* the number it
//! may never exceed.
//!
//! # What all of them promise
//! - Each object is dropped exactly once, also when a constructor, a reset or a drop panics.
//! - A pool that hands objects out exclusively is `Sync` if and only if they are `Send`; one that shares them
//!   ([`HandlePool`], [`CompactHeap`]), if and only if they are `Sync`.
//! - No figure of [`PoolStats`] goes negative; keeping them costs fast paths no atomic read-modify-write of their own.
//! - Bad input gets an error value, or a panic that names the value; nothing is corrupted by it.
//!
//! # Features
//! `std` (default): [`TieredPool`], blocking acquisition, and std's threads for [`TieredBlocks`]. `allocator-api2-02`, `allocator-api2-04`: the `Allocator`
//! trait of that crate, on both sides. Without `std` the crate needs `alloc` and atomics with compare-and-swap;
//! [`LockFreePool`] needs them for 64 bits.
#![cfg_attr(not(any(feature = "std", loom, shuttle, test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod addr;
#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04"))]
mod api2;
mod compact;
mod error;
mod fixed;
mod handle;
mod lock;
#[cfg(target_has_atomic = "64")]
mod lockfree;
mod object;
mod options;
mod pool;
mod source;
mod stats;
mod sync;
mod table;
#[cfg(any(target_has_atomic = "64", feature = "std"))]
mod tiered;
mod var;

pub use error::{AcquireError, PoolError, ReleaseError};
pub use options::{CACHE_LINE, Growth, MAX_ALIGN, Options};
pub use pool::Pool;
#[cfg(feature = "allocator-api2-02")]
pub use source::Api02;
#[cfg(feature = "allocator-api2-04")]
pub use source::Api04;
pub use source::{Global, Source};
pub use stats::PoolStats;
#[cfg(not(any(feature = "std", loom, shuttle)))]
pub use sync::set_yield;

pub use compact::*;
pub use fixed::*;
pub use handle::*;
#[cfg(target_has_atomic = "64")]
pub use lockfree::*;
pub use object::*;
#[cfg(any(target_has_atomic = "64", feature = "std"))]
pub use tiered::*;
pub use var::*;
