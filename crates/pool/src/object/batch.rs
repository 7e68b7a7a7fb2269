//! Taking and returning many objects under one lock.

use super::guard::Pooled;
use super::manage::Manage;
use super::shared::ObjectPool;
use crate::{AcquireError, Source};
use core::ptr::NonNull;

/// Objects that move under one lock: few enough to stand on the stack and to keep the lock short.
const BATCH: usize = 32;

impl<T, M: Manage<T>, A: Source> ObjectPool<T, M, A> {
    /// Adds up to `count` objects to `guards`; returns how many. One lock for every 32 that wait; what is missing is
    /// constructed. Fewer only at the limit or when the source refuses.
    ///
    /// # Panics
    /// When the constructor does; the guards so far are in `guards`.
    ///
    /// ```
    /// use stratalloc_pool::ObjectPool;
    ///
    /// let pool = ObjectPool::new(|| 0u64, |_| {});
    /// let mut guards = Vec::new();
    /// assert_eq!(pool.acquire_batch(100, &mut guards), 100);
    /// assert_eq!(pool.release_batch(guards), 100);
    /// assert_eq!(pool.stats().free, 100);
    /// ```
    pub fn acquire_batch<'a>(&'a self, count: usize, guards: &mut impl Extend<Pooled<&'a Self>>) -> usize {
        let mut done = 0;
        while done < count {
            let mut batch = [NonNull::<T>::dangling(); BATCH];
            let want = BATCH.min(count - done);
            let found = self.inside(|inside| {
                let mut found = 0;
                while found < want {
                    match inside.store.pop() {
                        Some(object) => batch[found] = object,
                        None => break,
                    }
                    found += 1;
                }
                found
            });
            // All become guards before user code can run, so that none is lost if it panics.
            // SAFETY: out of the store, so nobody else's.
            let mut popped = batch.map(|object| Some(unsafe { Pooled::new(self, object) }));
            for surplus in &mut popped[found..] {
                core::mem::forget(surplus.take());
            }
            guards.extend(popped.into_iter().flatten());
            done += found;
            if found < want {
                match self.try_acquire() {
                    Ok(guard) => guards.extend([guard]),
                    Err(AcquireError::Exhausted | AcquireError::OutOfMemory | AcquireError::TimedOut) => break,
                }
                done += 1;
            }
        }
        done
    }

    /// Returns many objects, resetting each; one lock for every 32. Returns how many there were.
    ///
    /// # Panics
    /// A guard is of another pool: that guard and those not yet looked at go back to their own pools. Or a
    /// reset panics: its object is dropped, all others are returned.
    pub fn release_batch<'a>(&self, guards: impl IntoIterator<Item = Pooled<&'a Self>>) -> usize
    where
        Self: 'a,
    {
        let mut batch = Ready { pool: self, objects: [NonNull::dangling(); BATCH], len: 0 };
        let mut done = 0;
        for guard in guards {
            let other: *const Self = Pooled::pool(&guard);
            assert!(core::ptr::eq(other, self), "released to pool {:p}, acquired from {other:p}", self);
            let (_, object) = Pooled::dismantle(guard);
            self.reset(object);
            batch.push(object);
            done += 1;
        }
        done
    }
}

/// Objects that were reset and are not back in the store yet.
struct Ready<'a, T, M: Manage<T>, A: Source> {
    pool: &'a ObjectPool<T, M, A>,
    objects: [NonNull<T>; BATCH],
    len: usize,
}

impl<T, M: Manage<T>, A: Source> Ready<'_, T, M, A> {
    fn push(&mut self, object: NonNull<T>) {
        self.objects[self.len] = object;
        self.len += 1;
        if self.len == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let objects = &self.objects[..core::mem::take(&mut self.len)];
        let rest = self.pool.inside(|inside| {
            let waiting = inside.queue.waits_now();
            let direct = if waiting { 0 } else { objects.len() };
            for &object in &objects[..direct] {
                // SAFETY: a live object of this pool, given up by its guard.
                unsafe { inside.store.push(object) };
            }
            &objects[direct..]
        });
        // Somebody waits: one by one, since each may wake one.
        for &object in rest {
            self.pool.pass_on(super::wait::Grant::Object(object));
        }
    }
}

impl<T, M: Manage<T>, A: Source> Drop for Ready<'_, T, M, A> {
    fn drop(&mut self) {
        self.flush();
    }
}
