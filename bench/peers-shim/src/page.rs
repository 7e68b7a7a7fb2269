//! Behind [`page_aligned!`](crate::page_aligned).

use core::ffi::c_void;

/// What `sysconf` calls the page size on Linux.
const SC_PAGESIZE: i32 = 30;

unsafe extern "C" {
    safe fn sysconf(name: i32) -> isize;
    safe fn memalign(align: usize, size: usize) -> *mut c_void;
}

/// `size` bytes at a page's start.
#[inline]
pub fn aligned(size: usize) -> *mut c_void {
    memalign(page_size(), size)
}

/// `size` up to whole pages; what is too large for that stays as it is, and fails in the library.
#[inline]
pub fn round_up(size: usize) -> usize {
    size.checked_next_multiple_of(page_size()).unwrap_or(size)
}

fn page_size() -> usize {
    usize::try_from(sysconf(SC_PAGESIZE)).unwrap_or(4096)
}
