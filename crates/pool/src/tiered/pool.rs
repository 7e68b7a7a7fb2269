//! [`TieredPool`]: constructed objects on the levels. This file calls user code, which none of the parts below does.

use super::levels::Levels;
use super::thread::{self, StdThreads};
use super::{TierOptions, TierStats};
use crate::object::store::Store;
use crate::object::{Home, Manage, Pooled};
use crate::tiered::cache::Cache;
use crate::{AcquireError, Boxed, Global, Leak, Options, Pool, PoolError, PoolStats, Source};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::type_name;
use core::fmt;
use core::mem::forget;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

/// What a [`TieredPool`] and its guards share.
pub struct Tiers<T, M: Manage<T> = Boxed<T>, A: Source + 'static = Global> {
    number: usize,
    serial: u64,
    /// A box of its own: threads that leave still look into it while this is being dropped.
    levels: NonNull<Levels<T, A>>,
    /// The pool is gone and only guards are left: returned objects are dropped.
    closed: AtomicBool,
    manage: M,
    on_leak: Option<fn(&Leak)>,
}

// SAFETY: an object is in one thread's hands at a time, so it needs `Send` only; the levels are guarded by locks.
unsafe impl<T: Send, M: Manage<T> + Sync, A: Source + Sync> Sync for Tiers<T, M, A> {}
// SAFETY: as above; threads that used the pool before it was sent may flush into it, so the source is shared.
unsafe impl<T: Send, M: Manage<T> + Send, A: Source + Send + Sync> Send for Tiers<T, M, A> {}

/// A guard that may outlive its [`TieredPool`].
pub type OwnedTiered<T, M = Boxed<T>, A = Global> = Pooled<Arc<Tiers<T, M, A>>>;

/// A pool of objects with a cache for each thread.
///
/// | level | whose | most | costs |
/// |---|---|---|---|
/// | 1 | the thread's | [`TierOptions::cache`] | a look into thread-local memory, plain loads and stores |
/// | 2 | shared stripes | [`TierOptions::stripe`] each | a short lock for half a cache |
/// | 3 | the pool's store | [`Options::limit`] over all levels | a short lock; grows from the allocator |
///
/// A thread's objects go up when its cache overflows, when it ends, and when someone calls [`trim`](Self::trim). An object may be
/// returned on any thread, also (by an [owned](Self::try_acquire_owned) guard) after the pool is gone.
///
/// Since free objects may sit in other threads' caches, `try_acquire` can be refused at the limit although some
/// are free. It then asks those threads to return theirs; choose a limit above live objects plus caches, or use
/// [`ObjectPool`](crate::ObjectPool) for an exact one.
///
/// The source must be `'static`, because a thread that ends may be later than anyone thinks. The registers of threads
/// and the pool's own parts are on the global allocator, objects and the lists of them on the source.
///
/// ```
/// use stratalloc_pool::TieredPool;
///
/// let pool = TieredPool::new(|| Vec::<u8>::with_capacity(256), Vec::clear);
/// std::thread::scope(|scope| {
///     for _ in 0..3 {
///         scope.spawn(|| {
///             for _ in 0..1000 {
///                 pool.try_acquire().unwrap().push(1);
///             }
///         });
///     }
/// });
/// let tiers = pool.tier_stats();
/// assert!(tiers.levels[0].hits >= 2990 && tiers.misses <= 3);
/// ```
///
/// `Sync` if and only if `T: Send`:
///
/// ```compile_fail,E0277
/// fn shared<S: Sync>(_: S) {}
/// shared(stratalloc_pool::TieredPool::new(|| std::rc::Rc::new(0), |_| {}));
/// ```
///
/// A source that is borrowed is refused:
///
/// ```compile_fail,E0597
/// use stratalloc_pool::{Global, Options, TierOptions, TieredPool};
///
/// let source = Global;
/// let manage = (|| 0u8, |_: &mut u8| {});
/// let pool = TieredPool::managed_in(manage, Options::new(), TierOptions::new(), &source);
/// # let pool: TieredPool<u8, _, &Global> = pool.unwrap();
/// ```
pub struct TieredPool<T, M: Manage<T> = Boxed<T>, A: Source + 'static = Global> {
    tiers: Arc<Tiers<T, M, A>>,
}

