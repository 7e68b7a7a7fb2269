//! Functions that some peers' own libraries lack, over the library's `malloc`, `memalign`, `realloc` and `free`.
//! The names resolve inside the library at link time: each of these is one direct call or jump.

/// The panic handler of a library without std: nothing in it panics, so it only has to exist.
#[macro_export]
macro_rules! without_std {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            unsafe extern "C" {
                safe fn abort() -> !;
            }
            abort()
        }

        /// What unwinding through Rust code would call. There is none: the precompiled `core` merely names it.
        #[unsafe(no_mangle)]
        extern "C" fn rust_eh_personality() -> ! {
            unsafe extern "C" {
                safe fn abort() -> !;
            }
            abort()
        }
    };
}

/// `reallocarray` over `realloc`.
#[macro_export]
macro_rules! reallocarray {
    () => {
        /// As glibc's: an overflow is `ENOMEM`.
        ///
        /// # Safety
        /// `block` is null or a live block of this library.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn reallocarray(
            block: *mut core::ffi::c_void,
            count: usize,
            size: usize,
        ) -> *mut core::ffi::c_void {
            unsafe extern "C" {
                fn realloc(block: *mut core::ffi::c_void, size: usize) -> *mut core::ffi::c_void;
            }
            // A product that overflows is asked for as the whole address space: the library refuses and sets `errno`.
            let bytes = count.checked_mul(size).unwrap_or(isize::MAX as usize);
            // SAFETY: the caller's promise is `realloc`'s.
            unsafe { realloc(block, bytes) }
        }
    };
}

/// `valloc` and `pvalloc` over `memalign`.
#[macro_export]
macro_rules! page_aligned {
    () => {
        /// A block at a page's start.
        #[unsafe(no_mangle)]
        pub extern "C" fn valloc(size: usize) -> *mut core::ffi::c_void {
            $crate::page::aligned(size)
        }

        /// Whole pages.
        #[unsafe(no_mangle)]
        pub extern "C" fn pvalloc(size: usize) -> *mut core::ffi::c_void {
            $crate::page::aligned($crate::page::round_up(size))
        }
    };
}

/// `operator new` that throws, over `malloc` and `memalign`.
///
/// Where memory is out, the process ends: no measured program goes on after that, and Rust cannot throw.
#[macro_export]
macro_rules! operators {
    () => {
        /// `operator new(size_t)`.
        #[unsafe(export_name = "_Znwm")]
        pub extern "C" fn new(size: usize) -> *mut core::ffi::c_void {
            $crate::cpp::new(size)
        }

        /// `operator new[](size_t)`.
        #[unsafe(export_name = "_Znam")]
        pub extern "C" fn new_array(size: usize) -> *mut core::ffi::c_void {
            $crate::cpp::new(size)
        }

        /// `operator new(size_t, align_val_t)`.
        #[unsafe(export_name = "_ZnwmSt11align_val_t")]
        pub extern "C" fn new_aligned(size: usize, align: usize) -> *mut core::ffi::c_void {
            $crate::cpp::new_aligned(size, align)
        }

        /// `operator new[](size_t, align_val_t)`.
        #[unsafe(export_name = "_ZnamSt11align_val_t")]
        pub extern "C" fn new_array_aligned(size: usize, align: usize) -> *mut core::ffi::c_void {
            $crate::cpp::new_aligned(size, align)
        }

        /// `operator new(size_t, nothrow)`, with an alignment.
        #[unsafe(export_name = "_ZnwmSt11align_val_tRKSt9nothrow_t")]
        pub extern "C" fn new_aligned_nothrow(size: usize, align: usize, _: *const u8) -> *mut core::ffi::c_void {
            $crate::cpp::aligned(size, align)
        }

        /// `operator new[](size_t, nothrow)`, with an alignment.
        #[unsafe(export_name = "_ZnamSt11align_val_tRKSt9nothrow_t")]
        pub extern "C" fn new_array_aligned_nothrow(
            size: usize,
            align: usize,
            _: *const u8,
        ) -> *mut core::ffi::c_void {
            $crate::cpp::aligned(size, align)
        }
    };
}
