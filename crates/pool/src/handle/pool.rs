//! [`HandlePool`]: objects behind handles.
//!
//! Owns who an object belongs to: a slot, or an adopted handle. Where objects lie is the
//! [chunks](super::chunks)' business.
//!
//! Invariant: a slot in use, or an adopted entry, holds the position of a live object, whose owner word
//! names it; and each live object has one. A slot holds the object's address too.
//!
//! As long as no slot has another position than that of its own number, which ends with the first object that a
//! compaction moves, following a handle is a look at its generation, and the address follows from the handle.
//! How slots and positions come together is that of [places](super::places).

use super::adopted::Adopted;
use super::chunks::{Chunks, NUMBER, Owner, usual_step};
use super::id::{Handle, HandleError, Key, new_number};
use super::places::Place;
use super::slots::{MOST, Slot, Slots};
use crate::options::{Growth, Options, chunk_align};
use crate::source::{Global, Source};
use crate::{AcquireError, Pool, PoolError, PoolStats};
use core::alloc::Layout;
use core::fmt;
use core::hint::unreachable_unchecked;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};
use core::ptr::NonNull;

/// A pool of objects of one type that are named by [handles](Handle) and may move.
///
/// A handle costs `O(1)` to follow, and is refused when its object is gone or it is another pool's.
/// Since nothing but the pool knows where objects lie, it can move them together
/// ([`compact`](HandlePool::compact)) and to other pools ([`migrate_to`](HandlePool::migrate_to)) while all handles
/// stay valid, and it can free what nobody reaches ([`collect`](HandlePool::collect)), cycles included.
///
/// The idea is that of generational arenas (`slotmap`, `generational-arena`, `thunderdome`), with a table
/// between handles and objects as in Zig's and game engines' dense pools.
///
/// Threads share it as they share a `Vec`: `Send` if `T` is, `Sync` if `T` is.
///
/// ```
/// use stratalloc_pool::HandlePool;
///
/// let mut pool = HandlePool::new();
/// let (one, two) = (pool.insert("one").unwrap(), pool.insert("two").unwrap());
/// assert_eq!(pool[two], "two");
/// assert_eq!(pool.remove(one), Ok("one"));
/// assert!(pool.get(one).is_err());
/// assert_eq!(pool.compact().moved, 1);
/// assert_eq!(pool[two], "two");
/// ```
///
/// ```compile_fail,E0277
/// fn sent_to_threads<T: Send>() {}
/// sent_to_threads::<stratalloc_pool::HandlePool<std::rc::Rc<u8>>>();
/// ```
///
/// ```compile_fail,E0277
/// fn shared_by_threads<T: Sync>() {}
/// shared_by_threads::<stratalloc_pool::HandlePool<std::cell::Cell<u8>>>();
/// ```
pub struct HandlePool<T, A: Source = Global> {
    pub(super) number: u64,
    /// The number too, as long as each slot that has a position has that of its own number, in chunks of the usual
    /// size; otherwise 0, no pool's.
    pub(super) straight: u64,
    /// Each with the address of its object.
    pub(super) slots: Slots<NonNull<T>>,
    pub(super) adopted: Adopted,
    pub(super) chunks: Chunks<T>,
    pub(super) source: A,
    pub(super) options: Options,
    limit: usize,
    /// Objects that came in.
    pub(super) taken: u64,
    misses: u64,
    /// The first of the vacant slots that kept their positions; [`NUMBER`]: none. The next is in the position's
    /// owner word.
    pub(super) vacant: u32,
    /// The most objects before the last time that positions went out of use.
    pub(super) peak: usize,
}

// SAFETY: the pool owns its objects and memory, like a vector.
unsafe impl<T: Send, A: Source + Send> Send for HandlePool<T, A> {}
// SAFETY: through a shared pool objects are only shared.
unsafe impl<T: Sync, A: Source + Sync> Sync for HandlePool<T, A> {}

