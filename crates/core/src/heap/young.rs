//! Classes that a heap has hardly used yet.
//!
//! A span of its own for each class costs at least a page each, and a heap that needs a few blocks of a
//! class uses a fraction of it: a thousand threads that wake now and then held 140 KiB each for 7 KiB of
//! blocks. So a heap's first blocks of a class come from the span of a coarser class, one for each
//! doubling (`class::coarse_class`), by the slow path: always up to [`FRESH`] bytes, and up to [`REUSED`]
//! where that span has a block at hand that was used before. Frees look at the span, so nothing else knows.

use super::Heap;
use super::keep::Extent;
use crate::class::{CLASSES, coarse_class, size_of_class};

/// Bytes of a class that a heap takes from the coarser one's span whatever that costs: half a page. Also the
/// largest block that shares.
const FRESH: usize = 2048;
/// Bytes that it takes as long as they are there: four pages.
const REUSED: usize = 16384;

impl Heap {
    /// The class whose span serves an allocation of `class` for which the heap has no block at hand.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    #[inline]
    pub(super) unsafe fn serving_class(heap: *mut Heap, class: usize) -> usize {
        let size = size_of_class(class);
        let coarse = coarse_class(class);
        // SAFETY: the caller's heap.
        unsafe {
            let served = (*heap).young[class] as usize * size;
            if coarse == class
                || size > FRESH
                || served >= REUSED
                || served >= FRESH && !Heap::has_listed(heap, coarse)
                || (*heap).young[class] == u8::MAX
                || !(*heap).current[class].is_null()
                || (*heap).counting
            {
                return class;
            }
            (*heap).young[class] += 1;
        }
        coarse
    }

    /// A heap that has no span any more has little of every class again, whoever it serves next.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub(super) unsafe fn begin_young(heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            (*heap).young = [0; CLASSES];
            (*heap).spans = [0; CLASSES];
            (*heap).extent = Extent::NONE;
            (*heap).declines = false;
        }
    }
}