impl<T, F: Fn() -> T, R: Fn(&mut T)> TieredPool<T, (F, R)> {
    /// A growing pool on the global allocator.
    ///
    /// # Panics
    /// The type's alignment is above [`MAX_ALIGN`](crate::MAX_ALIGN), or the allocator refused.
    pub fn new(make: F, reset: R) -> Self {
        match Self::with_options(make, reset, Options::new(), TierOptions::new()) {
            Ok(pool) => pool,
            Err(error) => panic!("no pool of {}: {error}", type_name::<T>()),
        }
    }

    /// A pool as the options say.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the allocator refused.
    pub fn with_options(make: F, reset: R, options: Options, tiers: TierOptions) -> Result<Self, PoolError> {
        Self::managed_in((make, reset), options, tiers, Global)
    }
}

impl<T, M: Manage<T>, A: Source + 'static> TieredPool<T, M, A> {
    /// A pool as the options say, of what `manage` makes, on `source`.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the source refused.
    pub fn managed_in(manage: M, options: Options, tiers: TierOptions, source: A) -> Result<Self, PoolError> {
        let stripes = tiers.check()?;
        let store = Store::new(&options)?;
        let mut levels = Levels::new(store, tiers.cache, tiers.stripe, stripes, source)?;
        if let Err(error) = levels.reserve(options.capacity) {
            levels.end();
            return Err(error);
        }
        let levels = NonNull::from(Box::leak(Box::new(levels)));
        let (number, serial) = thread::number().expect("memory for a number");
        let closed = AtomicBool::new(false);
        Ok(Self { tiers: Arc::new(Tiers { number, serial, levels, closed, manage, on_leak: None }) })
    }

    /// Calls `hook` when the pool and all its guards are gone while objects are live, that is, forgotten.
    ///
    /// # Panics
    /// Objects were acquired already.
    #[must_use]
    pub fn on_leak(mut self, hook: fn(&Leak)) -> Self {
        match Arc::get_mut(&mut self.tiers) {
            Some(tiers) => tiers.on_leak = Some(hook),
            None => panic!("on_leak after an owned guard was made"),
        }
        self
    }

    /// An object. Never waits for one; waits for a short lock when the thread's cache is empty.
    ///
    /// # Errors
    /// [`Exhausted`](AcquireError::Exhausted) at the limit, [`OutOfMemory`](AcquireError::OutOfMemory).
    ///
    /// # Panics
    /// When the constructor does.
    #[inline]
    pub fn try_acquire(&self) -> Result<Pooled<&Tiers<T, M, A>>, AcquireError> {
        let object = self.tiers.take()?;
        // SAFETY: out of all levels, so nobody else's.
        Ok(unsafe { Pooled::new(&*self.tiers, object) })
    }

    /// The same with a guard that may outlive the pool. Costs an atomic increment, and a decrement at the end.
    ///
    /// # Errors
    /// As for [`try_acquire`](Self::try_acquire).
    ///
    /// # Panics
    /// When the constructor does.
    ///
    /// ```
    /// use stratalloc_pool::TieredPool;
    ///
    /// let pool = TieredPool::new(|| String::from("late"), |_| {});
    /// let late = pool.try_acquire_owned()?;
    /// drop(pool);
    /// std::thread::spawn(move || assert_eq!(*late, "late")).join().unwrap();
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedTiered<T, M, A>, AcquireError> {
        let object = self.tiers.take()?;
        // SAFETY: out of all levels, so nobody else's.
        Ok(unsafe { Pooled::new(self.tiers.clone(), object) })
    }

    /// Makes room for at least `more` objects beyond those that exist, in one chunk. Constructs none.
    ///
    /// # Errors
    /// Beyond the limit; the source refused.
    pub fn reserve(&self, more: usize) -> Result<(), PoolError> {
        self.tiers.levels().reserve(more)
    }

    /// Constructs objects until `free` wait in the store.
    ///
    /// # Errors
    /// Beyond the limit; the source refused. What was constructed stays.
    ///
    /// # Panics
    /// When the constructor does.
    pub fn prefill(&self, free: usize) -> Result<(), PoolError> {
        let levels = self.tiers.levels();
        levels.reserve(free)?;
        while let Some(block) = levels.block_to_fill(free) {
            let mut fill = Fill { levels, block, made: false };
            // SAFETY: the block has the layout of a `T` and is ours.
            unsafe { block.write(self.tiers.manage.make()) };
            fill.made = true;
        }
        Ok(())
    }

    /// Takes objects back from the levels: the calling thread's cache at once, other threads' when they next return one,
    /// the stripes at once. Drops them until at most `keep` wait in the store, and gives chunks without an object back
    /// to the source. Returns how many were dropped.
    ///
    /// # Panics
    /// When a drop does; the pool is good afterwards.
    pub fn trim(&self, keep: usize) -> usize {
        let tiers = &*self.tiers;
        tiers.levels().ask_all();
        // SAFETY: used before any other call.
        if let Some(cache) = unsafe { tiers.cache() } {
            tiers.levels().flush(cache);
            cache.answer();
        }
        tiers.levels().shrink_to(keep)
    }

    /// The figures. O(threads + stripes). The peak is noted at constructions and by this call.
    pub fn stats(&self) -> PoolStats {
        self.tiers.levels().figures().stats()
    }

    /// What each level did. O(threads + stripes).
    ///
    /// ```
    /// use stratalloc_pool::TieredPool;
    ///
    /// let pool = TieredPool::new(String::new, String::clear);
    /// drop(pool.try_acquire()?);
    /// drop(pool.try_acquire()?);
    /// println!("{:?}", pool.tier_stats());
    /// assert_eq!(pool.stats().hits, 1);
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    pub fn tier_stats(&self) -> TierStats {
        TierStats::of(&self.tiers.levels().figures())
    }
}

