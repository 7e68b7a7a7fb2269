//! Moving the objects of a [`HandlePool`]: together, and to other pools. Handles stay valid.
//!
//! No code of the objects' runs on the way: they are moved as Rust moves values.

use super::chunks::Owner;
use super::id::{Handle, MoveError};
use super::pool::HandlePool;
use crate::AcquireError;
use crate::options::Growth;
use crate::source::Source;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Objects that moved.
    pub moved: usize,
    /// Bytes given back to the source.
    pub released: usize,
}

impl<T, A: Source> HandlePool<T, A> {
    /// Moves the objects together at the front and gives the chunks behind them back. The objects' order
    /// changes: those at the end fill the gaps. Where the pool may not grow, the chunks stay.
    ///
    /// `O(capacity)`, and a move for each gap at most.
    ///
    /// ```
    /// use stratalloc_pool::{HandlePool, Pool};
    ///
    /// let mut pool = HandlePool::new();
    /// let handles: Vec<_> = (0..10_000).map(|n| pool.insert(n).unwrap()).collect();
    /// for handle in &handles[..9_000] {
    ///     pool.remove(*handle).unwrap();
    /// }
    /// let done = pool.compact();
    /// assert!(done.moved <= 1_000 && done.released > 0);
    /// assert_eq!(pool[handles[9_999]], 9_999);
    /// ```
    pub fn compact(&mut self) -> Compacted {
        self.compact_keeping(0)
    }

    /// As [`compact`](HandlePool::compact); room for `keep` more objects stays.
    pub(super) fn compact_keeping(&mut self, keep: usize) -> Compacted {
        self.part();
        let Self { chunks, slots, adopted, straight, .. } = self;
        let moved = chunks.compact(|owner, position, object| match owner {
            Owner::Slot(index) => {
                *straight = 0;
                let slot = slots.at(index);
                (slot.position, slot.more) = (position, object);
            }
            Owner::Adopted(index) => adopted.set_position(index, position),
            Owner::Vacant(_) => unreachable!("only live objects move"),
        });
        let mut released = 0;
        if self.options.growth != Growth::None {
            let count = self.len().saturating_add(keep).div_ceil(self.chunks.step());
            // SAFETY: all chunks are from the pool's source; the objects are before those that go, and the
            // vacant list is empty after a compaction.
            released = unsafe { self.chunks.shrink(&self.source, count) };
        }
        Compacted { moved, released }
    }

    /// Moves one object to another pool, where its handle is valid from now on, and here no more. `O(1)`,
    /// amortised where the other pool grows.
    ///
    /// ```
    /// use stratalloc_pool::HandlePool;
    ///
    /// let (mut here, mut there) = (HandlePool::new(), HandlePool::new());
    /// let handle = here.insert(17).unwrap();
    /// here.migrate(handle, &mut there)?;
    /// assert_eq!((there[handle], here.contains(handle)), (17, false));
    /// # Ok::<(), stratalloc_pool::MoveError>(())
    /// ```
    ///
    /// # Errors
    /// The handle is not of this pool, or the other has no room. Nothing was changed.
    pub fn migrate<B: Source>(
        &mut self,
        handle: Handle<T>,
        other: &mut HandlePool<T, B>,
    ) -> Result<(), MoveError> {
        let position = self.position(handle.key())?;
        other.room_for_one()?;
        other.room_for_adopted(1)?;
        // SAFETY: a handle's object is live.
        unsafe { self.move_to(position, other) };
        Ok(())
    }

    /// Moves all objects to another pool, where their handles are valid from now on, and here no more.
    /// Returns how many. `O(capacity)`.
    ///
    /// ```
    /// use stratalloc_pool::HandlePool;
    ///
    /// let (mut nursery, mut old) = (HandlePool::new(), HandlePool::new());
    /// let handle = nursery.insert("survivor").unwrap();
    /// assert_eq!(nursery.migrate_to(&mut old), Ok(1));
    /// assert_eq!(old[handle], "survivor");
    /// assert!(nursery.get(handle).is_err());
    /// ```
    ///
    /// # Errors
    /// The other pool has no room for all of them. Nothing was changed.
    pub fn migrate_to<B: Source>(&mut self, other: &mut HandlePool<T, B>) -> Result<usize, AcquireError> {
        let count = self.len();
        if count == 0 {
            return Ok(0);
        }
        other.reserve(count)?;
        other.room_for_adopted(count)?;
        for position in 0..self.chunks.end() {
            if !matches!(self.chunks.owner(position), Owner::Vacant(_)) {
                // SAFETY: it has an owner, so it is live.
                unsafe { self.move_to(position, other) };
            }
        }
        Ok(count)
    }

    fn room_for_adopted(&mut self, count: usize) -> Result<(), AcquireError> {
        // SAFETY: all tables are from the pool's source.
        unsafe { self.adopted.reserve(&self.source, count) }.ok_or(AcquireError::OutOfMemory)
    }

    /// Moves a live object to a pool that has room for it and its handle.
    ///
    /// # Safety
    /// The position is live.
    unsafe fn move_to<B: Source>(&mut self, position: u32, other: &mut HandlePool<T, B>) {
        let owner = self.chunks.owner(position);
        // SAFETY: the owner of a live object.
        let handle = unsafe { self.handle(owner) };
        // The entry's number is written below, when it is known.
        let (there, to) = other.claim_for_adopted();
        let entry = other.adopted.insert(handle.key(), there);
        // SAFETY: claimed just now.
        unsafe { other.chunks.set_owner(there, Owner::Adopted(entry)) };
        // SAFETY: a live object, and a position of another pool that holds none.
        unsafe { to.copy_from_nonoverlapping(self.chunks.pointer(position), 1) };
        // SAFETY: it is live.
        unsafe { self.vacate(position) };
    }
}
