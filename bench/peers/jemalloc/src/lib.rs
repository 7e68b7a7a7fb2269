//! jemalloc for preloading: its own unprefixed functions, with initial-exec TLS and without statistics.
//!
//! The crate builds jemalloc without its C++ file, so the throwing operators and sized delete are ours; as in
//! jemalloc's own, sized delete spares the look-up of the size.
#![no_std]

use core::ffi::{c_int, c_void};
use tikv_jemalloc_sys as _;

peers_shim::without_std!();
peers_shim::operators!();
peers_shim::reallocarray!();

unsafe extern "C" {
    fn sdallocx(block: *mut c_void, size: usize, flags: c_int);
}

/// `operator delete(void*, size_t)`.
///
/// # Safety
/// `block` is null or a live block of `operator new(size)`.
#[unsafe(export_name = "_ZdlPvm")]
pub unsafe extern "C" fn delete_sized(block: *mut c_void, size: usize) {
    if !block.is_null() {
        // SAFETY: the caller's promise; not null.
        unsafe { sdallocx(block, size, 0) }
    }
}

/// `operator delete[](void*, size_t)`.
///
/// # Safety
/// As `operator delete(void*, size_t)`.
#[unsafe(export_name = "_ZdaPvm")]
pub unsafe extern "C" fn delete_array_sized(block: *mut c_void, size: usize) {
    // SAFETY: the same promise.
    unsafe { delete_sized(block, size) }
}
