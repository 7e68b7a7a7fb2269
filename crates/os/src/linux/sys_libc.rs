//! System calls through libc, for the other architectures: `errno` is put back after each.
//!
//! There is no purge thread here: it would have to live without libc's TLS.

use core::ffi::{c_int, c_long};

/// `errno` of the calling thread as the kernel would have returned it.
fn negated_errno() -> isize {
    // SAFETY: libc's errno location is valid as long as the thread lives.
    -(unsafe { crate::native::errno_location().read() } as isize)
}

/// Makes a system call; errors are returned as -1..-4095.
///
/// # Safety
/// As the system call demands.
pub(in crate::linux) unsafe fn call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    crate::errno::preserve(|| {
        // SAFETY: the caller's promise.
        let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        if result == -1 { negated_errno() } else { result as isize }
    })
}

/// `mmap` of anonymous memory: its number and arguments differ between architectures, libc knows.
///
/// # Safety
/// With `MAP_FIXED` the range is the caller's to replace.
pub(in crate::linux) unsafe fn map(hint: usize, len: usize, protection: c_int, flags: c_int) -> isize {
    crate::errno::preserve(|| {
        let hint = core::ptr::with_exposed_provenance_mut(hint);
        // SAFETY: the caller's promise.
        let start = unsafe { libc::mmap(hint, len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED { negated_errno() } else { start.expose_provenance() as isize }
    })
}

/// libc's name of the thread, its descriptor's address in glibc, musl and bionic.
#[inline]
pub(in crate::linux) fn thread_pointer() -> usize {
    // SAFETY: has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

/// Unknown without assembly: null.
#[inline]
pub(in crate::linux) fn single_threaded_flag() -> *const u8 {
    core::ptr::null()
}

/// Not on these architectures: refused.
///
/// # Safety
/// None needed; as elsewhere.
pub(in crate::linux) unsafe fn start_thread(
    _flags: usize,
    _frame: usize,
    _tls: usize,
    _run: unsafe extern "C" fn(*const usize),
) -> isize {
    -(libc::ENOSYS as isize)
}
