//! [`VarPool`]: blocks of any size from segments of a source.
//!
//! Owns when the pool grows, and the source. What is inside of the segments is the
//! [engine](super::engine)'s.

use super::engine::{Engine, Short, TAGS};
use super::figures::VarFigures;
use super::options::VarOptions;
use super::segments::Segments;
use super::tag::Tags;
use crate::addr::addr;
use crate::options::Growth;
use crate::source::{Global, Source};
use crate::table::NONE;
use crate::{AcquireError, Pool, PoolError, PoolStats, ReleaseError};
use core::alloc::Layout;
use core::cell::{Cell, RefCell, RefMut};
use core::fmt;
use core::ptr::NonNull;

/// Bytes of a first segment when the options say nothing.
const FIRST: usize = 64 << 10;

/// A pool of blocks of any size and alignment, cut from segments.
///
/// Fit, coalescing, granule, growth and limit are [options](VarOptions). What describes the blocks lies
/// outside of them: a program that writes beyond its block does not harm the pool, freeing twice or
/// elsewhere is refused with an error, and the memory may be of a kind that the processor should not
/// touch. Works without any allocator in a slice: [`in_slice`](VarPool::in_slice).
///
/// `&VarPool` is an `Allocator` of `allocator-api2` 0.2 and 0.4 (features `allocator-api2-02` and
/// `-04`), for collections that take one.
///
/// Dropping the pool gives all its memory back: blocks that are left are gone. The borrow of the pool in
/// the allocator traits keeps safe code from using them afterwards; raw pointers are the caller's care.
///
/// One thread at a time: the pool is `Send` when its source is, and not `Sync`.
///
/// ```
/// use core::alloc::Layout;
/// use stratalloc_pool::VarPool;
///
/// let pool = VarPool::new();
/// let page = Layout::from_size_align(100, 4096).unwrap();
/// let block = pool.allocate(page).unwrap().cast::<u8>();
/// assert_eq!(block.as_ptr().addr() % 4096, 0);
/// // SAFETY: the block is not used any more.
/// unsafe { pool.release(block) }.unwrap();
/// // SAFETY: as above; freeing twice is refused, not undefined.
/// assert!(unsafe { pool.release(block) }.is_err());
/// ```
///
/// A hash table in a pool:
///
/// ```
/// # #[cfg(feature = "allocator-api2-02")] {
/// use stratalloc_pool::VarPool;
///
/// let pool = VarPool::new();
/// let mut ages = hashbrown::HashMap::new_in(&pool);
/// ages.insert("Ada", 36);
/// assert_eq!(ages["Ada"], 36);
/// # }
/// ```
///
/// ```compile_fail,E0277
/// fn shared_by_threads<T: Sync>() {}
/// shared_by_threads::<stratalloc_pool::VarPool>();
/// ```
pub struct VarPool<A: Source = Global> {
    engine: RefCell<Engine>,
    source: A,
    options: VarOptions,
    hits: Cell<u64>,
    misses: Cell<u64>,
    /// The source has nothing to give, ever.
    bounded: bool,
}

// SAFETY: the pool has its segments and tables alone, and moves with its source.
unsafe impl<A: Source + Send> Send for VarPool<A> {}

impl VarPool {
    /// A pool on the global allocator: best fit, immediate coalescing, no memory yet.
    pub fn new() -> Self {
        let options = VarOptions::new();
        Self::of(Engine::new(&options, Tags::new(), Segments::new()), Global, options, false)
    }

    /// A pool on the global allocator.
    ///
    /// # Errors
    /// `ZeroCapacity`: a limit of 0, growth by 0, no growth without capacity, deferral until 0 releases.
    /// `Alignment`: a granule that is not a power of two from 8 to [`MAX_ALIGN`](crate::MAX_ALIGN).
    /// `TooMany`: more than the limit or than a segment can have. `OutOfMemory`: the allocator refused.
    pub fn with_options(options: VarOptions) -> Result<Self, PoolError> {
        Self::with_options_in(options, Global)
    }
}

