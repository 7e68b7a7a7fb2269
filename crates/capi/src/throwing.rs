//! The frames through which C++ exceptions pass: operator new's slow paths, in assembly.
//!
//! When memory is out, operator new calls the program's new handler, which may throw, and in the end
//! throws `std::bad_alloc` itself. Unwinding through a Rust frame is not defined here (the library
//! is built with panic=abort), so these loops are written out, with the unwind tables that the
//! assembler makes of their `.cfi` lines. Whatever can be is left to Rust functions that return
//! before anything is thrown:
//!
//! ```text
//! new_slow(size):                    new_nothrow_slow(size):
//!   block = refill(size)               block = refill(size)
//!   loop:                              loop:
//!     if block: return block             if block: return block
//!     handler = new_handler(size)        handler = new_handler(size)
//!     if none:                           if none:
//!       t = thrower(size)                  return null
//!       leave the frame, jump to t     try:
//!     handler()                          handler()
//!     block = again(size)              catch (anything):
//!                                        return null
//!                                      block = again(size)
//! ```
//!
//! The jump makes `std::__throw_bad_alloc` look called from operator new's own caller. The `try` is
//! the table that a compiler would write. The personality function that reads it is [`personality`],
//! which asks C++'s: a direct reference to that one would be settled when the library is loaded,
//! and in a C program that later loads a C++ plugin there is none yet.

use crate::runtime::{self, Function, Handler};
use crate::{die, errno};
use core::ffi::{c_int, c_void};
use core::ptr;
use stratalloc::raw;

/// Alignment of a call that names none: what every block has.
pub const PLAIN: usize = 16;

/// The first attempt of the slow path.
extern "C" fn refill(size: usize, align: usize) -> *mut u8 {
    if align == PLAIN { raw::alloc_slow(size) } else { again(size, align) }
}

/// An attempt after a handler ran, which may have left anything, lists refilled included.
extern "C" fn again(size: usize, align: usize) -> *mut u8 {
    if align == PLAIN {
        raw::alloc(size)
    } else if align.is_power_of_two() {
        raw::alloc_aligned(size, align)
    } else {
        ptr::null_mut()
    }
}

/// Memory is out: whom to call for more. `None`: nobody, or nobody could help.
extern "C" fn handler(align: usize) -> Option<Handler> {
    let found = if align.is_power_of_two() { runtime::new_handler() } else { None };
    // After the lookup, which may have used errno itself: failing calls leave ENOMEM.
    errno::set(libc::ENOMEM);
    found
}

/// Nobody helps: where to jump for `throw std::bad_alloc()`.
extern "C" fn thrower(size: usize) -> *const c_void {
    let throw = Function::ThrowBadAlloc.find();
    if throw.is_null() {
        die("out of memory: operator new(", size, ") found no C++ runtime to throw std::bad_alloc");
    }
    errno::set(libc::ENOMEM);
    throw
}

/// Ends an exception that a handler, or a program's own operator new, threw in nothrow operator new.
extern "C" fn caught(exception: *mut c_void) {
    // SAFETY: the unwinder brought it to this frame's landing place.
    if !unsafe { runtime::swallow(exception) } {
        die("", 1, " exception of a new handler cannot be caught: the C++ runtime is gone");
    }
    errno::set(libc::ENOMEM);
}

/// What the unwinder asks about the nothrow frame, whose table says: catches everything.
///
/// The forced unwinding of a thread (cancellation, pthread_exit) passes, since it may not be
/// stopped. An exception that no runtime can read ends the program (the unwinder reports failure and
/// the thrower calls std::terminate): it may not leave a function that promises not to throw.
extern "C" fn personality(
    version: c_int,
    actions: c_int,
    class: u64,
    exception: *mut c_void,
    context: *mut c_void,
) -> c_int {
    // Itanium C++ ABI, `_Unwind_Action` and `_Unwind_Reason_Code`.
    const SEARCH_PHASE: c_int = 1;
    const FORCE_UNWIND: c_int = 8;
    const FATAL_PHASE2_ERROR: c_int = 2;
    const FATAL_PHASE1_ERROR: c_int = 3;
    const CONTINUE_UNWIND: c_int = 8;
    if actions & FORCE_UNWIND != 0 {
        return CONTINUE_UNWIND;
    }
    match runtime::personality(class) {
        // SAFETY: the arguments are the unwinder's own, and the frame's table is in C++'s format.
        Some(cxx) => unsafe { cxx(version, actions, class, exception, context) },
        None if actions & SEARCH_PHASE != 0 => FATAL_PHASE1_ERROR,
        None => FATAL_PHASE2_ERROR,
    }
}

