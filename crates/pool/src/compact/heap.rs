//! [`CompactHeap`]: objects of many sizes behind handles.
//!
//! Owns which object a slot names. How objects lie in memory is [space](super::space)'s business, when
//! they move [steps](super::steps)'s.
//!
//! Invariant: a slot in use holds the spot of a live object, whose prefix names the slot; and each live
//! object has one.

use super::options::CompactOptions;
use super::space::{Space, Spot};
use super::steps::Cycle;
use crate::handle::id::{Handle, HandleError, Key, new_number};
use crate::handle::slots::Slots;
use crate::handle::trace::Marks;
use crate::options::Growth;
use crate::source::{Global, Source};
use crate::table::NONE;
use crate::{AcquireError, Pool, PoolError, PoolStats};
use core::fmt;

/// Bytes of a first segment when the options say nothing.
const FIRST: usize = 64 << 10;

/// Where an object is, beyond its offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) len: u32,
}

/// A heap of objects of many sizes, that are named by [handles](Handle) and move together when asked to.
///
/// An object is a head of type `H` and any number of items of type `E`: a record and its text, a node and
/// its children, a message and its bytes. Objects are put one after the other, which costs a few
/// instructions; the gaps that removed ones leave are closed by compaction, in
/// [steps](CompactHeap::compact_step) of a bounded size or at once, and handles stay valid throughout. What
/// nobody reaches can be [collected](CompactHeap::collect), cycles included.
///
/// The heap compacts itself only when it would have to refuse an object otherwise, because of its limit
/// or its source.
///
/// Threads share it as they share a `Vec`: `Send` if `H` and `E` are, `Sync` if they are.
///
/// ```
/// use stratalloc_pool::CompactHeap;
///
/// let mut heap = CompactHeap::<u32, char>::new();
/// let ship = heap.insert(7, &['s', 'h', 'i', 'p']).unwrap();
/// let rope = heap.insert_with(8, 3, |n| ['a', 'b', 'c'][n]).unwrap();
/// assert_eq!(heap.remove(ship), Ok(7));
/// assert_eq!(heap.compact().moved, 1);
/// let object = heap.get(rope)?;
/// assert_eq!((*object.head, object.items), (8, &['a', 'b', 'c'][..]));
/// # Ok::<(), stratalloc_pool::HandleError>(())
/// ```
///
/// ```compile_fail,E0277
/// fn sent_to_threads<T: Send>() {}
/// sent_to_threads::<stratalloc_pool::CompactHeap<(), std::rc::Rc<u8>>>();
/// ```
///
/// ```compile_fail,E0277
/// fn shared_by_threads<T: Sync>() {}
/// shared_by_threads::<stratalloc_pool::CompactHeap<std::cell::Cell<u8>, u8>>();
/// ```
pub struct CompactHeap<H, E, A: Source = Global> {
    pub(super) number: u64,
    pub(super) slots: Slots<Place>,
    pub(super) space: Space<H, E>,
    pub(super) cycle: Option<Cycle>,
    pub(super) marks: Marks,
    pub(super) source: A,
    pub(super) options: CompactOptions,
    pub(super) len: usize,
    hits: u64,
    misses: u64,
    peak: usize,
}

// SAFETY: the heap owns its objects and memory, like a vector.
unsafe impl<H: Send, E: Send, A: Source + Send> Send for CompactHeap<H, E, A> {}
// SAFETY: through a shared heap objects are only shared.
unsafe impl<H: Sync, E: Sync, A: Source + Sync> Sync for CompactHeap<H, E, A> {}

/// An object, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a, H, E> {
    /// Its head.
    pub head: &'a H,
    /// Its items.
    pub items: &'a [E],
}

/// An object, borrowed to be changed.
#[derive(Debug, PartialEq, Eq)]
pub struct ObjectMut<'a, H, E> {
    /// Its head.
    pub head: &'a mut H,
    /// Its items.
    pub items: &'a mut [E],
}

