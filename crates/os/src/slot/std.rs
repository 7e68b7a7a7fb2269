//! [`heap_slot!`](crate::heap_slot) through std's thread-locals, where we know no better.

/// Defines one word of thread-local storage and two functions over it, `get` and `set`, at the place
/// of the call (a module's top level).
///
/// `heap_slot!(EMPTY, "name")`: every thread's word starts as the address of the static `EMPTY`, so
/// that `get` never returns null and needs no check. The name is not needed on this platform.
///
/// * `pub(crate) fn get() -> *mut u8`: the calling thread's word;
/// * `pub(crate) fn set(value: *mut u8)`: replaces it.
///
/// The word is a `thread_local!` with a constant start value and no destructor: std then neither
/// initialises it lazily nor registers anything, and it is usable until the thread is gone. (Where
/// the platform has no thread-local storage of its own, std allocates; an allocator cannot be built
/// on those.)
#[macro_export]
macro_rules! heap_slot {
    ($empty:path, $name:literal) => {
        $crate::__std::thread_local! {
            static SLOT: ::core::cell::Cell<*mut u8> =
                const { ::core::cell::Cell::new((&raw const $empty).cast_mut().cast()) };
        }

        /// The calling thread's word.
        #[inline(always)]
        pub(crate) fn get() -> *mut u8 {
            SLOT.with(::core::cell::Cell::get)
        }

        /// Replaces the calling thread's word.
        #[inline(always)]
        pub(crate) fn set(value: *mut u8) {
            SLOT.with(|slot| slot.set(value));
        }
    };
}
