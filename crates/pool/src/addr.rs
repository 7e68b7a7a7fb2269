//! The one place that turns pointers into integers.

/// A pointer's address. For comparisons and error values; never turned back into a pointer.
#[inline(always)]
pub(crate) fn addr<T: ?Sized>(pointer: *const T) -> usize {
    pointer.cast::<u8>().addr()
}
