//! The part of the page heap that knows of frames; see [`crate::frames`].

use super::PageHeap;
use crate::class::SLICE;
use crate::directory::{Bit, Directory};
use crate::frames::{self, Backing, FRAME, Frame};
use crate::span::Span;
use core::ptr::null_mut;

/// Slices mapped beyond which frames are opened at any pace, 32 MiB: below, the part of the last one that is not used
/// would be much of all.
const LARGE: usize = (32 << 20) / SLICE;
/// Milliseconds from one frame to the next of a heap that grows in haste. The faults of a frame's ordinary pages take
/// some tenths of one: who takes longer spends little of its time on them.
const HASTE: u32 = 4;
/// Frames that stay in ordinary pages after the first that came slowly.
const PAUSE: usize = 64;
/// And at most.
const MAX_PAUSE: usize = 64 * PAUSE;

impl PageHeap {
    /// As [`add_region`](Self::add_region), for one that is mapped in `backing` and starts and ends with its pages.
    ///
    /// # Safety
    /// The same, and it is.
    pub unsafe fn add_framed(&mut self, directory: &Directory, start: usize, slices: usize, backing: Backing) {
        match backing {
            Backing::Plain | Backing::Small => {}
            Backing::Offered => self.offers = true,
            Backing::Transparent => self.figures.huge += slices,
            Backing::Reserved | Backing::Giant => self.figures.reserved += slices,
        }
        self.framed |= backing.slices() > 1;
        // SAFETY: the caller's memory.
        unsafe {
            frames::set_backing(directory, start, slices, backing);
            self.add_region(directory, start, slices);
        }
    }

    /// Of the frames that are offered and that slices lie in which are taken, opens the first, if all of them will be
    /// used (`dense`), no frame of late was slow, and the heap is large or grows in haste; the others stay in ordinary
    /// pages.
    ///
    /// # Safety
    /// The slices are free; the caller has the lock.
    pub(super) unsafe fn open_frames(&mut self, directory: &Directory, start: usize, slices: usize, dense: bool) {
        let end = start + slices * SLICE;
        let mut frame = frames::floor(start);
        while frame < end {
            // SAFETY: a frame that is offered as a whole is ours, and in one free run: it was never in a span.
            unsafe {
                if directory.has(Bit::Offered, frame.max(start)) {
                    let whole = directory.mark(Bit::Offered, frame, FRAME, false) == FRAME;
                    if whole && dense && self.opened == 0 && !self.figures.is_beyond() {
                        let hasty = self.clock.wrapping_sub(self.reached) <= HASTE;
                        self.reached = self.clock;
                        if !hasty && self.figures.mapped <= LARGE {
                            // Ordinary pages will do.
                        } else if self.pause > 0 {
                            self.pause -= 1;
                        } else {
                            directory.mark(Bit::Huge, frame, FRAME, true);
                            self.figures.huge += FRAME;
                            self.opened = frame;
                        }
                    }
                }
            }
            frame += FRAME * SLICE;
        }
    }

    /// The frame that the last [`take`](Self::take) opened; 0: none.
    #[must_use]
    pub fn take_opened(&mut self) -> usize {
        core::mem::take(&mut self.opened)
    }

    /// Hears whether an opened frame came fast. After one that did not, frames are left in ordinary pages: 128 MiB of
    /// them, after each further one twice as many, and half as many after one that did.
    pub fn judge(&mut self, fast: bool) {
        if fast {
            self.patience /= 2;
        } else {
            self.patience = (self.patience * 2).clamp(PAUSE, MAX_PAUSE);
            self.pause = self.patience;
        }
    }

    /// Notes that an opened frame is none: the system refused it, which counts as slow.
    ///
    /// # Safety
    /// It was just opened; the caller has the lock.
    pub unsafe fn close_frame(&mut self, directory: &Directory, frame: usize) {
        // SAFETY: the caller's frame.
        unsafe { self.figures.huge -= directory.mark(Bit::Huge, frame, FRAME, false) };
        self.judge(false);
    }

    /// True when some slices lie in frames.
    pub fn is_framed(&self) -> bool {
        self.framed
    }

    /// The time, ms, at which slices become dirty that a [`take`](Self::take) leaves behind in a frame.
    pub fn set_clock(&mut self, now: u32) {
        self.clock = now;
    }

