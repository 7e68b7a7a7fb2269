//! [`Adopted`]: handles of other pools whose objects came here.
//!
//! A handle that comes along with its object keeps its number, so it is found through a hash table
//! (chains through the entries) and not through a slot. An object that returns to the pool that made
//! its handle is adopted too: the handle's slot went on to another generation when the object left.
//!
//! Invariant: an entry in use is in the chain of its key's bucket; one that is not, in the vacant list.

use super::id::Key;
use super::slots::MOST;
use crate::source::Source;
use crate::table::{NONE, Table};

/// One handle.
#[derive(Clone, Copy)]
struct Entry {
    key: Option<Key>,
    /// Where its object is.
    position: u32,
    /// Next in the chain, or next vacant.
    next: u32,
}

/// All adopted handles of a pool.
pub(crate) struct Adopted {
    entries: Table<Entry>,
    buckets: Table<u32>,
    vacant: u32,
    count: usize,
}

impl Adopted {
    pub(crate) const fn new() -> Self {
        Self { entries: Table::new(), buckets: Table::new(), vacant: NONE, count: 0 }
    }

    /// Bytes of the tables.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes() + self.buckets.bytes()
    }

    /// Makes room for `more` handles. `None`: no memory, and nothing changed that shows.
    ///
    /// # Safety
    /// `source` is the one the tables' memory came from.
    pub(crate) unsafe fn reserve<S: Source>(&mut self, source: &S, more: usize) -> Option<()> {
        let wanted = self.count.checked_add(more).filter(|&wanted| wanted <= MOST)?;
        if wanted <= self.entries.capacity() {
            return Some(());
        }
        // SAFETY: the caller's source.
        let done = unsafe {
            self.buckets.reserve(source, wanted)?;
            self.entries.reserve(source, wanted)
        };
        self.buckets.fill_up(NONE);
        for index in 0..self.entries.len() {
            if let Some(key) = self.entries[index].key {
                self.chain(index as u32, key);
            }
        }
        done
    }

    #[inline]
    fn bucket(&self, key: Key) -> usize {
        let word = u64::from(key.index) << 32 | u64::from(key.generation.get());
        let hash = (word ^ key.pool.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let hash = (hash ^ hash >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32;
        ((hash * self.buckets.len() as u64) >> 32) as usize
    }

    fn chain(&mut self, index: u32, key: Key) {
        let bucket = self.bucket(key);
        self.entries[index as usize].next = self.buckets[bucket];
        self.buckets[bucket] = index;
    }

    /// Adds a handle, for which there is room; its entry.
    pub(crate) fn insert(&mut self, key: Key, position: u32) -> u32 {
        let entry = Entry { key: Some(key), position, next: NONE };
        let index = match self.vacant {
            NONE => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
            vacant => {
                self.vacant = self.entries[vacant as usize].next;
                self.entries[vacant as usize] = entry;
                vacant
            }
        };
        self.chain(index, key);
        self.count += 1;
        index
    }

    /// Where the handle's object is. Expected constant time.
    #[inline]
    pub(crate) fn find(&self, key: Key) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let mut at = self.buckets[self.bucket(key)];
        while at != NONE {
            let entry = &self.entries[at as usize];
            if entry.key == Some(key) {
                return Some(entry.position);
            }
            at = entry.next;
        }
        None
    }

    /// The handle of an entry.
    ///
    /// # Safety
    /// The entry is in use.
    #[inline(always)]
    pub(crate) unsafe fn key_unchecked(&self, index: u32) -> Key {
        debug_assert!(self.entries[index as usize].key.is_some(), "entry {index} is not in use");
        // SAFETY: so it is in the table.
        let entry = unsafe { self.entries.get_unchecked(index as usize) };
        // SAFETY: an entry in use has a key.
        unsafe { entry.key.unwrap_unchecked() }
    }

    /// The handle of an entry in use.
    fn key(&self, index: u32) -> Key {
        self.entries[index as usize].key.expect("an entry in use")
    }

    /// Notes that an entry's object moved.
    pub(crate) fn set_position(&mut self, index: u32, position: u32) {
        self.entries[index as usize].position = position;
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, index: u32) {
        let bucket = self.bucket(self.key(index));
        let next = self.entries[index as usize].next;
        if self.buckets[bucket] == index {
            self.buckets[bucket] = next;
        } else {
            let mut at = self.buckets[bucket];
            while self.entries[at as usize].next != index {
                at = self.entries[at as usize].next;
            }
            self.entries[at as usize].next = next;
        }
        self.entries[index as usize] = Entry { key: None, position: NONE, next: self.vacant };
        self.vacant = index;
        self.count -= 1;
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// As for [`reserve`](Adopted::reserve).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        // SAFETY: the caller's source.
        unsafe {
            self.entries.release(source);
            self.buckets.release(source);
        }
        *self = Self::new();
    }
}
