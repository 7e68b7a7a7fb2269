//! [`Tree`]: free blocks in a balanced order, for best fit and first fit.
//!
//! A treap (Seidel and Aragon 1996) through the tags' `left` and `right`: a search tree by key and a
//! heap by priority, where a priority is a hash of the tag's index, so that no tag stores one. Depth is
//! expected `O(log n)`; taking a block out, for which tags know their parents, is expected `O(1)`. Each
//! tag keeps in `most` the largest size in its subtree, which finds the first block by address that is
//! long enough without looking at the shorter ones before it.
//!
//! Keys never repeat: the order by size goes on by address.

use super::tag::Tags;
use crate::table::NONE;

/// What the tree is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Size, then address: best fit.
    Size,
    /// Address: first fit.
    Address,
}

/// Free blocks in order.
pub(crate) struct Tree {
    root: u32,
    order: Order,
}

impl Tree {
    pub(crate) const fn new(order: Order) -> Self {
        Self { root: NONE, order }
    }

    /// The largest size in the tree, 0 when it is empty. Constant time.
    pub(crate) fn most(&self, tags: &Tags) -> u32 {
        most(tags, self.root)
    }

    #[inline]
    fn less(&self, tags: &Tags, a: u32, b: u32) -> bool {
        let (a, b) = (&tags[a], &tags[b]);
        match self.order {
            Order::Size => (a.size, a.place()) < (b.size, b.place()),
            Order::Address => a.place() < b.place(),
        }
    }

    /// A block of at least `size` granules: the smallest, of those the one at the lowest address; or
    /// simply the one at the lowest address.
    pub(crate) fn find(&self, tags: &Tags, size: u32) -> Option<u32> {
        match self.order {
            Order::Size => self.find_best(tags, size),
            Order::Address => self.find_first(tags, size),
        }
    }

    fn find_best(&self, tags: &Tags, size: u32) -> Option<u32> {
        let mut at = self.root;
        let mut best = None;
        while at != NONE {
            let tag = &tags[at];
            if tag.size < size {
                at = tag.right;
            } else {
                best = Some(at);
                at = tag.left;
            }
        }
        best
    }

    fn find_first(&self, tags: &Tags, size: u32) -> Option<u32> {
        let mut at = self.root;
        if most(tags, at) < size {
            return None;
        }
        loop {
            // The subtree at `at` holds a block that is long enough.
            let tag = &tags[at];
            if most(tags, tag.left) >= size {
                at = tag.left;
            } else if tag.size >= size {
                return Some(at);
            } else {
                at = tag.right;
            }
        }
    }

    /// Adds a block. Expected `O(log n)`, of which all but the way down is `O(1)`.
    pub(crate) fn insert(&mut self, tags: &mut Tags, new: u32) {
        let size = tags[new].size;
        let mut above = NONE;
        let mut left = false;
        let mut at = self.root;
        while at != NONE && priority(at) >= priority(new) {
            left = self.less(tags, new, at);
            above = at;
            let tag = &mut tags[at];
            tag.most = tag.most.max(size);
            at = if left { tag.left } else { tag.right };
        }
        let (less, more) = self.split(tags, at, new);
        tags[new].left = less;
        tags[new].right = more;
        adopt(tags, less, new);
        adopt(tags, more, new);
        update(tags, new);
        tags[new].parent = above;
        match above {
            NONE => self.root = new,
            _ if left => tags[above].left = new,
            _ => tags[above].right = new,
        }
    }

    /// Parts the subtree at `at` into what comes before `key` and what comes after. The two have no parent
    /// yet. Expected depth `O(1)`: what is here has a lower priority than the block that came.
    fn split(&self, tags: &mut Tags, at: u32, key: u32) -> (u32, u32) {
        if at == NONE {
            return (NONE, NONE);
        }
        if self.less(tags, at, key) {
            let (less, more) = self.split(tags, tags[at].right, key);
            tags[at].right = less;
            adopt(tags, less, at);
            update(tags, at);
            (at, more)
        } else {
            let (less, more) = self.split(tags, tags[at].left, key);
            tags[at].left = more;
            adopt(tags, more, at);
            update(tags, at);
            (less, at)
        }
    }

    /// Takes a block out. Expected `O(1)`, and the way up as far as the largest sizes change.
    pub(crate) fn remove(&mut self, tags: &mut Tags, old: u32) {
        let (less, more, parent) = (tags[old].left, tags[old].right, tags[old].parent);
        let joined = join(tags, less, more);
        adopt(tags, joined, parent);
        if parent == NONE {
            self.root = joined;
            return;
        }
        if tags[parent].left == old {
            tags[parent].left = joined;
        } else {
            tags[parent].right = joined;
        }
        Self::update_from(tags, parent);
    }

    /// Notes a block's new size in it and in those above it, as far as that changes their largest.
    pub(crate) fn update_from(tags: &mut Tags, block: u32) {
        let mut at = block;
        while at != NONE && update(tags, at) {
            at = tags[at].parent;
        }
    }

    /// Checks order, priorities and sizes; returns how many blocks there are.
    #[cfg(test)]
    pub(crate) fn check(&self, tags: &Tags) -> usize {
        self.check_below(tags, self.root)
    }

    #[cfg(test)]
    fn check_below(&self, tags: &Tags, at: u32) -> usize {
        if at == NONE {
            return 0;
        }
        let tag = tags[at];
        assert!(at != self.root || tag.parent == NONE);
        for child in [tag.left, tag.right] {
            assert!(child == NONE || priority(child) <= priority(at) && tags[child].parent == at);
        }
        assert!(tag.left == NONE || self.less(tags, tag.left, at));
        assert!(tag.right == NONE || self.less(tags, at, tag.right));
        assert_eq!(tag.most, tag.size.max(most(tags, tag.left)).max(most(tags, tag.right)));
        1 + self.check_below(tags, tag.left) + self.check_below(tags, tag.right)
    }
}

/// A hash of the index: Fibonacci hashing, mixed so that high bits depend on all. A bijection, so that
/// no two are equal.
#[inline]
fn priority(index: u32) -> u32 {
    let mixed = (index ^ index >> 16).wrapping_mul(0x7FEB_352D);
    (mixed ^ mixed >> 15).wrapping_mul(0x846C_A68B)
}

#[inline]
fn most(tags: &Tags, at: u32) -> u32 {
    if at == NONE { 0 } else { tags[at].most }
}

/// Makes `child`, if there is one, know its parent.
#[inline]
fn adopt(tags: &mut Tags, child: u32, parent: u32) {
    if child != NONE {
        tags[child].parent = parent;
    }
}

/// Reckons the largest size below `at` anew. False: it is what it was.
#[inline]
fn update(tags: &mut Tags, at: u32) -> bool {
    let (left, right, size) = (tags[at].left, tags[at].right, tags[at].size);
    let new = size.max(most(tags, left)).max(most(tags, right));
    core::mem::replace(&mut tags[at].most, new) != new
}

/// The two subtrees as one, whose root has no parent yet; all of `less` comes before all of `more`.
/// Expected depth `O(1)`.
fn join(tags: &mut Tags, less: u32, more: u32) -> u32 {
    if less == NONE || more == NONE {
        return if less == NONE { more } else { less };
    }
    let (top, below) = if priority(less) >= priority(more) {
        let below = join(tags, tags[less].right, more);
        tags[less].right = below;
        (less, below)
    } else {
        let below = join(tags, less, tags[more].left);
        tags[more].left = below;
        (more, below)
    };
    adopt(tags, below, top);
    update(tags, top);
    top
}
