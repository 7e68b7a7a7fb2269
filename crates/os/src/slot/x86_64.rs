//! [`heap_slot!`](crate::heap_slot) on x86-64 Linux: one initial-exec TLS word, two instructions.

/// Defines one word of thread-local storage and two functions over it, `get` and `set`, at the place
/// of the call (a module's top level).
///
/// `heap_slot!(EMPTY, "name")`: every thread's word starts as the address of the static `EMPTY`, so
/// that `get` never returns null and needs no check. `"name"` becomes, with the calling package's
/// version behind it, the symbol of the word, so that two versions of a crate live in one process.
///
/// * `pub(crate) fn get() -> *mut u8`: the calling thread's word;
/// * `pub(crate) fn set(value: *mut u8)`: replaces it.
///
/// On Linux with x86-64 or AArch64 the word is a hidden symbol in `.tdata`, read in the initial-exec
/// model: from the dynamic loader's first call on, in executables, static ones, shared libraries that
/// are preloaded or linked, and those that `dlopen` loads (glibc keeps room for small slots; musl
/// refuses). The linker turns the access into a constant offset in executables. No destructor, no
/// lazy initialisation, nothing that could allocate. Elsewhere it is a `thread_local!` without
/// destructor. Because the word is per OS thread, a stackful coroutine that changes threads must not
/// do so inside a function that uses it.
///
/// ```
/// mod slot {
///     static EMPTY: u64 = 7;
///     stratalloc_os::heap_slot!(EMPTY, "doc_example");
///     pub(crate) fn demo() {
///         assert_eq!(get(), (&raw const EMPTY).cast_mut().cast());
///         set(std::ptr::null_mut());
///         assert!(get().is_null());
///     }
/// }
/// slot::demo();
/// ```
#[macro_export]
macro_rules! heap_slot {
    ($empty:path, $name:literal) => {
        ::core::arch::global_asm!(
            ".pushsection .tdata,\"awT\",@progbits",
            ".p2align 3",
            $crate::__slot_symbol!(".globl ", $name, ""),
            $crate::__slot_symbol!(".hidden ", $name, ""),
            $crate::__slot_symbol!(".type ", $name, ", @object"),
            $crate::__slot_symbol!(".size ", $name, ", 8"),
            $crate::__slot_symbol!("", $name, ":"),
            ".quad {empty}",
            ".popsection",
            empty = sym $empty,
        );

        /// The calling thread's word.
        #[inline(always)]
        pub(crate) fn get() -> *mut u8 {
            let offset: usize;
            // SAFETY: reads the word's offset from the thread pointer, constant once relocated.
            unsafe {
                ::core::arch::asm!(
                    $crate::__slot_symbol!("mov {offset}, qword ptr [rip + ", $name, "@GOTTPOFF]"),
                    offset = out(reg) offset,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            let value: *mut u8;
            // SAFETY: reads the calling thread's word, which lives as long as the thread.
            unsafe {
                ::core::arch::asm!(
                    "mov {value}, qword ptr fs:[{offset}]",
                    value = lateout(reg) value,
                    offset = in(reg) offset,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            value
        }

        /// Replaces the calling thread's word.
        #[inline(always)]
        pub(crate) fn set(value: *mut u8) {
            let offset: usize;
            // SAFETY: as in `get`.
            unsafe {
                ::core::arch::asm!(
                    $crate::__slot_symbol!("mov {offset}, qword ptr [rip + ", $name, "@GOTTPOFF]"),
                    offset = out(reg) offset,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            // SAFETY: writes the calling thread's word, which `get` and `set` alone touch.
            unsafe {
                ::core::arch::asm!(
                    "mov qword ptr fs:[{offset}], {value}",
                    value = in(reg) value,
                    offset = in(reg) offset,
                    options(nostack, preserves_flags),
                );
            }
        }
    };
}

/// The slot's symbol between two pieces of assembly: the name and the calling package's version.
#[doc(hidden)]
#[macro_export]
macro_rules! __slot_symbol {
    ($before:literal, $name:literal, $after:literal) => {
        concat!(
            $before,
            $name,
            "_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH"),
            $after
        )
    };
}
