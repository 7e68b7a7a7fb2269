//! Spans and their descriptors.
//!
//! A descriptor is two cache lines, out of line. The first is its owner's: only the thread that has
//! the tenure of the heap named by `owner` touches it (others read `owner`, `place` and `countdown`, which are atomic,
//! what never changes while the span lives and, racily, figures for statistics). The second is what other threads and
//! the page heap write.
//!
//! Descriptors come from a node's page heap and go back to it; their memory is never unmapped, so a
//! stale pointer to one reads a descriptor, never a fault.
//!
//! # What an own free does
//! It pushes the block on the list that `list` points to and decrements `countdown`; at zero it
//! takes the slow path. `list` and `countdown` are set so that this one sequence serves all places
//! a span can be in (design: experiment B):
//!
//! | place | `list` | `countdown` | zero means |
//! |---|---|---|---|
//! | current | the heap's list of the class, or the span's own (`heap::aside`) | any number | this free is checked (`heap::check`) |
//! | full | the span's own | 1 | the first free block: it becomes available |
//! | available | the span's own | blocks in use | the span is empty |
//!
//! The countdown of an available span is written after everything that the owner does with a block that it counts, so
//! others may conclude from it that no block is in the program's hands (see [`crate::remote`], "Complete lists").

use crate::addr::{addr, ptr};
use crate::class::{self, CLASSES};
use crate::remote::RemoteList;
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use core::ptr::null_mut;

/// A free block: its first word links to the next.
#[derive(Debug)]
#[repr(C)]
pub struct Block {
    /// The next free block, or null.
    pub next: *mut Block,
}

impl Block {
    /// Links `block` to `next`.
    ///
    /// # Safety
    /// The block is free memory of the caller's.
    #[inline(always)]
    pub unsafe fn link(block: *mut Block, next: *mut Block) {
        // SAFETY: the caller's block, at least 16 B and aligned to 16 B.
        unsafe { (*block).next = next };
    }

    /// Asks for a block's cache line, to write to: one that another CPU wrote comes in one step instead of two. Null, or
    /// anything else, is allowed. One instruction. (snmalloc's lists do so.)
    #[inline(always)]
    pub fn prefetch(block: *mut Block) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: a hint, which no address makes fault; processors without it take it for none.
        unsafe {
            core::arch::asm!("prefetchw [{}]", in(reg) addr(block), options(nomem, nostack, preserves_flags));
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("prfm pstl1keep, [{}]", in(reg) addr(block), options(nomem, nostack, preserves_flags));
        }
        #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
        let _ = block;
    }
}

/// What a descriptor describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing of ours: the directory's answer for foreign addresses. Must be zero.
    Foreign = 0,
    /// A run of free slices.
    Free,
    /// A run of free slices that the purge has in hand.
    Purging,
    /// Blocks of one class.
    Small,
    /// One large block.
    Large,
    /// A descriptor whose memory other threads already released (see [`crate::remote`]).
    Retired,
    /// Not in use.
    Unused,
}

/// Where a small span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// In no list.
    None = 0,
    /// Its heap allocates from it.
    Current,
    /// All blocks in use; in its heap's list of full spans.
    Full,
    /// Some blocks free; in its heap's list of the class.
    Available,
    /// Without owner, in the node pool's list of the class.
    Orphan,
    /// Without owner and all blocks in use, in the node pool's list of full orphans.
    OrphanFull,
}

impl Place {
    #[inline(always)]
    fn from_u8(place: u8) -> Place {
        match place {
            1 => Place::Current,
            2 => Place::Full,
            3 => Place::Available,
            4 => Place::Orphan,
            5 => Place::OrphanFull,
            _ => Place::None,
        }
    }
}

/// `owner` of nothing: foreign memory, free runs.
pub const OWNER_NONE: usize = 0;
/// `owner` of an orphaned span.
pub const OWNER_ORPHAN: usize = 1;
/// `owner` of a large block that belongs to no first-class heap.
pub const OWNER_LARGE: usize = 2;

