//! The `Allocator` trait of `allocator-api2`, once for all its versions.
//!
//! Empty layouts get no block but a dangling pointer, and freeing one does nothing: that crate's
//! `Box` frees dangling pointers of values without size.

use crate::{Heap, Stratalloc};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, without_provenance_mut};

/// What `Stratalloc` and `&Heap` have in common: blocks of layouts that are not empty.
pub(crate) trait Blocks {
    fn take(&self, layout: Layout) -> Option<NonNull<u8>>;
    fn take_zeroed(&self, layout: Layout) -> Option<NonNull<u8>>;
    /// # Safety
    /// A block in use with its layout, not used after.
    unsafe fn give(&self, block: NonNull<u8>, layout: Layout);
    /// # Safety
    /// A block in use with its layout; after success only the result is.
    unsafe fn resize(&self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>>;
}

impl Blocks for Stratalloc {
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: `Stratalloc` serves every layout.
        NonNull::new(unsafe { self.alloc(layout) })
    }

    fn take_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: as above.
        NonNull::new(unsafe { self.alloc_zeroed(layout) })
    }

    unsafe fn give(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's block.
        unsafe { self.dealloc(block.as_ptr(), layout) };
    }

    unsafe fn resize(&self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's block.
        NonNull::new(unsafe { self.realloc(block.as_ptr(), layout, size) })
    }
}

impl Blocks for &Heap {
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        Heap::alloc(self, layout)
    }

    fn take_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        Heap::alloc_zeroed(self, layout)
    }

    unsafe fn give(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's block.
        unsafe { Heap::dealloc(self, block, layout) };
    }

    unsafe fn resize(&self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's block.
        unsafe { Heap::realloc(self, block, layout, size) }
    }
}

/// A block, or for an empty layout a dangling pointer.
pub(crate) fn allocate(blocks: impl Blocks, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
    let block = match layout.size() {
        // An alignment is never 0.
        0 => NonNull::new(without_provenance_mut(layout.align())),
        _ if zeroed => blocks.take_zeroed(layout),
        _ => blocks.take(layout),
    };
    block.map(|block| NonNull::slice_from_raw_parts(block, layout.size()))
}

/// # Safety
/// As for `Allocator::deallocate`.
pub(crate) unsafe fn deallocate(blocks: impl Blocks, block: NonNull<u8>, layout: Layout) {
    if layout.size() != 0 {
        // SAFETY: the caller's block.
        unsafe { blocks.give(block, layout) };
    }
}

/// Grows or shrinks; where the alignment changes, or the block is or becomes empty, it moves.
///
/// # Safety
/// As for `Allocator::grow` and `shrink`.
pub(crate) unsafe fn resize(
    blocks: impl Blocks + Copy,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Option<NonNull<[u8]>> {
    // SAFETY: the caller's block; both blocks are at least as long as what is copied.
    unsafe {
        if old.align() == new.align() && old.size() != 0 && new.size() != 0 {
            let block = blocks.resize(block, old, new.size())?;
            return Some(NonNull::slice_from_raw_parts(block, new.size()));
        }
        let moved = allocate(blocks, new, false)?;
        moved.cast().copy_from_nonoverlapping(block, old.size().min(new.size()));
        deallocate(blocks, block, old);
        Some(moved)
    }
}

/// Implements `$allocator` for `$blocks`.
macro_rules! implement {
    ($allocator:path, $error:path, $blocks:ty) => {
        // SAFETY: blocks stay until freed, whichever copy of the allocator frees them, or until the
        // heap, which `&Heap` borrows, is gone.
        unsafe impl $allocator for $blocks {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                crate::api2::allocate(*self, layout, false).ok_or($error)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                crate::api2::allocate(*self, layout, true).ok_or($error)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's block.
                unsafe { crate::api2::deallocate(*self, block, layout) };
            }

            #[inline]
            unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the caller's block.
                unsafe { crate::api2::resize(*self, block, old, new) }.ok_or($error)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the caller's block.
                unsafe { crate::api2::resize(*self, block, old, new) }.ok_or($error)
            }
        }
    };
}
pub(crate) use implement;
