//! [`ObjectPool`]: objects that threads share, with a limit that one can wait at.
//!
//! Owns one lock around the store and the queue of waiters, and its source. Inside of the lock no user code runs and no
//! allocation is made (but the queue's own growth, by a thread that is about to wait).

use super::guard::{Home, Pooled};
use super::manage::Manage;
use super::store::{Store, dissolve, free_chunks, grow};
use super::wait::{Acquire, Grant, Queue};
use crate::lock::Lock;
use crate::{AcquireError, Global, Leak, Options, Pool, PoolError, PoolStats, Source};
use alloc::sync::Arc;
use core::any::type_name;
use core::fmt;
use core::mem::forget;
use core::ptr::NonNull;
use core::task::Waker;
#[cfg(feature = "std")]
use core::time::Duration;

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Inside<T> {
    pub(super) store: Store<T>,
    pub(super) queue: Queue<T>,
}

impl<T> Inside<T> {
    /// Puts something back: to the first waiter, otherwise into the store. The waker is to be called outside.
    ///
    /// # Safety
    /// The grant's object or block is of this store, live, and nobody's any more.
    unsafe fn put(&mut self, grant: Grant<T>) -> Option<Waker> {
        match self.queue.grant(grant) {
            Ok(waker) => waker,
            Err(Grant::Object(object)) => {
                // SAFETY: the caller's.
                unsafe { self.store.push(object) };
                None
            }
            Err(Grant::Block(block)) => {
                // SAFETY: the caller's.
                unsafe { self.store.give_block(block) };
                None
            }
            Err(Grant::Retry) => None,
        }
    }
}

/// A guard that keeps its pool alive.
pub type OwnedPooled<T, M = super::Boxed<T>, A = Global> = Pooled<Arc<ObjectPool<T, M, A>>>;

/// A pool of objects that threads share.
///
/// Taking and returning an object that waits are O(1), each under one short lock: one atomic read-modify-write, no
/// futex. At the limit one can fail ([`try_acquire`](Self::try_acquire)), wait by a thread
/// ([`acquire_timeout`](Self::acquire_timeout)) or by a future ([`acquire`](Self::acquire)); waiters are served first
/// come first served. Constructor, reset and drops run outside of the lock. Not lock-free: a thread that is stopped
/// inside the lock holds up the others; [`LockFreePool`](crate::LockFreePool) has no such moment.
///
/// `Sync` if and only if `T: Send` (and the closures and source are `Sync`): an object is in one thread's hands at a
/// time.
///
/// ```
/// use std::time::Duration;
/// use stratalloc_pool::{AcquireError, ObjectPool, Options};
///
/// let pool = ObjectPool::with_options(|| String::from("connection"), |_| {}, Options::new().limit(2))?;
/// let (one, _two) = (pool.try_acquire().unwrap(), pool.try_acquire().unwrap());
/// assert_eq!(pool.acquire_timeout(Duration::from_millis(1)).unwrap_err(), AcquireError::TimedOut);
/// std::thread::scope(|scope| {
///     scope.spawn(|| pool.acquire_timeout(Duration::from_secs(60)).unwrap());
///     drop(one);
/// });
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
///
/// Objects need not be `Sync`:
///
/// ```
/// fn shared<S: Sync>(_: S) {}
/// shared(stratalloc_pool::ObjectPool::new(|| std::cell::Cell::new(0), |_| {}));
/// ```
///
/// but `Send`:
///
/// ```compile_fail,E0277
/// fn shared<S: Sync>(_: S) {}
/// shared(stratalloc_pool::ObjectPool::new(|| std::rc::Rc::new(0), |_| {}));
/// ```
pub struct ObjectPool<T, M: Manage<T> = super::Boxed<T>, A: Source = Global> {
    lock: Lock<Inside<T>>,
    manage: M,
    source: A,
    on_leak: Option<fn(&Leak)>,
}

