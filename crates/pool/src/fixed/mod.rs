//! [`FixedPool`]: raw blocks of one layout.
//!
//! It owns its chunks and its source. One thread uses it at a time (`!Sync`); it may move between threads.
//! The inside is in `blocks`, which the object pools share, and `chunk`.
//!
//! The free list in the free blocks themselves is the oldest idea here: B. W. Kernighan and D. M. Ritchie have
//! it, Boost.Pool made it a library ("simple segregated storage").

mod adapter;
pub(crate) mod blocks;
pub(crate) mod chunk;

use crate::{AcquireError, Global, Options, Pool, PoolError, PoolStats, ReleaseError, Source};
use blocks::Blocks;
use chunk::Chunk;
use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;

/// Raw blocks of one layout, in chunks that grow.
///
/// Taking and giving back are O(1): some five instructions on a list in the free blocks. Blocks are not zeroed. The pool
/// takes `&self` and is not `Sync`; blocks may go to other threads but come back on the pool's. Dropping the
/// pool takes the memory of live blocks away, which is why taking one is safe and using it is not.
///
/// With `allocator-api2-02` or `-04`, `&FixedPool` is an `Allocator` for requests that fit into a block.
///
/// ```
/// use core::alloc::Layout;
/// use stratalloc_pool::FixedPool;
///
/// let pool = FixedPool::new(Layout::new::<[u64; 4]>())?;
/// let block = pool.try_acquire().unwrap().cast::<[u64; 4]>();
/// // SAFETY: the block has this layout and is ours until it is released.
/// unsafe { block.write([1, 2, 3, 4]) };
/// assert_eq!(pool.live(), 1);
/// // SAFETY: the block is not used any more.
/// unsafe { pool.release(block.cast()) }.unwrap();
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
///
/// ```compile_fail,E0277
/// fn shared<S: Sync>(_: S) {}
/// shared(stratalloc_pool::FixedPool::new(std::alloc::Layout::new::<u64>()));
/// ```
pub struct FixedPool<A: Source = Global> {
    blocks: UnsafeCell<Blocks>,
    source: A,
    layout: Layout,
    checked: bool,
    on_leak: Option<fn(&Leak)>,
}

/// What was still live when a pool was dropped. For a hook; see [`FixedPool::on_leak`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// Blocks or objects never given back.
    pub live: usize,
    /// The type of the objects; of raw blocks, `"block"`.
    pub what: &'static str,
    /// Bytes of one, padding included.
    pub size: usize,
}

#[cfg(feature = "std")]
impl Leak {
    /// Prints it as one line on standard error: a hook ready for use.
    ///
    /// ```
    /// use stratalloc_pool::{Leak, LocalPool};
    ///
    /// let pool = LocalPool::new(|| 0u8, |_| {}).on_leak(Leak::print);
    /// # drop(pool);
    /// ```
    pub fn print(&self) {
        std::eprintln!("{self}");
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { live, what, size } = self;
        write!(f, "pool dropped with {live} live of type {what}, {size} bytes each")
    }
}

impl FixedPool {
    /// A pool of blocks of `layout` on the global allocator, without a limit. No memory is taken yet.
    ///
    /// # Errors
    /// The layout is too large or its alignment above [`MAX_ALIGN`](crate::MAX_ALIGN).
    pub fn new(layout: Layout) -> Result<Self, PoolError> {
        Self::with_options(layout, Options::new())
    }

    /// The same with memory for `blocks` blocks.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let pool = FixedPool::with_capacity(Layout::new::<u64>(), 100)?;
    /// assert_eq!((pool.capacity(), pool.live()), (100, 0));
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`new`](Self::new); or the allocator refused.
    pub fn with_capacity(layout: Layout, blocks: usize) -> Result<Self, PoolError> {
        Self::with_options(layout, Options::new().capacity(blocks))
    }

    /// A pool as `options` say, on the global allocator.
    ///
    /// # Errors
    /// The options contradict each other or the layout; or the allocator refused.
    pub fn with_options(layout: Layout, options: Options) -> Result<Self, PoolError> {
        Self::with_options_in(layout, options, Global)
    }
}

