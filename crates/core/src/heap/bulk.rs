//! Many blocks of one size at once.
//!
//! What a refill links into the heap's list, one page at a time, a batch hands out without the list: what is in the
//! list leaves it by one store, and blocks that were never used go out by address alone, so that nothing of their
//! memory is touched.

use super::{Heap, Unsettled};
use crate::addr::ptr;
use crate::allocator::Allocator;
use crate::class::class;
use crate::os::Os;
use crate::span::{Block, Span};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Bytes of a batch up to which its blocks come as single ones do, from a coarser class while the heap has little
/// of theirs (`heap::young`): a span of its own would cost the heap more pages.
const SINGLE: usize = 2048;

impl<O: Os> Allocator<O> {
    /// Fills `out` with blocks of `size` bytes at `align` (a power of two, at least 16 B are kept); returns how
    /// many it filled, from the start. Fewer than asked for: out of memory.
    ///
    /// # Safety
    /// The caller has the tenure of `heap`, a usable heap.
    pub unsafe fn alloc_batch(
        &self,
        heap: *mut Heap,
        size: usize,
        align: usize,
        out: &mut [MaybeUninit<NonNull<u8>>],
    ) -> usize {
        // SAFETY: the caller's heap.
        unsafe {
            match class(size, align) {
                Some(class) if !(*heap).counting && out.len().saturating_mul(size) > SINGLE => {
                    self.alloc_many(heap, class, out)
                }
                _ => self.alloc_each(heap, size, align, out),
            }
        }
    }

    /// One after the other: few, large, or counted.
    unsafe fn alloc_each(
        &self,
        heap: *mut Heap,
        size: usize,
        align: usize,
        out: &mut [MaybeUninit<NonNull<u8>>],
    ) -> usize {
        for (done, place) in out.iter_mut().enumerate() {
            // SAFETY: the caller's heap.
            match NonNull::new(unsafe { self.alloc(heap, size, align) }) {
                Some(block) => place.write(block),
                None => return done,
            };
        }
        out.len()
    }

    unsafe fn alloc_many(&self, heap: *mut Heap, class: usize, out: &mut [MaybeUninit<NonNull<u8>>]) -> usize {
        let mut done = 0;
        // SAFETY: the caller's heap throughout.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            loop {
                done += self.take_listed(heap, class, &mut out[done..]);
                if done == out.len() {
                    return done;
                }
                // As before a refill: what others gave back comes before fresh memory.
                if (*heap).tenure.has_pending() {
                    self.collect_pending(heap);
                }
                if !(*heap).front.lists[class].is_null() || Heap::take_aside(heap, class) {
                    continue;
                }
                let current = (*heap).current[class];
                done += take_fresh(current, &mut out[done..]);
                if done == out.len() {
                    return done;
                }
                if !current.is_null() && (*current).holes() != 0 {
                    self.fill(heap, current);
                    continue;
                }
                if !self.next_span(heap, class) {
                    return done;
                }
            }
        }
    }

    /// Moves blocks from the class's list to `out`, as many as both have room for.
    unsafe fn take_listed(&self, heap: *mut Heap, class: usize, out: &mut [MaybeUninit<NonNull<u8>>]) -> usize {
        let mut done = 0;
        // SAFETY: a list of the caller's heap; its blocks are free memory of the current span.
        unsafe {
            let mut list: *mut Block = (*heap).front.lists[class];
            for place in out {
                let Some(block) = NonNull::new(list) else { break };
                place.write(block.cast());
                list = (*list).next;
                done += 1;
            }
            (*heap).front.lists[class] = list;
        }
        done
    }
}

/// Hands out untouched blocks of the current span, if there is one, in address order.
///
/// # Safety
/// The span is null or the current one of the caller's heap.
unsafe fn take_fresh(span: *mut Span, out: &mut [MaybeUninit<NonNull<u8>>]) -> usize {
    if span.is_null() {
        return 0;
    }
    // SAFETY: the caller's span; from `carved` on it is nobody's.
    unsafe {
        let (carved, size) = ((*span).carved(), (*span).block_size());
        let count = out.len().min(((*span).capacity - carved) as usize);
        let first = NonNull::new_unchecked(ptr::<u8>((*span).start + carved as usize * size));
        for (index, place) in out.iter_mut().take(count).enumerate() {
            place.write(first.add(index * size));
        }
        (*span).set_carved(carved + count as u32);
        count
    }
}
