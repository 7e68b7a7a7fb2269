//! Walking over the objects of a [`HandlePool`], in the order they lie in memory.

use super::chunks::{Chunks, Owner};
use super::id::Handle;
use super::pool::HandlePool;
use crate::source::{Global, Source};
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

/// Live positions by ascending address.
struct Positions {
    /// How many chunks have been entered, in order of address.
    entered: usize,
    /// The next position of the last of them.
    position: u32,
    /// One past its last that may be live.
    stop: u32,
    /// How many live ones are to come.
    left: usize,
}

impl Positions {
    fn of<T>(chunks: &Chunks<T>) -> Self {
        Self { entered: 0, position: 0, stop: 0, left: chunks.live() }
    }

    #[inline]
    fn next<T>(&mut self, chunks: &Chunks<T>) -> Option<(u32, Owner)> {
        if self.left == 0 {
            return None;
        }
        loop {
            while self.position < self.stop {
                let position = self.position;
                self.position += 1;
                let owner = chunks.owner(position);
                if !matches!(owner, Owner::Vacant(_)) {
                    self.left -= 1;
                    return Some((position, owner));
                }
            }
            // There is one more live at least, so one more chunk.
            self.position = chunks.order()[self.entered] * chunks.step() as u32;
            self.stop = chunks.end().min(self.position + chunks.step() as u32);
            self.entered += 1;
        }
    }
}

/// Objects and their handles, in the order they lie in memory. From [`HandlePool::iter`].
pub struct HandleIter<'a, T, A: Source = Global> {
    pool: &'a HandlePool<T, A>,
    positions: Positions,
}

impl<'a, T, A: Source> Iterator for HandleIter<'a, T, A> {
    type Item = (Handle<T>, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (position, owner) = self.positions.next(&self.pool.chunks)?;
        // SAFETY: a live position holds an object, borrowed as the pool is.
        let object = unsafe { self.pool.chunks.pointer(position).as_ref() };
        Some((self.pool.handle(owner), object))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.positions.left, Some(self.positions.left))
    }
}

/// As [`HandleIter`], to be changed. From [`HandlePool::iter_mut`].
pub struct HandleIterMut<'a, T, A: Source = Global> {
    // Shared, so that objects that were handed out are not borrowed again through it.
    pool: &'a HandlePool<T, A>,
    positions: Positions,
    marker: PhantomData<&'a mut T>,
}

impl<'a, T, A: Source> Iterator for HandleIterMut<'a, T, A> {
    type Item = (Handle<T>, &'a mut T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (position, owner) = self.positions.next(&self.pool.chunks)?;
        // SAFETY: a live position holds an object; the pool is borrowed alone, reaches its objects by raw
        // pointers only, and each position comes once.
        let object = unsafe { self.pool.chunks.pointer(position).as_mut() };
        Some((self.pool.handle(owner), object))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.positions.left, Some(self.positions.left))
    }
}

// SAFETY: it hands out `&mut T`s, one to each object, and reads the pool's tables.
unsafe impl<T: Send, A: Source + Sync> Send for HandleIterMut<'_, T, A> {}
// SAFETY: shared, it gives nothing but its length.
unsafe impl<T: Sync, A: Source + Sync> Sync for HandleIterMut<'_, T, A> {}

impl<T, A: Source> ExactSizeIterator for HandleIter<'_, T, A> {}
impl<T, A: Source> ExactSizeIterator for HandleIterMut<'_, T, A> {}
impl<T, A: Source> FusedIterator for HandleIter<'_, T, A> {}
impl<T, A: Source> FusedIterator for HandleIterMut<'_, T, A> {}

impl<T, A: Source> fmt::Debug for HandleIter<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandleIter").field("left", &self.positions.left).finish_non_exhaustive()
    }
}

impl<T, A: Source> fmt::Debug for HandleIterMut<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandleIterMut").field("left", &self.positions.left).finish_non_exhaustive()
    }
}

impl<T, A: Source> HandlePool<T, A> {
    /// All objects with their handles, by ascending address: the order that caches and prefetchers
    /// like. `O(capacity)` in all; right after a [`compact`](HandlePool::compact), `O(len)`.
    ///
    /// ```
    /// use stratalloc_pool::HandlePool;
    ///
    /// let mut pool = HandlePool::new();
    /// pool.insert(1).unwrap();
    /// pool.insert(2).unwrap();
    /// assert_eq!(pool.iter().map(|(_, number)| number).sum::<i32>(), 3);
    /// ```
    pub fn iter(&self) -> HandleIter<'_, T, A> {
        HandleIter { positions: Positions::of(&self.chunks), pool: self }
    }

    /// As [`iter`](HandlePool::iter), to be changed.
    ///
    /// ```
    /// use stratalloc_pool::HandlePool;
    ///
    /// let mut pool = HandlePool::new();
    /// let handle = pool.insert(1).unwrap();
    /// for (_, number) in &mut pool {
    ///     *number += 1;
    /// }
    /// assert_eq!(pool[handle], 2);
    /// ```
    pub fn iter_mut(&mut self) -> HandleIterMut<'_, T, A> {
        HandleIterMut { positions: Positions::of(&self.chunks), pool: self, marker: PhantomData }
    }
}

impl<'a, T, A: Source> IntoIterator for &'a HandlePool<T, A> {
    type Item = (Handle<T>, &'a T);
    type IntoIter = HandleIter<'a, T, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T, A: Source> IntoIterator for &'a mut HandlePool<T, A> {
    type Item = (Handle<T>, &'a mut T);
    type IntoIter = HandleIterMut<'a, T, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
