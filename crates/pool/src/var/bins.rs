//! [`Bins`]: free blocks in lists by size, for segregated fit, and of short ones for best fit.
//!
//! Two levels as in TLSF (Masmano and others 2004): sizes below 64 granules have a bin each, longer
//! ones eight bins a doubling; a bit for each bin that holds something. A search looks at some
//! blocks of the bin that the size itself falls into, then takes any block of the next bin that is not
//! empty: constant time, and at most an eighth longer than need be.
//!
//! Invariant: a bin's bit is set if and only if its list has a block.

use super::tag::Tags;
use crate::table::NONE;

const EXACT_LOG: u32 = 6;
/// Shorter blocks have a bin for each size.
pub(crate) const EXACT: u32 = 1 << EXACT_LOG;
/// Bins a doubling, as a power of two.
const STEPS_LOG: u32 = 3;
const BINS: usize = (EXACT + (32 - EXACT_LOG) * (1 << STEPS_LOG)) as usize;
/// How many blocks of the size's own bin a search looks at.
const LOOKS: usize = 8;

/// Free blocks by size.
pub(crate) struct Bins {
    heads: [u32; BINS],
    filled: [u64; BINS.div_ceil(64)],
}

/// The bin of blocks of `size` granules.
#[inline]
const fn bin_of(size: u32) -> usize {
    if size < EXACT {
        return size as usize;
    }
    let log = size.ilog2();
    let step = size >> (log - STEPS_LOG) & ((1 << STEPS_LOG) - 1);
    (EXACT + (log - EXACT_LOG) * (1 << STEPS_LOG) + step) as usize
}

const _: () = assert!(bin_of(EXACT - 1) + 1 == bin_of(EXACT) && bin_of(u32::MAX) == BINS - 1);

impl Bins {
    pub(crate) const fn new() -> Self {
        Self { heads: [NONE; BINS], filled: [0; BINS.div_ceil(64)] }
    }

    /// A block of at least `size` granules, if one shows itself. Constant time.
    pub(crate) fn find(&self, tags: &Tags, size: u32) -> Option<u32> {
        let own = bin_of(size);
        let mut at = self.heads[own];
        for _ in 0..LOOKS {
            if at == NONE {
                break;
            }
            if tags[at].size >= size {
                return Some(at);
            }
            at = tags[at].right;
        }
        let next = self.next_filled(own + 1)?;
        Some(self.heads[next])
    }

    /// The smallest block of at least `size` granules, if there are blocks shorter than [`EXACT`] only.
    pub(crate) fn find_exact(&self, size: u32) -> Option<u32> {
        self.next_filled(bin_of(size)).map(|bin| self.heads[bin])
    }

    fn next_filled(&self, bin: usize) -> Option<usize> {
        let mut word = bin / 64;
        let mut bits = *self.filled.get(word)? & (u64::MAX << (bin % 64));
        while bits == 0 {
            word += 1;
            bits = *self.filled.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Adds a block, at the front of its bin: the last freed is likely in the cache. Constant time.
    pub(crate) fn insert(&mut self, tags: &mut Tags, new: u32) {
        let bin = bin_of(tags[new].size);
        let next = self.heads[bin];
        tags[new].left = NONE;
        tags[new].right = next;
        if next != NONE {
            tags[next].left = new;
        }
        self.heads[bin] = new;
        self.filled[bin / 64] |= 1 << (bin % 64);
    }

    /// Takes a block out, whose size is as it was when it was added. Constant time.
    pub(crate) fn remove(&mut self, tags: &mut Tags, old: u32) {
        let (previous, next) = (tags[old].left, tags[old].right);
        if next != NONE {
            tags[next].left = previous;
        }
        if previous != NONE {
            tags[previous].right = next;
            return;
        }
        let bin = bin_of(tags[old].size);
        self.heads[bin] = next;
        if next == NONE {
            self.filled[bin / 64] &= !(1 << (bin % 64));
        }
    }

    /// The largest size, 0 when there is no block. As long as the last bin's list.
    pub(crate) fn most(&self, tags: &Tags) -> u32 {
        let Some(word) = self.filled.iter().rposition(|&bits| bits != 0) else { return 0 };
        let mut at = self.heads[word * 64 + self.filled[word].ilog2() as usize];
        let mut most = 0;
        while at != NONE {
            most = most.max(tags[at].size);
            at = tags[at].right;
        }
        most
    }

    /// Checks links, sizes and bits; returns how many blocks there are.
    #[cfg(test)]
    pub(crate) fn check(&self, tags: &Tags) -> usize {
        let mut count = 0;
        for (bin, &head) in self.heads.iter().enumerate() {
            assert_eq!(self.filled[bin / 64] >> (bin % 64) & 1 == 1, head != NONE);
            let (mut at, mut previous) = (head, NONE);
            while at != NONE {
                assert_eq!(bin_of(tags[at].size), bin);
                assert_eq!(tags[at].left, previous);
                (previous, at) = (at, tags[at].right);
                count += 1;
            }
        }
        count
    }
}