impl<A: Source> FixedPool<A> {
    /// A pool as `options` say, on `source`.
    ///
    /// # Errors
    /// The options contradict each other or the layout; or the source refused.
    pub fn with_options_in(layout: Layout, options: Options, source: A) -> Result<Self, PoolError> {
        Self::build(layout, options, source, false)
    }

    /// The same, and [`release`](Self::release) refuses blocks that are free already. That needs a bit for each
    /// block, and makes taking a block O(chunks).
    ///
    /// # Errors
    /// As for [`with_options_in`](Self::with_options_in).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::{FixedPool, Global, Options, ReleaseError};
    ///
    /// let pool = FixedPool::checked_in(Layout::new::<u64>(), Options::new(), Global)?;
    /// let block = pool.try_acquire().unwrap();
    /// // SAFETY: the block is not used.
    /// unsafe { pool.release(block) }.unwrap();
    /// // SAFETY: a checked pool refuses a block that is not live.
    /// assert!(matches!(unsafe { pool.release(block) }, Err(ReleaseError::NotLive { .. })));
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn checked_in(layout: Layout, options: Options, source: A) -> Result<Self, PoolError> {
        Self::build(layout, options, source, true)
    }

    fn build(layout: Layout, options: Options, source: A, checked: bool) -> Result<Self, PoolError> {
        let (block, limit) = options.block(layout, Blocks::LEAST)?;
        let blocks = Blocks::new(block, layout.size(), limit, options.growth);
        let pool = Self { blocks: UnsafeCell::new(blocks), source, layout, checked, on_leak: None };
        if options.capacity > 0 {
            pool.add(options.capacity)?;
        }
        Ok(pool)
    }

    /// Calls `hook` when the pool is dropped while blocks are live.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::{FixedPool, Leak};
    ///
    /// let pool = FixedPool::new(Layout::new::<u64>())?.on_leak(Leak::print);
    /// let block = pool.try_acquire().unwrap();
    /// drop(pool); // pool dropped with 1 live of type block, 8 bytes each
    /// # let _ = block;
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    #[must_use]
    pub fn on_leak(mut self, hook: fn(&Leak)) -> Self {
        self.on_leak = Some(hook);
        self
    }

