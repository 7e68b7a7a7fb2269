//! Every block of a first-class heap that is in use.
//!
//! A span knows which blocks it ever handed out (`carved`) and which of them are free (its own list, the heap's
//! where it is current, or holes); the others are in use. Which is which is noted in a bitmap on the stack, for some blocks at a
//! time, before the first of them is shown; so the visitor may free what it is shown. Whatever others free meanwhile goes to
//! the span's remote list, which is not looked at here. A span that others empty meanwhile is retired, memory and all,
//! but only if none of its blocks is in its owner's list: so the list can be read again, and of a span without one only the
//! descriptor is, which stays until its token is processed, after the visit.
//!
//! Exact for what was allocated and freed before, as far as tokens have arrived: a free by another thread that is
//! under way may be seen or not.

use super::{Heap, Unsettled};
use crate::addr::addr;
use crate::allocator::Allocator;
use crate::class::{CLASSES, block_at};
use crate::os::Os;
use crate::span::{Block, Span};

/// Blocks of a span that are looked at in one go.
const WINDOW: usize = 1024;
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
                    let unsettled = Unsettled::enter(heap);
                    Heap::unlist(heap, current);
                    drop(unsettled);
                    if !self.visit_span(current, (*current).free, visitor) {
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
        // SAFETY: a span of a heap whose tenure the caller has. While a block of it is in the owner's list, nobody
        // retires it; without one, only its descriptor is read, here.
        unsafe {
            let (start, size) = ((*span).start, (*span).block_size());
            let (class, carved) = ((*span).class as usize, (*span).carved() as usize);
            for first in (0..carved).step_by(WINDOW) {
                let window = first..carved.min(first + WINDOW);
                let mut idle = [0u64; WINDOW / WORD];
                let mut link = free;
                for _ in 0..carved {
                    if link.is_null() {
                        break;
                    }
                    match block_at(class, addr(link).wrapping_sub(start)) {
                        Some(index) if window.contains(&index) => {
                            idle[(index - first) / WORD] |= 1 << ((index - first) % WORD);
                        }
                        Some(index) if index < carved => {}
                        _ => {
                            self.broken(
                                b"a free block was written to: its link leads out of the span",
                                addr(link),
                            );
                            break;
                        }
                    }
                    link = (*link).next;
                }
                for index in window {
                    let used = idle[(index - first) / WORD] & 1 << ((index - first) % WORD) == 0
                        && !(*span).is_hollow(index, self.os.page_size());
                    if used && !visitor(crate::addr::ptr(start + index * size), size) {
                        return false;
                    }
                }
            }
        }
        true
    }
}
