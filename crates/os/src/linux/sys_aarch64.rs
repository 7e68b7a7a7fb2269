//! The `svc` instruction of AArch64.

use core::arch::asm;
use core::ffi::{c_int, c_long};

/// Makes a system call; errors are returned as -1..-4095.
///
/// # Safety
/// As the system call demands.
#[inline]
pub(in crate::linux) unsafe fn call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: x8 is the number, x0 the result, all else kept. What the call
    // does to memory is the caller's promise.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack, preserves_flags),
        );
    }
    result
}

/// `mmap` of anonymous memory.
///
/// # Safety
/// With `MAP_FIXED` the range is the caller's to replace.
pub(in crate::linux) unsafe fn map(hint: usize, len: usize, protection: c_int, flags: c_int) -> isize {
    // SAFETY: the caller's promise.
    unsafe { call(libc::SYS_mmap, [hint, len, protection as usize, flags as usize, usize::MAX, 0]) }
}

/// The thread pointer.
#[inline(always)]
pub(in crate::linux) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the register is readable from user mode and constant in a thread.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// The address of glibc's `__libc_single_threaded`, or null where libc has none.
#[inline(always)]
pub(in crate::linux) fn single_threaded_flag() -> *const u8 {
    let flag: *const u8;
    // SAFETY: reads an entry of the global offset table, constant once relocated. The directive makes
    // the reference weak in whatever object this is inlined into.
    unsafe {
        asm!(
            ".weak __libc_single_threaded",
            "adrp {0}, :got:__libc_single_threaded",
            "ldr {0}, [{0}, :got_lo12:__libc_single_threaded]",
            out(reg) flag,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    flag
}

/// Starts a thread at `run(record)` on the stack that ends at `frame`, with thread pointer `tls`.
/// The record's first two words are the start and length of the mapping that holds the stack; when
/// `run` returns, the mapping is given back and the thread ends. The thread's id, or an error.
///
/// # Safety
/// `frame` is 16-byte aligned, at the top of an unused stack, and holds the record's address.
pub(in crate::linux) unsafe fn start_thread(
    flags: usize,
    frame: usize,
    tls: usize,
    run: unsafe extern "C" fn(*const usize),
) -> isize {
    let result: isize;
    // SAFETY: the parent returns from `svc` as from any other. The child has its own stack and never
    // leaves this block: it calls `run` (x20 and x21 are kept by callees), and touches no memory
    // after it gave its stack back.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "ldr x20, [sp]",
            "mov x0, x20",
            "blr x21",
            "ldp x0, x1, [x20]",
            "mov x8, {munmap}",
            "svc 0",
            "mov x0, xzr",
            "mov x8, {exit}",
            "svc 0",
            "brk 1",
            "2:",
            munmap = const libc::SYS_munmap,
            exit = const libc::SYS_exit,
            in("x8") libc::SYS_clone,
            inlateout("x0") flags => result,
            in("x1") frame, in("x2") 0usize, in("x3") tls, in("x4") 0usize,
            in("x21") run,
            options(nostack),
        );
    }
    result
}
