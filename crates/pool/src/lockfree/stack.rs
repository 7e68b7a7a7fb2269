//! A stack of slot indices: R. K. Treiber's (1986), with a tag against ABA.
//!
//! One 64-bit word: the top's index plus 1 in the low half (0: empty), in the high half a tag that each pop raises. A
//! pop reads the top's link and then exchanges the whole word. If the top was popped meanwhile, even if it is back on top,
//! the tag differs and the exchange fails; only 2³² pops between the two steps of one thread could deceive it. A push
//! needs no new tag: it makes no use of what it read but as the link of its own slot.
//!
//! Beside the word there is the address of what is probably the top's link, and in each link that of what is probably the
//! next one's: a link says its slot's index, so who follows an address sees whether it led to the right one and
//! otherwise asks the segments. That saves the way from an index to a link, which each exchange would wait for.
//!
//! # Progress
//! Lock-free: an exchange fails only because another succeeded. Not wait-free.

use super::cells::{INDEX, TAG};
use super::segments::{Link, Segments};
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::ptr::{NonNull, null_mut};

/// See the module. On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Stack {
    word: AtomicU64,
    /// A link, or null: a guess.
    top: AtomicPtr<Link>,
}

/// The link of a slot that is or was in the stack, by a guess.
#[inline(always)]
fn follow(segments: &Segments, guess: *mut Link, index: u32) -> &Link {
    // SAFETY: null or a link, written before its address was stored, which is there while the pool is.
    match unsafe { guess.as_ref() } {
        Some(link) if link.index == index => link,
        _ => find(segments, index),
    }
}

#[cold]
#[inline(never)]
fn find(segments: &Segments, index: u32) -> &Link {
    // SAFETY: the slot was pushed, so its segment was ensured by who first did; the load of the word synchronised.
    unsafe { segments.link(index) }
}

impl Stack {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0), top: AtomicPtr::new(null_mut()) }
    }

    /// Takes the top: its link.
    #[inline]
    pub(super) fn pop<'a>(&self, segments: &'a Segments) -> Option<&'a Link> {
        // Acquire: pairs with the Release of the push of the top. All changes of the word are read-modify-writes, so
        // each push's release sequence goes on through later pops, and every index in the stack is covered.
        let mut head = self.word.load(Ordering::Acquire);
        loop {
            let index = ((head & INDEX) as u32).checked_sub(1)?;
            // Acquire pairs with the Releases of links' addresses: the link is there, whosever it is.
            let link = follow(segments, self.top.load(Ordering::Acquire), index);
            // Relaxed: a value that is not the one pushed with this `head` is thrown away by the exchange.
            let next = link.next.load(Ordering::Relaxed);
            let guess = link.below.load(Ordering::Acquire);
            let new = (head & !INDEX).wrapping_add(TAG) | u64::from(next);
            // Acquire as above: the new holder sees all that the last one did with the object. Release as for cells.
            match self.word.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // Release: the address came from somebody else perhaps, and goes on with what came with it.
                    self.top.store(guess, Ordering::Release);
                    return Some(link);
                }
                Err(now) => head = now,
            }
        }
    }

    /// The word, for comparisons: two equal ones that are empty say that the stack was empty all the time between.
    pub(super) fn word(&self) -> u64 {
        // Acquire: as for cells.
        self.word.load(Ordering::Acquire)
    }

    /// Puts a slot on top.
    ///
    /// # Safety
    /// The slot is the caller's and in no stack; `link` is its link, in the segments that [`pop`](Self::pop) is given.
    #[inline]
    pub(super) unsafe fn push(&self, link: &Link) {
        let index = link.index;
        let mut head = self.word.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the Release below.
            link.next.store((head & INDEX) as u32, Ordering::Relaxed);
            link.below.store(self.top.load(Ordering::Acquire), Ordering::Release);
            let new = head & !INDEX | u64::from(index + 1);
            // Release pairs with the Acquire in `pop`.
            match self.word.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    // Release: the link is written.
                    self.top.store(NonNull::from(link).as_ptr(), Ordering::Release);
                    return;
                }
                Err(now) => head = now,
            }
        }
    }
}
