//! The `Allocator` trait of `allocator-api2`, once for all pools and versions.
//!
//! Empty layouts get no block but a dangling pointer, and freeing one does nothing.

use core::alloc::Layout;
use core::ptr::{NonNull, without_provenance_mut};

/// What a pool does for layouts that are not empty. Blocks stay until given back or until the pool is gone; copies
/// of the value mean the same pool.
pub(crate) trait Blocks {
    /// A block for `layout`.
    fn take(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes it back.
    ///
    /// # Safety
    /// A live block with its layout, not used after.
    unsafe fn give(&self, block: NonNull<u8>, layout: Layout);

    /// Makes a block serve `new`, moving it or not; `None` leaves it as it is.
    ///
    /// # Safety
    /// A live block with its layout; after success only the result is.
    unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>>;
}

/// A block, or for an empty layout a dangling pointer.
pub(crate) fn allocate(blocks: &impl Blocks, layout: Layout) -> Option<NonNull<[u8]>> {
    let block = match layout.size() {
        // An alignment is never 0.
        0 => NonNull::new(without_provenance_mut(layout.align())),
        _ => blocks.take(layout),
    };
    block.map(|block| NonNull::slice_from_raw_parts(block, layout.size()))
}

/// # Safety
/// As for `Allocator::deallocate`.
pub(crate) unsafe fn deallocate(blocks: &impl Blocks, block: NonNull<u8>, layout: Layout) {
    if layout.size() != 0 {
        // SAFETY: the caller's block.
        unsafe { blocks.give(block, layout) };
    }
}

/// Grows or shrinks; in place where the pool can.
///
/// # Safety
/// As for `Allocator::grow` and `shrink`.
pub(crate) unsafe fn resize(
    blocks: &impl Blocks,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Option<NonNull<[u8]>> {
    if old.size() != 0 && new.size() != 0 {
        // SAFETY: the caller's block.
        if let Some(block) = unsafe { blocks.resize(block, old, new) } {
            return Some(NonNull::slice_from_raw_parts(block, new.size()));
        }
    }
    let moved = allocate(blocks, new)?;
    // SAFETY: both blocks are at least as long as what is copied, and distinct.
    unsafe { moved.cast().copy_from_nonoverlapping(block, old.size().min(new.size())) };
    // SAFETY: the caller's block.
    unsafe { deallocate(blocks, block, old) };
    Some(moved)
}

/// Implements the trait of one version for a type with [`Blocks`].
#[allow(unused_macros)]
macro_rules! implement_one {
    ($version:ident, [$($parameters:tt)*] $type:ty) => {
        // SAFETY: `Blocks` promises what the trait asks for.
        unsafe impl<$($parameters)*> $version::alloc::Allocator for $type {
            #[inline]
            fn allocate(
                &self,
                layout: core::alloc::Layout,
            ) -> Result<core::ptr::NonNull<[u8]>, $version::alloc::AllocError> {
                crate::api2::allocate(self, layout).ok_or($version::alloc::AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, block: core::ptr::NonNull<u8>, layout: core::alloc::Layout) {
                // SAFETY: the caller's block.
                unsafe { crate::api2::deallocate(self, block, layout) };
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: core::ptr::NonNull<u8>,
                old: core::alloc::Layout,
                new: core::alloc::Layout,
            ) -> Result<core::ptr::NonNull<[u8]>, $version::alloc::AllocError> {
                // SAFETY: the caller's block.
                unsafe { crate::api2::resize(self, block, old, new) }.ok_or($version::alloc::AllocError)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: core::ptr::NonNull<u8>,
                old: core::alloc::Layout,
                new: core::alloc::Layout,
            ) -> Result<core::ptr::NonNull<[u8]>, $version::alloc::AllocError> {
                // SAFETY: the caller's block.
                unsafe { crate::api2::resize(self, block, old, new) }.ok_or($version::alloc::AllocError)
            }
        }
    };
}

/// Implements the trait, of each version that is on, for a type with [`Blocks`]: `implement!([A: Source] &Pool<A>);`
macro_rules! implement {
    ([$($parameters:tt)*] $type:ty) => {
        #[cfg(feature = "allocator-api2-02")]
        crate::api2::implement_one!(allocator_api2_02, [$($parameters)*] $type);
        #[cfg(feature = "allocator-api2-04")]
        crate::api2::implement_one!(allocator_api2_04, [$($parameters)*] $type);
    };
}
pub(crate) use {implement, implement_one};
