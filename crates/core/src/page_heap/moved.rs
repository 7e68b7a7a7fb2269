//! The part of the page heap that has to do with moved pages; see `crate::recycle`.

use super::gaps::IN_FRAMES;
use super::{Gaps, PIECE, PageHeap};
use crate::class::SLICE;
use crate::directory::{Bit, Directory};
use crate::span::Span;
use core::ptr::null_mut;

/// Runs that are looked at for one that gives pages.
const DONORS: usize = 16;
/// Seams of a page heap at most: with a little beyond, as a move makes two.
const SEAMS: usize = 4096;

impl PageHeap {
    /// True as long as more mappings may be made.
    pub fn may_be_sewn(&self) -> bool {
        self.figures.seams < SEAMS
    }

    /// Notes which of `slices` slices at `start`, in a free run, are clean, if others could serve them.
    pub(super) unsafe fn note_gaps(
        &self,
        directory: &Directory,
        gaps: &mut Gaps,
        run: *mut Span,
        start: usize,
        slices: usize,
    ) {
        // SAFETY: a free run of ours, under the lock.
        unsafe {
            let dirty = if (*run).dirty == 0 { 0 } else { directory.count(Bit::Dirty, start, slices) };
            if slices - dirty >= PIECE && self.figures.dirty - dirty >= PIECE {
                gaps.note(directory, start, slices, self.framed);
            }
        }
    }

    /// Takes the dirtiest run, of the first few that are due for a purge, out as if for one: the first with `wanted`
    /// dirty slices, none with less than `least`. Null: there is none.
    #[must_use]
    pub fn begin_recycling(&mut self, directory: &Directory, wanted: usize, least: usize) -> *mut Span {
        let mut best: *mut Span = null_mut();
        let (mut most, mut seen, mut run) = (least - 1, 0, self.oldest);
        // SAFETY: free runs of ours.
        unsafe {
            while !run.is_null() && seen < DONORS && most < wanted {
                // Of a run with frames, only what lies beside them moves.
                let (dirty, start, end) = ((*run).dirty as usize, (*run).start, (*run).end());
                if dirty > most
                    && (!self.framed || self.last_piece(directory, start, end, wanted, least).is_some())
                {
                    (best, most) = (run, dirty);
                }
                run = (*run).younger;
                seen += 1;
            }
            if !best.is_null() {
                self.lend(directory, best);
            }
        }
        best
    }

    /// The last piece of what is dirty in `start..end` and in ordinary pages, of `least` to `wanted` slices, in one
    /// kernel mapping; as (address, slices).
    ///
    /// # Safety
    /// The range lies in a run of the caller's, under the lock.
    pub unsafe fn last_piece(
        &self,
        directory: &Directory,
        start: usize,
        end: usize,
        wanted: usize,
        least: usize,
    ) -> Option<(usize, usize)> {
        let mut end = end;
        // SAFETY: the caller's slices.
        unsafe {
            while let Some((first, count)) = directory.last_stretch(Bit::Dirty, start, (end - start) / SLICE) {
                let last = first + count * SLICE;
                let mut from = last - count.min(wanted) * SLICE;
                for bit in IN_FRAMES {
                    if self.framed
                        && let Some((low, length)) = directory.last_stretch(bit, from, (last - from) / SLICE)
                    {
                        from = low + length * SLICE;
                        end = low;
                    }
                }
                if from == last {
                    continue;
                }
                if self.figures.seams > 0
                    && let Some((seam, length)) = directory.last_stretch(Bit::Seam, from, (last - from) / SLICE)
                {
                    from = seam + (length - 1) * SLICE;
                }
                if (last - from) / SLICE >= least {
                    return Some((from, (last - from) / SLICE));
                }
                end = from;
            }
        }
        None
    }

    /// Notes that pages were moved to `slices` slices at `start`: they are a kernel mapping of their own.
    ///
    /// # Safety
    /// They are ours, and the caller has the lock.
    pub unsafe fn sew(&mut self, directory: &Directory, start: usize, slices: usize) {
        let end = start + slices * SLICE;
        // SAFETY: the caller's slices; what follows them is marked only where its window is ours.
        unsafe {
            self.figures.seams -= directory.mark(Bit::Seam, start, slices, false);
            self.figures.seams += directory.mark(Bit::Seam, start, 1, true);
            // Where a group of 64 slices begins, it may be another node's; then the seam is not counted.
            let same_group = !(end / SLICE).is_multiple_of(64);
            if same_group && directory.has(Bit::Ours, end) {
                self.figures.seams += directory.mark(Bit::Seam, end, 1, true);
            }
        }
    }
}
