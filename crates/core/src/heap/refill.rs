//! Where blocks come from when a heap's list is empty.

use super::{Heap, Role, Unsettled, pop};
use crate::addr::{addr, ptr};
use crate::allocator::Allocator;
use crate::class::{CLASSES, SLICE, has_many, size_of_class, slices_of_class};
use crate::os::Os;
use crate::page_heap::Purpose;
use crate::span::{Block, Kind, Place, Span};
use crate::sync::atomic::Ordering;
use core::ptr::null_mut;

/// Bytes of fresh blocks that one refill links: one page, so that memory is touched as it is used.
const EXTENT: usize = 4096;
/// Blocks of used memory that one refill links at least, as long as the span has so many.
const AHEAD: usize = 4;

impl<O: Os> Allocator<O> {
    /// A block of `class` when the heap's list has none; true beside it when it is known to read as
    /// zero but for its first word. Null: out of memory.
    ///
    /// Order: what other threads gave back, what was set aside, the rest of the current span, a span with free
    /// blocks, an orphan of the class, a new span.
    ///
    /// Not what was freed here and waits in a batch for its owner: it would be warm, but two threads
    /// would go on sharing the cache lines that their first owner's neighbours lie in (passive false
    /// sharing: `cache-scratch` took three times as long).
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    #[cold]
    pub unsafe fn refill(&self, heap: *mut Heap, class: usize) -> (*mut u8, bool) {
        // SAFETY: the caller's heap throughout.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            if (*heap).tenure.has_pending() {
                self.collect_pending(heap);
                self.look_at_extent(heap);
            }
            if (*heap).counting {
                (*heap).allocs[class] += 1;
            }
            let class = Heap::serving_class(heap, class);
            loop {
                let block = self.pop_any(heap, class);
                if !block.is_null() {
                    return (block.cast(), false);
                }
                let span = (*heap).current[class];
                if !span.is_null() && (*span).carved() < (*span).capacity {
                    return (self.carve(heap, span), (*span).dirty == 0);
                }
                if !span.is_null() && (*span).holes() != 0 {
                    self.fill(heap, span);
                    continue;
                }
                if !self.next_span(heap, class) {
                    return (null_mut(), false);
                }
            }
        }
    }

    /// Puts another span in the place of the class's current one, which has no block left (or there is
    /// none). False: out of memory.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the class's list is empty, nothing is set aside, and its current
    /// span, if any, spent.
    pub(super) unsafe fn next_span(&self, heap: *mut Heap, class: usize) -> bool {
        // SAFETY: the caller's heap throughout.
        unsafe {
            if !(*heap).current[class].is_null() {
                self.make_full(heap, class);
            }
            self.flush_one(heap);
            let mut span = self.pop_available(heap, class);
            if span.is_null() {
                self.flush_batches(heap);
                span = self.claim_class(heap, class);
            }
            if span.is_null() {
                span = self.new_span(heap, class);
            }
            if span.is_null() {
                return false;
            }
            // An available span's countdown and an orphan's say how many blocks are in use; a new one's is 0.
            self.make_current(heap, span, (*span).countdown());
            self.took_span(heap, class);
            true
        }
    }

    unsafe fn pop_any(&self, heap: *mut Heap, class: usize) -> *mut Block {
        // SAFETY: the caller's heap; while counting, the free blocks of the current span are in its
        // own list.
        unsafe {
            let span = (*heap).current[class];
            if !(*heap).counting || span.is_null() {
                let front = &raw mut (*heap).front;
                let block = pop(front, class);
                return if block.is_null() && Heap::take_aside(heap, class) { pop(front, class) } else { block };
            }
            let block = (*span).free;
            if !block.is_null() {
                (*span).free = (*block).next;
            }
            block
        }
    }

    /// Hands out the next block of the current span that nobody had, and links the rest of its page, or a few more, into
    /// the list, in address order.
    unsafe fn carve(&self, heap: *mut Heap, span: *mut Span) -> *mut u8 {
        // SAFETY: the current span of the caller's heap; its list is empty; `carved` to `carved +
        // count` lies in the span and nobody has seen it.
        unsafe {
            let size = (*span).block_size();
            let left = ((*span).capacity - (*span).carved()) as usize;
            // What was in use before is in memory already.
            let ahead = if (*span).dirty != 0 { AHEAD } else { 1 };
            let count = (EXTENT / size).max(ahead).min(left);
            let first = (*span).start + (*span).carved() as usize * size;
            (*span).set_carved((*span).carved() + count as u32);
            let mut next = null_mut();
            for index in (1..count).rev() {
                let block: *mut Block = ptr(first + index * size);
                Block::link(block, next);
                next = block;
            }
            Heap::list(heap, span, next);
            ptr(first)
        }
    }

    /// Fills a hole of the current span into the list, which is empty, or the span's own where the heap counts.
    pub(super) unsafe fn fill(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the current span of the caller's heap.
        unsafe {
            Heap::list(heap, span, self.fill_hole(span));
        }
    }

    /// An orphan with free blocks of the class, made the heap's own and in no list; or null.
    unsafe fn claim_class(&self, heap: *mut Heap, class: usize) -> *mut Span {
        // SAFETY: the caller's heap.
        unsafe {
            if (*heap).front.role == Role::User {
                // It ends with all it owns: other heaps' blocks must not be there.
                return null_mut();
            }
            let Some(mut node) = self.node((*heap).node as usize).lock(&self.os, self.os.thread()) else {
                return null_mut();
            };
            if node.pool.orphan_count == 0 {
                return null_mut();
            }
            let span = node.pool.claim_class(class, addr(heap));
            drop(node);
            if !span.is_null() {
                Heap::gained(heap, span);
            }
            span
        }
    }

    /// A fresh span of the class, the heap's own and in no list; or null.
    unsafe fn new_span(&self, heap: *mut Heap, class: usize) -> *mut Span {
        debug_assert!(class < CLASSES);
        // SAFETY: a span that the page heap just made is the caller's alone.
        unsafe {
            let spans = (*heap).spans[class];
            let slices = slices_of_class(class, spans as usize);
            let purpose = if has_many(spans as usize) { Purpose::Many } else { Purpose::Few };
            let span = self.alloc_span((*heap).node as usize, slices, 1, purpose, |span, zero| {
                (*span).kind = Kind::Small;
                (*span).set_place(Place::None);
                (*span).class = class as u8;
                (*span).capacity = (slices * SLICE / size_of_class(class)) as u32;
                (*span).set_carved(0);
                (*span).set_countdown(0);
                (*span).free = null_mut();
                (*span).list = &raw mut (*span).free;
                (*span).dirty = u32::from(!zero);
                (*span).set_holes(0);
                Span::set_looked(span, 0);
                (*span).stamp = 0;
                (*span).owner.store(addr(heap), Ordering::Release);
            });
            if !span.is_null() {
                (*heap).spans[class] = spans.saturating_add(1);
                Heap::gained(heap, span);
            }
            span
        }
    }
}
