//! [`Stratalloc`]: the process's allocator as Rust's.

use crate::raw;
use crate::thread::{ALLOCATOR, front, with_heap, within_limit};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use stratalloc_core::class::class;
use stratalloc_core::heap::alloc_class_or;
use stratalloc_core::stats::Snapshot;

/// The allocator of the process, for `#[global_allocator]`.
///
/// Blocks may be freed on any thread, and resized by any. A request that cannot be met returns null,
/// also for the largest sizes and alignments that a `Layout` can express. `alloc`, `dealloc` and
/// `realloc` within a class take a few nanoseconds and neither locks nor atomics on blocks of the
/// thread's own; `alloc_zeroed` does not write memory that is zero already; `realloc` of large
/// blocks moves pages instead of copying them.
///
/// ```
/// #[global_allocator]
/// static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;
///
/// let squares: Vec<u64> = (0..1000).map(|n| n * n).collect();
/// assert_eq!(squares[999], 998_001);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stratalloc;

#[cold]
#[inline(never)]
fn alloc_slow(size: usize, align: usize) -> *mut u8 {
    raw::alloc_class_slow(class(size, align), size, align)
}

#[cold]
#[inline(never)]
fn alloc_zeroed_slow(size: usize, align: usize) -> *mut u8 {
    raw::alloc_aligned_zeroed(size, align)
}

#[cold]
#[inline(never)]
unsafe fn realloc_slow(block: *mut u8, size: usize, align: usize) -> *mut u8 {
    within_limit(size, || {
        // SAFETY: a usable heap with its tenure; the caller's block. A refused one is as before.
        with_heap(|heap| unsafe { ALLOCATOR.realloc(heap, block, size, align.max(16)) }).unwrap_or(null_mut())
    })
}

// SAFETY: blocks are disjoint, as long and as aligned as asked, and stay until freed; nothing
// unwinds. Class is a function of size and alignment that both directions share.
unsafe impl GlobalAlloc for Stratalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        match class(size, align) {
            // SAFETY: the calling thread's own front, or one whose lists are empty.
            Some(class) => unsafe { alloc_class_or(front(), class, || alloc_slow(size, align)) },
            None => alloc_slow(size, align),
        }
    }

    // A `Layout` promises a block: nothing is tested for null or alignment. Nor need its size be looked
    // at: the span of a large block has an owner that is no thread's, so the one compare sends it off.
    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller's block.
        unsafe { raw::dealloc(block) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        let Some(class) = class(size, align) else { return alloc_zeroed_slow(size, align) };
        let mut zeroed = false;
        // SAFETY: as in `alloc`; a block that did not come by the slow path is at least `size` bytes.
        unsafe {
            let block = alloc_class_or(front(), class, || {
                zeroed = true;
                alloc_zeroed_slow(size, align)
            });
            if !zeroed {
                crate::raw::zero(block, size);
            }
            block
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (old, align) = (layout.size(), layout.align());
        if let Some(now) = class(size, align)
            && class(old, align) == Some(now)
        {
            return block;
        }
        // SAFETY: the caller's block.
        unsafe { realloc_slow(block, size, align) }
    }
}

/// Bytes that may be used in a block of [`Stratalloc`]'s: at least what was asked for, and more than its class's size
/// for the first blocks that a thread has of a class.
///
/// A pointer that is no block is reported on standard error (see the option `misuse`) and gives 0.
/// Three loads and a division.
///
/// ```
/// use std::alloc::{GlobalAlloc, Layout};
/// let (heap, layout) = (stratalloc::Stratalloc, Layout::new::<[u8; 100]>());
/// // SAFETY: the layout is not empty; the block is freed once, with its layout.
/// unsafe {
///     let block = heap.alloc(layout);
///     assert!((112..=128).contains(&stratalloc::usable_size(block)));
///     heap.dealloc(block, layout);
/// }
/// ```
///
/// # Safety
/// `block`, if it is one, is in use.
pub unsafe fn usable_size(block: *const u8) -> usize {
    // SAFETY: the caller's contract.
    unsafe { raw::usable_size(block) }
}

/// Gives free memory back to the system now, but for `keep` bytes: what the calling thread's heap
/// and parked heaps hold without need, and all free spans. True when any went back.
///
/// System calls in proportion to the free stretches; no lock is held during them.
///
/// ```
/// drop(vec![1u8; 10 << 20]);
/// stratalloc::trim(0);
/// assert_eq!(stratalloc::snapshot().dirty, 0);
/// ```
pub fn trim(keep: usize) -> bool {
    raw::trim(keep)
}

/// Sets what is called when the memory that the allocator holds crosses the soft limit and giving back all
/// that is free was not enough; `None` for nothing. It gets the bytes held and the limit.
///
/// The soft limit is the option `soft_limit`, or follows the container's limits; see
/// [`Options::soft_limit`](crate::Options::soft_limit). What is compared with it is
/// [`Snapshot::active`] and [`Snapshot::dirty`], not what the container counts.
///
/// * **When**: after all dirty memory, parked heaps' empty spans and the calling thread's own were given back,
///   and what is held is still beyond the limit. Once for each excursion: again only after what is held fell
///   below seven eighths of the limit.
/// * **Where**: on the thread whose allocation crossed the limit, before that allocation returns, outside all
///   locks of the allocator. The program may hold its own around an allocation: take none in the callback.
/// * **What it may do**: allocate and free (a good use is to drop caches), ask for figures, set another
///   callback. It is never entered twice: what happens inside calls none.
/// * A panic in it aborts the process: it must not unwind through an allocation.
///
/// Waits while another thread is in the callback; then the old one runs no more.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static SHRINK: AtomicBool = AtomicBool::new(false);
/// stratalloc::on_soft_limit(Some(|_held, _limit| SHRINK.store(true, Ordering::Relaxed)));
/// # #[global_allocator]
/// # static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;
/// assert!(stratalloc::configure(stratalloc::Options::DEFAULT.with_soft_limit(8 << 20)));
/// let block = vec![1u8; 16 << 20];
/// assert!(SHRINK.load(Ordering::Relaxed));
/// # drop(block);
/// # stratalloc::on_soft_limit(None);
/// ```
pub fn on_soft_limit(callback: Option<fn(usize, usize)>) {
    unsafe extern "C" fn call(held: usize, limit: usize, argument: *mut u8) {
        // SAFETY: the function pointer that was given with it.
        let callback: fn(usize, usize) = unsafe { core::mem::transmute(argument) };
        // A panic ends here: `extern "C"` aborts.
        callback(held, limit);
    }
    let argument = callback.map_or(null_mut(), |callback| callback as *mut u8);
    // SAFETY: `call` does not unwind, and a function may be called on any thread.
    unsafe { raw::on_soft_limit(callback.map(|_| call as raw::SoftLimitCallback), argument) };
}

/// The allocator's figures at this moment; see [`Snapshot`] for what holds between them.
///
/// Walks all span descriptors: some 10 µs for each 100 MiB of small blocks.
///
/// ```
/// let figures = stratalloc::snapshot();
/// assert!(figures.allocated <= figures.active && figures.active <= figures.mapped);
/// ```
pub fn snapshot() -> Snapshot {
    let mut out = Snapshot::EMPTY;
    raw::snapshot(&mut out);
    out
}