/// A span descriptor; see the module.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Span {
    // Line 1: the owner's.
    /// Address of the owning heap, or one of the `OWNER_` values.
    pub owner: AtomicUsize,
    /// The list that an own free pushes on.
    pub list: *mut *mut Block,
    countdown: AtomicU32,
    carved: AtomicU32,
    /// Blocks the span can hold; 1 for a large block.
    pub capacity: u32,
    /// What this describes.
    pub kind: Kind,
    place: AtomicU8,
    /// Size class of a small span.
    pub class: u8,
    /// NUMA node whose page heap the descriptor belongs to.
    pub node: u8,
    /// Free blocks of a span that is not current; of one that is, those set aside (`heap::aside`).
    pub free: *mut Block,
    /// Address of the first byte; a multiple of the slice size.
    pub start: usize,
    /// Next in the list that `place` or `kind` names.
    pub next: *mut Span,
    /// Previous in the same list.
    pub prev: *mut Span,
    // Line 2: others'.
    /// Blocks freed by other threads.
    pub remote: RemoteList,
    pending: *mut Span,
    /// Usable bytes of a large block. Of a small span, the address of the last block in `remote`, for who holds the
    /// span's token.
    pub size: usize,
    /// Next younger dirty run. Of a small span, its holes (see `heap::holes`).
    pub younger: *mut Span,
    /// Next older dirty run. Of a small span, its blocks in use when it was last looked at for holes.
    pub older: *mut Span,
    /// Slices.
    pub slices: u32,
    /// Milliseconds (wrapping) when the run's dirty slices were freed, on average. Of a small span, the round of its heap's
    /// search for holes in which it was looked at; 0: none.
    pub stamp: u32,
    /// Dirty slices of a free run; of a small span, 1 if it was made from memory that was not zero.
    pub dirty: u32,
    /// Generation of the stores whose list the span is in (see
    /// [`PageHeap::begin_anew`](crate::page_heap::PageHeap::begin_anew)).
    pub generation: u32,
    /// Frees between two looks at a current span that its heap keeps; 0 for others. Of a free run: 1 when it is held
    /// (see [`crate::frames`]).
    pub kept: u32,
}

// Loom's atomics are larger.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Span>() == 128 && core::mem::offset_of!(Span, remote) == 64);

// SAFETY: descriptors are reached through raw pointers; the module says who may touch which field.
unsafe impl Sync for Span {}

macro_rules! foreign {
    () => {
        Span {
            owner: AtomicUsize::new(OWNER_NONE),
            list: null_mut(),
            countdown: AtomicU32::new(0),
            carved: AtomicU32::new(0),
            capacity: 0,
            kind: Kind::Foreign,
            place: AtomicU8::new(Place::None as u8),
            class: 0,
            node: 0,
            free: null_mut(),
            start: 0,
            next: null_mut(),
            prev: null_mut(),
            remote: RemoteList::new(),
            pending: null_mut(),
            size: 0,
            younger: null_mut(),
            older: null_mut(),
            slices: 0,
            stamp: 0,
            dirty: 0,
            generation: 0,
            kept: 0,
        }
    };
}

impl Span {
    /// The descriptor of foreign memory: all zero.
    #[cfg(not(loom))]
    pub const fn foreign() -> Span {
        foreign!()
    }

    /// The descriptor of foreign memory.
    #[cfg(loom)]
    pub fn foreign() -> Span {
        foreign!()
    }
}

impl Span {
    /// Bytes of the span's memory.
    pub fn bytes(&self) -> usize {
        self.slices as usize * class::SLICE
    }

    /// Bytes of one block of a small span; 0 of a large one.
    #[inline(always)]
    pub fn block_size(&self) -> usize {
        let class = self.class as usize;
        if class < CLASSES { class::size_of_class(class) } else { 0 }
    }

    /// Address after the span's last byte.
    pub fn end(&self) -> usize {
        self.start + self.bytes()
    }

    /// Blocks ever handed out to a list: the rest of the span is untouched. Atomic, since others look at
    /// it when they check a pointer; relaxed: whoever was given a block sees at least that block carved.
    #[inline(always)]
    pub fn carved(&self) -> u32 {
        self.carved.load(Ordering::Relaxed)
    }

    /// Sets [`carved`](Span::carved). Only who owns the span does.
    #[inline(always)]
    pub fn set_carved(&self, blocks: u32) {
        self.carved.store(blocks, Ordering::Relaxed);
    }

