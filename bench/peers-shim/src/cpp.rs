//! Behind [`operators!`](crate::operators).

use core::ffi::c_void;

unsafe extern "C" {
    safe fn malloc(size: usize) -> *mut c_void;
    safe fn memalign(align: usize, size: usize) -> *mut c_void;
    safe fn abort() -> !;
}

/// `malloc` that does not return null.
#[inline(always)]
pub fn new(size: usize) -> *mut c_void {
    or_abort(malloc(size))
}

/// The same for an alignment.
#[inline(always)]
pub fn new_aligned(size: usize, align: usize) -> *mut c_void {
    or_abort(aligned(size, align))
}

/// `memalign`: C++ asks for powers of two only.
#[inline(always)]
pub fn aligned(size: usize, align: usize) -> *mut c_void {
    memalign(align, size)
}

#[inline(always)]
fn or_abort(block: *mut c_void) -> *mut c_void {
    if block.is_null() { abort() } else { block }
}
