//! How blocks get to a span that another heap owns.
//!
//! A chain of blocks (see `batch`) is pushed on the span's remote list with one exchange. Who pushes on
//! an empty list holds the span's token and delivers it to the owner (see [`crate::remote`]). A span
//! without owner becomes the freeing heap's.

use super::spans::chain_length;
use super::{Heap, Role, Unsettled};
use crate::addr::{addr, ptr};
use crate::allocator::Allocator;
use crate::os::Os;
use crate::remote::{Pushed, Taken};
use crate::span::{Block, Kind, OWNER_LARGE, OWNER_ORPHAN, Place, Span};

/// How far tokens are followed from one parked heap to the next before they are left to whoever
/// adopts it.
const FORWARD_DEPTH: u32 = 4;

impl<O: Os> Allocator<O> {
    /// Gives a chain of blocks to the span's owner, or frees it here when that is us by now.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the blocks are the span's and the caller's, linked from head to
    /// tail.
    pub(super) unsafe fn send(
        &self,
        heap: *mut Heap,
        span: *mut Span,
        head: *mut Block,
        tail: *mut Block,
        count: u32,
        depth: u32,
    ) {
        // SAFETY: the chain's blocks are in use as far as the span's owner knows, so the span lives.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            if (*span).owner() == OWNER_ORPHAN {
                if (*heap).front.role == Role::User {
                    if self.give_back(span, head, tail, count) {
                        return;
                    }
                } else {
                    self.claim(heap, span);
                }
            }
            if (*span).owner() == addr(heap) {
                return self.free_chain(heap, span, head, tail, count);
            }
            let small = (*span).kind == Kind::Small;
            // Read before the push: after it the span may be gone.
            let (owner, in_use) = ((*span).owner(), if small { (*span).in_use() } else { None });
            let capacity = if small { (*span).capacity as usize } else { usize::MAX };
            let mut pushed = (*span).remote.push(head, tail, count as usize, capacity, in_use, false);
            if pushed == Pushed::WouldRetire {
                pushed = self.push_last(span, head, tail, count as usize);
            }
            let token = match pushed {
                Pushed::Listed(token) | Pushed::Completed(token) => {
                    if token && small {
                        Span::set_remote_tail(span, tail);
                    }
                    token
                }
                Pushed::Retired(token) => token,
                Pushed::WouldRetire => false,
            };
            if token {
                self.deliver(heap, span, depth);
            }
            if let Pushed::Completed(_) = pushed {
                self.note_complete(owner);
            }
        }
    }

    /// Pushes a chain that may complete its span's remote list, and then gives the memory back, both under the node's
    /// lock. As soon as the list is retired, whoever has the token may give the descriptor up, and the page heap uses it
    /// for another run; until the directory has forgotten that, a range beside the span would be joined with that run,
    /// wherever it lies. Giving up takes the lock as well.
    ///
    /// Where the lock or a descriptor for the range cannot be had, the chain is listed, and its owner will find it.
    ///
    /// # Safety
    /// As for [`RemoteList::push`](crate::remote::RemoteList::push), of a small span.
    #[cold]
    unsafe fn push_last(&self, span: *mut Span, head: *mut Block, tail: *mut Block, count: usize) -> Pushed {
        // SAFETY: the caller's blocks keep the span alive until they are pushed; what is needed later is read before.
        unsafe {
            let (node, start, slices) = ((*span).node as usize, (*span).start, (*span).slices as usize);
            let stores = self.node(node).lock(&self.os, self.os.thread());
            let stores = stores.and_then(|stores| self.with_descriptors(node, stores));
            let ready = stores.as_ref().is_some_and(|stores| !stores.pages.needs_meta());
            let capacity = if ready { (*span).capacity as usize } else { usize::MAX };
            let pushed = (*span).remote.push(head, tail, count, capacity, None, true);
            if let (Pushed::Retired(_), Some(stores)) = (pushed, stores) {
                self.free_range(node, stores, start, slices);
            }
            pushed
        }
    }

    /// The list of an available span of `owner`'s is complete: where the owner does not look, the purge thread will.
    unsafe fn note_complete(&self, owner: usize) {
        // SAFETY: heaps are never unmapped.
        let news = owner > OWNER_LARGE && unsafe { (*ptr::<Heap>(owner)).tenure.note_complete() };
        if news && self.config.purge_thread() && self.os.is_threaded() {
            self.start_purger();
        }
    }

    /// Gives back the memory of the heap's available spans whose lists are complete, for an owner that does not look.
    ///
    /// # Safety
    /// `heap` is a heap of this allocator.
    #[cold]
    pub(crate) unsafe fn retire_complete(&self, heap: *mut Heap) {
        // SAFETY: the tokens are ours until they are delivered again; the pending link is read before.
        unsafe {
            let tenure = &(*heap).tenure;
            // A first-class heap looks into its available spans when it is visited; what a dead one has is lost.
            if (*heap).front.role == Role::User || tenure.is_dead() || !tenure.has_pending() {
                return;
            }
            let mut span = tenure.borrow_pending();
            while !span.is_null() {
                let next = Span::pending(span);
                // Not for sure, and without the lock.
                if (*span).in_use() == Some((*span).remote.len()) {
                    self.retire_listed(span);
                }
                if tenure.deliver(span) {
                    self.look_after(heap, 1);
                }
                span = next;
            }
        }
    }

    /// Gives back the memory of an available span if its list is complete, under the node's lock for the reason that
    /// [`push_last`](Self::push_last) gives.
    unsafe fn retire_listed(&self, span: *mut Span) {
        // SAFETY: the caller has the span's token, so the descriptor is live.
        unsafe {
            let (node, start, slices) = ((*span).node as usize, (*span).start, (*span).slices as usize);
            let stores = self.node(node).lock(&self.os, self.os.thread());
            if let Some(stores) = stores.and_then(|stores| self.with_descriptors(node, stores))
                && !stores.pages.needs_meta()
                && (*span).remote.retire(|| (*span).in_use())
            {
                self.free_range(node, stores, start, slices);
            }
        }
    }

    /// Gets a token to the span's owner.
    unsafe fn deliver(&self, heap: *mut Heap, span: *mut Span, depth: u32) {
        // SAFETY: we hold the token, so the descriptor is live.
        unsafe {
            loop {
                let owner = (*span).owner();
                if owner == OWNER_ORPHAN {
                    let user = (*heap).front.role == Role::User;
                    if !(if user { self.collect_orphan(span) } else { self.claim(heap, span) }) {
                        return;
                    }
                } else if owner == addr(heap) {
                    return self.collect(heap, span);
                } else {
                    let target: *mut Heap = ptr(owner);
                    if (*target).tenure.deliver(span) && depth < FORWARD_DEPTH {
                        self.look_after(target, depth + 1);
                    }
                    return;
                }
            }
        }
    }

    /// Processes the tokens of a parked heap, unless somebody else does.
    ///
    /// # Safety
    /// `target` is a heap of this allocator.
    unsafe fn look_after(&self, target: *mut Heap, depth: u32) {
        // SAFETY: between `try_enter` and `leave` the heap is ours.
        unsafe {
            if (*target).tenure.try_enter() {
                loop {
                    self.collect_pending_at(target, depth);
                    self.look_at_extent(target);
                    if (*target).tenure.leave() {
                        return;
                    }
                }
            }
        }
    }

    /// Frees a chain of blocks into an orphan, for a first-class heap: it ends with all it owns, so it
    /// claims nothing. False: the span is no orphan any more (or as for [`claim`](Self::claim)).
    unsafe fn give_back(&self, span: *mut Span, head: *mut Block, tail: *mut Block, count: u32) -> bool {
        // SAFETY: the span is live: the caller has blocks of it.
        unsafe {
            let node = self.node((*span).node as usize);
            let Some(mut node) = node.lock(&self.os, self.os.thread()) else { return false };
            if (*span).owner() != OWNER_ORPHAN {
                return false;
            }
            let empty = node.pool.give_back(span, head, tail, count);
            drop(node);
            if empty {
                self.free_span(span);
            }
            true
        }
    }

    /// Uses up the token of an orphan, for a first-class heap. True: the span is no orphan any more and
    /// the token is still the caller's.
    unsafe fn collect_orphan(&self, span: *mut Span) -> bool {
        // SAFETY: the span is live: the caller has its token. What the lock guards is whole.
        unsafe {
            let node = self.node((*span).node as usize);
            let Some(mut node) = node.lock(&self.os, self.os.thread()) else { return false };
            if (*span).owner() != OWNER_ORPHAN {
                return true;
            }
            let tail = Span::remote_tail(span);
            match (*span).remote.take() {
                Taken::Chain(head, count) => {
                    let empty = node.pool.give_back(span, head, tail, count as u32);
                    drop(node);
                    if empty {
                        self.free_span(span);
                    }
                }
                Taken::Retired => {
                    node.pool.drop_retired(span);
                    drop(node);
                    self.drop_retired(span);
                }
            }
            false
        }
    }

    /// Makes an orphan the heap's own; afterwards the span has an owner, whoever it is. False: this
    /// thread holds the node's lock already (a signal handler interrupted it), nothing was done.
    unsafe fn claim(&self, heap: *mut Heap, span: *mut Span) -> bool {
        // SAFETY: the span is live: the caller has blocks of it, or its token.
        unsafe {
            let node = self.node((*span).node as usize);
            let Some(mut node) = node.lock(&self.os, self.os.thread()) else { return false };
            let claimed = node.pool.claim(span, addr(heap));
            drop(node);
            if claimed {
                self.file_claimed(heap, span);
            }
            true
        }
    }

    /// Processes all tokens sent to the heap.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub unsafe fn collect_pending(&self, heap: *mut Heap) {
        // SAFETY: the contract.
        unsafe { self.collect_pending_at(heap, 0) };
    }

    unsafe fn collect_pending_at(&self, heap: *mut Heap, depth: u32) {
        // SAFETY: the caller's heap. The pending link is read before the token is used up.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            let mut span = (*heap).tenure.take_pending();
            while !span.is_null() {
                let next = Span::pending(span);
                self.deliver(heap, span, depth);
                span = next;
            }
        }
    }

    /// Uses up the token of a span that the heap owns: takes its remote list.
    unsafe fn collect(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller has the heap's tenure and the token.
        unsafe {
            // Read before the list is taken: then the next token's maker may write it.
            let tail = Span::remote_tail(span);
            match (*span).remote.take() {
                Taken::Chain(head, count) if (*span).kind == Kind::Large => {
                    debug_assert!(!head.is_null() && count == 1);
                    Heap::remove_large(heap, span);
                    self.free_span(span);
                }
                // A chain with a block that was freed twice is left alone for ever.
                Taken::Chain(head, count) if !self.check_chain(heap, span, head, count) => {}
                Taken::Chain(head, count) => {
                    self.free_chain(heap, span, head, tail, count as u32);
                }
                Taken::Retired => {
                    self.unfile(heap, span);
                    Heap::lost(heap, span);
                    self.drop_retired(span);
                }
            }
        }
    }

    /// Frees a chain of blocks of a span that the heap owns.
    unsafe fn free_chain(&self, heap: *mut Heap, span: *mut Span, head: *mut Block, tail: *mut Block, count: u32) {
        // SAFETY: the caller's heap, span and blocks.
        unsafe {
            let list = (*span).list;
            debug_assert!(chain_length(head, count) == count);
            Block::link(tail, *list);
            *list = head;
            match (*span).place() {
                Place::Current if (*span).countdown() > count && !Self::is_tracked(span) => {
                    (*span).set_countdown((*span).countdown() - count)
                }
                Place::Current => self.rearm(heap, span),
                Place::Full => {
                    (*heap).full.remove(span);
                    self.file(heap, span, (*span).capacity - count);
                }
                _ => {
                    let left = (*span).countdown() - count;
                    (*span).set_countdown(left);
                    if left == 0 {
                        self.unfile(heap, span);
                        self.retire_or_use(heap, span);
                    }
                }
            }
        }
    }
}
