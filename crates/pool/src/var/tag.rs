//! [`Tags`]: the boundary tags of a [`VarPool`](crate::VarPool), out of line.
//!
//! A tag describes one block, used or free: where it begins, how long it is, which blocks lie before
//! and after it, and its place in the index of free blocks. Nothing of this is in the blocks
//! themselves, so that a program that writes past its block spoils data but never the pool. Tags of
//! used blocks are found by address through a hash table (chains through the tags).
//!
//! Positions and sizes are in granules, the unit of the pool.
//!
//! Invariants:
//! * the tags of a segment, linked by `before` and `after`, cover it without gap or overlap;
//! * a used tag is in the chain of its position's bucket, and nowhere else;
//! * a free tag is in the index of free blocks, and nowhere else;
//! * an unused tag is in the list of vacant ones.

use crate::source::Source;
use crate::table::{NONE, Table};

/// What a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// For nothing.
    Vacant,
    /// For a block of the program's.
    Used,
    /// For a free block.
    Free,
}

/// One block. 40 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    /// First granule in the segment.
    pub(crate) start: u32,
    /// Granules, at least 1.
    pub(crate) size: u32,
    /// The segment's index.
    pub(crate) segment: u32,
    /// The block before in the segment, or `NONE`.
    pub(crate) before: u32,
    /// The block after, or `NONE`.
    pub(crate) after: u32,
    /// Free: lesser child, or the bin's previous. Used: next in the chain. Vacant: next vacant.
    pub(crate) left: u32,
    /// Free: greater child, or the bin's next. Used: low half of the bytes not asked for.
    pub(crate) right: u32,
    /// Free: the largest size in the subtree. Used: high half of the bytes not asked for.
    pub(crate) most: u32,
    /// Free and in a tree: what it is a child of, or `NONE`.
    pub(crate) parent: u32,
    /// What it stands for.
    pub(crate) state: State,
}

impl Tag {
    /// Orders blocks by segment, then by address.
    #[inline]
    pub(crate) fn place(&self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.start)
    }

    /// First granule after the block.
    #[inline]
    pub(crate) fn end(&self) -> u32 {
        self.start + self.size
    }

    /// Of a used block: bytes that it has beyond those asked for.
    #[inline]
    pub(crate) fn slack(&self) -> u64 {
        u64::from(self.most) << 32 | u64::from(self.right)
    }

    /// Notes the bytes of a used block beyond those asked for.
    #[inline]
    pub(crate) fn set_slack(&mut self, bytes: u64) {
        (self.most, self.right) = ((bytes >> 32) as u32, bytes as u32);
    }
}

/// All tags of a pool.
pub(crate) struct Tags {
    tags: Table<Tag>,
    vacant: u32,
    vacant_count: usize,
    buckets: Table<u32>,
}

impl Tags {
    /// Bytes of a tag and its bucket.
    pub(crate) const BYTES: usize = size_of::<Tag>() + size_of::<u32>();

    pub(crate) const fn new() -> Self {
        Self { tags: Table::new(), vacant: NONE, vacant_count: 0, buckets: Table::new() }
    }

    /// Tags in the two tables.
    pub(crate) fn with_tables(tags: Table<Tag>, mut buckets: Table<u32>) -> Self {
        buckets.fill_up(NONE);
        Self { tags, buckets, ..Self::new() }
    }

