//! S2: the page heap of one node: free runs of slices, descriptors, what is dirty.
//!
//! Owns every slice of its node's regions that is not in a span, and the memory of descriptors and
//! heaps. All of it is used under the node's lock and makes no system call: what needs one (more
//! memory, a purge) is answered by a value and done by `crate::pages` with the lock open.
//!
//! Invariants, under the lock:
//! * every slice of ours is in exactly one span or run;
//! * two free runs never touch (immediate coalescing; over regions too, where they are adjacent);
//! * the first and the last slice of a free run have its descriptor in the directory, those between
//!   have none; all slices of a small span have its descriptor; of a large one only the first;
//! * a slice of a free run reads as zero unless its dirty bit is set; in a span the bit is clear;
//! * runs with dirty slices are in a list, oldest first, but for those that are held (see [`crate::frames`]).
//!
//! Best fit: bins by size, exact up to 64 slices, then four a doubling, with a bit for each bin that
//! holds something.

mod figures;
mod framed;
mod gaps;
mod meta;
mod moved;

pub use figures::PageFigures;
pub use gaps::{Gaps, PIECE};

use crate::class::SLICE;
use crate::directory::{Bit, Directory};
use crate::frames;
use crate::span::{Kind, OWNER_NONE, Place, Span, SpanList};
use crate::sync::atomic::Ordering;
use core::ptr::null_mut;

const EXACT: usize = 64;
const BINS: usize = 192;
/// Slices of the longest request, 256 KiB, that is cut from the shortest run it fits.
const TIGHT: usize = (256 << 10) / SLICE;
/// How many runs of an inexact bin a search looks at.
const SCAN: usize = 64;
/// How many bins a search for a dirty run looks at.
const LOOK: usize = 16;

/// What slices are taken for.
#[derive(Debug)]
pub enum Purpose<'a> {
    /// Blocks of a class of which the heap has little: the span may never be carved to its end.
    Few,
    /// Blocks of a class of which the heap has several spans.
    Many,
    /// A large block; where to note which of its slices are clean, if anybody asks.
    Large(Option<&'a mut Gaps>),
}

impl<'a> Purpose<'a> {
    /// The same, to be used while this one waits.
    pub fn again(&mut self) -> Purpose<'_> {
        match self {
            Purpose::Few => Purpose::Few,
            Purpose::Many => Purpose::Many,
            Purpose::Large(gaps) => Purpose::Large(gaps.as_deref_mut()),
        }
    }
}

/// What the page heap could do about a request.
#[derive(Debug)]
#[must_use]
pub enum Take {
    /// A run, in no list; true: it reads as zero.
    Run(*mut Span, bool),
    /// No run is long enough: more memory, please.
    NeedRegion,
    /// Descriptors are short: more metadata, please.
    NeedMeta,
}

/// The page heap of one node; see the module. All zero when empty.
#[derive(Debug)]
pub struct PageHeap {
    bins: [SpanList; BINS],
    filled: [u64; BINS / 64],
    oldest: *mut Span,
    youngest: *mut Span,
    unused: *mut Span,
    meta_next: usize,
    meta_end: usize,
    node: u8,
    generation: u32,
    /// Some slices lie in frames (see [`crate::frames`]).
    framed: bool,
    /// Some frames are or were offered; which one the last take opened, or 0.
    offers: bool,
    opened: usize,
    /// Frames that are left in ordinary pages now, and after the next that comes slowly.
    pause: usize,
    patience: usize,
    /// When small blocks last reached a frame that was offered, ms.
    reached: u32,
    clock: u32,
    /// Figures, kept as things happen.
    pub figures: PageFigures,
}

fn bin_of(slices: usize) -> usize {
    if slices <= EXACT {
        slices - 1
    } else {
        let log = slices.ilog2() as usize;
        (EXACT + (log - 6) * 4 + (slices >> (log - 2) & 3)).min(BINS - 1)
    }
}

