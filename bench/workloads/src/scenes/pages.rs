//! The tables of the `database` scene: B-tree leaves of 4, 8 and 16 KiB.
//!
//! A leaf keeps rows one after another in one block and a sorted directory of them. An update appends; what it replaces is
//! dead. A leaf that has no room is rewritten where a quarter of it is dead, otherwise moved to twice the size,
//! and from 16 KiB on split in two. Each of these allocates the new blocks before it frees the old, as page-based stores do.

use std::collections::BTreeMap;

/// Sizes of pages, bytes.
const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 16 << 10;

/// Leaves by the lowest key that belongs to each.
#[derive(Default)]
pub struct Tree {
    leaves: BTreeMap<u64, Leaf>,
}

struct Leaf {
    page: Box<[u8]>,
    /// Bytes of the page in use, dead rows with them.
    used: usize,
    dead: usize,
    /// Key, offset and length of each row, by key.
    rows: Vec<(u64, u32, u32)>,
}

impl Tree {
    /// The row of a key.
    pub fn get(&self, key: u64) -> Option<&[u8]> {
        self.leaves.range(..=key).next_back()?.1.get(key)
    }

    /// The whole page that a key belongs to; nothing in an empty table.
    pub fn page_of(&self, key: u64) -> &[u8] {
        self.leaves.range(..=key).next_back().map_or(&[], |(_, leaf)| &leaf.page)
    }

    /// Rows from a key on, by key.
    pub fn from(&self, key: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let first = self.leaves.range(..=key).next_back().map_or(0, |(&low, _)| low);
        let rows = self.leaves.range(first..).flat_map(|(_, leaf)| {
            leaf.rows.iter().map(|&(key, offset, length)| (key, &leaf.page[offset as usize..][..length as usize]))
        });
        rows.skip_while(move |&(found, _)| found < key)
    }

    /// Inserts or replaces a row; it is at most a quarter of the largest page.
    pub fn put(&mut self, key: u64, row: &[u8]) {
        assert!(row.len() <= LARGEST / 4, "a row of {} bytes", row.len());
        if self.leaves.is_empty() {
            self.leaves.insert(0, Leaf::new(SMALLEST));
        }
        loop {
            let (_, leaf) = self.leaves.range_mut(..=key).next_back().expect("the first leaf begins at 0");
            if leaf.page.len() - leaf.used >= row.len() {
                return leaf.append(key, row);
            }
            if leaf.dead * 4 >= leaf.page.len() {
                *leaf = leaf.copy(0..leaf.rows.len(), leaf.page.len());
            } else if leaf.page.len() < LARGEST {
                *leaf = leaf.copy(0..leaf.rows.len(), leaf.page.len() * 2);
            } else {
                let middle = leaf.rows.len() / 2;
                let high = leaf.copy(middle..leaf.rows.len(), LARGEST);
                *leaf = leaf.copy(0..middle, LARGEST);
                self.leaves.insert(high.rows[0].0, high);
            }
        }
    }
}

impl Leaf {
    fn new(size: usize) -> Leaf {
        Leaf { page: vec![0; size].into_boxed_slice(), used: 0, dead: 0, rows: Vec::new() }
    }

    fn get(&self, key: u64) -> Option<&[u8]> {
        let place = self.rows.binary_search_by_key(&key, |row| row.0).ok()?;
        let (_, offset, length) = self.rows[place];
        Some(&self.page[offset as usize..][..length as usize])
    }

    /// Adds a row for which there is room.
    fn append(&mut self, key: u64, row: &[u8]) {
        self.page[self.used..][..row.len()].copy_from_slice(row);
        let new = (key, self.used as u32, row.len() as u32);
        self.used += row.len();
        match self.rows.binary_search_by_key(&key, |row| row.0) {
            Ok(place) => {
                self.dead += self.rows[place].2 as usize;
                self.rows[place] = new;
            }
            Err(place) => self.rows.insert(place, new),
        }
    }

    /// A leaf of `size` bytes with some of this one's rows, the dead left out.
    fn copy(&self, rows: std::ops::Range<usize>, size: usize) -> Leaf {
        let mut copy = Leaf::new(size);
        for &(key, offset, length) in &self.rows[rows] {
            copy.append(key, &self.page[offset as usize..][..length as usize]);
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_tree_holds_what_a_map_holds() {
        let mut random = Random::new(9);
        let (mut tree, mut map) = (Tree::default(), BTreeMap::new());
        for _ in 0..20_000 {
            let key = random.below(3000);
            let row = vec![random.next() as u8; random.between(1, 900)];
            tree.put(key, &row);
            map.insert(key, row);
        }
        assert!(tree.leaves.len() > 10);
        assert!(map.iter().all(|(&key, row)| tree.get(key) == Some(row)));
        assert_eq!(tree.get(3000), None);
        let from: Vec<(u64, &[u8])> = tree.from(1234).collect();
        assert_eq!(from, map.range(1234..).map(|(&key, row)| (key, &row[..])).collect::<Vec<_>>());
    }
}