impl<T, M: Manage<T>, A: Source + 'static> Tiers<T, M, A> {
    #[inline(always)]
    fn levels(&self) -> &Levels<T, A> {
        // SAFETY: freed by `drop` only.
        unsafe { self.levels.as_ref() }
    }

    /// The thread's cache, if it has one.
    ///
    /// # Safety
    /// Used only until the next call of user code or of this.
    #[inline(always)]
    unsafe fn cache(&self) -> Option<&Cache> {
        // SAFETY: the caller's promise.
        unsafe { thread::cache::<StdThreads>(self.number, self.serial) }
    }

    #[inline]
    fn take(&self) -> Result<NonNull<T>, AcquireError> {
        // SAFETY: used here only.
        match unsafe { self.cache() }.and_then(Cache::pop) {
            Some(object) => Ok(object),
            None => self.take_slow(),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_slow(&self) -> Result<NonNull<T>, AcquireError> {
        self.introduce();
        let levels = self.levels();
        // SAFETY: `refill` runs no user code but the source, and keeps it no longer.
        if let Some(object) = levels.refill(unsafe { self.cache() }) {
            return Ok(object);
        }
        let back = Empty { levels, block: levels.block()? };
        levels.note_peak();
        // SAFETY: the block has the layout of a `T` and is ours.
        unsafe { back.block.write(self.manage.make()) };
        let object = back.block;
        forget(back);
        Ok(object)
    }

    /// Sees to it that the thread has a cache, if it can have one.
    fn introduce(&self) {
        thread::introduce::<StdThreads, T, A>(self.number, self.serial, self.levels());
    }

    #[cold]
    #[inline(never)]
    fn put_slow(&self, object: NonNull<T>) {
        let levels = self.levels();
        // Relaxed: what is put back in spite of it is dropped at the end.
        if self.closed.load(Ordering::Relaxed) {
            let _back = Empty { levels, block: object };
            // SAFETY: a returned object: dropped here and nowhere else.
            unsafe { object.drop_in_place() };
            return;
        }
        self.introduce();
        // SAFETY: `spill` runs no user code and keeps it no longer; the object is in nobody's hands.
        unsafe { levels.spill(self.cache(), object) };
    }
}

/// Gives a block back without an object.
struct Empty<'a, T, A: Source> {
    levels: &'a Levels<T, A>,
    block: NonNull<T>,
}

