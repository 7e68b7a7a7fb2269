//! Blocks of one layout in chunks: the unsynchronised inside of `FixedPool` and of the object pools.
//!
//! # What it owns
//! The list of chunks and, inside of free blocks, the links of the free list. It does not own the source: chunks
//! are allocated before they come in and deallocated after they are out, so that a pool with a lock calls its
//! allocator without it.
//!
//! # Invariant
//! Each block of each chunk is live, in the free list, or not yet carved (beyond its chunk's `carved`; for the
//! current chunk, from `fresh` on). What is carved and not in the list is live: who wants that number walks the list,
//! and who hands out and takes back counts nothing but what comes from the list.
//!
//! Taking the block freed last, and carving fresh ones only when none is free, makes the number of blocks ever
//! carved the peak of live ones: the figure costs nothing.

use super::chunk::Chunk;
use crate::addr::addr;
use crate::{Growth, PoolStats, ReleaseError};
use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

/// The link in a free block.
pub(crate) struct Free {
    next: *mut Free,
}

/// A chunk list that has left its [`Blocks`] and waits to be deallocated.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Doomed(Option<NonNull<Chunk>>);

impl Iterator for Doomed {
    type Item = NonNull<Chunk>;

    fn next(&mut self) -> Option<NonNull<Chunk>> {
        let chunk = self.0?;
        // SAFETY: chunks in the list are not deallocated before they are returned here.
        self.0 = unsafe { chunk.as_ref() }.next;
        Some(chunk)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Blocks {
    free: *mut Free,
    /// The current chunk's uncarved blocks.
    fresh: *mut u8,
    fresh_end: *mut u8,
    /// Blocks carved so far and uncarved ones of the current chunk, less those in chunks given back.
    opened: usize,
    /// Blocks handed out from the free list.
    hits: u64,
    /// Blocks carved that are not counted in `opened` any more: their chunks were given back, or all was reset.
    gone: u64,
    /// The peak before the last trim.
    peak: usize,
    chunks: Option<NonNull<Chunk>>,
    current: Option<NonNull<Chunk>>,
    capacity: usize,
    bytes: usize,
    block: Layout,
    limit: usize,
    growth: Growth,
    /// What of a block its user has no use for, in bytes.
    padding: usize,
}

// SAFETY: the pointers lead to chunks that only this value's user touches.
unsafe impl Send for Blocks {}

/// The least of a first chunk by doubling: about a page, at least 4 blocks.
fn first_chunk(size: usize) -> usize {
    (4096 / size).max(4)
}

impl Blocks {
    pub(crate) const LEAST: Layout = Layout::new::<Free>();

    /// No chunk yet. `block` is padded to its alignment and at least [`LEAST`](Self::LEAST); `used` of its bytes are of use.
    pub(crate) const fn new(block: Layout, used: usize, limit: usize, growth: Growth) -> Self {
        Self {
            free: null_mut(),
            fresh: null_mut(),
            fresh_end: null_mut(),
            opened: 0,
            hits: 0,
            gone: 0,
            peak: 0,
            chunks: None,
            current: None,
            capacity: 0,
            bytes: 0,
            block,
            limit,
            growth,
            padding: block.size().saturating_sub(used),
        }
    }

    pub(crate) fn block(&self) -> Layout {
        self.block
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Blocks handed out now. O(free blocks).
    pub(crate) fn live(&self) -> usize {
        let (carved, mut listed, mut free) = (self.carved(), 0, self.free);
        // Not for ever, should a caller have broken its word and listed a block twice.
        while let (Some(block), true) = (NonNull::new(free), listed < carved) {
            listed += 1;
            // SAFETY: a block of the free list.
            free = unsafe { block.as_ref() }.next;
        }
        carved - listed
    }

    /// True when [`take`](Self::take) has a block.
    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_null() || self.carved() < self.capacity
    }

    /// A block; `None`: a chunk must be added first.
    pub(crate) fn take(&mut self) -> Option<NonNull<u8>> {
        match self.take_ready() {
            None => {
                self.switch()?;
                self.take_ready()
            }
            block => block,
        }
    }

    /// A block that is free, or the next of the current chunk. Calls nothing.
    #[inline(always)]
    pub(crate) fn take_ready(&mut self) -> Option<NonNull<u8>> {
        if let Some(free) = NonNull::new(self.free) {
            // SAFETY: a block in the free list holds its link.
            self.free = unsafe { free.as_ref() }.next;
            self.hits += 1;
            return Some(free.cast());
        }
        let block = self.fresh;
        if block == self.fresh_end {
            return None;
        }
        // SAFETY: at least one uncarved block is left; its end is in the chunk or at its end.
        self.fresh = unsafe { block.add(self.block.size()) };
        // SAFETY: in a chunk.
        Some(unsafe { NonNull::new_unchecked(block) })
    }

    /// Uncarved blocks of the current chunk.
    fn fresh_left(&self) -> usize {
        (addr(self.fresh_end) - addr(self.fresh)) / self.block.size()
    }

    /// Blocks carved so far, less those in chunks given back.
    fn carved(&self) -> usize {
        self.opened - self.fresh_left()
    }

    /// Makes a chunk with uncarved blocks the current one, when none is left of it.
    #[cold]
    #[inline(never)]
    fn switch(&mut self) -> Option<()> {
        if self.carved() == self.capacity {
            return None;
        }
        self.settle();
        let chunk = self.find(|chunk| chunk.carved < chunk.count)?;
        // SAFETY: a chunk of the list.
        let chunk_ref = unsafe { chunk.as_ref() };
        self.current = Some(chunk);
        self.opened += chunk_ref.count - chunk_ref.carved;
        // SAFETY: `carved < count` blocks in from the chunk's base.
        self.fresh = unsafe { chunk_ref.base.as_ptr().add(chunk_ref.carved * self.block.size()) };
        // SAFETY: the end of the chunk's blocks.
        self.fresh_end = unsafe { chunk_ref.base.as_ptr().add(chunk_ref.count * self.block.size()) };
        Some(())
    }

    /// Writes to the current chunk how far it is carved.
    fn settle(&mut self) {
        let left = self.fresh_left();
        if let Some(mut current) = self.current {
            // SAFETY: a chunk of the list, and we are alone.
            let current = unsafe { current.as_mut() };
            current.carved = current.count - left;
        }
    }

    fn find(&self, mut good: impl FnMut(&Chunk) -> bool) -> Option<NonNull<Chunk>> {
        let mut next = self.chunks;
        while let Some(chunk) = next {
            // SAFETY: a chunk of the list.
            let chunk_ref = unsafe { chunk.as_ref() };
            if good(chunk_ref) {
                return Some(chunk);
            }
            next = chunk_ref.next;
        }
        None
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// A live block of this value, not used any more.
    #[inline]
    pub(crate) unsafe fn give(&mut self, block: NonNull<u8>) {
        let free = block.cast::<Free>();
        // SAFETY: the block is large enough, aligned (`LEAST`) and ours now.
        unsafe { free.write(Free { next: self.free }) };
        self.free = free.as_ptr();
    }

    /// How many blocks to add when there are `planned` more on their way and at least `least` are needed; `None`:
    /// the limit or the policy forbids it.
    pub(crate) fn growth(&self, planned: usize, least: usize) -> Option<usize> {
        let have = self.capacity + planned;
        let room = self.limit.saturating_sub(have);
        let step = match self.growth {
            Growth::Doubling => have.max(first_chunk(self.block.size())),
            Growth::Fixed(step) => step,
            Growth::None => return None,
        };
        (room > 0 && least <= room).then(|| step.max(least).min(room))
    }

    /// Adds a chunk.
    ///
    /// # Safety
    /// A new chunk of blocks of this layout, in no list.
    pub(crate) unsafe fn add(&mut self, mut chunk: NonNull<Chunk>) {
        // SAFETY: nobody else has the chunk.
        let added = unsafe { chunk.as_mut() };
        added.next = self.chunks;
        self.capacity += added.count;
        self.bytes += added.bytes();
        self.chunks = Some(chunk);
    }

    /// Which chunk and block an address is.
    pub(crate) fn locate(&self, block: NonNull<u8>) -> Result<(NonNull<Chunk>, usize), ReleaseError> {
        let address = addr(block.as_ptr());
        let mut found = None;
        let chunk = self.find(|chunk| {
            found = chunk.position(address, self.block.size());
            found.is_some()
        });
        match (chunk, found) {
            (Some(chunk), Some((index, 0))) => {
                // SAFETY: a chunk of the list.
                let there = unsafe { chunk.as_ref() };
                let carved =
                    if self.current == Some(chunk) { there.count - self.fresh_left() } else { there.carved };
                if index < carved { Ok((chunk, index)) } else { Err(ReleaseError::NotLive { address }) }
            }
            (Some(_), _) => Err(ReleaseError::Inside { address }),
            _ => Err(ReleaseError::Foreign { address }),
        }
    }

    /// Removes chunks without a live block as long as at least `keep` blocks stay free.
    pub(crate) fn trim(&mut self, keep: usize) -> Doomed {
        self.settle();
        self.peak = self.peak();
        self.each_chunk(|chunk| chunk.tally = chunk.count - chunk.carved);
        let mut free = self.free;
        while let Some(block) = NonNull::new(free) {
            self.tally(block.cast());
            // SAFETY: a block of the free list.
            free = unsafe { block.as_ref() }.next;
        }
        let (mut room, carved, mut gone) = (self.capacity - self.live(), self.carved(), 0);
        let mut doomed = Doomed(None);
        let mut kept = None;
        let mut next = self.chunks.take();
        while let Some(mut chunk) = next {
            // SAFETY: a chunk of the list, and we are alone.
            let here = unsafe { chunk.as_mut() };
            next = here.next;
            if here.tally == here.count && room - here.count >= keep {
                room -= here.count;
                self.capacity -= here.count;
                gone += here.carved;
                self.bytes -= here.bytes();
                here.next = doomed.0;
                doomed.0 = Some(chunk);
            } else {
                here.tally = 0;
                here.next = kept;
                kept = Some(chunk);
            }
        }
        self.chunks = kept;
        if doomed.0.is_some() {
            self.gone += gone as u64;
            // The current chunk may be gone; `switch` finds another.
            (self.fresh, self.fresh_end) = (null_mut(), null_mut());
            (self.current, self.opened) = (None, carved - gone);
            // What is left of the free list, in its order, is what lies in the chunks left.
            let mut free = core::mem::replace(&mut self.free, null_mut());
            let mut last = null_mut::<Free>();
            while let Some(mut block) = NonNull::new(free) {
                // SAFETY: doomed chunks are not deallocated yet, so all links can be read.
                free = unsafe { block.as_ref() }.next;
                if self.locate(block.cast()).is_err() {
                    continue;
                }
                // SAFETY: a free block of ours.
                unsafe { block.as_mut() }.next = null_mut();
                match NonNull::new(last) {
                    // SAFETY: a free block of ours.
                    Some(mut last) => unsafe { last.as_mut() }.next = block.as_ptr(),
                    None => self.free = block.as_ptr(),
                }
                last = block.as_ptr();
            }
        }
        doomed
    }

    /// Sets all tallies to the chunk's uncarved blocks and counts the blocks of the free list: then a pool that
    /// keeps objects in live blocks counts those that wait.
    pub(crate) fn start_tally(&mut self) {
        self.settle();
        self.each_chunk(|chunk| chunk.tally = chunk.count - chunk.carved);
        let mut free = self.free;
        while let Some(block) = NonNull::new(free) {
            self.tally(block.cast());
            // SAFETY: a block of the free list.
            free = unsafe { block.as_ref() }.next;
        }
    }

    /// Counts a block in its chunk's tally.
    pub(crate) fn tally(&mut self, block: NonNull<u8>) {
        if let Ok((mut chunk, _)) = self.locate(block) {
            // SAFETY: a chunk of the list, and we are alone.
            unsafe { chunk.as_mut() }.tally += 1;
        }
    }

    /// True when the tally of the block's chunk says that nothing in it is live.
    pub(crate) fn is_spare(&self, block: NonNull<u8>) -> bool {
        self.locate(block).is_ok_and(|(chunk, _)| {
            // SAFETY: a chunk of the list.
            let chunk = unsafe { chunk.as_ref() };
            chunk.tally == chunk.count
        })
    }

    fn each_chunk(&mut self, mut f: impl FnMut(&mut Chunk)) {
        let mut next = self.chunks;
        while let Some(mut chunk) = next {
            // SAFETY: a chunk of the list, and we are alone.
            let here = unsafe { chunk.as_mut() };
            f(here);
            next = here.next;
        }
    }

    /// Takes all blocks back at once: all are uncarved again. O(chunks).
    pub(crate) fn reset(&mut self) {
        self.peak = self.peak();
        self.gone += self.carved() as u64;
        (self.free, self.fresh, self.fresh_end) = (null_mut(), null_mut(), null_mut());
        (self.current, self.opened) = (None, 0);
        self.each_chunk(Chunk::reset);
    }

    /// Removes all chunks; live blocks dangle once they are deallocated.
    pub(crate) fn drain(&mut self) -> Doomed {
        let doomed = Doomed(self.chunks.take());
        *self = Self::new(self.block, 0, self.limit, self.growth);
        doomed
    }

    /// The most blocks that were live at once.
    fn peak(&self) -> usize {
        self.peak.max(self.carved())
    }

    /// The figures; whoever counts live blocks says how many there are, and every other one counts as free.
    pub(crate) fn stats(&self, live: usize) -> PoolStats {
        PoolStats {
            capacity: self.capacity,
            live,
            free: self.capacity.saturating_sub(live),
            hits: self.hits,
            misses: self.gone + self.carved() as u64,
            waits: 0,
            peak: self.peak(),
            waste: (self.bytes - self.capacity * self.block.size()) + self.capacity * self.padding,
            bytes: self.bytes,
        }
    }
}
