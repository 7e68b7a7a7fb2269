//! [`Engine`]: blocks cut from segments and merged again; the heart of a [`VarPool`](crate::VarPool).
//!
//! Owns tags, index and segments, and touches no byte of the blocks. It never allocates: where tags or
//! free blocks are short it says so before anything is changed, and the pool above makes more.
//!
//! Invariants, on top of those of the parts:
//! * with immediate coalescing no two free blocks touch;
//! * `free` counts the granules of free blocks, `slack` the bytes of used ones that nobody asked for,
//!   and a segment's `used` its used blocks.

use super::index::Index;
use super::options::{Coalescing, VarOptions};
use super::segments::{Segment, Segments};
use super::tag::{State, Tag, Tags};
use crate::ReleaseError;
use crate::addr::addr;
use crate::table::NONE;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Tags that one operation may need at most.
pub(crate) const TAGS: usize = 2;

/// Why the engine cannot serve a request as things are. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Short {
    /// Of free blocks that are long enough.
    Blocks,
    /// Of tags.
    Tags,
    /// The request is longer than any segment could be.
    Range,
}

/// See the module.
pub(crate) struct Engine {
    pub(crate) tags: Tags,
    pub(crate) segments: Segments,
    index: Index,
    coalescing: Coalescing,
    /// `log2` of a granule's bytes.
    pub(crate) shift: u32,
    /// Releases since the last pass.
    loose: usize,
    /// Granules of all segments.
    pub(crate) capacity: usize,
    /// Granules of free blocks.
    pub(crate) free: usize,
    /// How many free blocks there are.
    pub(crate) free_blocks: usize,
    /// Bytes of used blocks beyond those asked for.
    pub(crate) slack: u64,
    /// Used blocks.
    pub(crate) live: usize,
    /// The most used blocks there were.
    pub(crate) peak: usize,
    /// Blocks that became part of another.
    pub(crate) merged: u64,
}

impl Engine {
    pub(crate) fn new(options: &VarOptions, tags: Tags, segments: Segments) -> Self {
        Self {
            tags,
            segments,
            index: Index::new(options.fit),
            coalescing: options.coalescing,
            shift: options.granule.ilog2(),
            loose: 0,
            capacity: 0,
            free: 0,
            free_blocks: 0,
            slack: 0,
            live: 0,
            peak: 0,
            merged: 0,
        }
    }

    /// Granules for `bytes`, at least one.
    pub(crate) fn granules(&self, bytes: usize) -> Option<u32> {
        let granules = bytes.max(1).div_ceil(1 << self.shift);
        u32::try_from(granules).ok().filter(|&granules| granules < NONE)
    }

    /// The address of a block, as a pointer into its segment.
    #[inline]
    pub(crate) fn pointer(&self, block: u32) -> NonNull<u8> {
        let tag = &self.tags[block];
        // SAFETY: a tag's granules lie in its segment.
        unsafe { self.segments[tag.segment].base.add((tag.start as usize) << self.shift) }
    }

    /// Bytes of a block.
    #[inline]
    pub(crate) fn bytes(&self, block: u32) -> usize {
        (self.tags[block].size as usize) << self.shift
    }

