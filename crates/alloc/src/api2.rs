//! The `Allocator` trait of `allocator-api2`, once for all its versions.

/// Implements `$allocator` for `Stratalloc` and `&Heap`.
macro_rules! implement {
    ($allocator:path, $error:path) => {
        use core::alloc::{GlobalAlloc, Layout};
        use core::ptr::NonNull;

        fn slice(block: Option<NonNull<u8>>, size: usize) -> Result<NonNull<[u8]>, $error> {
            block.map(|block| NonNull::slice_from_raw_parts(block, size)).ok_or($error)
        }

        // SAFETY: blocks stay until freed, whichever copy of `Stratalloc` frees them.
        unsafe impl $allocator for Stratalloc {
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: `Stratalloc` serves size 0 like any other.
                slice(NonNull::new(unsafe { self.alloc(layout) }), layout.size())
            }

            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: as above.
                slice(NonNull::new(unsafe { self.alloc_zeroed(layout) }), layout.size())
            }

            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's block.
                unsafe { self.dealloc(block.as_ptr(), layout) };
            }

            unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the caller's block.
                unsafe { resize_global(*self, block, old, new) }
            }

            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the caller's block.
                unsafe { resize_global(*self, block, old, new) }
            }
        }

        /// # Safety
        /// As for `Allocator::grow` and `shrink`.
        unsafe fn resize_global(
            global: Stratalloc,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the caller's block; where the alignment changes the block moves.
            unsafe {
                if old.align() == new.align() {
                    let moved = global.realloc(block.as_ptr(), old, new.size());
                    return slice(NonNull::new(moved), new.size());
                }
                let moved = slice(NonNull::new(global.alloc(new)), new.size())?;
                moved.cast().copy_from_nonoverlapping(block, old.size().min(new.size()));
                global.dealloc(block.as_ptr(), old);
                Ok(moved)
            }
        }

        // SAFETY: blocks stay until freed or until the heap, which `&Heap` borrows, is gone.
        unsafe impl $allocator for &Heap {
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                slice(Heap::alloc(self, layout), layout.size())
            }

            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $error> {
                slice(Heap::alloc_zeroed(self, layout), layout.size())
            }

            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's block.
                unsafe { Heap::dealloc(self, block, layout) };
            }

            unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the caller's block.
                unsafe { resize_heap(self, block, old, new) }
            }

            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $error> {
                // SAFETY: the caller's block.
                unsafe { resize_heap(self, block, old, new) }
            }
        }

        /// # Safety
        /// As for `Allocator::grow` and `shrink`.
        unsafe fn resize_heap(
            heap: &Heap,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, $error> {
            // SAFETY: the caller's block; where the alignment changes the block moves.
            unsafe {
                if old.align() == new.align() {
                    return slice(heap.realloc(block, old, new.size()), new.size());
                }
                let moved = slice(heap.alloc(new), new.size())?;
                moved.cast().copy_from_nonoverlapping(block, old.size().min(new.size()));
                heap.dealloc(block, old);
                Ok(moved)
            }
        }
    };
}
pub(crate) use implement;
