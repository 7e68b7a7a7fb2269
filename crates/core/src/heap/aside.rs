//! Frees set aside: small blocks of a current span do not go back to the list that `malloc` pops from.
//!
//! Where they do, a program that allocates and frees in turn runs at the pace of one chain of loads: the address that
//! a free writes to comes out of the directory and the descriptor, and the next `malloc` of the class has to
//! wait for that write, even if it is another block's. That is 9 ns a pair, of which the instructions are 4. So
//! for blocks of at most [`LARGEST`] bytes own frees go to the span's own list, and a heap whose list is empty takes
//! that over as a whole: reuse is last in, first out by lists, not by blocks. (mimalloc and snmalloc keep
//! freed blocks apart for all sizes; the measurements are in docs/measurements.md, "Fast paths".)
//!
//! Larger blocks have short lists, which would be taken over all the time, and want to be used while they are in a
//! cache: they go to the heap's list. So do small blocks where that would hold one at most.
//!
//! So a current span's free blocks are in `lists[class]`, in its own `free`, or in both; which of them an own
//! free pushes on, `Span::list` says and nothing else asks.

use super::pop;
use super::{Heap, Unsettled};
use crate::class::{MIN_BLOCK, size_of_class};
use crate::span::{Block, Span};
use core::ptr::null_mut;

/// Bytes of the largest block whose frees are set aside.
const LARGEST: usize = 8 * MIN_BLOCK;

impl Heap {
    /// Says where own frees of the class's current span go, now that the heap's list is filled.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the span is current; the heap does not count.
    pub(super) unsafe fn aim(heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span; the links are those of its free blocks.
        unsafe {
            let class = (*span).class as usize;
            let list: *mut *mut Block = &raw mut (*heap).front.lists[class];
            let aside = size_of_class(class) <= LARGEST && !(*list).is_null() && !(**list).next.is_null();
            (*span).list = if aside { &raw mut (*span).free } else { list };
        }
    }

    /// Fills the list that the heap allocates from, which is empty, with `blocks` of its current span.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the span is current; the blocks are free and in no list.
    pub(super) unsafe fn list(heap: *mut Heap, span: *mut Span, blocks: *mut Block) {
        // SAFETY: the caller's heap and span.
        unsafe {
            if (*heap).counting {
                // The heap's list stays empty, so that every allocation comes to be counted.
                (*span).free = blocks;
            } else {
                (*heap).front.lists[(*span).class as usize] = blocks;
                Self::aim(heap, span);
            }
        }
    }

    /// A block of the class that was set aside, and the others become the heap's list, which is empty; null: there
    /// is none, or the heap counts or is in the middle of something. What `malloc` tries before its slow path.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the list is empty.
    #[inline]
    pub unsafe fn pop_aside(heap: *mut Heap, class: usize) -> *mut Block {
        // SAFETY: the caller's heap.
        unsafe {
            let ready = !(*heap).counting && (*heap).depth == 0;
            if ready && Self::take_aside(heap, class) { pop(&raw mut (*heap).front, class) } else { null_mut() }
        }
    }

    /// Fills the class's empty list with what was set aside. False: nothing was.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the list is empty; the heap does not count.
    #[inline]
    pub(super) unsafe fn take_aside(heap: *mut Heap, class: usize) -> bool {
        // SAFETY: the caller's heap and its current span.
        unsafe {
            let span = (*heap).current[class];
            if span.is_null() || (*span).free.is_null() {
                return false;
            }
            // A fork in between finds the blocks in both lists, and the heap unsettled.
            let _unsettled = Unsettled::enter(heap);
            (*heap).front.lists[class] = (*span).free;
            (*span).free = null_mut();
            Self::aim(heap, span);
            true
        }
    }

    /// True when the class's current span has a free block that was in use before, or is linked at least.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub(super) unsafe fn has_listed(heap: *mut Heap, class: usize) -> bool {
        // SAFETY: the caller's heap and its current span.
        unsafe {
            let span = (*heap).current[class];
            !(*heap).front.lists[class].is_null() || !span.is_null() && !(*span).free.is_null()
        }
    }

    /// Puts all free blocks of a current span into its own list. Walks the heap's.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the span is current.
    pub(super) unsafe fn unlist(heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let list: *mut *mut Block = &raw mut (*heap).front.lists[(*span).class as usize];
            let head = *list;
            if head.is_null() {
                return;
            }
            if !(*span).free.is_null() {
                let mut tail = head;
                while !(*tail).next.is_null() {
                    tail = (*tail).next;
                }
                (*tail).next = (*span).free;
            }
            (*span).free = head;
            *list = null_mut();
        }
    }
}
