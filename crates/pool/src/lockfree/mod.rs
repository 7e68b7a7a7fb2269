//! [`LockFreePool`]: objects that threads share without any lock.
//!
//! ```text
//! acquire:  own cell, or pop idle, or another's cell ──► hit
//!           pop vacant, or claim a fresh slot (segment added if missing) ──► construct
//! release:  reset, own cell, or push idle if that is full
//!           moved out, or its constructor or reset panicked: push vacant
//! ```
//!
//! Owns cells and two stacks of slot indices, the segments they point into, and the source. A slot is in one cell or stack,
//! in somebody's hands, or fresh (`>= fresh`, never used).

mod cells;
mod segments;
mod stack;

use crate::object::{Home, Manage, Pooled};
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::{AcquireError, Boxed, Global, Growth, Leak, Options, Pool, PoolError, PoolStats, Source};
use alloc::sync::Arc;
use cells::{CELLS, Cells, INDEX};
use core::alloc::Layout;
use core::any::type_name;
use core::fmt;
use core::marker::PhantomData;
use core::mem::forget;
use core::ptr::NonNull;
use segments::{Link, MOST, Segments};
use stack::Stack;

/// Slots in the first segment of a pool that grows.
const FIRST: usize = if cfg!(any(loom, shuttle)) { 1 } else { 32 };

/// A pool of objects that threads share without locks.
///
/// # Progress
/// Taking an object that waits and returning one are lock-free: one compare-and-swap each when nobody else is at it, and a
/// thread that is stopped at any point holds up no other. A thread keeps the object that it returned last in a cell at
/// hand, where others take it only if there is none elsewhere; the rest are on one stack. An acquisition is refused, and
/// an object constructed, only if at some moment meanwhile no object waited anywhere: a thread that looks in vain looks
/// again if another changed something, so it is the others' success that it waits for. Growth is lock-free if the
/// source is. What the constructor, the reset and a drop do is theirs. Nothing waits, so there is no `acquire_timeout` here.
///
/// # Memory
/// Bounded ([`Growth::None`]: memory for `capacity` objects at once) or growing by doubling, up to `limit` and to
/// 2³² − 2. Memory is not given back before the pool goes, since a popper may be late and read a slot's link;
/// [`shrink_to`](Self::shrink_to) drops objects only. A slot is its block and a link of 32 bytes elsewhere.
///
/// `Sync` if and only if `T: Send`:
///
/// ```
/// use stratalloc_pool::{Growth, LockFreePool, Options};
///
/// let pool = LockFreePool::with_options(|| [0u8; 1024], |_| {}, Options::new().capacity(8).growth(Growth::None))?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let mut message = pool.try_acquire().unwrap();
///             message[0] = 1;
///         });
///     }
/// });
/// assert_eq!(pool.stats().live, 0);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
///
/// ```compile_fail,E0277
/// fn shared<S: Sync>(_: S) {}
/// shared(stratalloc_pool::LockFreePool::new(|| std::rc::Rc::new(0), |_| {}));
/// ```
pub struct LockFreePool<T, M: Manage<T> = Boxed<T>, A: Source = Global> {
    cells: Cells,
    idle: Stack,
    vacant: Stack,
    /// Slots with this index or a higher one were never used.
    fresh: AtomicU32,
    misses: AtomicU64,
    /// Slots in `vacant`, about: written on slow paths only.
    empties: AtomicUsize,
    segments: Segments,
    manage: M,
    source: A,
    on_leak: Option<fn(&Leak)>,
    objects: PhantomData<T>,
}

// SAFETY: an object is in one thread's hands at a time, so it needs `Send` only.
unsafe impl<T: Send, M: Manage<T> + Sync, A: Source + Sync> Sync for LockFreePool<T, M, A> {}
// SAFETY: it owns its objects.
unsafe impl<T: Send, M: Manage<T> + Send, A: Source + Send> Send for LockFreePool<T, M, A> {}