/// Figures of a compacting heap's memory, in bytes where not otherwise named; exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactFigures {
    /// In all segments.
    pub capacity: usize,
    /// In live objects, with prefixes and rounding.
    pub live: usize,
    /// In dead ones, that compaction will reclaim.
    pub dead: usize,
    /// In neither. (All of it can be used after a compaction at the latest, but for the ends of segments.)
    pub free: usize,
    /// How many live objects there are.
    pub objects: usize,
    /// How many segments there are.
    pub segments: usize,
    /// In tables that describe objects and segments.
    pub metadata: usize,
}

impl<H, E> CompactHeap<H, E> {
    /// An empty heap on the global allocator: doubling, no limit, no memory yet.
    ///
    /// # Panics
    /// When `H` or `E` is aligned above [`MAX_ALIGN`](crate::MAX_ALIGN).
    pub fn new() -> Self {
        match Self::with_options(CompactOptions::new()) {
            Ok(heap) => heap,
            Err(error) => panic!("a heap of {}: {error}", core::any::type_name::<(H, E)>()),
        }
    }

    /// A heap on the global allocator.
    ///
    /// # Errors
    /// `ZeroCapacity`: a limit of 0, growth by 0, no growth without capacity. `Alignment`: one that is not a
    /// power of two up to [`MAX_ALIGN`](crate::MAX_ALIGN). `TooMany`: a capacity above the limit or above what a
    /// segment can have. `OutOfMemory`: the allocator refused.
    pub fn with_options(options: CompactOptions) -> Result<Self, PoolError> {
        Self::with_options_in(options, Global)
    }
}

impl<H, E> Default for CompactHeap<H, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H, E, A: Source> CompactHeap<H, E, A> {
    /// A heap on `source`.
    ///
    /// # Errors
    /// As for [`with_options`](CompactHeap::with_options).
    pub fn with_options_in(options: CompactOptions, source: A) -> Result<Self, PoolError> {
        let unit = Space::<H, E>::UNIT.max(options.align);
        options.check(unit)?;
        let mut heap = Self {
            number: new_number(),
            slots: Slots::new(),
            space: Space::new(unit.ilog2()),
            cycle: None,
            marks: Marks::new(),
            source,
            options,
            len: 0,
            hits: 0,
            misses: 0,
            peak: 0,
        };
        if options.capacity > 0 {
            let most = (NONE as usize - 1).saturating_mul(unit).min(isize::MAX as usize / 2);
            if options.capacity > most {
                return Err(PoolError::TooMany { asked: options.capacity, most });
            }
            let units = options.capacity.div_ceil(unit).min(options.limit / unit) as u32;
            // SAFETY: all memory is from the heap's source.
            unsafe { heap.space.grow(&heap.source, units) }
                .ok_or(PoolError::OutOfMemory { size: units as usize * unit, align: unit })?;
        }
        Ok(heap)
    }

    /// How many objects there are. `O(1)`.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there are none. `O(1)`.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The source.
    pub fn source(&self) -> &A {
        &self.source
    }

    /// A slot, and where an object of `units` goes. May compact, where the alternative is to refuse.
    pub(super) fn make_room(&mut self, units: u32) -> Result<Spot, AcquireError> {
        // SAFETY: all memory is from the heap's source.
        unsafe { self.slots.reserve(&self.source, 1) }.ok_or(AcquireError::OutOfMemory)?;
        if let Some(spot) = self.space.room(units) {
            self.hits += 1;
            return Ok(spot);
        }
        let refused = match self.grow(units) {
            Ok(()) => None,
            Err(error) => {
                let _ = self.compact();
                Some(error)
            }
        };
        let spot = self.space.room(units).ok_or(refused.unwrap_or(AcquireError::Exhausted))?;
        self.misses += 1;
        Ok(spot)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, units: u32) -> Result<(), AcquireError> {
        let unit = self.space.unit();
        let room = self.options.limit / unit - self.space.capacity;
        let need = units as usize;
        let wanted = match self.options.growth {
            Growth::None => return Err(AcquireError::Exhausted),
            Growth::Doubling => need.max(self.space.capacity).max(FIRST.div_ceil(unit)),
            Growth::Fixed(step) => (need * unit).div_ceil(step).saturating_mul(step).div_ceil(unit),
        };
        if need > room {
            return Err(AcquireError::Exhausted);
        }
        let most = (NONE as usize - 1).min(isize::MAX as usize / 2 / unit);
        let wanted = wanted.min(room).min(most).max(need) as u32;
        // SAFETY: all memory is from the heap's source. Where there is none for growing as told, there may
        // be for the object alone.
        unsafe {
            self.space
                .grow(&self.source, wanted)
                .or_else(|| (units < wanted).then(|| self.space.grow(&self.source, units)).flatten())
                .ok_or(AcquireError::OutOfMemory)
        }
    }