impl Default for VarPool {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Source> VarPool<A> {
    /// A pool on `source`.
    ///
    /// # Errors
    /// As for [`with_options`](VarPool::with_options).
    pub fn with_options_in(options: VarOptions, source: A) -> Result<Self, PoolError> {
        options.check()?;
        let granule = options.granule;
        if options.limit < granule {
            return Err(PoolError::TooMany { asked: granule, most: options.limit });
        }
        let pool = Self::of(Engine::new(&options, Tags::new(), Segments::new()), source, options, false);
        let mut engine = pool.engine();
        if options.blocks > 0 {
            // SAFETY: all tables are from the pool's source.
            let reserved = unsafe { engine.tags.reserve(&pool.source, options.blocks) };
            reserved.ok_or(PoolError::OutOfMemory {
                size: options.blocks.saturating_mul(Tags::BYTES),
                align: align_of::<u32>(),
            })?;
        }
        if options.capacity > 0 {
            let most = ((NONE as usize - 1).saturating_mul(granule)).min(isize::MAX as usize) & !(granule - 1);
            let bytes = options.capacity.div_ceil(granule).saturating_mul(granule);
            if bytes > most {
                return Err(PoolError::TooMany { asked: options.capacity, most });
            }
            let bytes = bytes.min(options.limit & !(granule - 1));
            let refused = PoolError::OutOfMemory { size: bytes, align: granule };
            pool.add_segment(&mut engine, bytes, granule).ok_or(refused)?;
        }
        drop(engine);
        Ok(pool)
    }

    /// `bounded`: the source has nothing to give.
    pub(crate) fn of(engine: Engine, source: A, options: VarOptions, bounded: bool) -> Self {
        Self { engine: RefCell::new(engine), source, options, hits: Cell::new(0), misses: Cell::new(0), bounded }
    }

    fn engine(&self) -> RefMut<'_, Engine> {
        self.engine.try_borrow_mut().expect("the source of a VarPool used the pool")
    }

