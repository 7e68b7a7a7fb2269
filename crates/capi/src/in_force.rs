//! Names of which the program's own stand before this library's: which function of such a name is in force.
//!
//! A program may define some of these functions and leave the rest to the library, for which the standards say what it
//! is made of: C++'s `operator delete(void*, size_t)` calls `operator delete(void*)` ([new.delete]), and so for arrays
//! and nothrow forms; glibc's `reallocarray` calls `realloc`. Many a program defines `operator new(size_t)` and
//! `operator delete(void*)` alone, and its compiler calls the sized form all the same; programs with an allocator of their own
//! define most names, not all. So the forms that are made of others here go through a table of the functions in
//! force, filled by the loader, or by the linker of a static executable.
//!
//! The library's own references stay inside it (`-Bsymbolic-functions`), but for those of this table: the linker is
//! told of them (`--dynamic-list`, xtask's `build`), and `cargo xtask check` looks for them. In the archive the operators are
//! weak, so that a program's own do not clash.

use core::arch::global_asm;
use core::ffi::c_void;
use core::{mem, ptr};

/// A function that a program may define in the library's place: its place in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Replaceable {
    /// `operator new(size_t)`
    New,
    /// `operator new[](size_t)`
    NewArray,
    /// `operator new(size_t, std::align_val_t)`
    NewAligned,
    /// `operator new[](size_t, std::align_val_t)`
    NewArrayAligned,
    /// `operator delete(void*)`
    Delete,
    /// `operator delete[](void*)`
    DeleteArray,
    /// `operator delete(void*, std::align_val_t)`
    DeleteAligned,
    /// `operator delete[](void*, std::align_val_t)`
    DeleteArrayAligned,
    /// `realloc`
    Realloc,
}

/// How many of them are operators new, for which there is a second table.
const NEWS: usize = Replaceable::NewArrayAligned as usize + 1;
const ENTRIES: usize = Replaceable::Realloc as usize + 1;

// Both in the order of `Replaceable`. An entry of the second names the library's own function by an alias that is
// local to the object, whatever is in force.
global_asm!(
    ".pushsection .data.rel.ro.stratalloc_in_force,\"aw\",@progbits",
    ".p2align 3",
    ".globl stratalloc_in_force",
    ".hidden stratalloc_in_force",
    ".type stratalloc_in_force,@object",
    "stratalloc_in_force:",
    ".quad _Znwm",
    ".quad _Znam",
    ".quad _ZnwmSt11align_val_t",
    ".quad _ZnamSt11align_val_t",
    ".quad _ZdlPv",
    ".quad _ZdaPv",
    ".quad _ZdlPvSt11align_val_t",
    ".quad _ZdaPvSt11align_val_t",
    ".quad realloc",
    ".size stratalloc_in_force, . - stratalloc_in_force",
    ".globl stratalloc_own",
    ".hidden stratalloc_own",
    ".type stratalloc_own,@object",
    ".set .Lstratalloc_own_new, _Znwm",
    ".set .Lstratalloc_own_new_array, _Znam",
    ".set .Lstratalloc_own_new_aligned, _ZnwmSt11align_val_t",
    ".set .Lstratalloc_own_new_array_aligned, _ZnamSt11align_val_t",
    "stratalloc_own:",
    ".quad .Lstratalloc_own_new",
    ".quad .Lstratalloc_own_new_array",
    ".quad .Lstratalloc_own_new_aligned",
    ".quad .Lstratalloc_own_new_array_aligned",
    ".size stratalloc_own, . - stratalloc_own",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "stratalloc_in_force"]
    static IN_FORCE: [*const c_void; ENTRIES];
    #[link_name = "stratalloc_own"]
    static OWN: [*const c_void; NEWS];
}

impl Replaceable {
    /// The function in force.
    pub fn address(self) -> *const c_void {
        // SAFETY: the table is constant once the library is loaded.
        unsafe { (&raw const IN_FORCE).cast::<*const c_void>().add(self as usize).read() }
    }

    /// True when the program has an operator new of its own of this name.
    pub fn is_replaced(self) -> bool {
        debug_assert!((self as usize) < NEWS);
        // SAFETY: as above; operators new come first.
        let own = unsafe { (&raw const OWN).cast::<*const c_void>().add(self as usize).read() };
        !ptr::eq(self.address(), own)
    }
}

/// `realloc` in force.
///
/// # Safety
/// As for realloc.
pub unsafe fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the entry is a function of this type.
    let realloc = unsafe {
        mem::transmute::<*const c_void, unsafe extern "C" fn(*mut u8, usize) -> *mut u8>(
            Replaceable::Realloc.address(),
        )
    };
    // SAFETY: the caller's promise.
    unsafe { realloc(block, size) }
}

/// The body of a naked function that is another one under a second name: jumps to the one in force. First an
/// argument may be put where that one expects it (`second`: its second argument is the caller's third).
macro_rules! goes_on_to {
    ($function:ident) => {
        $crate::in_force::goes_on_to!(@jump $function,)
    };
    ($function:ident, second) => {{
        #[cfg(target_arch = "x86_64")]
        $crate::in_force::goes_on_to!(@jump $function, "mov rsi, rdx",);
        #[cfg(target_arch = "aarch64")]
        $crate::in_force::goes_on_to!(@jump $function, "mov x1, x2",);
    }};
    (@jump $function:ident, $($first:literal,)?) => {{
        #[cfg(target_arch = "x86_64")]
        core::arch::naked_asm!(
            $($first,)?
            "jmp qword ptr [rip + stratalloc_in_force + {}]",
            const 8 * $crate::in_force::Replaceable::$function as usize,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::naked_asm!(
            $($first,)?
            "adrp x16, stratalloc_in_force + {0}",
            "ldr x16, [x16, :lo12:stratalloc_in_force + {0}]",
            "br x16",
            const 8 * $crate::in_force::Replaceable::$function as usize,
        );
    }};
}
pub(crate) use goes_on_to;
