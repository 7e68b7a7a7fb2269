//! operator new and delete, under the Itanium ABI's names (64-bit `size_t`: `m`).
//!
//! The success paths are malloc's. When memory is out, the new handler runs until it has found some
//! or gives up, as [new.delete.single] says; that loop is in `throwing`, because exceptions pass
//! through it, and no frame of a Rust function may be on the stack there: the functions here have
//! none left, they *jump* to it (`cargo xtask gate` looks at the machine code for that).
//!
//! What the standard makes of other operators is made of those in force (module `in_force`): a program may have its own
//! `operator new(size_t)` and `operator delete(void*)` and leave the rest to the library. A nothrow form that would have
//! to call the program's own catches what that throws.
//!
//! An alignment that is no power of two cannot be met by any handler: bad_alloc, or null from
//! nothrow, at once. Sizes and alignments passed to delete are not needed, a block knows its own.

use crate::family::hot;
use crate::in_force::{Replaceable, goes_on_to};
use crate::throwing::{self, PLAIN};
use stratalloc::raw;

/// `std::nothrow_t const&`: its address says nothing.
type Nothrow = *const u8;

hot! {
    /// `operator new(size_t)`
    pub extern "C" fn _Znwm(size: usize) -> *mut u8 {
        // SAFETY: called in tail position, no frame of ours is left when it throws.
        raw::alloc_or(size, |size| unsafe { throwing::new_slow(size) })
    }

    /// `operator delete(void*)`
    ///
    /// # Safety
    /// `block` is null or a live block from operator new.
    pub unsafe extern "C" fn _ZdlPv(block: *mut u8) {
        // SAFETY: the caller's promise is dealloc's condition.
        unsafe { raw::dealloc(block) }
    }
}

/// `operator new(size_t, std::align_val_t)`
#[unsafe(no_mangle)]
pub extern "C" fn _ZnwmSt11align_val_t(size: usize, align: usize) -> *mut u8 {
    let block = first(size, align);
    if block.is_null() {
        // SAFETY: called in tail position, no frame of ours is left when it throws.
        return unsafe { throwing::new_aligned_slow(size, align) };
    }
    block
}

/// `operator delete(void*, std::align_val_t)`
///
/// # Safety
/// As for [`_ZdlPv`]; `_align` is the alignment asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _ZdlPvSt11align_val_t(block: *mut u8, _align: usize) {
    // SAFETY: the caller's promise is dealloc's condition.
    unsafe { raw::dealloc(block) }
}

/// An aligned block if the first attempt finds one, null if the slow path must look.
#[inline(always)]
fn first(size: usize, align: usize) -> *mut u8 {
    if align.is_power_of_two() { raw::alloc_aligned(size, align) } else { core::ptr::null_mut() }
}

/// nothrow operator new where every form that it stands for is the library's.
fn nothrow(size: usize, align: usize) -> *mut u8 {
    if align == PLAIN {
        // SAFETY: it does not throw; called in tail position all the same.
        return raw::alloc_or(size, |size| unsafe { throwing::new_nothrow_slow(size) });
    }
    let block = first(size, align);
    if block.is_null() {
        // SAFETY: it does not throw; called in tail position all the same.
        return unsafe { throwing::new_aligned_nothrow_slow(size, align) };
    }
    block
}

/// `operator new(size_t, std::nothrow_t const&)`
#[unsafe(no_mangle)]
pub extern "C" fn _ZnwmRKSt9nothrow_t(size: usize, _: Nothrow) -> *mut u8 {
    if Replaceable::New.is_replaced() {
        // SAFETY: the operator in force, with its arguments.
        return unsafe { throwing::caught_new(size, PLAIN, Replaceable::New.address()) };
    }
    nothrow(size, PLAIN)
}

/// `operator new[](size_t, std::nothrow_t const&)`
#[unsafe(no_mangle)]
pub extern "C" fn _ZnamRKSt9nothrow_t(size: usize, _: Nothrow) -> *mut u8 {
    if Replaceable::NewArray.is_replaced() || Replaceable::New.is_replaced() {
        // SAFETY: the operator in force, with its arguments.
        return unsafe { throwing::caught_new(size, PLAIN, Replaceable::NewArray.address()) };
    }
    nothrow(size, PLAIN)
}

/// `operator new(size_t, std::align_val_t, std::nothrow_t const&)`
#[unsafe(no_mangle)]
pub extern "C" fn _ZnwmSt11align_val_tRKSt9nothrow_t(size: usize, align: usize, _: Nothrow) -> *mut u8 {
    if Replaceable::NewAligned.is_replaced() {
        // SAFETY: the operator in force, with its arguments.
        return unsafe { throwing::caught_new(size, align, Replaceable::NewAligned.address()) };
    }
    nothrow(size, align)
}

/// `operator new[](size_t, std::align_val_t, std::nothrow_t const&)`
#[unsafe(no_mangle)]
pub extern "C" fn _ZnamSt11align_val_tRKSt9nothrow_t(size: usize, align: usize, _: Nothrow) -> *mut u8 {
    if Replaceable::NewArrayAligned.is_replaced() || Replaceable::NewAligned.is_replaced() {
        // SAFETY: the operator in force, with its arguments.
        return unsafe { throwing::caught_new(size, align, Replaceable::NewArrayAligned.address()) };
    }
    nothrow(size, align)
}

/// Forms that are another operator under a second name.
macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident($($argument:ty),*) $(-> $result:ty)? = $function:ident $($how:ident)?;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// Of a delete: `block` is null or a live block from operator new; size and alignment are those asked for.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            #[unsafe(link_section = ".text.hot.stratalloc")]
            pub unsafe extern "C" fn $name($(_: $argument),*) $(-> $result)? {
                goes_on_to!($function $(, $how)?)
            }
        )*
    };
}

forms! {
    /// `operator new[](size_t)`
    _Znam(usize) -> *mut u8 = New;
    /// `operator new[](size_t, std::align_val_t)`
    _ZnamSt11align_val_t(usize, usize) -> *mut u8 = NewAligned;
    /// `operator delete(void*, size_t)`
    _ZdlPvm(*mut u8, usize) = Delete;
    /// `operator delete(void*, std::nothrow_t const&)`
    _ZdlPvRKSt9nothrow_t(*mut u8, Nothrow) = Delete;
    /// `operator delete[](void*)`
    _ZdaPv(*mut u8) = Delete;
    /// `operator delete[](void*, size_t)`
    _ZdaPvm(*mut u8, usize) = DeleteArray;
    /// `operator delete[](void*, std::nothrow_t const&)`
    _ZdaPvRKSt9nothrow_t(*mut u8, Nothrow) = DeleteArray;
    /// `operator delete(void*, size_t, std::align_val_t)`
    _ZdlPvmSt11align_val_t(*mut u8, usize, usize) = DeleteAligned second;
    /// `operator delete(void*, std::align_val_t, std::nothrow_t const&)`
    _ZdlPvSt11align_val_tRKSt9nothrow_t(*mut u8, usize, Nothrow) = DeleteAligned;
    /// `operator delete[](void*, std::align_val_t)`
    _ZdaPvSt11align_val_t(*mut u8, usize) = DeleteAligned;
    /// `operator delete[](void*, size_t, std::align_val_t)`
    _ZdaPvmSt11align_val_t(*mut u8, usize, usize) = DeleteArrayAligned second;
    /// `operator delete[](void*, std::align_val_t, std::nothrow_t const&)`
    _ZdaPvSt11align_val_tRKSt9nothrow_t(*mut u8, usize, Nothrow) = DeleteArrayAligned;
}
