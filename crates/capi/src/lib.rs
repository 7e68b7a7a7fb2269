//! `libstratalloc.so` and `libstratalloc.a`: the C family of allocation functions and C++'s operator
//! new and delete over the Rust crate `stratalloc`.
//!
//! This crate holds no allocator: it translates. Each module owns one contract:
//!
//! | module | what it promises |
//! |---|---|
//! | `family` | malloc and friends: `errno`, size 0, overflow and alignment as POSIX, C23 and glibc say |
//! | `blocks`, `heaps`, `pools`, `process` | the `strat_` functions, whose documentation is `include/stratalloc.h` |
//! | `threads` | where threads keep their caches of pools, and the hook at a thread's end that returns them |
//! | `exit` | `_exit` and `_Exit`: a report is written there too |
//! | `in_force` | names of which the program's own stand before the library's |
//! | `loading` | `dlopen`: libraries that are loaded for themselves (`RTLD_DEEPBIND`) use this malloc too |
//! | `inspect` | mallinfo, mallopt, malloc_stats, malloc_info, malloc_trim: true figures in glibc's shapes |
//! | `operators` | operator new and delete: the new handler runs, `std::bad_alloc` is thrown |
//! | `throwing` | the few lines of assembly through which exceptions pass, and their unwind tables |
//! | `runtime` | finds the C++ runtime of the process, without depending on one |
//! | `weak` | functions that the process may have or not |
//! | `text` | decimal numbers and strings to a descriptor or a `FILE`, without allocating |
//!
//! Rules of the crate:
//!
//! * no std, no C library beside libc, nothing that unwinds; no allocation and no lock but in pools;
//! * the functions that every allocation passes lie together in one section (`hot!`) and leave their
//!   failures to cold functions by tail calls, so their bodies hold the fast path and nothing else;
//! * `errno` is written on failing paths only, by `errno::set`.
#![no_std]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("libstratalloc is built for Linux on x86-64 and AArch64");

mod blocks;
mod errno;
mod exit;
mod family;
mod heaps;
mod in_force;
mod inspect;
mod loading;
mod operators;
mod pools;
mod process;
mod runtime;
mod text;
mod threads;
mod throwing;
mod weak;

use core::ffi::{c_char, c_int};
use text::Text;

/// What pools keep about themselves is on the allocator too.
#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

/// Runs when the library is loaded, before the program's own constructors.
///
/// glibc hands constructors `main`'s three arguments; other C libraries do not, so there the
/// environment comes from `environ`.
extern "C" fn on_load(_argc: c_int, _argv: *const *const c_char, envp: *const *const c_char) {
    #[cfg(not(target_env = "gnu"))]
    let envp = {
        let _ = envp;
        unsafe extern "C" {
            static environ: *const *const c_char;
        }
        // SAFETY: `environ` is the C library's and set before constructors run.
        unsafe { environ }
    };
    // SAFETY: called once, by the loader, with the process's environment.
    unsafe { stratalloc::raw::on_load(envp) }
}

/// The loader's list of constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = on_load;

#[cfg(target_arch = "x86_64")]
macro_rules! continue_unwind {
    () => {
        "mov eax, 8"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! continue_unwind {
    () => {
        "mov w0, #8"
    };
}

// The precompiled `core` names a personality function in its unwind tables, which std defines and
// this library, without std and without unwinding, does not. Optimised builds drop the reference;
// others find this one, which lets an exception pass: nothing here has anything to clean up.
// Weak: in a Rust program that links the static library, std's own wins.
core::arch::global_asm!(
    ".pushsection .text.unlikely.rust_eh_personality,\"ax\",@progbits",
    ".weak rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality,@function",
    "rust_eh_personality:",
    continue_unwind!(),
    "ret",
    ".size rust_eh_personality, . - rust_eh_personality",
    ".popsection",
);

/// A broken invariant of the allocator: says where, then aborts. Nothing unwinds.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut text = Text::to_stderr();
    text.str("stratalloc: internal error");
    if let Some(place) = info.location() {
        text.str(" at ").str(place.file()).str(":").num(place.line() as u64);
    }
    if let Some(message) = info.message().as_str() {
        text.str(": ").str(message);
    }
    text.str("\n").flush();
    abort()
}

/// Ends the process as abort(3) does: at once, with a core if the system is set up for one.
fn abort() -> ! {
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}

/// Writes `message` on stderr and aborts.
#[cold]
#[inline(never)]
fn die(message: &str, number: usize, rest: &str) -> ! {
    Text::to_stderr().str("stratalloc: ").str(message).num(number as u64).str(rest).str("\n").flush();
    abort()
}
