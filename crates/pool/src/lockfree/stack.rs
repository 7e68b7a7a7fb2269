//! A stack of slot indices: R. K. Treiber's (1986), with a tag against ABA.
//!
//! One 64-bit word: the top's index plus 1 in the low half (0: empty), in the high half a tag that each pop raises. A
//! pop reads the top's link and then exchanges the whole word. If the top was popped meanwhile, even if it is back on top,
//! the tag differs and the exchange fails; only 2³² pops between the two steps of one thread could deceive it. A push
//! needs no new tag: it makes no use of what it read but as the link of its own slot.
//!
//! # Progress
//! Lock-free: an exchange fails only because another succeeded. Not wait-free.

use super::segments::{Link, Segments};
use crate::sync::atomic::{AtomicU64, Ordering};
use core::ptr::NonNull;

const TAG: u64 = 1 << 32;
const INDEX: u64 = TAG - 1;

/// See the module. On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Stack(AtomicU64);

impl Stack {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes the top: its index, link and block.
    #[inline]
    pub(super) fn pop<'a>(&self, segments: &'a Segments) -> Option<(u32, &'a Link, NonNull<u8>)> {
        // Acquire: pairs with the Release of the push of the top. All changes of the word are read-modify-writes, so
        // each push's release sequence goes on through later pops, and every index in the stack is covered.
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let index = ((head & INDEX) as u32).checked_sub(1)?;
            // SAFETY: the slot was pushed, so its segment was ensured by who first did; the load above synchronised.
            let (link, block) = unsafe { segments.slot(index) };
            // Relaxed: a value that is not the one pushed with this `head` is thrown away by the exchange.
            let next = link.next.load(Ordering::Relaxed);
            let new = (head & !INDEX).wrapping_add(TAG) | u64::from(next);
            // Acquire as above: the new holder sees all that the last one did with the object.
            match self.0.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some((index, link, block)),
                Err(now) => head = now,
            }
        }
    }

    /// Puts a slot on top.
    ///
    /// # Safety
    /// The slot is the caller's and in no stack; `link` is its link, in the segments that [`pop`](Self::pop) is given.
    #[inline]
    pub(super) unsafe fn push(&self, link: &Link, index: u32) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the Release below.
            link.next.store((head & INDEX) as u32, Ordering::Relaxed);
            let new = head & !INDEX | u64::from(index + 1);
            // Release pairs with the Acquire in `pop`.
            match self.0.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}
