//! Giving memory back: how much freed memory stays resident, and for how long.
//!
//! * At once, at each free of a span: what is dirty beyond the *budget* is purged, oldest first.
//!   The budget is `max(dirty_min, dirty_percent of the memory in use)`, so it falls with the use:
//!   a process that frees everything and then sleeps, single-threaded, keeps three quarters of `dirty_min`, which leave
//!   room below 2 MiB for metadata: who has freed next to all of a peak comes back for less, if ever.
//! * While a purge thread runs, memory in use and dirty memory together may stand where memory in use
//!   stood at its recent peak, and `dirty_percent` above: use that falls and rises again finds its
//!   memory, and the peak is no higher for it. The thread gives back whatever has been free for
//!   `purge_delay`, has heaps that waited a quarter of it for a new thread release what they keep, releases what others
//!   freed of the spans of threads that did nothing for as long (complete lists: [`crate::remote`]), and ends
//!   when nothing is dirty. (With `dirty_percent` 0 the peak does not count.)
//! * It starts in a process that already runs threads, when there is something to do; in a process
//!   of one thread only where *churn* is proven: 4 MiB that were given back of late were needed again.
//!   A second thread breaks `unshare` and `setns`; programs that live by those do not churn.
//! * Any free of a span also purges what has been free for `purge_delay`.
//!
//! (jemalloc and mimalloc decay only as the program goes on allocating: jemalloc#2688.)
//!
//! A purge takes a run out of the page heap, makes its system calls with the lock open, and files
//! the run again.

use crate::addr::ptr;
use crate::allocator::Allocator;
use crate::class::SLICE;
use crate::directory::Bit;
use crate::frames::FRAME;
use crate::heap::Heap;
use crate::node::Locked;
use crate::os::Os;
use crate::page_heap::{PageHeap, older};
use crate::sync::atomic::Ordering;
use core::ptr::NonNull;

/// A run of at least so many slices that is purged whole is unmapped: its address space and its
/// commit charge go back too: 32 MiB.
pub(crate) const UNMAP: usize = (32 << 20) / SLICE;
/// Slices given back and taken again of late that prove churn: 4 MiB. Until then a process of one thread gives back what
/// it needs again; with more to prove it, those of some tens of MiB spend a part of their time so (docs/measurements.md,
/// "When is churn proven?").
const CHURN: usize = (4 << 20) / SLICE;
/// Less than one in so many slices of the recent peak is in use where all of it was freed, but for what programs keep.
const DRAINED: usize = 64;
/// Slices that go back together where the budget is exceeded, 256 KiB: a call for each costs more than it is.
const TOGETHER: usize = (256 << 10) / SLICE;

impl<O: Os> Allocator<O> {
    /// How many dirty slices are too many now.
    fn excess(&self, pages: &mut PageHeap, now: u32) -> usize {
        let figures = &mut pages.figures;
        figures.age(now);
        let percent = self.config.dirty_percent();
        let share = if self.purger.load(Ordering::Relaxed) == 0 || percent == 0 {
            figures.active * percent / 100
        } else {
            let peak = figures.recent_peak;
            (peak + peak * percent / 100).saturating_sub(figures.active)
        };
        let least = self.config.dirty_min() / SLICE;
        let drained = percent > 0 && figures.active < figures.recent_peak / DRAINED;
        let least = if drained { least - least / 4 } else { least };
        // With huge pages for all, the rest of the frame that is being filled is resident.
        let least = least + if self.wants_frames() && figures.huge > 0 { FRAME } else { 0 };
        let budget = figures.under_soft_limit(share.max(least), least);
        figures.loose().saturating_sub(budget)
    }

    fn expired(&self, pages: &PageHeap, now: u32) -> bool {
        let deadline = now.wrapping_sub(self.config.purge_delay());
        pages.oldest_stamp().is_some_and(|stamp| older(stamp, deadline))
    }

    /// True when something should be purged, or the soft limit is far again.
    pub(crate) fn purge_due(&self, pages: &mut PageHeap, now: u32) -> bool {
        pages.figures.is_back()
            || pages.figures.loose() > 0
                && (self.excess(pages, now) > 0
                    || self.expired(pages, now)
                    || self.purger.load(Ordering::Relaxed) == 0 && self.wants_purger(pages))
    }

