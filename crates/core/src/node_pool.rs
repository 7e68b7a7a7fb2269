//! S1: what the threads of one NUMA node share: parked heaps and orphaned spans.
//!
//! Used under the node's lock, like the page heap beside it; makes no system call.

use crate::class::CLASSES;
use crate::crowd::Pocket;
use crate::heap::Heap;
use crate::page_heap::older;
use crate::span::{Block, OWNER_NONE, OWNER_ORPHAN, Place, Span, SpanList};
use crate::sync::atomic::Ordering;
use core::ptr::null_mut;

/// The shared store of one node. All zero when empty.
#[derive(Debug)]
pub struct NodePool {
    /// Heaps of threads that left, with what they held; the last to leave is adopted first.
    parked: *mut Heap,
    /// How many.
    pub parked_count: u64,
    /// Heaps without spans.
    vacant: *mut Heap,
    /// Pockets that no thread has.
    pockets: *mut Pocket,
    /// Orphaned spans with free blocks, by class.
    orphans: [SpanList; CLASSES],
    /// Orphaned spans without.
    full: SpanList,
    /// How many of both.
    pub orphan_count: u64,
    generation: u32,
}

impl NodePool {
    /// An empty pool: all zero.
    pub const fn new() -> Self {
        Self {
            parked: null_mut(),
            parked_count: 0,
            vacant: null_mut(),
            pockets: null_mut(),
            orphans: [SpanList::EMPTY; CLASSES],
            full: SpanList::EMPTY,
            orphan_count: 0,
            generation: 0,
        }
    }

    /// Files a heap that has left its thread at `now`, ms. `vacant`: it has no spans.
    ///
    /// # Safety
    /// The heap is in no pool.
    pub unsafe fn park(&mut self, heap: *mut Heap, vacant: bool, now: u32) {
        // SAFETY: the field is the pool's.
        unsafe { (*heap).parked_at = now.max(1) };
        let list = if vacant {
            &mut self.vacant
        } else {
            self.parked_count += 1;
            &mut self.parked
        };
        // SAFETY: `next_parked` belongs to the pool.
        unsafe { (*heap).next_parked = *list };
        *list = heap;
    }

    /// Files a heap that was taken out to be settled, behind all others: they are warmer.
    ///
    /// # Safety
    /// The heap is in no pool.
    pub unsafe fn park_settled(&mut self, heap: *mut Heap) {
        let mut link = &raw mut self.parked;
        // SAFETY: heaps of the pool; `next_parked` and `parked_at` belong to it.
        unsafe {
            while !(*link).is_null() {
                link = &raw mut (**link).next_parked;
            }
            (*heap).parked_at = 0;
            (*heap).next_parked = null_mut();
            *link = heap;
        }
        self.parked_count += 1;
    }

    /// Takes a heap with spans that was parked before `deadline` and not settled since, or null.
    #[must_use]
    pub fn unpark_stale(&mut self, deadline: u32) -> *mut Heap {
        let mut link = &raw mut self.parked;
        // SAFETY: heaps of the pool.
        unsafe {
            while !(*link).is_null() {
                let heap = *link;
                if (*heap).parked_at != 0 && older((*heap).parked_at, deadline) {
                    *link = (*heap).next_parked;
                    self.parked_count -= 1;
                    return heap;
                }
                link = &raw mut (*heap).next_parked;
            }
        }
        null_mut()
    }

    /// True when a parked heap has not been settled since it came.
    pub fn has_unsettled(&self) -> bool {
        let mut heap = self.parked;
        // SAFETY: heaps of the pool.
        unsafe {
            while !heap.is_null() && (*heap).parked_at == 0 {
                heap = (*heap).next_parked;
            }
        }
        !heap.is_null()
    }

    /// Takes a heap for a new thread: the last parked, else a vacant one, else null.
    #[must_use]
    pub fn unpark(&mut self) -> *mut Heap {
        let list = if self.parked.is_null() { &mut self.vacant } else { &mut self.parked };
        let heap = *list;
        if !heap.is_null() {
            // SAFETY: a heap of the pool.
            *list = unsafe { (*heap).next_parked };
            self.parked_count = self.parked_count.saturating_sub(1);
        }
        heap
    }

    /// Takes a vacant heap, or null.
    #[must_use]
    pub fn unpark_vacant(&mut self) -> *mut Heap {
        let heap = self.vacant;
        if !heap.is_null() {
            // SAFETY: a heap of the pool.
            self.vacant = unsafe { (*heap).next_parked };
        }
        heap
    }

    /// Takes a parked heap that has spans, or null; for trimming and dissolving.
    #[must_use]
    pub fn unpark_filled(&mut self) -> *mut Heap {
        let heap = self.parked;
        if !heap.is_null() {
            // SAFETY: a heap of the pool.
            self.parked = unsafe { (*heap).next_parked };
            self.parked_count -= 1;
        }
        heap
    }

    /// Takes a pocket that no thread has, or null.
    #[must_use]
    pub fn take_pocket(&mut self) -> *mut Pocket {
        let pocket = self.pockets;
        if !pocket.is_null() {
            // SAFETY: a pocket of the pool; `next` belongs to it.
            self.pockets = unsafe { (*pocket).next };
        }
        pocket
    }

