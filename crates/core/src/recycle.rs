//! Recycling: dirty pages of free runs are moved to where a large block needs some.
//!
//! A block of megabytes seldom fits the dirty runs at hand, although together they may have as much memory. Then
//! it would fault in a page for each of its clean ones, and of the dirty pages as many would go back to the system
//! soon after: 1.3 µs for the fault and 0.3 µs for the purge, each page. Moving a page from one address to the other
//! costs 0.01 to 0.2 µs (`mremap`, by the length of the piece), and memory in use and dirty together does not grow.
//!
//! What is moved was dirty and is in use then; so a block is resident to a part before it is touched, as it is where
//! it lies in dirty slices in the first place. Blocks that shall be zero get none: pages that are not known to be
//! zero would have to be cleared, and are often never touched.
//!
//! A move makes a kernel mapping of its own at its target, of which a process has 65530 by default. Where one ends or
//! begins for that reason, `Bit::Seam` is set; a page heap has 4096 of them at most. A piece never lies
//! across a seam, since the system moves nothing that spans mappings; where it refuses for a seam that is not ours, a
//! smaller piece is tried.
//!
//! The protocol is the purge's: a run is taken out of the page heap, the call is made with the lock open, and the run
//! is filed again.

use crate::addr::ptr;
use crate::allocator::Allocator;
use crate::class::SLICE;
use crate::os::{Moved, Os};
use crate::page_heap::{Gaps, PIECE};
use crate::sync::atomic::Ordering;
use core::ptr::NonNull;

/// Refusals in a row after which no more moves are tried: something is in the way for good (a system without such a
/// call, a filter, locked memory).
const PATIENCE: u32 = 64;
/// How much longer a piece is at least where threads run: 1 MiB.
const THREADED: usize = 8;

impl<O: Os> Allocator<O> {
    /// Moves dirty pages of free runs of `node` into the clean stretches of a block, as far as there are some; so the
    /// block does not read as zero.
    ///
    /// # Safety
    /// The stretches are in a span of the caller's, all of `node`, and their contents are not needed.
    pub(crate) unsafe fn recycle(&self, node: usize, gaps: &Gaps) {
        // Where threads run, a move holds up those that map memory, and empties the address caches of their CPUs.
        let least = if self.os.is_threaded() { THREADED * PIECE } else { PIECE };
        for (mut at, mut slices) in gaps.iter() {
            while slices >= least && self.counters.refused.load(Ordering::Relaxed) < PATIENCE {
                // SAFETY: the rest of the caller's stretch.
                let part = unsafe { self.recycle_from_one(node, at, slices, least) };
                if part == 0 {
                    return;
                }
                at += part * SLICE;
                slices -= part;
            }
        }
    }

    /// Moves what one free run has, up to `slices` slices to `at`, in pieces of at least `least`; returns how many. 0:
    /// nothing is to be had.
    ///
    /// # Safety
    /// As for [`recycle`](Self::recycle).
    unsafe fn recycle_from_one(&self, node: usize, at: usize, slices: usize, least: usize) -> usize {
        let thread = self.os.thread();
        let Some(mut stores) = self.node(node).lock(&self.os, thread) else { return 0 };
        if !stores.pages.may_be_sewn() {
            return 0;
        }
        let run = stores.pages.begin_recycling(&self.directory, slices, least);
        if run.is_null() {
            return 0;
        }
        // SAFETY: the run is ours until it is filed again.
        let (start, mut end, stamp) = unsafe { ((*run).start, (*run).end(), (*run).stamp) };
        let mut moved = 0;
        while slices - moved >= least && stores.pages.may_be_sewn() {
            // SAFETY: the run's slices, under the lock.
            let Some((from, part)) =
                (unsafe { stores.pages.last_piece(&self.directory, start, end, slices - moved, least) })
            else {
                break;
            };
            drop(stores);
            let to = at + moved * SLICE;
            // SAFETY: free slices of ours, lent with the run, and the caller's.
            let (outcome, from, part) = unsafe { self.move_piece(from, to, part) };
            let Some(again) = self.node(node).lock(&self.os, thread) else { return moved };
            stores = again;
            end = from;
            // SAFETY: our run, whose pages in the piece are elsewhere now.
            unsafe {
                match outcome {
                    Moved::Refused if self.counters.refused.load(Ordering::Relaxed) < PATIENCE => {}
                    Moved::Refused => break,
                    Moved::SourceZero => {
                        stores.pages.cleaned(&self.directory, run, from, part);
                        stores.pages.sew(&self.directory, to, part);
                        moved += part;
                    }
                    Moved::SourceGone => {
                        // Not mapped any more; what lies behind it becomes a run of its own.
                        self.unreserve(part);
                        moved += part;
                        let Some(again) = self.with_descriptors(node, stores) else { return moved };
                        stores = again;
                        stores.pages.sew(&self.directory, to, part);
                        if !stores.pages.cut(&self.directory, run, from, part, stamp) {
                            return moved;
                        }
                    }
                }
            }
        }
        // What is still dirty is as old as it was.
        // SAFETY: our run.
        unsafe { stores.pages.end_purge(&self.directory, run, false, stamp) };
        moved
    }

    /// Moves the last of `slices` slices at `from` to `to`: all of them, or half as many as long as the system refuses
    /// and it is worth it. Returns what became of which slices.
    ///
    /// # Safety
    /// Whole slices of ours, disjoint; the target's contents are not needed.
    unsafe fn move_piece(&self, from: usize, to: usize, slices: usize) -> (Moved, usize, usize) {
        let mut part = slices;
        loop {
            let from = from + (slices - part) * SLICE;
            let (Some(source), Some(target)) = (NonNull::new(ptr::<u8>(from)), NonNull::new(ptr::<u8>(to))) else {
                return (Moved::Refused, from, part);
            };
            self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
            // SAFETY: parts of the caller's ranges.
            match unsafe { self.os.remap(source, target, part * SLICE) } {
                Moved::Refused if part >= 2 * PIECE => part /= 2,
                Moved::Refused => {
                    self.counters.refused.fetch_add(1, Ordering::Relaxed);
                    return (Moved::Refused, from, part);
                }
                outcome => {
                    self.counters.refused.store(0, Ordering::Relaxed);
                    self.counters.recycled.fetch_add((part * SLICE) as u64, Ordering::Relaxed);
                    return (outcome, from, part);
                }
            }
        }
    }
}
