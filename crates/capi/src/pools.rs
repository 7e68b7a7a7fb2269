//! Fixed and tiered pools: `stratalloc_pool`'s, of raw blocks, on this library's allocator.
//!
//! The header is made from this file's documentation; see `blocks`.
#![allow(non_camel_case_types, clippy::missing_safety_doc, reason = "the header's names and words")]

use crate::blocks::refused;
use crate::process::hand_out;
use crate::{errno, threads};
use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};
use libc::{EINVAL, ENOMEM};
use stratalloc::raw;
use stratalloc_pool::{FixedPool, Options, PoolError, PoolStats, Source, TierOptions, TieredBlocks};

/// The allocator as a pool's source.
pub(crate) struct Malloc;

// SAFETY: blocks of the allocator are as promised, and `Malloc` has no state.
unsafe impl Source for Malloc {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        NonNull::new(raw::alloc_aligned(layout.size(), layout.align()))
    }

    unsafe fn deallocate(&self, chunk: NonNull<u8>, _layout: Layout) {
        // SAFETY: the caller's chunk.
        unsafe { raw::dealloc(chunk.as_ptr()) }
    }
}

type Fixed = FixedPool<Malloc>;
type Tiered = TieredBlocks<Malloc, threads::Native>;

/// A pool of raw blocks of one size and alignment, for one thread at a time.
///
/// Taking and giving back are some ten instructions. The pool and its blocks may go from thread to thread; two
/// threads must not be in its functions at once. Memory comes from strat_malloc in chunks that double.
pub struct strat_fixed_pool {
    _opaque: [u8; 0],
}

/// A pool of raw blocks of one size and alignment, for all threads, with a cache of 64 blocks for each.
///
/// A block comes from the calling thread's cache, mostly, without lock or atomic read-modify-write; the rest goes
/// through shared stripes. A block may be released on any thread. A thread's cache returns to the pool when the
/// thread ends. In a fork's child, what other threads' caches held stays unused until the pool is destroyed, and a
/// pool that another thread was inside of must not be used, as with a mutex.
pub struct strat_tiered_pool {
    _opaque: [u8; 0],
}

/// Figures of a pool. Those of a tiered pool may be out of step with each other by the operations in progress.
///
/// The struct grows at its end. The caller sets `size` to sizeof(struct strat_pool_stats), so that a program works
/// with a library that knows more figures, or fewer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct strat_pool_stats {
    /// Before the call: bytes of the caller's struct. After it: bytes that were filled.
    pub size: usize,
    /// Blocks that the pool has memory for.
    pub capacity: usize,
    /// Blocks handed out now.
    pub live: usize,
    /// Blocks that wait in the pool: capacity - live.
    pub free: usize,
    /// Acquisitions served by a block that was used before.
    pub hits: u64,
    /// Acquisitions that took a fresh block.
    pub misses: u64,
    /// The most blocks that were live at once.
    pub peak: usize,
    /// Bytes of the pool's memory that no block uses: padding, headers, lists.
    pub waste: usize,
    /// Bytes that the pool has from the allocator.
    pub bytes: usize,
}

fn figures(size: usize, stats: PoolStats) -> strat_pool_stats {
    let PoolStats { capacity, live, free, hits, misses, peak, waste, bytes, .. } = stats;
    strat_pool_stats { size, capacity, live, free, hits, misses, peak, waste, bytes }
}

/// The layout and the options of a pool, or the errno.
fn wanted(size: usize, alignment: usize, limit: usize) -> Result<(Layout, Options), c_int> {
    let layout = match Layout::from_size_align(size, alignment) {
        Ok(layout) => layout,
        // A size beyond the address space is a matter of memory.
        Err(_) => return Err(if alignment.is_power_of_two() { ENOMEM } else { EINVAL }),
    };
    let options = Options::new();
    Ok((layout, if limit == 0 { options } else { options.limit(limit) }))
}

fn code(error: PoolError) -> c_int {
    if matches!(error, PoolError::Alignment { .. }) { EINVAL } else { ENOMEM }
}

/// Puts a pool in a block of its own.
fn placed<T>(made: Result<T, c_int>) -> *mut c_void {
    match made {
        Ok(pool) => match NonNull::new(raw::alloc_aligned(size_of::<T>(), align_of::<T>())) {
            Some(place) => {
                // SAFETY: a fresh block of this layout.
                unsafe { place.cast::<T>().write(pool) };
                place.as_ptr().cast()
            }
            None => refused(ENOMEM),
        },
        Err(code) => refused(code),
    }
}

