//! [`Slots`]: where the objects behind handles are.
//!
//! Owns generations. A slot's generation is odd while it is in use and even while it is vacant; handles
//! carry the odd one. The last generation is used once: then the slot is retired and never used again,
//! so that a handle is never mistaken for another.

use super::id::Key;
use crate::source::Source;
use crate::table::{NONE, Table};
use core::num::NonZeroU32;

/// The most slots there can be: positions and owners leave two bits for other things.
pub(crate) const MOST: usize = (1 << 30) - 1;

/// One slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<L> {
    generation: u32,
    /// In use: where the object is, as its pool counts. Vacant: the next vacant slot.
    pub(crate) position: u32,
    /// More about where it is.
    pub(crate) more: L,
}

/// All slots of a pool.
pub(crate) struct Slots<L> {
    slots: Table<Slot<L>>,
    vacant: u32,
    vacant_count: usize,
}

impl<L: Copy> Slots<L> {
    pub(crate) const fn new() -> Self {
        Self { slots: Table::new(), vacant: NONE, vacant_count: 0 }
    }

    /// Bytes of the table.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// One past the highest slot.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Makes room for `more` slots in use. `None`: no memory, or too many, and nothing changed.
    ///
    /// # Safety
    /// `source` is the one the table's memory came from.
    #[inline]
    pub(crate) unsafe fn reserve<S: Source>(&mut self, source: &S, more: usize) -> Option<()> {
        if self.vacant_count >= more {
            return Some(());
        }
        // Retired slots count as used: they are in the table but not in the list.
        let wanted = self.slots.len().checked_add(more - self.vacant_count).filter(|&wanted| wanted <= MOST)?;
        // SAFETY: the caller's source.
        unsafe { self.slots.reserve(source, wanted) }
    }

    /// Index and generation of the slot that [`take`](Slots::take) takes next.
    #[inline]
    pub(crate) fn next(&self) -> (u32, NonZeroU32) {
        let (index, generation) = match self.vacant {
            NONE => (self.end(), 0),
            vacant => (vacant, self.slots[vacant as usize].generation),
        };
        // An even number is not the largest.
        (index, NonZeroU32::MIN.saturating_add(generation))
    }

    /// Takes a slot, for which there is room, for an object at `position`; its index.
    #[inline]
    pub(crate) fn take(&mut self, position: u32, more: L) -> u32 {
        let (index, generation) = self.next();
        let slot = Slot { generation: generation.get(), position, more };
        if index == self.end() {
            self.slots.push(slot);
        } else {
            self.vacant = self.slots[index as usize].position;
            self.vacant_count -= 1;
            self.slots[index as usize] = slot;
        }
        index
    }

    /// The slot of a handle of this pool, if its object is there.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&Slot<L>> {
        self.slots.get(key.index as usize).filter(|slot| slot.generation == key.generation.get())
    }

    /// A slot in use.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> &mut Slot<L> {
        &mut self.slots[index as usize]
    }

    /// A slot, and its generation if it is in use.
    #[inline]
    pub(crate) fn look(&self, index: u32) -> (&Slot<L>, Option<NonZeroU32>) {
        let slot = &self.slots[index as usize];
        (slot, NonZeroU32::new(slot.generation).filter(|generation| generation.get() % 2 == 1))
    }

    /// Makes a slot vacant; its handle is stale from now on.
    #[inline]
    pub(crate) fn give(&mut self, index: u32) {
        let vacant = self.vacant;
        let slot = &mut self.slots[index as usize];
        debug_assert_eq!(slot.generation % 2, 1, "slot {index} is vacant already");
        slot.generation = slot.generation.wrapping_add(1);
        // After the last generation comes 0: no handle's, and the slot is in no list.
        if slot.generation != 0 {
            slot.position = vacant;
            self.vacant = index;
            self.vacant_count += 1;
        }
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// As for [`reserve`](Slots::reserve).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        // SAFETY: the caller's source.
        unsafe { self.slots.release(source) };
        *self = Self::new();
    }

    /// Lets a vacant slot appear as if it had been used that often, for tests.
    #[cfg(test)]
    pub(crate) fn age(&mut self, index: u32, generation: u32) {
        self.slots[index as usize].generation = generation;
    }
}
