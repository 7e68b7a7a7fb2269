//! Between the strata: what the page heap answers, done with its lock open.
//!
//! Every system call of the allocator is made here (or in [`crate::purge`] and for holes in spans), and none of them while
//! a lock is held.

use crate::addr::{addr, ptr};
use crate::allocator::Allocator;
use crate::class::SLICE;
use crate::directory::{ADDRESS_END, WINDOW_BYTES, WINDOW_SHIFT, Window};
use crate::frames::Backing;
use crate::node::Locked;
use crate::os::Os;
use crate::page_heap::{PageHeap, Purpose, Take};
use crate::span::{Kind, Span};
use crate::sync::atomic::Ordering;
use core::ptr::{NonNull, null_mut};

/// Slices of the first region: small programs live in it.
const FIRST_REGION: usize = (1 << 20) / SLICE;
/// Slices of a region at most, unless a block needs more.
const MAX_REGION: usize = (256 << 20) / SLICE;
/// Bytes of metadata mapped at a time, at least.
const META_STEP: usize = 256 * 1024;

impl<O: Os> Allocator<O> {
    /// A span of `slices` slices at a multiple of `align` slices, or null. `init` writes the
    /// descriptor (its kind above all) and is told whether the memory reads as zero; it runs under
    /// the node's lock, before the span can be found.
    ///
    /// # Safety
    /// `init` makes the descriptor `Small` or `Large` and calls nothing of the allocator.
    pub(crate) unsafe fn alloc_span(
        &self,
        node: usize,
        slices: usize,
        align: usize,
        mut purpose: Purpose<'_>,
        init: impl FnOnce(*mut Span, bool),
    ) -> *mut Span {
        let mut tried = 0;
        loop {
            let Some(mut stores) = self.node(node).lock(&self.os, self.os.thread()) else { return null_mut() };
            if stores.pages.is_framed() {
                stores.pages.set_clock(self.os.now_ms() as u32);
            }
            match stores.pages.take(&self.directory, slices, align, purpose.again()) {
                Take::Run(span, zero) => {
                    // SAFETY: the run is ours, in no list; its descriptor is written before the
                    // directory shows it.
                    unsafe {
                        (*span).next = null_mut();
                        (*span).prev = null_mut();
                        (*span).dirty = 0;
                        init(span, zero);
                        let entries = if (*span).kind == Kind::Large { 1 } else { slices };
                        self.directory.set_range((*span).start, entries, span);
                        if (*span).kind == Kind::Large {
                            stores.pages.figures.add_large((*span).size);
                        }
                    }
                    let beyond = stores.pages.figures.is_beyond();
                    let opened = stores.pages.take_opened();
                    drop(stores);
                    if opened != 0 {
                        // SAFETY: the new span's first touch.
                        unsafe { self.back_frame(node, opened, span) };
                    }
                    if beyond {
                        self.look(true);
                    }
                    return span;
                }
                Take::NeedMeta => {
                    drop(stores);
                    if !self.add_meta(node, PageHeap::needs_meta) {
                        return null_mut();
                    }
                }
                Take::NeedRegion => {
                    let mapped = stores.pages.figures.mapped;
                    drop(stores);
                    if self.add_region(node, slices, align, mapped) {
                        self.grown();
                        continue;
                    }
                    // Address space may be short: give free runs back whole and try once more.
                    tried += 1;
                    if tried > 1 || !self.release_all_runs(node) {
                        return null_mut();
                    }
                }
            }
        }
    }

    /// The lock that `stores` is, once descriptors are at hand for another operation, as far as they can be had: it may
    /// have been open meanwhile. `None` inside a signal handler that interrupted its holder.
    pub(crate) fn with_descriptors<'a>(&'a self, node: usize, stores: Locked<'a, O>) -> Option<Locked<'a, O>> {
        let mut stores = stores;
        while stores.pages.needs_meta() {
            drop(stores);
            let more = self.add_meta(node, PageHeap::needs_meta);
            stores = self.node(node).lock(&self.os, self.os.thread())?;
            if !more {
                break;
            }
        }
        Some(stores)
    }

