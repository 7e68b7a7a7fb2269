//! [`TieredBlocks`]: raw blocks on the levels.
//!
//! A block that was handed out once is an object without contents: it goes through the same levels, by the same
//! moves, as those of `TieredPool`, and dropping it does nothing.

use super::cache::Cache;
use super::levels::Levels;
use super::shared::boxed;
use super::thread::{self, Threads};
use super::{TierOptions, TierStats};
use crate::object::store::Store;
use crate::{AcquireError, Options, Pool, PoolError, PoolStats, Source};
use alloc::boxed::Box;
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

#[cfg(feature = "std")]
use crate::{Global, StdThreads};

macro_rules! declare {
    ($($default:tt)*) => {
        /// Raw blocks of one layout for all threads, with a cache for each.
        ///
        /// What [`TieredPool`](https://docs.rs/stratalloc-pool/latest/stratalloc_pool/struct.TieredPool.html) is for
        /// objects: a block comes from the thread's cache by plain loads and stores, mostly; may be released on any
        /// thread; and goes up when its cache overflows, when the thread ends and at [`shrink_to`](Self::shrink_to).
        /// Blocks are not zeroed. `H` says where threads keep their caches: without std, the program does.
        ///
        /// Dropping the pool takes the memory of live blocks away, which is why taking one is safe and using it is
        /// not. A thread that is ending, or finds no memory for a cache, does without: slower, not refused.
        ///
        /// ```
        /// use core::alloc::Layout;
        /// use stratalloc_pool::{Global, Options, TierOptions, TieredBlocks};
        ///
        /// let layout = Layout::new::<[u64; 4]>();
        /// let pool: TieredBlocks = TieredBlocks::new_in(layout, Options::new(), TierOptions::new(), Global)?;
        /// let block = pool.try_acquire().unwrap().addr();
        /// std::thread::scope(|scope| {
        ///     scope.spawn(|| {
        ///         let own = pool.try_acquire().unwrap();
        ///         assert_ne!(own.addr(), block);
        ///         // SAFETY: the block is not used any more.
        ///         unsafe { pool.release(own) };
        ///     });
        /// });
        /// assert_eq!(pool.stats().live, 1);
        /// # Ok::<(), stratalloc_pool::PoolError>(())
        /// ```
        pub struct TieredBlocks<A: Source + 'static $($default)*> {
            number: usize,
            serial: u64,
            /// In a place of its own: threads that leave still look into it while this is being dropped.
            levels: NonNull<Levels<u8, A>>,
            layout: Layout,
            threads: PhantomData<fn() -> H>,
        }
    };
}

#[cfg(feature = "std")]
declare!(= Global, H: Threads = StdThreads);
#[cfg(not(feature = "std"))]
declare!(, H: Threads);

// SAFETY: a block is in one thread's hands at a time; the levels are guarded by locks.
unsafe impl<A: Source + Sync, H: Threads> Sync for TieredBlocks<A, H> {}
// SAFETY: as above; threads that used the pool before it was sent may flush into it, so the source is shared.
unsafe impl<A: Source + Send + Sync, H: Threads> Send for TieredBlocks<A, H> {}

