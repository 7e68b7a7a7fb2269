//! Huge pages: which regions get them, what stands in for those that the system lacks, and the purge of frames.
//!
//! The option `huge_pages` says what is wanted. The system is asked once, when the first region is mapped that
//! might have huge pages; without the option, never. What it lacks is replaced by the next best:
//! pages of 1 GiB by pages of 2 MiB, reserved pages by transparent ones, those by ordinary ones. Why, is kept as a
//! set of reasons ([`Reason`]) for `show` and the report.
//!
//! Purging a page heap that has frames is `purge_frames`; what may go is said in [`crate::frames`].

use crate::addr::ptr;
use crate::allocator::Allocator;
use crate::class::SLICE;
use crate::directory::Bit;
use crate::frames::{self, Backing, DENSE, FRAME, Frame, GIANT};
use crate::node::Locked;
use crate::options::HugePages;
use crate::os::{Advice, Os, Transparent};
use crate::page_heap::PageHeap;
use crate::purge::UNMAP;
use crate::span::Span;
use crate::sync::atomic::{AtomicU32, Ordering};
use core::ptr::NonNull;

/// Slices of a node that are mapped without huge pages before `madvise` and `hugetlb` ask for some, 4 MiB: programs
/// that stay below hold a 2 MiB page for nothing.
const FROM: usize = (4 << 20) / SLICE;
/// Slices of a node that are mapped before `auto` offers frames, 16 MiB.
const OFFERED_FROM: usize = (8 << 20) / SLICE;
/// Nanoseconds that the first touch of a frame may take: the faults of as many ordinary pages take 100 µs on bare
/// metal and 700 µs in a virtual machine, a huge page 50 to 200 µs, unless the host has no memory behind it: 7 ms.
const FAST: u64 = 400_000;
/// Slices of a node that are mapped before a page of 1 GiB is asked for, 256 MiB.
const GIANT_FROM: usize = GIANT / 4;
/// Frames of a node that are split at a time, at most. Each may cost two kernel mappings, of which a process
/// has 65530 by default.
const MAX_SPLIT: usize = 4096;

/// Why less is in force than the option asks for: bits of
/// [`Snapshot::huge_fallback`](crate::stats::Snapshot::huge_fallback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// The system has no transparent huge pages.
    Absent = 1,
    /// They are switched off in the system.
    Off = 2,
    /// This process was told not to use them.
    Forbidden = 4,
    /// They are not of 2 MiB.
    Bytes = 8,
    /// The system refused the advice.
    Refused = 16,
    /// Too few pages of 2 MiB are reserved.
    TwoMib = 32,
    /// Too few pages of 1 GiB are reserved.
    OneGib = 64,
}

impl Reason {
    /// Every reason with the words for people.
    pub const ALL: [(Reason, &'static str); 7] = [
        (Reason::Absent, "the system has no transparent huge pages"),
        (Reason::Off, "transparent huge pages are switched off in the system"),
        (Reason::Forbidden, "this process was told not to use transparent huge pages"),
        (Reason::Bytes, "the system's transparent huge pages are not of 2 MiB"),
        (Reason::Refused, "the system refused the advice about huge pages"),
        (Reason::TwoMib, "too few huge pages of 2 MiB are reserved"),
        (Reason::OneGib, "too few huge pages of 1 GiB are reserved"),
    ];
}

/// What is known of the system's huge pages. All zero: nothing yet. Relaxed throughout: the words order nothing.
#[derive(Debug)]
pub(crate) struct Huge {
    /// 0: the system was not asked; else `USABLE`, `EVERYWHERE` or, with a reason shifted by 8, `UNUSABLE`.
    transparent: AtomicU32,
    reasons: AtomicU32,
    /// Not 0 once a region was mapped in reserved pages.
    reserved: AtomicU32,
}

const USABLE: u32 = 1;
const UNUSABLE: u32 = 2;
/// Usable, and the system does so unasked.
const EVERYWHERE: u32 = 3;

impl Huge {
    pub(crate) const fn new() -> Self {
        Self { transparent: AtomicU32::new(0), reasons: AtomicU32::new(0), reserved: AtomicU32::new(0) }
    }

    pub(crate) fn fallbacks(&self) -> u32 {
        self.reasons.load(Ordering::Relaxed)
    }

