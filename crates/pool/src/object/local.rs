//! [`LocalPool`]: objects for one thread at a time.
//!
//! Owns its store and its source. No atomics, no lock: `!Sync`. User code (constructor, reset, drop) is called with no
//! borrow of the store held, so it may use the pool.

use super::guard::{Home, Pooled};
use super::manage::Manage;
use super::store::{Store, dissolve, free_chunks, grow};
use crate::{AcquireError, Global, Leak, Options, Pool, PoolError, PoolStats, Source};
use core::any::type_name;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;

/// A pool of objects for one thread at a time.
///
/// Taking an object that waits is O(1): a stack pop and a count. The pool may move to another thread when `T: Send`; it
/// is never `Sync`, so its guards stay with it. Dropping the pool drops the free objects.
///
/// ```
/// use stratalloc_pool::LocalPool;
///
/// let pool = LocalPool::new(|| Vec::<u32>::with_capacity(100), Vec::clear);
/// for round in 0..10 {
///     let mut numbers = pool.try_acquire()?;
///     numbers.extend(0..round);
/// }
/// assert_eq!((pool.stats().misses, pool.stats().hits), (1, 9));
/// # Ok::<(), stratalloc_pool::AcquireError>(())
/// ```
///
/// ```compile_fail,E0277
/// fn shared<S: Sync>(_: S) {}
/// shared(stratalloc_pool::LocalPool::new(|| 0u8, |_| {}));
/// ```
pub struct LocalPool<T, M: Manage<T> = super::Boxed<T>, A: Source = Global> {
    store: UnsafeCell<Store<T>>,
    manage: M,
    source: A,
    on_leak: Option<fn(&Leak)>,
}

impl<T, F: Fn() -> T, R: Fn(&mut T)> LocalPool<T, (F, R)> {
    /// A growing pool on the global allocator. No memory is taken yet.
    ///
    /// # Panics
    /// The type's alignment is above [`MAX_ALIGN`](crate::MAX_ALIGN).
    pub fn new(make: F, reset: R) -> Self {
        match Self::with_options(make, reset, Options::new()) {
            Ok(pool) => pool,
            Err(error) => panic!("no pool of {}: {error}", type_name::<T>()),
        }
    }

    /// A pool as `options` say.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the allocator refused.
    pub fn with_options(make: F, reset: R, options: Options) -> Result<Self, PoolError> {
        Self::managed_in((make, reset), options, Global)
    }
}

impl<T, M: Manage<T>, A: Source> LocalPool<T, M, A> {
    /// A pool as `options` say, of what `manage` makes, on `source`.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the source refused.
    pub fn managed_in(manage: M, options: Options, source: A) -> Result<Self, PoolError> {
        let pool = Self { store: UnsafeCell::new(Store::new(&options)?), manage, source, on_leak: None };
        pool.reserve(options.capacity)?;
        Ok(pool)
    }

    /// Calls `hook` when the pool is dropped while objects are live, that is, forgotten.
    #[must_use]
    pub fn on_leak(mut self, hook: fn(&Leak)) -> Self {
        self.on_leak = Some(hook);
        self
    }

