//! Functions that the process may have or not: weak references, filled by the loader, or by the linker of a static
//! executable, if they are there from the start.
//!
//! dlsym is one of them: a static executable need not have it, and older C libraries keep it apart.

use core::arch::global_asm;
use core::ffi::{c_char, c_int, c_void};
use core::{mem, ptr};

/// A function that is referred to: its place in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Weak {
    /// `dlsym`.
    Dlsym,
    /// `__dlopen`: the name by which a static executable of glibc's knows its own dlopen, whatever else is called so.
    StaticDlopen,
    /// `std::get_new_handler()`.
    GetNewHandler,
    /// `std::__throw_bad_alloc()`.
    ThrowBadAlloc,
    /// `__gxx_personality_v0`.
    Personality,
    /// `__cxa_begin_catch`.
    BeginCatch,
    /// `__cxa_end_catch`.
    EndCatch,
}

const ENTRIES: usize = Weak::EndCatch as usize + 1;

// The order is that of `Weak`.
global_asm!(
    ".pushsection .data.rel.ro.stratalloc_weak,\"aw\",@progbits",
    ".p2align 3",
    ".globl stratalloc_weak",
    ".hidden stratalloc_weak",
    ".type stratalloc_weak,@object",
    "stratalloc_weak:",
    ".weak dlsym",
    ".quad dlsym",
    ".weak __dlopen",
    ".quad __dlopen",
    ".weak _ZSt15get_new_handlerv",
    ".quad _ZSt15get_new_handlerv",
    ".weak _ZSt17__throw_bad_allocv",
    ".quad _ZSt17__throw_bad_allocv",
    ".weak __gxx_personality_v0",
    ".quad __gxx_personality_v0",
    ".weak __cxa_begin_catch",
    ".quad __cxa_begin_catch",
    ".weak __cxa_end_catch",
    ".quad __cxa_end_catch",
    ".size stratalloc_weak, . - stratalloc_weak",
    ".popsection",
);

unsafe extern "C" {
    /// The weak references; null where there is nothing of that name.
    #[link_name = "stratalloc_weak"]
    static WEAK: [*const c_void; ENTRIES];
}

impl Weak {
    /// Its address; null where there is nothing of that name.
    pub fn address(self) -> *const c_void {
        // SAFETY: the table is constant once the library is loaded.
        unsafe { (&raw const WEAK).cast::<*const c_void>().add(self as usize).read() }
    }
}

/// `dlsym`'s type.
pub type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
/// `dlopen`'s type.
pub type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;

/// `dlsym`, if the process has it.
pub fn dlsym() -> Option<Dlsym> {
    // SAFETY: the address is null, which is None, or dlsym's.
    unsafe { mem::transmute::<*const c_void, Option<Dlsym>>(Weak::Dlsym.address()) }
}

/// The dlopen behind this library's own: the C library's, or that of another library that stands before it.
pub fn next_dlopen() -> Option<Dlopen> {
    let found = dlsym().map_or(ptr::null_mut(), |dlsym| {
        // SAFETY: the scope is what comes after this library, the name a string.
        unsafe { dlsym(libc::RTLD_NEXT, c"dlopen".as_ptr()) }
    });
    let found = if found.is_null() { Weak::StaticDlopen.address() } else { found.cast_const() };
    // SAFETY: the address is null, which is None, or a dlopen's.
    unsafe { mem::transmute::<*const c_void, Option<Dlopen>>(found) }
}
