//! Checks of own frees, where they cost the fast path nothing.
//!
//! A free ends in the slow path when its span's countdown does; for a current span that moment is
//! free to choose. Each heap has its first [`THOROUGH`] frees (in a crowd [`BRIEF`]) of current spans checked, each of
//! them, and one in [`SAMPLE`] from then on: a double free in a test shows at once, one in a service
//! sooner or later (the idea of sampled detection is GWP-ASan's). Checked are: the pointer starts a
//! block; the block is not in the first [`DEPTH`] of the free list already; the links there point
//! into the span. Chains that come from other threads, and spans that become empty, are checked likewise
//! as long as the budget lasts.

use super::Heap;
use crate::addr::addr;
use crate::allocator::Allocator;
use crate::os::Os;
use crate::span::{Block, Place, Span};

/// Frees of current spans that a heap checks one by one.
const THOROUGH: u32 = 1024;
/// So many, where [`CROWD`] heaps live when it is made: the bugs of a thousand threads are mostly the same,
/// and each look at a list that no cache holds costs more than the free.
const BRIEF: u32 = 32;
const CROWD: u64 = 16;
/// One in so many is checked afterwards.
const SAMPLE: u32 = 8192;
/// Blocks of a list that a check looks at.
const DEPTH: usize = 64;
/// Blocks of a chain from other threads that a check looks at.
const CHAIN: usize = 16;

/// Frees that a heap checks one by one which is made when `heaps` others live.
pub(super) fn budget(heaps: u64) -> u32 {
    if heaps < CROWD { THOROUGH } else { BRIEF }
}

impl<O: Os> Allocator<O> {
    /// Own frees of a current span until the next check.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub(super) unsafe fn check_interval(&self, heap: *mut Heap) -> u32 {
        // SAFETY: the caller's heap.
        if unsafe { (*heap).checks } > 0 { 1 } else { SAMPLE }
    }

    /// Checks the block that was just pushed on its span's list. False: it was no good, was
    /// reported, and has been taken off the list again.
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span; the list is not empty.
    #[must_use]
    pub(super) unsafe fn check_free(&self, heap: *mut Heap, span: *mut Span) -> bool {
        // SAFETY: the caller's heap and span; only links that lie in the span are followed.
        unsafe {
            (*heap).checks = (*heap).checks.saturating_sub(1);
            let list = (*span).list;
            let block = *list;
            if !(*span).is_small_block(addr(block)) {
                *list = (*block).next;
                self.bad_pointer(b"free", addr(block));
                return false;
            }
            if self.is_in_hole(span, block)
                || self.is_listed(span, block, (*block).next, DEPTH)
                || self.is_elsewhere(heap, span, block)
            {
                // The second push wrote over the link to what came behind the block: that is lost,
                // and the list that it was in, a ring now or with this one as its end, ends with the block.
                *list = (*block).next;
                (*block).next = core::ptr::null_mut();
                self.double_free(addr(block));
                return false;
            }
            true
        }
    }

    /// Checks a chain of blocks that other threads freed, before it joins the span's list: none of its
    /// first blocks is there already, or twice in the chain. Counts against the heap's budget.
    ///
    /// # Safety
    /// As for [`check_free`](Self::check_free); the chain holds `count` blocks of the span.
    #[must_use]
    pub(super) unsafe fn check_chain(
        &self,
        heap: *mut Heap,
        span: *mut Span,
        head: *mut Block,
        count: usize,
    ) -> bool {
        // SAFETY: as above.
        unsafe {
            if (*heap).checks == 0 {
                return true;
            }
            let looked = count.min(CHAIN).min((*heap).checks as usize);
            (*heap).checks -= looked as u32;
            let mut block = head;
            for left in (1..=looked).rev() {
                let after = (*block).next;
                if self.is_in_hole(span, block)
                    || self.is_listed(span, block, after, left - 1)
                    || self.is_listed(span, block, *(*span).list, DEPTH)
                    || self.is_elsewhere(heap, span, block)
                {
                    self.double_free(addr(block));
                    return false;
                }
                block = after;
            }
            true
        }
    }

    /// True when `block` lies in a hole: it is free.
    #[inline]
    unsafe fn is_in_hole(&self, span: *mut Span, block: *mut Block) -> bool {
        // SAFETY: the caller's span.
        unsafe {
            let offset = addr(block).wrapping_sub((*span).start);
            (*span).holes() != 0
                && crate::class::block_at((*span).class as usize, offset)
                    .is_some_and(|index| (*span).is_hollow(index, self.os.page_size()))
        }
    }

    /// True when `block` is among the first of the list that frees of the span do not go to.
    unsafe fn is_elsewhere(&self, heap: *mut Heap, span: *mut Span, block: *mut Block) -> bool {
        // SAFETY: the caller's heap and span.
        unsafe {
            let own = (*span).list == &raw mut (*span).free;
            let other = match (*span).place() {
                Place::Current if own => (*heap).front.lists[(*span).class as usize],
                Place::Current => (*span).free,
                _ => return false,
            };
            self.is_listed(span, block, other, DEPTH)
        }
    }

    /// True when `block` is among the first `depth` blocks from `link` on.
    unsafe fn is_listed(&self, span: *mut Span, block: *mut Block, mut link: *mut Block, depth: usize) -> bool {
        for _ in 0..depth {
            // SAFETY: as above: only links that lie in the span are followed.
            unsafe {
                if link == block {
                    return true;
                }
                if link.is_null() || !self.in_span(span, link) {
                    return false;
                }
                link = (*link).next;
            }
        }
        false
    }

    /// Checks that the list of a span that is about to be released holds all of its blocks. Counts
    /// against the heap's budget.
    ///
    /// # Safety
    /// As for [`check_free`](Self::check_free); the span is not current.
    pub(super) unsafe fn check_empty(&self, heap: *mut Heap, span: *mut Span) -> bool {
        // SAFETY: as above.
        unsafe {
            // What lies in holes is in no list.
            let carved = (*span).carved() - (*span).hollow(self.os.page_size());
            if (*heap).checks < carved {
                return true;
            }
            (*heap).checks -= carved;
            let mut length = 0;
            let mut link = (*span).free;
            while !link.is_null() && length <= carved {
                if !self.in_span(span, link) {
                    self.broken(b"a free block was written to: its link leads out of the span", addr(link));
                    return false;
                }
                length += 1;
                link = (*link).next;
            }
            if length != carved {
                self.broken(b"a block was freed twice in the span", (*span).start);
            }
            length == carved
        }
    }

    unsafe fn in_span(&self, span: *mut Span, block: *mut Block) -> bool {
        // SAFETY: the caller's span.
        let (start, bytes) = unsafe { ((*span).start, (*span).bytes()) };
        addr(block).wrapping_sub(start) < bytes && addr(block).is_multiple_of(16)
    }
}