impl PageHeap {
    /// A page heap without memory: all zero.
    pub const fn new() -> Self {
        Self {
            bins: [SpanList::EMPTY; BINS],
            filled: [0; BINS / 64],
            oldest: null_mut(),
            youngest: null_mut(),
            unused: null_mut(),
            meta_next: 0,
            meta_end: 0,
            node: 0,
            generation: 0,
            framed: false,
            offers: false,
            opened: 0,
            pause: 0,
            patience: 0,
            reached: 0,
            clock: 0,
            figures: PageFigures::NONE,
        }
    }

    /// Says which node this page heap is of; before first use.
    pub fn set_node(&mut self, node: u8) {
        self.node = node;
    }

    /// Which stores these are: counts [`begin_anew`](Self::begin_anew).
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// In a fork's child, when a thread was inside the lock: forgets all free runs and descriptors,
    /// which may be torn. They are never joined or listed again; what is in spans stays.
    pub fn begin_anew(&mut self) {
        let Self { node, generation, framed, offers, clock, mut figures, .. } = *self;
        figures.active = figures.active.min(figures.mapped);
        figures.dirty = 0;
        figures.held = 0;
        *self = Self { node, generation: generation + 1, framed, offers, clock, figures, ..Self::new() };
    }

    // Free runs.

    /// Adds a fresh region: `slices` zero slices at `start`, whose windows are installed.
    ///
    /// # Safety
    /// The memory is the caller's and in no page heap.
    pub unsafe fn add_region(&mut self, directory: &Directory, start: usize, slices: usize) {
        self.figures.mapped += slices;
        // SAFETY: the caller's memory; we have the lock.
        unsafe {
            directory.mark(Bit::Ours, start, slices, true);
            self.insert(directory, start, slices, 0, 0);
        }
    }

    /// Takes `slices` slices at a multiple of `align` slices out of the best-fitting run. The
    /// descriptor's `start` and `slices` are set; the directory has no entry for it yet.
    pub fn take(&mut self, directory: &Directory, slices: usize, align: usize, purpose: Purpose<'_>) -> Take {
        if self.needs_meta() {
            return Take::NeedMeta;
        }
        let Some(run) = self.best_fit(slices, align) else { return Take::NeedRegion };
        // SAFETY: a run of ours, under the lock.
        unsafe {
            let mut start = ((*run).start + (align * SLICE - 1)) & !(align * SLICE - 1);
            if 0 < (*run).dirty && (*run).dirty < (*run).slices {
                // Partly dirty: from the end with more of it.
                let tail = ((*run).end() - slices * SLICE) & !(align * SLICE - 1);
                let dirty = |start| directory.count(Bit::Dirty, start, slices);
                if dirty(tail) > dirty(start) {
                    start = tail;
                }
            } else if self.offers
                && matches!(purpose, Purpose::Large(_))
                && directory.has(Bit::Offered, (*run).start)
            {
                // Frames are for small blocks.
                start = ((*run).end() - slices * SLICE) & !(align * SLICE - 1);
            }
            Take::Run(run, self.carve(directory, run, start, slices, purpose))
        }
    }

    /// Takes the first `slices` slices of the free run that begins at `address`, if there is one of
    /// at least that length: what a block there needs to grow in place.
    #[must_use]
    pub fn take_at(
        &mut self,
        directory: &Directory,
        address: usize,
        slices: usize,
        gaps: Option<&mut Gaps>,
    ) -> bool {
        if self.needs_meta() {
            return false;
        }
        let run = directory.find(address);
        // SAFETY: descriptors are readable for ever; the node is fixed, the rest is under our lock
        // when the node is ours.
        unsafe {
            if !self.is_free(directory, run) || (*run).start != address || ((*run).slices as usize) < slices {
                return false;
            }
            self.carve(directory, run, address, slices, Purpose::Large(gaps));
            self.drop_descriptor(run);
        }
        true
    }

