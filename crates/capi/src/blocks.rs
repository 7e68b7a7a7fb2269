//! `strat_malloc` and its kin: the family under names of our own, and what it lacks.
//!
//! `strat_malloc` and `strat_free` are the family's fast paths: the compiler finds the equal bodies and makes both
//! names one function (`cargo xtask check` holds it to that).
//!
//! The header is made from this file's documentation, so it speaks to C programmers, and `# Safety` is part of it.
#![allow(non_camel_case_types, clippy::missing_safety_doc, reason = "the header's names and words")]

use crate::errno;
use crate::family::{aligned, plain, resized, zeroed};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use libc::{EINVAL, ENOMEM};
use stratalloc::raw;

/// A block and the bytes that may be used in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct strat_sized_block {
    /// The block, or null.
    pub block: *mut c_void,
    /// Its usable bytes; 0 where the block is null.
    pub size: usize,
}

/// A block of at least `size` bytes: malloc. Null with errno ENOMEM.
///
/// The block is the caller's until a free or a realloc of any kind, on any thread.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub extern "C" fn strat_malloc(size: usize) -> *mut c_void {
    plain(size).cast()
}

/// A zeroed block of `count * size` bytes: calloc. Null with errno ENOMEM, also where the product overflows.
///
/// Memory that is known to be zero is not written. Ownership as for strat_malloc; any thread.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub extern "C" fn strat_calloc(count: usize, size: usize) -> *mut c_void {
    zeroed(count, size).cast()
}

/// Resizes a block, moving it if needed: realloc. On failure null with errno ENOMEM, and the block is as before.
///
/// A null block makes it strat_malloc. Size 0 frees the block and returns null, errno unchanged. After success only
/// the result is the caller's. A block that moves is aligned to 16 bytes, whatever it was. Any thread, one at a
/// time on a block.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub unsafe extern "C" fn strat_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's block.
    unsafe { resized(block.cast(), size) }.cast()
}

/// strat_realloc to `count * size` bytes. Null with errno ENOMEM also where the product overflows; the block is
/// then as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's block.
        Some(bytes) => unsafe { resized(block.cast(), bytes) }.cast(),
        None => errno::null(ENOMEM).cast(),
    }
}

/// Ends a block's life: free. Null is allowed.
///
/// Takes any block of this library but those of pools, on any thread. A pointer that is no block in use is reported
/// on stderr and aborts where it shows (see the option misuse).
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub unsafe extern "C" fn strat_free(block: *mut c_void) {
    // SAFETY: the caller's block.
    unsafe { raw::dealloc(block.cast()) }
}

/// strat_free with the size that was asked for, or any size up to the usable one. Null is allowed.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub unsafe extern "C" fn strat_free_sized(block: *mut c_void, size: usize) {
    let _ = size;
    // SAFETY: the caller's block.
    unsafe { raw::dealloc(block.cast()) }
}

/// A block of at least `size` bytes at a multiple of `alignment`. Null with errno EINVAL where `alignment` is no
/// power of two, or ENOMEM.
///
/// Any power of two goes, and `size` need not be a multiple of it. Ownership as for strat_malloc; any thread.
#[unsafe(no_mangle)]
pub extern "C" fn strat_aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    if !alignment.is_power_of_two() {
        return errno::null(EINVAL).cast();
    }
    aligned(size, alignment).cast()
}

/// strat_free with the alignment and the size that were asked for. Null is allowed.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub unsafe extern "C" fn strat_free_aligned_sized(block: *mut c_void, alignment: usize, size: usize) {
    let _ = (alignment, size);
    // SAFETY: the caller's block.
    unsafe { raw::dealloc(block.cast()) }
}

/// Bytes that may be used in a block: at least those asked for. 0 for null.
///
/// Any thread that may use the block. A pointer that is no block is reported as by strat_free, and gives 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_usable_size(block: *const c_void) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: the caller's block.
    unsafe { raw::usable_size(block.cast()) }
}

