//! What other threads write: a span's remote list, a heap's pending stack, a heap's tenure.
//!
//! # The remote list
//! One word a span: the list's head in the low 48 bits, its length in the high 16. Anyone pushes
//! (a chain at a time); whoever holds the span's *token* takes.
//!
//! # The token
//! The push that finds the list empty creates the span's token and must deliver it to the span's
//! owner. While the token is on its way or pending, the list is not empty, so the owner counts its
//! blocks as in use and cannot release the span: a token never refers to a released descriptor.
//! The owner never looks at a remote list without having received the token.
//!
//! # Retirement
//! A push that would bring the length to the span's capacity knows that no other block is in
//! anyone's hands and none in the owner's lists. It puts `RETIRED` in the word instead of the
//! list, and then the memory (not the descriptor) is its to release: so what a sleeping owner's
//! blocks occupied goes back without it. Whoever takes the token finds `RETIRED` and forgets the
//! span. Both happen in the one exchange: until it succeeds, the pusher's own blocks keep the span
//! alive; after it, the pusher must not look at the descriptor, unless it holds the token. The node's lock is held from
//! before the exchange until the directory has forgotten the descriptor: the token's holder gives it up under that lock.
//!
//! # Complete lists
//! Of an *available* span some blocks are free, in its own list, and the list of the others is *complete* when it is as
//! long as the owner's count of blocks in use says. Then nobody has a block of it either. An owner that is awake takes such
//! a list and has the span again, which costs less than to have a new one. For one that sleeps, whoever has the token
//! retires the list ([`retire`](RemoteList::retire)): the owner does not look into the memory of an available span, and
//! counts after it wrote there. That the owner leaves it at that is not in the word; so there is put a
//! *mark* first, by an exchange, and then place and count are looked at. Whatever else happens to the word wipes the
//! mark away, and so does an owner that wants to use the span, after it has changed the place
//! ([`unmark`](RemoteList::unmark)): the exchange that is to retire the span finds the mark, or all begins anew. If
//! the owner's exchange comes first, that of the mark reads from it, and the new place is seen. (A mark whose maker is gone,
//! in a fork's child, says nothing to others.)
//!
//! # Tenure
//! A heap's lists belong to one thread at a time: its owner (`OWNED`), or, while it is parked,
//! whoever made `PARKED` into `BUSY`. A token delivered to a parked heap is processed by its
//! deliverer. Delivery (push, then look at the tenure) and release (set `PARKED`, then look at the
//! pending stack) are sequentially consistent in both steps, so at least one of the two sides sees the other. (loom
//! takes such accesses for weaker ones, but knows fences: under it there is one between the steps. A fence for all
//! costs x86-64 as much again as the exchange before it, which is one already.)

use crate::addr::{addr, ptr};
use crate::span::{Block, Span};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

const COUNT_SHIFT: u32 = 48;
/// Blocks are aligned to 16 B: the bits below are free.
const POINTER: usize = (1 << COUNT_SHIFT) - 16;
/// The whole word of a list that is retired.
const RETIRED: usize = 1;
/// The bit of who is about to retire a complete list.
const MARK: usize = 2;

/// A span's list of blocks freed by threads that do not own it.
#[derive(Debug)]
#[repr(transparent)]
pub struct RemoteList(AtomicUsize);

/// What [`RemoteList::push`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// The blocks are in the list. True: it was empty and the caller now holds the span's token.
    Listed(bool),
    /// The same, and the list is complete, as far as could be seen.
    Completed(bool),
    /// The list was complete and is retired: the span's memory is the caller's to release. True:
    /// the caller holds the token too.
    Retired(bool),
    /// Nothing was pushed: the push would complete the list, and the caller did not say that it is
    /// ready for that.
    WouldRetire,
}

/// What [`RemoteList::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// A chain of so many blocks, at least one.
    Chain(*mut Block, usize),
    /// The span's memory is gone; the descriptor is the taker's to release.
    Retired,
}

