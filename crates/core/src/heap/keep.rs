//! Which empty spans a heap keeps: its current spans are what would otherwise stay for ever.
//!
//! A class keeps its current span when all of its blocks are free again, so that the next allocation
//! finds it; over all classes that is megabytes. So for classes of at most [`TRACKED`] blocks a span,
//! which hold most of the bytes, the countdown of a current span that is in use is the number of its
//! blocks in use: the event comes no later than the moment it is empty. (It comes earlier when blocks
//! were allocated meanwhile; then it is set again.) An empty span is kept while all that are kept hold
//! at most 512 KiB
//! (less under a soft limit: [`crate::limits`]); beyond that, one that is still empty goes for it, or else itself.
//!
//! A kept span counts as kept until it is full or gone, whatever is allocated from it, and is looked at
//! less and less often: a block that is allocated and freed over and over costs an event now and then.
//!
//! So an idle heap holds 512 KiB in these classes, and one span in each class of smaller blocks, as long as it does
//! not *decline*: where it has given back half of the slices that it had, from [`LEAST`] on, it gives back its empty
//! current spans of all classes, and watches the others: the countdown of one with `n` blocks in use ends after `n`
//! frees, and if it is empty then, it goes. If it is not, its blocks are counted again after a quarter as many frees as
//! it has blocks, which pays for the walk. A heap that takes a new span declines no longer. So what a program leaves
//! behind when it frees all, or most, of what it had is what it uses.

use super::{Heap, Unsettled};
use crate::allocator::Allocator;
use crate::class::{CLASSES, SLICE};
use crate::os::Os;
use crate::span::Span;

/// Most blocks of a span whose use is tracked while it is current.
const TRACKED: u32 = 8;
/// Most frees between two looks at a kept span.
const MAX_INTERVAL: u32 = 1024;
/// Slices of a heap that may decline: 512 KiB.
const LEAST: u32 = (512 << 10) / SLICE as u32;

/// How many slices a heap's small spans have. All zero for a heap without any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    slices: u32,
    /// The most since the heap last declined.
    highest: u32,
}

impl Extent {
    pub(super) const NONE: Extent = Extent { slices: 0, highest: 0 };

    pub(super) fn slices(&self) -> u32 {
        self.slices
    }

    fn has_halved(&self) -> bool {
        self.slices < self.highest / 2 && self.highest >= LEAST
    }
}

impl Heap {
    /// The heap has one more span, new or claimed.
    ///
    /// # Safety
    /// The caller has the tenure of the heap, which owns the span.
    pub(super) unsafe fn gained(heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let extent = &mut (*heap).extent;
            extent.slices += (*span).slices;
            extent.highest = extent.highest.max(extent.slices);
            (*heap).declines = false;
        }
    }

    /// The heap has one span less.
    ///
    /// # Safety
    /// As for [`gained`](Self::gained).
    pub(super) unsafe fn lost(heap: *mut Heap, span: *mut Span) {
        // SAFETY: as above.
        unsafe { (*heap).extent.slices = (*heap).extent.slices.saturating_sub((*span).slices) };
    }
}

impl<O: Os> Allocator<O> {
    /// Countdown of a span that becomes current with `used` blocks in use. Nothing is walked: blocks that
    /// are allocated from here on only put the moment off at which it is empty.
    ///
    /// # Safety
    /// The caller has the heap's tenure and the heap owns the span.
    pub(super) unsafe fn first_countdown(&self, heap: *mut Heap, span: *mut Span, used: u32) -> u32 {
        // SAFETY: the caller's heap and span.
        unsafe {
            let interval = self.check_interval(heap);
            if Self::is_tracked(span) {
                interval.min(used.max(1))
            } else if (*heap).declines {
                interval.min(Self::until_counted(span, used))
            } else {
                interval
            }
        }
    }