impl<T, F: Fn() -> T, R: Fn(&mut T)> ObjectPool<T, (F, R)> {
    /// A growing pool on the global allocator, without a limit. No memory is taken yet.
    ///
    /// # Panics
    /// The type's alignment is above [`MAX_ALIGN`](crate::MAX_ALIGN).
    pub fn new(make: F, reset: R) -> Self {
        match Self::with_options(make, reset, Options::new()) {
            Ok(pool) => pool,
            Err(error) => panic!("no pool of {}: {error}", type_name::<T>()),
        }
    }

    /// The same with memory for `objects` objects; they are constructed when first needed.
    ///
    /// ```
    /// use stratalloc_pool::ObjectPool;
    ///
    /// let pool = ObjectPool::with_capacity(8, || 0u64, |_| {})?;
    /// assert_eq!((pool.stats().capacity, pool.stats().free), (8, 0)); // constructed when needed
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// Too many; or the allocator refused.
    pub fn with_capacity(objects: usize, make: F, reset: R) -> Result<Self, PoolError> {
        Self::with_options(make, reset, Options::new().capacity(objects))
    }

    /// A pool as `options` say.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the allocator refused.
    pub fn with_options(make: F, reset: R, options: Options) -> Result<Self, PoolError> {
        Self::managed((make, reset), options)
    }
}

impl<T, M: Manage<T>> ObjectPool<T, M> {
    /// A pool as `options` say, of what `manage` makes.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the allocator refused.
    pub fn managed(manage: M, options: Options) -> Result<Self, PoolError> {
        Self::managed_in(manage, options, Global)
    }
}

impl<T, M: Manage<T>, A: Source> ObjectPool<T, M, A> {
    /// A pool as `options` say, of what `manage` makes, on `source`.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the source refused.
    pub fn managed_in(manage: M, options: Options, source: A) -> Result<Self, PoolError> {
        let inside = Inside { store: Store::new(&options)?, queue: Queue::new() };
        let pool = Self { lock: Lock::new(inside), manage, source, on_leak: None };
        pool.reserve(options.capacity)?;
        Ok(pool)
    }

    /// Calls `hook` when the pool is dropped while objects are live, that is, forgotten.
    ///
    /// ```
    /// use stratalloc_pool::ObjectPool;
    ///
    /// let pool = ObjectPool::new(|| 0u8, |_| {}).on_leak(|leak| eprintln!("{leak}"));
    /// std::mem::forget(pool.try_acquire()?);
    /// drop(pool); // pool dropped with 1 live of type u8, 8 bytes each
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    #[must_use]
    pub fn on_leak(mut self, hook: fn(&Leak)) -> Self {
        self.on_leak = Some(hook);
        self
    }

    #[inline(always)]
    pub(super) fn inside<R>(&self, f: impl FnOnce(&mut Inside<T>) -> R) -> R {
        self.lock.with(f)
    }

    /// An object, without waiting.
    ///
    /// ```
    /// use stratalloc_pool::ObjectPool;
    ///
    /// let pool = ObjectPool::new(String::new, String::clear);
    /// let mut name = pool.try_acquire()?;
    /// name.push_str("Ada");
    /// assert_eq!(pool.stats().live, 1);
    /// # drop(name);
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// [`Exhausted`](AcquireError::Exhausted) at the limit, [`OutOfMemory`](AcquireError::OutOfMemory).
    ///
    /// # Panics
    /// When the constructor does.
    #[inline]
    pub fn try_acquire(&self) -> Result<Pooled<&Self>, AcquireError> {
        let object = self.take()?;
        // SAFETY: out of the store, so nobody else's.
        Ok(unsafe { Pooled::new(self, object) })
    }

    /// The same with a guard that holds the pool by `Arc`: it can go into another thread or a struct without a
    /// lifetime. Costs an atomic increment, and a decrement at the end.
    ///
    /// # Errors
    /// As for [`try_acquire`](Self::try_acquire).
    ///
    /// # Panics
    /// When the constructor does.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stratalloc_pool::ObjectPool;
    ///
    /// let pool = Arc::new(ObjectPool::new(|| vec![0u8; 16], |_| {}));
    /// let buffer = pool.try_acquire_owned()?;
    /// drop(pool); // stays until the guard is gone
    /// std::thread::spawn(move || assert_eq!(buffer.len(), 16)).join().unwrap();
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<Pooled<Arc<Self>>, AcquireError> {
        let object = self.take()?;
        // SAFETY: out of the store, so nobody else's.
        Ok(unsafe { Pooled::new(self.clone(), object) })
    }

