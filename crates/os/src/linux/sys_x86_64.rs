//! The `syscall` instruction of x86-64.

use core::arch::asm;
use core::ffi::{c_int, c_long};

/// Makes a system call; errors are returned as -1..-4095.
///
/// # Safety
/// As the system call demands.
#[inline]
pub(in crate::linux) unsafe fn call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: rax in and out, rcx and r11 lost, the stack untouched. What
    // the call does to memory is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
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

/// The thread pointer: the ABI keeps its own address in its first word.
#[inline(always)]
pub(in crate::linux) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: fs:0 is readable in every thread that has a thread pointer, and constant there.
    unsafe {
        asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(pure, nomem, nostack, preserves_flags));
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
            "mov {}, qword ptr [rip + __libc_single_threaded@GOTPCREL]",
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
    // SAFETY: the parent returns from `syscall` as from any other. The child has its own stack and
    // never leaves this block: it calls `run`, keeps what it needs for the last two calls in
    // registers, and touches no memory after it gave its stack back.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rbx, qword ptr [rsp]",
            "mov rdi, rbx",
            "call r12",
            "mov rdi, qword ptr [rbx]",
            "mov rsi, qword ptr [rbx + 8]",
            "mov eax, {munmap}",
            "syscall",
            "xor edi, edi",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            munmap = const libc::SYS_munmap,
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone as isize => result,
            in("rdi") flags, in("rsi") frame, in("rdx") 0usize, in("r10") 0usize, in("r8") tls,
            in("r12") run,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}
