//! Levels 2 and 3, and how objects move between the levels.
//!
//! ```text
//! L1  Cache          one thread's, no lock                 most: options.cache
//!       │ batch of half a cache: refill ▲ ▼ overflow
//! L2  stripes        a light lock each, shared by some     most: options.stripe each
//!       │ batch                    refill ▲ ▼ overflow
//! L3  store          one light lock; grows from the source most: the limit
//! ```
//!
//! Locks: each stripe's, the store's, the register's; no thread holds two. No user code runs under one. The register's
//! list grows under its lock.
//!
//! # Invariant
//! Each object of a live block is in one cache, one stripe, the store, or somebody's hands. The store has room for the
//! pointers of all, so moving up never fails and never allocates.

use super::cache::Cache;
use super::shared::Shared;
use crate::lock::Lock;
use crate::object::stack::{Room, Stack};
use crate::object::store::{Store, dissolve, free_chunks, grow};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::{AcquireError, PoolError, PoolStats, Source};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Objects that move at once, at most.
const BATCH: usize = 64;

/// One stripe of level 2, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe<T> {
    lock: Lock<Shelf<T>>,
    /// How many objects are in, for a look without the lock.
    len: AtomicUsize,
}

#[derive(Debug)]
struct Shelf<T> {
    stack: Stack<T>,
    hits: u64,
}

/// The store and what is counted at it.
#[derive(Debug)]
struct Top<T> {
    store: Store<T>,
    hits: u64,
    misses: u64,
    peak: usize,
}

/// All caches that were made. A thread that leaves does not come here: the entry is forgotten when somebody passes, so
/// that a pool that ends finds, and waits for, every thread that is still leaving.
#[derive(Debug, Default)]
struct Register {
    caches: Vec<Shared<Cache>>,
    /// Hits of threads that left.
    hits: u64,
}

impl Register {
    /// Drops the entries of threads that have left, keeping their figures.
    fn forget_gone(&mut self) {
        let hits = &mut self.hits;
        self.caches.retain(|cache| {
            let gone = cache.is_gone();
            *hits += if gone { cache.hits() } else { 0 };
            !gone
        });
    }
}

/// Figures of the levels, raw.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) hits: [u64; 3],
    pub(super) free: [usize; 3],
    pub(super) misses: u64,
    pub(super) existing: usize,
    pub(super) peak: usize,
    pub(super) capacity: usize,
    pub(super) bytes: usize,
    pub(super) waste: usize,
    pub(super) caches: usize,
}

impl Figures {
    pub(super) fn live(&self) -> usize {
        // Read one after the other, so the difference may be out of step.
        self.existing.saturating_sub(self.free.iter().sum())
    }