    /// Cuts `start..start + slices` out of `run`, which becomes its descriptor; the rest goes back.
    /// True: the part reads as zero.
    unsafe fn carve(
        &mut self,
        directory: &Directory,
        run: *mut Span,
        start: usize,
        slices: usize,
        purpose: Purpose<'_>,
    ) -> bool {
        // SAFETY: a free run of ours, under the lock; every part lies in it.
        unsafe {
            let dense = matches!(purpose, Purpose::Many);
            if let Purpose::Large(Some(gaps)) = purpose {
                self.note_gaps(directory, gaps, run, start, slices);
            }
            let (run_start, run_end, mut stamp) = ((*run).start, (*run).end(), (*run).stamp);
            let mut dirty_all = (*run).dirty as usize;
            self.unlink(directory, run);
            let end = start + slices * SLICE;
            if self.framed {
                if self.offers {
                    self.open_frames(directory, start, slices, dense);
                }
                let backed = frames::back(directory, run_start, run_end, start, end);
                stamp = mean_stamp(self.clock, backed, stamp, dirty_all);
                dirty_all += backed;
                self.figures.dirty += backed;
                directory.mark(Bit::Used, start, slices, true);
            }
            let dirty = if dirty_all == 0 { 0 } else { directory.mark(Bit::Dirty, start, slices, false) };
            self.figures.dirty -= dirty;
            if run_start < start {
                let head = (start - run_start) / SLICE;
                let count = if dirty_all == 0 { 0 } else { directory.count(Bit::Dirty, run_start, head) };
                self.place(directory, null_mut(), run_start, head, count, stamp);
            }
            if end < run_end {
                let tail = (run_end - end) / SLICE;
                let count = if dirty_all == 0 { 0 } else { directory.count(Bit::Dirty, end, tail) };
                self.place(directory, null_mut(), end, tail, count, stamp);
            }
            (*run).start = start;
            (*run).slices = slices as u32;
            self.figures.active += slices;
            let figures = &mut self.figures;
            figures.peak_active = figures.peak_active.max(figures.active);
            figures.peak_dirty = figures.peak_dirty.max(figures.active + figures.dirty);
            figures.recent_peak = figures.recent_peak.max(figures.active);
            let regret = figures.recent_purged.min(slices - dirty);
            figures.recent_purged -= regret;
            figures.recent_regret += regret;
            dirty == 0
        }
    }

    /// Takes back a range that was in a span: clears its first `entries` directory entries; its first
    /// `touched` slices may not be zero. The span's descriptor stays the caller's.
    ///
    /// # Safety
    /// The range was taken here and nothing in it is used any more.
    pub unsafe fn put(
        &mut self,
        directory: &Directory,
        start: usize,
        slices: usize,
        entries: usize,
        touched: usize,
        now: u32,
    ) {
        // Before the use falls: it stood there until now, however long ago the figures aged.
        self.figures.age(now);
        // SAFETY: the caller's range, under the lock.
        unsafe {
            directory.set_range(start, entries, null_mut());
            self.figures.active = self.figures.active.saturating_sub(slices);
            if self.framed {
                directory.mark(Bit::Used, start, slices, false);
            }
            let dirty = if touched > 0 { directory.mark(Bit::Dirty, start, touched, true) } else { 0 };
            self.figures.dirty += dirty;
            self.insert(directory, start, slices, dirty, now);
        }
    }