/// The table that the unwinder reads for a function in which the call between labels 6 and 7 may throw, to land at 8, and
/// whose start is label 5: what lands there is what action 1 catches: type 1, the null type, anything. 0xff: landing places
/// count from the function's start; 0x9b: how C++ compilers write types; 0x01: the calls' places are ULEB128.
macro_rules! catch_all {
    ($table:literal) => {
        concat!(
            ".pushsection .gcc_except_table.stratalloc_new,\"a\",@progbits",
            "\n",
            ".p2align 2",
            "\n",
            $table,
            "\n",
            ".byte 0xff",
            "\n",
            ".byte 0x9b",
            "\n",
            ".uleb128 24f - 21f",
            "\n",
            "21:",
            "\n",
            ".byte 0x01",
            "\n",
            ".uleb128 23f - 22f",
            "\n",
            "22:",
            "\n",
            ".uleb128 6b - 5b",
            "\n",
            ".uleb128 7b - 6b",
            "\n",
            ".uleb128 8b - 5b",
            "\n",
            ".uleb128 1",
            "\n",
            "23:",
            "\n",
            ".byte 1",
            "\n",
            ".byte 0",
            "\n",
            ".p2align 2",
            "\n",
            ".long 0",
            "\n",
            "24:",
            "\n",
            ".popsection",
            "\n",
        )
    };
}

// Both frames keep the size and the alignment in two callee-saved registers; they differ in what
// happens when no handler is left.

#[cfg(target_arch = "x86_64")]
macro_rules! slow_path {
    (tables: [$($tables:expr),*], failed: [$($failed:expr),*], $($operands:tt)*) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            $($tables,)*
            "5:",
            "push rbx",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset rbx, 0",
            "push rbp",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset rbp, 0",
            "sub rsp, 8",
            ".cfi_adjust_cfa_offset 8",
            "mov rbx, rdi",
            "mov rbp, rsi",
            "call {refill}",
            "2:",
            "test rax, rax",
            "jne 3f",
            "mov rdi, rbp",
            "call {handler}",
            "test rax, rax",
            "je 4f",
            "6:",
            "call rax",
            "7:",
            "mov rdi, rbx",
            "mov rsi, rbp",
            "call {again}",
            "jmp 2b",
            "3:",
            ".cfi_remember_state",
            "add rsp, 8",
            ".cfi_adjust_cfa_offset -8",
            "pop rbp",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore rbp",
            "pop rbx",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore rbx",
            "ret",
            ".cfi_restore_state",
            "4:",
            $($failed,)*
            ".cfi_endproc",
            refill = sym refill,
            again = sym again,
            handler = sym handler,
            $($operands)*
        )
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! slow_path {
    (tables: [$($tables:expr),*], failed: [$($failed:expr),*], $($operands:tt)*) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            $($tables,)*
            "5:",
            "stp x29, x30, [sp, #-32]!",
            ".cfi_def_cfa_offset 32",
            ".cfi_offset x29, -32",
            ".cfi_offset x30, -24",
            "stp x19, x20, [sp, #16]",
            ".cfi_offset x19, -16",
            ".cfi_offset x20, -8",
            "mov x29, sp",
            "mov x19, x0",
            "mov x20, x1",
            "bl {refill}",
            "2:",
            "cbnz x0, 3f",
            "mov x0, x20",
            "bl {handler}",
            "cbz x0, 4f",
            "6:",
            "blr x0",
            "7:",
            "mov x0, x19",
            "mov x1, x20",
            "bl {again}",
            "b 2b",
            "3:",
            ".cfi_remember_state",
            "ldp x19, x20, [sp, #16]",
            ".cfi_restore x19",
            ".cfi_restore x20",
            "ldp x29, x30, [sp], #32",
            ".cfi_def_cfa_offset 0",
            ".cfi_restore x29",
            ".cfi_restore x30",
            "ret",
            ".cfi_restore_state",
            "4:",
            $($failed,)*
            ".cfi_endproc",
            refill = sym refill,
            again = sym again,
            handler = sym handler,
            $($operands)*
        )
    };
}

