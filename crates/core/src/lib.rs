//! The strata of Stratalloc, generic over the operating system below.
//!
//! `no_std`, without dependencies. Programs use the crate `stratalloc`; this one is for those who
//! put the strata on another system, or test them.
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | block | what the program gets |
//! | size class | a block size; [`class::class`] gives the class of a request |
//! | span | a run of slices that holds blocks of one class, or one large block |
//! | span descriptor | 128 B out of line that describe a span: [`span::Span`] |
//! | slice | 16 KiB, the unit of the page heap (64 KiB where pages may be that large) |
//! | region | address space mapped at once for slices |
//! | run | free slices in a row |
//! | heap | one thread's (or one user's) lists: the thread cache: [`heap::Heap`] |
//! | CPU heap | a heap that the threads on one CPU enter in turn which have none of their own |
//! | pocket | what such a thread has instead: a few blocks at hand: [`crowd::Pocket`] |
//! | front | what each allocation touches first of a heap or a pocket: [`heap::Front`] |
//! | tenure | the right to touch a heap's lists; one thread has it at a time |
//! | token | the duty to tell a span's owner that others freed blocks of it |
//! | node pool | what the threads of a NUMA node share: parked heaps, orphaned spans |
//! | page heap | the free runs of a node: best fit, coalescing, dirty state |
//! | directory | which span an address belongs to, for any address |
//! | dirty | of a free slice: may hold something other than zero, so is backed by memory |
//! | frame | an aligned 2 MiB (or 1 GiB) of slices that one huge page may back |
//! | seam | where a kernel mapping begins because pages were moved there |
//!
//! # Strata
//!
//! ```text
//! S0  heap       one thread's, no locks, no atomics on own blocks      heap, span, class, crowd
//! S1  node pool  shared by a node's threads, under the node's lock     node_pool, remote
//! S2  page heap  free runs of slices, under the same lock              page_heap, directory, purge
//! S3  system     map, unmap, purge, remap, wait                        os
//! ```
//!
//! An allocation falls down one stratum at a time; memory climbs back the same way. Each module's
//! header says what it owns, who may touch it, and in which order.
#![no_std]

#[cfg(test)]
extern crate std;

// The tests run on the allocator that they test: a copy of it, built for others.
#[cfg(all(test, not(stratalloc_system), not(loom)))]
#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

pub mod addr;
pub mod class;
pub mod os;
pub mod remote;
pub mod span;
pub mod sync;

// What loom does not model is left out under `--cfg loom`, where atomics are not `const`.
#[cfg(not(loom))]
pub mod allocator;
#[cfg(not(loom))]
mod blocks;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod crowd;
pub mod directory;
#[cfg(not(loom))]
pub mod frames;
#[cfg(not(loom))]
pub mod heap;
#[cfg(not(loom))]
pub mod huge;
#[cfg(not(loom))]
mod large;
#[cfg(not(loom))]
mod life;
#[cfg(not(loom))]
pub mod limits;
pub mod lock;
#[cfg(not(loom))]
mod misuse;
#[cfg(not(loom))]
pub mod node;
#[cfg(not(loom))]
pub mod node_pool;
pub mod options;
#[cfg(not(loom))]
pub mod page_heap;
#[cfg(not(loom))]
mod pages;
#[cfg(not(loom))]
mod purge;
#[cfg(not(loom))]
mod recycle;
#[cfg(not(loom))]
mod snapshot;
pub mod stats;