    fn because(&self, reason: Reason) {
        self.reasons.fetch_or(reason as u32, Ordering::Relaxed);
    }
}

impl<O: Os> Allocator<O> {
    /// True when blocks of 2 MiB and more start at a frame.
    pub(crate) fn wants_frames(&self) -> bool {
        !matches!(self.config.huge_pages(), HugePages::Off | HugePages::Never | HugePages::Auto)
    }

    /// What to map a region in that is needed for `need` slices, where `mapped` slices are mapped.
    pub(crate) fn backing_for(&self, mapped: usize, need: usize) -> Backing {
        let total = mapped.saturating_add(need);
        match self.config.huge_pages() {
            HugePages::Off => Backing::Plain,
            HugePages::Never => Backing::Small,
            HugePages::Always => self.transparent(),
            HugePages::Auto if total < OFFERED_FROM || self.transparency() != USABLE => Backing::Plain,
            HugePages::Auto => Backing::Offered,
            _ if total < FROM => Backing::Plain,
            HugePages::Madvise => self.transparent(),
            HugePages::Hugetlb => Backing::Reserved,
            HugePages::Hugetlb1g if total < GIANT_FROM => Backing::Reserved,
            HugePages::Hugetlb1g => Backing::Giant,
        }
    }

    /// What takes the place of a backing in which no region could be mapped.
    pub(crate) fn second_best(&self, backing: Backing) -> Option<Backing> {
        match backing {
            Backing::Giant => Some(Backing::Reserved),
            Backing::Reserved => Some(self.transparent()),
            // There may be room for the need, but not for a multiple of 2 MiB.
            Backing::Transparent | Backing::Offered => Some(Backing::Plain),
            Backing::Plain | Backing::Small => None,
        }
    }

    /// `Transparent` where the system has transparent huge pages for us, else `Plain`.
    fn transparent(&self) -> Backing {
        match self.transparency() {
            USABLE | EVERYWHERE => Backing::Transparent,
            unusable => {
                self.huge.reasons.fetch_or(unusable >> 8, Ordering::Relaxed);
                Backing::Plain
            }
        }
    }

    /// What the system has of transparent huge pages for us, asked once; `UNUSABLE` with the reason above it.
    fn transparency(&self) -> u32 {
        let huge = &self.huge;
        let mut known = huge.transparent.load(Ordering::Relaxed);
        if known == 0 {
            let system = self.os.huge_system();
            let reason = match system.transparent {
                Transparent::Absent => Some(Reason::Absent),
                Transparent::Never => Some(Reason::Off),
                _ if system.forbidden => Some(Reason::Forbidden),
                _ if system.bytes != FRAME * SLICE => Some(Reason::Bytes),
                _ => None,
            };
            known = match (reason, system.transparent) {
                (Some(reason), _) => UNUSABLE | (reason as u32) << 8,
                (None, Transparent::Always) => EVERYWHERE,
                (None, _) => USABLE,
            };
            huge.transparent.store(known, Ordering::Relaxed);
        }
        known
    }

    /// Backs a frame of `node` that was just opened with a huge page, by a first touch of a slice of the caller's span
    /// in it, and tells the page heap whether that was worth it.
    ///
    /// # Safety
    /// The frame is of the caller's span in part, which nobody else knows of.
    pub(crate) unsafe fn back_frame(&self, node: usize, frame: usize, span: *mut Span) {
        let Some(memory) = NonNull::new(ptr::<u8>(frame)) else { return };
        // SAFETY: a whole frame of ours; what others have in it is as good in any page.
        if !unsafe { self.advise(memory, FRAME * SLICE, Advice::Huge) } {
            // SAFETY: as above.
            self.with_pages(node, |pages| unsafe { pages.close_frame(&self.directory, frame) });
            return;
        }
        let before = self.os.now_ns();
        // SAFETY: the first byte of the span in the frame; it is zero already. Volatile: to be touched is all it is for.
        unsafe { ptr::<u8>(frame.max((*span).start)).write_volatile(0) };
        let fast = self.os.now_ns().saturating_sub(before) <= FAST;
        self.with_pages(node, |pages| pages.judge(fast));
    }