impl<A: Source + 'static, H: Threads> TieredBlocks<A, H> {
    /// A pool as the options say, on `source`.
    ///
    /// # Errors
    /// The options contradict each other or the layout; the source, or the global allocator, refused.
    pub fn new_in(layout: Layout, options: Options, tiers: TierOptions, source: A) -> Result<Self, PoolError> {
        let stripes = tiers.check()?;
        let store = Store::of(layout, &options)?;
        let mut levels = Levels::new(store, tiers.cache, tiers.stripe, stripes, source)?;
        if let Err(error) = levels.reserve(options.capacity) {
            levels.end();
            return Err(error);
        }
        let refused = PoolError::refused(Layout::new::<Levels<u8, A>>());
        let Some((number, serial)) = thread::number() else {
            levels.end();
            return Err(refused);
        };
        match boxed(levels) {
            Ok(levels) => Ok(Self { number, serial, levels, layout, threads: PhantomData }),
            Err(mut levels) => {
                levels.end();
                thread::free_number(number);
                Err(refused)
            }
        }
    }

    #[inline(always)]
    fn levels(&self) -> &Levels<u8, A> {
        // SAFETY: freed by `drop` only.
        unsafe { self.levels.as_ref() }
    }

    /// The thread's cache, if it has one.
    ///
    /// # Safety
    /// Used only until the next call of the source or of this.
    #[inline(always)]
    unsafe fn cache(&self) -> Option<&Cache> {
        // SAFETY: the caller's promise.
        unsafe { thread::cache::<H>(self.number, self.serial) }
    }

    /// A block, uninitialised, aligned as the layout and the options say. Waits for a short lock when the thread's cache
    /// is empty.
    ///
    /// # Errors
    /// [`Exhausted`](AcquireError::Exhausted) at the limit (also while other threads' caches hold free blocks: they
    /// are asked for them), [`OutOfMemory`](AcquireError::OutOfMemory).
    #[inline]
    pub fn try_acquire(&self) -> Result<NonNull<u8>, AcquireError> {
        // SAFETY: used here only.
        match unsafe { self.cache() }.and_then(Cache::pop) {
            Some(block) => Ok(block),
            None => self.take_slow(true),
        }
    }

    /// A block that the pool has memory for, or none: the source is not called, but for a thread's first cache.
    #[inline]
    pub fn try_acquire_present(&self) -> Option<NonNull<u8>> {
        // SAFETY: used here only.
        match unsafe { self.cache() }.and_then(Cache::pop) {
            Some(block) => Some(block),
            None => self.take_slow(false).ok(),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_slow(&self, may_grow: bool) -> Result<NonNull<u8>, AcquireError> {
        let levels = self.levels();
        thread::introduce::<H, u8, A>(self.number, self.serial, levels);
        // SAFETY: `refill` does not call the source.
        if let Some(block) = levels.refill(unsafe { self.cache() }) {
            return Ok(block);
        }
        let block =
            if may_grow { levels.block()? } else { levels.block_at_hand().ok_or(AcquireError::Exhausted)? };
        levels.note_peak();
        Ok(block)
    }

    /// Takes a block back, on any thread.
    ///
    /// # Safety
    /// A live block of this pool, not used any more.
    #[inline]
    pub unsafe fn release(&self, block: NonNull<u8>) {
        // SAFETY: used here only.
        if !unsafe { self.cache() }.is_some_and(|cache| cache.push(block)) {
            self.put_slow(block);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_slow(&self, block: NonNull<u8>) {
        thread::introduce::<H, u8, A>(self.number, self.serial, self.levels());
        // SAFETY: `spill` does not call the source; the block is in nobody's hands.
        unsafe { self.levels().spill(self.cache(), block) };
    }

    /// Makes room for at least `more` blocks beyond those that exist, in one chunk.
    ///
    /// # Errors
    /// Beyond the limit; the source refused.
    pub fn reserve(&self, more: usize) -> Result<(), PoolError> {
        self.levels().reserve(more)
    }

    /// Takes blocks back from the levels (the calling thread's cache at once, other threads' when they next release one,
    /// the stripes at once) until at most `keep` wait in the store, and gives chunks without a live block back to the
    /// source. Returns how many blocks' memory went.
    pub fn shrink_to(&self, keep: usize) -> usize {
        let levels = self.levels();
        let before = levels.figures().capacity;
        levels.ask_all();
        // SAFETY: used before any other call.
        if let Some(cache) = unsafe { self.cache() } {
            levels.flush(cache);
            cache.answer();
        }
        levels.shrink_to(keep);
        before.saturating_sub(levels.figures().capacity)
    }

    /// The layout that was asked for.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The figures. O(threads + stripes). The peak is noted when a fresh block is handed out, and by this call.
    pub fn stats(&self) -> PoolStats {
        let stats = self.levels().figures().stats();
        PoolStats { free: stats.capacity.saturating_sub(stats.live), ..stats }
    }

    /// What each level did. O(threads + stripes).
    pub fn tier_stats(&self) -> TierStats {
        TierStats::of(&self.levels().figures())
    }
}

impl<A: Source + 'static, H: Threads> Pool for TieredBlocks<A, H> {
    fn stats(&self) -> PoolStats {
        TieredBlocks::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.shrink_to(keep)
    }
}

impl<A: Source + 'static, H: Threads> Drop for TieredBlocks<A, H> {
    fn drop(&mut self) {
        // Shared access only until no thread that leaves looks in.
        self.levels().close();
        thread::free_number(self.number);
        // SAFETY: made by `boxed`, and nobody else knows it any more.
        let mut levels = unsafe { Box::from_raw(self.levels.as_ptr()) };
        levels.end();
    }
}

impl<A: Source + 'static, H: Threads> fmt::Debug for TieredBlocks<A, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredBlocks").field("layout", &self.layout).field("stats", &self.stats()).finish()
    }
}