/// operator new at an alignment, after the first attempt: a block or an exception. An alignment that
/// is no power of two is an exception at once.
///
/// # Safety
/// To be called in tail position: no frame of a Rust function may be left when it throws.
#[unsafe(naked)]
pub unsafe extern "C" fn new_aligned_slow(size: usize, align: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    slow_path! {
        tables: [],
        failed: [
            "mov rdi, rbx",
            "call {thrower}",
            "add rsp, 8",
            ".cfi_adjust_cfa_offset -8",
            "pop rbp",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore rbp",
            "pop rbx",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore rbx",
            "jmp rax"
        ],
        thrower = sym thrower,
    }
    #[cfg(target_arch = "aarch64")]
    slow_path! {
        tables: [],
        failed: [
            "mov x0, x19",
            "bl {thrower}",
            // A jump through x16 may land where a call may.
            "mov x16, x0",
            "ldp x19, x20, [sp, #16]",
            ".cfi_restore x19",
            ".cfi_restore x20",
            "ldp x29, x30, [sp], #32",
            ".cfi_def_cfa_offset 0",
            ".cfi_restore x29",
            ".cfi_restore x30",
            "br x16"
        ],
        thrower = sym thrower,
    }
}

/// nothrow operator new at an alignment, after the first attempt: a block or null.
///
/// # Safety
/// As for [`new_aligned_slow`], for the forced unwinding of a thread that a handler ends.
#[allow(named_asm_labels, reason = "a naked function is emitted once, and .cfi_lsda takes a name only")]
#[unsafe(naked)]
pub unsafe extern "C" fn new_aligned_nothrow_slow(size: usize, align: usize) -> *mut u8 {
    // 0x1b: the addresses of the personality function and of the table are signed 32-bit distances.
    #[cfg(target_arch = "x86_64")]
    slow_path! {
        tables: [".cfi_personality 0x1b, {personality}", ".cfi_lsda 0x1b, .Lstratalloc_nothrow_table"],
        failed: [
            "xor eax, eax",
            "jmp 3b",
            "8:",
            "mov rdi, rax",
            "call {caught}",
            "xor eax, eax",
            "jmp 3b",
            catch_all!(".Lstratalloc_nothrow_table:")
        ],
        caught = sym caught,
        personality = sym personality,
    }
    #[cfg(target_arch = "aarch64")]
    slow_path! {
        tables: [".cfi_personality 0x1b, {personality}", ".cfi_lsda 0x1b, .Lstratalloc_nothrow_table"],
        failed: [
            "mov x0, #0",
            "b 3b",
            "8:",
            "bl {caught}",
            "mov x0, #0",
            "b 3b",
            catch_all!(".Lstratalloc_nothrow_table:")
        ],
        caught = sym caught,
        personality = sym personality,
    }
}

/// operator new after the fast path: a block or an exception.
///
/// # Safety
/// As for [`new_aligned_slow`], to which it jumps with the alignment [`PLAIN`].
#[unsafe(naked)]
pub unsafe extern "C" fn new_slow(size: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!("mov esi, {}", "jmp {}", const PLAIN, sym new_aligned_slow);
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!("mov x1, #{}", "b {}", const PLAIN, sym new_aligned_slow);
}

/// nothrow operator new after the fast path: a block or null.
///
/// # Safety
/// As for [`new_aligned_nothrow_slow`], to which it jumps with the alignment [`PLAIN`].
#[unsafe(naked)]
pub unsafe extern "C" fn new_nothrow_slow(size: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!("mov esi, {}", "jmp {}", const PLAIN, sym new_aligned_nothrow_slow);
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!("mov x1, #{}", "b {}", const PLAIN, sym new_aligned_nothrow_slow);
}

/// nothrow operator new where the program has one that throws: calls that one, and returns null where it throws.
///
/// # Safety
/// `new` is the operator in force, which takes `size`, and `align` where it takes one. For the forced unwinding of a thread
/// that it ends, to be called in tail position.
#[allow(named_asm_labels, reason = "a naked function is emitted once, and .cfi_lsda takes a name only")]
#[unsafe(naked)]
pub unsafe extern "C" fn caught_new(size: usize, align: usize, new: *const c_void) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_personality 0x1b, {personality}",
        ".cfi_lsda 0x1b, .Lstratalloc_caught_new_table",
        "5:",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "6:",
        "call rdx",
        "7:",
        "2:",
        ".cfi_remember_state",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_restore_state",
        "8:",
        "mov rdi, rax",
        "call {caught}",
        "xor eax, eax",
        "jmp 2b",
        catch_all!(".Lstratalloc_caught_new_table:"),
        ".cfi_endproc",
        caught = sym caught,
        personality = sym personality,
    );
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_personality 0x1b, {personality}",
        ".cfi_lsda 0x1b, .Lstratalloc_caught_new_table",
        "5:",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, sp",
        "6:",
        "blr x2",
        "7:",
        "2:",
        ".cfi_remember_state",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_restore_state",
        "8:",
        "bl {caught}",
        "mov x0, #0",
        "b 2b",
        catch_all!(".Lstratalloc_caught_new_table:"),
        ".cfi_endproc",
        caught = sym caught,
        personality = sym personality,
    );
}
