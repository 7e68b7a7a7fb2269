//! Where aligned mappings go: one system call in the ordinary case.
//!
//! Kernels return page-aligned addresses, and regions want more. Mapping `len + align` and trimming
//! both ends costs three calls and leaves holes that unrelated mappings fill. Instead the next
//! mapping is *asked for* just below the last one, at an address already aligned, in a part of the
//! address space that the kernel's own top-down search does not reach for a long while: [`GAP`] bytes
//! below where it started. Consecutive mappings come out adjacent, so that the kernel keeps them as
//! one area. The hint binds nobody: taken addresses fall back to trimming.
//!
//! Used by the Unix files; [`Pages`] is the two calls it needs. No locks: the hint is one atomic word
//! that is never trusted, only asked for, so every access to it is relaxed.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Distance kept from the kernel's own mappings (thread stacks, libraries, files).
#[cfg(target_pointer_width = "64")]
const GAP: usize = 64 << 30;
/// A 32-bit address space has no room to keep a distance.
#[cfg(not(target_pointer_width = "64"))]
const GAP: usize = 0;

/// No hint below this address: systems keep the first pages unmapped.
const LOWEST: usize = 1 << 20;

/// The two calls that a [`Placement`] makes.
pub(crate) trait Pages {
    /// Maps `len` zero bytes, at `hint` if that range is free and `hint` is not 0.
    fn map_at(&self, hint: usize, len: usize) -> Option<usize>;

    /// Gives a range back.
    ///
    /// # Safety
    /// The range was mapped by `map_at` and is not used again.
    unsafe fn unmap(&self, start: usize, len: usize) -> bool;
}

/// The address below which the next mapping is asked for; 0 before the first.
pub(crate) struct Placement {
    next: AtomicUsize,
}

impl Placement {
    /// A placement that has seen no mapping yet.
    pub(crate) const fn new() -> Self {
        Self { next: AtomicUsize::new(0) }
    }

    /// Maps `len` bytes at a multiple of `align`; both are at least `page`, `align` a power of two.
    /// `origin` is asked once for an address in the kernel's mapping area, or 0 if none is known.
    pub(crate) fn map(
        &self,
        pages: &impl Pages,
        len: usize,
        align: usize,
        page: usize,
        origin: impl Fn() -> usize,
    ) -> Option<NonNull<u8>> {
        if self.next.load(Relaxed) == 0 {
            let _ = self.next.compare_exchange(0, origin().saturating_sub(GAP), Relaxed, Relaxed);
        }
        // Twice: a first mapping with no origin, or a hint that was taken, shows where the kernel
        // maps at present; the second hint keeps its distance from there.
        for _ in 0..2 {
            let (top, hint) = self.claim(len, align);
            let Some(start) = pages.map_at(hint, len) else {
                let _ = self.next.compare_exchange(hint, top, Relaxed, Relaxed);
                return None;
            };
            if start != hint {
                self.next.store(start.saturating_sub(GAP), Relaxed);
            }
            if start & (align - 1) == 0 {
                return NonNull::new(core::ptr::with_exposed_provenance_mut(start));
            }
            // SAFETY: mapped a few lines above and known to nobody else.
            unsafe { pages.unmap(start, len) };
        }
        self.map_trimmed(pages, len, align, page)
    }

    /// Tells that `start..start+len` was unmapped: when it was the lowest, it is asked for again.
    pub(crate) fn unmapped(&self, start: usize, len: usize) {
        let _ = self.next.compare_exchange(start, start + len, Relaxed, Relaxed);
    }

    /// Takes the aligned address below the last one that `len` bytes fit at, so that no other thread
    /// asks for it. The word as it was, and the address or 0 if there is none.
    fn claim(&self, len: usize, align: usize) -> (usize, usize) {
        let below = |top: usize| Some(top.saturating_sub(len) & !(align - 1)).filter(|&s| s >= LOWEST);
        match self.next.fetch_update(Relaxed, Relaxed, below) {
            Ok(top) => (top, below(top).unwrap_or(0)),
            Err(top) => (top, 0),
        }
    }