/// An object that found no room, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<T> {
    /// The object.
    pub object: T,
    /// Why.
    pub error: AcquireError,
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: fmt::Debug> core::error::Error for Refused<T> {}

impl<T> HandlePool<T> {
    /// An empty pool on the global allocator: doubling, no limit, no memory yet.
    ///
    /// # Panics
    /// When `T` is aligned above [`MAX_ALIGN`](crate::MAX_ALIGN).
    pub fn new() -> Self {
        match Self::with_options(Options::new()) {
            Ok(pool) => pool,
            Err(error) => panic!("a pool of {}: {error}", core::any::type_name::<T>()),
        }
    }

    /// A pool on the global allocator. With [`Options::padded`], no two objects share a cache line.
    ///
    /// # Errors
    /// `ZeroCapacity`: a limit of 0, growth by 0, no growth without capacity. `Alignment`: one that is not a
    /// power of two up to [`MAX_ALIGN`](crate::MAX_ALIGN). `Unsupported`: growth by fixed steps that are no power of
    /// two. `TooMany`: a capacity above the limit or above 2³⁰ − 1. `OutOfMemory`: the allocator refused.
    ///
    /// ```
    /// use stratalloc_pool::{AcquireError, HandlePool, Options};
    ///
    /// let mut pool = HandlePool::with_options(Options::new().capacity(2).limit(2))?;
    /// pool.insert(1).unwrap();
    /// pool.insert(2).unwrap();
    /// let refused = pool.insert(3).unwrap_err();
    /// assert_eq!((refused.object, refused.error), (3, AcquireError::Exhausted));
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn with_options(options: Options) -> Result<Self, PoolError> {
        Self::with_options_in(options, Global)
    }
}

impl<T> Default for HandlePool<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, A: Source> HandlePool<T, A> {
    /// A pool on `source`.
    ///
    /// # Errors
    /// As for [`with_options`](HandlePool::with_options).
    pub fn with_options_in(options: Options, source: A) -> Result<Self, PoolError> {
        let (block, limit) = options.block(Layout::new::<T>(), Layout::new::<()>())?;
        if options.capacity > MOST {
            return Err(PoolError::TooMany { asked: options.capacity, most: MOST });
        }
        let limit = limit.min(MOST);
        let step = match options.growth {
            Growth::Fixed(step) if !step.is_power_of_two() => {
                return Err(PoolError::Unsupported("growth by steps that are no power of two"));
            }
            Growth::Fixed(step) => step,
            _ => usual_step(block.size()).min(limit.next_power_of_two()),
        };
        let most = (isize::MAX as usize - chunk_align(block)) / block.size().max(1);
        let most = most.min(MOST + 1);
        if step > most {
            return Err(PoolError::TooMany { asked: step, most });
        }
        let number = new_number();
        let chunks = Chunks::new(block, step.ilog2());
        let mut pool = Self {
            number,
            straight: if chunks.is_usual(limit) { number } else { 0 },
            slots: Slots::new(),
            adopted: Adopted::new(),
            chunks,
            source,
            options,
            limit,
            taken: 0,
            misses: 0,
            vacant: NUMBER,
            peak: 0,
        };
        if options.capacity > 0 {
            pool.make_room(options.capacity).map_err(|_| PoolError::OutOfMemory {
                size: options.capacity.saturating_mul(block.size() + size_of::<u32>()),
                align: block.align(),
            })?;
        }
        Ok(pool)
    }

    /// How many objects there are. `O(1)`.
    pub fn len(&self) -> usize {
        self.chunks.live()
    }

    /// True when there are none. `O(1)`.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The source.
    pub fn source(&self) -> &A {
        &self.source
    }

    /// Where the object of a handle is.
    pub(super) fn position(&self, key: Key) -> Result<u32, HandleError> {
        match self.slot(key) {
            Some(slot) => Ok(slot.position),
            None => self.adopted.find(key).ok_or_else(|| key.error(self.number)),
        }
    }

