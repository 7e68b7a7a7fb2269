//! Every conversion between pointers and integers, in one place.
//!
//! Addresses are exposed and recovered with exposed provenance: a block's descriptor is found from
//! the block's address alone, so no pointer can be carried along.

/// Address of a pointer, exposed so that [`ptr`] may recover it.
#[inline(always)]
pub fn addr<T>(pointer: *const T) -> usize {
    pointer.expose_provenance()
}

/// Pointer to an address that [`addr`] exposed.
#[inline(always)]
pub fn ptr<T>(address: usize) -> *mut T {
    core::ptr::with_exposed_provenance_mut(address)
}

/// `value` rounded up to a multiple of `unit` (a power of two); `None` on overflow.
#[inline(always)]
pub const fn round_up(value: usize, unit: usize) -> Option<usize> {
    match value.checked_add(unit - 1) {
        Some(sum) => Some(sum & !(unit - 1)),
        None => None,
    }
}