impl RemoteList {
    /// An empty list.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// An empty list.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Pushes the chain `head..=tail` of `count` blocks on the list of a span of `capacity` blocks
    /// (`usize::MAX`: one that is never retired), of which `in_use` are in use, if it is available. `ready`: the caller can
    /// release the span's memory.
    ///
    /// # Safety
    /// The blocks belong to this list's span and to the caller, and are linked from head to tail.
    pub unsafe fn push(
        &self,
        head: *mut Block,
        tail: *mut Block,
        count: usize,
        capacity: usize,
        in_use: Option<usize>,
        ready: bool,
    ) -> Pushed {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let total = (word >> COUNT_SHIFT) + count;
            let retires = total == capacity;
            if retires && !ready {
                return Pushed::WouldRetire;
            }
            let new = if retires {
                RETIRED
            } else {
                // SAFETY: the tail is the caller's until the exchange below succeeds.
                unsafe { Block::link(tail, ptr(word & POINTER)) };
                addr(head) | total << COUNT_SHIFT
            };
            // Release: the links, and all that this thread did with the blocks, are visible to the
            // taker, whose Acquire this pairs with. Acquire: who retires sees what all earlier
            // pushers did with their blocks.
            match self.0.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if retires => return Pushed::Retired(word & !MARK == 0),
                Ok(_) if in_use == Some(total) => return Pushed::Completed(word & !MARK == 0),
                Ok(_) => return Pushed::Listed(word & !MARK == 0),
                Err(now) => word = now,
            }
        }
    }

    /// Takes the whole list. Only the holder of the span's token calls this.
    pub fn take(&self) -> Taken {
        // Acquire pairs with the Release of `push`. Release pairs with the Acquire of the push that finds
        // the list empty: the next token's holder writes the pending link after we have read it.
        match self.0.swap(0, Ordering::AcqRel) {
            RETIRED => Taken::Retired,
            word => Taken::Chain(ptr(word & POINTER), word >> COUNT_SHIFT),
        }
    }

    /// Retires a complete list. True: the span's memory is the caller's to release, as after a push. `in_use`: the span's
    /// blocks in use, if it is available, each time anew.
    ///
    /// Only who has the span's token calls this, and keeps it for the owner.
    #[must_use]
    pub fn retire(&self, in_use: impl Fn() -> Option<usize>) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        // The word has our mark. One that it had before may be another's.
        let mut marked = false;
        while in_use() == Some(word >> COUNT_SHIFT) {
            let new = if marked { RETIRED } else { word | MARK };
            // Acquire pairs with the Release of `unmark`: place and count are looked at again after it; and with that of `push`: who
            // retires sees what all pushers did with their blocks.
            match self.0.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if marked => return true,
                Ok(_) => (word, marked) = (new, true),
                Err(now) => (word, marked) = (now, false),
            }
        }
        false
    }

    /// The span is available no longer, which its owner has written: nobody retires it from here on for being that. False:
    /// somebody has.
    #[must_use]
    pub fn unmark(&self) -> bool {
        // Release: who makes a mark after this sees that the span is not available. Acquire: the owner's use of the memory
        // comes after it. Of the word before, x86-64 gives only a flag; what it is afterwards says as much: who was first
        // has retired the span, and later nobody can.
        self.0.fetch_and(!MARK, Ordering::AcqRel);
        self.0.load(Ordering::Relaxed) != RETIRED
    }

    /// Blocks in the list now; a reading for statistics.
    pub fn len(&self) -> usize {
        self.0.load(Ordering::Relaxed) >> COUNT_SHIFT
    }

    /// True when nothing is in the list now.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) & !MARK == 0
    }
}

impl Default for RemoteList {
    fn default() -> Self {
        Self::new()
    }
}

/// See the module's last paragraph.
#[inline(always)]
fn between_steps() {
    #[cfg(loom)]
    crate::sync::atomic::fence(Ordering::SeqCst);
}

/// `Tenure::lists`: no complete list is known of.
const INCOMPLETE: u32 = 0;
/// Some list was completed.
const COMPLETE: u32 = 1;
/// And `Tenure::sleeps` was asked since.
const WAITING: u32 = 2;

const OWNED: u32 = 0;
const PARKED: u32 = 1;
const BUSY: u32 = 2;
const DEAD: u32 = 3;

/// Who may touch a heap's lists, and the tokens on their way to it.
#[derive(Debug)]
pub struct Tenure {
    state: AtomicU32,
    /// Times that the pending tokens were taken, wrapping. Only who has the tenure counts.
    taken: AtomicU32,
    /// `taken` when [`sleeps`](Tenure::sleeps) was asked last.
    seen: AtomicU32,
    /// What is known of complete lists of its spans: `INCOMPLETE`, `COMPLETE` or `WAITING`.
    lists: AtomicU32,
    /// Spans whose tokens were delivered here, linked by `Span::pending`.
    pending: AtomicPtr<Span>,
}

macro_rules! owned {
    () => {
        Tenure {
            state: AtomicU32::new(OWNED),
            taken: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            lists: AtomicU32::new(INCOMPLETE),
            pending: AtomicPtr::new(core::ptr::null_mut()),
        }
    };
}