    /// The slot of a handle that this pool made, if the object is there.
    #[inline(always)]
    fn slot(&self, key: Key) -> Option<&Slot<NonNull<T>>> {
        if key.pool != self.number {
            return None;
        }
        // SAFETY: no two pools have one number, so this pool made the handle.
        unsafe { self.slots.get(key) }
    }

    /// The object of a handle.
    #[inline(always)]
    pub(super) fn object(&self, key: Key) -> Result<NonNull<T>, HandleError> {
        if self.is_straight(key) {
            // SAFETY: a slot in use has a live position, here that of its number.
            return Ok(unsafe { self.chunks.usual_pointer(key.index) });
        }
        match self.slot(key) {
            Some(slot) => Ok(slot.more),
            None => self.adopted_object(key.pool, key.index, key.generation),
        }
    }

    /// True when the handle's object is there, at the position of the handle's number.
    #[inline(always)]
    fn is_straight(&self, key: Key) -> bool {
        // SAFETY: no two pools have one number, and none has 0, so this pool made the handle.
        key.pool == self.straight && unsafe { self.slots.has(key) }
    }

    /// Takes a key by its parts, so that it stays in registers where handles are followed.
    #[cold]
    #[inline(never)]
    fn adopted_object(&self, pool: u64, index: u32, generation: NonZeroU32) -> Result<NonNull<T>, HandleError> {
        let key = Key { pool, index, generation };
        let position = self.adopted.find(key).ok_or_else(|| key.error(self.number))?;
        Ok(self.chunks.pointer(position))
    }

    /// The handle of a live object.
    ///
    /// # Safety
    /// `owner` is a live object's.
    #[inline(always)]
    pub(super) unsafe fn handle(&self, owner: Owner) -> Handle<T> {
        let key = match owner {
            Owner::Slot(index) => {
                // SAFETY: a live object's slot is in use.
                let generation = unsafe { self.slots.generation(index) };
                Key { pool: self.number, index, generation }
            }
            // SAFETY: a live object's entry is in use.
            Owner::Adopted(index) => unsafe { self.adopted.key_unchecked(index) },
            // SAFETY: a live object has an owner.
            Owner::Vacant(_) => unsafe { unreachable_unchecked() },
        };
        Handle::new(key.pool, key.index, key.generation)
    }

    /// Makes room for `more` objects at once, in whole chunks.
    ///
    /// ```
    /// use stratalloc_pool::{HandlePool, Pool};
    ///
    /// let mut pool = HandlePool::<u64>::new();
    /// pool.reserve(1000)?;
    /// assert!(pool.capacity() >= 1000);
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// `Exhausted`: that is above the limit, or the pool may not grow. `OutOfMemory`: the source refused.
    pub fn reserve(&mut self, more: usize) -> Result<(), AcquireError> {
        let wanted = self.len().checked_add(more).ok_or(AcquireError::Exhausted)?;
        if wanted > self.limit || self.options.growth == Growth::None && wanted > self.chunks.capacity() {
            return Err(AcquireError::Exhausted);
        }
        self.make_room(wanted)
    }

    /// Memory for `objects` in all, and for slots to name them.
    fn make_room(&mut self, objects: usize) -> Result<(), AcquireError> {
        let more = objects.saturating_sub(self.len()).saturating_sub(self.chunks.kept());
        let count = objects.div_ceil(self.chunks.step());
        // SAFETY: all memory is from the pool's source.
        unsafe {
            self.slots.reserve(&self.source, more).ok_or(AcquireError::OutOfMemory)?;
            self.chunks.grow(&self.source, count).ok_or(AcquireError::OutOfMemory)
        }
    }