    /// Own frees until the slow path is due. The owner's.
    #[inline(always)]
    pub fn countdown(&self) -> u32 {
        self.countdown.load(Ordering::Relaxed)
    }

    /// Sets [`countdown`](Span::countdown). Only who owns the span does.
    #[inline(always)]
    pub fn set_countdown(&self, frees: u32) {
        // Release pairs with the Acquire in `in_use`: what the owner did with blocks that it counts as free is done.
        self.countdown.store(frees, Ordering::Release);
    }

    /// Counts one free of the owner's. True: the [`countdown`](Span::countdown) has come to its end.
    ///
    /// One instruction that works on memory and a branch on its flags, where the compiler makes four of an atomic load and
    /// store, which cost a free some 2 % (docs/measurements.md, "Frees across threads").
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span.
    #[inline(always)]
    pub unsafe fn count_down(span: *mut Span) -> bool {
        // Others read the field atomically meanwhile, for which the language asks an atomic store here. What they rely on is
        // that a store of an aligned word is one store, seen after all earlier ones: of x86-64 that is true, and of the
        // compiler as far as the fence goes and as it does not invent stores, which it does nowhere. Every other target
        // has the atomic store, and so have Miri, loom and the sanitizers.
        #[cfg(all(target_arch = "x86_64", not(any(miri, loom, stratalloc_system, feature = "count-shared"))))]
        // SAFETY: the caller's span; nobody else writes the field.
        unsafe {
            core::sync::atomic::compiler_fence(Ordering::Release);
            let countdown = (*span).countdown.as_ptr();
            *countdown = (*countdown).wrapping_sub(1);
            *countdown == 0
        }
        #[cfg(any(not(target_arch = "x86_64"), miri, loom, stratalloc_system, feature = "count-shared"))]
        // SAFETY: the caller's span.
        unsafe {
            let left = (*span).countdown().wrapping_sub(1);
            (*span).set_countdown(left);
            left == 0
        }
    }

    /// Where it is.
    #[inline(always)]
    pub fn place(&self) -> Place {
        Place::from_u8(self.place.load(Ordering::Relaxed))
    }

    /// Sets [`place`](Span::place). Only who owns the span does.
    #[inline(always)]
    pub fn set_place(&self, place: Place) {
        // Release pairs with the Acquire in `in_use`: the countdown of an available span is set before.
        self.place.store(place as u8, Ordering::Release);
    }

    /// Blocks in use of an available span, in whoever's hands or in the remote list; none of another. For others than the
    /// owner.
    pub fn in_use(&self) -> Option<usize> {
        // For the pairs see the setters.
        (self.place.load(Ordering::Acquire) == Place::Available as u8)
            .then(|| self.countdown.load(Ordering::Acquire) as usize)
    }