    /// The store. Callers end their use before user code or the source can run.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    fn store(&self) -> &mut Store<T> {
        // SAFETY: not `Sync`, and no caller keeps the reference across a call of foreign code.
        unsafe { &mut *self.store.get() }
    }

    /// An object.
    ///
    /// # Errors
    /// [`Exhausted`](AcquireError::Exhausted) at the limit, [`OutOfMemory`](AcquireError::OutOfMemory).
    ///
    /// # Panics
    /// When the constructor does.
    #[inline]
    pub fn try_acquire(&self) -> Result<Pooled<&Self>, AcquireError> {
        let object = match self.store().pop() {
            Some(object) => object,
            None => self.make_one()?,
        };
        // SAFETY: out of the store, so nobody else's.
        Ok(unsafe { Pooled::new(self, object) })
    }

    #[cold]
    #[inline(never)]
    fn make_one(&self) -> Result<NonNull<T>, AcquireError> {
        let block = match self.store().take_block() {
            Some(block) => block,
            None => {
                let plan = self.store().plan(1).ok_or(AcquireError::Exhausted)?;
                self.grow(plan).map_err(|_| AcquireError::OutOfMemory)?;
                self.store().take_block().ok_or(AcquireError::OutOfMemory)?
            }
        };
        let back = Unmade { pool: self, block, filling: false };
        // SAFETY: the block has the layout of a `T` and is ours.
        unsafe { block.write(self.manage.make()) };
        core::mem::forget(back);
        Ok(block)
    }

    fn grow(&self, plan: (usize, usize)) -> Result<(), PoolError> {
        let block = self.store().blocks.block();
        grow(&self.source, plan, block, |f| f(self.store()))
    }

    /// Makes room for at least `more` objects beyond the live ones, in one chunk. Constructs none.
    ///
    /// # Errors
    /// Beyond the limit; the source refused.
    pub fn reserve(&self, more: usize) -> Result<(), PoolError> {
        let store = self.store();
        let missing = more.saturating_sub(store.blocks.capacity() - store.live());
        if missing == 0 {
            return Ok(());
        }
        let plan = store.plan_exactly(missing)?;
        self.grow(plan)
    }

    /// Constructs objects until `free` wait.
    ///
    /// ```
    /// let pool = stratalloc_pool::LocalPool::new(|| vec![0u8; 4096], |_| {});
    /// pool.prefill(4)?;
    /// assert_eq!(pool.stats().free, 4);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// Beyond the limit; the source refused. What was constructed stays.
    ///
    /// # Panics
    /// When the constructor does.
    pub fn prefill(&self, free: usize) -> Result<(), PoolError> {
        self.reserve(free)?;
        while self.store().free() < free {
            let Some(block) = self.store().take_block_to_fill() else { break };
            let back = Unmade { pool: self, block, filling: true };
            // SAFETY: the block has the layout of a `T` and is ours.
            unsafe { block.write(self.manage.make()) };
            core::mem::forget(back);
            // SAFETY: just made, in a block of this store.
            unsafe { self.store().push_made(block) };
        }
        Ok(())
    }

    /// Drops free objects until at most `keep` wait, and gives chunks without an object back to the source. Returns how many
    /// were dropped.
    ///
    /// ```
    /// let pool = stratalloc_pool::LocalPool::new(|| vec![0u8; 4096], |_| {});
    /// pool.prefill(4)?;
    /// pool.shrink_to(1);
    /// assert_eq!(pool.stats().free, 1);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Panics
    /// When a drop does; the pool is good afterwards.
    pub fn shrink_to(&self, keep: usize) -> usize {
        let mut dropped = 0;
        self.store().sort_for_shrinking();
        while self.store().free() > keep {
            let Some(object) = self.store().pop_to_drop() else { break };
            let _back = Unmade { pool: self, block: object, filling: true };
            dropped += 1;
            // SAFETY: a free object, out of the store: dropped here and nowhere else.
            unsafe { object.drop_in_place() };
        }
        let doomed = self.store().trim();
        // SAFETY: out of the store, nothing in it used.
        unsafe { free_chunks(doomed, &self.source) };
        dropped
    }

    /// The figures; O(1).
    pub fn stats(&self) -> PoolStats {
        self.store().stats()
    }
}

/// Gives a block back without an object: after a panic, or when done.
struct Unmade<'a, T, M: Manage<T>, A: Source> {
    pool: &'a LocalPool<T, M, A>,
    block: NonNull<T>,
    filling: bool,
}

impl<T, M: Manage<T>, A: Source> Drop for Unmade<'_, T, M, A> {
    fn drop(&mut self) {
        let store = self.pool.store();
        // SAFETY: the block of the one who made this value, without an object.
        unsafe { if self.filling { store.give_dropped(self.block) } else { store.give_block(self.block) } }
    }
}

/// Drops an object whose reset panicked.
struct Broken<'a, T, M: Manage<T>, A: Source>(Unmade<'a, T, M, A>);

impl<T, M: Manage<T>, A: Source> Drop for Broken<'_, T, M, A> {
    fn drop(&mut self) {
        // SAFETY: the object is ours; its block goes back after this, by the field's drop.
        unsafe { self.0.block.drop_in_place() };
    }
}

// SAFETY: the key is the object's address, which is fixed.
unsafe impl<T, M: Manage<T>, A: Source> Home for LocalPool<T, M, A> {
    type Object = T;
    type Key = NonNull<T>;

    #[inline(always)]
    fn object(key: NonNull<T>) -> NonNull<T> {
        key
    }

    #[inline]
    unsafe fn put_back(&self, mut key: NonNull<T>) {
        let broken = Broken(Unmade { pool: self, block: key, filling: false });
        // SAFETY: the guard's object, now ours.
        self.manage.reset(unsafe { key.as_mut() });
        core::mem::forget(broken);
        // SAFETY: a live object of this store.
        unsafe { self.store().push(key) };
    }

    unsafe fn put_back_empty(&self, key: NonNull<T>) {
        // SAFETY: a live block of this store, empty now.
        unsafe { self.store().give_block(key) };
    }
}

impl<T, M: Manage<T>, A: Source> Pool for LocalPool<T, M, A> {
    fn stats(&self) -> PoolStats {
        LocalPool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.shrink_to(keep)
    }
}

impl<T, M: Manage<T>, A: Source> Drop for LocalPool<T, M, A> {
    fn drop(&mut self) {
        let store = self.store.get_mut();
        let leak = Leak { live: store.live(), what: type_name::<T>(), size: store.blocks.block().size() };
        // SAFETY: the pool is going, and all its guards are gone or forgotten.
        unsafe { dissolve(store, &self.source) };
        if let (Some(hook), 1..) = (self.on_leak, leak.live) {
            hook(&leak);
        }
    }
}

impl<T, M: Manage<T>, A: Source> fmt::Debug for LocalPool<T, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