    /// A block of at least `layout.size()` bytes (of 0 bytes: a granule) at `layout.align()`, which may
    /// be above the page. Its contents are undefined. The slice returned has the whole granules that
    /// the block has.
    ///
    /// Costs one search of the free blocks, see [`Fit`](crate::Fit); a second one where
    /// the alignment is above a granule and the block preferred does not do. When nothing fits: a
    /// pass over all blocks where coalescing is deferred, then a segment more.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::VarPool;
    ///
    /// let pool = VarPool::new();
    /// let record = pool.allocate(Layout::from_size_align(100, 32).unwrap()).unwrap();
    /// assert_eq!(record.cast::<u8>().addr().get() % 32, 0);
    /// ```
    ///
    /// # Errors
    /// `Exhausted`: no free block is long enough, or none can be described, and the pool may not grow.
    /// `OutOfMemory`: it may, but the source refused. Nothing was changed.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AcquireError> {
        let mut engine = self.engine.try_borrow_mut().map_err(|_| AcquireError::OutOfMemory)?;
        let block = match engine.take(layout) {
            Ok(block) => {
                self.hits.set(self.hits.get() + 1);
                block
            }
            Err(short) => self.allocate_slow(&mut engine, layout, short)?,
        };
        Ok(NonNull::slice_from_raw_parts(engine.pointer(block), engine.bytes(block)))
    }

    #[cold]
    #[inline(never)]
    fn allocate_slow(&self, engine: &mut Engine, layout: Layout, short: Short) -> Result<u32, AcquireError> {
        let mut short = short;
        let mut grown = false;
        loop {
            // A pass frees both blocks and tags; without one, or after it, there is nothing loose.
            if short != Short::Range && engine.coalesce() == 0 {
                match short {
                    Short::Range => {}
                    Short::Tags => self.add_tags(engine)?,
                    Short::Blocks if grown => return Err(AcquireError::Exhausted),
                    Short::Blocks => {
                        self.grow(engine, layout)?;
                        grown = true;
                    }
                }
            }
            match engine.take(layout) {
                Ok(block) => {
                    let count = if grown { &self.misses } else { &self.hits };
                    count.set(count.get() + 1);
                    return Ok(block);
                }
                Err(Short::Range) => return Err(AcquireError::Exhausted),
                Err(other) => short = other,
            }
        }
    }

    fn add_tags(&self, engine: &mut Engine) -> Result<(), AcquireError> {
        // A pool in a slice has the tags it has.
        let refused = if self.bounded { AcquireError::Exhausted } else { AcquireError::OutOfMemory };
        // SAFETY: all tables are from the pool's source.
        unsafe { engine.tags.reserve(&self.source, TAGS) }.ok_or(refused)
    }

    /// Adds a segment that holds `layout`.
    fn grow(&self, engine: &mut Engine, layout: Layout) -> Result<(), AcquireError> {
        let granule = self.options.granule;
        let align = granule.max(layout.align());
        let have = engine.capacity << engine.shift;
        let room = (self.options.limit - have) & !(granule - 1);
        let need = (engine.granules(layout.size()).ok_or(AcquireError::Exhausted)? as usize) << engine.shift;
        let wanted = match self.options.growth {
            Growth::None => return Err(AcquireError::Exhausted),
            Growth::Doubling => need.max(have).max(FIRST),
            Growth::Fixed(step) => need.div_ceil(step).saturating_mul(step).saturating_add(granule - 1),
        };
        if need > room {
            return Err(AcquireError::Exhausted);
        }
        let most = (NONE as usize - 1).saturating_mul(granule).min(isize::MAX as usize - (align - 1));
        let wanted = wanted.min(room).min(most) & !(granule - 1);
        // Where there is no memory for growing as told, there may be for the request alone.
        self.add_segment(engine, wanted.max(need), align)
            .or_else(|| (need < wanted).then(|| self.add_segment(engine, need, align)).flatten())
            .ok_or(AcquireError::OutOfMemory)
    }

    /// Adds a segment. `None`: no memory, and nothing changed that shows.
    fn add_segment(&self, engine: &mut Engine, bytes: usize, align: usize) -> Option<()> {
        let layout = Layout::from_size_align(bytes, align).ok()?;
        // SAFETY: all tables are from the pool's source.
        unsafe {
            engine.tags.reserve(&self.source, 1 + TAGS)?;
            engine.segments.reserve(&self.source)?;
        }
        let base = self.source.allocate(layout)?;
        engine.add_segment(base, (bytes >> engine.shift) as u32, layout);
        Some(())
    }

    /// Takes a block back.
    ///
    /// Costs `O(1)` expected, and `O(log n)` of n free blocks where the result is filed in a tree (see
    /// [`Fit`](crate::Fit)); with [`Coalescing::DeferredUntil`](crate::Coalescing) a pass over
    /// all blocks now and then.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::VarPool;
    ///
    /// let pool = VarPool::new();
    /// let record = pool.allocate(Layout::new::<[u8; 100]>()).unwrap();
    /// // SAFETY: the block is not used any more.
    /// unsafe { pool.release(record.cast()) }.unwrap();
    /// assert_eq!(pool.stats().live, 0);
    /// ```
    ///
    /// # Errors
    /// `Foreign`, `Inside` or `NotLive`: `block` is not the beginning of a block in use. Nothing was changed.
    ///
    /// # Safety
    /// Nothing uses the block any more. (An address that is no block's is no danger, only an error.)
    #[inline]
    pub unsafe fn release(&self, block: NonNull<u8>) -> Result<(), ReleaseError> {
        let mut engine = self.engine();
        let block = engine.find(addr(block.as_ptr()))?;
        engine.give(block);
        Ok(())
    }

    /// Bytes that the block at `block` has: whole granules. `O(1)` expected.
    ///
    /// ```
    /// use core::alloc::Layout;
    ///
    /// let pool = stratalloc_pool::VarPool::new();
    /// let block = pool.allocate(Layout::new::<[u8; 20]>()).unwrap();
    /// assert_eq!(pool.usable_size(block.cast()), Ok(32));
    /// ```
    ///
    /// # Errors
    /// As for [`release`](VarPool::release).
    pub fn usable_size(&self, block: NonNull<u8>) -> Result<usize, ReleaseError> {
        let engine = self.engine();
        engine.find(addr(block.as_ptr())).map(|block| engine.bytes(block))
    }

    /// True when `address` lies in one of the pool's segments, whether in a block or not.
    ///
    /// ```
    /// use core::alloc::Layout;
    ///
    /// let pool = stratalloc_pool::VarPool::new();
    /// let block = pool.allocate(Layout::new::<u32>()).unwrap().cast::<u32>();
    /// assert!(pool.contains(block.as_ptr()) && !pool.contains(&0));
    /// ```
    pub fn contains<T>(&self, address: *const T) -> bool {
        let engine = self.engine();
        engine.segments.find(addr(address), engine.shift).is_some()
    }

    /// Changes a block to `layout` without moving it. False: that cannot be, and nothing was changed.
    /// Shortening succeeds; lengthening does when a free block follows that is long enough, unless the
    /// pool never coalesces.
    ///
    /// Costs what [`release`](VarPool::release) does.
    ///
    /// ```
    /// use core::alloc::Layout;
    ///
    /// let pool = stratalloc_pool::VarPool::new();
    /// let block = pool.allocate(Layout::new::<[u8; 64]>()).unwrap().cast();
    /// let next = pool.allocate(Layout::new::<[u8; 64]>()).unwrap();
    /// // SAFETY: nobody uses the block's contents.
    /// unsafe {
    ///     assert_eq!(pool.resize_in_place(block, Layout::new::<[u8; 16]>()), Ok(true));
    ///     assert_eq!(pool.resize_in_place(block, Layout::new::<[u8; 64]>()), Ok(true));
    ///     // `next` is in the way.
    ///     assert_eq!(pool.resize_in_place(block, Layout::new::<[u8; 65]>()), Ok(false));
    /// }
    /// # assert!(next.len() == 64);
    /// ```
    ///
    /// # Errors
    /// As for [`release`](VarPool::release).
    ///
    /// # Safety
    /// Nothing uses what is beyond `layout.size()` any more.
    pub unsafe fn resize_in_place(&self, block: NonNull<u8>, layout: Layout) -> Result<bool, ReleaseError> {
        let mut engine = self.engine();
        let block = engine.find(addr(block.as_ptr()))?;
        Ok(engine.resize(block, layout))
    }

    /// Changes a block to `layout`, moving it where need be. The contents are kept up to the shorter size.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::VarPool;
    ///
    /// let pool = VarPool::new();
    /// let block = pool.allocate(Layout::new::<[u8; 16]>()).unwrap().cast::<u8>();
    /// // SAFETY: the block is ours and 16 bytes long.
    /// unsafe { block.write(17) };
    /// // SAFETY: the block is used by its new address only.
    /// let block = unsafe { pool.reallocate(block, Layout::new::<[u8; 5000]>()) }.unwrap().cast::<u8>();
    /// // SAFETY: the block is ours, and what was written was kept.
    /// assert_eq!(unsafe { block.read() }, 17);
    /// ```
    ///
    /// # Errors
    /// [`ResizeError::Block`] when `block` is not the beginning of a block in use; [`ResizeError::Memory`]
    /// when it must move and there is no room. Nothing was changed.
    ///
    /// # Safety
    /// After success only the result is used.
    pub unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout) -> Result<NonNull<[u8]>, ResizeError> {
        let mut engine = self.engine();
        let tag = engine.find(addr(block.as_ptr()))?;
        if engine.resize(tag, layout) {
            return Ok(NonNull::slice_from_raw_parts(engine.pointer(tag), engine.bytes(tag)));
        }
        let old = engine.bytes(tag);
        drop(engine);
        let new = self.allocate(layout)?;
        // SAFETY: two blocks of the pool, each at least as long as what is copied.
        unsafe { new.cast::<u8>().copy_from_nonoverlapping(block, old.min(layout.size())) };
        // SAFETY: the caller uses the block no longer.
        unsafe { self.release(block) }?;
        Ok(new)
    }

    /// Merges free neighbours where that was deferred; returns how many blocks became part of another.
    /// Walks all blocks. With immediate coalescing, or none, there is nothing to do.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::{Coalescing, VarOptions, VarPool};
    ///
    /// let pool = VarPool::with_options(VarOptions::new().coalescing(Coalescing::Deferred))?;
    /// let blocks = [(); 3].map(|()| pool.allocate(Layout::new::<u64>()).unwrap());
    /// for block in blocks {
    ///     // SAFETY: the block is not used any more.
    ///     unsafe { pool.release(block.cast()) }.unwrap();
    /// }
    /// // The three, and what is behind them, become one.
    /// assert_eq!(pool.coalesce(), 3);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn coalesce(&self) -> usize {
        self.engine().coalesce()
    }

    /// Forgets all blocks and keeps the memory. `O(1)` for each segment, and a walk over the table of
    /// buckets. The exclusive borrow keeps safe code from holding a block; raw pointers are the
    /// caller's care.
    ///
    /// ```
    /// use core::alloc::Layout;
    ///
    /// let mut pool = stratalloc_pool::VarPool::new();
    /// pool.allocate(Layout::new::<[u8; 100]>()).unwrap();
    /// pool.reset();
    /// assert_eq!(pool.figures().used, 0);
    /// ```
    pub fn reset(&mut self) {
        let options = self.options;
        self.engine.get_mut().reset(&options);
    }

    /// The source.
    pub fn source(&self) -> &A {
        &self.source
    }

    /// Figures of the memory. `O(1)`; with segregated fit, the length of the last bin's list.
    pub fn figures(&self) -> VarFigures {
        let engine = self.engine();
        let used = (engine.capacity - engine.free) << engine.shift;
        VarFigures {
            capacity: engine.capacity << engine.shift,
            used,
            requested: used - engine.slack as usize,
            free: engine.free << engine.shift,
            largest_free: (engine.most() as usize) << engine.shift,
            used_blocks: engine.live,
            free_blocks: engine.free_blocks,
            segments: engine.segments.count(),
            metadata: engine.tags.bytes() + engine.segments.bytes(),
            coalesced: engine.merged,
        }
    }

    /// The figures. `capacity` and `free` are in bytes, `live` and `peak` in blocks. A miss is an allocation that made
    /// the pool grow. `waste` is rounding up to granules and what describes blocks. `O(1)`.
    pub fn stats(&self) -> PoolStats {
        let engine = self.engine();
        let metadata = engine.tags.bytes() + engine.segments.bytes();
        let capacity = engine.capacity << engine.shift;
        PoolStats {
            capacity,
            live: engine.live,
            free: engine.free << engine.shift,
            hits: self.hits.get(),
            misses: self.misses.get(),
            waits: 0,
            peak: engine.peak,
            waste: engine.slack as usize + metadata,
            bytes: capacity + metadata,
        }
    }

    /// Checks every invariant of the inside; for tests.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.engine().check();
    }
}