    /// An object, when there is one. Cancel-safe, with any executor. First come first served among those that wait.
    ///
    /// # Errors
    /// [`OutOfMemory`](AcquireError::OutOfMemory): the pool may grow but its source refused.
    ///
    /// ```
    /// use stratalloc_pool::ObjectPool;
    ///
    /// async fn work(pool: &ObjectPool<Vec<u8>>) -> usize {
    ///     let buffer = pool.acquire().await.expect("memory");
    ///     buffer.capacity()
    /// }
    /// ```
    pub fn acquire(&self) -> Acquire<'_, T, M, A> {
        Acquire::new(self)
    }

    /// An object; the thread sleeps up to `timeout` for one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stratalloc_pool::{ObjectPool, Options};
    ///
    /// let pool = ObjectPool::with_options(|| 0u64, |_| {}, Options::new().limit(1))?;
    /// let one = pool.try_acquire().unwrap();
    /// assert!(pool.acquire_timeout(Duration::from_millis(1)).is_err());
    /// drop(one);
    /// assert!(pool.acquire_timeout(Duration::from_millis(1)).is_ok());
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// [`TimedOut`](AcquireError::TimedOut), [`OutOfMemory`](AcquireError::OutOfMemory).
    ///
    /// # Panics
    /// When the constructor does.
    #[cfg(feature = "std")]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Pooled<&Self>, AcquireError> {
        match self.try_acquire() {
            Err(AcquireError::Exhausted) => {
                super::wait::blocking::wait(self.acquire(), crate::error::deadline(timeout))
            }
            done => done,
        }
    }

    /// An object; the thread sleeps as long as it takes.
    ///
    /// # Errors
    /// [`OutOfMemory`](AcquireError::OutOfMemory).
    ///
    /// # Panics
    /// When the constructor does.
    #[cfg(feature = "std")]
    pub fn acquire_blocking(&self) -> Result<Pooled<&Self>, AcquireError> {
        match self.try_acquire() {
            Err(AcquireError::Exhausted) => super::wait::blocking::wait(self.acquire(), None),
            done => done,
        }
    }

    #[inline]
    pub(super) fn take(&self) -> Result<NonNull<T>, AcquireError> {
        match self.inside(|inside| inside.store.pop()) {
            Some(object) => Ok(object),
            None => self.make_one(),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_one(&self) -> Result<NonNull<T>, AcquireError> {
        enum Step<T> {
            Have(NonNull<T>),
            Construct(NonNull<T>),
            Grow((usize, usize)),
        }
        let mut step = self.inside(|inside| {
            if let Some(object) = inside.store.pop() {
                return Some(Step::Have(object));
            }
            match inside.store.take_block() {
                Some(block) => Some(Step::Construct(block)),
                None => inside.store.plan(1).map(Step::Grow),
            }
        });
        loop {
            match step.ok_or(AcquireError::Exhausted)? {
                Step::Have(object) => return Ok(object),
                Step::Construct(block) => {
                    self.construct(block);
                    return Ok(block);
                }
                Step::Grow(plan) => {
                    self.grow(plan).map_err(|_| AcquireError::OutOfMemory)?;
                    step = self.inside(|inside| match inside.store.take_block() {
                        Some(block) => Some(Step::Construct(block)),
                        // Others took what this thread brought.
                        None => inside.store.plan(1).map(Step::Grow),
                    });
                }
            }
        }
    }

    /// Constructs an object in a block; a panic gives the block back.
    pub(super) fn construct(&self, block: NonNull<T>) {
        let back = Empty { pool: self, block };
        // SAFETY: the block has the layout of a `T` and is the caller's.
        unsafe { block.write(self.manage.make()) };
        forget(back);
    }

    /// Adds a chunk, and gives blocks of it to who waits.
    fn grow(&self, plan: (usize, usize)) -> Result<(), PoolError> {
        let block = self.inside(|inside| inside.store.blocks.block());
        let grown = grow(&self.source, plan, block, |f| self.inside(|inside| f(&mut inside.store)));
        // Who came while the growth was on its way waits although it may now take a block, or try for itself.
        while let Some(waker) = self.inside(|inside| {
            if !inside.queue.waits_now() {
                return None;
            }
            let grant = match inside.store.take_block() {
                Some(block) => Grant::Block(block),
                None if grown.is_err() && inside.store.may_take() => Grant::Retry,
                None => return None,
            };
            let retry = matches!(grant, Grant::Retry);
            // SAFETY: the block was just taken.
            Some((unsafe { inside.put(grant) }, retry))
        }) {
            let (waker, retry) = waker;
            if let Some(waker) = waker {
                waker.wake();
            }
            if retry {
                break;
            }
        }
        grown
    }

    /// Puts something back outside of the fast path: to who waits, otherwise into the store.
    #[cold]
    #[inline(never)]
    pub(super) fn pass_on(&self, grant: Grant<T>) {
        // SAFETY: the waiter's, who is gone.
        if let Some(waker) = self.inside(|inside| unsafe { inside.put(grant) }) {
            waker.wake();
        }
    }

    /// Resets a returned object; a panic drops it and gives the block back.
    #[inline(always)]
    pub(super) fn reset(&self, mut object: NonNull<T>) {
        let broken = Broken(Empty { pool: self, block: object });
        // SAFETY: a returned object, ours.
        self.manage.reset(unsafe { object.as_mut() });
        forget(broken);
    }

    /// Makes room for at least `more` objects beyond the live ones, in one chunk, whatever the growth policy.
    /// Constructs none.
    ///
    /// # Errors
    /// Beyond the limit; the source refused.
    pub fn reserve(&self, more: usize) -> Result<(), PoolError> {
        let plan = self.inside(|inside| {
            let store = &mut inside.store;
            match more.saturating_sub(store.blocks.capacity() - store.live()) {
                0 => Ok(None),
                missing => store.plan_exactly(missing).map(Some),
            }
        })?;
        plan.map_or(Ok(()), |plan| self.grow(plan))
    }

    /// Constructs objects until `free` wait.
    ///
    /// ```
    /// use stratalloc_pool::ObjectPool;
    ///
    /// let pool = ObjectPool::new(|| vec![0u8; 4096], |_| {});
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
        while let Some(block) = self.inside(|inside| {
            let missing = inside.store.free() < free;
            if missing { inside.store.take_block_to_fill() } else { None }
        }) {
            let back = Dropped { pool: self, block };
            // SAFETY: the block has the layout of a `T` and is ours.
            unsafe { block.write(self.manage.make()) };
            forget(back);
            let waker = self.inside(|inside| {
                // SAFETY: just made, in a block of this store.
                unsafe { inside.store.push_made(block) };
                match inside.queue.waits_now().then(|| inside.store.pop()).flatten() {
                    // SAFETY: just popped.
                    Some(object) => unsafe { inside.put(Grant::Object(object)) },
                    None => None,
                }
            });
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        Ok(())
    }

    /// Drops free objects until at most `keep` wait, first those whose chunk has nothing live, and gives chunks without
    /// an object back to the source. Returns how many were dropped. The lock is held while O(free × chunks) pointers
    /// are looked at.
    ///
    /// ```
    /// use stratalloc_pool::ObjectPool;
    ///
    /// let pool = ObjectPool::new(|| vec![0u8; 4096], |_| {});
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
        self.inside(|inside| inside.store.sort_for_shrinking());
        while let Some(object) = self.inside(|inside| {
            let spare = inside.store.free() > keep;
            if spare { inside.store.pop_to_drop() } else { None }
        }) {
            let _back = Dropped { pool: self, block: object };
            dropped += 1;
            // SAFETY: a free object, out of the store: dropped here and nowhere else.
            unsafe { object.drop_in_place() };
        }
        let doomed = self.inside(|inside| inside.store.trim());
        // SAFETY: out of the store, nothing in it used.
        unsafe { free_chunks(doomed, &self.source) };
        // Room under the limit that the trim made is anybody's; who waits may grow into it.
        self.offer_room();
        dropped
    }

    /// Lets the first waiter try again where the pool may grow.
    fn offer_room(&self) {
        let waker = self.inside(|inside| {
            let offer = inside.queue.waits_now() && inside.store.may_take();
            // SAFETY: a retry is nobody's.
            if offer { unsafe { inside.put(Grant::Retry) } } else { None }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The figures, exact; O(1) under the lock.
    pub fn stats(&self) -> PoolStats {
        self.inside(|inside| PoolStats { waits: inside.queue.waits, ..inside.store.stats() })
    }
}

/// Gives a block back without an object.
struct Empty<'a, T, M: Manage<T>, A: Source> {
    pool: &'a ObjectPool<T, M, A>,
    block: NonNull<T>,
}

impl<T, M: Manage<T>, A: Source> Drop for Empty<'_, T, M, A> {
    fn drop(&mut self) {
        self.pool.pass_on(Grant::Block(self.block));
    }
}

/// Drops an object whose reset panicked; its block goes back after that.
struct Broken<'a, T, M: Manage<T>, A: Source>(Empty<'a, T, M, A>);