    /// Files a pocket that its thread does not need any more.
    ///
    /// # Safety
    /// The pocket is in no pool, and no thread's.
    pub unsafe fn put_pocket(&mut self, pocket: *mut Pocket) {
        // SAFETY: the caller's pocket.
        unsafe { (*pocket).next = self.pockets };
        self.pockets = pocket;
    }

    /// In a fork's child, before all pockets are filed anew.
    pub fn forget_pockets(&mut self) {
        self.pockets = null_mut();
    }

    /// In a fork's child, when a thread was inside the lock: forgets the orphans, which are found again
    /// by frees of their blocks, and the parked heaps, whose lists may be torn with the pool's.
    pub fn begin_anew(&mut self, generation: u32) {
        *self = Self { generation, ..Self::new() };
    }

    /// In a fork's child: takes dead heaps out of the lists.
    pub fn drop_dead(&mut self) {
        for list in [&mut self.parked, &mut self.vacant] {
            let mut link: *mut *mut Heap = list;
            // SAFETY: heaps of the pool, alone in this process.
            unsafe {
                while !(*link).is_null() {
                    let heap = *link;
                    if (*heap).tenure.is_dead() {
                        *link = (*heap).next_parked;
                    } else {
                        link = &raw mut (*heap).next_parked;
                    }
                }
            }
        }
        let mut count = 0;
        let mut heap = self.parked;
        while !heap.is_null() {
            count += 1;
            // SAFETY: as above.
            heap = unsafe { (*heap).next_parked };
        }
        self.parked_count = count;
    }

    /// Makes a span an orphan. Its `countdown` says how many blocks are in use.
    ///
    /// # Safety
    /// The span is in no list and the caller has its owner's tenure.
    pub unsafe fn orphan(&mut self, span: *mut Span) {
        // SAFETY: the caller's span.
        unsafe {
            (*span).list = &raw mut (*span).free;
            let has_blocks = !(*span).free.is_null() || !(*span).is_spent();
            (*span).set_place(if has_blocks { Place::Orphan } else { Place::OrphanFull });
            (*span).generation = self.generation;
            self.list_of(span).push_back(span);
            // Release pairs with the lock's Acquire of whoever claims it.
            (*span).owner.store(OWNER_ORPHAN, Ordering::Release);
        }
        self.orphan_count += 1;
    }

    unsafe fn list_of(&mut self, span: *mut Span) -> &mut SpanList {
        // SAFETY: the caller's span.
        unsafe {
            if (*span).place() == Place::Orphan {
                &mut self.orphans[(*span).class as usize]
            } else {
                &mut self.full
            }
        }
    }

    /// Takes an orphan with free blocks of `class` and makes it `owner`'s, or returns null.
    #[must_use]
    pub fn claim_class(&mut self, class: usize, owner: usize) -> *mut Span {
        let span = self.orphans[class].first;
        if !span.is_null() {
            // SAFETY: an orphan of the pool.
            unsafe { self.remove(span, owner) };
        }
        span
    }

    /// Makes this span `owner`'s if it is an orphan still, and takes it out. Both under the lock: of
    /// two who claim it, the second finds it owned.
    ///
    /// # Safety
    /// A live descriptor of this node.
    #[must_use]
    pub unsafe fn claim(&mut self, span: *mut Span, owner: usize) -> bool {
        // SAFETY: the owner word of an orphan changes under the lock only.
        unsafe {
            let orphan = (*span).owner() == OWNER_ORPHAN;
            if orphan {
                self.remove(span, owner);
            }
            orphan
        }
    }

    /// Gives an orphan a chain of its blocks back, for a heap that must not own it. True: that was the
    /// last of its blocks in use, and the span, out of the pool now, is the caller's to release.
    ///
    /// # Safety
    /// The span is an orphan; the chain's blocks belong to it and to the caller.
    #[must_use]
    pub unsafe fn give_back(&mut self, span: *mut Span, head: *mut Block, tail: *mut Block, count: u32) -> bool {
        // SAFETY: the owner word of an orphan changes under the lock only, so it is the pool's.
        unsafe {
            Block::link(tail, (*span).free);
            (*span).free = head;
            (*span).set_countdown((*span).countdown() - count);
            if (*span).countdown() == 0 {
                self.remove(span, OWNER_NONE);
                return true;
            }
            if (*span).place() == Place::OrphanFull {
                self.list_of(span).remove(span);
                (*span).set_place(Place::Orphan);
                (*span).generation = self.generation;
                self.list_of(span).push_back(span);
            }
            false
        }
    }

    /// Takes out an orphan whose memory is gone.
    ///
    /// # Safety
    /// The span is an orphan and the caller took its token and found it retired.
    pub unsafe fn drop_retired(&mut self, span: *mut Span) {
        // SAFETY: as above.
        unsafe { self.remove(span, OWNER_NONE) };
    }

    unsafe fn remove(&mut self, span: *mut Span, owner: usize) {
        // SAFETY: an orphan of the pool.
        unsafe {
            // One of an earlier generation is an orphan in no list.
            if (*span).generation == self.generation {
                self.list_of(span).remove(span);
                self.orphan_count -= 1;
            }
            (*span).set_place(Place::None);
            // Release: whoever reads the new owner and delivers to it sees its heap initialised.
            (*span).owner.store(owner, Ordering::Release);
        }
    }
}

impl Default for NodePool {
    fn default() -> Self {
        Self::new()
    }
}