    /// Takes a span back, descriptor and all.
    ///
    /// # Safety
    /// The span is in no list, no token of it is out, and nothing in it is used.
    pub(crate) unsafe fn free_span(&self, span: *mut Span) {
        // SAFETY: the caller's span.
        unsafe {
            // What was not carved is as it was when the span was made.
            let touched = if (*span).kind == Kind::Large || (*span).dirty != 0 {
                (*span).slices as usize
            } else {
                ((*span).carved() as usize * (*span).block_size()).div_ceil(SLICE)
            };
            self.return_span(span, touched, false);
        }
    }

    /// As [`free_span`](Self::free_span), for a span whose memory reads as zero.
    ///
    /// # Safety
    /// The same, and it does.
    pub(crate) unsafe fn free_clean_span(&self, span: *mut Span) {
        // SAFETY: the caller's contract.
        unsafe { self.return_span(span, 0, false) };
    }

    /// As [`free_span`](Self::free_span), for a span whose memory is not mapped any more.
    ///
    /// # Safety
    /// The same, and it is not.
    pub(crate) unsafe fn forget_span(&self, span: *mut Span) {
        // SAFETY: the caller's contract.
        unsafe { self.return_span(span, 0, true) };
    }

    unsafe fn return_span(&self, span: *mut Span, touched: usize, gone: bool) {
        // SAFETY: the caller's span. Its descriptor goes first, so that one is at hand for the run.
        unsafe {
            let node = (*span).node as usize;
            let (start, slices) = ((*span).start, (*span).slices as usize);
            let large = (*span).kind == Kind::Large;
            let entries = if large { 1 } else { slices };
            let now = self.os.now_ms() as u32;
            // A signal handler that interrupted the holder of the lock and frees: the span is lost,
            // which is the least of its troubles.
            let Some(mut stores) = self.node(node).lock(&self.os, self.os.thread()) else { return };
            if large {
                stores.pages.figures.remove_large((*span).size);
            }
            stores.pages.drop_descriptor(span);
            if gone {
                self.directory.set_range(start, entries, null_mut());
                stores.pages.figures.active = stores.pages.figures.active.saturating_sub(slices);
                stores.pages.forget(&self.directory, start, slices);
                self.unreserve(slices);
            } else {
                stores.pages.put(&self.directory, start, slices, entries, touched, now);
            }
            let purge = self.purge_due(&mut stores.pages, now);
            drop(stores);
            if purge {
                self.purge_excess(node, now);
            }
        }
    }

    /// Takes back the memory of a span whose descriptor somebody else still knows. `stores`: the lock, which is opened.
    ///
    /// # Safety
    /// Nothing in the range is used; a descriptor is at hand, and the lock was held since the span was retired.
    pub(crate) unsafe fn free_range(&self, node: usize, mut stores: Locked<'_, O>, start: usize, slices: usize) {
        let now = self.os.now_ms() as u32;
        // SAFETY: the caller's range.
        unsafe { stores.pages.put(&self.directory, start, slices, slices, slices, now) };
        let purge = self.purge_due(&mut stores.pages, now);
        drop(stores);
        if purge {
            self.purge_excess(node, now);
        }
    }

    /// Takes back the descriptor of a span whose memory is gone.
    ///
    /// # Safety
    /// The caller took the span's token and found it retired.
    pub(crate) unsafe fn drop_retired(&self, span: *mut Span) {
        // SAFETY: the caller's descriptor.
        unsafe {
            if let Some(mut stores) = self.node((*span).node as usize).lock(&self.os, self.os.thread()) {
                stores.pages.drop_descriptor(span);
            }
        }
    }

    /// `bytes` of zeroed metadata that is never given back, or null.
    pub(crate) fn alloc_meta(&self, node: usize, bytes: usize, align: usize) -> *mut u8 {
        loop {
            let Some(mut stores) = self.node(node).lock(&self.os, self.os.thread()) else { return null_mut() };
            let memory = stores.pages.meta(bytes, align);
            drop(stores);
            if !memory.is_null() {
                return memory;
            }
            if !self.add_meta(node, |pages| !pages.has_meta(bytes, align)) {
                return null_mut();
            }
        }
    }

