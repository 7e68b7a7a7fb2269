//! malloc and friends.
//!
//! What each function promises beyond "memory or null" is in its documentation; the common ground:
//!
//! * any block is aligned to 16 bytes, also one of size 0, which is a block like any other;
//! * a request that cannot be met returns null and sets `errno` to `ENOMEM`;
//! * a wrong argument returns null and sets `errno` to `EINVAL`, where POSIX, C23 or glibc call it
//!   wrong;
//! * a call that succeeds leaves `errno` alone, and so does every free.
//!
//! Where glibc and the standards leave room, glibc's behaviour is taken: programs were tested on it.
//!
//! No exported function calls another one: a program may define some of these names itself and call
//! the rest underneath, and must not get its own functions back. But for reallocarray, which is realloc in all
//! C libraries: programs with an allocator of their own do not define it.

use crate::{errno, in_force};
use core::ffi::c_int;
use core::ptr;
use libc::{EINVAL, ENOMEM};
use stratalloc::raw;

/// Puts a function among the hot ones: `.text.hot.*` lies in one piece at the head of the code.
macro_rules! hot {
    ($($item:item)*) => {
        $(
            #[unsafe(no_mangle)]
            #[unsafe(link_section = ".text.hot.stratalloc")]
            $item
        )*
    };
}
pub(crate) use hot;

/// Where `malloc` goes when the thread's list is empty: refills, and reports failure.
#[cold]
#[inline(never)]
fn malloc_slow(size: usize) -> *mut u8 {
    let block = raw::alloc_slow(size);
    if block.is_null() {
        return errno::null(ENOMEM);
    }
    block
}

/// malloc: the fast path, inlined wherever a block of any size is asked for.
#[inline(always)]
pub(crate) fn plain(size: usize) -> *mut u8 {
    raw::alloc_or(size, malloc_slow)
}

/// calloc.
#[inline(always)]
pub(crate) fn zeroed(count: usize, size: usize) -> *mut u8 {
    let Some(bytes) = count.checked_mul(size) else {
        return errno::null(ENOMEM);
    };
    let block = raw::alloc_zeroed(bytes);
    if block.is_null() {
        return errno::null(ENOMEM);
    }
    block
}

/// realloc.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub(crate) unsafe fn resized(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        return plain(size);
    }
    if size == 0 {
        // SAFETY: `block` is not null, and the caller's to free.
        unsafe { raw::dealloc(block) };
        return ptr::null_mut();
    }
    // SAFETY: `block` is not null, and the caller's to resize.
    let moved = unsafe { raw::realloc(block, size) };
    if moved.is_null() {
        return errno::null(ENOMEM);
    }
    moved
}

hot! {
    /// A block of at least `size` bytes. `malloc(0)` is a block of its own, to be freed.
    pub extern "C" fn malloc(size: usize) -> *mut u8 {
        plain(size)
    }

    /// Ends a block's life. Null is allowed; `errno` stays as it is (POSIX 2024).
    ///
    /// # Safety
    /// `block` is null or a live block of this allocator. Misuse that the allocator sees is reported
    /// and aborts.
    pub unsafe extern "C" fn free(block: *mut u8) {
        // SAFETY: the caller's promise is dealloc's condition.
        unsafe { raw::dealloc(block) }
    }

    /// SunOS's name of `free`, still linked by old programs.
    ///
    /// # Safety
    /// As for [`free`].
    pub unsafe extern "C" fn cfree(block: *mut u8) {
        // SAFETY: the caller's promise is dealloc's condition.
        unsafe { raw::dealloc(block) }
    }

    /// A zeroed block of `count * size` bytes; `ENOMEM` also when the product overflows.
    pub extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
        zeroed(count, size)
    }

    /// Changes a block's size, moving it if needed.
    ///
    /// `realloc(NULL, n)` is `malloc(n)`. `realloc(p, 0)` frees `p` and returns null, `errno`
    /// unchanged, as glibc does. On failure the old block stays as it was.
    ///
    /// # Safety
    /// As for [`free`].
    pub unsafe extern "C" fn realloc(block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { resized(block, size) }
    }
}

/// `realloc(block, count * size)`, by the realloc in force (module `in_force`); `ENOMEM` also when the product overflows,
/// the block then stays.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(block: *mut u8, count: usize, size: usize) -> *mut u8 {
    match count.checked_mul(size) {
        // SAFETY: the caller's promise is realloc's condition.
        Some(bytes) => unsafe { in_force::realloc(block, bytes) },
        None => errno::null(ENOMEM),
    }
}

/// C23's free with the size that the block was asked for.
///
/// # Safety
/// As for [`free`]; `_size` is the requested size.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub unsafe extern "C" fn free_sized(block: *mut u8, _size: usize) {
    // SAFETY: the caller's promise is dealloc's condition.
    unsafe { raw::dealloc(block) }
}

