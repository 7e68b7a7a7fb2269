//! Frames: what huge pages back, and what of them may be given back.
//!
//! A *frame* is an aligned 2 MiB of slices for which a transparent huge page is asked, or an aligned page of
//! reserved memory (2 MiB or 1 GiB). The first touch of one slice backs the whole frame, and giving back a part
//! breaks it up. So for the frames of a page heap (bits of the [`directory`](crate::directory)):
//!
//! * the free slices of a transparent frame count as dirty as soon as one of its slices is in a span: they are
//!   resident. The fit prefers dirty slices, so it fills frames that are in use before it opens others;
//! * a frame that is free as a whole is purged as a whole;
//! * one that is in use for [`DENSE`] slices or more is *held*: its free slices stay. So at most a seventh of
//!   what is in use stays resident for the sake of huge pages;
//! * any other frame in use is *split* when its free slices are due: they go back, and the system is told to
//!   back the frame with ordinary pages (or its daemon would fill the gaps again), until it is free as a whole;
//! * where frames are only *offered* (`huge_pages=auto`), one is *opened* when the first span of small blocks takes a
//!   slice of it, in a page heap that is large or grows in haste: the system is asked for a huge page then, and how long its first touch takes says whether another
//!   one will be. A frame that something else takes a slice of first stays in ordinary pages;
//! * of reserved pages, which are nobody else's anyway, a page goes back when it is free as a whole.
//!
//! (Packing spans into huge pages that are in use, and breaking only sparse ones, is the idea of Hunter et al.,
//! "Beyond malloc efficiency to fleet efficiency", OSDI 2021, in a page heap of ordinary runs.)
//!
//! Everything here is used under the node's lock.

use crate::class::SLICE;
use crate::directory::{Bit, Directory};

/// Slices of a frame of 2 MiB.
pub const FRAME: usize = (2 << 20) / SLICE;
/// Slices of a reserved page of 1 GiB.
pub const GIANT: usize = (1 << 30) / SLICE;
/// A frame with so many slices in use is held: 7/8.
pub const DENSE: usize = FRAME / 8 * 7;

/// What a region is mapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// What the system gives by itself.
    Plain,
    /// Ordinary pages, also where the system prefers huge ones.
    Small,
    /// Ordinary pages; but the page heap may open a frame that was never touched.
    Offered,
    /// Transparent huge pages, where the system has one when memory is touched.
    Transparent,
    /// Reserved pages of 2 MiB.
    Reserved,
    /// Reserved pages of 1 GiB.
    Giant,
}

impl Backing {
    /// Slices of a page: regions start at a multiple of it and are one.
    pub const fn slices(self) -> usize {
        match self {
            Backing::Plain | Backing::Small => 1,
            Backing::Offered | Backing::Transparent | Backing::Reserved => FRAME,
            Backing::Giant => GIANT,
        }
    }
}

/// A frame, all of whose slices are mapped by us in one kind of page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `Transparent`, `Reserved` or `Giant`.
    pub backing: Backing,
    /// Address.
    pub start: usize,
}

impl Frame {
    /// Address after the frame.
    pub fn end(self) -> usize {
        self.start + self.backing.slices() * SLICE
    }
}

/// First address of the 2 MiB that `address` lies in.
pub const fn floor(address: usize) -> usize {
    address & !(FRAME * SLICE - 1)
}

/// The frame that the slice at `address` lies in, if it lies in one.
///
/// # Safety
/// The slice is ours: its window is installed; the caller has its node's lock.
pub unsafe fn frame_at(directory: &Directory, address: usize) -> Option<Frame> {
    // SAFETY: the caller's contract; a frame does not cross windows.
    unsafe {
        let start = floor(address);
        let huge = directory.has(Bit::Huge, address);
        if directory.has(Bit::Reserved, address) {
            return Some(if huge {
                Frame { backing: Backing::Giant, start: address & !(GIANT * SLICE - 1) }
            } else {
                Frame { backing: Backing::Reserved, start }
            });
        }
        // A part of the frame may have been unmapped, and mapped anew in other pages.
        let whole = huge
            && directory.count(Bit::Huge, start, FRAME) == FRAME
            && directory.count(Bit::Reserved, start, FRAME) == 0;
        whole.then_some(Frame { backing: Backing::Transparent, start })
    }
}

/// The start of the split frame that the slice at `address` lies in, if it lies in one that is still whole.
///
/// # Safety
/// As for [`frame_at`].
pub unsafe fn split_at(directory: &Directory, address: usize) -> Option<usize> {
    let start = floor(address);
    // SAFETY: as above.
    unsafe {
        let split = directory.has(Bit::Split, address) && directory.count(Bit::Split, start, FRAME) == FRAME;
        split.then_some(start)
    }
}

/// Slices of a transparent frame that are in spans.
///
/// # Safety
/// As for [`frame_at`].
pub unsafe fn used(directory: &Directory, start: usize) -> usize {
    // SAFETY: the caller's contract.
    unsafe { directory.count(Bit::Used, start, FRAME) }
}

/// Notes what a fresh region is mapped in.
///
/// # Safety
/// The region's windows are installed; the caller has the node's lock.
pub unsafe fn set_backing(directory: &Directory, start: usize, slices: usize, backing: Backing) {
    let (huge, reserved) = match backing {
        Backing::Plain | Backing::Small => return,
        Backing::Offered => {
            // SAFETY: the caller's contract.
            unsafe { directory.mark(Bit::Offered, start, slices, true) };
            return;
        }
        Backing::Transparent => (true, false),
        Backing::Reserved => (false, true),
        Backing::Giant => (true, true),
    };
    // SAFETY: the caller's contract.
    unsafe {
        directory.mark(Bit::Huge, start, slices, huge);
        directory.mark(Bit::Reserved, start, slices, reserved);
    }
}

/// Marks as dirty what of the free run `from..to` is backed as soon as `start..end`, a part of it, is touched.
/// Returns how many slices beside that part became dirty.
///
/// # Safety
/// The slices are ours and free; the caller has the node's lock.
pub unsafe fn back(directory: &Directory, from: usize, to: usize, start: usize, end: usize) -> usize {
    let mut backed = 0;
    // SAFETY: the caller's range.
    unsafe {
        let low = from.max(floor(start));
        if low < start && is_transparent(directory, start) {
            backed += directory.mark(Bit::Dirty, low, (start - low) / SLICE, true);
        }
        let high = to.min(floor(end - SLICE) + FRAME * SLICE);
        if end < high && is_transparent(directory, end) {
            backed += directory.mark(Bit::Dirty, end, (high - end) / SLICE, true);
        }
    }
    backed
}

unsafe fn is_transparent(directory: &Directory, address: usize) -> bool {
    // SAFETY: the caller's slice.
    unsafe { frame_at(directory, address).is_some_and(|frame| frame.backing == Backing::Transparent) }
}