    /// Takes a block of `layout`; its tag. Costs one search of the index, two where the alignment is
    /// above a granule.
    pub(crate) fn take(&mut self, layout: Layout) -> Result<u32, Short> {
        let size = self.granules(layout.size()).ok_or(Short::Range)?;
        let (block, pad) = self.candidate(size, layout.align()).ok_or(Short::Blocks)?;
        let Tag { start, size: whole, segment, .. } = self.tags[block];
        let rest = whole - pad - size;
        if usize::from(pad > 0) + usize::from(rest > 0) > self.tags.room() {
            return Err(Short::Tags);
        }
        // What stays free keeps its tag, and its place in the index where that goes by address.
        let taken = match (pad, rest) {
            (0, 0) => {
                self.drop_free(block);
                block
            }
            (0, _) => {
                let taken = self.tags.take(Tag { size, ..self.tags[block] });
                if self.tags.link_before(block, taken) {
                    self.segments[segment].head = taken;
                }
                self.set_free(block, start + size, rest);
                taken
            }
            _ => {
                self.set_free(block, start, pad);
                let taken = self.tags.take(Tag { start: start + pad, size: size + rest, ..self.tags[block] });
                self.tags.link_after(block, taken);
                if rest > 0 {
                    let tail = self.cut(taken, size);
                    self.add_free(tail);
                }
                taken
            }
        };
        let tag = &mut self.tags[taken];
        tag.state = State::Used;
        let slack = ((u64::from(size)) << self.shift) - layout.size() as u64;
        tag.set_slack(slack);
        self.tags.chain(taken);
        self.segments[segment].used += 1;
        self.slack += slack;
        self.live += 1;
        self.peak = self.peak.max(self.live);
        Ok(taken)
    }

    /// A free block and how many granules of it come before an aligned block of `size` granules.
    #[inline]
    fn candidate(&self, size: u32, align: usize) -> Option<(u32, u32)> {
        let block = self.index.find(&self.tags, size)?;
        let pad = self.pad(block, align);
        if pad <= (self.tags[block].size - size) as usize {
            return Some((block, pad as u32));
        }
        // The one preferred does not hold it: take one that does, wherever it begins.
        let spare = u32::try_from((align >> self.shift) - 1).ok()?;
        let block = self.index.find(&self.tags, size.checked_add(spare)?)?;
        Some((block, self.pad(block, align) as u32))
    }

    /// Granules from a block's beginning to the next aligned address.
    #[inline]
    fn pad(&self, block: u32, align: usize) -> usize {
        let address = addr(self.pointer(block).as_ptr());
        (address.wrapping_neg() & (align - 1)) >> self.shift
    }

    /// Cuts a block, which is in no index or chain, after `size` granules; the tag of what comes after.
    fn cut(&mut self, block: u32, size: u32) -> u32 {
        let tag = self.tags[block];
        let tail = self.tags.take(Tag { start: tag.start + size, size: tag.size - size, ..tag });
        self.tags[block].size = size;
        self.tags.link_after(block, tail);
        tail
    }

    fn add_free(&mut self, block: u32) {
        self.tags[block].state = State::Free;
        self.free += self.tags[block].size as usize;
        self.free_blocks += 1;
        self.index.insert(&mut self.tags, block);
    }

    fn drop_free(&mut self, block: u32) {
        self.index.remove(&mut self.tags, block);
        self.free -= self.tags[block].size as usize;
        self.free_blocks -= 1;
    }

    /// Changes the extent of a free block; no other block comes to lie before or after it.
    fn set_free(&mut self, block: u32, start: u32, size: u32) {
        self.free = self.free - self.tags[block].size as usize + size as usize;
        self.index.resize(&mut self.tags, block, start, size);
    }

    /// Takes a block, which is in no index or chain, out of its segment.
    fn unlink(&mut self, block: u32) {
        let Tag { segment, after, .. } = self.tags[block];
        if self.tags.unlink(block) {
            self.segments[segment].head = after;
        }
        self.merged += 1;
    }

    /// The used block that begins at `address`.
    #[inline]
    pub(crate) fn find(&self, address: usize) -> Result<u32, ReleaseError> {
        let (segment, offset) =
            self.segments.find(address, self.shift).ok_or(ReleaseError::Foreign { address })?;
        if offset & ((1 << self.shift) - 1) == 0
            && let Some(block) = self.tags.find(segment, (offset >> self.shift) as u32)
        {
            return Ok(block);
        }
        Err(self.explain(address, segment, (offset >> self.shift) as u32))
    }

    /// Whether an address without a used block lies in one. Walks the segment's blocks: an error's cost.
    #[cold]
    fn explain(&self, address: usize, segment: u32, granule: u32) -> ReleaseError {
        let mut block = self.segments[segment].head;
        while self.tags[block].end() <= granule {
            block = self.tags[block].after;
        }
        match self.tags[block].state {
            State::Used => ReleaseError::Inside { address },
            _ => ReleaseError::NotLive { address },
        }
    }

