//! Blocks in and out: what the fast paths fall back on, and what has no fast path.

use crate::addr::addr;
use crate::allocator::Allocator;
use crate::class::{self, SLICE, class, size_of_class};
use crate::heap::{Heap, alloc_class_or, dealloc_or};
use crate::os::Os;
use crate::span::{Block, Kind, OWNER_LARGE, Span};
use core::ptr::null_mut;

impl<O: Os> Allocator<O> {
    /// A block of `size` bytes at `align` (a power of two, at least 16 B are kept), or null.
    ///
    /// # Safety
    /// The caller has the tenure of `heap`, a usable heap.
    pub unsafe fn alloc(&self, heap: *mut Heap, size: usize, align: usize) -> *mut u8 {
        // SAFETY: the caller's heap.
        unsafe {
            match class(size, align) {
                Some(class) => alloc_class_or(&raw mut (*heap).front, class, || self.refill(heap, class).0),
                None => self.alloc_large(heap, size, align),
            }
        }
    }

    /// As [`alloc`](Self::alloc); the block's first `size` bytes are zero. Memory that is known to be
    /// zero is not written.
    ///
    /// # Safety
    /// As for [`alloc`](Self::alloc).
    pub unsafe fn alloc_zeroed(&self, heap: *mut Heap, size: usize, align: usize) -> *mut u8 {
        // SAFETY: the caller's heap; the block is new and at least `size` bytes long.
        unsafe {
            let mut zero = false;
            let block = match class(size, align) {
                Some(class) => alloc_class_or(&raw mut (*heap).front, class, || {
                    let (block, fresh) = self.refill(heap, class);
                    zero = fresh;
                    block
                }),
                None => {
                    let (block, fresh) = self.take_large(heap, size, align, None);
                    zero = fresh;
                    block
                }
            };
            if block.is_null() {
                return block;
            }
            if zero {
                // A fresh block may have been linked.
                block.cast::<usize>().write(0);
            } else {
                block.write_bytes(0, size);
            }
            block
        }
    }

    /// Frees a block; null is allowed. A pointer that is no block is reported.
    ///
    /// # Safety
    /// The caller has the tenure of `heap`, a usable heap; the block, if it is one, is not used any
    /// more.
    pub unsafe fn dealloc(&self, heap: *mut Heap, block: *mut u8) {
        if addr(block) >= crate::directory::ADDRESS_END {
            return self.bad_pointer(b"free", addr(block));
        }
        // SAFETY: just tested; the caller's heap.
        unsafe {
            dealloc_or(
                &self.directory,
                &raw mut (*heap).front,
                block,
                |span| self.free_event(heap, span),
                |block, span| {
                    let full = |slot| self.batch_full(heap, slot);
                    self.free_batched_or(heap, block, span, full, |block| self.dealloc_cold(heap, block));
                },
            );
        }
    }

    /// Frees what the fast path does not and no open batch takes: a block that `heap` does not own, or
    /// null.
    ///
    /// # Safety
    /// As for [`dealloc`](Self::dealloc).
    #[cold]
    pub unsafe fn dealloc_cold(&self, heap: *mut Heap, block: *mut u8) {
        if block.is_null() {
            return;
        }
        let span = self.directory.find(addr(block));
        // SAFETY: descriptors are readable for ever; when the pointer is a block in use, the span is
        // alive and its kind fixed.
        unsafe {
            match (*span).kind {
                Kind::Small if (*span).is_small_block(addr(block)) => {
                    self.free_remote(heap, span, block.cast::<Block>());
                }
                Kind::Large if addr(block) == (*span).start => self.free_large(heap, span),
                _ => self.bad_pointer(b"free", addr(block)),
            }
        }
    }

    unsafe fn free_large(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: a large block in use, freed by the caller.
        unsafe {
            let owner = (*span).owner();
            if owner == OWNER_LARGE {
                self.free_span(span);
            } else if owner == addr(heap) {
                Heap::remove_large(heap, span);
                self.free_span(span);
            } else {
                self.free_remote(heap, span, crate::addr::ptr((*span).start));
            }
        }
    }

    /// The span of a block in use; reports anything else and returns null.
    pub(crate) fn checked(&self, call: &[u8], block: *const u8) -> *mut Span {
        let span = self.directory.find(addr(block));
        // SAFETY: descriptors are readable for ever.
        if unsafe { (*span).is_block(addr(block)) } {
            return span;
        }
        self.bad_pointer(call, addr(block));
        null_mut()
    }

    /// Resizes a block. Null: it cannot be had (or is no block, reported), and nothing changed.
    ///
    /// The block stays where it is only while the new size has the class of its span.
    ///
    /// # Safety
    /// The caller has the tenure of `heap`, a usable heap; the block is the caller's and was
    /// allocated at `align` or more.
    pub unsafe fn realloc(&self, heap: *mut Heap, block: *mut u8, size: usize, align: usize) -> *mut u8 {
        let span = self.checked(b"realloc", block);
        if span.is_null() {
            return block;
        }
        // SAFETY: a live span of the caller's block.
        unsafe {
            let class = class(size, align);
            let old = match (*span).kind {
                Kind::Small => {
                    if class == Some((*span).class as usize) {
                        return block;
                    }
                    (*span).block_size()
                }
                _ => {
                    let owner = (*span).owner();
                    let ours = owner == OWNER_LARGE || owner == addr(heap);
                    let fits = align <= SLICE || size <= (*span).size;
                    if class.is_none() && ours && fits {
                        return self.realloc_large(heap, span, size);
                    }
                    (*span).size
                }
            };
            let new = self.alloc(heap, size, align);
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, old.min(size));
                self.dealloc(heap, block);
            }
            new
        }
    }

    /// Bytes that the program may use in a block; 0 for a pointer that is no block, reported.
    ///
    /// # Safety
    /// The block, if it is one, is in use.
    pub unsafe fn usable_size(&self, block: *const u8) -> usize {
        let span = self.checked(b"malloc_usable_size", block);
        // SAFETY: a live span, or null.
        match unsafe { span.as_ref() } {
            None => 0,
            Some(span) if span.kind == Kind::Small => span.block_size(),
            Some(span) => span.size,
        }
    }

    /// Bytes of the block that a request of `size` bytes gets; `size` itself when it cannot be met.
    pub fn good_size(&self, size: usize) -> usize {
        match class::class_of(size) {
            Some(class) => size_of_class(class),
            None => crate::addr::round_up(size, self.os.page_size()).unwrap_or(size),
        }
    }

    /// True when the pointer is the start of a block, used or free, that `heap` owns.
    pub fn owned_by(&self, block: *const u8, heap: *const Heap) -> bool {
        let span = self.directory.find(addr(block));
        // SAFETY: descriptors are readable for ever.
        unsafe { (*span).owner() == addr(heap) && (*span).is_block(addr(block)) }
    }

    /// True when the pointer is the start of a block of this allocator, used or free.
    pub fn owns(&self, block: *const u8) -> bool {
        let span = self.directory.find(addr(block));
        // SAFETY: descriptors are readable for ever.
        unsafe { (*span).is_block(addr(block)) }
    }
}
