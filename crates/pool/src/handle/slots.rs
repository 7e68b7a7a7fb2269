//! [`Slots`]: where the objects behind handles are.
//!
//! Owns generations, in a row of their own, since where an object is can often be told without a look at its slot. A slot's generation is odd while it is in use and even while it is vacant; handles
//! carry the odd one. The last generation is used once: then the slot is retired and never used again,
//! so that a handle is never mistaken for another.

use super::id::Key;
use crate::source::Source;
use crate::table::{NONE, Table};
use core::num::NonZeroU32;

/// The most slots there can be: positions and owners leave two bits for other things.
pub(crate) const MOST: usize = (1 << 30) - 1;

/// One slot, without its generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<L> {
    /// In use: where the object is, as its pool counts. Vacant: the next vacant slot, or what the pool keeps there.
    pub(crate) position: u32,
    /// More about where it is.
    pub(crate) more: L,
}

/// All slots of a pool.
pub(crate) struct Slots<L> {
    generations: Table<u32>,
    slots: Table<Slot<L>>,
    vacant: u32,
    vacant_count: usize,
}

impl<L: Copy> Slots<L> {
    pub(crate) const fn new() -> Self {
        Self { generations: Table::new(), slots: Table::new(), vacant: NONE, vacant_count: 0 }
    }

    /// Bytes of the table.
    pub(crate) fn bytes(&self) -> usize {
        self.generations.bytes() + self.slots.bytes()
    }

    /// One past the highest slot.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Makes room for `more` slots in use. `None`: no memory, or too many, and nothing changed that shows.
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
        unsafe {
            self.generations.reserve(source, wanted)?;
            self.slots.reserve(source, wanted)
        }
    }

    /// Takes a slot, for which there is room, for an object at `position`; its index and generation.
    #[inline]
    pub(crate) fn take(&mut self, position: u32, more: L) -> (u32, NonZeroU32) {
        let index = self.take_vacant(position, more);
        // SAFETY: it is there, and vacant.
        (index, unsafe { self.renew(index) })
    }

    /// The generation of a slot that is known to be there.
    ///
    /// # Safety
    /// It is in use or vacant.
    #[inline(always)]
    unsafe fn generation_mut(&mut self, index: u32) -> &mut u32 {
        debug_assert!(index < self.end(), "slot {index} of {}", self.end());
        // SAFETY: so it is in the table.
        unsafe { self.generations.get_unchecked_mut(index as usize) }
    }

    /// Of a vacant slot: the generation of the next handle, which is that of the slot from now on.
    ///
    /// # Safety
    /// It is vacant.
    #[inline(always)]
    pub(crate) unsafe fn renew(&mut self, index: u32) -> NonZeroU32 {
        // SAFETY: the caller's slot.
        let place = unsafe { self.generation_mut(index) };
        debug_assert_eq!(*place % 2, 0, "the slot is in use");
        // An even number, so this adds 1.
        let generation = NonZeroU32::MIN | *place;
        *place = generation.get();
        generation
    }

    /// Of a slot in use: its handle is stale from now on. False: the slot is never used again.
    ///
    /// # Safety
    /// It is in use.
    #[inline(always)]
    #[must_use]
    pub(crate) unsafe fn expire(&mut self, index: u32) -> bool {
        // SAFETY: the caller's slot.
        let generation = unsafe { self.generation_mut(index) };
        debug_assert_eq!(*generation % 2, 1, "the slot is vacant already");
        // After the last generation comes 0: no handle's, and the slot is in no list.
        *generation = generation.wrapping_add(1);
        *generation != 0
    }

    /// A vacant slot that is in no list, for which there is room, to hold `position` and `more`; its index.
    pub(crate) fn take_vacant(&mut self, position: u32, more: L) -> u32 {
        let index = self.vacant;
        if index == NONE {
            self.generations.push(0);
            self.slots.push(Slot { position, more });
            return self.end() - 1;
        }
        let slot = &mut self.slots[index as usize];
        self.vacant = slot.position;
        self.vacant_count -= 1;
        (slot.position, slot.more) = (position, more);
        index
    }

    /// True when the object of a handle is there.
    ///
    /// # Safety
    /// The handle is of the pool that these slots are of: they never get fewer while it lives.
    #[inline(always)]
    pub(crate) unsafe fn has(&self, key: Key) -> bool {
        debug_assert!(key.index < self.end(), "slot {} of {}", key.index, self.end());
        // SAFETY: the pool made the handle for a slot that was there then.
        let generation = unsafe { *self.generations.get_unchecked(key.index as usize) };
        generation == key.generation.get()
    }

    /// The slot of a handle, if its object is there.
    ///
    /// # Safety
    /// As for [`has`](Slots::has).
    #[inline(always)]
    pub(crate) unsafe fn get(&self, key: Key) -> Option<&Slot<L>> {
        // SAFETY: the caller's handle; so its slot is in the table.
        unsafe { self.has(key).then(|| self.slots.get_unchecked(key.index as usize)) }
    }

    /// A slot that is known to be there.
    ///
    /// # Safety
    /// It is in use or vacant.
    #[inline(always)]
    pub(crate) unsafe fn slot_mut(&mut self, index: u32) -> &mut Slot<L> {
        debug_assert!(index < self.end(), "slot {index} of {}", self.end());
        // SAFETY: so it is in the table.
        unsafe { self.slots.get_unchecked_mut(index as usize) }
    }

    /// The generation of a slot in use.
    ///
    /// # Safety
    /// The slot is in use.
    #[inline(always)]
    pub(crate) unsafe fn generation(&self, index: u32) -> NonZeroU32 {
        debug_assert!(self.look(index).1.is_some(), "slot {index} is vacant");
        // SAFETY: so it is in the table.
        let generation = unsafe { *self.generations.get_unchecked(index as usize) };
        // SAFETY: an odd number is not 0.
        unsafe { NonZeroU32::new_unchecked(generation) }
    }

    /// A slot in use.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> &mut Slot<L> {
        &mut self.slots[index as usize]
    }

    /// A slot, and its generation if it is in use.
    #[inline]
    pub(crate) fn look(&self, index: u32) -> (&Slot<L>, Option<NonZeroU32>) {
        let generation = NonZeroU32::new(self.generations[index as usize]);
        (&self.slots[index as usize], generation.filter(|generation| generation.get() % 2 == 1))
    }

    /// Makes a slot in use vacant; its handle is stale from now on.
    pub(crate) fn give(&mut self, index: u32) {
        assert!(index < self.end(), "slot {index} of {}", self.end());
        // SAFETY: it is there, and in use.
        if unsafe { self.expire(index) } {
            self.list(index);
        }
    }

    /// Puts a vacant slot that is in no list where [`take`](Slots::take) finds it.
    pub(crate) fn list(&mut self, index: u32) {
        self.slots[index as usize].position = self.vacant;
        self.vacant = index;
        self.vacant_count += 1;
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// As for [`reserve`](Slots::reserve).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        // SAFETY: the caller's source.
        unsafe {
            self.generations.release(source);
            self.slots.release(source);
        }
        *self = Self::new();
    }

    /// Lets a vacant slot appear as if it had been used that often, for tests.
    #[cfg(test)]
    pub(crate) fn age(&mut self, index: u32, generation: u32) {
        self.generations[index as usize] = generation;
    }
}
