//! Walking over the objects of a [`HandlePool`], in the order they lie in memory.

use super::chunks::Walk;
use super::id::Handle;
use super::pool::HandlePool;
use crate::source::{Global, Source};
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

/// Objects and their handles, in the order they lie in memory. From [`HandlePool::iter`].
pub struct HandleIter<'a, T, A: Source = Global> {
    pool: &'a HandlePool<T, A>,
    walk: Walk<'a, T>,
}

impl<'a, T, A: Source> Iterator for HandleIter<'a, T, A> {
    type Item = (Handle<T>, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (object, owner) = self.walk.next()?;
        // SAFETY: the owner of a live object.
        let handle = unsafe { self.pool.handle(owner) };
        // SAFETY: a live object, borrowed as the pool is.
        Some((handle, unsafe { object.as_ref() }))
    }

    #[inline]
    fn fold<R, F: FnMut(R, Self::Item) -> R>(self, first: R, mut f: F) -> R {
        let pool = self.pool;
        self.walk.fold(first, |result, object, owner| {
            // SAFETY: the owner of a live object.
            let handle = unsafe { pool.handle(owner) };
            // SAFETY: a live object, borrowed as the pool is.
            f(result, (handle, unsafe { object.as_ref() }))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.walk.left(), Some(self.walk.left()))
    }
}

/// As [`HandleIter`], to be changed. From [`HandlePool::iter_mut`].
pub struct HandleIterMut<'a, T, A: Source = Global> {
    // Shared, so that objects that were handed out are not borrowed again through it.
    pool: &'a HandlePool<T, A>,
    walk: Walk<'a, T>,
    marker: PhantomData<&'a mut T>,
}

impl<'a, T, A: Source> Iterator for HandleIterMut<'a, T, A> {
    type Item = (Handle<T>, &'a mut T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (mut object, owner) = self.walk.next()?;
        // SAFETY: the owner of a live object.
        let handle = unsafe { self.pool.handle(owner) };
        // SAFETY: a live object; the pool is borrowed alone, reaches its objects by raw pointers only, and each
        // comes once.
        Some((handle, unsafe { object.as_mut() }))
    }

    #[inline]
    fn fold<R, F: FnMut(R, Self::Item) -> R>(self, first: R, mut f: F) -> R {
        let pool = self.pool;
        self.walk.fold(first, |result, mut object, owner| {
            // SAFETY: the owner of a live object.
            let handle = unsafe { pool.handle(owner) };
            // SAFETY: as in `next`.
            f(result, (handle, unsafe { object.as_mut() }))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.walk.left(), Some(self.walk.left()))
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
        f.debug_struct("HandleIter").field("left", &self.walk.left()).finish_non_exhaustive()
    }
}

impl<T, A: Source> fmt::Debug for HandleIterMut<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandleIterMut").field("left", &self.walk.left()).finish_non_exhaustive()
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
        HandleIter { walk: self.chunks.walk(), pool: self }
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
        HandleIterMut { walk: self.chunks.walk(), pool: self, marker: PhantomData }
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
