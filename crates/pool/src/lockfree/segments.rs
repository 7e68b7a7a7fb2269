//! Slots in segments that double, found by index, never moved and never unmapped while the pool lives.
//!
//! ```text
//! segment 0: base slots   1: 2·base   2: 4·base   3: 8·base  …
//! each:  │ links of all slots │ block 0 │ block 1 │ … │ block n-1 │
//!                               ▲ table entry
//! ```
//!
//! Links of neighbours lie 128 bytes apart if there are that many, since objects that are made one after the other are often
//! used by several threads: the number's bits are rotated. A link is outside of its block: a popper that is late reads a link, which always is one, and never an object that
//! somebody writes. Adding a segment is lock-free: whoever sees that it is missing allocates it, one wins the exchange,
//! the others free theirs. (Doubling segments that never move: D. Dechev et al., "Lock-free dynamically
//! resizable arrays", 2006.)

use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::{PoolError, Source};
use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

/// What the pool knows about a slot. Of a size that divides the distance between neighbours' links.
#[derive(Debug)]
#[cfg_attr(not(any(loom, shuttle)), repr(align(32)))]
pub(super) struct Link {
    /// In a stack: the index of the next slot, plus 1; 0 at the end.
    pub(super) next: AtomicU32,
    /// The address of that slot's link, or of another: a guess.
    pub(super) below: AtomicPtr<Link>,
    /// The slot's own index, and its block. Never change.
    pub(super) index: u32,
    pub(super) block: NonNull<u8>,
    /// Acquisitions and returns together: odd while the slot is handed out. Written by its holder only.
    turns: AtomicUsize,
}

