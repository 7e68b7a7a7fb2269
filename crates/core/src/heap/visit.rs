//! Every block of a first-class heap that is in use.
//!
//! A span knows which blocks it ever handed out (`carved`) and which of them are free (its own list, or the heap's
//! where it is current); the others are in use. Which is which is noted in a bitmap on the stack before the first
//! block of the span is shown, so that the visitor may free what it is shown: whatever others free meanwhile goes to
//! the span's remote list, which is not looked at here, and nothing of the span's memory is read again. A span that
//! others empty meanwhile may be retired, memory and all; its descriptor stays until its token is processed, which
//! waits for the visit's end.
//!
//! Exact for what was allocated and freed before, as far as tokens have arrived: a free by another thread that is
//! under way may be seen or not.

use super::Heap;
use crate::addr::addr;
use crate::allocator::Allocator;
use crate::class::{CLASSES, MIN_BLOCK, SLICE, block_at};
use crate::os::Os;
use crate::span::{Block, Span};

/// Most blocks in a span.
const MOST: usize = SLICE / MIN_BLOCK;
const WORD: usize = u64::BITS as usize;

/// Leaves a heap's tenure, also when the visitor unwinds.
struct Inside<'a, O: Os> {
    allocator: &'a Allocator<O>,
    heap: *mut Heap,
}

impl<O: Os> Drop for Inside<'_, O> {
    fn drop(&mut self) {
        // SAFETY: entered by `visit_heap`, whose caller promised a heap that is parked between uses.
        unsafe { self.allocator.leave(self.heap) };
    }
}

/// What the visitor is called with: a block in use and its usable bytes. False ends the visit.
pub type Visitor<'a> = dyn FnMut(*mut u8, usize) -> bool + 'a;

impl<O: Os> Allocator<O> {
    /// Shows every block of a first-class heap that is in use, each once, in no order. `Some(true)`: all were
    /// shown; `Some(false)`: the visitor ended the visit; `None`: the heap is buried (see
    /// [`with_tenure`](Self::with_tenure)).
    ///
    /// The heap's tenure is held meanwhile: other threads that allocate from the heap wait, and a visitor that
    /// enters it waits for ever. Frees by other ways go through, also the visitor's own of any block. Cost: a step
    /// for each block ever handed out of the heap's spans, and for each free one.
    ///
    /// # Safety
    /// As for [`with_tenure`](Self::with_tenure).
    pub unsafe fn visit_heap(&self, heap: *mut Heap, visitor: &mut Visitor<'_>) -> Option<bool> {
        // SAFETY: the caller's heap; ours from the first call on, which leaves the work to `Inside`.
        unsafe {
            if !self.enter(heap) {
                return None;
            }
            let _inside = Inside { allocator: self, heap };
            self.collect_pending(heap);
            Some(self.visit_spans(heap, visitor))
        }
    }

    unsafe fn visit_spans(&self, heap: *mut Heap, visitor: &mut Visitor<'_>) -> bool {
        // SAFETY: the caller has the heap's tenure, so its lists of spans stay as they are: what the visitor does
        // reaches them by tokens only, which wait.
        unsafe {
            for class in 0..CLASSES {
                let current = (*heap).current[class];
                if !current.is_null() {
                    let free = if (*heap).counting { (*current).free } else { (*heap).lists[class] };
                    if !self.visit_span(current, free, visitor) {
                        return false;
                    }
                }
                let mut span = (*heap).available[class].first;
                while !span.is_null() {
                    let next = (*span).next;
                    if !self.visit_span(span, (*span).free, visitor) {
                        return false;
                    }
                    span = next;
                }
            }
            let mut span = (*heap).full.first;
            while !span.is_null() {
                let next = (*span).next;
                if !self.visit_span(span, core::ptr::null_mut(), visitor) {
                    return false;
                }
                span = next;
            }
            let mut span = (*heap).larges.first;
            while !span.is_null() {
                // Read before the visitor frees the block.
                let (next, start, size) = ((*span).next, (*span).start, (*span).size);
                // What another thread freed has a token on its way.
                if (*span).remote.is_empty() && !visitor(crate::addr::ptr(start), size) {
                    return false;
                }
                span = next;
            }
        }
        true
    }

    /// Shows the blocks of a small span that are in use; `free`: the list of the others.
    unsafe fn visit_span(&self, span: *mut Span, free: *mut Block, visitor: &mut Visitor<'_>) -> bool {
        let mut idle = [0u64; MOST / WORD];
        // SAFETY: a span of a heap whose tenure the caller has. While a block of it is in the owner's list, nobody
        // retires it; afterwards only its descriptor is read, once.
        unsafe {
            let (start, size) = ((*span).start, (*span).block_size as usize);
            let (class, carved) = ((*span).class as usize, ((*span).carved() as usize).min(MOST));
            let mut link = free;
            for _ in 0..carved {
                if link.is_null() {
                    break;
                }
                match block_at(class, addr(link).wrapping_sub(start)) {
                    Some(index) if index < carved => idle[index / WORD] |= 1 << (index % WORD),
                    _ => {
                        self.broken(b"a free block was written to: its link leads out of the span", addr(link));
                        break;
                    }
                }
                link = (*link).next;
            }
            for index in 0..carved {
                let used = idle[index / WORD] & 1 << (index % WORD) == 0;
                if used && !visitor(crate::addr::ptr(start + index * size), size) {
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::capacity_of_class;

    #[test]
    fn the_bitmap_holds_every_span() {
        assert!((0..CLASSES).all(|class| capacity_of_class(class) <= MOST));
    }
}