    /// How many tags can be taken without growing.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.vacant_count + (self.tags.capacity() - self.tags.len())
    }

    /// Bytes of both tables.
    pub(crate) fn bytes(&self) -> usize {
        self.tags.bytes() + self.buckets.bytes()
    }

    /// Makes room for `more` tags. `None`: no memory, and nothing changed. Amortised constant time a
    /// tag; a growth hashes all used blocks anew.
    ///
    /// # Safety
    /// `source` is the one the tables' memory came from.
    #[cold]
    pub(crate) unsafe fn reserve<S: Source>(&mut self, source: &S, more: usize) -> Option<()> {
        if self.room() >= more {
            return Some(());
        }
        let wanted = (self.tags.capacity() - self.room()).checked_add(more)?;
        let wanted = wanted.max(self.tags.capacity().saturating_mul(2)).max(32);
        if wanted >= NONE as usize {
            return None;
        }
        // SAFETY: the caller's source. Buckets first: more of them than needed do no harm, though
        // those that grew lose their chains, which are made anew below in either case.
        let tags = unsafe {
            self.buckets.resize(source, wanted)?;
            self.tags.resize(source, wanted)
        };
        self.buckets.fill_up(NONE);
        for tag in 0..self.tags.len() as u32 {
            if self[tag].state == State::Used {
                self.chain(tag);
            }
        }
        tags
    }

    /// Takes a vacant tag.
    ///
    /// # Panics
    /// When there is none: the caller asks for [`room`](Tags::room) first.
    #[inline]
    pub(crate) fn take(&mut self, tag: Tag) -> u32 {
        if self.vacant == NONE {
            self.tags.push(tag);
            return (self.tags.len() - 1) as u32;
        }
        let index = self.vacant;
        self.vacant = self[index].left;
        self.vacant_count -= 1;
        self[index] = tag;
        index
    }

    /// Makes a tag vacant.
    #[inline]
    pub(crate) fn give(&mut self, index: u32) {
        self[index].state = State::Vacant;
        self[index].left = self.vacant;
        self.vacant = index;
        self.vacant_count += 1;
    }

    /// The bucket of a position: the hash's high bits, by multiplication (Lemire's reduction).
    #[inline]
    fn bucket(&self, segment: u32, start: u32) -> usize {
        let place = u64::from(segment) << 32 | u64::from(start);
        let hash = place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        ((hash * self.buckets.len() as u64) >> 32) as usize
    }

    /// Files a used block in its chain.
    #[inline]
    pub(crate) fn chain(&mut self, index: u32) {
        let bucket = self.bucket(self[index].segment, self[index].start);
        self[index].left = self.buckets[bucket];
        self.buckets[bucket] = index;
    }

    /// The used block that begins at this granule. Expected constant time.
    #[inline]
    pub(crate) fn find(&self, segment: u32, start: u32) -> Option<u32> {
        let mut index = *self.buckets.get(self.bucket(segment, start))?;
        while index != NONE {
            let tag = &self[index];
            if tag.start == start && tag.segment == segment {
                return Some(index);
            }
            index = tag.left;
        }
        None
    }

    /// Takes a used block out of its chain.
    #[inline]
    pub(crate) fn unchain(&mut self, index: u32) {
        let Tag { segment, start, left, .. } = self[index];
        let bucket = self.bucket(segment, start);
        if self.buckets[bucket] == index {
            self.buckets[bucket] = left;
            return;
        }
        let mut at = self.buckets[bucket];
        while self[at].left != index {
            at = self[at].left;
        }
        self[at].left = left;
    }

    /// Puts `new` into the row of blocks after `index`.
    #[inline]
    pub(crate) fn link_after(&mut self, index: u32, new: u32) {
        let after = self[index].after;
        self[new].before = index;
        self[new].after = after;
        self[index].after = new;
        if after != NONE {
            self[after].before = new;
        }
    }

    /// Puts `new` into the row of blocks before `index`. True: it is its segment's first block now.
    #[inline]
    pub(crate) fn link_before(&mut self, index: u32, new: u32) -> bool {
        let before = self[index].before;
        self[new].before = before;
        self[new].after = index;
        self[index].before = new;
        if before != NONE {
            self[before].after = new;
        }
        before == NONE
    }

    /// Takes `index` out of the row and makes it vacant. True: it was its segment's first block, and the
    /// one after it is now.
    #[inline]
    pub(crate) fn unlink(&mut self, index: u32) -> bool {
        let Tag { before, after, .. } = self[index];
        if before != NONE {
            self[before].after = after;
        }
        if after != NONE {
            self[after].before = before;
        }
        self.give(index);
        before == NONE
    }

    /// Forgets all tags and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.tags.truncate(0);
        self.vacant = NONE;
        self.vacant_count = 0;
        self.buckets.fill_up(NONE);
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// As for [`reserve`](Tags::reserve).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        // SAFETY: the caller's source.
        unsafe {
            self.tags.release(source);
            self.buckets.release(source);
        }
    }
}

impl core::ops::Index<u32> for Tags {
    type Output = Tag;

    #[inline]
    fn index(&self, index: u32) -> &Tag {
        &self.tags[index as usize]
    }
}

impl core::ops::IndexMut<u32> for Tags {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Tag {
        &mut self.tags[index as usize]
    }
}