impl Link {
    /// The holder takes or returns the slot. Not a read-modify-write: nobody else writes it.
    #[inline(always)]
    pub(super) fn turn(&self) {
        // Relaxed: the stack's exchange orders one holder after the other; statistics may read it late.
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// How often it was taken, and whether it is now.
    pub(super) fn uses(&self) -> (usize, bool) {
        let turns = self.turns.load(Ordering::Relaxed);
        (turns / 2 + turns % 2, turns % 2 == 1)
    }
}

/// Logarithm of the number of links between those of neighbours.
const SPREAD: usize = if cfg!(any(loom, shuttle)) { 0 } else { (128 / 32usize).ilog2() as usize };

/// As many as a 32-bit index can reach with a base of 1.
const SEGMENTS: usize = 33;

/// The largest number of slots: an index plus 1 fits into 32 bits.
pub(super) const MOST: usize = u32::MAX as usize - 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Segments {
    table: [AtomicPtr<u8>; SEGMENTS],
    /// Slots in the first segment, a power of two, as its logarithm.
    base_log: u32,
    /// Slots there may be.
    limit: usize,
    block: Layout,
}

impl Segments {
    pub(super) fn new(block: Layout, base: usize, limit: usize) -> Self {
        debug_assert!(base.is_power_of_two() && limit <= MOST);
        let table = core::array::from_fn(|_| AtomicPtr::new(null_mut()));
        Self { table, base_log: base.ilog2(), limit, block }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn block(&self) -> Layout {
        self.block
    }

    /// Where a segment's `at`th link is, counted down from the blocks.
    #[inline(always)]
    fn link_place(&self, segment: usize, at: usize) -> usize {
        let log = self.base_log as usize + segment;
        let shift = SPREAD.min(log);
        ((at << shift | at >> (log - shift)) & ((1 << log) - 1)) + 1
    }

    /// A slot's segment and place in it: segment k holds the slots whose index plus base has its highest bit k places
    /// above base's.
    #[inline(always)]
    fn place(&self, index: u32) -> (usize, usize) {
        // Cannot overflow: of 32 bits, the limit leaves one for base.
        let number = index as usize + (1 << self.base_log);
        let log = number.ilog2();
        ((log - self.base_log) as usize, number ^ (1 << log))
    }

    /// Number of slots of a segment that is or will be there: the last is cut at the limit.
    fn size(&self, segment: usize) -> usize {
        let size = 1usize << (self.base_log as usize + segment);
        let first = size - (1 << self.base_log);
        size.min(self.limit.saturating_sub(first))
    }

    /// A segment's memory, and where in it the first block is.
    fn layout(&self, segment: usize) -> Option<(Layout, usize)> {
        let slots = self.size(segment);
        let blocks = Layout::from_size_align(self.block.size().checked_mul(slots)?, self.block.align()).ok()?;
        // All of them also where there are fewer slots: they are spread.
        let links = Layout::array::<Link>(1usize.checked_shl(self.base_log + segment as u32)?).ok()?;
        // Links below the blocks, which end where the blocks' alignment says.
        let links = links.align_to(self.block.align()).ok()?.pad_to_align();
        links.extend(blocks).ok()
    }

    /// A slot's link.
    ///
    /// # Safety
    /// The slot's index came from [`ensure`](Self::ensure), by this thread or by one that it synchronised with.
    #[inline(always)]
    pub(super) unsafe fn link(&self, index: u32) -> &Link {
        let (segment, at) = self.place(index);
        // SAFETY: there is an entry for each segment that an index can be in.
        let entry = unsafe { self.table.get_unchecked(segment) };
        // Acquire pairs with the Release in `ensure`.
        let base = entry.load(Ordering::Acquire);
        // SAFETY: the segment is there; so many links are below its first block.
        let link = unsafe { base.cast::<Link>().sub(self.link_place(segment, at)) };
        // SAFETY: a link is written before its segment is published, and lives as long as `self`.
        unsafe { &*link }
    }

    /// Makes sure that the slot's segment is there.
    pub(super) fn ensure(&self, index: u32, source: &impl Source) -> Result<(), PoolError> {
        let (segment, _) = self.place(index);
        // Acquire pairs with the Release below.
        if !self.table[segment].load(Ordering::Acquire).is_null() {
            return Ok(());
        }
        let slots = self.size(segment);
        let most = isize::MAX as usize / self.block.size();
        let (layout, first) = self.layout(segment).ok_or(PoolError::TooMany { asked: slots, most })?;
        let start = source.allocate(layout).ok_or(PoolError::refused(layout))?;
        // SAFETY: an offset within the new memory.
        let base = unsafe { start.add(first) };
        // The segment's first index.
        let first_index = (1u64 << (self.base_log + segment as u32)) - (1 << self.base_log);
        for at in 0..slots {
            let index = first_index as u32 + at as u32;
            // SAFETY: within the segment.
            let block = unsafe { base.add(at * self.block.size()) };
            let (next, below, turns) = (AtomicU32::new(0), AtomicPtr::new(null_mut()), AtomicUsize::new(0));
            let link = Link { next, below, index, block, turns };
            // SAFETY: the place of this link, below the first block.
            unsafe { base.cast::<Link>().sub(self.link_place(segment, at)).write(link) };
        }
        // Release: the links are visible to whoever sees the segment. Acquire: the winner's are to us.
        let won =
            self.table[segment].compare_exchange(null_mut(), base.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
        if won.is_err() {
            // SAFETY: never published.
            unsafe { self.free(base, segment, source) };
        }
        Ok(())
    }

    /// Slots there is memory for, and its bytes.
    pub(super) fn capacity(&self) -> (usize, usize) {
        let there = |&segment: &usize| !self.table[segment].load(Ordering::Relaxed).is_null();
        let sizes = (0..SEGMENTS)
            .filter(there)
            .map(|segment| (self.size(segment), self.layout(segment).map_or(0, |(layout, _)| layout.size())));
        sizes.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// # Safety
    /// The first block of memory allocated for this segment from this source, links written, not used any more.
    unsafe fn free(&self, base: NonNull<u8>, segment: usize, source: &impl Source) {
        let Some((layout, first)) = self.layout(segment) else { return };
        if core::mem::needs_drop::<Link>() {
            for at in 0..self.size(segment) {
                // SAFETY: written by `ensure`.
                unsafe { base.cast::<Link>().sub(self.link_place(segment, at)).drop_in_place() };
            }
        }
        // SAFETY: the start of the memory.
        let start = unsafe { base.sub(first) };
        // SAFETY: the layout of the allocation.
        unsafe { source.deallocate(start, layout) };
    }

    /// Frees all segments.
    ///
    /// # Safety
    /// They are from this source, and nobody uses a slot any more.
    pub(super) unsafe fn free_all(&mut self, source: &impl Source) {
        for segment in 0..SEGMENTS {
            // Relaxed: exclusive access.
            let base = self.table[segment].load(Ordering::Relaxed);
            self.table[segment].store(null_mut(), Ordering::Relaxed);
            if let Some(base) = NonNull::new(base) {
                // SAFETY: a published segment, not used any more.
                unsafe { self.free(base, segment, source) };
            }
        }
    }
}
