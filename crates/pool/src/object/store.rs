//! Objects on blocks: the unsynchronised inside of the object pools.
//!
//! # Invariant
//! Each live block of `blocks` holds a live object, a free one (then it is in `idle` once), or is on its way from
//! one to the other in somebody's hands. `idle` has room for all blocks.
//!
//! No user code, and no call of the source, runs in here: what needs them is done by the caller between calls, so that
//! a pool with a lock does it with the lock open.

use super::stack::{Room, Stack};
use crate::fixed::blocks::{Blocks, Doomed};
use crate::fixed::chunk::Chunk;
use crate::{Options, PoolError, PoolStats, Source};
use core::alloc::Layout;
use core::ptr::NonNull;

/// See the module.
#[derive(Debug)]
pub(crate) struct Store<T> {
    pub(crate) blocks: Blocks,
    /// Blocks that are taken from `blocks` and not given back.
    taken: usize,
    idle: Stack<T>,
    hits: u64,
    misses: u64,
    /// The most objects live at once, until the last `fold`.
    peak: usize,
    /// The fewest free objects since the last `fold`. Between two folds the number of objects does not change, so
    /// this gives the peak at the cost of one compare.
    low: usize,
    /// Blocks whose object is being dropped, or made without anybody acquiring it.
    transit: usize,
    /// Blocks that growing threads are about to add.
    planned: usize,
}

// SAFETY: owns its free objects; of others it only knows blocks.
unsafe impl<T: Send> Send for Store<T> {}

/// Memory for a store to grow by, allocated outside of it.
#[derive(Debug)]
pub(crate) struct Extension<T> {
    chunk: NonNull<Chunk>,
    room: Room<T>,
    count: usize,
}

impl<T> Extension<T> {
    /// A chunk of `count` blocks and a stack for `total` objects.
    pub(crate) fn allocate(
        source: &impl Source,
        block: Layout,
        count: usize,
        total: usize,
    ) -> Result<Self, PoolError> {
        let room = Room::allocate(source, total)?;
        match Chunk::allocate(source, block, count, false) {
            Ok(chunk) => Ok(Self { chunk, room, count }),
            Err(error) => {
                // SAFETY: just allocated, not used.
                unsafe { room.deallocate(source) };
                Err(error)
            }
        }
    }
}

impl<T> Store<T> {
    pub(crate) fn new(options: &Options) -> Result<Self, PoolError> {
        Self::of(Layout::new::<T>(), options)
    }

    /// A store of objects that take `layout`, a `T`'s or a larger one.
    pub(crate) fn of(layout: Layout, options: &Options) -> Result<Self, PoolError> {
        let (block, limit) = options.block(layout, Blocks::LEAST)?;
        let blocks = Blocks::new(block, layout.size(), limit, options.growth);
        Ok(Self {
            blocks,
            taken: 0,
            idle: Stack::new(),
            hits: 0,
            misses: 0,
            peak: 0,
            low: 0,
            transit: 0,
            planned: 0,
        })
    }