    /// Room for one more object.
    pub(super) fn room_for_one(&mut self) -> Result<(), AcquireError> {
        if self.len() >= self.limit {
            return Err(AcquireError::Exhausted);
        }
        // SAFETY: all memory is from the pool's source.
        unsafe { self.slots.reserve(&self.source, 1) }.ok_or(AcquireError::OutOfMemory)?;
        if self.chunks.has_room() {
            return Ok(());
        }
        self.grow()?;
        self.misses += 1;
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(), AcquireError> {
        let have = self.chunks.capacity() / self.chunks.step();
        let wanted = match self.options.growth {
            Growth::None => return Err(AcquireError::Exhausted),
            Growth::Fixed(_) => have + 1,
            Growth::Doubling => (have * 2).clamp(have + 1, self.limit.div_ceil(self.chunks.step()).max(have + 1)),
        };
        // SAFETY: all memory is from the pool's source. What came before a refusal is used.
        unsafe { self.chunks.grow(&self.source, wanted) };
        if self.chunks.has_room() { Ok(()) } else { Err(AcquireError::OutOfMemory) }
    }

    /// Takes an object in; its handle. `O(1)`, amortised where the pool grows: a chunk, or more slots.
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handle = pool.insert("here")?;
    /// assert_eq!(pool[handle], "here");
    /// # Ok::<(), stratalloc_pool::Refused<&str>>(())
    /// ```
    ///
    /// # Errors
    /// [`Refused`], with the object: `Exhausted` at the limit; `OutOfMemory` when the source refused.
    #[inline]
    pub fn insert(&mut self, object: T) -> Result<Handle<T>, Refused<T>> {
        match self.place() {
            Ok(place) => {
                // SAFETY: a place of ours that holds no object.
                unsafe { place.object.write(object) };
                Ok(place.handle)
            }
            Err(error) => Err(Refused { object, error }),
        }
    }

    /// As [`insert`](HandlePool::insert), with an object that knows its handle. When `construct` panics,
    /// there is no new object, and the handle is stale for ever.
    ///
    /// ```
    /// use stratalloc_pool::{Handle, HandlePool};
    ///
    /// struct Node {
    ///     me: Handle<Node>,
    /// }
    ///
    /// let mut pool = HandlePool::new();
    /// let handle = pool.insert_with(|me| Node { me })?;
    /// assert_eq!(pool[handle].me, handle);
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`insert`](HandlePool::insert); `construct` was not called.
    #[inline]
    pub fn insert_with(&mut self, construct: impl FnOnce(Handle<T>) -> T) -> Result<Handle<T>, AcquireError> {
        /// Takes slot and place back when there is no object for them: the handle was seen, and is stale then.
        struct Unmade<'a, T, A: Source>(&'a mut HandlePool<T, A>, Place<T>);
        impl<T, A: Source> Drop for Unmade<'_, T, A> {
            fn drop(&mut self) {
                // SAFETY: slot and position were taken, and there is no object.
                unsafe { self.0.vacate_own(self.1.handle.index, self.1.position) };
            }
        }
        let place = self.place()?;
        let unmade = Unmade(self, place);
        let object = construct(place.handle);
        core::mem::forget(unmade);
        // SAFETY: a place of ours that holds no object.
        unsafe { place.object.write(object) };
        Ok(place.handle)
    }

    /// The object of a handle. `O(1)`; expected `O(1)` for one that came from another pool.
    ///
    /// # Errors
    /// `Stale`: it is gone. `Foreign`: the handle is another pool's.
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handle = pool.insert(17).unwrap();
    /// assert_eq!(pool.get(handle), Ok(&17));
    /// ```
    #[inline(always)]
    pub fn get(&self, handle: Handle<T>) -> Result<&T, HandleError> {
        let object = self.object(handle.key())?;
        // SAFETY: a live object, borrowed as the pool is.
        Ok(unsafe { object.as_ref() })
    }

    /// As [`get`](HandlePool::get), to be changed.
    ///
    /// # Errors
    /// As for [`get`](HandlePool::get).
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handle = pool.insert(17).unwrap();
    /// *pool.get_mut(handle)? += 1;
    /// assert_eq!(pool[handle], 18);
    /// # Ok::<(), stratalloc_pool::HandleError>(())
    /// ```
    #[inline(always)]
    pub fn get_mut(&mut self, handle: Handle<T>) -> Result<&mut T, HandleError> {
        let mut object = self.object(handle.key())?;
        // SAFETY: a live object, borrowed alone as the pool is.
        Ok(unsafe { object.as_mut() })
    }

    /// True when the handle's object is in this pool. `O(1)`.
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handle = pool.insert(1).unwrap();
    /// assert!(pool.contains(handle));
    /// pool.remove(handle)?;
    /// assert!(!pool.contains(handle));
    /// # Ok::<(), stratalloc_pool::HandleError>(())
    /// ```
    #[inline]
    pub fn contains(&self, handle: Handle<T>) -> bool {
        self.position(handle.key()).is_ok()
    }

    /// Takes an object out. `O(1)`.
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handle = pool.insert("out").unwrap();
    /// assert_eq!(pool.remove(handle), Ok("out"));
    /// assert!(pool.remove(handle).is_err());
    /// ```
    ///
    /// # Errors
    /// As for [`get`](HandlePool::get).
    #[inline]
    pub fn remove(&mut self, handle: Handle<T>) -> Result<T, HandleError> {
        let key = handle.key();
        let object = if self.is_straight(key) {
            // SAFETY: the slot is in use, and so is its position.
            unsafe { self.vacate_own(key.index, key.index) };
            // SAFETY: it was live.
            unsafe { self.chunks.usual_pointer(key.index) }
        } else {
            self.remove_elsewhere(key.pool, key.index, key.generation)?
        };
        // SAFETY: it was live, and is ours alone now that its position is vacant.
        Ok(unsafe { object.read() })
    }

    /// Makes the position of a handle's object vacant that is not found at once.
    #[inline(never)]
    fn remove_elsewhere(
        &mut self,
        pool: u64,
        index: u32,
        generation: NonZeroU32,
    ) -> Result<NonNull<T>, HandleError> {
        let position = self.position(Key { pool, index, generation })?;
        // SAFETY: a handle's object is live.
        unsafe { self.vacate(position) };
        Ok(self.chunks.pointer(position))
    }

    /// Drops the object at a live position, whose handle is stale before: a drop that panics leaves the
    /// pool as if it had not.
    ///
    /// # Safety
    /// The position is live.
    pub(super) unsafe fn drop_at(&mut self, position: u32) {
        // SAFETY: it is live.
        unsafe { self.vacate(position) };
        // SAFETY: it was live, and nobody else has it now that its position is vacant.
        unsafe { self.chunks.pointer(position).drop_in_place() };
    }

    /// Drops the objects that `keep` does not want. `O(capacity)`.
    ///
    /// When `keep` or a drop panics, the objects not yet asked about stay.
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handles = [1, 2, 3].map(|number| pool.insert(number).unwrap());
    /// pool.retain(|_, number| *number != 2);
    /// assert_eq!(handles.map(|handle| pool.contains(handle)), [true, false, true]);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(Handle<T>, &mut T) -> bool) {
        for position in 0..self.chunks.end() {
            let owner = self.chunks.owner(position);
            if matches!(owner, Owner::Vacant(_)) {
                continue;
            }
            // SAFETY: the owner of a live object.
            let handle = unsafe { self.handle(owner) };
            // SAFETY: a live position holds an object, borrowed alone as the pool is.
            if !keep(handle, unsafe { self.chunks.pointer(position).as_mut() }) {
                // SAFETY: live still: `keep` has no way into the pool.
                unsafe { self.drop_at(position) };
            }
        }
    }

    /// Drops all objects and keeps the memory. When a drop panics, the others are dropped still.
    /// `O(capacity)`.
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handle = pool.insert(1).unwrap();
    /// pool.clear();
    /// assert!(pool.is_empty() && pool.get(handle).is_err());
    /// ```
    pub fn clear(&mut self) {
        struct Others<'a, T, A: Source>(&'a mut HandlePool<T, A>);
        impl<T, A: Source> Drop for Others<'_, T, A> {
            fn drop(&mut self) {
                self.0.clear();
            }
        }
        if self.straight != 0 {
            // Slots and positions stay together.
            for position in (0..self.chunks.end()).rev() {
                if !matches!(self.chunks.owner(position), Owner::Vacant(_)) {
                    let others = Others(self);
                    // SAFETY: it has an owner, so it is live.
                    unsafe { others.0.drop_at(position) };
                    core::mem::forget(others);
                }
            }
            return;
        }
        self.part();
        while let Some((position, owner)) = self.chunks.vacate_last() {
            match owner {
                Owner::Slot(index) => self.slots.give(index),
                Owner::Adopted(index) => self.adopted.remove(index),
                Owner::Vacant(_) => unreachable!("position {position} is vacant"),
            }
            let others = Others(self);
            // SAFETY: it was live, and nobody else has it now that its position is vacant.
            unsafe { others.0.chunks.pointer(position).drop_in_place() };
            core::mem::forget(others);
        }
    }

    /// The figures. A hit is an insertion into memory that was there. `O(1)`.
    ///
    /// ```
    /// let mut pool = stratalloc_pool::HandlePool::new();
    /// let handle = pool.insert(1).unwrap();
    /// pool.remove(handle).unwrap();
    /// let stats = pool.stats();
    /// assert_eq!((stats.live, stats.peak, stats.misses), (0, 1, 1));
    /// ```
    pub fn stats(&self) -> PoolStats {
        let capacity = self.chunks.capacity().min(self.limit);
        let bytes = self.chunks.bytes() + self.slots.bytes() + self.adopted.bytes();
        PoolStats {
            capacity,
            live: self.len(),
            free: capacity - self.len(),
            hits: self.taken.saturating_sub(self.misses),
            misses: self.misses,
            waits: 0,
            peak: self.peak(),
            waste: bytes - capacity * size_of::<T>(),
            bytes,
        }
    }
}

