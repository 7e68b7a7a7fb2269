//! `&FixedPool` as an `Allocator` of `allocator-api2`: for containers whose every request fits into a block.
//!
//! A container that outgrows the block gets an allocation error, never a block of another layout.

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04"))]
mod on {
    use crate::api2::{Blocks, implement};
    use crate::{FixedPool, Source};
    use core::alloc::Layout;
    use core::ptr::NonNull;

    impl<A: Source> Blocks for &FixedPool<A> {
        fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
            let block = self.block_layout();
            if layout.size() > block.size() || layout.align() > block.align() {
                return None;
            }
            self.try_acquire().ok()
        }

        unsafe fn give(&self, block: NonNull<u8>, _: Layout) {
            // SAFETY: the caller's block, which `take` got from this pool.
            unsafe { self.release_unchecked(block) };
        }

        unsafe fn resize(&self, block: NonNull<u8>, _: Layout, new: Layout) -> Option<NonNull<u8>> {
            let has = self.block_layout();
            (new.size() <= has.size() && new.align() <= has.align()).then_some(block)
        }
    }

    implement!([A: Source] &FixedPool<A>);
}
