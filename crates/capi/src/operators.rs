//! operator new and delete, under the Itanium ABI's names (64-bit `size_t`: `m`).
//!
//! The success paths are malloc's. When memory is out, the new handler runs until it has found some
//! or gives up, as [new.delete.single] says; that loop is in `throwing`, because exceptions pass
//! through it, and no frame of a Rust function may be on the stack there: the functions here have
//! none left, they *jump* to it (`cargo xtask gate` looks at the machine code for that).
//!
//! An alignment that is no power of two cannot be met by any handler: bad_alloc, or null from
//! nothrow, at once. Sizes and alignments passed to delete are not needed, a block knows its own.

use crate::family::hot;
use crate::throwing;
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

    /// `operator delete(void*, size_t)`
    ///
    /// # Safety
    /// As for [`_ZdlPv`]; `_size` is the one asked for.
    pub unsafe extern "C" fn _ZdlPvm(block: *mut u8, _size: usize) {
        // SAFETY: the caller's promise is dealloc's condition.
        unsafe { raw::dealloc(block) }
    }

    /// `operator new[](size_t)`
    pub extern "C" fn _Znam(size: usize) -> *mut u8 {
        // SAFETY: called in tail position, no frame of ours is left when it throws.
        raw::alloc_or(size, |size| unsafe { throwing::new_slow(size) })
    }

    /// `operator delete[](void*)`
    ///
    /// # Safety
    /// As for [`_ZdlPv`].
    pub unsafe extern "C" fn _ZdaPv(block: *mut u8) {
        // SAFETY: the caller's promise is dealloc's condition.
        unsafe { raw::dealloc(block) }
    }

    /// `operator delete[](void*, size_t)`
    ///
    /// # Safety
    /// As for [`_ZdlPv`]; `_size` is the one asked for.
    pub unsafe extern "C" fn _ZdaPvm(block: *mut u8, _size: usize) {
        // SAFETY: the caller's promise is dealloc's condition.
        unsafe { raw::dealloc(block) }
    }

    /// `operator new(size_t, std::nothrow_t const&)`
    pub extern "C" fn _ZnwmRKSt9nothrow_t(size: usize, _: Nothrow) -> *mut u8 {
        // SAFETY: it does not throw; called in tail position all the same.
        raw::alloc_or(size, |size| unsafe { throwing::new_nothrow_slow(size) })
    }

    /// `operator new[](size_t, std::nothrow_t const&)`
    pub extern "C" fn _ZnamRKSt9nothrow_t(size: usize, _: Nothrow) -> *mut u8 {
        // SAFETY: it does not throw; called in tail position all the same.
        raw::alloc_or(size, |size| unsafe { throwing::new_nothrow_slow(size) })
    }
}

/// An aligned block if the first attempt finds one, null if the slow path must look.
#[inline(always)]
fn first(size: usize, align: usize) -> *mut u8 {
    if align.is_power_of_two() { raw::alloc_aligned(size, align) } else { core::ptr::null_mut() }
}

macro_rules! aligned_new {
    ($($(#[$doc:meta])* $name:ident($($nothrow:ty)?) else $slow:ident;)*) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub extern "C" fn $name(size: usize, align: usize $(, _: $nothrow)?) -> *mut u8 {
                let block = first(size, align);
                if block.is_null() {
                    // SAFETY: called in tail position, no frame of ours is left when it throws.
                    return unsafe { throwing::$slow(size, align) };
                }
                block
            }
        )*
    };
}

aligned_new! {
    /// `operator new(size_t, std::align_val_t)`
    _ZnwmSt11align_val_t() else new_aligned_slow;
    /// `operator new[](size_t, std::align_val_t)`
    _ZnamSt11align_val_t() else new_aligned_slow;
    /// `operator new(size_t, std::align_val_t, std::nothrow_t const&)`
    _ZnwmSt11align_val_tRKSt9nothrow_t(Nothrow) else new_aligned_nothrow_slow;
    /// `operator new[](size_t, std::align_val_t, std::nothrow_t const&)`
    _ZnamSt11align_val_tRKSt9nothrow_t(Nothrow) else new_aligned_nothrow_slow;
}

macro_rules! delete {
    ($($(#[$doc:meta])* $name:ident($($rest:ty),*);)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// As for [`_ZdlPv`]; size and alignment, where given, are those asked for.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(block: *mut u8 $(, _: $rest)*) {
                // SAFETY: the caller's promise is dealloc's condition.
                unsafe { raw::dealloc(block) }
            }
        )*
    };
}

delete! {
    /// `operator delete(void*, std::nothrow_t const&)`
    _ZdlPvRKSt9nothrow_t(Nothrow);
    /// `operator delete[](void*, std::nothrow_t const&)`
    _ZdaPvRKSt9nothrow_t(Nothrow);
    /// `operator delete(void*, std::align_val_t)`
    _ZdlPvSt11align_val_t(usize);
    /// `operator delete[](void*, std::align_val_t)`
    _ZdaPvSt11align_val_t(usize);
    /// `operator delete(void*, size_t, std::align_val_t)`
    _ZdlPvmSt11align_val_t(usize, usize);
    /// `operator delete[](void*, size_t, std::align_val_t)`
    _ZdaPvmSt11align_val_t(usize, usize);
    /// `operator delete(void*, std::align_val_t, std::nothrow_t const&)`
    _ZdlPvSt11align_val_tRKSt9nothrow_t(usize, Nothrow);
    /// `operator delete[](void*, std::align_val_t, std::nothrow_t const&)`
    _ZdaPvSt11align_val_tRKSt9nothrow_t(usize, Nothrow);
}
