//! S0: heaps. The thread cache, without locks and, on own blocks, without atomics.
//!
//! A heap belongs to whoever has its tenure (see [`crate::remote`]): a thread, for as long as it
//! lives; or for a moment whoever entered a parked heap. Only that one touches its fields, except
//! `tenure`, which is everyone's.
//!
//! For each class there is at most one *current* span, which fills the heap's own list `lists[class]`:
//! `malloc` pops there, and a free of a block of the current span pushes there, or sets the block aside
//! (module `aside`). Other spans of the class keep their free blocks themselves. What a free does is written
//! on the span (see [`crate::span`]), so neither path asks what state anything is in.
//!
//! A thread's slot refers to a [`Front`]: its heap's, or its pocket's where it has no heap of its own (module
//! [`crowd`](crate::crowd)). It begins on [`Front::empty`], whose lists are empty for ever and whose address owns
//! nothing: "not initialised" is the slow path's question, not the fast path's.
//!
//! * `fast`: the paths that every allocation and free takes, inlined into their callers;
//! * `refill`: where blocks come from when a list is empty;
//! * `aside`: where frees of small blocks wait until their list is empty;
//! * `bulk`: many blocks of a size at once;
//! * `young`: classes that the heap has hardly used yet;
//! * `check`: checks of some frees, paid by the slow path;
//! * `holes`: pages of free blocks inside spans that go back;
//! * `keep`: which empty spans stay;
//! * `spans`: the moves of spans between current, full, available, released and orphaned;
//! * `batch`: frees of blocks that another heap owns, gathered;
//! * `foreign`: how they get there: remote lists, tokens, claims;
//! * `visit`: every block of a heap that is in use.

mod aside;
mod batch;
mod bulk;
mod check;
mod fast;
mod foreign;
mod holes;
mod keep;
mod refill;
mod spans;
mod visit;
mod young;

pub(crate) use fast::pop;
pub use fast::{alloc_class_or, alloc_or, dealloc_or};
pub use visit::Visitor;

use self::batch::Batches;
use self::holes::Search;
use self::keep::Extent;
use crate::addr::ptr;
use crate::class::CLASSES;
use crate::remote::Tenure;
use crate::span::{Block, OWNER_LARGE, Span, SpanList};
use core::mem::offset_of;
use core::ptr::null_mut;

/// What a front belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Stands for "no heap"; immutable.
    Empty,
    /// A heap: a thread's, or parked for one.
    Thread,
    /// A first-class heap: used by any thread, one at a time.
    User,
    /// A CPU heap: used by the threads without one of their own, one at a time.
    Cpu,
    /// A pocket: what such a thread has instead.
    Pocket,
}

/// What every allocation touches, and all that a thread's slot promises to be there.
#[derive(Debug)]
#[repr(C)]
pub struct Front {
    /// Free blocks of each class: of a heap, those of its current span.
    pub(crate) lists: [*mut Block; CLASSES],
    /// What it is the front of.
    pub role: Role,
}

// SAFETY: fronts are reached through raw pointers; who may touch the heap or pocket behind may touch them.
unsafe impl Sync for Front {}

impl Front {
    /// The front of a thread that has neither heap nor pocket: never written, owns nothing.
    pub const fn empty() -> Front {
        Front { lists: [null_mut(); CLASSES], role: Role::Empty }
    }
}

/// A heap; see the module. Below 4 KiB.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Heap {
    /// First: a thread's slot refers to it. At its end is the role, which others read who free blocks of the heap's, so
    /// what follows is hardly ever written, up to the next cache line.
    pub front: Front,
    /// Every allocation takes the slow path, which counts it.
    counting: bool,
    /// NUMA node whose pool and page heap serve it.
    pub node: u8,
    /// The node pool's: when it was parked, ms; 0: what it does not use has gone back since.
    pub parked_at: u32,
    /// Next in the node pool's list.
    pub next_parked: *mut Heap,
    /// Next of all heaps ever made.
    pub next_heap: *mut Heap,
    /// Large blocks of a first-class heap.
    larges: SpanList,
    /// Allocations by class, while counting.
    pub allocs: [u64; CLASSES],
    /// Nesting depth of slow paths: above 0, the lists may be between two states.
    depth: u8,
    /// Class at which the last search for a kept span ended.
    hand: u8,
    /// Of a CPU heap: looks of the purge thread until it is settled.
    pub(crate) warmth: u8,
    /// It gave back half of what it had, and took no new span since (see `heap::keep`).
    declines: bool,
    /// Bytes of current spans that are kept although they were empty.
    kept: u32,
    /// What it knows about holes in its spans.
    search: Search,
    /// Slices of its small spans.
    extent: Extent,
    current: [*mut Span; CLASSES],
    available: [SpanList; CLASSES],
    full: SpanList,
    batches: Batches,
    /// Blocks of each class that a coarser one's span served.
    young: [u8; CLASSES],
    /// Spans of each class that it took and did not give back, 255 at most: those that others gave back go on counting, so
    /// that a heap whose blocks others free takes long ones, which are fewer locks (docs/measurements.md, "Does a heap
    /// know how many spans it has?"). What it claimed does not count.
    spans: [u8; CLASSES],
    /// Checks of own frees left before they are only sampled.
    checks: u32,
    /// Who may touch all of the above; and the tokens sent here.
    pub tenure: Shared,
}