    /// From here on nobody retires the span for being available. False: somebody has, and its owner leaves it to the token,
    /// which is on its way.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.set_place(Place::None);
        self.remote.unmark()
    }

    /// The owner word. Relaxed: whoever holds a block got it from a thread that had seen the owner
    /// written; a change of owner after that is found out by the protocol, not by this load.
    #[inline(always)]
    pub fn owner(&self) -> usize {
        self.owner.load(Ordering::Relaxed)
    }

    /// The holes of a small span, a bit each (see `heap::holes`).
    #[inline]
    pub fn holes(&self) -> u64 {
        addr(self.younger) as u64
    }

    /// Sets [`holes`](Span::holes). Only who owns the span does.
    pub fn set_holes(&mut self, holes: u64) {
        self.younger = ptr(holes as usize);
    }

    /// Blocks of a small span that were in use when it was last looked at for holes; 0: it never was.
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span.
    pub unsafe fn looked(span: *mut Span) -> u32 {
        // SAFETY: the owner's field.
        addr(unsafe { (*span).older }) as u32
    }

    /// Sets [`looked`](Span::looked).
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span.
    pub unsafe fn set_looked(span: *mut Span, used: u32) {
        // SAFETY: as above.
        unsafe { (*span).older = ptr(used as usize) };
    }

    /// True when neither fresh memory nor a hole is left of the span.
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.carved() == self.capacity && self.holes() == 0
    }

    /// Next span in the pending chain.
    ///
    /// # Safety
    /// The caller holds the span's token.
    pub unsafe fn pending(span: *mut Span) -> *mut Span {
        // SAFETY: the token's holder alone reads and writes the link.
        unsafe { (*span).pending }
    }

    /// Sets the pending link.
    ///
    /// # Safety
    /// The caller holds the span's token.
    pub unsafe fn set_pending(span: *mut Span, next: *mut Span) {
        // SAFETY: as above.
        unsafe { (*span).pending = next };
    }

    /// Last block of a small span's remote list, as its first push left it: later ones go before that.
    ///
    /// # Safety
    /// The caller holds the span's token, and does not take the list before.
    pub unsafe fn remote_tail(span: *mut Span) -> *mut Block {
        // SAFETY: as for the pending link. Written before the token was delivered, and not before the list is taken
        // again.
        ptr(unsafe { (*span).size })
    }

    /// Notes the last block of a small span's remote list.
    ///
    /// # Safety
    /// The caller's push made the span's token, which it still holds. (Others may retire the span meanwhile: its descriptor
    /// is there until the token is used up, and nobody needs to know then.)
    pub unsafe fn set_remote_tail(span: *mut Span, tail: *mut Block) {
        // SAFETY: as above.
        unsafe { (*span).size = addr(tail) };
    }

    /// True when `address`, in a small span, is the start of a block that was ever handed out.
    #[inline(always)]
    pub fn is_small_block(&self, address: usize) -> bool {
        let class = self.class as usize;
        class < CLASSES && class::is_block_below(class, address.wrapping_sub(self.start), self.carved())
    }

    /// True when `address`, in the span, is the start of a block that was ever handed out.
    pub fn is_block(&self, address: usize) -> bool {
        match self.kind {
            Kind::Small => self.is_small_block(address),
            Kind::Large => address == self.start,
            _ => false,
        }
    }
}

/// A doubly linked list of spans by `next` and `prev`, with both ends.
#[derive(Clone, Copy, Debug)]
pub struct SpanList {
    /// First span, or null.
    pub first: *mut Span,
    /// Last span, or null.
    pub last: *mut Span,
}

impl SpanList {
    /// An empty list: all zero.
    pub const EMPTY: SpanList = SpanList { first: null_mut(), last: null_mut() };

    /// Puts `span` first.
    ///
    /// # Safety
    /// The span is in no list; list and spans are the caller's.
    pub unsafe fn push_front(&mut self, span: *mut Span) {
        // SAFETY: the caller's descriptors.
        unsafe {
            (*span).prev = null_mut();
            (*span).next = self.first;
            if self.first.is_null() {
                self.last = span;
            } else {
                (*self.first).prev = span;
            }
        }
        self.first = span;
    }

    /// Puts `span` last.
    ///
    /// # Safety
    /// As for [`push_front`](SpanList::push_front).
    pub unsafe fn push_back(&mut self, span: *mut Span) {
        // SAFETY: the caller's descriptors.
        unsafe {
            (*span).next = null_mut();
            (*span).prev = self.last;
            if self.last.is_null() {
                self.first = span;
            } else {
                (*self.last).next = span;
            }
        }
        self.last = span;
    }

    /// Takes `span` out.
    ///
    /// # Safety
    /// The span is in this list; list and spans are the caller's.
    pub unsafe fn remove(&mut self, span: *mut Span) {
        // SAFETY: the caller's descriptors.
        unsafe {
            let (next, prev) = ((*span).next, (*span).prev);
            if prev.is_null() {
                self.first = next;
            } else {
                (*prev).next = next;
            }
            if next.is_null() {
                self.last = prev;
            } else {
                (*next).prev = prev;
            }
            (*span).next = null_mut();
            (*span).prev = null_mut();
        }
    }

    /// Takes the first span out, or returns null.
    ///
    /// # Safety
    /// List and spans are the caller's.
    pub unsafe fn pop_front(&mut self) -> *mut Span {
        let span = self.first;
        if !span.is_null() {
            // SAFETY: it is in the list.
            unsafe { self.remove(span) };
        }
        span
    }
}
