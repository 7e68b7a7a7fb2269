//! Slots and positions of a [`HandlePool`]: how they come together and part.
//!
//! New slots and new positions come in pairs of one number. A slot whose object is removed keeps position and address for the next object, and these vacant slots are a list
//! through their positions' owner words. So an object is removed and another inserted with a look at one slot and
//! one word. Slots and positions without each other are in lists of their own, those of [slots](super::slots) and
//! [chunks](super::chunks): positions of adopted handles and of slots that had all their generations, slots whose
//! position went away with a compaction.
//!
//! Invariant: a vacant slot is in one of the two lists of slots, or retired; a vacant position is in that of
//! positions, or kept by one slot of the pool's list, which holds its address too.

use super::chunks::{NUMBER, Owner};
use super::id::Handle;
use super::pool::HandlePool;
use super::slots::Slot;
use crate::AcquireError;
use crate::source::Source;
use core::ptr::NonNull;

/// A slot and a place that an object goes to.
pub(super) struct Place<T> {
    pub(super) handle: Handle<T>,
    pub(super) position: u32,
    pub(super) object: NonNull<T>,
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<T> {}

impl<T, A: Source> HandlePool<T, A> {
    /// The most objects so far: positions that were never used are taken only when none is vacant.
    pub(super) fn peak(&self) -> usize {
        self.peak.max(self.chunks.end() as usize)
    }

    /// A slot and a place for one more object, which the caller writes.
    #[inline(always)]
    pub(super) fn place(&mut self) -> Result<Place<T>, AcquireError> {
        if self.vacant == NUMBER {
            self.pair_one()?;
        }
        let index = self.vacant;
        // SAFETY: it is in the list, so vacant.
        let generation = unsafe { self.slots.renew(index) };
        let (position, object) = if self.straight != 0 {
            // SAFETY: its position is its number.
            (index, unsafe { self.chunks.usual_pointer(index) })
        } else {
            // SAFETY: as above.
            let &mut Slot { position, more } = unsafe { self.slots.slot_mut(index) };
            (position, more)
        };
        // SAFETY: a vacant slot's position is vacant and kept.
        self.vacant = unsafe { self.chunks.claim_kept(position, Owner::Slot(index)) };
        self.taken += 1;
        Ok(Place { handle: Handle::new(self.number, index, generation), position, object })
    }

    /// Makes a vacant slot with a position, where there is none.
    #[inline(never)]
    fn pair_one(&mut self) -> Result<(), AcquireError> {
        self.room_for_one()?;
        // The slot's number is written below, when it is known.
        let (position, object) = self.chunks.claim(Owner::Slot(0));
        self.vacant = self.slots.take_vacant(position, object);
        if self.vacant != position {
            self.straight = 0;
        }
        // SAFETY: claimed just now; the list has no other slot.
        unsafe { self.chunks.vacate_kept(position, NUMBER) };
        Ok(())
    }

    /// A position for an adopted handle's object, where there is room.
    pub(super) fn claim_for_adopted(&mut self) -> (u32, NonNull<T>) {
        self.taken += 1;
        // A new position only if none is vacant.
        if !self.chunks.has_vacant() && self.vacant != NUMBER {
            let index = self.vacant;
            // SAFETY: it is in the list, so vacant.
            let &mut Slot { position, more: object } = unsafe { self.slots.slot_mut(index) };
            // SAFETY: a vacant slot's position is vacant and kept.
            self.vacant = unsafe { self.chunks.claim_kept(position, Owner::Adopted(0)) };
            self.slots.list(index);
            return (position, object);
        }
        self.chunks.claim(Owner::Adopted(0))
    }

    /// Parts vacant slots from the positions that they kept, before these go out of use. The positions are in no
    /// list then.
    pub(super) fn part(&mut self) {
        self.peak = self.peak();
        while self.vacant != NUMBER {
            let index = self.vacant;
            // SAFETY: it is in the list, so vacant.
            let position = unsafe { self.slots.slot_mut(index) }.position;
            let Owner::Vacant(next) = self.chunks.owner(position) else {
                unreachable!("position {position} is live and kept by slot {index}")
            };
            self.vacant = next;
            self.slots.list(index);
        }
    }

    /// Makes a slot and its position vacant: its handle is stale, its object the caller's.
    ///
    /// # Safety
    /// The slot is in use, and this is its position.
    #[inline(always)]
    pub(super) unsafe fn vacate_own(&mut self, index: u32, position: u32) {
        // SAFETY: it is in use.
        if unsafe { self.slots.expire(index) } {
            // SAFETY: the position of a slot in use is live.
            unsafe { self.chunks.vacate_kept(position, self.vacant) };
            self.vacant = index;
        } else {
            // SAFETY: as above.
            unsafe { self.vacate_alone(position) };
        }
    }

    /// Makes the position of a slot vacant that had all its generations.
    ///
    /// # Safety
    /// The position is live.
    #[cold]
    #[inline(never)]
    unsafe fn vacate_alone(&mut self, position: u32) {
        // SAFETY: it is live.
        unsafe { self.chunks.vacate(position) };
    }

    /// Makes a live position and what names its object vacant: the handle is stale, the object the caller's.
    ///
    /// # Safety
    /// The position is live.
    pub(super) unsafe fn vacate(&mut self, position: u32) {
        match self.chunks.owner(position) {
            // SAFETY: a live object's slot is in use and holds its position.
            Owner::Slot(index) => unsafe { self.vacate_own(index, position) },
            Owner::Adopted(index) => {
                self.adopted.remove(index);
                // SAFETY: it is live.
                unsafe { self.chunks.vacate(position) };
            }
            Owner::Vacant(_) => unreachable!("position {position} is vacant"),
        }
    }

    /// Checks the invariants; for tests.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut live = 0;
        for position in 0..self.chunks.end() {
            let owner = self.chunks.owner(position);
            if !matches!(owner, Owner::Vacant(_)) {
                // SAFETY: the owner of a live object.
                let key = unsafe { self.handle(owner) }.key();
                assert_eq!(self.position(key), Ok(position));
                assert!(self.straight == 0 || matches!(owner, Owner::Adopted(_)) || key.index == position);
                assert_eq!(self.object(key), Ok(self.chunks.pointer(position)));
                live += 1;
            }
        }
        assert_eq!(live, self.len());
        let (mut kept, mut index) = (0, self.vacant);
        while index != NUMBER {
            let (slot, generation) = self.slots.look(index);
            assert_eq!((generation, slot.more), (None, self.chunks.pointer(slot.position)));
            assert!(self.straight == 0 || slot.position == index);
            let Owner::Vacant(next) = self.chunks.owner(slot.position) else {
                panic!("position {} is kept by slot {index} and live", slot.position)
            };
            (kept, index) = (kept + 1, next);
        }
        assert_eq!(kept, self.chunks.kept());
    }
}
