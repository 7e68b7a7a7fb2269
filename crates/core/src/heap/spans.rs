//! The moves of a heap's small spans: current, full, available, released, orphaned.

use super::{Heap, Unsettled};
use crate::addr::addr;
use crate::allocator::Allocator;
use crate::class::CLASSES;
use crate::os::Os;
use crate::span::{Block, Kind, Place, Span};
use core::ptr::null_mut;

impl<O: Os> Allocator<O> {
    /// Makes a span that is in no list the one its class allocates from. `used`: its blocks in use.
    ///
    /// # Safety
    /// The caller has the heap's tenure and the heap owns the span; the class has no current span
    /// and its list is empty.
    pub(super) unsafe fn make_current(&self, heap: *mut Heap, span: *mut Span, used: u32) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let class = (*span).class as usize;
            (*span).set_place(Place::Current);
            (*span).stamp = 0;
            Span::set_looked(span, 0);
            (*span).set_countdown(self.first_countdown(heap, span, used));
            if (*heap).counting {
                // The heap's list stays empty, so that every allocation comes to be counted.
                (*span).list = &raw mut (*span).free;
            } else {
                (*heap).front.lists[class] = (*span).free;
                (*span).free = null_mut();
                Heap::aim(heap, span);
            }
            (*heap).current[class] = span;
        }
    }

    /// From here on every allocation of the heap is counted: its lists are emptied into their spans,
    /// so that each comes by the slow path.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub unsafe fn start_counting(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            if (*heap).counting {
                return;
            }
            (*heap).counting = true;
            for class in 0..CLASSES {
                let span = (*heap).current[class];
                if !span.is_null() {
                    Heap::unlist(heap, span);
                    (*span).list = &raw mut (*span).free;
                }
            }
        }
    }

    /// Puts the current span of `class`, all of whose blocks are in use, with the full ones.
    ///
    /// # Safety
    /// As for [`make_current`](Self::make_current); there is a current span, spent, and neither list has a
    /// block of it.
    pub(super) unsafe fn make_full(&self, heap: *mut Heap, class: usize) {
        // SAFETY: the caller's heap.
        unsafe {
            let span = (*heap).current[class];
            self.unkeep(heap, span);
            (*heap).current[class] = null_mut();
            (*span).set_place(Place::Full);
            (*span).list = &raw mut (*span).free;
            (*span).free = null_mut();
            (*span).set_countdown(1);
            (*heap).full.push_front(span);
        }
    }

    /// Files a span that is in no list under what it has: released when no block is in use, else
    /// available, else full. `used`: blocks in use.
    ///
    /// # Safety
    /// The caller has the heap's tenure, the heap owns the span, `free` holds its free blocks.
    pub(super) unsafe fn file(&self, heap: *mut Heap, span: *mut Span, used: u32) {
        // SAFETY: the caller's heap and span.
        unsafe {
            (*span).list = &raw mut (*span).free;
            if used == 0 {
                let class = (*span).class as usize;
                (*heap).spans[class] = (*heap).spans[class].saturating_sub(1);
                Heap::lost(heap, span);
                self.release(span);
            } else if (*span).free.is_null() && (*span).is_spent() {
                (*span).set_place(Place::Full);
                (*span).set_countdown(1);
                (*heap).full.push_front(span);
            } else {
                // In this order: from then on others may retire it.
                (*span).set_countdown(used);
                (*span).set_place(Place::Available);
                (*heap).available[(*span).class as usize].push_back(span);
            }
        }
    }

    /// The first available span of `class`, in no list any more, or null. Those that others retired leave the list too; their
    /// tokens do the rest.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub(super) unsafe fn pop_available(&self, heap: *mut Heap, class: usize) -> *mut Span {
        loop {
            // SAFETY: the caller's heap.
            unsafe {
                let span = (*heap).available[class].pop_front();
                if span.is_null() || (*span).withdraw() {
                    return span;
                }
            }
        }
    }

    /// Takes a span out of whichever of the heap's lists it is in.
    ///
    /// # Safety
    /// The caller has the heap's tenure and the heap owns the span.
    pub(super) unsafe fn unfile(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let class = (*span).class as usize;
            match (*span).place() {
                Place::Current => {
                    self.unkeep(heap, span);
                    Heap::unlist(heap, span);
                    (*heap).current[class] = null_mut();
                }
                Place::Full => (*heap).full.remove(span),
                Place::Available => (*heap).available[class].remove(span),
                Place::None | Place::Orphan | Place::OrphanFull => {}
            }
            (*span).set_place(Place::None);
        }
    }

    /// Blocks in use of a current span: what was carved less what is free. Walks the lists.
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span.
    pub(crate) unsafe fn used_of_current(&self, heap: *mut Heap, span: *mut Span) -> u32 {
        // SAFETY: the caller's heap and span.
        unsafe {
            let carved = (*span).carved() - (*span).hollow(self.os.page_size());
            let listed = chain_length((*heap).front.lists[(*span).class as usize], carved);
            carved - listed - chain_length((*span).free, carved - listed)
        }
    }

    /// An own free brought a span's countdown to zero.
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span.
    pub unsafe fn free_event(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            let moved = (*span).place() != Place::Current;
            match (*span).place() {
                Place::Current => {
                    // A bad free is off the list again.
                    let _ = self.check_free(heap, span);
                    self.rearm(heap, span);
                }
                Place::Full => {
                    if self.check_free(heap, span) {
                        (*heap).full.remove(span);
                        match (*span).capacity - 1 {
                            0 => self.retire_or_use(heap, span),
                            used => self.file(heap, span, used),
                        }
                    } else {
                        (*span).set_countdown(1);
                    }
                }
                Place::Available => {
                    (*heap).available[(*span).class as usize].remove(span);
                    if self.check_empty(heap, span) {
                        self.retire_or_use(heap, span);
                    }
                    // Else the span is left alone for ever: who knows which of its blocks are in use.
                }
                // A large block of a first-class heap.
                Place::None if (*span).kind == Kind::Large => {
                    Heap::remove_large(heap, span);
                    self.free_span(span);
                }
                Place::None | Place::Orphan | Place::OrphanFull => {
                    self.broken(
                        b"the free of a block in a span that is in no list",
                        addr((*span).start as *const u8),
                    );
                }
            }
            if (*heap).tenure.has_pending() {
                self.collect_pending(heap);
            }
            if moved {
                self.moved_span(heap);
                self.look_at_extent(heap);
            }
        }
    }

    /// An available span, or a full one of one block, has become empty. Where the current span of the class has no free
    /// block at hand, the two change places, so that memory in use is used again before fresh pages are.
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span; the span is in no list.
    pub(super) unsafe fn retire_or_use(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let class = (*span).class as usize;
            let current = (*heap).current[class];
            if !current.is_null() && !Heap::has_listed(heap, class) && !(*heap).counting {
                self.unfile(heap, current);
                self.file(heap, current, (*current).carved() - (*current).hollow(self.os.page_size()));
                self.make_current(heap, span, 0);
                self.rearm(heap, span);
            } else {
                self.file(heap, span, 0);
            }
        }
    }

    /// Gives an empty span back to the page heap.
    ///
    /// # Safety
    /// The span is in no list, owned by a heap of the caller's, and no block of it is in use.
    pub(super) unsafe fn release(&self, span: *mut Span) {
        // SAFETY: the caller's span.
        unsafe { self.free_span(span) };
    }

    /// Gives back what a heap does not use: current spans without a block in use. With `dissolve`,
    /// everything else becomes orphaned and the heap is left without spans.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub unsafe fn settle(&self, heap: *mut Heap, dissolve: bool) {
        // SAFETY: the caller's heap.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            self.flush_batches(heap);
            self.collect_pending(heap);
            for class in 0..CLASSES {
                let span = (*heap).current[class];
                if !span.is_null() {
                    let used = self.used_of_current(heap, span);
                    if used == 0 || dissolve {
                        self.unfile(heap, span);
                        self.file(heap, span, used);
                    }
                }
            }
            if dissolve {
                self.disown_all(heap);
                Heap::begin_young(heap);
            }
        }
    }

    /// Makes orphans of all spans of a heap without current ones.
    unsafe fn disown_all(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap; an orphan's countdown says what is in use.
        unsafe {
            for class in 0..CLASSES {
                loop {
                    let span = self.pop_available(heap, class);
                    if span.is_null() {
                        break;
                    }
                    self.disown(heap, span);
                }
            }
            while !(*heap).full.first.is_null() {
                let span = (*heap).full.pop_front();
                (*span).set_place(Place::None);
                (*span).set_countdown((*span).capacity);
                self.disown(heap, span);
            }
        }
    }

    unsafe fn disown(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: a span of the caller's heap, in no list.
        unsafe {
            Heap::lost(heap, span);
            if let Some(mut node) = self.node((*span).node as usize).lock(&self.os, self.os.thread()) {
                node.pool.orphan(span);
            }
        }
    }

    /// Files a span that the heap claimed.
    ///
    /// # Safety
    /// The caller has the heap's tenure and just claimed the span.
    pub(super) unsafe fn file_claimed(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span; an orphan's countdown says what is in use.
        unsafe {
            Heap::gained(heap, span);
            self.file(heap, span, (*span).countdown());
        }
    }

    /// Releases everything that a first-class heap holds, blocks in use included.
    ///
    /// # Safety
    /// The caller has the heap's tenure; no block of the heap is used any more.
    pub unsafe fn release_all(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap. Tokens of its spans, if any, are in its own pending stack:
        // taken first, so that none refers to what is released.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            self.flush_batches(heap);
            self.collect_pending(heap);
            for class in 0..CLASSES {
                let span = (*heap).current[class];
                if !span.is_null() {
                    self.unfile(heap, span);
                    self.discard(span);
                }
                while !(*heap).available[class].first.is_null() {
                    self.discard((*heap).available[class].pop_front());
                }
            }
            while !(*heap).full.first.is_null() {
                self.discard((*heap).full.pop_front());
            }
            while !(*heap).larges.first.is_null() {
                self.discard((*heap).larges.pop_front());
            }
            Heap::begin_young(heap);
        }
    }

    unsafe fn discard(&self, span: *mut Span) {
        // SAFETY: a span of the caller's that nobody refers to.
        unsafe {
            debug_assert!(matches!((*span).kind, Kind::Small | Kind::Large));
            self.free_span(span);
        }
    }
}

/// Blocks in a chain, at most `limit`.
///
/// # Safety
/// The chain's blocks are free memory of the caller's.
pub(super) unsafe fn chain_length(mut block: *mut Block, limit: u32) -> u32 {
    let mut length = 0;
    while !block.is_null() && length < limit {
        length += 1;
        // SAFETY: the caller's blocks.
        block = unsafe { (*block).next };
    }
    length
}