    /// Makes a used block free. Constant time but for the index; a pass where the policy wants one.
    pub(crate) fn give(&mut self, block: u32) {
        self.tags.unchain(block);
        let tag = self.tags[block];
        self.segments[tag.segment].used -= 1;
        self.slack -= tag.slack();
        self.live -= 1;
        if self.coalescing == Coalescing::Immediate {
            self.merge(block);
        } else {
            self.add_free(block);
        }
        self.loose = self.loose.saturating_add(1);
        if let Coalescing::DeferredUntil(releases) = self.coalescing
            && self.loose >= releases
        {
            self.coalesce();
        }
    }

    fn is_free(&self, block: u32) -> bool {
        block != NONE && self.tags[block].state == State::Free
    }

    /// Makes a block, which is in no index or chain, free and one with its free neighbours.
    fn merge(&mut self, block: u32) {
        let Tag { before, after, start, size, .. } = self.tags[block];
        match (self.is_free(before), self.is_free(after)) {
            (false, false) => self.add_free(block),
            (false, true) => {
                self.unlink(block);
                self.set_free(after, start, size + self.tags[after].size);
            }
            (true, following) => {
                let mut size = self.tags[before].size + size;
                if following {
                    size += self.tags[after].size;
                    self.drop_free(after);
                    self.unlink(after);
                }
                self.unlink(block);
                self.set_free(before, self.tags[before].start, size);
            }
        }
    }

    /// Lengthens a block by the one after it; neither is in an index or chain.
    fn absorb(&mut self, block: u32, after: u32) {
        self.tags[block].size += self.tags[after].size;
        self.unlink(after);
    }

    /// True when a pass could merge something.
    pub(crate) fn is_loose(&self) -> bool {
        matches!(self.coalescing, Coalescing::Deferred | Coalescing::DeferredUntil(_)) && self.loose > 0
    }

    /// Merges all free neighbours, unless the policy is never to; how many blocks became part of another.
    /// Walks all blocks.
    pub(crate) fn coalesce(&mut self) -> usize {
        let merged = self.merged;
        if self.is_loose() {
            self.loose = 0;
            for segment in 0..self.segments.end() {
                if self.segments[segment].granules > 0 {
                    self.coalesce_segment(self.segments[segment].head);
                }
            }
        }
        (self.merged - merged) as usize
    }

    fn coalesce_segment(&mut self, head: u32) {
        let mut block = head;
        while block != NONE {
            if self.is_free(block) && self.is_free(self.tags[block].after) {
                self.drop_free(block);
                while self.is_free(self.tags[block].after) {
                    let after = self.tags[block].after;
                    self.drop_free(after);
                    self.absorb(block, after);
                }
                self.add_free(block);
            }
            block = self.tags[block].after;
        }
    }

    /// Changes a used block to `layout` where it is. False: it cannot be, and nothing was changed.
    /// A shorter one gives the rest back when there is a tag for it; a longer one takes from a free
    /// block after it, unless the policy is never to coalesce.
    pub(crate) fn resize(&mut self, block: u32, layout: Layout) -> bool {
        let Some(size) = self.granules(layout.size()) else { return false };
        if self.pad(block, layout.align()) != 0 {
            return false;
        }
        let old = self.tags[block];
        let next = self.is_free(old.after) && self.coalescing != Coalescing::Never;
        if size > old.size {
            let more = size - old.size;
            if !next || self.tags[old.after].size < more {
                return false;
            }
            let Tag { start, size: room, .. } = self.tags[old.after];
            if room == more {
                self.drop_free(old.after);
                self.unlink(old.after);
            } else {
                self.set_free(old.after, start + more, room - more);
            }
            self.tags[block].size = size;
        } else if size < old.size && next {
            self.tags[block].size = size;
            let Tag { start, size: room, .. } = self.tags[old.after];
            self.set_free(old.after, start - (old.size - size), room + (old.size - size));
        } else if size < old.size && self.tags.room() > 0 {
            // What the tail's tag copies of the chain and of slack is written over when it is filed.
            let tail = self.cut(block, size);
            self.add_free(tail);
            self.loose = self.loose.saturating_add(1);
        }
        self.slack -= old.slack();
        let slack = self.bytes(block) as u64 - layout.size() as u64;
        self.tags[block].set_slack(slack);
        self.slack += slack;
        true
    }