    /// Puts an object of `head` and copies of `items`; its handle. As [`insert_with`](CompactHeap::insert_with).
    ///
    /// # Errors
    /// As for [`insert_with`](CompactHeap::insert_with).
    pub fn insert(&mut self, head: H, items: &[E]) -> Result<Handle<H>, AcquireError>
    where
        E: Clone,
    {
        self.insert_with(head, items.len(), |index| items[index].clone())
    }

    /// Puts an object of `head` and `len` items that `item` makes in turn; its handle. When `item` panics,
    /// the head and the items made are dropped and there is no new object.
    ///
    /// `O(len)`, amortised where the heap grows. At the limit, or when the source refuses, compacts first:
    /// then it walks all objects.
    ///
    /// # Errors
    /// `Exhausted`: it does not fit within the limit, or in any segment. `OutOfMemory`: the source refused.
    /// The head was dropped, and `item` not called.
    pub fn insert_with(
        &mut self,
        head: H,
        len: usize,
        item: impl FnMut(usize) -> E,
    ) -> Result<Handle<H>, AcquireError> {
        let units = self.space.units(len).filter(|_| len < NONE as usize).ok_or(AcquireError::Exhausted)?;
        let spot = self.make_room(units)?;
        build(self.space.items(spot, len as u32).cast(), 0, len, item);
        // SAFETY: the head's place in room that was made for the object.
        unsafe { self.space.head(spot).write(head) };
        let place = Place { segment: spot.segment, len: len as u32 };
        let (index, generation) = self.slots.take(spot.offset, place);
        self.space.take(spot, units, index);
        self.len += 1;
        self.peak = self.peak.max(self.len);
        Ok(Handle::new(self.number, index, generation))
    }

    /// Where the object of a handle is, and how many items it has.
    #[inline]
    pub(super) fn find(&self, key: Key) -> Result<(Spot, u32), HandleError> {
        let slot = match key.pool == self.number {
            // SAFETY: the handle is of this heap.
            true => unsafe { self.slots.get(key) },
            false => None,
        };
        let slot = slot.ok_or_else(|| key.error(self.number))?;
        Ok((Spot { segment: slot.more.segment, offset: slot.position }, slot.more.len))
    }