impl<T, F: Fn() -> T, R: Fn(&mut T)> LockFreePool<T, (F, R)> {
    /// A growing pool on the global allocator. No memory is taken yet.
    ///
    /// ```
    /// use stratalloc_pool::LockFreePool;
    ///
    /// let pool = LockFreePool::new(String::new, String::clear);
    /// pool.try_acquire()?.push_str("message");
    /// assert_eq!((pool.stats().free, &**pool.try_acquire()?), (1, ""));
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Panics
    /// The type's alignment is above [`MAX_ALIGN`](crate::MAX_ALIGN).
    pub fn new(make: F, reset: R) -> Self {
        match Self::with_options(make, reset, Options::new()) {
            Ok(pool) => pool,
            Err(error) => panic!("no pool of {}: {error}", type_name::<T>()),
        }
    }

    /// A pool of exactly `objects` slots, allocated now; objects are constructed when first needed.
    ///
    /// ```
    /// use stratalloc_pool::{AcquireError, LockFreePool};
    ///
    /// let pool = LockFreePool::bounded(1, || 0u64, |_| {})?;
    /// let one = pool.try_acquire().unwrap();
    /// assert_eq!(pool.try_acquire().err(), Some(AcquireError::Exhausted));
    /// # drop(one);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// Zero or too many; or the allocator refused.
    pub fn bounded(objects: usize, make: F, reset: R) -> Result<Self, PoolError> {
        Self::with_options(make, reset, Options::new().capacity(objects).growth(Growth::None))
    }

    /// A pool as `options` say. [`Growth::Fixed`] is not supported.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the allocator refused.
    pub fn with_options(make: F, reset: R, options: Options) -> Result<Self, PoolError> {
        Self::managed_in((make, reset), options, Global)
    }
}

impl<T, M: Manage<T>, A: Source> LockFreePool<T, M, A> {
    /// A pool as `options` say, of what `manage` makes, on `source`. [`Growth::Fixed`] is not supported.
    ///
    /// # Errors
    /// The options contradict each other or the type; or the source refused.
    pub fn managed_in(manage: M, options: Options, source: A) -> Result<Self, PoolError> {
        if let Growth::Fixed(_) = options.growth {
            return Err(PoolError::Unsupported("growth by fixed steps: segments double"));
        }
        let (block, limit) = options.block(Layout::new::<T>(), Layout::new::<u8>())?;
        if options.capacity > MOST || options.limit != usize::MAX && options.limit > MOST {
            return Err(PoolError::TooMany { asked: options.capacity.max(options.limit), most: MOST });
        }
        let base = if options.capacity == 0 { FIRST } else { options.capacity.next_power_of_two() };
        let segments = Segments::new(block, base, limit.min(MOST));
        let (cells, idle, vacant) = (Cells::new(), Stack::new(), Stack::new());
        let (fresh, misses, empties) = (AtomicU32::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        let objects = PhantomData;
        let on_leak = None;
        let pool =
            Self { cells, idle, vacant, fresh, misses, empties, segments, manage, source, on_leak, objects };
        if options.capacity > 0 {
            pool.segments.ensure(0, &pool.source)?;
        }
        Ok(pool)
    }

    /// Calls `hook` when the pool is dropped while objects are live, that is, forgotten.
    #[must_use]
    pub fn on_leak(mut self, hook: fn(&Leak)) -> Self {
        self.on_leak = Some(hook);
        self
    }

    /// An object. Never waits.
    ///
    /// # Errors
    /// [`Exhausted`](AcquireError::Exhausted) at the limit, [`OutOfMemory`](AcquireError::OutOfMemory).
    ///
    /// # Panics
    /// When the constructor does.
    #[inline]
    pub fn try_acquire(&self) -> Result<Pooled<&Self>, AcquireError> {
        let key = self.take()?;
        // SAFETY: out of the stack, so nobody else's.
        Ok(unsafe { Pooled::new(self, key) })
    }

    /// The same with a guard that holds the pool by `Arc`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stratalloc_pool::LockFreePool;
    ///
    /// let pool = Arc::new(LockFreePool::new(String::new, String::clear));
    /// let message = pool.try_acquire_owned()?;
    /// std::thread::spawn(move || drop(message)).join().unwrap(); // returned by that thread
    /// assert_eq!(pool.stats().free, 1);
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`try_acquire`](Self::try_acquire).
    ///
    /// # Panics
    /// When the constructor does.
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<Pooled<Arc<Self>>, AcquireError> {
        let key = self.take()?;
        // SAFETY: out of the stack, so nobody else's.
        Ok(unsafe { Pooled::new(self.clone(), key) })
    }