/// Bytes that may be used in a block of strat_malloc(size), at the least: the size to ask for if all of a block is
/// to be used. `size` itself where it cannot be met.
#[unsafe(no_mangle)]
pub extern "C" fn strat_good_size(size: usize) -> usize {
    raw::good_size(size)
}

/// Makes a block hold at least `size` bytes where it is. False: it would have to move, or is null; nothing changed.
///
/// After true, strat_usable_size says how many bytes it has. A block never shrinks by this, and errno never
/// changes. Small blocks have what their size class has; those above 32 KiB grow where the memory behind them is
/// free. Any thread that may use the block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_expand(block: *mut c_void, size: usize) -> bool {
    // SAFETY: the caller's block.
    !block.is_null() && unsafe { raw::expand(block.cast(), size) }
}

/// As strat_malloc, and says how many bytes of the block may be used. Null and 0 with errno ENOMEM.
#[unsafe(no_mangle)]
pub extern "C" fn strat_malloc_at_least(size: usize) -> strat_sized_block {
    sized(plain(size), size)
}

/// A block with what a block for `size` has.
pub(crate) fn sized(block: *mut u8, size: usize) -> strat_sized_block {
    let size = if block.is_null() { 0 } else { raw::good_size(size) };
    strat_sized_block { block: block.cast(), size }
}

/// Fills `out` with `count` blocks of at least `size` bytes each; returns how many. Fewer than `count`: errno
/// ENOMEM, and the rest of `out` is as before; EINVAL and 0 where `out` is null and `count` is not 0.
///
/// Faster than as many calls of strat_malloc: what the thread has at hand is taken in one go, and blocks that were
/// never used go out untouched. Each is a block of its own, freed by itself or with others. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_malloc_batch(size: usize, count: usize, out: *mut *mut c_void) -> usize {
    // SAFETY: the caller's array.
    unsafe { batch(count, out, |out| raw::alloc_batch(size, 1, out)) }
}

/// strat_malloc_batch with blocks at multiples of `alignment`. 0 with errno EINVAL where that is no power of two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_aligned_malloc_batch(
    alignment: usize,
    size: usize,
    count: usize,
    out: *mut *mut c_void,
) -> usize {
    if !alignment.is_power_of_two() {
        errno::set(EINVAL);
        return 0;
    }
    // SAFETY: the caller's array.
    unsafe { batch(count, out, |out| raw::alloc_batch(size, alignment, out)) }
}

/// Calls `fill` with the array and sets errno when it was not filled.
///
/// # Safety
/// `out` has room for `count` pointers, or is null.
pub(crate) unsafe fn batch(
    count: usize,
    out: *mut *mut c_void,
    fill: impl FnOnce(&mut [MaybeUninit<NonNull<u8>>]) -> usize,
) -> usize {
    if count == 0 {
        return 0;
    }
    if out.is_null() {
        errno::set(EINVAL);
        return 0;
    }
    // No array is longer than the address space.
    let most = isize::MAX as usize / size_of::<*mut c_void>();
    // SAFETY: the caller's array, to be written only; both are pointers.
    let places = unsafe { core::slice::from_raw_parts_mut(out.cast(), count.min(most)) };
    let done = fill(places);
    if done < count {
        errno::set(ENOMEM);
    }
    done
}

/// Frees `count` blocks, each as strat_free does. Null entries are allowed, and a null array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_free_batch(blocks: *const *mut c_void, count: usize) {
    if blocks.is_null() {
        return;
    }
    for index in 0..count {
        // SAFETY: the caller's array and blocks.
        unsafe { raw::dealloc(blocks.add(index).read().cast()) };
    }
}

/// `count * size` for a heap's calloc, checked.
pub(crate) fn product(count: usize, size: usize) -> Option<usize> {
    count.checked_mul(size).filter(|&bytes| bytes <= isize::MAX as usize)
}

/// Null, with errno set.
pub(crate) fn refused(code: core::ffi::c_int) -> *mut c_void {
    errno::set(code);
    null_mut()
}
