//! Cells before the stack: each holds one slot at most, and a thread looks into its own first.
//!
//! A thread that returns an object and takes the next finds the one that it knows, with one exchange each on a cache
//! line that no other thread writes. (The idea of a per-processor slot before a shared list is Linux's SLUB's.)
//!
//! Beside its word a cell has the address of the link of the slot that was put there last, or that somebody tried to put
//! there: whoever takes the slot has its link then without a look at the segments, after a look at the link's index.
//!
//! A cell's word is like a stack's: the slot's index plus 1 in the low half, 0 for none, and a tag in the high half that each
//! taking raises. Taking needs no tag, since it makes no use of what it read but the index; the tag is for
//! [`Cells::take_any`], whose caller can tell that a cell was empty all the time between two looks.

use super::segments::{Link, Segments};
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::ptr::{NonNull, null_mut};

pub(super) const TAG: u64 = 1 << 32;
pub(super) const INDEX: u64 = TAG - 1;

/// A power of two: threads beyond as many share cells.
pub(super) const CELLS: usize = if cfg!(any(loom, shuttle)) { 2 } else { 8 };

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Cell {
    word: AtomicU64,
    /// Null until something was put here.
    link: AtomicPtr<Link>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cells([Cell; CELLS]);

impl Cell {
    /// Takes what is there.
    #[inline(always)]
    fn take<'a>(&'a self, segments: &'a Segments) -> Option<&'a Link> {
        // Acquire: pairs with the Release in `put`, if what is here is taken.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let index = ((word & INDEX) as u32).checked_sub(1)?;
            // Acquire pairs with the Release in `put`: the link is there, whosever it is. Before the exchange, after
            // which it would wait for it.
            let link = self.link.load(Ordering::Acquire);
            let empty = (word & !INDEX).wrapping_add(TAG);
            // Acquire: the new holder sees all that the last one did with the object. Release: who sees that it is taken
            // sees what this thread put elsewhere before; a search counts on that.
            match self.word.compare_exchange_weak(word, empty, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // SAFETY: not null, since something was put here before; links stay while the pool is there.
                    let link = unsafe { &*link };
                    return Some(if link.index == index { link } else { find(segments, index) });
                }
                Err(now) => word = now,
            }
        }
    }

    #[inline(always)]
    fn put(&self, link: &Link) -> bool {
        // Relaxed: nothing is read that the word speaks of.
        let word = self.word.load(Ordering::Relaxed);
        if word & INDEX != 0 {
            return false;
        }
        // Release pairs with the Acquire in `take`.
        self.link.store(NonNull::from(link).as_ptr(), Ordering::Release);
        let full = word | u64::from(link.index + 1);
        // Release pairs with the Acquire in `take`.
        self.word.compare_exchange(word, full, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}

/// The link of a slot that was taken, where the cell had another's.
#[cold]
#[inline(never)]
fn find(segments: &Segments, index: u32) -> &Link {
    // SAFETY: it was put there, so its segment was ensured by who first did; the taking synchronised.
    unsafe { segments.link(index) }
}

impl Cells {
    pub(super) fn new() -> Self {
        let cell = |_| Cell { word: AtomicU64::new(0), link: AtomicPtr::new(null_mut()) };
        Self(core::array::from_fn(cell))
    }

    #[inline(always)]
    fn own(&self) -> &Cell {
        &self.0[crate::sync::thread_hint() % CELLS]
    }

    /// Takes the slot that is in the calling thread's cell.
    #[inline(always)]
    pub(super) fn take<'a>(&'a self, segments: &'a Segments) -> Option<&'a Link> {
        self.own().take(segments)
    }

    /// Puts a slot into the calling thread's cell. False: it is not empty.
    ///
    /// # Safety
    /// The slot is the caller's, in no stack and no cell; its link is in the segments that `take` is given.
    #[inline(always)]
    pub(super) unsafe fn put(&self, link: &Link) -> bool {
        self.own().put(link)
    }

    /// Takes from any cell. None: `words` has what the empty cells hold.
    pub(super) fn take_any<'a>(&'a self, segments: &'a Segments, words: &mut [u64; CELLS]) -> Option<&'a Link> {
        for (cell, word) in self.0.iter().zip(words) {
            // Acquire: what the thread that emptied the cell did before is before our next look at anything.
            *word = cell.word.load(Ordering::Acquire);
            if *word & INDEX != 0 {
                if let Some(link) = cell.take(segments) {
                    return Some(link);
                }
                // Somebody else took it: a word that no empty cell has, so that the caller looks again.
                *word = INDEX;
            }
        }
        None
    }
}