    /// Maps `bytes` bytes in that backing.
    pub(crate) fn map_in(&self, backing: Backing, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let reason = match backing {
            Backing::Reserved => Reason::TwoMib,
            Backing::Giant => Reason::OneGib,
            _ => return self.map(bytes, align),
        };
        self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
        let mapped = self.os.map_reserved(bytes, align, backing.slices() * SLICE);
        match mapped {
            Some(_) => self.huge.reserved.store(1, Ordering::Relaxed),
            None => self.huge.because(reason),
        }
        mapped
    }

    /// True if some of these slices, which are in the caller's span, lie in reserved pages: such are not moved.
    pub(crate) fn is_reserved(&self, start: usize, slices: usize) -> bool {
        // SAFETY: slices of ours. Without the lock: what backs a slice does not change while it is in a span.
        self.huge.reserved.load(Ordering::Relaxed) != 0
            && unsafe { self.directory.count(Bit::Reserved, start, slices) } > 0
    }

    /// Gives the advice that goes with a backing; returns what the region really is mapped in.
    pub(crate) fn advised(&self, backing: Backing, memory: NonNull<u8>, bytes: usize) -> Backing {
        let advice = match backing {
            Backing::Small => Advice::Small,
            Backing::Transparent => Advice::Huge,
            _ => return backing,
        };
        // SAFETY: just mapped, whole slices.
        if unsafe { self.advise(memory, bytes, advice) } {
            return backing;
        }
        self.huge.because(Reason::Refused);
        Backing::Plain
    }

    unsafe fn advise(&self, memory: NonNull<u8>, bytes: usize, advice: Advice) -> bool {
        self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's range.
        unsafe { self.os.advise(memory, bytes, advice) }
    }

    /// Purges about `wanted` slices, whole frames at a time, of a run that `begin_purge` took out of a page heap with
    /// frames; files the run again. `None`: the system refused. 0: all that is left of it is held.
    pub(crate) fn purge_frames(
        &self,
        node: usize,
        stores: Locked<'_, O>,
        run: *mut Span,
        wanted: usize,
        now: u32,
        thread: usize,
    ) -> Option<usize> {
        // SAFETY: the run is ours until it is filed again.
        let mut end = unsafe { (*run).end() };
        let mut locked = Some(stores);
        let mut purged = 0;
        let mut refused = false;
        while purged < wanted && !refused {
            let mut stores = match locked.take() {
                Some(stores) => stores,
                None => self.node(node).lock(&self.os, thread)?,
            };
            // SAFETY: our run, under the lock.
            let part = unsafe { self.next_part(&mut stores.pages, run, end, wanted - purged) };
            let Some(part) = part else {
                // SAFETY: our run; nothing in it may go.
                unsafe { stores.pages.end_held(&self.directory, run, now) };
                return Some(purged);
            };
            let Part { start, slices, what } = part;
            end = start;
            if what == What::Hold {
                locked = Some(stores);
                continue;
            }
            drop(stores);
            // SAFETY: free slices of ours, lent with the run. (Advice about a split frame reaches slices in use, and
            // changes nothing of their contents.)
            let done = unsafe { self.release_part(&part) };
            let mut stores = self.node(node).lock(&self.os, thread)?;
            // The lock was open: others may have taken the descriptors at hand.
            if what == What::Unmap {
                stores = self.with_descriptors(node, stores)?;
            }
            refused = !done;
            if done {
                // SAFETY: just given back.
                unsafe {
                    let dirty = self.directory.count(Bit::Dirty, start, slices);
                    purged += dirty;
                    self.counters.purged.fetch_add((dirty * SLICE) as u64, Ordering::Relaxed);
                    self.counters.purges.fetch_add(1, Ordering::Relaxed);
                    if what == What::Unmap {
                        self.unreserve(slices);
                        if !stores.pages.cut(&self.directory, run, start, slices, now) {
                            return Some(purged);
                        }
                    } else {
                        stores.pages.cleaned(&self.directory, run, start, slices);
                        if what == What::Mend {
                            stores.pages.unsplit(&self.directory, start);
                        }
                    }
                }
            }
            locked = Some(stores);
        }
        let mut stores = match locked {
            Some(stores) => stores,
            None => self.node(node).lock(&self.os, thread)?,
        };
        // SAFETY: our run.
        unsafe { stores.pages.end_purge(&self.directory, run, false, now) };
        (purged > 0).then_some(purged)
    }