    /// The object of a handle. `O(1)`.
    ///
    /// # Errors
    /// `Stale`: it is gone. `Foreign`: the handle is another heap's or pool's.
    #[inline]
    pub fn get(&self, handle: Handle<H>) -> Result<Object<'_, H, E>, HandleError> {
        let (spot, len) = self.find(handle.key())?;
        Ok(self.object(spot, len))
    }

    /// A live object.
    pub(super) fn object(&self, spot: Spot, len: u32) -> Object<'_, H, E> {
        // SAFETY: a live object's head and items are initialised, and borrowed as the heap is.
        unsafe { Object { head: self.space.head(spot).as_ref(), items: self.space.items(spot, len).as_ref() } }
    }

    /// As [`get`](CompactHeap::get), to be changed.
    ///
    /// ```
    /// let mut heap = stratalloc_pool::CompactHeap::<u32, u8>::new();
    /// let handle = heap.insert(1, b"text").unwrap();
    /// let object = heap.get_mut(handle)?;
    /// *object.head += 1;
    /// object.items[0] = b'n';
    /// assert_eq!(heap.get(handle)?.items, b"next");
    /// # Ok::<(), stratalloc_pool::HandleError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`get`](CompactHeap::get).
    #[inline]
    pub fn get_mut(&mut self, handle: Handle<H>) -> Result<ObjectMut<'_, H, E>, HandleError> {
        let (spot, len) = self.find(handle.key())?;
        // SAFETY: a live object's head and items are initialised and apart, and borrowed alone as the heap is.
        unsafe {
            Ok(ObjectMut { head: self.space.head(spot).as_mut(), items: self.space.items(spot, len).as_mut() })
        }
    }

    /// True when the handle's object is in this heap. `O(1)`.
    #[inline]
    pub fn contains(&self, handle: Handle<H>) -> bool {
        self.find(handle.key()).is_ok()
    }

    /// Takes an object out: its head is returned, its items are dropped. `O(1)` and the items' drops. The
    /// memory is free after the next compaction.
    ///
    /// # Errors
    /// As for [`get`](CompactHeap::get).
    pub fn remove(&mut self, handle: Handle<H>) -> Result<H, HandleError> {
        let (spot, len) = self.find(handle.key())?;
        self.forget(handle.index, spot);
        // SAFETY: the object was live, and nobody else has it now that it is dead.
        let head = unsafe { self.space.head(spot).read() };
        // SAFETY: as above.
        unsafe { self.space.items(spot, len).drop_in_place() };
        Ok(head)
    }

    /// Makes a slot's handle stale and its object dead, which is the caller's to drop.
    pub(super) fn forget(&mut self, index: u32, spot: Spot) {
        self.slots.give(index);
        self.space.kill(spot);
        self.len -= 1;
    }

    /// Drops the object of a slot in use, whose handle is stale before.
    pub(super) fn drop_slot(&mut self, index: u32) {
        let (slot, _) = self.slots.look(index);
        let (spot, len) = (Spot { segment: slot.more.segment, offset: slot.position }, slot.more.len);
        self.forget(index, spot);
        let _items = Items(self.space.items(spot, len));
        // SAFETY: the object was live, and nobody else has it now. The items are dropped also if this panics.
        unsafe { self.space.head(spot).drop_in_place() };
    }

    /// All objects with their handles, in the order of slots. `O(slots)` in all.
    ///
    /// ```
    /// let mut heap = stratalloc_pool::CompactHeap::<(), u8>::new();
    /// heap.insert((), b"one").unwrap();
    /// heap.insert((), b"three").unwrap();
    /// assert_eq!(heap.iter().map(|(_, object)| object.items.len()).sum::<usize>(), 8);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (Handle<H>, Object<'_, H, E>)> {
        (0..self.slots.end()).filter_map(|index| {
            let (slot, generation) = self.slots.look(index);
            let spot = Spot { segment: slot.more.segment, offset: slot.position };
            Some((Handle::new(self.number, index, generation?), self.object(spot, slot.more.len)))
        })
    }

    /// Drops all objects and keeps the memory. When a drop panics, the others are dropped still.
    pub fn clear(&mut self) {
        self.drop_from(0);
        self.cycle = None;
        self.space.clear();
    }

    /// Drops the objects of all slots from `index` on.
    fn drop_from(&mut self, index: u32) {
        struct Others<'a, H, E, A: Source>(&'a mut CompactHeap<H, E, A>, u32);
        impl<H, E, A: Source> Drop for Others<'_, H, E, A> {
            fn drop(&mut self) {
                self.0.drop_from(self.1);
            }
        }
        let mut others = Others(self, index);
        while others.1 < others.0.slots.end() {
            let index = others.1;
            others.1 += 1;
            if others.0.slots.look(index).1.is_some() {
                others.0.drop_slot(index);
            }
        }
        core::mem::forget(others);
    }

    /// The figures. `capacity` and `free` are in bytes, `live` and `peak` in objects. A hit is an object put into memory
    /// that was there and free. `waste` is dead objects and tables. `O(1)`.
    pub fn stats(&self) -> PoolStats {
        let figures = self.figures();
        PoolStats {
            capacity: figures.capacity,
            live: self.len,
            free: figures.free,
            hits: self.hits,
            misses: self.misses,
            waits: 0,
            peak: self.peak,
            waste: figures.dead + figures.metadata,
            bytes: figures.capacity + figures.metadata,
        }
    }

    /// Figures of the memory. `O(1)`.
    ///
    /// ```
    /// let mut heap = stratalloc_pool::CompactHeap::<(), u8>::new();
    /// let handle = heap.insert((), &[1; 24]).unwrap();
    /// heap.remove(handle).unwrap();
    /// // A prefix of 8 bytes, and the items.
    /// assert_eq!((heap.figures().live, heap.figures().dead), (0, 32));
    /// ```
    pub fn figures(&self) -> CompactFigures {
        let unit = self.space.unit();
        let Space { capacity, live, dead, .. } = self.space;
        CompactFigures {
            capacity: capacity * unit,
            live: live * unit,
            dead: dead * unit,
            free: (capacity - live - dead) * unit,
            objects: self.len,
            segments: self.space.count() as usize,
            metadata: self.slots.bytes() + self.space.metadata() + self.marks.bytes(),
        }
    }
}

