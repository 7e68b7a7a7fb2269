//! [`Index`]: the free blocks of a pool, ordered as its fit wants them.
//!
//! Owns which free block serves a request, and where each is filed:
//!
//! | fit | short blocks | others |
//! |---|---|---|
//! | best | bins, one for each size | tree by size |
//! | first | tree by address | the same |
//! | segregated | bins, one for each size | bins, eight a doubling |

use super::bins::{Bins, EXACT};
use super::options::Fit;
use super::tag::Tags;
use super::tree::{Order, Tree};

/// The free blocks.
pub(crate) struct Index {
    fit: Fit,
    bins: Bins,
    tree: Tree,
}

impl Index {
    pub(crate) const fn new(fit: Fit) -> Self {
        let order = if matches!(fit, Fit::First) { Order::Address } else { Order::Size };
        Self { fit, bins: Bins::new(), tree: Tree::new(order) }
    }

    /// True when blocks of that size are in the bins.
    #[inline]
    fn is_binned(&self, size: u32) -> bool {
        match self.fit {
            Fit::Best => size < EXACT,
            Fit::First => false,
            Fit::Segregated => true,
        }
    }

    /// A block of at least `size` granules that the fit prefers.
    #[inline]
    pub(crate) fn find(&self, tags: &Tags, size: u32) -> Option<u32> {
        match self.fit {
            Fit::Best if size < EXACT => self.bins.find_exact(size).or_else(|| self.tree.find(tags, size)),
            Fit::Best | Fit::First => self.tree.find(tags, size),
            Fit::Segregated => self.bins.find(tags, size),
        }
    }

    /// Adds a free block.
    #[inline]
    pub(crate) fn insert(&mut self, tags: &mut Tags, block: u32) {
        if self.is_binned(tags[block].size) {
            self.bins.insert(tags, block);
        } else {
            self.tree.insert(tags, block);
        }
    }

    /// Takes a free block out; its place and size are as when it was added.
    #[inline]
    pub(crate) fn remove(&mut self, tags: &mut Tags, block: u32) {
        if self.is_binned(tags[block].size) {
            self.bins.remove(tags, block);
        } else {
            self.tree.remove(tags, block);
        }
    }

    /// Changes the extent of a free block; the order by address stays.
    #[inline]
    pub(crate) fn resize(&mut self, tags: &mut Tags, block: u32, start: u32, size: u32) {
        let by_address = self.fit == Fit::First;
        if !by_address {
            self.remove(tags, block);
        }
        (tags[block].start, tags[block].size) = (start, size);
        if by_address {
            Tree::update_from(tags, block);
        } else {
            self.insert(tags, block);
        }
    }

    /// The largest size, 0 of none.
    pub(crate) fn most(&self, tags: &Tags) -> u32 {
        self.tree.most(tags).max(self.bins.most(tags))
    }

    /// Checks the structure; returns how many blocks there are.
    #[cfg(test)]
    pub(crate) fn check(&self, tags: &Tags) -> usize {
        self.tree.check(tags) + self.bins.check(tags)
    }
}