    /// Frees until the blocks in use of a watched span are counted again: as many as there are, and a quarter of its
    /// blocks at least.
    unsafe fn until_counted(span: *mut Span, used: u32) -> u32 {
        // SAFETY: the caller's span.
        used.max(unsafe { (*span).capacity } / 4)
    }

    /// True for a span whose use is tracked while it is current. Of another, frees that do not end its countdown are no
    /// reason to [`rearm`](Self::rearm) it.
    ///
    /// # Safety
    /// The caller has the heap's tenure and the heap owns the span.
    pub(super) unsafe fn is_tracked(span: *mut Span) -> bool {
        // SAFETY: the caller's span.
        unsafe { (*span).capacity <= TRACKED }
    }

    /// Sets the countdown of a current span, after its event or after what the event would not see;
    /// keeps or releases the span if it is empty.
    ///
    /// # Safety
    /// The caller has the heap's tenure, and the span is current.
    pub(super) unsafe fn rearm(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            let interval = self.check_interval(heap);
            let declines = (*heap).declines;
            let tracked = Self::is_tracked(span);
            if !tracked && (!declines || interval == 1) {
                (*span).set_countdown(interval);
                return;
            }
            if (*span).kept > 0 {
                (*span).kept = (*span).kept.saturating_mul(2).min(MAX_INTERVAL);
                (*span).set_countdown(interval.min((*span).kept));
                return;
            }
            let used = self.used_of_current(heap, span);
            if used > 0 {
                let frees = if tracked { used } else { Self::until_counted(span, used) };
                (*span).set_countdown(interval.min(frees));
                return;
            }
            let bytes = (*span).bytes();
            if !declines && self.make_room(heap, span, bytes) {
                (*heap).kept += bytes as u32;
                (*span).kept = 1;
                (*span).set_countdown(1);
            } else {
                self.unfile(heap, span);
                self.file(heap, span, 0);
            }
        }
    }

    /// Releases kept spans that are empty still until there is room for `bytes` more.
    unsafe fn make_room(&self, heap: *mut Heap, for_span: *mut Span, bytes: usize) -> bool {
        // SAFETY: the caller's heap.
        unsafe {
            for _ in 0..CLASSES {
                if (*heap).kept() + bytes <= self.limits.kept() {
                    return true;
                }
                (*heap).hand = ((*heap).hand + 1) % CLASSES as u8;
                let span = (*heap).current[(*heap).hand as usize];
                if !span.is_null() && span != for_span && (*span).kept > 0 && self.used_of_current(heap, span) == 0
                {
                    self.unfile(heap, span);
                    self.file(heap, span, 0);
                }
            }
            (*heap).kept() + bytes <= self.limits.kept()
        }
    }

    /// Has a heap decline that has fewer than half the slices it had.
    ///
    /// # Safety
    /// The caller has the heap's tenure, and every span of the heap is in the list that its place names.
    #[inline]
    pub(super) unsafe fn look_at_extent(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            if (*heap).extent.has_halved() {
                self.decline(heap);
            }
        }
    }

    #[cold]
    unsafe fn decline(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            let interval = self.check_interval(heap);
            for class in 0..CLASSES {
                let span = (*heap).current[class];
                if span.is_null() {
                    continue;
                }
                let used = self.used_of_current(heap, span);
                if used == 0 {
                    self.unfile(heap, span);
                    self.file(heap, span, 0);
                } else {
                    self.unkeep(heap, span);
                    (*span).set_countdown(interval.min(used));
                }
            }
            (*heap).extent.highest = (*heap).extent.slices;
            (*heap).declines = true;
        }
    }

    /// A span is current no longer.
    ///
    /// # Safety
    /// The caller has the heap's tenure and the heap owns the span.
    pub(super) unsafe fn unkeep(&self, heap: *mut Heap, span: *mut Span) {
        // SAFETY: the caller's heap and span.
        unsafe {
            if (*span).kept > 0 {
                (*span).kept = 0;
                (*heap).kept -= (*span).bytes() as u32;
            }
        }
    }
}