    /// The same as a pool's figures.
    pub(super) fn stats(&self) -> PoolStats {
        PoolStats {
            capacity: self.capacity,
            live: self.live(),
            free: self.free.iter().sum(),
            hits: self.hits.iter().sum(),
            misses: self.misses,
            waits: 0,
            peak: self.peak,
            waste: self.waste,
            bytes: self.bytes,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Levels<T, A: Source> {
    stripes: Box<[Stripe<T>]>,
    top: Lock<Top<T>>,
    register: Lock<Register>,
    /// Most objects in a cache.
    cache: usize,
    pub(super) source: A,
}

impl<T, A: Source> Levels<T, A> {
    pub(super) fn new(
        store: Store<T>,
        cache: usize,
        stripe: usize,
        stripes: usize,
        source: A,
    ) -> Result<Self, PoolError> {
        let mut levels = Self {
            stripes: Box::default(),
            top: Lock::new(Top { store, hits: 0, misses: 0, peak: 0 }),
            register: Lock::new(Register::default()),
            cache,
            source,
        };
        let mut made = Vec::new();
        let refused = Layout::array::<Stripe<T>>(stripes).map_or(PoolError::ZeroCapacity, PoolError::refused);
        made.try_reserve_exact(stripes).map_err(|_| refused)?;
        for _ in 0..stripes {
            let mut stack = Stack::new();
            match Room::allocate(&levels.source, stripe) {
                Ok(room) => drop(stack.move_to(room)),
                Err(error) => {
                    levels.stripes = made.into_boxed_slice();
                    levels.end();
                    return Err(error);
                }
            }
            made.push(Stripe { lock: Lock::new(Shelf { stack, hits: 0 }), len: AtomicUsize::new(0) });
        }
        levels.stripes = made.into_boxed_slice();
        Ok(levels)
    }

    fn batch(&self) -> usize {
        self.cache.div_ceil(2).min(BATCH)
    }

    /// A cache for the calling thread, registered. `None`: no memory.
    pub(super) fn new_cache(&self, ordinal: usize) -> Option<Shared<Cache>> {
        let room = Room::allocate(&self.source, self.cache).ok()?;
        let cache = match Shared::new(Cache::new(room, self.cache, ordinal % self.stripes.len())) {
            Ok(cache) => cache,
            Err(cache) => {
                self.retire(&cache);
                return None;
            }
        };
        let known = self.register.with(|register| {
            register.forget_gone();
            let known = register.caches.try_reserve(1).is_ok();
            if known {
                register.caches.push(cache.clone());
            }
            known
        });
        if !known {
            self.retire(&cache);
            return None;
        }
        Some(cache)
    }

    /// An object from level 2 or 3, and more of them into the cache.
    pub(super) fn refill(&self, cache: Option<&Cache>) -> Option<NonNull<T>> {
        let room = cache.map_or(0, |cache| cache.most() - cache.len());
        let want = self.batch().min(room + 1);
        let mut batch = [NonNull::dangling(); BATCH];
        let home = cache.map_or(0, |cache| cache.stripe);
        let mut got = 0;
        for step in 0..self.stripes.len() {
            let stripe = &self.stripes[(home + step) % self.stripes.len()];
            // Relaxed: a hint; what is missed here is found above or made.
            if stripe.len.load(Ordering::Relaxed) == 0 {
                continue;
            }
            got = stripe.lock.with(|shelf| {
                let got = drain(&mut shelf.stack, &mut batch[..want]);
                shelf.hits += u64::from(got > 0);
                stripe.len.store(shelf.stack.len(), Ordering::Relaxed);
                got
            });
            if got > 0 {
                break;
            }
        }
        if got == 0 {
            got = self.top.with(|top| {
                let mut got = 0;
                while got < want {
                    let Some(object) = top.store.pop() else { break };
                    batch[got] = object;
                    got += 1;
                }
                top.hits += u64::from(got > 0);
                got
            });
        }
        let (&mut first, rest) = batch[..got].split_first_mut()?;
        if let Some(cache) = cache {
            cache.fill(rest);
        }
        Some(first)
    }

    /// A block for a new object; the caller constructs it or gives it back.
    pub(super) fn block(&self) -> Result<NonNull<T>, AcquireError> {
        loop {
            let plan = match self.top.with(|top| match top.store.take_block() {
                Some(block) => {
                    top.misses += 1;
                    Ok(block)
                }
                None => Err((top.store.plan(1), top.store.blocks.block())),
            }) {
                Ok(block) => return Ok(block),
                Err(plan) => plan,
            };
            let (Some(plan), layout) = plan else {
                // Other threads' caches may hold some: ask for them.
                self.ask_all();
                return Err(AcquireError::Exhausted);
            };
            self.grow(plan, layout).map_err(|_| AcquireError::OutOfMemory)?;
        }
    }

    /// A block for a new object, if there is memory for one.
    pub(super) fn block_at_hand(&self) -> Option<NonNull<T>> {
        self.top.with(|top| {
            let block = top.store.take_block()?;
            top.misses += 1;
            Some(block)
        })
    }

    fn grow(&self, plan: (usize, usize), layout: Layout) -> Result<(), PoolError> {
        grow(&self.source, plan, layout, |f| self.top.with(|top| f(&mut top.store)))
    }

    pub(super) fn reserve(&self, more: usize) -> Result<(), PoolError> {
        let plan = self.top.with(|top| {
            let spare = top.store.blocks.capacity() - top.store.live();
            match more.saturating_sub(spare) {
                0 => Ok(None),
                missing => top.store.plan_exactly(missing).map(|plan| Some((plan, top.store.blocks.block()))),
            }
        })?;
        plan.map_or(Ok(()), |(plan, layout)| self.grow(plan, layout))
    }

    /// Takes a block back that holds no object.
    ///
    /// # Safety
    /// A live block of this pool, in nobody's hands.
    #[cfg(feature = "std")]
    pub(super) unsafe fn give_block(&self, block: NonNull<T>) {
        // SAFETY: the caller's block.
        self.top.with(|top| unsafe { top.store.give_block(block) });
    }

    /// Puts an object, and half of the cache (all of it, if it was asked), into level 2 or 3.
    ///
    /// # Safety
    /// An object of this pool, in nobody's hands.
    pub(super) unsafe fn spill(&self, cache: Option<&Cache>, object: NonNull<T>) {
        let Some(cache) = cache else {
            // SAFETY: the caller's object.
            return unsafe { self.put(0, &[object]) };
        };
        let mut batch = [NonNull::dangling(); BATCH];
        loop {
            let asked = cache.asked();
            let want = if asked { BATCH } else { self.batch() };
            let got = cache.take_oldest(&mut batch[..want]);
            // SAFETY: out of the cache, in nobody's hands.
            unsafe { self.put(cache.stripe, &batch[..got]) };
            if !asked {
                break;
            }
            if cache.len() == 0 {
                cache.answer();
                // SAFETY: the caller's object.
                return unsafe { self.put(cache.stripe, &[object]) };
            }
        }
        if !cache.push(object) {
            // Asked just now: the next return answers.
            // SAFETY: the caller's object.
            unsafe { self.put(cache.stripe, &[object]) };
        }
    }

    /// Empties a cache.
    pub(super) fn flush(&self, cache: &Cache) {
        let mut batch = [NonNull::dangling(); BATCH];
        loop {
            match cache.take_oldest(&mut batch) {
                0 => return,
                // SAFETY: out of the cache, in nobody's hands.
                got => unsafe { self.put(cache.stripe, &batch[..got]) },
            }
        }
    }

    /// Puts objects into a stripe, and what is too much into the store.
    ///
    /// # Safety
    /// Objects of this pool, in nobody's hands.
    unsafe fn put(&self, stripe: usize, objects: &[NonNull<T>]) {
        let stripe = &self.stripes[stripe];
        let fit = stripe.lock.with(|shelf| {
            let fit = objects.len().min(shelf.stack.room() - shelf.stack.len());
            for &object in &objects[..fit] {
                // SAFETY: there is room for so many.
                unsafe { shelf.stack.push(object) };
            }
            stripe.len.store(shelf.stack.len(), Ordering::Relaxed);
            fit
        });
        if fit < objects.len() {
            self.top.with(|top| {
                for &object in &objects[fit..] {
                    // SAFETY: an object of this pool, in nobody's hands.
                    unsafe { top.store.push(object) };
                }
            });
        }
    }

    /// Flushes a cache that its thread is leaving, and frees its memory.
    pub(super) fn retire(&self, cache: &Cache) {
        self.flush(cache);
        if let Some(room) = cache.take_room() {
            // SAFETY: from this source; the cache is empty and its thread does not use it any more.
            unsafe { room.deallocate(&self.source) };
        }
    }

    /// Asks all threads to return their caches' objects when they next return one.
    pub(super) fn ask_all(&self) {
        self.register.with(|register| register.caches.iter().for_each(|cache| cache.ask()));
    }

    /// Moves what is in level 2 into level 3, drops objects there until `keep` are left, and frees chunks without objects.
    pub(super) fn shrink_to(&self, keep: usize) -> usize {
        let mut batch = [NonNull::dangling(); BATCH];
        for stripe in &self.stripes {
            loop {
                let got = stripe.lock.with(|shelf| {
                    let got = drain(&mut shelf.stack, &mut batch);
                    stripe.len.store(shelf.stack.len(), Ordering::Relaxed);
                    got
                });
                if got == 0 {
                    break;
                }
                self.top.with(|top| {
                    for &object in &batch[..got] {
                        // SAFETY: out of the stripe, in nobody's hands.
                        unsafe { top.store.push(object) };
                    }
                });
            }
        }
        let mut dropped = 0;
        self.top.with(|top| top.store.sort_for_shrinking());
        while let Some(object) = self.top.with(|top| {
            let spare = top.store.free() > keep;
            if spare { top.store.pop_to_drop() } else { None }
        }) {
            let _back = Dropped { levels: self, block: object };
            dropped += 1;
            // SAFETY: a free object, out of the store: dropped here and nowhere else.
            unsafe { object.drop_in_place() };
        }
        let doomed = self.top.with(|top| top.store.trim());
        // SAFETY: out of the store, nothing in it used.
        unsafe { free_chunks(doomed, &self.source) };
        dropped
    }

    /// A block for an object that nobody acquires, if fewer than `free` wait in level 3.
    #[cfg(feature = "std")]
    pub(super) fn block_to_fill(&self, free: usize) -> Option<NonNull<T>> {
        self.top.with(|top| {
            let missing = top.store.free() < free;
            if missing { top.store.take_block_to_fill() } else { None }
        })
    }

    /// Puts the object of [`block_to_fill`](Self::block_to_fill) in, or gives the block back.
    ///
    /// # Safety
    /// Such a block; `made`: it holds an object.
    pub(super) unsafe fn filled(&self, block: NonNull<T>, made: bool) {
        // SAFETY: the caller's block.
        self.top
            .with(|top| unsafe { if made { top.store.push_made(block) } else { top.store.give_dropped(block) } });
    }

    /// The figures now, and the peak noted.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        self.register.with(|register| {
            register.forget_gone();
            figures.hits[0] = register.hits + register.caches.iter().map(|cache| cache.hits()).sum::<u64>();
            figures.free[0] = register.caches.iter().map(|cache| cache.len()).sum();
            figures.caches = register.caches.len();
        });
        for stripe in &self.stripes {
            stripe.lock.with(|shelf| {
                figures.hits[1] += shelf.hits;
                figures.free[1] += shelf.stack.len();
                figures.bytes += shelf.stack.bytes();
            });
        }
        let pointers = figures.bytes + figures.caches * self.cache * size_of::<NonNull<T>>();
        self.top.with(|top| {
            let stats = top.store.stats();
            figures.hits[2] = top.hits;
            figures.free[2] = stats.free;
            figures.misses = top.misses;
            figures.existing = stats.live + stats.free;
            figures.capacity = stats.capacity;
            figures.bytes = stats.bytes + pointers;
            figures.waste = stats.waste + pointers;
            top.peak = top.peak.max(figures.live());
            figures.peak = top.peak;
        });
        figures
    }