    /// Joins a range with the free runs beside it and files the result.
    unsafe fn insert(&mut self, directory: &Directory, start: usize, slices: usize, dirty: usize, now: u32) {
        let (mut start, mut slices, mut dirty, mut stamp) = (start, slices, dirty, now);
        let mut own: *mut Span = null_mut();
        for beside in [start.wrapping_sub(SLICE), start + slices * SLICE] {
            let run = directory.find(beside);
            // SAFETY: descriptors are readable for ever; `node` never changes, and under its lock
            // `kind` does not either.
            unsafe {
                // A fork's child may find an entry that a thread, gone by now, had no time to clear: its descriptor can
                // be that of a run elsewhere.
                let adjoins = (*run).end() == start || (*run).start == start + slices * SLICE;
                if !self.is_free(directory, run) {
                    continue;
                }
                debug_assert!(adjoins || self.generation > 0, "a run beside the range");
                if !adjoins {
                    continue;
                }
                stamp = mean_stamp(stamp, dirty, (*run).stamp, (*run).dirty as usize);
                start = start.min((*run).start);
                slices += (*run).slices as usize;
                dirty += (*run).dirty as usize;
                self.unlink(directory, run);
                if own.is_null() {
                    own = run;
                } else {
                    self.drop_descriptor(run);
                }
            }
        }
        // SAFETY: the joined range.
        unsafe { self.place(directory, own, start, slices, dirty, stamp) };
    }

    /// True for a free run of this page heap. `node` of a descriptor never changes, and under its node's
    /// lock its `kind` does not either.
    unsafe fn is_free(&self, directory: &Directory, run: *mut Span) -> bool {
        // SAFETY: descriptors are readable for ever.
        unsafe {
            !directory.is_foreign(run)
                && (*run).node == self.node
                && (*run).kind == Kind::Free
                && (*run).generation == self.generation
        }
    }

    /// Files a free run under its size and, if dirty, its age. `run`: its descriptor, or null.
    unsafe fn place(
        &mut self,
        directory: &Directory,
        run: *mut Span,
        start: usize,
        slices: usize,
        dirty: usize,
        stamp: u32,
    ) {
        let run = if run.is_null() { self.descriptor() } else { run };
        if run.is_null() {
            // Every caller made sure of descriptors; without one the range is left unused.
            return;
        }
        let bin = bin_of(slices);
        // SAFETY: our descriptor and range.
        unsafe {
            (*run).kind = Kind::Free;
            (*run).generation = self.generation;
            (*run).set_place(Place::None);
            (*run).owner.store(OWNER_NONE, Ordering::Relaxed);
            (*run).start = start;
            (*run).slices = slices as u32;
            (*run).dirty = dirty as u32;
            (*run).stamp = stamp;
            (*run).kept = 0;
            directory.set(start, run);
            directory.set(start + (slices - 1) * SLICE, run);
            if dirty > 0 {
                // What is dirty is used first.
                self.bins[bin].push_front(run);
                self.age(run);
            } else {
                self.bins[bin].push_back(run);
            }
        }
        self.filled[bin / 64] |= 1 << (bin % 64);
    }

    /// Takes a free run out of its bin, the list of dirty runs and the directory.
    unsafe fn unlink(&mut self, directory: &Directory, run: *mut Span) {
        // SAFETY: a free run of ours.
        unsafe {
            let bin = bin_of((*run).slices as usize);
            self.bins[bin].remove(run);
            if self.bins[bin].first.is_null() {
                self.filled[bin / 64] &= !(1 << (bin % 64));
            }
            directory.set((*run).start, null_mut());
            directory.set((*run).end() - SLICE, null_mut());
            if (*run).kept != 0 {
                (*run).kept = 0;
                self.figures.held -= (*run).dirty as usize;
            } else if (*run).dirty > 0 {
                self.unage(run);
            }
            (*run).dirty = 0;
        }
    }

    /// Takes a run out of the list of dirty runs.
    unsafe fn unage(&mut self, run: *mut Span) {
        // SAFETY: a run of ours in that list.
        unsafe {
            let (older, younger) = ((*run).older, (*run).younger);
            if older.is_null() {
                self.oldest = younger;
            } else {
                (*older).younger = younger;
            }
            if younger.is_null() {
                self.youngest = older;
            } else {
                (*younger).older = older;
            }
        }
    }