    /// Adds a segment as one free block. The caller made room for it and for a tag.
    pub(crate) fn add_segment(&mut self, base: NonNull<u8>, granules: u32, layout: Layout) {
        let segment = self.segments.add(Segment { base, granules, head: NONE, used: 0, layout });
        self.cover(segment);
        self.capacity += granules as usize;
    }

    /// One free block for all of a segment.
    fn cover(&mut self, segment: u32) {
        let head = self.tags.take(Tag {
            start: 0,
            size: self.segments[segment].granules,
            segment,
            before: NONE,
            after: NONE,
            left: NONE,
            right: NONE,
            most: 0,
            parent: NONE,
            state: State::Free,
        });
        self.segments[segment].head = head;
        self.add_free(head);
    }

    /// Takes out the last segment that has no used block and at most `most` granules.
    pub(crate) fn take_unused_segment(&mut self, most: usize) -> Option<Segment> {
        let unused = |&segment: &u32| {
            let Segment { granules, used, .. } = self.segments[segment];
            granules > 0 && used == 0 && granules as usize <= most
        };
        let segment = (0..self.segments.end()).rev().find(unused)?;
        let mut block = self.segments[segment].head;
        while block != NONE {
            let after = self.tags[block].after;
            self.drop_free(block);
            self.tags.give(block);
            block = after;
        }
        let segment = self.segments.remove(segment);
        self.capacity -= segment.granules as usize;
        Some(segment)
    }

    /// Forgets all blocks: each segment is one free block again.
    pub(crate) fn reset(&mut self, options: &VarOptions) {
        self.tags.clear();
        self.index = Index::new(options.fit);
        (self.loose, self.free, self.free_blocks, self.slack, self.live) = (0, 0, 0, 0, 0);
        for segment in 0..self.segments.end() {
            if self.segments[segment].granules > 0 {
                self.segments[segment].used = 0;
                self.cover(segment);
            }
        }
    }

    /// Granules of the largest free block.
    pub(crate) fn most(&self) -> u32 {
        self.index.most(&self.tags)
    }

    /// Checks every invariant. Walks everything.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let (mut free, mut free_blocks, mut live, mut slack, mut capacity) = (0, 0, 0, 0, 0);
        for index in 0..self.segments.end() {
            let segment = self.segments[index];
            capacity += segment.granules as usize;
            let (mut block, mut before, mut end, mut used) = (segment.head, NONE, 0, 0);
            while segment.granules > 0 && block != NONE {
                let tag = self.tags[block];
                assert_eq!((tag.segment, tag.before, tag.start), (index, before, end));
                assert!(tag.size > 0);
                if tag.state == State::Used {
                    used += 1;
                    slack += tag.slack();
                    assert_eq!(self.tags.find(index, tag.start), Some(block));
                } else {
                    assert_eq!(tag.state, State::Free);
                    assert!(self.coalescing != Coalescing::Immediate || !self.is_free(before));
                    free += tag.size as usize;
                    free_blocks += 1;
                }
                end = tag.end();
                (before, block) = (block, tag.after);
            }
            assert_eq!((end, used), (segment.granules, segment.used));
            live += used as usize;
        }
        assert_eq!((free, free_blocks, live), (self.free, self.free_blocks, self.live));
        assert_eq!((slack, capacity), (self.slack, self.capacity));
        assert_eq!(self.index.check(&self.tags), free_blocks);
    }
}