    /// The blocks. Callers end their use before they call the source or return.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    fn blocks(&self) -> &mut Blocks {
        // SAFETY: not `Sync`, and no method keeps the reference across a call of foreign code.
        unsafe { &mut *self.blocks.get() }
    }

    fn add(&self, count: usize) -> Result<(), PoolError> {
        let block = self.blocks().block();
        let chunk = Chunk::allocate(&self.source, block, count, self.checked)?;
        // SAFETY: a new chunk of this pool's layout.
        unsafe { self.blocks().add(chunk) };
        Ok(())
    }

    /// A block, uninitialised, aligned as the layout and the options say.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let pool = FixedPool::new(Layout::new::<u64>())?;
    /// let number = pool.try_acquire().unwrap().cast::<u64>();
    /// // SAFETY: room for a `u64`, and nobody else's.
    /// let number = unsafe {
    ///     number.write(17);
    ///     number.as_ref()
    /// };
    /// assert_eq!(*number, 17);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// [`Exhausted`](AcquireError::Exhausted) at the limit, [`OutOfMemory`](AcquireError::OutOfMemory).
    #[inline]
    pub fn try_acquire(&self) -> Result<NonNull<u8>, AcquireError> {
        match self.blocks().take_ready() {
            Some(block) if !self.checked => Ok(block),
            found => self.acquire_slow(found),
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_slow(&self, found: Option<NonNull<u8>>) -> Result<NonNull<u8>, AcquireError> {
        let block = match found.or_else(|| self.blocks().take()) {
            Some(block) => block,
            None => {
                let count = self.blocks().growth(0, 1).ok_or(AcquireError::Exhausted)?;
                self.add(count).map_err(|_| AcquireError::OutOfMemory)?;
                self.blocks().take().ok_or(AcquireError::OutOfMemory)?
            }
        };
        self.mark(block, true);
        Ok(block)
    }

    /// In a checked pool, writes to the block's bit whether it is live.
    #[cold]
    #[inline(never)]
    fn mark(&self, block: NonNull<u8>, live: bool) {
        if self.checked
            && let Ok((mut chunk, index)) = self.blocks().locate(block)
        {
            // SAFETY: a chunk of this pool, and we are alone.
            unsafe { chunk.as_mut() }.set_live(index, live);
        }
    }

    /// Takes a block back after a look at its address: O(chunks), which doubling keeps below 64.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::{FixedPool, ReleaseError};
    ///
    /// let (pool, other) = (FixedPool::new(Layout::new::<u64>())?, FixedPool::new(Layout::new::<u64>())?);
    /// let block = pool.try_acquire().unwrap();
    /// // SAFETY: the block is live and not used.
    /// assert!(matches!(unsafe { other.release(block) }, Err(ReleaseError::Foreign { .. })));
    /// // SAFETY: as above.
    /// assert!(unsafe { pool.release(block) }.is_ok());
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// Not a block of this pool, not the start of one, never handed out; in a [checked](Self::checked_in) pool,
    /// not live. Then nothing changed.
    ///
    /// # Safety
    /// If it is a live block of this pool, it is not used any more. In a pool that is not checked, it is not a free one.
    pub unsafe fn release(&self, block: NonNull<u8>) -> Result<(), ReleaseError> {
        let (chunk, index) = self.blocks().locate(block)?;
        // SAFETY: a chunk of this pool.
        if self.checked && !unsafe { chunk.as_ref() }.is_live(index) {
            return Err(ReleaseError::NotLive { address: crate::addr::addr(block.as_ptr()) });
        }
        // SAFETY: a block of this pool, live by the bit or by the caller's word.
        unsafe { self.release_unchecked(block) };
        Ok(())
    }

    /// Takes a block back: O(1), three instructions and whether the pool is checked.
    ///
    /// # Safety
    /// A live block of this pool, not used any more.
    #[inline]
    pub unsafe fn release_unchecked(&self, block: NonNull<u8>) {
        if self.checked {
            self.mark(block, false);
        }
        // SAFETY: the caller's block.
        unsafe { self.blocks().give(block) };
    }

    /// True when the address is the start of a block of this pool that was handed out at least once. O(chunks).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let (pool, other) = (FixedPool::new(Layout::new::<u64>())?, FixedPool::new(Layout::new::<u64>())?);
    /// let block = pool.try_acquire().unwrap();
    /// assert!(pool.owns(block) && !other.owns(block));
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn owns(&self, block: NonNull<u8>) -> bool {
        self.blocks().locate(block).is_ok()
    }

    /// Makes room for at least `more` blocks beyond the live ones, in one chunk.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let pool = FixedPool::new(Layout::new::<u64>())?;
    /// pool.reserve(1000)?;
    /// assert_eq!(pool.capacity(), 1000);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// Beyond the limit; the policy is [`Growth::None`](crate::Growth::None); the source refused.
    pub fn reserve(&self, more: usize) -> Result<(), PoolError> {
        let blocks = self.blocks();
        let live = blocks.live();
        let missing = more.saturating_sub(blocks.capacity() - live);
        if missing == 0 {
            return Ok(());
        }
        let count = blocks
            .growth(0, missing)
            .ok_or_else(|| PoolError::TooMany { asked: more, most: blocks.limit() - live })?;
        // Exactly what is asked for, not what the policy would add.
        self.add(missing.min(count))
    }

    /// Takes up to `out.len()` blocks; returns how many. Fewer only at the limit or when the source refuses.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let pool = FixedPool::with_capacity(Layout::new::<u64>(), 8)?;
    /// let mut blocks = [core::ptr::NonNull::dangling(); 8];
    /// assert_eq!(pool.acquire_batch(&mut blocks), 8);
    /// assert_eq!(pool.live(), 8);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn acquire_batch(&self, out: &mut [NonNull<u8>]) -> usize {
        for (done, place) in out.iter_mut().enumerate() {
            match self.try_acquire() {
                Ok(block) => *place = block,
                Err(_) => return done,
            }
        }
        out.len()
    }

    /// Takes blocks back.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let pool = FixedPool::new(Layout::new::<u64>())?;
    /// let mut blocks = [core::ptr::NonNull::dangling(); 64];
    /// assert_eq!(pool.acquire_batch(&mut blocks), 64);
    /// // SAFETY: just taken, and not used.
    /// unsafe { pool.release_batch(&blocks) };
    /// assert_eq!(pool.live(), 0);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Safety
    /// Live blocks of this pool, each once, not used any more.
    pub unsafe fn release_batch(&self, blocks: &[NonNull<u8>]) {
        for &block in blocks {
            // SAFETY: the caller's block.
            unsafe { self.release_unchecked(block) };
        }
    }

    /// Takes all blocks back at once, those that are live too, and keeps the chunks: an arena's way to free. They are
    /// handed out again in the order of memory. O(chunks), and a bit for each block in a checked pool.
    ///
    /// Pointers to blocks that were live are good no longer, as when the pool is dropped; nothing is dropped in them, and
    /// they are no leak. In a pool that is not checked, none of them may be released afterwards.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let mut pool = FixedPool::new(Layout::new::<[u64; 4]>())?;
    /// let first = pool.try_acquire().unwrap();
    /// for _ in 1..100 {
    ///     pool.try_acquire().unwrap();
    /// }
    /// let bytes = pool.stats().bytes;
    /// pool.reset();
    /// assert_eq!((pool.live(), pool.stats().peak, pool.stats().bytes), (0, 100, bytes));
    /// # let _ = first;
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn reset(&mut self) {
        self.blocks.get_mut().reset();
    }

    /// Gives chunks without a live block back to the source as long as `keep` blocks stay free. Returns how many
    /// blocks went. O(free blocks × chunks).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let pool = FixedPool::with_capacity(Layout::new::<u64>(), 100)?;
    /// assert_eq!(pool.shrink_to(0), 100);
    /// assert_eq!(pool.stats().bytes, 0);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn shrink_to(&self, keep: usize) -> usize {
        let before = self.blocks().capacity();
        let doomed = self.blocks().trim(keep);
        let after = self.blocks().capacity();
        for chunk in doomed {
            // SAFETY: out of the list, nothing in it live.
            unsafe { Chunk::deallocate(chunk, &self.source) };
        }
        before - after
    }

    /// The layout that was asked for.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The layout of a block: padded and aligned.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::{CACHE_LINE, FixedPool, Options};
    ///
    /// let pool = FixedPool::with_options(Layout::new::<u8>(), Options::new().padded())?;
    /// assert_eq!((pool.layout().size(), pool.block_layout().size()), (1, CACHE_LINE));
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn block_layout(&self) -> Layout {
        self.blocks().block()
    }

    /// Blocks handed out now. O(free blocks): they are counted when somebody asks, and not at each acquisition.
    pub fn live(&self) -> usize {
        self.blocks().live()
    }

    /// True when the next block is one that the pool has memory for already, so that the source is not asked. O(1).
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::FixedPool;
    ///
    /// let pool = FixedPool::with_capacity(Layout::new::<u64>(), 1)?;
    /// assert!(pool.has_free());
    /// pool.try_acquire().unwrap();
    /// assert!(!pool.has_free());
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn has_free(&self) -> bool {
        self.blocks().has_free()
    }

    /// Blocks that the pool has memory for.
    pub fn capacity(&self) -> usize {
        self.blocks().capacity()
    }

    /// The figures. O(free blocks), as [`live`](Self::live).
    pub fn stats(&self) -> PoolStats {
        self.blocks().stats(self.live())
    }
}

impl<A: Source> Pool for FixedPool<A> {
    fn stats(&self) -> PoolStats {
        FixedPool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.shrink_to(keep)
    }
}

impl<A: Source> Drop for FixedPool<A> {
    fn drop(&mut self) {
        let (live, size) = (self.on_leak.map_or(0, |_| self.live()), self.block_layout().size());
        for chunk in self.blocks.get_mut().drain() {
            // SAFETY: out of the list; live blocks are not used after the pool, their users promised.
            unsafe { Chunk::deallocate(chunk, &self.source) };
        }
        if let (Some(hook), 1..) = (self.on_leak, live) {
            hook(&Leak { live, what: "block", size });
        }
    }
}

impl<A: Source> fmt::Debug for FixedPool<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedPool").field("layout", &self.layout).field("stats", &self.stats()).finish()
    }
}