    /// A free object.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        let object = self.idle.pop()?;
        self.hits += 1;
        if self.idle.len() < self.low {
            self.low = self.idle.len();
        }
        Some(object)
    }

    /// A free object, to be dropped; [`give_dropped`](Self::give_dropped) follows.
    pub(crate) fn pop_to_drop(&mut self) -> Option<NonNull<T>> {
        self.fold();
        let object = self.idle.pop()?;
        self.transit += 1;
        self.fold();
        Some(object)
    }

    /// A block to construct an object in.
    pub(crate) fn take_block(&mut self) -> Option<NonNull<T>> {
        self.fold();
        let block = self.blocks.take()?;
        self.taken += 1;
        self.misses += 1;
        self.fold();
        Some(block.cast())
    }

    /// The same for an object that nobody acquires yet: [`push_made`](Self::push_made) or
    /// [`give_dropped`](Self::give_dropped) follows.
    pub(crate) fn take_block_to_fill(&mut self) -> Option<NonNull<T>> {
        let block = self.blocks.take()?;
        self.taken += 1;
        self.transit += 1;
        Some(block.cast())
    }

    /// Puts a free object in.
    ///
    /// # Safety
    /// A constructed object in a live block of this store, not used by anyone.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, object: NonNull<T>) {
        // SAFETY: there is room for every block's object, and this one is in there once.
        unsafe { self.idle.push(object) };
    }

    /// Puts an object in that was made in a block of [`take_block_to_fill`](Self::take_block_to_fill).
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    pub(crate) unsafe fn push_made(&mut self, object: NonNull<T>) {
        self.fold();
        self.transit -= 1;
        // SAFETY: the caller's object.
        unsafe { self.push(object) };
        // Not `fold`: one more is free and none more is live.
        self.low = self.idle.len();
    }

    /// Takes a block back whose object was moved out, or never made.
    ///
    /// # Safety
    /// A live block of this store without an object, not used by anyone.
    pub(crate) unsafe fn give_block(&mut self, block: NonNull<T>) {
        self.fold();
        // SAFETY: the caller's block.
        unsafe { self.blocks.give(block.cast()) };
        self.taken -= 1;
        self.fold();
    }

    /// Takes a block back that came from [`pop_to_drop`](Self::pop_to_drop) or
    /// [`take_block_to_fill`](Self::take_block_to_fill).
    ///
    /// # Safety
    /// As for [`give_block`](Self::give_block).
    pub(crate) unsafe fn give_dropped(&mut self, block: NonNull<T>) {
        self.transit -= 1;
        // SAFETY: the caller's block.
        unsafe { self.blocks.give(block.cast()) };
        self.taken -= 1;
    }

    /// The most live at once so far.
    fn peak(&self) -> usize {
        self.peak.max(self.taken.saturating_sub(self.transit + self.low))
    }

    /// Before and after the number of objects changes.
    fn fold(&mut self) {
        self.peak = self.peak();
        self.low = self.idle.len();
    }

    /// Objects handed out.
    pub(crate) fn live(&self) -> usize {
        self.taken.saturating_sub(self.transit + self.idle.len())
    }

    pub(crate) fn free(&self) -> usize {
        self.idle.len()
    }

    /// True when an acquisition could now get a block, perhaps by growing.
    pub(crate) fn may_take(&self) -> bool {
        self.taken < self.blocks.capacity() || self.blocks.growth(self.planned, 1).is_some()
    }

    /// Notes that the caller is about to add blocks, at least `least`, and says how many and how large a stack to
    /// allocate for that; `None`: the pool may not grow. [`extend`](Self::extend) or [`give_up`](Self::give_up)
    /// follows.
    pub(crate) fn plan(&mut self, least: usize) -> Option<(usize, usize)> {
        let count = self.blocks.growth(self.planned, least)?;
        self.planned += count;
        Some((count, self.blocks.capacity() + self.planned))
    }

    /// The same for a given number, whatever the policy.
    pub(crate) fn plan_exactly(&mut self, count: usize) -> Result<(usize, usize), PoolError> {
        let most = self.blocks.limit().saturating_sub(self.blocks.capacity() + self.planned);
        if count > most {
            return Err(PoolError::TooMany { asked: count, most });
        }
        self.planned += count;
        Ok((count, self.blocks.capacity() + self.planned))
    }

    /// Adds what was planned. Returns the old stack's room, to be deallocated; an error says for how many objects
    /// the stack must be, since others grew meanwhile.
    pub(crate) fn extend(&mut self, extension: Extension<T>) -> Result<Room<T>, (Extension<T>, usize)> {
        let total = self.blocks.capacity() + extension.count;
        let Extension { chunk, room, count } = extension;
        let old = if self.idle.room() >= total {
            // Another thread brought a larger one.
            room
        } else if room.bytes() / size_of::<NonNull<T>>() >= total {
            self.idle.move_to(room)
        } else {
            return Err((Extension { chunk, room, count }, total + self.planned));
        };
        self.planned -= count;
        // SAFETY: a new chunk of the block layout that the store told.
        unsafe { self.blocks.add(chunk) };
        Ok(old)
    }

    /// The allocation that was planned failed.
    pub(crate) fn give_up(&mut self, count: usize) {
        self.planned -= count;
    }

    /// Orders the free objects so that those in chunks with nothing live are popped first.
    pub(crate) fn sort_for_shrinking(&mut self) {
        self.blocks.start_tally();
        for &mut object in self.idle.as_mut_slice() {
            self.blocks.tally(object.cast());
        }
        let mut end = 0;
        let objects = self.idle.as_mut_slice();
        for at in 0..objects.len() {
            if !self.blocks.is_spare(objects[at].cast()) {
                objects.swap(at, end);
                end += 1;
            }
        }
    }

    /// Removes chunks in which no block is live.
    pub(crate) fn trim(&mut self) -> Doomed {
        self.blocks.trim(0)
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let blocks = self.blocks.stats(self.taken);
        PoolStats {
            live: self.live(),
            free: self.idle.len(),
            hits: self.hits,
            misses: self.misses,
            peak: self.peak(),
            bytes: blocks.bytes + self.idle.bytes(),
            waste: blocks.waste + self.idle.bytes(),
            ..blocks
        }
    }
}