    /// Maps `align` bytes too many and gives both ends back.
    #[cold]
    fn map_trimmed(&self, pages: &impl Pages, len: usize, align: usize, page: usize) -> Option<NonNull<u8>> {
        let over = len.checked_add(align - page)?;
        let got = pages.map_at(0, over)?;
        let start = (got + align - 1) & !(align - 1);
        if start > got {
            // SAFETY: the part before the aligned start, mapped above and known to nobody else.
            unsafe { pages.unmap(got, start - got) };
        }
        let (end, got_end) = (start + len, got + over);
        if got_end > end {
            // SAFETY: the part behind the aligned end, likewise.
            unsafe { pages.unmap(end, got_end - end) };
        }
        NonNull::new(core::ptr::with_exposed_provenance_mut(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::vec::Vec;

    const PAGE: usize = 4096;
    const TOP: usize = 1 << 46;

    /// An address space of numbers: top-down like Linux, honouring hints or not.
    struct Space {
        used: RefCell<Vec<(usize, usize)>>,
        calls: RefCell<usize>,
        hints: bool,
        room: usize,
    }

    impl Space {
        fn new(hints: bool, room: usize) -> Self {
            Self { used: RefCell::default(), calls: RefCell::new(0), hints, room }
        }
        fn free(&self, start: usize, len: usize) -> bool {
            self.used.borrow().iter().all(|&(s, l)| start + len <= s || s + l <= start)
        }
        fn mapped(&self) -> usize {
            self.used.borrow().iter().map(|r| r.1).sum()
        }
    }

    impl Pages for Space {
        fn map_at(&self, hint: usize, len: usize) -> Option<usize> {
            *self.calls.borrow_mut() += 1;
            if self.mapped() + len > self.room {
                return None;
            }
            let mut start = TOP - 7 * PAGE - len;
            if self.hints && hint != 0 && self.free(hint, len) {
                start = hint;
            }
            while !self.free(start, len) {
                start -= PAGE;
            }
            self.used.borrow_mut().push((start, len));
            Some(start)
        }
        unsafe fn unmap(&self, start: usize, len: usize) -> bool {
            *self.calls.borrow_mut() += 1;
            let mut used = self.used.borrow_mut();
            let at = used.iter().position(|&(s, l)| s <= start && start + len <= s + l).expect("not mapped");
            let (s, l) = used.swap_remove(at);
            if start > s {
                used.push((s, start - s));
            }
            if s + l > start + len {
                used.push((start + len, s + l - start - len));
            }
            true
        }
    }

    #[test]
    fn ordinary_mappings_cost_one_call_and_are_adjacent() {
        let (space, placement) = (Space::new(true, usize::MAX), Placement::new());
        let mut last = None;
        for _ in 0..20 {
            let start = placement.map(&space, 1 << 25, 1 << 25, PAGE, || TOP).unwrap().as_ptr() as usize;
            assert_eq!(start % (1 << 25), 0);
            assert!(last.is_none_or(|l| l - start == 1 << 25));
            last = Some(start);
        }
        assert_eq!(*space.calls.borrow(), 20);
    }

    #[test]
    fn without_an_origin_only_the_first_costs_more() {
        let (space, placement) = (Space::new(true, usize::MAX), Placement::new());
        placement.map(&space, 1 << 25, 1 << 25, PAGE, || 0).unwrap();
        assert_eq!(*space.calls.borrow(), 3);
        placement.map(&space, 1 << 25, 1 << 25, PAGE, || 0).unwrap();
        assert_eq!(*space.calls.borrow(), 4);
    }

    #[test]
    fn a_system_that_ignores_hints_gets_trimmed_mappings_without_leaks() {
        let (space, placement) = (Space::new(false, usize::MAX), Placement::new());
        for align in [PAGE, 1 << 16, 1 << 20, 1 << 30] {
            let start = placement.map(&space, 3 * PAGE, align, PAGE, || TOP).unwrap().as_ptr() as usize;
            assert_eq!(start % align, 0);
        }
        assert_eq!(space.mapped(), 4 * 3 * PAGE);
    }

    #[test]
    fn a_taken_hint_moves_away_and_then_costs_one_call_again() {
        let (space, placement) = (Space::new(true, usize::MAX), Placement::new());
        let first = placement.map(&space, 1 << 20, 1 << 20, PAGE, || TOP).unwrap().as_ptr() as usize;
        space.used.borrow_mut().push((first - (1 << 20), 1 << 20));
        placement.map(&space, 1 << 20, 1 << 20, PAGE, || TOP).unwrap();
        let before = *space.calls.borrow();
        placement.map(&space, 1 << 20, 1 << 20, PAGE, || TOP).unwrap();
        assert_eq!(*space.calls.borrow(), before + 1);
    }

    #[test]
    fn refusals_and_overflow_are_none_and_leave_nothing() {
        let (space, placement) = (Space::new(true, 4 * PAGE), Placement::new());
        assert!(placement.map(&space, 8 * PAGE, PAGE, PAGE, || TOP).is_none());
        assert!(placement.map(&space, PAGE, PAGE, PAGE, || TOP).is_some());
        let blind = Space::new(false, usize::MAX);
        assert!(Placement::new().map_trimmed(&blind, usize::MAX - 2 * PAGE, 1 << 30, PAGE).is_none());
        assert_eq!(blind.mapped(), 0);
    }

    #[test]
    fn the_lowest_mapping_is_reused_after_unmapping() {
        let (space, placement) = (Space::new(true, usize::MAX), Placement::new());
        let map = || placement.map(&space, 1 << 20, 1 << 20, PAGE, || TOP).unwrap().as_ptr() as usize;
        map();
        let second = map();
        // SAFETY: numbers only.
        unsafe { space.unmap(second, 1 << 20) };
        placement.unmapped(second, 1 << 20);
        assert_eq!(map(), second);
    }
}
