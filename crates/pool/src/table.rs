//! [`Table`]: a growable row of plain records in memory of a [`Source`].
//!
//! Owns nothing but its memory, and is told at each growth where memory comes from: pools keep their
//! source themselves. Growing is the only thing that can fail, and changes nothing when it does.
//!
//! Invariant: `capacity` records at `items` belong to the table; the first `len` are initialised.

use crate::source::Source;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Stands for "no record" in links that are indices.
pub(crate) const NONE: u32 = u32::MAX;

/// Records of type `T` in a row.
pub(crate) struct Table<T> {
    items: NonNull<T>,
    len: usize,
    capacity: usize,
    marker: PhantomData<T>,
}

// SAFETY: the table has its records alone, like a vector.
unsafe impl<T: Send> Send for Table<T> {}
// SAFETY: shared access gives shared records.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T: Copy> Table<T> {
    /// A table without memory.
    pub(crate) const fn new() -> Self {
        Self { items: NonNull::dangling(), len: 0, capacity: 0, marker: PhantomData }
    }

    /// A table of `capacity` records at `items`, none in use.
    ///
    /// # Safety
    /// The memory is aligned for `T` and the table's alone, until released.
    pub(crate) const unsafe fn at(items: NonNull<T>, capacity: usize) -> Self {
        Self { items, len: 0, capacity, marker: PhantomData }
    }

    /// How many records there is memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of memory, used or not.
    pub(crate) fn bytes(&self) -> usize {
        self.capacity * size_of::<T>()
    }

    /// Makes room for `wanted` records in all; at least doubles what there is, so that pushing one by
    /// one costs constant time each. `None`: no memory, and nothing changed.
    ///
    /// # Safety
    /// `source` is the one the table's memory came from, if it has any.
    pub(crate) unsafe fn reserve<S: Source>(&mut self, source: &S, wanted: usize) -> Option<()> {
        if wanted <= self.capacity {
            return Some(());
        }
        // SAFETY: the caller's source.
        unsafe { self.resize(source, wanted.max(self.capacity.saturating_mul(2)).max(8)) }
    }

    /// Changes the memory to that of `capacity` records, which are at least those in use. `None`: no
    /// memory, and nothing changed.
    ///
    /// # Safety
    /// As for [`reserve`](Table::reserve).
    #[cold]
    pub(crate) unsafe fn resize<S: Source>(&mut self, source: &S, capacity: usize) -> Option<()> {
        assert!(capacity >= self.len, "a table of {} records cut to {capacity}", self.len);
        if capacity == self.capacity {
            return Some(());
        }
        let items = match capacity {
            0 => NonNull::dangling(),
            _ => source.allocate(Layout::array::<T>(capacity).ok()?)?.cast::<T>(),
        };
        // SAFETY: `len` records are initialised in the old memory and fit in the new, which is another.
        unsafe { items.copy_from_nonoverlapping(self.items, self.len) };
        // SAFETY: the caller's source.
        unsafe { self.free_memory(source) };
        self.items = items;
        self.capacity = capacity;
        Some(())
    }

    /// Adds a record.
    ///
    /// # Panics
    /// Without room: the caller reserves first.
    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        assert!(self.len < self.capacity, "no room for a record beyond {}", self.capacity);
        // SAFETY: below the capacity, so the table's memory.
        unsafe { self.items.add(self.len).write(item) };
        self.len += 1;
    }

    /// Puts a record before the one at `at`.
    pub(crate) fn insert(&mut self, at: usize, item: T) {
        self.push(item);
        self[at..].rotate_right(1);
    }

    /// Takes the record at `at` out; those after it move up.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        self[at..].rotate_left(1);
        self.len -= 1;
        // SAFETY: initialised, and in use no longer.
        unsafe { self.items.add(self.len).read() }
    }

    /// Shortens the table to `len` records.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Fills what room there is with copies of `item`, replacing all records.
    pub(crate) fn fill_up(&mut self, item: T) {
        self.len = 0;
        while self.len < self.capacity {
            self.push(item);
        }
    }

    /// Gives the memory back and is as new.
    ///
    /// # Safety
    /// As for [`reserve`](Table::reserve).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        // SAFETY: the caller's source.
        unsafe { self.free_memory(source) };
        *self = Self::new();
    }

    unsafe fn free_memory<S: Source>(&mut self, source: &S) {
        if self.capacity != 0 && size_of::<T>() != 0 {
            let layout = Layout::array::<T>(self.capacity).expect("the layout it was allocated with");
            // SAFETY: allocated from the source with this layout, and not used after.
            unsafe { source.deallocate(self.items.cast(), layout) };
        }
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised records.
        unsafe { core::slice::from_raw_parts(self.items.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Table<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised records, borrowed alone.
        unsafe { core::slice::from_raw_parts_mut(self.items.as_ptr(), self.len) }
    }
}
