//! Taking a [`Snapshot`]: figures of the page heaps and a walk over all spans.

use crate::allocator::Allocator;
use crate::class::{CLASSES, SLICE, size_of_class};
use crate::heap::{Front, Heap, Role};
use crate::os::Os;
use crate::span::{Kind, Place, Span};
use crate::stats::{ClassStats, Snapshot};
use crate::sync::atomic::Ordering;
use core::ptr::{null_mut, read_volatile};

impl<O: Os> Allocator<O> {
    /// Fills `out` with the figures of this moment.
    ///
    /// `own`: the calling thread's heap (or null), whose figures are exact. Of other
    /// threads' heaps, the blocks at hand in their current spans count as in use: at most one span
    /// a class and heap. Cost: proportional to the number of spans; the node's lock is held for a
    /// part of it at a time.
    ///
    /// # Safety
    /// The caller has the tenure of `own`.
    pub unsafe fn snapshot(&self, own: *mut Heap, out: &mut Snapshot) {
        *out = Snapshot::EMPTY;
        self.for_each_node(|_, node| {
            let Some(stores) = node.lock(&self.os, self.os.thread()) else { return };
            let pages = &stores.pages.figures;
            out.active += pages.active * SLICE;
            out.dirty += pages.dirty * SLICE;
            out.mapped += pages.mapped * SLICE;
            out.peak_active += pages.peak_active * SLICE;
            out.peak_dirty += pages.peak_dirty * SLICE;
            out.metadata += pages.metadata;
            out.huge += pages.huge * SLICE;
            out.reserved += pages.reserved * SLICE;
            out.held += pages.held * SLICE;
            out.splits += pages.splits;
            out.large_live += pages.large_live;
            out.large_bytes += pages.large_bytes;
            out.large_allocs += pages.large_allocs;
            out.large_peak += pages.large_peak;
            out.large_peak_bytes += pages.large_peak_bytes;
            out.parked += stores.pool.parked_count;
            out.orphans += stores.pool.orphan_count;
        });
        out.clean = out.mapped - out.active - out.dirty;
        out.limits = self.effective_limits();
        out.huge_fallback = self.huge.fallbacks();
        out.heaps = self.counters.heaps.load(Ordering::Relaxed);
        out.pockets = self.counters.pockets.load(Ordering::Relaxed);
        out.os_calls = self.counters.os_calls.load(Ordering::Relaxed);
        out.purged = self.counters.purged.load(Ordering::Relaxed);
        out.purges = self.counters.purges.load(Ordering::Relaxed);
        out.recycled = self.counters.recycled.load(Ordering::Relaxed);
        for (class, stats) in out.classes.iter_mut().enumerate() {
            stats.block_size = size_of_class(class);
        }
        self.for_each_heap(|heap| {
            for (class, stats) in out.classes.iter_mut().enumerate() {
                // SAFETY: heaps are never unmapped; a counter read while its thread adds to it.
                stats.allocs += unsafe { read_volatile(&raw const (*heap).allocs[class]) };
            }
        });
        // SAFETY: the caller's heap.
        let touched = unsafe { self.walk_spans(own, &mut out.classes) };
        let small: usize = out.classes.iter().map(|stats| stats.live as usize * stats.block_size).sum();
        // Spans come and go during the walk: the sum never exceeds what was active at its start.
        out.touched = (touched + out.large_bytes).min(out.active);
        out.allocated = (small + out.large_bytes).min(out.touched);
    }

    /// Adds up the small spans by class; returns the bytes of all blocks ever handed out of them, without holes.
    unsafe fn walk_spans(&self, own: *mut Heap, classes: &mut [ClassStats; CLASSES]) -> usize {
        let mut touched = 0;
        self.directory.for_each_slice(|address, span| {
            // Under the lock the span at an address stays what it is.
            // SAFETY: descriptors are readable for ever; node never changes.
            let node = unsafe { (*span).node } as usize;
            let Some(_stores) = self.node(node).lock(&self.os, self.os.thread()) else { return 1 };
            let span = self.directory.find(address);
            // SAFETY: as above; figures of other heaps' spans are read while they change.
            unsafe {
                if (*span).start != address || (*span).node as usize != node {
                    return 1;
                }
                if (*span).kind == Kind::Small {
                    let stats = &mut classes[(*span).class as usize % CLASSES];
                    stats.spans += 1;
                    stats.capacity += u64::from((*span).capacity);
                    stats.live += u64::from(self.live(own, span));
                    touched += (*span).touched(self.os.page_size());
                }
                (*span).slices as usize
            }
        });
        touched
    }

    /// Blocks of a small span in the program's hands.
    unsafe fn live(&self, own: *mut Heap, span: *mut Span) -> u32 {
        // SAFETY: a live small span: the node is locked.
        unsafe {
            let capacity = (*span).capacity;
            let used = match (*span).place() {
                Place::Full | Place::OrphanFull => capacity,
                Place::Available | Place::Orphan => (*span).countdown(),
                Place::Current if (*span).owner() == crate::addr::addr(own) => self.used_of_current(own, span),
                Place::Current | Place::None => (*span).carved(),
            };
            used.min(capacity).saturating_sub((*span).remote.len() as u32)
        }
    }

    /// Gives back all that the calling thread and parked heaps do not use, then trims the page heap
    /// to `keep` bytes of dirty memory. True when any memory went back to the system.
    ///
    /// # Safety
    /// `own` is the front of the calling thread's heap or pocket, [`Front::empty`] or null.
    pub unsafe fn trim_all(&self, own: *mut Front, keep: usize) -> bool {
        // SAFETY: the caller's heap, and heaps that were taken out of the pool and entered.
        unsafe {
            match own.as_ref().map_or(Role::Empty, |front| front.role) {
                Role::Thread => {
                    self.settle(own.cast(), false);
                    self.dig_all(own.cast());
                }
                Role::Pocket => self.empty_pocket(own.cast()),
                Role::Empty | Role::User | Role::Cpu => {}
            }
            self.settle_crowd();
            self.for_each_heap(|heap| self.retire_complete(heap));
            self.for_each_node(|_, node| {
                let mut done: *mut Heap = null_mut();
                loop {
                    let heap = match node.lock(&self.os, self.os.thread()) {
                        Some(mut stores) => stores.pool.unpark_filled(),
                        None => break,
                    };
                    if heap.is_null() {
                        break;
                    }
                    if !(*heap).tenure.is_dead() {
                        self.with_tenure(heap, || {
                            self.settle(heap, false);
                            self.dig_all(heap);
                        });
                    }
                    (*heap).next_parked = done;
                    done = heap;
                }
                while !done.is_null() {
                    let heap = done;
                    done = (*heap).next_parked;
                    if let Some(mut stores) = node.lock(&self.os, self.os.thread()) {
                        stores.pool.park_settled(heap);
                    }
                }
            });
        }
        self.trim(keep) > 0
    }
}