impl<T, A: Source> Index<Handle<T>> for HandlePool<T, A> {
    type Output = T;

    /// # Panics
    /// When the handle is stale or another pool's; the message names it.
    #[inline]
    fn index(&self, handle: Handle<T>) -> &T {
        match self.get(handle) {
            Ok(object) => object,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<T, A: Source> IndexMut<Handle<T>> for HandlePool<T, A> {
    #[inline]
    fn index_mut(&mut self, handle: Handle<T>) -> &mut T {
        match self.get_mut(handle) {
            Ok(object) => object,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<T, A: Source> Pool for HandlePool<T, A> {
    fn stats(&self) -> PoolStats {
        Self::stats(self)
    }

    /// Moves objects together and gives chunks back until at most `keep` positions, and the rest of a
    /// chunk, are free. Nothing goes where the pool may not grow: it could not get it back.
    fn trim(&mut self, keep: usize) -> usize {
        let before = self.chunks.capacity();
        self.compact_keeping(keep);
        before - self.chunks.capacity()
    }
}

impl<T, A: Source> Drop for HandlePool<T, A> {
    fn drop(&mut self) {
        struct Memory<'a, T, A: Source>(&'a mut HandlePool<T, A>);
        impl<T, A: Source> Drop for Memory<'_, T, A> {
            fn drop(&mut self) {
                let pool = &mut *self.0;
                // SAFETY: all memory is from the pool's source, and there are no objects left.
                unsafe {
                    pool.chunks.release(&pool.source);
                    pool.slots.release(&pool.source);
                    pool.adopted.release(&pool.source);
                }
            }
        }
        // Also when a drop panics.
        let memory = Memory(self);
        memory.0.clear();
    }
}

impl<T, A: Source> fmt::Debug for HandlePool<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlePool")
            .field("number", &self.number)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