/// Makes items `from..to` of those at `items`; those made are dropped when one panics.
pub(super) fn build<E>(items: core::ptr::NonNull<E>, from: usize, to: usize, mut item: impl FnMut(usize) -> E) {
    // SAFETY: the caller's room for `to` items.
    let mut made = Items(core::ptr::NonNull::slice_from_raw_parts(unsafe { items.add(from) }, 0));
    for index in from..to {
        let value = item(index);
        // SAFETY: as above.
        unsafe { items.add(index).write(value) };
        made.0 = core::ptr::NonNull::slice_from_raw_parts(made.0.cast(), index + 1 - from);
    }
    core::mem::forget(made);
}

/// Items that are dropped with it.
pub(super) struct Items<E>(pub(super) core::ptr::NonNull<[E]>);

impl<E> Drop for Items<E> {
    fn drop(&mut self) {
        // SAFETY: initialised, and nobody else's.
        unsafe { self.0.drop_in_place() };
    }
}

impl<H, E, A: Source> Pool for CompactHeap<H, E, A> {
    fn stats(&self) -> PoolStats {
        Self::stats(self)
    }

    /// Compacts and gives segments that came free back. `keep` counts bytes: with that much free or less,
    /// nothing is done. Returns how many bytes went.
    fn trim(&mut self, keep: usize) -> usize {
        let figures = self.figures();
        if self.options.growth == Growth::None || figures.free + figures.dead <= keep {
            return 0;
        }
        let mut released = self.compact().released;
        if self.is_empty() && keep == 0 {
            self.clear();
            while self.space.count() > 0 {
                // SAFETY: all segments are from the heap's source, and empty.
                released += unsafe { self.space.shrink(&self.source) };
            }
        }
        released
    }
}

impl<H, E, A: Source> Drop for CompactHeap<H, E, A> {
    fn drop(&mut self) {
        struct Memory<'a, H, E, A: Source>(&'a mut CompactHeap<H, E, A>);
        impl<H, E, A: Source> Drop for Memory<'_, H, E, A> {
            fn drop(&mut self) {
                let heap = &mut *self.0;
                // SAFETY: all memory is from the heap's source, and there are no objects left.
                unsafe {
                    heap.space.release(&heap.source);
                    heap.slots.release(&heap.source);
                    heap.marks.release(&heap.source);
                }
            }
        }
        // Also when a drop panics.
        let memory = Memory(self);
        memory.0.clear();
    }
}

impl<H, E, A: Source> fmt::Debug for CompactHeap<H, E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactHeap")
            .field("number", &self.number)
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}