    #[inline]
    fn take(&self) -> Result<Key<T>, AcquireError> {
        match self.cells.take(&self.segments).or_else(|| self.take_shared()) {
            Some(link) => Ok(hand_out(link)),
            None => self.make_one(),
        }
    }

    #[inline(never)]
    fn take_shared(&self) -> Option<&Link> {
        self.idle.pop(&self.segments).or_else(|| self.search())
    }

    /// An object from the stack or anybody's cell. None: at some moment meanwhile there was none.
    #[cold]
    fn search(&self) -> Option<&Link> {
        let mut seen = None;
        loop {
            if let Some(found) = self.idle.pop(&self.segments) {
                return Some(found);
            }
            let (stack, mut cells) = (self.idle.word(), [0; CELLS]);
            if let Some(found) = self.cells.take_any(&self.segments, &mut cells) {
                return Some(found);
            }
            // All were empty, one after the other. If none was used since the last look, all were empty at once.
            if stack & INDEX == 0 && seen == Some((stack, cells)) {
                return None;
            }
            seen = Some((stack, cells));
        }
    }

    #[cold]
    #[inline(never)]
    fn make_one(&self) -> Result<Key<T>, AcquireError> {
        let index = self.slot()?;
        // Relaxed: a figure.
        self.misses.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `slot` saw to the segment.
        let link = unsafe { self.segments.link(index) };
        let key = hand_out(link);
        let back = Empty { pool: self, link };
        // SAFETY: the block has the layout of a `T` and is ours.
        unsafe { key.0.write(self.manage.make()) };
        forget(back);
        Ok(key)
    }

    /// A slot without an object.
    fn slot(&self) -> Result<u32, AcquireError> {
        if let Some(link) = self.vacant.pop(&self.segments) {
            self.empties.fetch_sub(1, Ordering::Relaxed);
            return Ok(link.index);
        }
        let mut index = self.fresh.load(Ordering::Relaxed);
        loop {
            if index as usize >= self.segments.limit() {
                return Err(AcquireError::Exhausted);
            }
            // Before the slot is claimed, so that a refusal leaves nothing to undo.
            self.segments.ensure(index, &self.source).map_err(|_| AcquireError::OutOfMemory)?;
            // Release pairs with the Acquire in `stats`, which then sees the segment that `ensure` saw.
            match self.fresh.compare_exchange_weak(index, index + 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(index),
                Err(now) => index = now,
            }
        }
    }

    /// Keeps a slot without an object for later.
    ///
    /// # Safety
    /// The slot is the caller's, in no stack, and its segment is there.
    unsafe fn vacate(&self, link: &Link) {
        // Relaxed: a figure. Before the push, so that the pop's subtraction comes after it.
        self.empties.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's slot.
        unsafe { self.vacant.push(link) };
    }