    fn wants_purger(&self, pages: &PageHeap) -> bool {
        let figures = &pages.figures;
        figures.loose() * SLICE * 2 > self.config.dirty_min()
            && self.config.purge_thread()
            && (self.os.is_threaded() || figures.recent_regret > CHURN && self.config.dirty_percent() > 0)
    }

    /// True for a heap that keeps much although nobody may come back for it: what a purge thread is worth.
    pub(crate) fn keeps_much(&self, heap: &Heap) -> bool {
        heap.kept() * 4 >= self.config.dirty_min() && self.config.purge_thread()
    }

    /// Starts the purge thread if there is none.
    #[cold]
    pub(crate) fn start_purger(&self) {
        if self.purger.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let this = core::ptr::from_ref(self).cast_mut().cast::<u8>();
            // SAFETY: an allocator with a purge thread is a static; `tick` is made for any thread.
            if !unsafe { self.os.spawn_purger(tick::<O>, this) } {
                // Refused (a seccomp filter, a process limit): from here on without one.
                self.purger.store(0, Ordering::Release);
                self.config.forbid_purge_thread();
            }
        }
    }

    /// Purges what is due on `node`, or starts the thread that will.
    #[cold]
    pub(crate) fn purge_excess(&self, node: usize, now: u32) {
        let wanted = self.with_pages(node, |pages| self.wants_purger(pages)).unwrap_or(false);
        if wanted {
            self.start_purger();
        }
        let purged =
            self.purge(node, now, self.os.thread(), |pages| self.excess(pages, now).next_multiple_of(TOGETHER));
        let back = self.with_pages(node, |pages| {
            pages.figures.recent_purged += purged;
            pages.figures.is_back()
        });
        if back.unwrap_or(false) || self.is_reading_due() {
            self.look(false);
        }
    }

    /// Purges runs of `node` until `excess` says 0 and nothing is expired. Returns the slices given
    /// back.
    fn purge(
        &self,
        node: usize,
        now: u32,
        thread: usize,
        mut excess: impl FnMut(&mut PageHeap) -> usize,
    ) -> usize {
        let mut total = 0;
        loop {
            let Some(mut stores) = self.node(node).lock(&self.os, thread) else { return total };
            let expired = self.expired(&stores.pages, now);
            let wanted = if expired { usize::MAX } else { excess(&mut stores.pages) };
            if wanted == 0 {
                return total;
            }
            let run = stores.pages.begin_purge(&self.directory);
            if run.is_null() {
                return total;
            }
            let purged = if stores.pages.is_framed() {
                self.purge_frames(node, stores, run, wanted, now, thread)
            } else {
                let purged = self.purge_run(node, stores, run, wanted, now, thread);
                (purged > 0).then_some(purged)
            };
            let Some(purged) = purged else { return total };
            total += purged;
        }
    }

    /// Purges up to `wanted` slices of a run taken out by `begin_purge`, last first, and files it
    /// again. 0: the system refused.
    fn purge_run(
        &self,
        node: usize,
        stores: Locked<'_, O>,
        run: *mut crate::span::Span,
        wanted: usize,
        now: u32,
        thread: usize,
    ) -> usize {
        // SAFETY: the run is ours until `end_purge`.
        let (start, slices, dirty) = unsafe { ((*run).start, (*run).slices as usize, (*run).dirty as usize) };
        let mut purged = 0;
        let mut gone = false;
        let mut locked = Some(stores);
        if slices >= UNMAP && wanted >= dirty {
            locked = None;
            if let Some(memory) = NonNull::new(ptr::<u8>(start)) {
                // SAFETY: a free run of ours, whole slices.
                gone = unsafe { self.unmap(memory, slices * SLICE) };
            }
            if gone {
                self.unreserve(slices);
                purged = dirty;
                self.counters.purged.fetch_add((dirty * SLICE) as u64, Ordering::Relaxed);
                self.counters.purges.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut end = slices;
        while !gone && purged < wanted && purged < dirty {
            let Some(mut stores) = locked.take().or_else(|| self.node(node).lock(&self.os, thread)) else {
                return 0;
            };
            // SAFETY: the run's slices, under the lock.
            let found = unsafe { self.directory.last_stretch(Bit::Dirty, start, end) };
            let Some((first, count)) = found else {
                locked = Some(stores);
                break;
            };
            let part = count.min(wanted - purged);
            let at = first + (count - part) * SLICE;
            drop(stores);
            let Some(memory) = NonNull::new(ptr::<u8>(at)) else { return 0 };
            // SAFETY: free slices of ours.
            if !unsafe { self.purge_pages(memory, part * SLICE) } {
                break;
            }
            let Some(again) = self.node(node).lock(&self.os, thread) else { return 0 };
            stores = again;
            // SAFETY: just purged.
            unsafe { stores.pages.cleaned(&self.directory, run, at, part) };
            purged += part;
            end = (at - start) / SLICE;
            locked = Some(stores);
        }
        if let Some(mut stores) = locked.or_else(|| self.node(node).lock(&self.os, thread)) {
            // What is still dirty keeps waiting; refused memory starts its time again.
            // SAFETY: our run.
            unsafe { stores.pages.end_purge(&self.directory, run, gone, now) };
        }
        purged
    }

    /// Gives back all of `node` that a purge may; returns the slices.
    pub(crate) fn purge_all(&self, node: usize) -> usize {
        let now = self.os.now_ms() as u32;
        self.purge(node, now, self.os.thread(), |pages| pages.figures.loose())
    }

    /// Gives back all dirty memory beyond `keep` bytes, and the address space of long free runs.
    /// Returns the bytes given back.
    pub fn trim(&self, keep: usize) -> usize {
        let now = self.os.now_ms() as u32;
        let keep = keep / SLICE;
        let mut total = 0;
        self.for_each_node(|index, _| {
            total += self.purge(index, now, self.os.thread(), |pages| pages.figures.loose().saturating_sub(keep));
        });
        total * SLICE
    }

    /// Has parked heaps release what they do not use, once they waited a quarter of `purge_delay` for a thread: it
    /// stays dirty as long as all else that was freed.
    fn settle_parked(&self, now: u32) {
        let deadline = now.wrapping_sub(self.config.purge_delay() / 4);
        self.for_each_node(|_, node| {
            loop {
                let heap = match node.lock(&self.os, self.os.thread()) {
                    Some(mut stores) => stores.pool.unpark_stale(deadline),
                    None => return,
                };
                if heap.is_null() {
                    return;
                }
                // SAFETY: a heap that was taken out of the pool: parked, so entered for the work, or buried.
                unsafe {
                    self.with_tenure(heap, || {
                        self.settle(heap, false);
                        self.dig_all(heap);
                    });
                    if let Some(mut stores) = node.lock(&self.os, self.os.thread()) {
                        stores.pool.park_settled(heap);
                    }
                }
            }
        });
    }

    /// One round of the purge thread; returns the ms to sleep, or 0 when it has nothing left to do.
    pub(crate) fn tick(&self) -> u32 {
        let now = self.os.now_ms() as u32;
        let work_left = |warm: bool| {
            let mut left = warm;
            self.for_each_node(|_, node| {
                if let Some(stores) = node.lock(&self.os, self.os.thread()) {
                    left |= stores.pages.figures.loose() > 0 || stores.pool.has_unsettled();
                }
            });
            // SAFETY: heaps are never unmapped.
            self.for_each_heap(|heap| left |= unsafe { (*heap).tenure.has_complete() });
            left
        };
        self.settle_parked(now);
        // SAFETY: as above.
        self.for_each_heap(|heap| unsafe {
            if (*heap).tenure.sleeps() {
                self.retire_complete(heap);
            }
        });
        let warm = self.settle_idle_crowd();
        self.for_each_node(|index, _| {
            self.purge(index, now, self.os.thread(), |_| 0);
        });
        if self.is_reading_due() {
            self.look(false);
        }
        if !work_left(warm) {
            // Whoever frees from here on sees 0 and starts another thread; what was freed just
            // before is seen here.
            self.purger.store(0, Ordering::SeqCst);
            if !work_left(false)
                || self.purger.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed).is_err()
            {
                return 0;
            }
        }
        (self.config.purge_delay() / 4).clamp(10, 1000)
    }
}

unsafe extern "C" fn tick<O: Os>(allocator: *mut u8) -> u32 {
    // SAFETY: `purge_excess` passed a static allocator.
    unsafe { (*allocator.cast::<Allocator<O>>()).tick() }
}
