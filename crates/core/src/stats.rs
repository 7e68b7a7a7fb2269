//! What the allocator knows of itself: one consistent set of figures, none of which can be negative.

use crate::class::CLASSES;
use crate::os::Bound;

/// Figures of one size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Bytes of one block.
    pub block_size: usize,
    /// Blocks in the program's hands.
    pub live: u64,
    /// Blocks that the class's spans could hold.
    pub capacity: u64,
    /// Spans of the class.
    pub spans: u64,
    /// Allocations served since start; counted only with the option `count=1`, else 0.
    pub allocs: u64,
}

/// What the process may use as far as it is known, and what follows from it. All but the options is unknown
/// until the first 16 MiB are mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPUs at a time.
    pub cpus: Bound,
    /// Bytes of memory beyond which the system kills or refuses.
    pub memory_max: Bound,
    /// Bytes of memory beyond which the system reclaims.
    pub memory_high: Bound,
    /// Bytes held (`active + dirty`) beyond which all that is free is given back.
    pub soft_limit: Bound,
    /// How often that was not enough, so that the callback was called, if there is one.
    pub soft_crossings: u64,
    /// Heaps that may wait parked.
    pub parked_limit: u64,
    /// Bytes of empty spans that each heap may keep.
    pub kept_limit: u64,
}

impl Limits {
    /// Nothing known.
    pub const NONE: Limits = Limits {
        cpus: Bound::NONE,
        memory_max: Bound::NONE,
        memory_high: Bound::NONE,
        soft_limit: Bound::NONE,
        soft_crossings: 0,
        parked_limit: 0,
        kept_limit: 0,
    };
}

/// All figures at one moment, in bytes unless the name says otherwise.
///
/// Taken by `snapshot()`. Figures of other threads' heaps are read while they run, so a sum may be
/// off by the few operations under way, but no figure is ever negative and
/// `allocated <= touched <= active <= mapped` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// In the program's hands, rounded up to block sizes.
    pub allocated: usize,
    /// In spans that hold at least one block, or that a heap keeps for its next allocation.
    pub active: usize,
    /// Of `active`, what was handed out at least once: close to what of it is resident.
    pub touched: usize,
    /// In free spans whose pages are still backed by memory.
    pub dirty: usize,
    /// In free spans given back to the system, or never touched.
    pub clean: usize,
    /// Mapped for spans: `active + dirty + clean`.
    pub mapped: usize,
    /// Mapped for descriptors, heaps and directories (address space; little of it is touched).
    pub metadata: usize,
    /// Highest `active` so far.
    pub peak_active: usize,
    /// Highest `active + dirty` so far: close to the peak of resident memory.
    pub peak_dirty: usize,
    /// Given back to the system since start.
    pub purged: u64,
    /// Calls that gave memory back.
    pub purges: u64,
    /// Moved since start from free spans to large blocks that needed pages, instead of being given back.
    pub recycled: u64,
    /// System calls for memory since start (map, unmap, purge, remap).
    pub os_calls: u64,
    /// Mapped with transparent huge pages asked for, part of `mapped`.
    pub huge: usize,
    /// Mapped in reserved huge pages, part of `mapped`. The system does not count it as resident.
    pub reserved: usize,
    /// Of `dirty`, what is kept because the huge page it lies in is almost wholly in use, or reserved.
    pub held: usize,
    /// Huge pages that were split since start, to give back what was free of them.
    pub splits: u64,
    /// Why less than the option `huge_pages` asks for is in force: a set of [`crate::huge`]'s reasons; 0: it is.
    pub huge_fallback: u32,
    /// Large blocks in the program's hands.
    pub large_live: u64,
    /// Bytes of them.
    pub large_bytes: usize,
    /// Large allocations since start (always counted).
    pub large_allocs: u64,
    /// Highest `large_live` so far.
    pub large_peak: u64,
    /// Highest `large_bytes` so far.
    pub large_peak_bytes: usize,
    /// Heaps of living threads and of CPUs, and first-class heaps.
    pub heaps: u64,
    /// Living threads that share the heaps of CPUs.
    pub pockets: u64,
    /// Heaps of threads that left, waiting for the next thread.
    pub parked: u64,
    /// Orphaned spans, waiting for whoever needs their class.
    pub orphans: u64,
    /// Limits in force.
    pub limits: Limits,
    /// One entry for each size class, smallest first.
    pub classes: [ClassStats; CLASSES],
}

impl Snapshot {
    /// All zero.
    pub const EMPTY: Snapshot = Snapshot {
        allocated: 0,
        active: 0,
        touched: 0,
        dirty: 0,
        clean: 0,
        mapped: 0,
        metadata: 0,
        peak_active: 0,
        peak_dirty: 0,
        purged: 0,
        purges: 0,
        recycled: 0,
        os_calls: 0,
        huge: 0,
        reserved: 0,
        held: 0,
        splits: 0,
        huge_fallback: 0,
        large_live: 0,
        large_bytes: 0,
        large_allocs: 0,
        large_peak: 0,
        large_peak_bytes: 0,
        heaps: 0,
        pockets: 0,
        parked: 0,
        orphans: 0,
        limits: Limits::NONE,
        classes: [ClassStats { block_size: 0, live: 0, capacity: 0, spans: 0, allocs: 0 }; CLASSES],
    };
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::EMPTY
    }
}
