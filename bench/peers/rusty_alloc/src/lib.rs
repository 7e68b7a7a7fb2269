//! rusty_alloc for preloading: its functions under the plain names, as its authors' preload library has them (that
//! one is not on crates.io). Its thread-local slot is initial-exec by itself.

use core::ffi::{c_int, c_void};
use rusty_alloc::alloc;

peers_shim::operators!();
peers_shim::page_aligned!();

/// `EINVAL` of Linux.
const EINVAL: c_int = 22;
/// `ENOMEM` of Linux.
const ENOMEM: c_int = 12;

/// C's.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    alloc::malloc(size).cast()
}

/// C's.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    alloc::calloc(count, size).cast()
}

/// C's.
///
/// # Safety
/// `block` is null or a live block of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { alloc::realloc(block.cast(), size).cast() }
}

/// BSD's.
///
/// # Safety
/// As `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { alloc::reallocn(block.cast(), count, size).cast() }
}

/// C's.
///
/// # Safety
/// `block` is null or a live block of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { alloc::free_inline(block.cast()) }
}

/// glibc's.
///
/// # Safety
/// `block` is null or a live block of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: the caller's promise.
    unsafe { alloc::usable_size(block.cast()) }
}

/// C's.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    alloc::malloc_aligned(size, align).cast()
}

/// SunOS's.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    alloc::malloc_aligned(size, align).cast()
}

/// POSIX's.
///
/// # Safety
/// `place` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return EINVAL;
    }
    let block = alloc::malloc_aligned(size, align);
    if block.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { place.write(block.cast()) };
    0
}
