//! The row cache of the `database` scene: rows of any length up to so many bytes, the least recently used goes first.
//!
//! The order of use is a list through a table by index, newest first.

use super::shapes::Map;

/// No entry: the end of the list.
const NONE: u32 = u32::MAX;

pub struct RowCache {
    places: Map<u64, u32>,
    entries: Vec<Entry>,
    /// Entries without a row.
    vacant: Vec<u32>,
    newest: u32,
    oldest: u32,
    bytes: usize,
    limit: usize,
}

struct Entry {
    key: u64,
    row: Box<[u8]>,
    newer: u32,
    older: u32,
}

impl RowCache {
    /// An empty cache that keeps at most `limit` bytes of rows, and always the last one.
    pub fn new(limit: usize) -> RowCache {
        RowCache {
            places: Map::default(),
            entries: Vec::new(),
            vacant: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            limit,
        }
    }

    /// The row of a key, now the most recently used; `read` gets it from the table where it is not here.
    pub fn get(&mut self, key: u64, read: impl FnOnce() -> Box<[u8]>) -> &[u8] {
        let place = match self.places.get(&key) {
            Some(&place) => {
                self.unlink(place);
                place
            }
            None => self.admit(key, read()),
        };
        self.link(place);
        while self.bytes > self.limit && self.oldest != place {
            self.forget(self.entries[self.oldest as usize].key);
        }
        &self.entries[place as usize].row
    }

    /// Drops a row, if it is here.
    pub fn forget(&mut self, key: u64) {
        if let Some(place) = self.places.remove(&key) {
            self.unlink(place);
            let row = std::mem::take(&mut self.entries[place as usize].row);
            self.bytes -= row.len();
            self.vacant.push(place);
        }
    }

    /// An entry outside the list for a new row.
    fn admit(&mut self, key: u64, row: Box<[u8]>) -> u32 {
        self.bytes += row.len();
        let entry = Entry { key, row, newer: NONE, older: NONE };
        let place = match self.vacant.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.places.insert(key, place);
        place
    }

    /// Makes an entry outside the list its newest.
    fn link(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        (entry.newer, entry.older) = (NONE, self.newest);
        match self.newest {
            NONE => self.oldest = place,
            newest => self.entries[newest as usize].newer = place,
        }
        self.newest = place;
    }

    fn unlink(&mut self, place: u32) {
        let Entry { newer, older, .. } = self.entries[place as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_row_goes_first() {
        let mut cache = RowCache::new(300);
        let row = |byte| move || vec![byte; 100].into_boxed_slice();
        for key in 1..=3 {
            cache.get(key, row(key as u8));
        }
        assert_eq!(cache.get(1, row(99)), [1; 100], "a cached row is not read again");
        cache.get(4, row(4));
        assert_eq!(cache.get(2, row(98)), [98; 100], "2 was the oldest");
        cache.forget(4);
        assert_eq!((cache.bytes, cache.places.len()), (200, 2));
        let mut order = Vec::new();
        let mut place = cache.newest;
        while place != NONE {
            order.push(cache.entries[place as usize].key);
            place = cache.entries[place as usize].older;
        }
        assert_eq!(order, [2, 1]);
    }

    #[test]
    fn a_row_above_the_limit_stays_alone() {
        let mut cache = RowCache::new(10);
        cache.get(1, || vec![1; 5].into());
        assert_eq!(cache.get(2, || vec![2; 50].into()).len(), 50);
        assert_eq!(cache.places.len(), 1);
    }
}
