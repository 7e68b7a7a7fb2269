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
//! So an idle heap holds 512 KiB in these classes, and one span in each class of smaller blocks.

use super::Heap;
use crate::allocator::Allocator;
use crate::class::CLASSES;
use crate::os::Os;
use crate::span::Span;

/// Most blocks of a span whose use is tracked while it is current.
const TRACKED: u32 = 8;
/// Most frees between two looks at a kept span.
const MAX_INTERVAL: u32 = 1024;

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
            if (*span).capacity > TRACKED { interval } else { interval.min(used.max(1)) }
        }
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
            if (*span).capacity > TRACKED {
                (*span).countdown = interval;
                return;
            }
            if (*span).kept > 0 {
                (*span).kept = (*span).kept.saturating_mul(2).min(MAX_INTERVAL);
                (*span).countdown = interval.min((*span).kept);
                return;
            }
            let used = self.used_of_current(heap, span);
            if used > 0 {
                (*span).countdown = interval.min(used);
                return;
            }
            let bytes = (*span).bytes();
            if self.make_room(heap, span, bytes) {
                (*heap).kept += bytes;
                (*span).kept = 1;
                (*span).countdown = 1;
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
                if (*heap).kept + bytes <= self.limits.kept() {
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
            (*heap).kept + bytes <= self.limits.kept()
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
                (*heap).kept -= (*span).bytes();
            }
        }
    }
}