/// C23's free with the alignment and the size that the block was asked for.
///
/// # Safety
/// As for [`free`]; `_align` and `_size` are the requested ones.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot.stratalloc")]
pub unsafe extern "C" fn free_aligned_sized(block: *mut u8, _align: usize, _size: usize) {
    // SAFETY: the caller's promise is dealloc's condition.
    unsafe { raw::dealloc(block) }
}

/// A block at a multiple of `align`, a power of two; `ENOMEM` if there is none.
pub(crate) fn aligned(size: usize, align: usize) -> *mut u8 {
    let block = raw::alloc_aligned(size, align);
    if block.is_null() {
        return errno::null(ENOMEM);
    }
    block
}

/// C11's aligned block. `EINVAL` if `align` is not a power of two (C17, glibc 2.38); any size goes.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    if !align.is_power_of_two() {
        return errno::null(EINVAL);
    }
    aligned(size, align)
}

/// POSIX's aligned block: returns 0, `EINVAL` (alignment not a power of two or not a multiple of a
/// pointer's size) or `ENOMEM`. On failure `*out` stays as it is; `errno` is set for `ENOMEM` alone,
/// as glibc does.
///
/// # Safety
/// `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut u8, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut u8>() {
        return EINVAL;
    }
    let block = raw::alloc_aligned(size, align);
    if block.is_null() {
        // POSIX leaves `errno` open here; glibc sets it, and programs look at it.
        errno::set(ENOMEM);
        return ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { *out = block };
    0
}

/// memalign.
#[inline(always)]
fn rounded_align(align: usize, size: usize) -> *mut u8 {
    match align.checked_next_power_of_two() {
        Some(align) => aligned(size, align),
        None => errno::null(EINVAL),
    }
}

/// SunOS's aligned block. As in glibc, an alignment that is no power of two counts as the next one;
/// `EINVAL` if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut u8 {
    rounded_align(align, size)
}

/// Bytes of a page of this system.
fn page() -> usize {
    // SAFETY: sysconf has no preconditions; the page size is always known, in the range of usize.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    bytes as usize
}

/// A block at the start of a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut u8 {
    aligned(size, page())
}

/// pvalloc.
#[inline(always)]
fn whole_pages(size: usize) -> *mut u8 {
    let page = page();
    match size.max(1).checked_next_multiple_of(page) {
        Some(bytes) => aligned(bytes, page),
        None => errno::null(ENOMEM),
    }
}

/// A block of whole pages, at least one; `ENOMEM` also when rounding up overflows.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut u8 {
    whole_pages(size)
}

/// Bytes that the program may use in a block: at least those asked for. 0 for null.
///
/// # Safety
/// `block` is null or a live block of this allocator.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *const u8) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: not null, and live by the caller's promise.
    unsafe { raw::usable_size(block) }
}

/// Usable size of a block of `malloc(size)`, at the least: while a thread has little of a size, its blocks may be larger.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_good_size(size: usize) -> usize {
    raw::good_size(size)
}

/// The names that glibc exports beside the plain ones, for programs that wrap malloc and call these
/// underneath. The compiler finds the equal bodies and makes both names one function.
mod libc_names {
    use super::{aligned, page, plain, raw, resized, rounded_align, whole_pages, zeroed};

    hot! {
        /// `malloc`
        pub extern "C" fn __libc_malloc(size: usize) -> *mut u8 {
            plain(size)
        }

        /// `free`
        ///
        /// # Safety
        /// As for `free`.
        pub unsafe extern "C" fn __libc_free(block: *mut u8) {
            // SAFETY: the caller's promise is dealloc's condition.
            unsafe { raw::dealloc(block) }
        }

        /// `calloc`
        pub extern "C" fn __libc_calloc(count: usize, size: usize) -> *mut u8 {
            zeroed(count, size)
        }

        /// `realloc`
        ///
        /// # Safety
        /// As for `realloc`.
        pub unsafe extern "C" fn __libc_realloc(block: *mut u8, size: usize) -> *mut u8 {
            // SAFETY: the caller's promise.
            unsafe { resized(block, size) }
        }
    }

    /// `memalign`
    #[unsafe(no_mangle)]
    pub extern "C" fn __libc_memalign(align: usize, size: usize) -> *mut u8 {
        rounded_align(align, size)
    }

    /// `valloc`
    #[unsafe(no_mangle)]
    pub extern "C" fn __libc_valloc(size: usize) -> *mut u8 {
        aligned(size, page())
    }

    /// `pvalloc`
    #[unsafe(no_mangle)]
    pub extern "C" fn __libc_pvalloc(size: usize) -> *mut u8 {
        whole_pages(size)
    }
}