    /// Maps metadata, as long as it is `short`: of the threads that found so at once, one's memory is
    /// enough. False: it cannot be had.
    pub(crate) fn add_meta(&self, node: usize, short: impl Fn(&PageHeap) -> bool) -> bool {
        let metadata = match self.node(node).lock(&self.os, self.os.thread()) {
            Some(stores) if short(&stores.pages) => stores.pages.figures.metadata,
            Some(_) => return true,
            None => return false,
        };
        if node == 0 && !self.first_meta_used.swap(true, Ordering::AcqRel) {
            let (start, bytes) = self.first_meta();
            return self.give_meta(node, start, bytes, |_| true).is_some();
        }
        let bytes = (metadata / 4).clamp(META_STEP, 16 * META_STEP).next_multiple_of(META_STEP);
        // Short of memory, one slice will do.
        for bytes in [bytes, SLICE] {
            if let Some(memory) = self.map(bytes, SLICE) {
                let given = self.give_meta(node, addr(memory.as_ptr()), bytes, &short);
                if given != Some(true) {
                    // SAFETY: just mapped, seen by nobody.
                    unsafe { self.unmap(memory, bytes) };
                }
                return given.is_some();
            }
        }
        false
    }

    /// Gives metadata to the page heap if it is `short`, and says whether it was; `None`: this thread is
    /// inside the lock.
    fn give_meta(
        &self,
        node: usize,
        start: usize,
        bytes: usize,
        short: impl Fn(&PageHeap) -> bool,
    ) -> Option<bool> {
        let mut stores = self.node(node).lock(&self.os, self.os.thread())?;
        let short = short(&stores.pages);
        if short {
            // SAFETY: memory of ours that stays mapped.
            unsafe { stores.pages.add_meta(start, bytes) };
        }
        Some(short)
    }

    /// Maps a region for at least `slices` slices at a multiple of `align` slices, as long as no more than
    /// `mapped` slices are. False: it cannot be had.
    fn add_region(&self, node: usize, slices: usize, align: usize, mapped: usize) -> bool {
        let Some(need) = slices.checked_add(align - 1).filter(|&need| need < ADDRESS_END / SLICE) else {
            return false;
        };
        let mut backing = self.backing_for(mapped, need);
        while !self.add_region_in(backing, node, need, mapped) {
            match self.second_best(backing) {
                Some(next) => backing = next,
                None => return false,
            }
        }
        true
    }

    fn add_region_in(&self, backing: Backing, node: usize, need: usize, mapped: usize) -> bool {
        // Nodes keep to 64-slice groups of their own (see `Directory::mark`).
        let unit = if self.os.nodes() > 1 { 64 } else { 1 }.max(backing.slices());
        let base = unit * SLICE;
        let Some(need) = need.checked_next_multiple_of(unit) else { return false };
        // A quarter more each time: few calls, and little address space that is not used.
        let step = (mapped / 4).clamp(FIRST_REGION, MAX_REGION).next_multiple_of(unit);
        let mut wish = self.reserve(need, need.max(step), unit);
        if wish == 0 {
            return false;
        }
        loop {
            if let Some(memory) = self.map_in(backing, wish * SLICE, base) {
                let start = addr(memory.as_ptr());
                let filed = if start + wish * SLICE <= ADDRESS_END && self.add_windows(start, wish) {
                    let backing = self.advised(backing, memory, wish * SLICE);
                    self.file_region(node, start, wish, backing, mapped)
                } else {
                    None
                };
                if filed != Some(true) {
                    // SAFETY: just mapped, seen by nobody.
                    unsafe { self.unmap(memory, wish * SLICE) };
                    self.unreserve(wish);
                }
                return filed.is_some();
            }
            let less = if wish <= need { 0 } else { (wish / 2).max(need).next_multiple_of(unit) };
            self.unreserve(wish - less);
            if less == 0 {
                return false;
            }
            wish = less;
        }
    }

    /// Counts slices as mapped that are about to be: from `need` to `wish` of them, a multiple of
    /// `unit`, as the option `limit` leaves room. 0: it leaves too little.
    fn reserve(&self, need: usize, wish: usize, unit: usize) -> usize {
        let limit = self.config.limit() / SLICE;
        let slices = &self.counters.slices;
        // Relaxed: a count; what is mapped is published under the node's lock.
        let mut used = slices.load(Ordering::Relaxed);
        loop {
            let room = if self.config.limit() == 0 { usize::MAX } else { limit.saturating_sub(used) };
            let part = wish.min(room / unit * unit);
            if part < need {
                return 0;
            }
            match slices.compare_exchange_weak(used, used + part, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return part,
                Err(now) => used = now,
            }
        }
    }