    /// Files a dirty run by its stamp: runs come mostly in order, so the search starts at the young
    /// end.
    unsafe fn age(&mut self, run: *mut Span) {
        // SAFETY: runs of ours.
        unsafe {
            let mut before = self.youngest;
            let mut steps = 0;
            while !before.is_null() && steps < SCAN && older((*run).stamp, (*before).stamp) {
                before = (*before).older;
                steps += 1;
            }
            let after = if before.is_null() { self.oldest } else { (*before).younger };
            (*run).older = before;
            (*run).younger = after;
            if before.is_null() {
                self.oldest = run;
            } else {
                (*before).younger = run;
            }
            if after.is_null() {
                self.youngest = run;
            } else {
                (*after).older = run;
            }
        }
    }

    /// The run to cut `slices` slices at a multiple of `align` out of: up to [`TIGHT`] the shortest that
    /// is long enough, dirty before clean; above, the one that needs the fewest clean slices, and of
    /// those the shortest. A fault for each page of a large block costs more than all the rest of it.
    fn best_fit(&self, slices: usize, align: usize) -> Option<*mut Span> {
        let need = slices.checked_add(align - 1)?;
        if need <= TIGHT {
            return self.tight_fit(need, bin_of(need));
        }
        let mut bin = bin_of(slices);
        let mut best: *mut Span = null_mut();
        let mut best_cost = (usize::MAX, usize::MAX);
        let mut seen = 0;
        while let Some(filled) = self.next_filled(bin) {
            bin = filled;
            let mut run = self.bins[bin].first;
            // SAFETY: the bin's runs are ours.
            unsafe {
                while !run.is_null() && seen < SCAN {
                    let length = (*run).slices as usize;
                    let cost = (slices.saturating_sub((*run).dirty as usize), length);
                    let first = ((*run).start + (align * SLICE - 1)) & !(align * SLICE - 1);
                    if first + slices * SLICE <= (*run).end() && cost < best_cost {
                        (best, best_cost) = (run, cost);
                    }
                    run = (*run).next;
                    seen += 1;
                }
            }
            if !best.is_null() && (seen >= SCAN || best_cost.0 == 0) {
                break;
            }
            // A bin that is longer than the scan and holds nothing long enough: the next one does.
            seen = seen.min(SCAN - 1);
            bin += 1;
        }
        (!best.is_null()).then_some(best)
    }

    /// The shortest run of at least `need` slices, at most [`TIGHT`], that is dirty; else the shortest.
    fn tight_fit(&self, need: usize, mut bin: usize) -> Option<*mut Span> {
        let mut shortest = None;
        for _ in 0..LOOK {
            let Some(filled) = self.next_filled(bin) else { break };
            let run = self.bins[filled].first;
            // SAFETY: the bin's runs are ours, the dirty ones first.
            if unsafe { (*run).dirty as usize } >= need {
                return Some(run);
            }
            shortest = shortest.or(Some(run));
            bin = filled + 1;
        }
        shortest
    }

    /// True when a request of `slices` slices would be met with memory that is mostly dirty.
    pub fn is_mostly_dirty(&self, slices: usize) -> bool {
        // SAFETY: a run of ours.
        self.best_fit(slices, 1).is_some_and(|run| unsafe { (*run).dirty as usize * 4 >= slices * 3 })
    }

