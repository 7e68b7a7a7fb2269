//! Objects of a [`CompactHeap`] that become longer or shorter. Handles stay valid.

use super::heap::{CompactHeap, Items, build};
use super::space::Spot;
use crate::handle::id::Handle;
use crate::source::Source;
use crate::table::NONE;
use crate::{AcquireError, MoveError};

impl<H, E, A: Source> CompactHeap<H, E, A> {
    /// Changes how many items an object has: drops those from `len` on, or adds what `item` makes for each
    /// index up to it. When `item` panics, the items it made are dropped and the object is as before.
    ///
    /// `O(1)` and the drops to shorten; to lengthen, `O(len)` where the object has to move to the end, as
    /// [`insert_with`](CompactHeap::insert_with).
    ///
    /// ```
    /// use stratalloc_pool::CompactHeap;
    ///
    /// let mut heap = CompactHeap::<(), u8>::new();
    /// let text = heap.insert((), b"long").unwrap();
    /// heap.resize_with(text, 6, |n| b"longer"[n]).unwrap();
    /// assert_eq!(heap.get(text)?.items, b"longer");
    /// heap.resize_with(text, 2, |_| 0).unwrap();
    /// assert_eq!(heap.get(text)?.items, b"lo");
    /// # Ok::<(), stratalloc_pool::HandleError>(())
    /// ```
    ///
    /// # Errors
    /// [`MoveError`]: the handle is not of this heap, or there is no room. Nothing was changed that shows.
    pub fn resize_with(
        &mut self,
        handle: Handle<H>,
        len: usize,
        item: impl FnMut(usize) -> E,
    ) -> Result<(), MoveError> {
        let (spot, old) = self.find(handle.key())?;
        let units = self.space.units(len).filter(|_| len < NONE as usize).ok_or(AcquireError::Exhausted)?;
        if len <= old as usize {
            self.shorten(handle.index, spot, old, len as u32, units);
            return Ok(());
        }
        if units <= self.space.prefix(spot).units {
            build(self.space.items(spot, len as u32).cast(), old as usize, len, item);
            self.slots.at(handle.index).more.len = len as u32;
            return Ok(());
        }
        let there = self.make_room(units)?;
        // Making room may have moved it.
        let (spot, old) = self.find(handle.key())?;
        build(self.space.items(there, len as u32).cast(), old as usize, len, item);
        // SAFETY: the live object's head and items go to room that was made for them; what is at the old spot
        // is forgotten.
        unsafe {
            self.space.head(there).copy_from_nonoverlapping(self.space.head(spot), 1);
            let (from, to) = (self.space.items(spot, old).cast::<E>(), self.space.items(there, len as u32).cast());
            to.copy_from_nonoverlapping(from, old as usize);
        }
        self.space.take(there, units, handle.index);
        self.space.kill(spot);
        let slot = self.slots.at(handle.index);
        slot.position = there.offset;
        (slot.more.segment, slot.more.len) = (there.segment, len as u32);
        Ok(())
    }

    /// Drops the items from `len` on; what they had becomes a dead object.
    fn shorten(&mut self, index: u32, spot: Spot, old: u32, len: u32, units: u32) {
        let items = self.space.items(spot, old).cast::<E>();
        // SAFETY: `len` is at most `old`.
        let rest = unsafe { items.add(len as usize) };
        let rest = Items(core::ptr::NonNull::slice_from_raw_parts(rest, (old - len) as usize));
        // Before a drop can panic. The memory is not used again before they are dropped.
        self.slots.at(index).more.len = len;
        drop(rest);
        self.space.cut(spot, units);
    }
}