/// Drops a pool of [`placed`]. Null is allowed.
///
/// # Safety
/// A pool of that type, not used any more.
unsafe fn end<T>(pool: *mut T) {
    if !pool.is_null() {
        // SAFETY: the caller's pool.
        unsafe {
            pool.drop_in_place();
            raw::dealloc(pool.cast());
        }
    }
}

/// The pool, or `None` with errno EINVAL for null.
///
/// # Safety
/// A pool of that type, or null.
#[inline(always)]
unsafe fn at<'a, T>(pool: *const T) -> Option<&'a T> {
    // SAFETY: the caller's pool.
    let pool = unsafe { pool.as_ref() };
    if pool.is_none() {
        errno::set(EINVAL);
    }
    pool
}

/// A pool of blocks of `size` bytes at multiples of `alignment`, a power of two up to 65536; at most `limit`
/// blocks, live and free together, or without a limit where that is 0.
///
/// Null with errno EINVAL (the alignment) or ENOMEM. The caller's, to be ended by strat_fixed_pool_destroy. No
/// memory for blocks is taken yet. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn strat_fixed_pool_new(size: usize, alignment: usize, limit: usize) -> *mut strat_fixed_pool {
    let pool = wanted(size, alignment, limit)
        .and_then(|(layout, options)| Fixed::with_options_in(layout, options, Malloc).map_err(code));
    placed(pool).cast()
}

/// Ends a pool and frees the memory of all its blocks, live ones too. Null is allowed. No other call on the pool
/// may be under way or follow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_fixed_pool_destroy(pool: *mut strat_fixed_pool) {
    // SAFETY: the caller's pool.
    unsafe { end(pool.cast::<Fixed>()) };
}

/// A block, uninitialised, the caller's until it is released; the pool grows if it must. Null with errno ENOMEM,
/// also at the limit, or EINVAL where the pool is null. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_fixed_pool_acquire(pool: *mut strat_fixed_pool) -> *mut c_void {
    // SAFETY: the caller's pool.
    let Some(pool) = (unsafe { at(pool.cast::<Fixed>()) }) else { return null_mut() };
    match pool.try_acquire() {
        Ok(block) => block.as_ptr().cast(),
        Err(_) => refused(ENOMEM),
    }
}

/// A block that the pool has memory for already: calls no allocator. Null where there is none, errno unchanged, or
/// where the pool is null, with errno EINVAL. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_fixed_pool_try_acquire(pool: *mut strat_fixed_pool) -> *mut c_void {
    // SAFETY: the caller's pool.
    let Some(pool) = (unsafe { at(pool.cast::<Fixed>()) }) else { return null_mut() };
    if !pool.has_free() {
        return null_mut();
    }
    pool.try_acquire().map_or(null_mut(), |block| block.as_ptr().cast())
}

/// Takes back a live block of this pool. Null is allowed. errno stays. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_fixed_pool_release(pool: *mut strat_fixed_pool, block: *mut c_void) {
    // SAFETY: the caller's pool and block.
    unsafe {
        if let (Some(pool), Some(block)) = (pool.cast::<Fixed>().as_ref(), NonNull::new(block)) {
            pool.release_unchecked(block.cast());
        }
    }
}

/// Makes room for at least `more` blocks beyond the live ones, in one chunk. False with errno ENOMEM, also beyond
/// the limit, or EINVAL where the pool is null. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_fixed_pool_reserve(pool: *mut strat_fixed_pool, more: usize) -> bool {
    // SAFETY: the caller's pool.
    let Some(pool) = (unsafe { at(pool.cast::<Fixed>()) }) else { return false };
    let done = pool.reserve(more).is_ok();
    if !done {
        errno::set(ENOMEM);
    }
    done
}

/// Gives chunks without a live block back, as long as `keep` blocks stay free. Returns how many blocks' memory
/// went; 0 for a null pool. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_fixed_pool_shrink(pool: *mut strat_fixed_pool, keep: usize) -> usize {
    // SAFETY: the caller's pool.
    unsafe { pool.cast::<Fixed>().as_ref() }.map_or(0, |pool| pool.shrink_to(keep))
}

/// Fills in the figures, exact ones. Returns 0, or EINVAL where a pointer is null or `stats->size` less than two
/// words; errno stays. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_fixed_pool_stats(
    pool: *const strat_fixed_pool,
    stats: *mut strat_pool_stats,
) -> c_int {
    // SAFETY: the caller's pool and struct.
    unsafe {
        match pool.cast::<Fixed>().as_ref() {
            Some(pool) => hand_out(stats, |size| figures(size, pool.stats())),
            None => EINVAL,
        }
    }
}

