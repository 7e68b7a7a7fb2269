//! The memory of descriptors and heaps: chunks that stay mapped, and descriptors that were given back.

use super::PageHeap;
use crate::addr::ptr;
use crate::span::{Kind, OWNER_NONE, Place, Span};
use crate::sync::atomic::Ordering;
use core::ptr::null_mut;

/// Descriptors that one operation may need at most.
const DESCRIPTORS: usize = 4;

impl PageHeap {
    /// Adds `bytes` of zeroed memory at `start` for descriptors and heaps. What was left of the
    /// previous chunk becomes descriptors.
    ///
    /// # Safety
    /// The memory is the caller's, aligned to 128 B, and never unmapped.
    pub unsafe fn add_meta(&mut self, start: usize, bytes: usize) {
        while self.meta_next + size_of::<Span>() <= self.meta_end {
            let span = ptr(self.meta_next);
            self.meta_next += size_of::<Span>();
            // SAFETY: the rest of our own chunk.
            unsafe { self.drop_descriptor(span) };
        }
        self.meta_next = start;
        self.meta_end = start + bytes;
        self.figures.metadata += bytes;
    }

    /// `bytes` of zeroed metadata aligned to `align`, or null when the chunk is used up.
    pub fn meta(&mut self, bytes: usize, align: usize) -> *mut u8 {
        if !self.has_meta(bytes, align) {
            return null_mut();
        }
        let start = (self.meta_next + align - 1) & !(align - 1);
        // The gap that alignment leaves becomes descriptors.
        while self.meta_next + size_of::<Span>() <= start {
            let span = ptr(self.meta_next);
            self.meta_next += size_of::<Span>();
            // SAFETY: our own chunk.
            unsafe { self.drop_descriptor(span) };
        }
        self.meta_next = start + bytes;
        ptr(start)
    }

    /// True when [`meta`](Self::meta) would return memory.
    pub fn has_meta(&self, bytes: usize, align: usize) -> bool {
        self.meta_next != 0 && ((self.meta_next + align - 1) & !(align - 1)) + bytes <= self.meta_end
    }

    fn meta_left(&self) -> usize {
        self.meta_end.saturating_sub(self.meta_next)
    }

    /// True when an operation might run short of descriptors.
    pub fn needs_meta(&self) -> bool {
        if self.meta_left() >= DESCRIPTORS * size_of::<Span>() {
            return false;
        }
        let mut span = self.unused;
        for _ in 0..DESCRIPTORS {
            if span.is_null() {
                return true;
            }
            // SAFETY: the list of unused descriptors is ours.
            span = unsafe { (*span).next };
        }
        false
    }

    /// A descriptor, or null when there is none (see [`needs_meta`](Self::needs_meta)).
    pub fn descriptor(&mut self) -> *mut Span {
        let span = if self.unused.is_null() {
            self.meta(size_of::<Span>(), align_of::<Span>()).cast::<Span>()
        } else {
            let span = self.unused;
            // SAFETY: the list is ours.
            self.unused = unsafe { (*span).next };
            span
        };
        if !span.is_null() {
            // SAFETY: an unused descriptor, ours alone.
            unsafe {
                (*span).node = self.node;
                (*span).next = null_mut();
                (*span).dirty = 0;
            }
        }
        span
    }

    /// Takes a descriptor back.
    ///
    /// # Safety
    /// Nothing refers to it any more: no directory entry, no list, no token.
    pub unsafe fn drop_descriptor(&mut self, span: *mut Span) {
        // SAFETY: the caller's descriptor.
        unsafe {
            (*span).kind = Kind::Unused;
            (*span).set_place(Place::None);
            (*span).node = self.node;
            (*span).owner.store(OWNER_NONE, Ordering::Relaxed);
            (*span).next = self.unused;
        }
        self.unused = span;
    }
}