/// On a cache line of its own: other threads write it.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shared(Tenure);

impl core::ops::Deref for Shared {
    type Target = Tenure;
    fn deref(&self) -> &Tenure {
        &self.0
    }
}

const _: () = assert!(size_of::<Heap>() <= 4096);
/// Bytes of a cache line.
const LINE: usize = 64;
const _: () = assert!(offset_of!(Heap, front.role) / LINE < offset_of!(Heap, depth) / LINE);

// SAFETY: heaps are reached through raw pointers; the module says who may touch what.
unsafe impl Sync for Heap {}

impl Heap {
    /// True where a first-class heap owns the span.
    ///
    /// # Safety
    /// The caller has a block of the span.
    #[inline(always)]
    pub(crate) unsafe fn is_users(span: *mut Span) -> bool {
        // SAFETY: heaps are never unmapped. Stale readers of the role only choose between two correct ways.
        unsafe {
            let owner = (*span).owner();
            owner > OWNER_LARGE && (*ptr::<Heap>(owner)).front.role == Role::User
        }
    }

    /// Makes zeroed memory a heap that the caller owns. `heaps`: how many others live.
    ///
    /// # Safety
    /// `heap` is zeroed memory of the caller's, of a heap's size and alignment.
    pub unsafe fn init(heap: *mut Heap, role: Role, node: u8, counting: bool, heaps: u64) {
        // SAFETY: the caller's memory; zero is valid for every field but `role`.
        unsafe {
            (*heap).front.role = role;
            (*heap).node = node;
            (*heap).counting = counting;
            (*heap).checks = check::budget(heaps);
            (*heap).search = Search::new();
            (*heap).extent = Extent::NONE;
        }
    }

    /// True when the heap was in the middle of something; for the child of a fork.
    ///
    /// # Safety
    /// The heap's thread does not run.
    pub unsafe fn is_unsettled(heap: *const Heap) -> bool {
        // SAFETY: nobody writes it.
        unsafe { core::ptr::read_volatile(&raw const (*heap).depth) != 0 }
    }

    /// Files a large block of a first-class heap. A fork in the middle finds the heap unsettled.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the span is the heap's and in no list.
    pub(crate) unsafe fn add_large(heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            (*heap).larges.push_front(span);
        }
    }

    /// Takes a large block of a first-class heap out of its list, as [`add_large`](Self::add_large) filed it.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the span is in the list.
    pub(crate) unsafe fn remove_large(heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            (*heap).larges.remove(span);
        }
    }

    /// Bytes of empty spans that it keeps, of those that it counts (see `heap::keep`).
    pub(crate) fn kept(&self) -> usize {
        self.kept as usize
    }

    /// Slices of its small spans. (Spans that others retired count until the heap hears of it.)
    pub fn slices(&self) -> u32 {
        self.extent.slices()
    }

    /// True when every allocation is counted.
    pub fn is_counting(&self) -> bool {
        self.counting
    }
}

/// Marks a heap unsettled as long as it lives; see [`Heap::is_unsettled`].
#[derive(Debug)]
pub(crate) struct Unsettled(*mut Heap);

impl Unsettled {
    /// # Safety
    /// The caller has the heap's tenure.
    #[inline]
    pub(crate) unsafe fn enter(heap: *mut Heap) -> Self {
        // SAFETY: the caller's heap. Volatile: a fork in a signal handler on this thread, or the
        // copy that a fork makes while this thread runs, sees the mark before any change under it.
        unsafe {
            let depth = &raw mut (*heap).depth;
            depth.write_volatile(depth.read_volatile() + 1);
        }
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        Self(heap)
    }
}

impl Drop for Unsettled {
    #[inline]
    fn drop(&mut self) {
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        // SAFETY: as in `enter`.
        unsafe {
            let depth = &raw mut (*self.0).depth;
            depth.write_volatile(depth.read_volatile() - 1);
        }
    }
}