impl Tenure {
    /// The tenure of a heap that its creator owns. All zero.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        owned!()
    }

    /// The tenure of a heap that its creator owns.
    #[cfg(loom)]
    pub fn new() -> Self {
        owned!()
    }

    /// Delivers a span's token. True: the heap is parked and nobody looks after it, so the caller
    /// tries [`try_enter`](Tenure::try_enter) and processes the pending stack.
    ///
    /// # Safety
    /// The caller holds the span's token.
    #[must_use]
    pub unsafe fn deliver(&self, span: *mut Span) -> bool {
        let mut head = self.pending.load(Ordering::Relaxed);
        loop {
            // SAFETY: the token's holder alone writes the span's pending link.
            unsafe { Span::set_pending(span, head) };
            // Release pairs with the Acquire in `take_pending`; of the module's two steps, the first.
            match self.pending.compare_exchange_weak(head, span, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        between_steps();
        self.state.load(Ordering::SeqCst) == PARKED
    }

    /// True when tokens wait; one load.
    #[inline(always)]
    pub fn has_pending(&self) -> bool {
        !self.pending.load(Ordering::Relaxed).is_null()
    }

    /// Takes all delivered tokens, as a chain of spans linked by `Span::pending`, which must be
    /// read before the span's list is taken. Only who has the heap's tenure calls this.
    #[must_use]
    pub fn take_pending(&self) -> *mut Span {
        self.taken.store(self.taken.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.borrow_pending()
    }

    /// As [`take_pending`](Tenure::take_pending), for who does not have the tenure: the tokens are on their way again, and
    /// to be delivered anew.
    #[must_use]
    pub fn borrow_pending(&self) -> *mut Span {
        // Acquire pairs with the Release in `deliver`.
        self.pending.swap(core::ptr::null_mut(), Ordering::Acquire)
    }

    /// The list of one of the heap's spans is complete. True: that was not known of any.
    #[must_use]
    pub fn note_complete(&self) -> bool {
        let news = self.lists.load(Ordering::Relaxed) == INCOMPLETE;
        if news {
            self.lists.store(COMPLETE, Ordering::Relaxed);
        }
        news
    }

    /// True while complete lists may be waiting for the owner, or for [`sleeps`](Tenure::sleeps).
    pub fn has_complete(&self) -> bool {
        self.lists.load(Ordering::Relaxed) != INCOMPLETE
    }

    /// To be asked by one thread now and then. True when there are complete lists and nobody has taken the tokens since it
    /// was asked last: then the caller sees to the lists that are complete by now.
    #[must_use]
    pub fn sleeps(&self) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        let same = self.seen.load(Ordering::Relaxed) == taken;
        match self.lists.load(Ordering::Relaxed) {
            INCOMPLETE => false,
            WAITING if same => {
                self.lists.store(INCOMPLETE, Ordering::Relaxed);
                true
            }
            _ => {
                self.seen.store(taken, Ordering::Relaxed);
                self.lists.store(WAITING, Ordering::Relaxed);
                false
            }
        }
    }

    /// Makes a parked heap the caller's for a while; false when it is not parked now.
    #[must_use]
    pub fn try_enter(&self) -> bool {
        // Acquire pairs with the Release in `leave`.
        self.state.compare_exchange(PARKED, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Makes a parked heap the calling thread's own; false when it is not parked now.
    #[must_use]
    pub fn try_adopt(&self) -> bool {
        self.state.compare_exchange(PARKED, OWNED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Parks the heap. False: tokens came meanwhile and the heap is the caller's again (`BUSY`): it
    /// processes them and leaves again.
    #[must_use]
    pub fn leave(&self) -> bool {
        // Release pairs with the Acquire of the next who enters or adopts. An exchange, as x86-64 has no store that
        // orders a later load.
        let _ = self.state.swap(PARKED, Ordering::SeqCst);
        between_steps();
        self.pending.load(Ordering::SeqCst).is_null() || !self.try_enter()
    }

    /// True while the heap is parked.
    pub fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PARKED
    }

    /// True while a thread owns the heap.
    pub fn is_owned(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OWNED
    }

    /// True when somebody's work on the heap ended in the middle (see [`bury`](Tenure::bury)).
    pub fn is_dead(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DEAD
    }

    /// In a fork's child: the heap's thread is gone and its lists are whole; parks it.
    pub fn orphaned_by_fork(&self) {
        self.state.store(PARKED, Ordering::Release);
    }

    /// In a fork's child: the heap's thread is gone in the middle of work on its lists; nobody
    /// touches them again. Blocks in it stay valid; freed ones are not used again.
    pub fn bury(&self) {
        self.state.store(DEAD, Ordering::Release);
    }
}

impl Default for Tenure {
    fn default() -> Self {
        Self::new()
    }
}
