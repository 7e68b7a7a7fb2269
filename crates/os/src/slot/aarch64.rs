//! [`heap_slot!`](crate::heap_slot) on AArch64 Linux: one initial-exec TLS word, four instructions of
//! which three stay the same for a thread.

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
/// The word is a hidden symbol in `.tdata`, read in the initial-exec model; the x86-64 version of
/// this page says where that works. Because the word is per OS thread, a stackful coroutine that
/// changes threads must not do so inside a function that uses it.
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
            ".xword {empty}",
            ".popsection",
            empty = sym $empty,
        );

        /// The address of the calling thread's word.
        #[inline(always)]
        fn address() -> usize {
            let offset: usize;
            // SAFETY: reads the word's offset from the thread pointer, constant once relocated.
            unsafe {
                ::core::arch::asm!(
                    $crate::__slot_symbol!("adrp {offset}, :gottprel:", $name, ""),
                    $crate::__slot_symbol!("ldr {offset}, [{offset}, :gottprel_lo12:", $name, "]"),
                    offset = out(reg) offset,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            let pointer: usize;
            // SAFETY: reads the thread pointer, constant in a thread.
            unsafe {
                ::core::arch::asm!(
                    "mrs {pointer}, tpidr_el0",
                    pointer = out(reg) pointer,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            pointer.wrapping_add(offset)
        }

        /// The calling thread's word.
        #[inline(always)]
        pub(crate) fn get() -> *mut u8 {
            let value: *mut u8;
            // SAFETY: reads the calling thread's word, which lives as long as the thread.
            unsafe {
                ::core::arch::asm!(
                    "ldr {value}, [{address}]",
                    value = lateout(reg) value,
                    address = in(reg) address(),
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            value
        }

        /// Replaces the calling thread's word.
        #[inline(always)]
        pub(crate) fn set(value: *mut u8) {
            // SAFETY: writes the calling thread's word, which `get` and `set` alone touch.
            unsafe {
                ::core::arch::asm!(
                    "str {value}, [{address}]",
                    value = in(reg) value,
                    address = in(reg) address(),
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