    /// Constructs objects until about `free` wait; other threads may take them meanwhile.
    ///
    /// ```
    /// use stratalloc_pool::LockFreePool;
    ///
    /// let pool = LockFreePool::new(|| [0u8; 64], |_| {});
    /// pool.prefill(10)?;
    /// assert_eq!((pool.stats().free, pool.stats().misses), (10, 0));
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// [`Exhausted`](AcquireError::Exhausted) at the limit, [`OutOfMemory`](AcquireError::OutOfMemory). What was
    /// constructed stays.
    ///
    /// # Panics
    /// When the constructor does.
    pub fn prefill(&self, free: usize) -> Result<(), AcquireError> {
        for _ in self.stats().free..free {
            let index = self.slot()?;
            // SAFETY: `slot` saw to the segment.
            let link = unsafe { self.segments.link(index) };
            let back = Unused { pool: self, link };
            // SAFETY: the block has the layout of a `T` and is ours.
            unsafe { link.block.cast::<T>().write(self.manage.make()) };
            forget(back);
            // SAFETY: ours, in no stack.
            unsafe { self.idle.push(link) };
        }
        Ok(())
    }

    /// Drops free objects until about `keep` wait; their slots stay. Returns how many were dropped.
    ///
    /// ```
    /// use stratalloc_pool::LockFreePool;
    ///
    /// let pool = LockFreePool::new(|| vec![0u8; 4096], |_| {});
    /// pool.prefill(10)?;
    /// assert_eq!(pool.shrink_to(4), 6);
    /// assert_eq!(pool.stats().free, 4);
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Panics
    /// When a drop does; the pool is good afterwards.
    pub fn shrink_to(&self, keep: usize) -> usize {
        let spare = self.stats().free.saturating_sub(keep);
        let mut dropped = 0;
        while dropped < spare {
            let Some(link) = self.search() else { break };
            let _back = Unused { pool: self, link };
            dropped += 1;
            // SAFETY: the object is ours: dropped here and nowhere else.
            unsafe { link.block.cast::<T>().drop_in_place() };
        }
        dropped
    }

    /// The figures. O(slots ever used): each slot keeps its own count, so that no two threads write the same one.
    pub fn stats(&self) -> PoolStats {
        let (capacity, bytes) = self.segments.capacity();
        // Acquire pairs with the Release in `slot`.
        let fresh = self.fresh.load(Ordering::Acquire);
        let (mut live, mut uses, mut used) = (0usize, 0u64, 0usize);
        for index in 0..fresh {
            // SAFETY: claimed after its segment was ensured, which the load of `fresh` synchronised with.
            let (times, held) = unsafe { self.segments.link(index) }.uses();
            live += usize::from(held);
            uses += times as u64;
            used += usize::from(times > 0);
        }
        let misses = self.misses.load(Ordering::Relaxed);
        let vacant = self.empties.load(Ordering::Relaxed);
        PoolStats {
            capacity,
            live,
            free: (fresh as usize).saturating_sub(live + vacant),
            hits: uses.saturating_sub(misses),
            misses,
            waits: 0,
            // A slot is used for the first time only if none waited that was used before. (Too high if objects are
            // prefilled above used ones.)
            peak: used,
            waste: bytes.saturating_sub(capacity * size_of::<T>()),
            bytes,
        }
    }
}

/// Gives a slot back without an object.
struct Empty<'a, T, M: Manage<T>, A: Source> {
    pool: &'a LockFreePool<T, M, A>,
    link: &'a Link,
}

impl<T, M: Manage<T>, A: Source> Drop for Empty<'_, T, M, A> {
    fn drop(&mut self) {
        self.link.turn();
        // SAFETY: ours, in no stack.
        unsafe { self.pool.vacate(self.link) };
    }
}

/// The same for a slot that nobody acquired.
struct Unused<'a, T, M: Manage<T>, A: Source> {
    pool: &'a LockFreePool<T, M, A>,
    link: &'a Link,
}

impl<T, M: Manage<T>, A: Source> Drop for Unused<'_, T, M, A> {
    fn drop(&mut self) {
        // SAFETY: ours, in no stack.
        unsafe { self.pool.vacate(self.link) };
    }
}

/// Drops an object whose reset panicked; its slot goes back after that.
struct Broken<'a, T, M: Manage<T>, A: Source> {
    object: NonNull<T>,
    _after: Empty<'a, T, M, A>,
}