    fn next_filled(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = *self.filled.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.filled.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    // Purging.

    /// Takes the oldest dirty run out for a purge: it is in no list and nobody's but the caller's
    /// until [`end_purge`](Self::end_purge). Null: nothing is dirty. Its `dirty` is kept.
    #[must_use]
    pub fn begin_purge(&mut self, directory: &Directory) -> *mut Span {
        let run = self.oldest;
        if !run.is_null() {
            // SAFETY: a free run of ours.
            unsafe { self.lend(directory, run) };
        }
        run
    }

    /// Takes a free run out of all lists. Its ends stay in the directory, so that a free of an address
    /// in it is still recognised; `Purging` keeps neighbours from joining it.
    pub(super) unsafe fn lend(&mut self, directory: &Directory, run: *mut Span) {
        // SAFETY: the caller's free run.
        unsafe {
            let dirty = (*run).dirty;
            self.unlink(directory, run);
            (*run).kind = Kind::Purging;
            (*run).dirty = dirty;
            directory.set((*run).start, run);
            directory.set((*run).end() - SLICE, run);
        }
    }

    /// Records that `slices` slices at `start` of a run in purge read as zero now.
    ///
    /// # Safety
    /// The run is the caller's by [`begin_purge`](Self::begin_purge).
    pub unsafe fn cleaned(&mut self, directory: &Directory, run: *mut Span, start: usize, slices: usize) {
        // SAFETY: the caller's run, under the lock.
        unsafe {
            let cleaned = directory.mark(Bit::Dirty, start, slices, false);
            (*run).dirty -= cleaned as u32;
            self.figures.dirty -= cleaned;
        }
    }

    /// Files a run again after its purge. `gone`: its memory was unmapped, forget it.
    ///
    /// # Safety
    /// As for [`cleaned`](Self::cleaned); with `gone`, the whole run was unmapped.
    pub unsafe fn end_purge(&mut self, directory: &Directory, run: *mut Span, gone: bool, now: u32) {
        // SAFETY: the caller's run, under the lock.
        unsafe {
            let (start, slices, dirty) = ((*run).start, (*run).slices as usize, (*run).dirty as usize);
            directory.set(start, null_mut());
            directory.set(start + (slices - 1) * SLICE, null_mut());
            (*run).dirty = 0;
            self.drop_descriptor(run);
            if gone {
                self.forget(directory, start, slices);
            } else {
                self.insert(directory, start, slices, dirty, now);
            }
        }
    }

    /// Forgets slices that were unmapped and are in no run (or in one that the caller drops).
    ///
    /// # Safety
    /// The slices have no directory entries and are unmapped.
    pub unsafe fn forget(&mut self, directory: &Directory, start: usize, slices: usize) {
        // SAFETY: under the lock.
        unsafe {
            self.figures.dirty -= directory.mark(Bit::Dirty, start, slices, false);
            directory.mark(Bit::Ours, start, slices, false);
            self.figures.seams -= directory.mark(Bit::Seam, start, slices, false);
            if self.framed {
                self.forget_frames(directory, start, slices);
            }
        }
        self.figures.mapped -= slices;
    }

    /// Takes the longest free run of at least `least` slices out as if for a purge, or null.
    #[must_use]
    pub fn begin_release(&mut self, directory: &Directory, least: usize) -> *mut Span {
        let mut bin = BINS;
        while bin > 0 {
            bin -= 1;
            let run = self.bins[bin].first;
            // SAFETY: a free run of ours.
            unsafe {
                if !run.is_null() && (*run).slices as usize >= least {
                    self.lend(directory, run);
                    return run;
                }
            }
        }
        null_mut()
    }

    /// When the oldest dirty slices were freed, ms; `None` when nothing is dirty.
    pub fn oldest_stamp(&self) -> Option<u32> {
        // SAFETY: a run of ours, or null.
        unsafe { self.oldest.as_ref() }.map(|run| run.stamp)
    }
}

impl Default for PageHeap {
    fn default() -> Self {
        Self::new()
    }
}

/// When the dirty slices of two runs that join were freed, on average: a run that grows and shrinks all
/// the time must not be taken for old because a part of it is.
fn mean_stamp(a: u32, dirty_a: usize, b: u32, dirty_b: usize) -> u32 {
    let dirty = dirty_a + dirty_b;
    if dirty == 0 {
        return a;
    }
    let apart = i64::from(b.wrapping_sub(a) as i32);
    a.wrapping_add((apart * dirty_b as i64 / dirty as i64) as u32)
}

/// True when the time `a` lies before `b`; both wrap.
pub fn older(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) > 0
}