impl<T, M: Manage<T>, A: Source> Drop for Broken<'_, T, M, A> {
    fn drop(&mut self) {
        // SAFETY: the object is ours, and its block goes back empty.
        unsafe { self.0.block.drop_in_place() };
    }
}

/// Gives a block back that no acquisition had: its object was dropped, or never made.
struct Dropped<'a, T, M: Manage<T>, A: Source> {
    pool: &'a ObjectPool<T, M, A>,
    block: NonNull<T>,
}

impl<T, M: Manage<T>, A: Source> Drop for Dropped<'_, T, M, A> {
    fn drop(&mut self) {
        let waker = self.pool.inside(|inside| {
            // SAFETY: a block of this store, without an object.
            unsafe { inside.store.give_dropped(self.block) };
            match inside.queue.waits_now().then(|| inside.store.take_block()).flatten() {
                // SAFETY: just taken.
                Some(block) => unsafe { inside.put(Grant::Block(block)) },
                None => None,
            }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

// SAFETY: the key is the object's address, which is fixed.
unsafe impl<T, M: Manage<T>, A: Source> Home for ObjectPool<T, M, A> {
    type Object = T;
    type Key = NonNull<T>;

    #[inline(always)]
    fn object(key: NonNull<T>) -> NonNull<T> {
        key
    }

    #[inline]
    unsafe fn put_back(&self, key: NonNull<T>) {
        self.reset(key);
        let waits = self.inside(|inside| {
            if inside.queue.waits_now() {
                return true;
            }
            // SAFETY: a live object of this store, given up by its guard.
            unsafe { inside.store.push(key) };
            false
        });
        if waits {
            self.pass_on(Grant::Object(key));
        }
    }

    unsafe fn put_back_empty(&self, key: NonNull<T>) {
        self.pass_on(Grant::Block(key));
    }
}

impl<T, M: Manage<T>, A: Source> Pool for ObjectPool<T, M, A> {
    fn stats(&self) -> PoolStats {
        ObjectPool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.shrink_to(keep)
    }
}

impl<T, M: Manage<T>, A: Source> Pool for &ObjectPool<T, M, A> {
    fn stats(&self) -> PoolStats {
        ObjectPool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.shrink_to(keep)
    }
}

impl<T, M: Manage<T>, A: Source> Drop for ObjectPool<T, M, A> {
    fn drop(&mut self) {
        let store = &mut self.lock.get_mut().store;
        let leak = Leak { live: store.live(), what: type_name::<T>(), size: store.blocks.block().size() };
        // SAFETY: the pool is going, and all its guards are gone or forgotten.
        unsafe { dissolve(store, &self.source) };
        if let (Some(hook), 1..) = (self.on_leak, leak.live) {
            hook(&leak);
        }
    }
}

impl<T, M: Manage<T>, A: Source> fmt::Debug for ObjectPool<T, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