    /// The next part, from the end down, of what of a run lies below `end` and is dirty.
    ///
    /// # Safety
    /// The run is the caller's by `begin_purge`, under the lock.
    unsafe fn next_part(&self, pages: &mut PageHeap, run: *mut Span, end: usize, wanted: usize) -> Option<Part> {
        let directory = &self.directory;
        // SAFETY: the caller's run, all of whose slices are ours.
        unsafe {
            let (low, high) = ((*run).start, (*run).end());
            // As without frames, the addresses of a long run go with its pages, but for frames that it has a part of.
            let from = frames::floor(low + FRAME * SLICE - 1);
            let slices = frames::floor(high).saturating_sub(from) / SLICE;
            if end == high
                && slices >= UNMAP
                && wanted >= (*run).dirty as usize
                && directory.count(Bit::Reserved, low, (high - low) / SLICE) == 0
                && !pages.needs_meta()
            {
                return Some(Part { start: from, slices, what: What::Unmap });
            }
            let (first, count) = directory.last_stretch(Bit::Dirty, low, (end - low) / SLICE)?;
            let last = first + (count - 1) * SLICE;
            let whole = |frame: Frame| low <= frame.start && frame.end() <= high;
            let part = |start: usize, end: usize, what| Part { start, slices: (end - start) / SLICE, what };
            let Some(frame) = frames::frame_at(directory, last) else {
                if let Some(start) = frames::split_at(directory, last)
                    && low <= start
                    && start + FRAME * SLICE <= high
                {
                    return Some(Part { start, slices: FRAME, what: What::Mend });
                }
                // Ordinary pages; not beyond the 2 MiB, which may be all that is mapped so.
                let start = first.max(frames::floor(last)).max(last - (wanted.min(FRAME) - 1) * SLICE);
                return Some(part(start, last + SLICE, What::Purge));
            };
            let (from, mut to) = (frame.start.max(low), frame.end().min(high));
            if !whole(frame) {
                let transparent = frame.backing == Backing::Transparent;
                let what = if !transparent || frames::used(directory, frame.start) >= DENSE {
                    What::Hold
                } else if pages.figures.split < MAX_SPLIT {
                    pages.split(directory, frame);
                    What::Split
                } else {
                    What::Purge
                };
                return Some(part(from, to, what));
            }
            // As many frames of the kind as lie below it and are wanted; of reserved pages, those that were never
            // touched go too.
            let reserved = frame.backing != Backing::Transparent;
            let bytes = frame.backing.slices() * SLICE;
            while reserved
                && to + bytes <= end
                && frames::frame_at(directory, to) == Some(Frame { start: to, ..frame })
            {
                to += bytes;
            }
            let mut start = frame.start;
            while let Some(below) = start.checked_sub(bytes).filter(|&below| low <= below)
                && (to - start) / SLICE < wanted
                && let Some(next) = frames::frame_at(directory, below)
                && next.backing == frame.backing
                && (reserved || directory.count(Bit::Dirty, below, FRAME) > 0)
            {
                start = below;
            }
            let what = match reserved {
                false => What::Purge,
                // What lies behind it needs a descriptor; the run keeps its own.
                true if pages.needs_meta() => What::Hold,
                true => What::Unmap,
            };
            Some(part(start, to, what))
        }
    }

    /// # Safety
    /// The part's slices are free and lent to the caller.
    unsafe fn release_part(&self, part: &Part) -> bool {
        let bytes = part.slices * SLICE;
        let Some(memory) = NonNull::new(ptr::<u8>(part.start)) else { return false };
        // SAFETY: the caller's slices.
        unsafe {
            if part.what == What::Unmap {
                return self.unmap(memory, bytes);
            }
            self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
            let frame = |start| NonNull::new(ptr::<u8>(start));
            if part.what == What::Split
                && let Some(frame) = frame(frames::floor(part.start))
            {
                // Refused, the system's daemon may make the frame whole again, in its own time.
                self.advise(frame, FRAME * SLICE, Advice::Small);
            }
            let purged = self.os.purge(memory, bytes);
            if purged && part.what == What::Mend {
                self.advise(memory, bytes, Advice::Huge);
            }
            purged
        }
    }
}

/// Slices of a run in purge, and what becomes of them.
struct Part {
    start: usize,
    slices: usize,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// They go back.
    Purge,
    /// They go back, and their frame gets ordinary pages.
    Split,
    /// They go back, and are a frame again.
    Mend,
    /// They go back with their addresses.
    Unmap,
    /// They stay.
    Hold,
}