impl<A: Source> Pool for VarPool<A> {
    fn stats(&self) -> PoolStats {
        Self::stats(self)
    }

    /// Gives segments without a used block back to the source, the last first, as long as at least
    /// `keep` free bytes are left. Returns how many bytes went. Nothing goes where the pool may not
    /// grow: it could not get it back.
    fn trim(&mut self, keep: usize) -> usize {
        if self.options.growth == Growth::None {
            return 0;
        }
        let engine = self.engine.get_mut();
        let mut bytes = 0;
        loop {
            let spare = engine.free.saturating_sub(keep.div_ceil(1 << engine.shift));
            let Some(segment) = engine.take_unused_segment(spare) else { break };
            bytes += segment.layout.size();
            // SAFETY: allocated from the source with this layout; no block is left in it.
            unsafe { self.source.deallocate(segment.base, segment.layout) };
        }
        if engine.segments.count() == 0 {
            // SAFETY: all tables are from the pool's source; without segments there are no tags in use.
            unsafe {
                engine.tags.release(&self.source);
                engine.segments.release(&self.source);
            }
            engine.tags = Tags::new();
        }
        bytes
    }
}

impl<A: Source> Drop for VarPool<A> {
    fn drop(&mut self) {
        let engine = self.engine.get_mut();
        for index in 0..engine.segments.end() {
            let segment = engine.segments[index];
            if segment.granules > 0 {
                // SAFETY: allocated from the source with this layout. Blocks end with the pool.
                unsafe { self.source.deallocate(segment.base, segment.layout) };
            }
        }
        // SAFETY: all tables are from the pool's source.
        unsafe {
            engine.tags.release(&self.source);
            engine.segments.release(&self.source);
        }
    }
}

impl<A: Source> fmt::Debug for VarPool<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        f.debug_struct("VarPool")
            .field("options", options)
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}

/// Why a block was not resized. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResizeError {
    /// It is not the beginning of a block in use.
    Block(ReleaseError),
    /// It must move, and there is no room.
    Memory(AcquireError),
}

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ResizeError {}

impl From<ReleaseError> for ResizeError {
    fn from(error: ReleaseError) -> Self {
        Self::Block(error)
    }
}

impl From<AcquireError> for ResizeError {
    fn from(error: AcquireError) -> Self {
        Self::Memory(error)
    }
}
