//! `&VarPool` as an `Allocator` of `allocator-api2`.

use super::pool::VarPool;
use crate::api2::{Blocks, implement};
use crate::source::Source;
use core::alloc::Layout;
use core::ptr::NonNull;

impl<A: Source> Blocks for &VarPool<A> {
    #[inline]
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate(layout).ok().map(NonNull::cast)
    }

    #[inline]
    unsafe fn give(&self, block: NonNull<u8>, _: Layout) {
        // SAFETY: the caller's block.
        let released = unsafe { self.release(block) };
        assert!(released.is_ok(), "{}", released.unwrap_err());
    }

    #[inline]
    unsafe fn resize(&self, block: NonNull<u8>, _: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller's block.
        unsafe { self.reallocate(block, new) }.ok().map(NonNull::cast)
    }
}

implement!([A: Source] &VarPool<A>);