/// As strat_fixed_pool_new, for all threads. Null with errno EINVAL (the alignment) or ENOMEM. The caller's, to be
/// ended by strat_tiered_pool_destroy. Any thread.
///
/// Since free blocks may sit in other threads' caches, an acquisition can be refused at the limit although some are
/// free; those threads then return theirs at their next release. Choose a limit above live blocks plus 64 a thread.
#[unsafe(no_mangle)]
pub extern "C" fn strat_tiered_pool_new(size: usize, alignment: usize, limit: usize) -> *mut strat_tiered_pool {
    if !threads::init() {
        return refused(ENOMEM).cast();
    }
    let tiers = TierOptions::new().stripes(threads::processors().min(16));
    let pool = wanted(size, alignment, limit)
        .and_then(|(layout, options)| Tiered::new_in(layout, options, tiers, Malloc).map_err(code));
    placed(pool).cast()
}

/// Ends a pool and frees the memory of all its blocks, live ones too. Null is allowed.
///
/// Threads that used the pool may live on, and may be ending right now; what their caches hold is taken. No other
/// call on the pool may be under way or follow. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_tiered_pool_destroy(pool: *mut strat_tiered_pool) {
    // SAFETY: the caller's pool.
    unsafe { end(pool.cast::<Tiered>()) };
}

/// A block, uninitialised, the caller's until it is released; the pool grows if it must. Null with errno ENOMEM,
/// also at the limit, or EINVAL where the pool is null. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_tiered_pool_acquire(pool: *mut strat_tiered_pool) -> *mut c_void {
    // SAFETY: the caller's pool.
    let Some(pool) = (unsafe { at(pool.cast::<Tiered>()) }) else { return null_mut() };
    match pool.try_acquire() {
        Ok(block) => block.as_ptr().cast(),
        Err(_) => refused(ENOMEM),
    }
}

/// A block that the pool has memory for already: calls no allocator, but for a thread's first cache. Null where
/// there is none, errno unchanged, or where the pool is null, with errno EINVAL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_tiered_pool_try_acquire(pool: *mut strat_tiered_pool) -> *mut c_void {
    // SAFETY: the caller's pool.
    let Some(pool) = (unsafe { at(pool.cast::<Tiered>()) }) else { return null_mut() };
    pool.try_acquire_present().map_or(null_mut(), |block| block.as_ptr().cast())
}

/// Takes back a live block of this pool, whichever thread acquired it. Null is allowed. errno stays. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_tiered_pool_release(pool: *mut strat_tiered_pool, block: *mut c_void) {
    // SAFETY: the caller's pool and block.
    unsafe {
        if let (Some(pool), Some(block)) = (pool.cast::<Tiered>().as_ref(), NonNull::new(block)) {
            pool.release(block.cast());
        }
    }
}

/// Makes room for at least `more` blocks beyond those that exist, in one chunk. False with errno ENOMEM, also
/// beyond the limit, or EINVAL where the pool is null. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_tiered_pool_reserve(pool: *mut strat_tiered_pool, more: usize) -> bool {
    // SAFETY: the caller's pool.
    let Some(pool) = (unsafe { at(pool.cast::<Tiered>()) }) else { return false };
    let done = pool.reserve(more).is_ok();
    if !done {
        errno::set(ENOMEM);
    }
    done
}

/// Gives chunks without a live block back until about `keep` blocks wait: what is in the calling thread's cache and
/// in the stripes at once, what is in other threads' when they next release a block. Returns how many blocks'
/// memory went; 0 for a null pool. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_tiered_pool_shrink(pool: *mut strat_tiered_pool, keep: usize) -> usize {
    // SAFETY: the caller's pool.
    unsafe { pool.cast::<Tiered>().as_ref() }.map_or(0, |pool| pool.shrink_to(keep))
}

/// Fills in the figures. Returns 0, or EINVAL where a pointer is null or `stats->size` less than two words; errno
/// stays. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_tiered_pool_stats(
    pool: *const strat_tiered_pool,
    stats: *mut strat_pool_stats,
) -> c_int {
    // SAFETY: the caller's pool and struct.
    unsafe {
        match pool.cast::<Tiered>().as_ref() {
            Some(pool) => hand_out(stats, |size| figures(size, pool.stats())),
            None => EINVAL,
        }
    }
}