    /// Files a run again after a purge that left nothing in it but what is held.
    ///
    /// # Safety
    /// As for [`cleaned`](Self::cleaned).
    pub unsafe fn end_held(&mut self, directory: &Directory, run: *mut Span, now: u32) {
        // SAFETY: the caller's run, under the lock.
        unsafe {
            let (start, slices) = ((*run).start, (*run).slices);
            self.end_purge(directory, run, false, now);
            let filed = directory.find(start);
            // What it was joined with may be purged still.
            if (*filed).start == start && (*filed).slices == slices {
                self.hold(filed);
            }
        }
    }

    /// Takes `slices` slices at `at`, which were unmapped, out of a run in purge; what lies behind them becomes a
    /// run of its own. False: nothing lies before them, and the run is no more.
    ///
    /// # Safety
    /// As for [`cleaned`](Self::cleaned); they lie in the run; a descriptor is at hand.
    pub unsafe fn cut(
        &mut self,
        directory: &Directory,
        run: *mut Span,
        at: usize,
        slices: usize,
        now: u32,
    ) -> bool {
        // SAFETY: the caller's run, under the lock.
        unsafe {
            let (start, end, behind) = ((*run).start, (*run).end(), at + slices * SLICE);
            directory.set(start, null_mut());
            directory.set(end - SLICE, null_mut());
            (*run).dirty -= directory.count(Bit::Dirty, at, slices) as u32;
            self.forget(directory, at, slices);
            (*run).slices = ((at - start) / SLICE) as u32;
            if behind < end {
                let rest = (end - behind) / SLICE;
                let dirty = directory.count(Bit::Dirty, behind, rest);
                (*run).dirty -= dirty as u32;
                self.insert(directory, behind, rest, dirty, now);
            }
            if at == start {
                self.drop_descriptor(run);
                return false;
            }
            directory.set(start, run);
            directory.set(at - SLICE, run);
            true
        }
    }

    /// Notes that a transparent frame is no longer one; what was held of it may be purged.
    ///
    /// # Safety
    /// The frame is ours; the caller has the lock.
    pub unsafe fn split(&mut self, directory: &Directory, frame: Frame) {
        // SAFETY: the caller's frame; runs found are ours if they are free.
        unsafe {
            directory.mark(Bit::Huge, frame.start, FRAME, false);
            directory.mark(Bit::Split, frame.start, FRAME, true);
            self.figures.huge -= FRAME;
            self.figures.split += 1;
            self.figures.splits += 1;
            for slice in 0..FRAME {
                let run = directory.find(frame.start + slice * SLICE);
                if self.is_free(directory, run) && (*run).kept != 0 {
                    self.figures.held -= (*run).dirty as usize;
                    (*run).kept = 0;
                    self.age(run);
                }
            }
        }
    }

    /// Notes that the frame at `start`, which was split, is one again.
    ///
    /// # Safety
    /// It is free as a whole; the caller has the lock.
    pub unsafe fn unsplit(&mut self, directory: &Directory, start: usize) {
        // SAFETY: the caller's frame.
        unsafe {
            directory.mark(Bit::Split, start, FRAME, false);
            directory.mark(Bit::Huge, start, FRAME, true);
        }
        self.figures.huge += FRAME;
        self.figures.split -= 1;
    }

    /// Takes a dirty run that was just filed out of the list of dirty runs: it is held.
    unsafe fn hold(&mut self, run: *mut Span) {
        // SAFETY: a free run of ours, under the lock.
        unsafe {
            if !run.is_null() && (*run).dirty > 0 && (*run).kept == 0 {
                self.unage(run);
                (*run).kept = 1;
                self.figures.held += (*run).dirty as usize;
            }
        }
    }

    /// Forgets what is known of the frames of slices that were unmapped.
    pub(super) unsafe fn forget_frames(&mut self, directory: &Directory, start: usize, slices: usize) {
        let (mut at, end) = (start, start + slices * SLICE);
        while at < end {
            let next = (frames::floor(at) + FRAME * SLICE).min(end);
            let part = (next - at) / SLICE;
            // SAFETY: under the lock. What is left of a split frame is split no longer.
            unsafe {
                if let Some(frame) = frames::split_at(directory, at) {
                    directory.mark(Bit::Split, frame, FRAME, false);
                    self.figures.split -= 1;
                }
                directory.mark(Bit::Used, at, part, false);
                directory.mark(Bit::Offered, at, part, false);
                let reserved = directory.mark(Bit::Reserved, at, part, false);
                let huge = directory.mark(Bit::Huge, at, part, false);
                self.figures.reserved -= reserved;
                // Pages of 1 GiB have both bits.
                self.figures.huge -= if reserved > 0 { 0 } else { huge };
            }
            at = next;
        }
    }
}