    /// Slices that [`reserve`](Self::reserve) counted are not mapped (any more).
    pub(crate) fn unreserve(&self, slices: usize) {
        self.counters.slices.fetch_sub(slices, Ordering::Relaxed);
    }

    /// Gives a fresh region, whose windows are installed, to the node's page heap, unless that has grown
    /// beyond `mapped` meanwhile: of the threads that found it short at once, one's region is enough. Says
    /// whether it did; `None`: it cannot be filed.
    fn file_region(
        &self,
        node: usize,
        start: usize,
        slices: usize,
        backing: Backing,
        mapped: usize,
    ) -> Option<bool> {
        loop {
            let mut stores = self.node(node).lock(&self.os, self.os.thread())?;
            if stores.pages.figures.mapped > mapped {
                return Some(false);
            }
            if !stores.pages.needs_meta() {
                // SAFETY: the caller's memory.
                unsafe { stores.pages.add_framed(&self.directory, start, slices, backing) };
                return Some(true);
            }
            drop(stores);
            if !self.add_meta(node, PageHeap::needs_meta) {
                return None;
            }
        }
    }

    fn add_windows(&self, start: usize, slices: usize) -> bool {
        let mut window = start >> WINDOW_SHIFT;
        let last = (start + slices * SLICE - 1) >> WINDOW_SHIFT;
        while window <= last {
            let address = window << WINDOW_SHIFT;
            if self.directory.window(address).is_null() {
                let Some(memory) = self.map(WINDOW_BYTES, SLICE) else { return false };
                let table: *mut Window = memory.as_ptr().cast();
                // SAFETY: zeroed, ours, never unmapped once installed.
                unsafe {
                    if !self.directory.install(address, table) {
                        self.unmap(memory, WINDOW_BYTES);
                    }
                }
            }
            window += 1;
        }
        true
    }

    /// Unmaps the free runs of `node`, and where the option `limit` counts those of the others too, all of
    /// them; true when any went.
    fn release_all_runs(&self, node: usize) -> bool {
        let mut any = self.release_runs(node, 1);
        if self.config.limit() != 0 {
            self.for_each_node(|index, _| any |= self.release_runs(index, 1));
        }
        any
    }

    /// Unmaps free runs of at least `least` slices; true when any went.
    pub(crate) fn release_runs(&self, node: usize, least: usize) -> bool {
        let mut any = false;
        loop {
            let Some(mut stores) = self.node(node).lock(&self.os, self.os.thread()) else { return any };
            if stores.pages.figures.reserved > 0 {
                // Of reserved pages only whole ones can be unmapped, which a purge does.
                drop(stores);
                return self.purge_all(node) > 0 || any;
            }
            let run = stores.pages.begin_release(&self.directory, least);
            drop(stores);
            if run.is_null() {
                return any;
            }
            // SAFETY: the run is ours until `end_purge`.
            unsafe {
                let (start, slices, dirty) = ((*run).start, (*run).slices as usize, (*run).dirty);
                let gone = match NonNull::new(ptr::<u8>(start)) {
                    Some(memory) => self.unmap(memory, slices * SLICE),
                    None => false,
                };
                if gone {
                    self.unreserve(slices);
                    self.counters.purged.fetch_add(u64::from(dirty) * SLICE as u64, Ordering::Relaxed);
                    self.counters.purges.fetch_add(1, Ordering::Relaxed);
                }
                if let Some(mut stores) = self.node(node).lock(&self.os, self.os.thread()) {
                    stores.pages.end_purge(&self.directory, run, gone, self.os.now_ms() as u32);
                }
                if !gone {
                    return any;
                }
                any = true;
            }
        }
    }

    /// Runs `work` on the page heap of `node`, locked; `None` inside a signal handler that
    /// interrupted the holder.
    pub(crate) fn with_pages<T>(&self, node: usize, work: impl FnOnce(&mut PageHeap) -> T) -> Option<T> {
        let mut stores = self.node(node).lock(&self.os, self.os.thread())?;
        Some(work(&mut stores.pages))
    }
}
