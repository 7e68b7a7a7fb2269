//! Libraries that a program loads for themselves: they use this malloc too.
//!
//! With `RTLD_DEEPBIND` the loader looks up a library's names in that library and what it depends on before it looks at
//! the program and what was preloaded. So such a library takes `free` from the C library, gets blocks from those who
//! use this one, and the first of them that it frees ends the program: PHP loads its extensions this way, and crashes
//! under any allocator that is preloaded. glibc has no way to say "all names but these", so [`dlopen`] leaves that flag
//! out, unless the option `deepbind` says otherwise.
//!
//! The C library's dlopen looks at its return address for who is calling: where that one's dependencies lie
//! (`DT_RUNPATH`), in which namespace it lives. So it is reached by a jump, as if it had been called at once.

use crate::weak;
use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};
use stratalloc::raw;

/// Where to jump, and with which flags: in the two registers that a C function returns in.
#[repr(C)]
struct Onward {
    dlopen: *const c_void,
    flags: usize,
}

/// The next dlopen, once it was looked up.
static NEXT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

extern "C" fn onward(flags: c_int) -> Onward {
    let mut next = NEXT.load(Ordering::Relaxed);
    if next.is_null() {
        // Twice at once finds the same.
        next = weak::next_dlopen().map_or(core::ptr::null_mut(), |dlopen| dlopen as *mut c_void);
        NEXT.store(next, Ordering::Relaxed);
    }
    let kept = if raw::honours_deepbind() { flags } else { flags & !libc::RTLD_DEEPBIND };
    Onward { dlopen: next, flags: kept as usize }
}

/// Loads a library as the C library's `dlopen` does, but for `RTLD_DEEPBIND`; see the module. Null without a message
/// from `dlerror` where the process has no dlopen.
///
/// # Safety
/// The library's constructors run.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rdi",
        ".cfi_adjust_cfa_offset 8",
        "mov edi, esi",
        "call {onward}",
        "pop rdi",
        ".cfi_adjust_cfa_offset -8",
        "test rax, rax",
        "je 2f",
        "mov esi, edx",
        "jmp rax",
        "2:",
        "ret",
        ".cfi_endproc",
        onward = sym onward,
    );
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-32]!",
        ".cfi_def_cfa_offset 32",
        ".cfi_offset x29, -32",
        ".cfi_offset x30, -24",
        "mov x29, sp",
        "str x0, [sp, #16]",
        "mov w0, w1",
        "bl {onward}",
        // A jump through x16 may land where a call may.
        "mov x16, x0",
        "ldr x0, [sp, #16]",
        "ldp x29, x30, [sp], #32",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "cbz x16, 2f",
        "br x16",
        "2:",
        "mov x0, #0",
        "ret",
        ".cfi_endproc",
        onward = sym onward,
    );
}