impl<T, A: Source> Drop for Empty<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: a live block in our hands, without an object.
        unsafe { self.levels.give_block(self.block) };
    }
}

/// Drops an object whose reset panicked; its block goes back after that.
struct Broken<'a, T, A: Source>(Empty<'a, T, A>);

impl<T, A: Source> Drop for Broken<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: the object is ours, and its block goes back empty.
        unsafe { self.0.block.drop_in_place() };
    }
}

/// Puts a block back that was taken to be filled.
struct Fill<'a, T, A: Source> {
    levels: &'a Levels<T, A>,
    block: NonNull<T>,
    made: bool,
}

impl<T, A: Source> Drop for Fill<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: the block in our hands; `made` says whether it holds an object.
        unsafe { self.levels.filled(self.block, self.made) };
    }
}

// SAFETY: the key is the object's address, which is fixed.
unsafe impl<T, M: Manage<T>, A: Source + 'static> Home for Tiers<T, M, A> {
    type Object = T;
    type Key = NonNull<T>;

    #[inline(always)]
    fn object(key: NonNull<T>) -> NonNull<T> {
        key
    }

    #[inline]
    unsafe fn put_back(&self, mut key: NonNull<T>) {
        let broken = Broken(Empty { levels: self.levels(), block: key });
        // SAFETY: the guard's object, now ours.
        self.manage.reset(unsafe { key.as_mut() });
        forget(broken);
        // SAFETY: used here only.
        if !unsafe { self.cache() }.is_some_and(|cache| cache.push(key)) {
            self.put_slow(key);
        }
    }

    unsafe fn put_back_empty(&self, key: NonNull<T>) {
        // SAFETY: the guard's block, empty now.
        unsafe { self.levels().give_block(key) };
    }
}

impl<T, M: Manage<T>, A: Source + 'static> Pool for TieredPool<T, M, A> {
    fn stats(&self) -> PoolStats {
        TieredPool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        TieredPool::trim(self, keep)
    }
}

impl<T, M: Manage<T>, A: Source + 'static> Pool for &TieredPool<T, M, A> {
    fn stats(&self) -> PoolStats {
        TieredPool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        TieredPool::trim(self, keep)
    }
}

impl<T, M: Manage<T>, A: Source + 'static> Drop for TieredPool<T, M, A> {
    fn drop(&mut self) {
        // Relaxed: see `put_slow`.
        self.tiers.closed.store(true, Ordering::Relaxed);
        if Arc::strong_count(&self.tiers) > 1 {
            // Owned guards are out: what is free goes now, what they hold when they return it.
            self.trim(0);
            self.tiers.levels().ask_all();
        }
    }
}

impl<T, M: Manage<T>, A: Source + 'static> Drop for Tiers<T, M, A> {
    fn drop(&mut self) {
        // Shared access only until no thread that leaves looks in.
        self.levels().close();
        thread::free_number(self.number);
        // SAFETY: made by `Box::leak`, and nobody else knows it any more.
        let mut levels = unsafe { Box::from_raw(self.levels.as_ptr()) };
        let leak = Leak { live: 0, what: type_name::<T>(), size: levels.block_size() };
        let live = levels.end();
        if let (Some(hook), 1..) = (self.on_leak, live) {
            hook(&Leak { live, ..leak });
        }
    }
}

impl<T, M: Manage<T>, A: Source + 'static> fmt::Debug for TieredPool<T, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<T, M: Manage<T>, A: Source + 'static> fmt::Debug for Tiers<T, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers").field("number", &self.number).finish_non_exhaustive()
    }
}