/// Calls its argument with the store; whoever has a lock takes it for that.
type Access<'a, T> = dyn FnMut(&mut dyn FnMut(&mut Store<T>)) + 'a;

/// Brings an extension in, through `access` to the store; allocates a larger stack as long as others grow too.
pub(crate) fn grow<T, A: Source>(
    source: &A,
    (count, total): (usize, usize),
    block: Layout,
    mut access: impl FnMut(&mut dyn FnMut(&mut Store<T>)),
) -> Result<(), PoolError> {
    let give_up = |access: &mut Access<'_, T>, error| {
        access(&mut |store| store.give_up(count));
        Err(error)
    };
    let mut extension = match Extension::allocate(source, block, count, total) {
        Ok(extension) => Some(extension),
        Err(error) => return give_up(&mut access, error),
    };
    loop {
        let mut outcome = None;
        access(&mut |store| outcome = extension.take().map(|extension| store.extend(extension)));
        match outcome {
            Some(Ok(old)) => {
                // SAFETY: out of use, from this source.
                unsafe { old.deallocate(source) };
                return Ok(());
            }
            Some(Err((too_small, total))) => {
                let Extension { chunk, room, count } = too_small;
                // SAFETY: never used, from this source.
                unsafe { room.deallocate(source) };
                match Room::allocate(source, total) {
                    Ok(room) => extension = Some(Extension { chunk, room, count }),
                    Err(error) => {
                        // SAFETY: never used, from this source.
                        unsafe { Chunk::deallocate(chunk, source) };
                        return give_up(&mut access, error);
                    }
                }
            }
            None => unreachable!("access calls its argument once"),
        }
    }
}

/// Deallocates what a store let go.
///
/// # Safety
/// From a store on this source; nothing of it is used any more.
pub(crate) unsafe fn free_chunks(doomed: Doomed, source: &impl Source) {
    for chunk in doomed {
        // SAFETY: out of its list, and not used.
        unsafe { Chunk::deallocate(chunk, source) };
    }
}

/// Drops all free objects and deallocates everything. If drops panic, the rest is dropped and deallocated still.
///
/// # Safety
/// The store is on this source; no object or block of it is used any more.
pub(crate) unsafe fn dissolve<T, A: Source>(store: &mut Store<T>, source: &A) {
    struct Memory<'a, T, A: Source>(&'a mut Store<T>, &'a A);
    impl<T, A: Source> Drop for Memory<'_, T, A> {
        fn drop(&mut self) {
            let room = self.0.idle.take_room();
            // SAFETY: empty, not used after, from this source.
            unsafe { room.deallocate(self.1) };
            // SAFETY: by the contract of `dissolve`.
            unsafe { free_chunks(self.0.blocks.drain(), self.1) };
        }
    }
    struct Rest<'a, T>(&'a mut Store<T>);
    impl<T> Rest<'_, T> {
        fn drop_all(&mut self) {
            while let Some(object) = self.0.idle.pop() {
                // SAFETY: a free object, popped: dropped here and nowhere else.
                unsafe { object.drop_in_place() };
            }
        }
    }
    impl<T> Drop for Rest<'_, T> {
        /// After a panic, the objects that are left.
        fn drop(&mut self) {
            self.drop_all();
        }
    }
    let memory = Memory(store, source);
    Rest(&mut *memory.0).drop_all();
}
