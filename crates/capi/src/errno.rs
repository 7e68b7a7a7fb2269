//! The calling thread's `errno`: written where a C function fails, never where one succeeds.

use core::ffi::c_int;

/// Sets `errno`.
#[cold]
#[inline(never)]
pub fn set(code: c_int) {
    // SAFETY: the C library returns the address of the calling thread's errno.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: that address is valid and no other thread uses it.
    unsafe { *place = code }
}

/// Sets `errno` and returns null: the end of every failing allocation.
#[cold]
#[inline(never)]
pub fn null(code: c_int) -> *mut u8 {
    set(code);
    core::ptr::null_mut()
}

/// `errno` as it is now. For code that calls into the C library and must leave no trace.
pub fn get() -> c_int {
    // SAFETY: as in `set`.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as in `set`.
    unsafe { *place }
}