    /// Notes the peak: at each construction, when the most are likely to be live.
    pub(super) fn note_peak(&self) {
        let cached: usize = self.register.with(|register| register.caches.iter().map(|cache| cache.len()).sum());
        // Relaxed: figures.
        let shelved: usize = self.stripes.iter().map(|stripe| stripe.len.load(Ordering::Relaxed)).sum();
        self.top.with(|top| {
            let live = top.store.live().saturating_sub(cached + shelved);
            top.peak = top.peak.max(live);
        });
    }

    /// Bytes of a block.
    #[cfg(feature = "std")]
    pub(super) fn block_size(&self) -> usize {
        self.top.with(|top| top.store.blocks.block().size())
    }

    /// The pool begins to end: waits for threads that are leaving, and takes the other caches' objects. Afterwards no
    /// thread but the caller knows the levels. Takes `&self` since until then some do.
    pub(super) fn close(&self) {
        let caches = self.register.with(|register| core::mem::take(&mut register.caches));
        for cache in caches {
            if cache.end() {
                self.retire(&cache);
            }
        }
    }

    /// The pool ends: drops all objects of levels 2 and 3, frees all memory. Returns how many are live. The caches are
    /// gone.
    pub(super) fn end(&mut self) -> usize {
        debug_assert!(self.register.get_mut().caches.is_empty());
        let mut batch = [NonNull::dangling(); BATCH];
        let top = self.top.get_mut();
        for stripe in &mut self.stripes {
            let shelf = stripe.lock.get_mut();
            loop {
                let got = drain(&mut shelf.stack, &mut batch);
                if got == 0 {
                    break;
                }
                for &object in &batch[..got] {
                    // SAFETY: out of the stripe, in nobody's hands.
                    unsafe { top.store.push(object) };
                }
            }
            let room = shelf.stack.take_room();
            // SAFETY: from this source, not used any more.
            unsafe { room.deallocate(&self.source) };
        }
        let live = top.store.live();
        // SAFETY: the pool is going, and all its guards are gone or forgotten.
        unsafe { dissolve(&mut top.store, &self.source) };
        live
    }
}

/// Pops up to `out.len()`.
fn drain<T>(stack: &mut Stack<T>, out: &mut [NonNull<T>]) -> usize {
    let mut got = 0;
    while got < out.len() {
        let Some(object) = stack.pop() else { break };
        out[got] = object;
        got += 1;
    }
    got
}

/// Gives the block of a dropped object back.
struct Dropped<'a, T, A: Source> {
    levels: &'a Levels<T, A>,
    block: NonNull<T>,
}

impl<T, A: Source> Drop for Dropped<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: a block without an object, in nobody's hands.
        unsafe { self.levels.filled(self.block, false) };
    }
}