impl<T, M: Manage<T>, A: Source> Drop for Broken<'_, T, M, A> {
    fn drop(&mut self) {
        // SAFETY: the object is ours, and its slot goes back empty.
        unsafe { self.object.drop_in_place() };
    }
}

/// An object's address and its slot's link's, in a guard.
type Key<T> = (NonNull<T>, NonNull<u8>);

/// The key of a slot that is the caller's, which is in use from now on.
#[inline(always)]
fn hand_out<T>(link: &Link) -> Key<T> {
    link.turn();
    (link.block.cast(), NonNull::from(link).cast())
}

/// The link of a key.
///
/// # Safety
/// The key is good, and its pool is there for as long as the link is used.
#[inline(always)]
unsafe fn link_of<'a>(link: NonNull<u8>) -> &'a Link {
    // SAFETY: made from a link, which is there while the pool is and which all share.
    unsafe { link.cast().as_ref() }
}

// SAFETY: the key is the object's address, which is fixed, and its slot's link's.
unsafe impl<T, M: Manage<T>, A: Source> Home for LockFreePool<T, M, A> {
    type Object = T;
    type Key = Key<T>;

    #[inline(always)]
    fn object(key: Self::Key) -> NonNull<T> {
        key.0
    }

    #[inline]
    unsafe fn put_back(&self, (mut object, link): Self::Key) {
        // SAFETY: a key of ours.
        let link = unsafe { link_of(link) };
        let broken = Broken { object, _after: Empty { pool: self, link } };
        // SAFETY: the guard's object, now ours.
        self.manage.reset(unsafe { object.as_mut() });
        forget(broken);
        link.turn();
        // SAFETY: ours, in no stack.
        if !unsafe { self.cells.put(link) } {
            // SAFETY: as above.
            unsafe { self.idle.push(link) };
        }
    }

    unsafe fn put_back_empty(&self, (_, link): Self::Key) {
        // SAFETY: a key of ours.
        drop(Empty { pool: self, link: unsafe { link_of(link) } });
    }
}

impl<T, M: Manage<T>, A: Source> Pool for LockFreePool<T, M, A> {
    fn stats(&self) -> PoolStats {
        LockFreePool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.shrink_to(keep)
    }
}

impl<T, M: Manage<T>, A: Source> Pool for &LockFreePool<T, M, A> {
    fn stats(&self) -> PoolStats {
        LockFreePool::stats(self)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.shrink_to(keep)
    }
}

impl<T, M: Manage<T>, A: Source> Drop for LockFreePool<T, M, A> {
    fn drop(&mut self) {
        struct Memory<'a, A: Source>(&'a mut Segments, &'a A);
        impl<A: Source> Drop for Memory<'_, A> {
            fn drop(&mut self) {
                // SAFETY: the pool is going, and all its guards are gone or forgotten.
                unsafe { self.0.free_all(self.1) };
            }
        }
        struct Rest<'a, T>(&'a Cells, &'a Stack, &'a Segments, PhantomData<T>);
        impl<T> Rest<'_, T> {
            fn drop_all(&mut self) {
                let Self(cells, stack, segments, _) = *self;
                while let Some(link) = stack.pop(segments).or_else(|| cells.take_any(segments, &mut [0; CELLS])) {
                    // SAFETY: taken out: dropped here and nowhere else.
                    unsafe { link.block.cast::<T>().drop_in_place() };
                }
            }
        }
        impl<T> Drop for Rest<'_, T> {
            /// After a panic, the objects that are left.
            fn drop(&mut self) {
                self.drop_all();
            }
        }
        let leak = Leak { live: self.stats().live, what: type_name::<T>(), size: self.segments.block().size() };
        let memory = Memory(&mut self.segments, &self.source);
        Rest::<T>(&self.cells, &self.idle, memory.0, PhantomData).drop_all();
        drop(memory);
        if let (Some(hook), 1..) = (self.on_leak, leak.live) {
            hook(&leak);
        }
    }
}

impl<T, M: Manage<T>, A: Source> fmt::Debug for LockFreePool<T, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockFreePool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
